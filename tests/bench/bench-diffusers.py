#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Time of a warm diffusers call against the engine's own job time, on the CPU, in turn.

    bench-diffusers.py [MODEL] [--zimage BUILD/engine/cli/zimage] [--rounds 5] [--calls 3] [--threads 2] [--dtype bf16|f32] [--json]

MODEL is a diffusers folder, the demo model by default; parts that are GGUF files are expanded into diffusers' classes.  Each
round makes CALLS pictures with ZImagePipeline in this process, then CALLS with `zimage bench` (after one to warm up); both
have the same threads, prompt, size, steps and seed, and neither saves the picture.  Printed: the times of each round, the
medians and the smallest, and their ratio; also how alike the two pictures are, so that it is seen that they did the same work.

The machine must be otherwise idle: with other programs running, compare the smallest times, or the processor time.
Needs torch, diffusers, transformers, safetensors, gguf, Pillow.
"""
import argparse
import json
import math
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "..", "..")

# Every GGUF writer's names of the text encoder's tensors, to transformers'.
QWEN = {"attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm", "attn_q_norm": "self_attn.q_norm",
        "attn_k_norm": "self_attn.k_norm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
        "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}


def read_gguf(path):
    import gguf
    import torch
    return {t.name: torch.from_numpy(gguf.quants.dequantize(t.data, t.tensor_type).copy()).reshape([int(d) for d in reversed(t.shape)])
            for t in gguf.GGUFReader(path).tensors}


def unfuse(tensors):
    """The names of single-file transformers, to diffusers'."""
    out = {}
    for name, t in tensors.items():
        name = re.sub(r"^(x_embedder|final_layer)\.", r"all_\1.2-1.", name)
        name = name.replace(".q_norm.", ".norm_q.").replace(".k_norm.", ".norm_k.").replace("attention.out.", "attention.to_out.0.")
        if ".qkv." in name:
            for part, rows in zip("qkv", t.chunk(3)):
                out[name.replace("qkv", "to_" + part)] = rows
        else:
            out[name] = t.reshape(1, -1) if name.endswith("_pad_token") else t
    return out


def read_part(folder, part):
    """All tensors of a component, float32, under its class' names."""
    from safetensors.torch import load_file
    path = os.path.join(folder, part)
    files = sorted(os.listdir(path))
    out = {}
    for f in files:
        if f.endswith(".safetensors"):
            out.update(load_file(os.path.join(path, f)))
    for f in files if not out else []:
        if f.endswith(".gguf"):
            out = read_gguf(os.path.join(path, f))
    if part == "transformer":
        return unfuse(out)
    if part == "text_encoder":
        names = {}
        for name, t in out.items():
            blk = re.match(r"blk\.(\d+)\.(\w+)\.weight$", name)
            name = "layers.%s.%s.weight" % (blk.group(1), QWEN[blk.group(2)]) if blk else name
            names[name.replace("token_embd.weight", "embed_tokens.weight").removeprefix("model.")] = t
        return names
    return out


def load(folder, dtype):
    import torch
    from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, ZImagePipeline, ZImageTransformer2DModel
    from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3Model

    def config(part, name="config.json"):
        with open(os.path.join(folder, part, name)) as f:
            return {k: v for k, v in json.load(f).items() if not k.startswith("_")}

    def fill(module, part):
        missing, unexpected = module.load_state_dict(read_part(folder, part), strict=False)
        # the text encoder's last layer and norm may be left out of a file: their output is never used
        last = "layers.%d." % (module.config.num_hidden_layers - 1) if part == "text_encoder" else "-"
        missing = [m for m in missing if not m.startswith(last) and m != "norm.weight"]
        assert not missing and not unexpected, (part, missing, unexpected)
        return module.to(dtype).eval()

    vae = config("vae")
    vae.setdefault("down_block_types", ["DownEncoderBlock2D"] * 4)
    vae.setdefault("up_block_types", ["UpDecoderBlock2D"] * 4)
    text = {k: v for k, v in config("text_encoder").items() if k not in ("model_type", "architectures", "torch_dtype")}
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=os.path.join(folder, "tokenizer", "tokenizer.json"), pad_token="<|endoftext|>")
    tokenizer.chat_template = ("{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
                               "<|im_start|>assistant\n")
    pipe = ZImagePipeline(scheduler=FlowMatchEulerDiscreteScheduler(**config("scheduler", "scheduler_config.json")),
                          vae=fill(AutoencoderKL(**vae), "vae"), text_encoder=fill(Qwen3Model(Qwen3Config(**text)), "text_encoder"),
                          tokenizer=tokenizer, transformer=fill(ZImageTransformer2DModel(**config("transformer")), "transformer"))
    pipe.set_progress_bar_config(disable=True)
    return pipe, torch


