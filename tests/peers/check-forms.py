#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""One small random model in every form, written by the packages that other programs write them with: the same picture from all.

    check-forms.py ZIMAGE [--keep FOLDER] [--only WORD] [--device cuda]

Writes a diffusers directory and, with `gguf` and `safetensors`, the same numbers as ComfyUI's files (fused, with prefixes, bf16,
fp8 with and without scales), an all-in-one checkpoint, GGUF of every type, Hugging Face and ModelScope caches and mixtures of
these; where a form stores other numbers, their expansion by the gguf package or torch is written as a diffusers directory of
float32 and is what it is compared to.  Pictures are compared byte by byte, in f32 and in bf16, on a card in bf16 alone.  Exit status
77: packages are missing.
"""
import argparse
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
try:
    import gguf
    import numpy as np
    import torch
    from safetensors.torch import save_file
except ImportError as e:
    print("skipped:", e)
    sys.exit(77)
import make_random_checkpoint as weights  # noqa: E402

SEED = 5
PARTS = ("transformer", "text_encoder", "vae")
STEMS = {"transformer": "diffusion_pytorch_model", "text_encoder": "model", "vae": "diffusion_pytorch_model"}
SPLIT = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def config():
    c = weights.full_config()
    c["transformer"].update(cap_feat_dim=256, dim=768, n_heads=6, n_kv_heads=6, n_layers=2, n_refiner_layers=1)
    c["text_encoder"].update(hidden_size=256, intermediate_size=768, num_attention_heads=4, num_key_value_heads=2, num_hidden_layers=3,
                             max_window_layers=3, vocab_size=512, bos_token_id=256, eos_token_id=258)
    c["vae"].update(block_out_channels=[32, 64, 64, 64], sample_size=256)
    return c


CONFIG = config()
TABLES = {"transformer": weights.transformer_tensors, "text_encoder": weights.text_encoder_tensors, "vae": weights.vae_tensors}


def make_state():
    """{part: {name: bf16 tensor}}"""
    backend, state = weights.NumpyBackend(), {}
    for part in PARTS:
        state[part] = {}
        for name, shape in TABLES[part](CONFIG[part]):
            mean, std = weights.scale_of(part, name, shape)
            raw = backend.fill(weights.tensor_key(SEED, part, name), 0, weights.elements(shape), mean, std, "BF16")
            state[part][name] = torch.frombuffer(bytearray(raw), dtype=torch.bfloat16).view(shape).clone()
    return state


def tokenizer():
    alphabet, extra = {}, 256
    for b in range(256):
        same = 33 <= b <= 126 or 161 <= b <= 172 or b >= 174
        alphabet[chr(b if same else extra)] = b
        extra += not same
    added = [dict(id=256 + i, content=c, single_word=False, lstrip=False, rstrip=False, normalized=False, special=True)
             for i, c in enumerate(("<|endoftext|>", "<|im_start|>", "<|im_end|>"))]
    return {"version": "1.0", "added_tokens": added, "normalizer": {"type": "NFC"},
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": SPLIT}, "behavior": "Isolated", "invert": False},
                {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}]},
            "model": {"type": "BPE", "dropout": None, "unk_token": None, "byte_fallback": False, "ignore_merges": False,
                      "vocab": alphabet, "merges": []}}


def dump(path, value):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as f:
        json.dump(value, f)


def save(path, tensors, metadata=None):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    save_file({k: v.contiguous() for k, v in tensors.items()}, path, metadata=metadata)


def write_diffusers(folder, state, shards=False):
    dump(os.path.join(folder, "model_index.json"), {"_class_name": "ZImagePipeline"})
    dump(os.path.join(folder, "scheduler", "scheduler_config.json"), CONFIG["scheduler"])
    dump(os.path.join(folder, "tokenizer", "tokenizer.json"), tokenizer())
    for part in PARTS:
        dump(os.path.join(folder, part, "config.json"), CONFIG[part])
        stem, names = STEMS[part], list(state[part])
        if not shards or part == "vae":
            save(os.path.join(folder, part, stem + ".safetensors"), state[part])
            continue
        half, index = len(names) // 2, {}
        for i, some in enumerate((names[:half], names[half:])):
            file = "%s-%05d-of-00002.safetensors" % (stem, i + 1)
            save(os.path.join(folder, part, file), {n: state[part][n] for n in some})
            index.update({n: file for n in some})
        dump(os.path.join(folder, part, stem + ".safetensors.index.json"), {"metadata": {}, "weight_map": index})
    return folder


def fuse(transformer, prefix=""):
    out = {}
    for name, t in transformer.items():
        if ".to_k." in name or ".to_v." in name:
            continue
        if ".to_q." in name:
            out[prefix + name.replace("to_q", "qkv")] = torch.cat([transformer[name.replace("to_q", "to_" + c)] for c in "qkv"])
            continue
        for a, b in (("all_x_embedder.2-1.", "x_embedder."), ("all_final_layer.2-1.", "final_layer."), ("attention.to_out.0.", "attention.out."),
                     ("attention.norm_q.", "attention.q_norm."), ("attention.norm_k.", "attention.k_norm.")):
            name = name.replace(a, b)
        out[prefix + name] = t
    return out


def original_vae(vae, prefix="", dtype=torch.float32):
    names = [new for new, shape, _, _ in weights.comfy_vae(CONFIG["vae"])]
    shapes = [shape for _, shape, _, _ in weights.comfy_vae(CONFIG["vae"])]
    olds = [n for n, _ in weights.vae_tensors(CONFIG["vae"])]
    return {prefix + new: vae[old].to(dtype).view(shape) for new, old, shape in zip(names, olds, shapes)}


def gguf_text_names(text):
    table = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
             "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
             "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm"}
    out = {}
    for name, t in text.items():
        name = name.removeprefix("model.")
        if name.startswith("layers."):
            _, i, rest = name.split(".", 2)
            out["blk.%s.%s.weight" % (i, table[rest.removesuffix(".weight")])] = t
        else:
            out[{"embed_tokens.weight": "token_embd.weight", "norm.weight": "output_norm.weight"}[name]] = t
    return out


RNG = np.random.default_rng(3)
HALVES = {"Q2_K": (80, 82), "Q3_K": (108,), "Q4_K": (0, 2), "Q5_K": (0, 2), "Q6_K": (208,)}


def quantise(t, kind):
    """Bytes of T as KIND [rows, bytes], and what the gguf package expands them to.  K types have no writer there: random blocks."""
    block, size = gguf.GGML_QUANT_SIZES[kind]
    values = t.float().numpy()
    if kind.name in HALVES:
        rows, cols = values.shape
        data = RNG.integers(0, 256, (rows * cols // block, size), dtype=np.uint8)
        for at in HALVES[kind.name]:
            step = {"Q2_K": 0.02, "Q3_K": 2e-3, "Q4_K": 1e-4, "Q5_K": 5e-5, "Q6_K": 2e-5}[kind.name]
            data[:, at:at + 2] = np.full(1, step, dtype=np.float16).view(np.uint8)
        data = data.reshape(rows, -1)
    else:
        data = gguf.quants.quantize(values, kind)
    if kind.name == "F16":
        return data, torch.from_numpy(data.astype(np.float32))
    return data, torch.from_numpy(gguf.quants.dequantize(data, kind).copy())


def write_gguf(path, architecture, tensors, kind, metadata=None):
    """Matrices whose rows are whole blocks as KIND, the rest as F32.  Returns the expanded tensors."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    w, expanded = gguf.GGUFWriter(path, architecture), {}
    for key, value in (metadata or {}).items():
        (w.add_uint32 if isinstance(value, int) else w.add_float32)(key, value)
    for name, t in tensors.items():
        block, _ = gguf.GGML_QUANT_SIZES[kind]
        if t.dim() == 2 and t.shape[0] > 1 and t.shape[1] % block == 0 and kind.name != "F32":
            data, expanded[name] = quantise(t, kind)
            if kind.name == "F16":
                w.add_tensor(name, data)
            else:
                w.add_tensor(name, data, raw_dtype=kind)
        else:
            expanded[name] = t.float()
            w.add_tensor(name, t.float().numpy())
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    return expanded


