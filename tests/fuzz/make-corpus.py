#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the inputs that fuzzing begins with, a few small good files of each kind: make-corpus.py [FOLDER]

What fuzzing found wrong lies beside them, under the name of what it was."""

import gzip
import importlib.util
import json
import pathlib
import struct
import sys
import zlib


def safetensors(tensors, meta=None, pad=0):
    """tensors: name, type, shape, bytes."""
    header, data = {}, b""
    if meta:
        header["__metadata__"] = meta
    for name, kind, shape, content in tensors:
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    text = json.dumps(header).encode() + b" " * pad
    return struct.pack("<Q", len(text)) + text + data


def gguf(version, keys, tensors, alignment=32):
    """keys: name, type, packed value; tensors: name, dimensions (fastest first), type, bytes."""
    def string(text):
        return struct.pack("<Q", len(text)) + text.encode()

    out = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(keys))
    for name, kind, value in keys:
        out += string(name) + struct.pack("<I", kind) + value
    at, data = 0, b""
    for name, dims, kind, content in tensors:
        out += string(name) + struct.pack("<I", len(dims)) + b"".join(struct.pack("<Q", d) for d in dims) + struct.pack("<IQ", kind, at)
        content += bytes(-len(content) % alignment)
        at += len(content)
        data += content
    return out + bytes(-len(out) % alignment) + data


def gguf_keys():
    def string(text):
        return struct.pack("<Q", len(text)) + text.encode()

    numbers = [(0, "<B", 1), (1, "<b", -1), (2, "<H", 1), (3, "<h", -1), (4, "<I", 1), (5, "<i", -1), (6, "<f", 1.5), (7, "<B", 1),
               (10, "<Q", 1), (11, "<q", -1), (12, "<d", 1.5)]
    keys = [("general.architecture", 8, string("lumina2"))]
    keys += [(chr(ord("a") + i), kind, struct.pack(form, value)) for i, (kind, form, value) in enumerate(numbers)]
    keys.append(("list", 9, struct.pack("<IQ", 4, 3) + struct.pack("<III", 1, 2, 3)))
    keys.append(("tokenizer.ggml.tokens", 9, struct.pack("<IQ", 8, 2) + string("ab") + string("c\n\"")))
    keys.append(("nested", 9, struct.pack("<IQ", 9, 1) + struct.pack("<IQ", 0, 2) + b"12"))
    keys.append(("comfy.gguf.orig_shape.w", 9, struct.pack("<IQ", 5, 2) + struct.pack("<ii", 2, 32)))
    return keys


def tokenizer_keys():
    """The same tokenizer inside a GGUF file."""
    def string(text):
        return struct.pack("<Q", len(text.encode())) + text.encode()

    def array(kind, items):
        return struct.pack("<IQ", kind, len(items)) + b"".join(items)

    model, added = tokenizer()["model"], tokenizer()["added_tokens"]
    tokens = sorted(model["vocab"], key=model["vocab"].get) + [t["content"] for t in added]
    types = [1] * len(model["vocab"]) + [3] * len(added)
    return [("tokenizer.ggml.model", 8, string("gpt2")), ("tokenizer.ggml.pre", 8, string("qwen2")),
            ("tokenizer.ggml.tokens", 9, array(8, [string(t) for t in tokens])),
            ("tokenizer.ggml.token_type", 9, array(5, [struct.pack("<i", t) for t in types])),
            ("tokenizer.ggml.merges", 9, array(8, [string(" ".join(m)) for m in model["merges"]]))]


def png(width, height, depth, colour, rows, extra=b"", interlace=0):
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    extra = b"".join(chunk(kind, content) for kind, content in (extra or []))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + extra + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def tokenizer():
    """Qwen's form: each byte, three merges, an added token."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in printable]
    letter = {b: chr(b) for b in printable} | {b: chr(256 + i) for i, b in enumerate(others)}
    vocab = {letter[b]: b for b in range(256)}
    merges = [["f", "o"], ["fo", "x"], [letter[32], "a"]]
    for left, right in merges:
        vocab[left + right] = len(vocab)
    split = {"type": "Split", "pattern": {"Regex": "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*"
                                                   "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"}, "behavior": "Isolated", "invert": False}
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    added = [{"id": 259 + i, "content": text, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
             for i, text in enumerate(["<|im_start|>", "<|im_end|>"])]
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": {"type": "NFC"},
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, level]}, "post_processor": level, "decoder": level,
            "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None,
                      "fuse_unk": False, "byte_fallback": False, "ignore_merges": False, "vocab": vocab, "merges": merges}}