def psnr(a, b):
    import numpy as np
    d = np.asarray(a, np.float64) - np.asarray(b, np.float64)
    mse = (d * d).mean()
    return 10 * math.log10(255 ** 2 / mse) if mse else math.inf


def find_zimage():
    for build in ("build", "_build", "builddir"):
        path = os.path.join(ROOT, build, "engine", "cli", "zimage")
        if os.path.exists(path):
            return path
    return "zimage"


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("model", nargs="?", default=os.path.join(ROOT, "data", "demo-model"))
    ap.add_argument("--zimage", default=find_zimage())
    ap.add_argument("--rounds", type=int, default=5)
    ap.add_argument("--calls", type=int, default=3)
    ap.add_argument("--threads", type=int, default=2)
    ap.add_argument("--dtype", choices=("bf16", "f32"), default="bf16", help="of diffusers; ours chooses by itself")
    ap.add_argument("--our-dtype", choices=("auto", "bf16", "f32"), default="auto")
    ap.add_argument("--prompt", default="a red apple on a blue background")
    ap.add_argument("--size", type=int, default=256)
    ap.add_argument("--steps", type=int, default=8)
    ap.add_argument("--json", action="store_true")
    a = ap.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(a.threads)     # before torch is loaded
    import torch
    torch.set_num_threads(a.threads)
    pipe, torch = load(a.model, torch.bfloat16 if a.dtype == "bf16" else torch.float32)

    def theirs():
        wall, cpu = time.perf_counter(), time.process_time()
        image = pipe(prompt=a.prompt, width=a.size, height=a.size, num_inference_steps=a.steps, guidance_scale=0.0,
                     generator=torch.Generator("cpu").manual_seed(42)).images[0]
        return time.perf_counter() - wall, time.process_time() - cpu, image

    options = ["--model", a.model, "--width", str(a.size), "--height", str(a.size), "--steps", str(a.steps), "--seed", "42",
               "--dtype", a.our_dtype]

    def ours():
        out = subprocess.run([a.zimage, "bench", "--json", "--runs", str(a.calls), "--prompt", a.prompt, *options], check=True,
                             capture_output=True, text=True).stdout
        return json.loads(out)

    theirs()
    theirs()                                            # warm
    rounds = []
    for _ in range(a.rounds):
        calls = [theirs() for _ in range(a.calls)]
        b = ours()
        rounds.append({"diffusers": statistics.median(c[0] for c in calls), "diffusers_min": min(c[0] for c in calls),
                       "diffusers_cpu": statistics.median(c[1] for c in calls),
                       "zimage": b["job"]["median_ms"] / 1e3, "zimage_min": b["job"]["min_ms"] / 1e3,
                       "stages": {s: b[s]["median_ms"] / 1e3 for s in ("text", "refine", "sample", "decode")}})
        r = rounds[-1]
        print("diffusers %.3f s (min %.3f, processor %.3f), zimage %.3f s (min %.3f): %.2f" %
              (r["diffusers"], r["diffusers_min"], r["diffusers_cpu"], r["zimage"], r["zimage_min"], r["zimage"] / r["diffusers"]),
              file=sys.stderr, flush=True)

    from PIL import Image
    with tempfile.TemporaryDirectory() as tmp:
        path = os.path.join(tmp, "ours.png")
        subprocess.run([a.zimage, "generate", "--prompt", a.prompt, "--output", path, *options], check=True, capture_output=True)
        alike = psnr(theirs()[2], Image.open(path).convert("RGB"))
    median = {k: statistics.median(r[k] for r in rounds) for k in ("diffusers", "zimage")}
    least = {k: min(r[k + "_min"] for r in rounds) for k in ("diffusers", "zimage")}
    result = {"model": os.path.basename(os.path.abspath(a.model)), "threads": a.threads, "dtype": a.dtype, "device": b["device"],
              "our_dtype": b["dtype"], "torch": torch.__version__, "rounds": rounds, "median": median, "min": least,
              "ratio_median": median["zimage"] / median["diffusers"], "ratio_min": least["zimage"] / least["diffusers"], "psnr": alike}
    if a.json:
        print(json.dumps(result))
    else:
        print("diffusers %s %.3f s, zimage %.3f s: ratio %.2f of the medians, %.2f of the smallest (%.3f and %.3f s); pictures alike to %.1f dB"
              % (a.dtype, median["diffusers"], median["zimage"], result["ratio_median"], result["ratio_min"], least["diffusers"],
                 least["zimage"], alike))


if __name__ == "__main__":
    main()