def unfuse(fused, state):
    """The expansion under diffusers' names."""
    out = {}
    for name in state["transformer"]:
        one = next(iter(fuse({name: state["transformer"][name]}))) if ".to_k." not in name and ".to_v." not in name and ".to_q." not in name else None
        if one is not None:
            out[name] = fused[one]
        else:
            stem = name.replace("to_q", "qkv").replace("to_k", "qkv").replace("to_v", "qkv")
            out[name] = fused[stem].chunk(3)["qkv".index(name[name.index(".to_") + 4])]
    return out


def is_linear(name, t):
    return t.dim() == 2 and t.shape[0] > 1 and "embed_tokens" not in name and "pad_token" not in name


def fp8(tensors, style):
    """STYLE plain, old (scale_weight and the marker), new (a scale a row, comfy_quant)."""
    out, expanded = {}, {}
    for name, t in tensors.items():
        if not is_linear(name, t):
            out[name], expanded[name] = t, t.float()
            continue
        stem, t = name.removesuffix(".weight"), t.float()
        scale = torch.ones(()) if style == "plain" else t.abs().max() / 448 if style == "old" else t.abs().amax(1, keepdim=True) / 448
        q = (t / scale).to(torch.float8_e4m3fn)
        out[name], expanded[name] = q, q.float() * scale
        if style == "old":
            out[stem + ".scale_weight"] = scale.reshape(())
        elif style == "new":
            out[stem + ".weight_scale"] = scale
            text = json.dumps({"format": "float8_e4m3fn"}).encode()
            out[stem + ".comfy_quant"] = torch.frombuffer(bytearray(text), dtype=torch.uint8).clone()
    if style == "old":
        out["scaled_fp8"] = torch.empty(0, dtype=torch.float8_e4m3fn)
    return out, expanded


