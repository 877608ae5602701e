#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Record what diffusers and transformers compute on small random models, for test-golden.c.

    make-golden.py [--out FOLDER] [MODEL ...]

Runs the real classes (ZImagePipeline, ZImageTransformer2DModel, Qwen3Model, AutoencoderKL, FlowMatchEulerDiscreteScheduler)
on models that differ in what can differ, and writes next to this script

    MODEL.safetensors     inputs and outputs of every stage and block
    MODEL.json            the model's configuration files, its weights as (name, shape, type, mean, std) of the pure function in
                          ../peers/make_random_checkpoint.py, the runs, the reference's own errors, and all versions
    schedules.json        time grids of the scheduler for many step counts and shifts

The weights themselves are made again by the test: their values are a function of (seed, name, index) and exact in bf16, so
that every precision computes with the same numbers.

A run is recorded twice over.

 *  Stage by stage, each stage fed with recorded inputs that are exact in bf16 (but for the picture to be encoded).  What is
    stored is the float64 result (rounded to float32): the very modules, with every "to float32" island inside them kept in
    float64; rotary tables, the sinusoidal time embedding and the time itself are float32 by definition and stay so.  Beside it
    stand the errors of the same modules in float32 and in bfloat16 against it: the measure for ours.
 *  As a whole, by the pipeline in float32: the latent after every step and the picture, and the errors of the same call in
    bfloat16.

An output of more than LIMIT elements is stored as its elements 0, p, 2p … of the flattened order, p a prime that divides none
of its sizes, so that rows, columns, channels and tokens are all met.
"""
import argparse
import copy
import json
import os
import platform
import sys

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "peers"))
import make_random_checkpoint as weights  # noqa: E402

import diffusers  # noqa: E402
import tokenizers  # noqa: E402
import transformers  # noqa: E402
from diffusers import (AutoencoderKL, FlowMatchEulerDiscreteScheduler, ZImageImg2ImgPipeline,  # noqa: E402
                       ZImagePipeline, ZImageTransformer2DModel)
from safetensors.torch import save_file  # noqa: E402
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3Model  # noqa: E402

LIMIT = 24576
SEED = 7
CHAT = ("{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}")
PARTS = (("transformer", weights.transformer_tensors), ("text_encoder", weights.text_encoder_tensors), ("vae", weights.vae_tensors))


# --------------------------------------------------------------------------
# Models and runs
# --------------------------------------------------------------------------


def model(transformer, text_encoder, vae, shift, types):
    c = weights.full_config()
    for part, change in (("transformer", transformer), ("text_encoder", text_encoder), ("vae", vae), ("scheduler", {"shift": shift})):
        c[part].update(change)
    c["transformer"]["n_kv_heads"] = c["transformer"]["n_heads"]
    c["text_encoder"].update(bos_token_id=0, eos_token_id=0, max_window_layers=c["text_encoder"]["num_hidden_layers"])
    c["types"] = types
    return c


MODELS = {
    # Heads of 128 = 32/48/48 as in the full-size model, two refiner layers, a text width unlike its heads' width, two
    # residual blocks a level, groups of one, two and three channels.
    "heads128": (
        model(dict(dim=256, n_heads=2, n_layers=2, n_refiner_layers=2, cap_feat_dim=96),
              dict(hidden_size=96, intermediate_size=176, num_attention_heads=4, num_key_value_heads=2, head_dim=32,
                   num_hidden_layers=4, vocab_size=320),
              dict(block_out_channels=[32, 64, 96, 96], layers_per_block=2, sample_size=128),
              3.0, dict(transformer="BF16", text_encoder="BF16", vae="BF16")),
        [
            # 5 x 3 image tokens in 32 rows, a caption padded to 32
            dict(name="small", prompt="a cat on a mat", width=80, height=48, n_steps=8, seed=42, blocks=True),
            # 7 x 10 tokens in 96 rows, a caption of more than 32
            dict(name="wide", prompt="一只猫和一个红色的苹果, a cat above a dog", width=160, height=112, n_steps=4, seed=2 ** 32 + 5,
                 blocks=False),
        ]),
    # Heads of 64 = 16/24/24, a modulation narrower than 256, four query heads a key head, channels that go down and up
    # again, 16 groups; the transformer in float32; guidance.
    "heads64": (
        model(dict(dim=192, n_heads=3, n_layers=3, n_refiner_layers=1, cap_feat_dim=128, axes_dims=[16, 24, 24], axes_lens=[600, 64, 64]),
              dict(hidden_size=128, intermediate_size=200, num_attention_heads=8, num_key_value_heads=2, head_dim=24,
                   num_hidden_layers=3, vocab_size=300, rope_theta=10000.0),
              dict(block_out_channels=[32, 16, 48, 64], layers_per_block=1, norm_num_groups=16, sample_size=64,
                   scaling_factor=0.6096, shift_factor=0.1819),
              6.0, dict(transformer="F32", text_encoder="BF16", vae="F32")),
        [
            # 5 x 9 tokens; truncation drops guidance in the last steps, normalisation is held to 0.9 norms
            dict(name="guided", prompt="a dog", negative_prompt="a cat on a red mat", width=80, height=144, n_steps=6, seed=3,
                 guidance=4.0, cfg_normalization=0.9, cfg_truncation=0.2, blocks=True),
            # 8 x 8 tokens and a caption of exactly 32: no padding anywhere
            dict(name="unpadded", prompt="!?" * 8, width=128, height=128, n_steps=9, seed=4, blocks=False),
            # one token
            dict(name="one-token", prompt="a", width=16, height=16, n_steps=1, seed=5, blocks=False),
        ]),
}


# --------------------------------------------------------------------------
# Making the modules
# --------------------------------------------------------------------------


def make_tokenizer(folder, size):
    """Qwen's kind of tokenizer with a table of its own: all bytes, a few merges, three control tokens at the end."""
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("Ġ", "a"), ("c", "a"), ("ca", "t"), ("Ġ", "cat"), ("Ċ", "Ċ"), ("o", "n"), ("Ġ", "on"), ("s", "e"), ("se", "r"), ("u", "ser"),
              ("ä", "¸"), ("ä¸", "Ģ"), ("r", "e"), ("re", "d"), ("Ġ", "red")]
    vocab = {c: i for i, c in enumerate(alphabet)}
    for a, b in merges:
        vocab.setdefault(a + b, len(vocab))
    tok = Tokenizer(models.BPE(vocab=vocab, merges=merges, fuse_unk=False, byte_fallback=False))
    tok.normalizer = normalizers.NFC()
    pattern = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
    tok.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(pattern), "isolated", False),
        pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)])
    tok.decoder = decoders.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)
    tok.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    assert tok.get_vocab_size() <= size, tok.get_vocab_size()
    text = tok.to_str(pretty=False)
    fast = PreTrainedTokenizerFast(tokenizer_object=tok, pad_token="<|endoftext|>")
    fast.chat_template = CHAT
    return fast, text