def header(tensors):
    """A safetensors header alone, of bf16 tensors: name, shape."""
    text, at = {}, 0
    for name, shape in tensors:
        size = 2
        for n in shape:
            size *= n
        text[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [at, at + size]}
        at += size
    return json.dumps(text, separators=(",", ":"))


def parts():
    """The smallest of each that is taken: name, tensors."""
    path = pathlib.Path(__file__).parents[1] / "peers" / "make_random_checkpoint.py"
    spec = importlib.util.spec_from_file_location("weights", path)
    weights = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(weights)
    config = weights.full_config()
    config["transformer"].update(cap_feat_dim=16, dim=16, n_heads=1, n_kv_heads=1, n_layers=1, n_refiner_layers=1)
    config["text_encoder"].update(hidden_size=16, intermediate_size=16, num_attention_heads=2, num_key_value_heads=1, num_hidden_layers=2,
                                  vocab_size=16, head_dim=16)
    yield "transformer", weights.transformer_tensors(config["transformer"])
    yield "fused", [(new, shape) for new, shape, _, _ in weights.comfy_transformer(config["transformer"])]
    yield "text-encoder", weights.text_encoder_tensors(config["text_encoder"])
    yield "vae", [(n, s) for n, s in weights.vae_tensors(config["vae"]) if "decoder.up_blocks.0" in n or "conv_" in n]
    demo = json.loads((pathlib.Path(__file__).parents[2] / "data" / "demo-model" / "transformer" / "config.json").read_text())
    dim = demo["dim"]
    yield "lora", [("transformer.layers.0.attention.to_q.lora_A.weight", (2, dim)), ("transformer.layers.0.attention.to_q.lora_B.weight", (dim, 2)),
                   ("transformer.layers.0.attention.to_q.alpha", ())]
    yield "lora-comfy", [("diffusion_model.layers.1.attention.qkv.lora_down.weight", (2, dim)),
                         ("diffusion_model.layers.1.attention.qkv.lora_up.weight", (3 * dim, 2))]
    yield "lora-kohya", [("lora_unet_layers_0_attention_to_q.lora_down.weight", (1, dim)), ("lora_unet_layers_0_attention_to_q.lora_up.weight", (dim, 1)),
                         ("lora_te_x.lora_up.weight", (1, 1))]


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent / "corpus")
    demo = pathlib.Path(__file__).parents[2] / "data" / "demo-model"

    def put(kind, name, content):
        (root / kind).mkdir(parents=True, exist_ok=True)
        (root / kind / name).write_bytes(content.encode() if isinstance(content, str) else content)

    one = [("a.weight", "F32", [2, 3], bytes(24)), ("b", "BF16", [1], b"\0\0"), ("c", "F8_E4M3", [2], b"12"), ("s", "F32", [], bytes(4))]
    put("safetensors", "good", safetensors(one, {"format": "pt", "modelspec.title": "x"}, 3))
    put("safetensors", "empty", safetensors([]))
    put("safetensors", "other-type", safetensors([("x", "F4_NEW", [4], b"1234"), ("y", "I64", [0], b"")]))
    put("safetensors", "escapes", safetensors([("\u00e9\"\\\n\U0001f98a", "U8", [1], b"1")]))

    for name, tensors in parts():
        put("parts", name, header(tensors))

    q8, q4 = bytes(34), bytes(144)
    tensors = [("w", [32, 2], 8, q8 * 2), ("v", [256], 12, q4), ("n", [3], 0, bytes(12))]
    put("gguf", "good", gguf(3, gguf_keys(), tensors))
    put("gguf", "version-2", gguf(2, gguf_keys()[:1], tensors[:1]))
    put("gguf", "aligned", gguf(3, [("general.alignment", 4, struct.pack("<I", 64))], tensors, 64))
    put("gguf", "empty", gguf(3, [], []))
    # What was found: messages that cut a letter in two.
    put("gguf", "cut-letter", gguf(3, [("general.alignment", 8, struct.pack("<Q", 62) + b"a" * 59 + "\u4e2d".encode())], []))

    put("index", "good", json.dumps({"metadata": {"total_size": 4}, "weight_map": {n: "x-00001-of-00001.safetensors" for n in "ab"}}))
    put("index", "outside", json.dumps({"weight_map": {"a": "../x.safetensors"}}))
    put("index", "missing", json.dumps({"weight_map": {"c": "x-00001-of-00001.safetensors"}}))

    for name in ["model_index.json", "scheduler/scheduler_config.json", "transformer/config.json", "text_encoder/config.json", "vae/config.json"]:
        put("config", name.replace("/", "-"), (demo / name).read_bytes())

    put("json", "good", '{"n": 12, "x": -1.5e3, "t": [true, false, null], "s": "a\\u00e9\\ud83e\\udd8a\\n", "o": {"i": [1, 2, 3]}}')
    put("json", "deep", '{"a": ' + "[" * 60 + "]" * 60 + "}")
    put("json", "numbers", '{"n": 18446744073709551615, "m": 1e400, "z": -0, "a": 0.1}')

    text = json.dumps(tokenizer(), ensure_ascii=False, separators=(",", ":"))
    put("tokenizer", "good", text)
    put("tokenizer", "packed", gzip.compress(text.encode(), mtime=0))
    put("tokenizer", "vocab", json.dumps(tokenizer()["model"]["vocab"], ensure_ascii=False))
    put("tokenizer", "merges", "#version: 0.2\na b\n")
    put("tokenizer", "config", json.dumps({"tokenizer_class": "Qwen2Tokenizer", "added_tokens_decoder": {
        str(257 + i): {"content": text, "lstrip": False} for i, text in enumerate(["<|im_start|>", "<|im_end|>"])}}))
    put("tokenizer", "gguf", gguf(3, tokenizer_keys(), []))

    recipe = {"prompt": "a red fox", "negative_prompt": "", "width": 256, "height": 256, "steps": 8, "seed": 7}
    put("recipe", "plain", json.dumps(recipe))
    put("hub", "catalogue", json.dumps(
        {"format": 1, "models": [{"id": "a", "name": "A", "folder": "A", "summary": "s", "form": "f", "page": "p", "recommended": True,
                                  "licence": {"name": "l", "url": "u"}, "repositories": {"m": {"huggingface": {"repository": "r", "revision": "v"}}},
                                  "files": [{"path": "x/y", "from": "m", "size": 5, "sha256": "0" * 64}, {"path": "z", "from": "m", "about": 7}]}]}))
    put("hub", "list", json.dumps([{"type": "file", "path": "transformer/config.json", "size": 5, "lfs": {"oid": "0" * 64, "size": 5}}]))
    put("hub", "list-modelscope", json.dumps({"Code": 200, "Data": {"Files": [{"Path": "vae/config.json", "Size": 5, "Sha256": "0" * 64}]}}))

    put("png", "rgb", png(2, 2, 8, 2, (b"\0" + bytes(6)) * 2))
    put("png", "texts", png(1, 1, 8, 2, b"\0abc", [(b"tEXt", b"parameters\0a fox\nSteps: 8"), (b"zTXt", b"Comment\0\0" + zlib.compress(b"hello")),
                                                  (b"iTXt", b"zimage\0\1\0\0\0" + zlib.compress(b"{}"))]))
    put("png", "palette", png(4, 1, 2, 3, b"\0\x1b", [(b"PLTE", bytes(12)), (b"tRNS", b"\x80")]))
    put("png", "grey16-interlaced", png(3, 3, 16, 4, b"".join(b"\0" + bytes(4 * n) for n in (1, 1, 1, 1, 1, 2, 1, 1, 3)), None, 1))


main()