def comfy_folder(root, transformer, text, vae, names=("anything.safetensors", "some encoder.sft", "vae-x.safetensors")):
    save(os.path.join(root, "models", "diffusion_models", names[0]), transformer)
    save(os.path.join(root, "models", "text_encoders", names[1]), text)
    save(os.path.join(root, "models", "vae", names[2]), vae)
    dump(os.path.join(root, "models", "text_encoders", "tokenizer.json"), tokenizer())
    return os.path.join(root, "models")


class Checker:
    def __init__(self, zimage, root, only, device):
        self.zimage, self.root, self.only, self.device, self.n, self.bad = zimage, root, only, device, 0, 0
        empty = os.path.join(root, "empty")
        self.env = dict(os.environ, HOME=empty, HF_HOME=empty, MODELSCOPE_CACHE=empty, XDG_DATA_HOME=empty, HF_HUB_CACHE="", LC_ALL="C.UTF-8")

    def path(self, *names):
        return os.path.join(self.root, *names)

    def picture(self, arguments, dtype):
        out = self.path("picture.png")
        done = subprocess.run([self.zimage, "generate", "-p", "a red cat", "--width", "64", "--height", "48", "--steps", "2", "--seed", "7", "--device",
                               self.device, "--dtype", dtype, "-o", out, *arguments], capture_output=True, env=self.env)
        if done.returncode != 0:
            return done.stderr.decode()
        with open(out, "rb") as f:
            data = f.read()
        at, pixels = 8, b""
        while at < len(data):
            (n,), kind = struct.unpack(">I", data[at:at + 4]), data[at + 4:at + 8]
            pixels += data[at + 8:at + 8 + n] if kind == b"IDAT" else b""
            at += n + 12
        return zlib.decompress(pixels)

    def check(self, name, arguments, reference):
        if self.only and self.only not in name:
            return
        for dtype in ("f32", "bf16") if self.device == "cpu" else ("bf16",):
            want, got = self.picture(["--model", reference], dtype), self.picture(arguments, dtype)
            ok = isinstance(want, bytes) and want == got
            self.n += 1
            self.bad += not ok
            print("%s %d - %s/%s%s" % ("ok" if ok else "not ok", self.n, name, dtype,
                                       "" if ok else ": " + (want if isinstance(want, str) else got if isinstance(got, str) else "another picture")))


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("zimage")
    ap.add_argument("--keep", metavar="FOLDER")
    ap.add_argument("--only", metavar="WORD")
    ap.add_argument("--device", default="cpu")
    a = ap.parse_args()
    root = a.keep or tempfile.mkdtemp(prefix="zie-forms-")
    c, state = Checker(os.path.abspath(a.zimage), root, a.only, a.device), make_state()
    tr, te, vae = (state[p] for p in PARTS)
    try:
        ref = write_diffusers(c.path("ref"), state)
        tok = os.path.join(ref, "tokenizer", "tokenizer.json")

        # the same numbers
        c.check("diffusers-sharded", ["--model", write_diffusers(c.path("sharded"), state, True)], ref)
        f32 = {p: {n: t.float() for n, t in state[p].items()} for p in PARTS}
        c.check("diffusers-f32", ["--model", write_diffusers(c.path("f32"), f32)], ref)
        models = comfy_folder(c.path("comfy"), fuse(tr, "model.diffusion_model."), te, original_vae(vae))
        c.check("comfy-folder", ["--model", models], ref)
        c.check("comfy-file", ["--model", os.path.join(models, "diffusion_models", "anything.safetensors")], ref)
        save(c.path("loose", "t.safetensors"), fuse(tr))
        save(c.path("loose", "q.safetensors"), {n.removeprefix("model."): t for n, t in te.items()})
        save(c.path("loose", "v.safetensors"), vae)
        parts = ["--transformer", c.path("loose", "t.safetensors"), "--text-encoder", c.path("loose", "q.safetensors"), "--vae",
                 c.path("loose", "v.safetensors"), "--tokenizer", tok]
        c.check("parts-by-hand", parts, ref)
        c.check("loose-folder", ["--model", c.path("loose"), "--tokenizer", tok], ref)
        c.check("mixed", ["--model", ref, "--transformer", c.path("loose", "t.safetensors"), "--vae", os.path.join(models, "vae", "vae-x.safetensors")], ref)
        save(c.path("all-in-one", "checkpoint.safetensors"),
             {**fuse(tr, "model.diffusion_model."), **original_vae(vae, "vae.", torch.bfloat16),
              **{"text_encoders.qwen3_4b.transformer." + n: t for n, t in te.items()}})
        c.check("all-in-one", ["--model", c.path("all-in-one", "checkpoint.safetensors"), "--tokenizer", tok], ref)
        for kind in ("BF16", "F32"):
            kind = gguf.GGMLQuantizationType[kind]
            write_gguf(c.path("gguf-" + kind.name, "t.gguf"), "lumina2", fuse(tr), kind)
            write_gguf(c.path("gguf-" + kind.name, "q.gguf"), "qwen3", gguf_text_names(te), kind)
            c.check("gguf-" + kind.name, ["--model", c.path("gguf-" + kind.name, "t.gguf"), "--vae", c.path("loose", "v.safetensors"),
                                          "--tokenizer", tok], ref)
        repo = c.path("hub", "models--Tongyi-MAI--Z-Image-Turbo")
        os.makedirs(os.path.join(repo, "refs"))
        shutil.copytree(ref, os.path.join(repo, "snapshots", "0123abcd"), copy_function=os.symlink)
        with open(os.path.join(repo, "refs", "main"), "w", encoding="ascii") as f:
            f.write("0123abcd")
        c.check("hugging-face", ["--model", repo], ref)

        # other numbers: against their expansion
        for name in ("F16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"):
            if a.only and a.only not in "gguf-" + name:
                continue
            kind, folder = gguf.GGMLQuantizationType[name], c.path("gguf-" + name)
            t = write_gguf(os.path.join(folder, "t.gguf"), "lumina2", fuse(tr), kind)
            q = write_gguf(os.path.join(folder, "q.gguf"), "qwen3", gguf_text_names(te), kind, {"qwen3.rope.freq_base": 1e6})
            back = dict(zip(gguf_text_names(te), te))
            expanded = {"transformer": unfuse(t, state), "text_encoder": {back[n]: v for n, v in q.items()}, "vae": vae}
            c.check("gguf-" + name, ["--model", os.path.join(folder, "t.gguf"), "--vae", c.path("loose", "v.safetensors"), "--tokenizer", tok],
                    write_diffusers(c.path("expanded-" + name), expanded))
            shutil.rmtree(folder)
            shutil.rmtree(c.path("expanded-" + name))
        for style in ("plain", "old", "new"):
            if a.only and a.only not in "fp8-" + style:
                continue
            t, t_expanded = fp8(fuse(tr), style)
            q, q_expanded = fp8(te, style)
            models = comfy_folder(c.path("fp8-" + style), {"model.diffusion_model." + n: v for n, v in t.items()}, q, original_vae(vae))
            c.check("fp8-" + style, ["--model", models],
                    write_diffusers(c.path("expanded-" + style), {"transformer": unfuse(t_expanded, state), "text_encoder": q_expanded, "vae": vae}))
    finally:
        if not a.keep:
            shutil.rmtree(root)
    print("1..%d" % c.n)
    return c.bad > 0


if __name__ == "__main__":
    sys.exit(main())