def values(part, name, shape, dtype):
    """The tensor of the pure function; exact in bf16 whatever DTYPE says."""
    mean, std = weights.scale_of(part, name, shape)
    raw = weights.NumpyBackend().fill(weights.tensor_key(SEED, part, name), 0, weights.elements(shape), mean, std, "BF16")
    return torch.frombuffer(bytearray(raw), dtype=torch.bfloat16).view(shape).to(dtype)


def make_modules(config, dtype):
    def state(part, table, strip=""):
        return {n[len(strip):] if n.startswith(strip) else n: values(part, n, s, dtype) for n, s in table(config[part])}

    def load(module, tensors):
        missing, unexpected = module.load_state_dict(tensors, strict=False)
        assert not missing and not unexpected, (missing, unexpected)
        return module.eval().requires_grad_(False)

    def plain(part):
        return {k: v for k, v in config[part].items() if not k.startswith("_")}

    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        tr = load(ZImageTransformer2DModel(**plain("transformer")), state("transformer", weights.transformer_tensors))
        vae = load(AutoencoderKL(**plain("vae")), state("vae", weights.vae_tensors))
    finally:
        torch.set_default_dtype(before)
    te = Qwen3Model(Qwen3Config(**{k: v for k, v in plain("text_encoder").items() if k not in ("model_type", "architectures", "torch_dtype")}))
    te = load(te.to(dtype), state("text_encoder", weights.text_encoder_tensors, "model."))
    assert te.rotary_emb.inv_freq.dtype == torch.float32 or dtype != torch.float32
    return te, tr, vae


class KeepDouble(TorchDispatchMode):
    """Where the modules raise a value to float32, a float64 value stays what it is."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if func is torch.ops.aten._to_copy.default and kwargs.get("dtype") == torch.float32 and args[0].dtype == torch.float64:
            kwargs["dtype"] = torch.float64
        return func(*args, **kwargs)


def keep_double(dtype):
    import contextlib
    return KeepDouble() if dtype == torch.float64 else contextlib.nullcontext()


# --------------------------------------------------------------------------
# Stages
# --------------------------------------------------------------------------


def taps(modules, keep):
    """Hooks that put the output of each (name, module) into KEEP; the first call counts."""
    def hook(name):
        def f(m, args, out):
            keep.setdefault(name, (out[0] if isinstance(out, tuple) else out).detach())
        return f
    return [m.register_forward_hook(hook(name)) for name, m in modules]


@torch.no_grad()
def run_stages(modules, dtype, feed, blocks):
    """Every stage on its own, from the inputs FEED; a dictionary of outputs."""
    te, tr, vae = modules
    keep = {}
    handles = []
    if blocks:
        handles += taps([("text_layer.%d" % k, m) for k, m in enumerate(te.layers[:-1])], keep)
        for part in ("noise_refiner", "context_refiner", "layers"):
            handles += taps([("%s.%d" % (part, k), m) for k, m in enumerate(getattr(tr, part))], keep)
        handles += taps([("t_embedder", tr.t_embedder), ("vae.mid", vae.decoder.mid_block), ("vae.encoder.mid", vae.encoder.mid_block)], keep)
        handles += taps([("vae.up.%d" % k, m) for k, m in enumerate(vae.decoder.up_blocks)], keep)
        handles += taps([("vae.down.%d" % k, m) for k, m in enumerate(vae.encoder.down_blocks)], keep)
    # tables as they are defined: angles rounded to float32, whatever the rest computes in
    tr.rope_embedder.freqs_cis = tr.rope_embedder.precompute_freqs_cis(tr.rope_embedder.axes_dims, tr.rope_embedder.axes_lens,
                                                                      theta=tr.rope_embedder.theta)
    with keep_double(dtype):
        hidden = te(input_ids=feed["ids"][None], output_hidden_states=True).hidden_states[-2]
        keep["text.embeds"] = hidden[0]
        for k in sorted(k for k in feed if k.startswith("step") and k.endswith(".in")):
            out = tr([feed[k].to(dtype)], feed[k.replace(".in", ".t")], [feed["text.embeds"].to(dtype)], return_dict=False)[0]
            keep[k.replace(".in", ".out")] = out[0]
        keep["image"] = vae.decode(feed["vae.in"].to(dtype), return_dict=False)[0]
        if "picture" in feed:
            d = vae.encode(feed["picture"].to(dtype)).latent_dist
            keep["vae.mean"], keep["vae.logvar"] = d.mean, d.logvar
    for h in handles:
        h.remove()
    n = len(feed["ids"])
    return {k: (v[0, :n] if k.startswith("text_layer") and v.dim() == 3 else v).double() for k, v in keep.items()}


@torch.no_grad()
def run_pipeline(modules, dtype, config, tokenizer, run):
    """The pipeline as a whole; what passes between its parts."""
    te, tr, vae = modules
    sched = FlowMatchEulerDiscreteScheduler(**{k: v for k, v in config["scheduler"].items() if not k.startswith("_")})
    pipe = ZImagePipeline(scheduler=sched, vae=vae, text_encoder=te, tokenizer=tokenizer, transformer=tr)
    pipe.set_progress_bar_config(disable=True)
    keep, step = {}, [0]
    tr.rope_embedder.freqs_cis = None

    def before(_, args, kwargs):
        keep["step%d.in" % step[0]], keep["step%d.t" % step[0]] = args[0][0], args[1][:1]
        keep.setdefault("text.embeds", args[2][0])

    def after(_, args, kwargs, out):
        keep["step%d.out" % step[0]] = out[0][0]
        if len(out[0]) > 1:
            keep["step%d.negative" % step[0]] = out[0][1]

    plain_step = sched.step

    def record_step(v, t, x, **kw):
        keep["step%d.v" % step[0]] = v[0]
        return plain_step(v, t, x, **kw)

    sched.step = record_step

    def end(p, i, t, kw):
        keep["step%d.latent" % i] = kw["latents"][0]
        step[0] = i + 1
        return {}

    handles = [tr.register_forward_pre_hook(before, with_kwargs=True), tr.register_forward_hook(after, with_kwargs=True),
               vae.decoder.register_forward_hook(lambda m, a, out: (keep.update({"vae.in": a[0], "image": out}), None)[-1])]
    height, width = run["height"], run["width"]
    generator = torch.Generator("cpu").manual_seed(run["seed"])
    pipe(prompt=run["prompt"], negative_prompt=run.get("negative_prompt"), height=height, width=width, num_inference_steps=run["n_steps"],
         guidance_scale=run.get("guidance", 0.0), cfg_normalization=run.get("cfg_normalization", 0.0),
         cfg_truncation=run.get("cfg_truncation", 1.0), generator=generator, callback_on_step_end=end, output_type="pt")
    for h in handles:
        h.remove()
    keep["noise"] = torch.randn((1, 16, height // 8, width // 8), generator=torch.Generator("cpu").manual_seed(run["seed"]))[0]
    keep["sigmas"] = sched.sigmas
    text = tokenizer.apply_chat_template([{"role": "user", "content": run["prompt"]}], tokenize=False, add_generation_prompt=True)
    keep["ids"] = torch.tensor(tokenizer(text).input_ids, dtype=torch.int32)
    return {k: v.detach().clone() for k, v in keep.items()}


# --------------------------------------------------------------------------
# Writing
# --------------------------------------------------------------------------


def error(a, b):
    return ((a.double() - b.double()).norm() / b.double().norm().clamp_min(1e-300)).item()


def stride_of(shape):
    n, p = int(np.prod(shape)), 1
    if n > LIMIT:
        p = -(-n // LIMIT)
        while any(p % q == 0 for q in range(2, int(p ** 0.5) + 1)) or any(d % p == 0 for d in shape if d > 1):
            p += 1
    return p


class Store:
    def __init__(self):
        self.tensors, self.about = {}, {}

    def put(self, name, value, **more):
        shape = list(value.shape)
        p = 1 if "/feed/" in name else stride_of(shape)
        value = value if value.dtype == torch.int32 else value.float()
        self.tensors[name] = value.reshape(-1)[::p].clone().contiguous() if p > 1 else value.clone().contiguous()
        self.about[name] = dict(shape=shape, stride=p, **more)


def bf16_exact(x):
    return x.to(torch.bfloat16).float()


def record_run(store, config, modules, tokenizer, run):
    name = run["name"]
    whole = {d: run_pipeline(modules[d], d, config, tokenizer, run) for d in (torch.float32, torch.bfloat16)}
    ref, low = whole[torch.float32], whole[torch.bfloat16]

    # the pipeline as a whole, float32
    store.put(name + "/whole/ids", ref["ids"])
    for k in ("noise", "sigmas"):
        store.put(name + "/whole/" + k, ref[k])
    for i in range(run["n_steps"]):
        for k in ("t", "out", "negative", "v", "latent"):
            key = "step%d.%s" % (i, k)
            if key in ref:
                store.put(name + "/whole/" + key, ref[key], error_bf16=error(low[key], ref[key]))
    for k in ("text.embeds", "image"):
        store.put(name + "/whole/" + k, ref[k], error_bf16=error(low[k], ref[k]))

    # stage by stage from inputs that are exact in bf16
    last = run["n_steps"] - 1
    feed = {"ids": ref["ids"].long(), "text.embeds": bf16_exact(ref["text.embeds"]), "vae.in": bf16_exact(ref["vae.in"])}
    for i in sorted({0, last}):
        feed["step%d.in" % i], feed["step%d.t" % i] = bf16_exact(ref["step%d.in" % i]), ref["step%d.t" % i].float()
    if run["blocks"]:
        y, x = torch.meshgrid(torch.arange(run["height"]), torch.arange(run["width"]), indexing="ij")
        g = torch.Generator().manual_seed(1)
        picture = torch.stack([torch.sin(x / 9.0 + y / 23.0), torch.cos(y / 7.0), torch.sin((x - y) / 31.0)])
        picture = 0.8 * picture + 0.1 * torch.randn(picture.shape, generator=g)
        feed["picture"] = (((picture + 1) * 127.5).round().clamp(0, 255) / 255 * 2 - 1)[None]     # of eight bits, as users have them
    results = {d: run_stages(modules[d], d, feed, run["blocks"]) for d in modules}
    for k, v in feed.items():
        if k != "ids":
            store.put(name + "/feed/" + k, v)
    for k, truth in results[torch.float64].items():
        e32, e16 = error(results[torch.float32][k], truth), error(results[torch.bfloat16][k], truth)
        assert e32 < 1e-5, (k, e32)     # else the float64 run is not the same network
        store.put(name + "/stage/" + k, truth, error_f32=e32, error_bf16=e16)
        print("%-10s %-16s %-20s f32 %.2e  bf16 %.2e" % (name, k, tuple(truth.shape), e32, e16))

    # image to image: where it starts, and the latent it starts from
    if run["blocks"]:
        te, tr, vae = modules[torch.float32]
        sched = FlowMatchEulerDiscreteScheduler(**{k: v for k, v in config["scheduler"].items() if not k.startswith("_")})
        pipe = ZImageImg2ImgPipeline(scheduler=sched, vae=vae, text_encoder=te, tokenizer=tokenizer, transformer=tr)
        clean = (results[torch.float64]["vae.mean"].float() - vae.config.shift_factor) * vae.config.scaling_factor
        store.put(name + "/feed/clean", clean)
        first = []
        for s in (0.05, 0.3, 0.6, 0.75, 1.0):
            sched.set_timesteps(sigmas=torch.linspace(1.0, 1 / run["n_steps"], run["n_steps"]).tolist())
            timesteps, n = pipe.get_timesteps(run["n_steps"], s, "cpu")
            k = run["n_steps"] - n
            if k < run["n_steps"]:
                x = sched.scale_noise(clean, timesteps[:1], ref["noise"][None])
                store.put("%s/stage/img2img.%g" % (name, s), x)
            first.append([s, k])
        run["first_steps"] = first


def record_schedules():
    rows = []
    for shift in (1.0, 3.0, 6.0, 12.5):
        sched = FlowMatchEulerDiscreteScheduler(num_train_timesteps=1000, shift=shift)
        for n in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 16, 28, 50, 100):
            sched.set_timesteps(sigmas=torch.linspace(1.0, 1 / n, n).tolist())
            tin = (1000 - sched.timesteps) / 1000
            rows.append(dict(n_steps=n, shift=shift, sigmas=[float(s).hex() for s in sched.sigmas], tin=[float(t).hex() for t in tin]))
    return rows


def versions():
    return {"torch": torch.__version__, "diffusers": diffusers.__version__, "transformers": transformers.__version__,
            "tokenizers": tokenizers.__version__, "numpy": np.__version__, "python": platform.python_version(), "seed": str(SEED)}


def write_json(path, value):
    with open(path, "w", encoding="utf-8") as f:
        json.dump(value, f, ensure_ascii=False, separators=(",", ":"))
        f.write("\n")


def make(name, out):
    config, runs = copy.deepcopy(MODELS[name])
    tokenizer, tokenizer_json = make_tokenizer(out, config["text_encoder"]["vocab_size"])
    modules = {d: make_modules(config, d) for d in (torch.float64, torch.float32, torch.bfloat16)}
    store = Store()
    for run in runs:
        record_run(store, config, modules, tokenizer, run)
    files = {
        "model_index.json": json.dumps({"_class_name": "ZImagePipeline", "_diffusers_version": diffusers.__version__,
                                        "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
                                        "text_encoder": ["transformers", "Qwen3Model"],
                                        "tokenizer": ["transformers", "Qwen2Tokenizer"],
                                        "transformer": ["diffusers", "ZImageTransformer2DModel"],
                                        "vae": ["diffusers", "AutoencoderKL"]}),
        "scheduler/scheduler_config.json": json.dumps(config["scheduler"]),
        "tokenizer/tokenizer.json": tokenizer_json,
    }
    tensors = []
    for part, table in PARTS:
        files[part + "/config.json"] = json.dumps(config[part])
        for n, shape in table(config[part]):
            mean, std = weights.scale_of(part, n, shape)
            tensors.append([part, n, config["types"][part], list(shape), mean, std])
    save_file(store.tensors, os.path.join(out, name + ".safetensors"), metadata={"versions": json.dumps(versions())})   # one key: their order is not kept
    write_json(os.path.join(out, name + ".json"), {"versions": versions(), "seed": SEED, "files": files, "weights": tensors, "runs": runs,
                                                   "tensors": store.about})
    print(name, len(store.tensors), "tensors", os.path.getsize(os.path.join(out, name + ".safetensors")), "bytes")


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("models", nargs="*", default=sorted(MODELS))
    ap.add_argument("--out", default=HERE)
    a = ap.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    for name in a.models or sorted(MODELS):
        make(name, a.out)
    write_json(os.path.join(a.out, "schedules.json"), {"versions": versions(), "schedules": record_schedules()})


if __name__ == "__main__":
    main()
