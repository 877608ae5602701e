#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Record what the reference computes with LoRAs merged into its weights, for test-golden-lora.c.

    make-lora.py [--out FOLDER]

Takes the model heads128 of make-golden.py and two random LoRAs, and writes

    lora-a.safetensors    diffusers' names, alpha in the metadata of PEFT
    lora-b.safetensors    ComfyUI's names (fused qkv) and kohya's in one file, alpha in tensors; a pair for a text encoder and
                          one for a layer that the model has not
    lora.safetensors      for each set of strengths the output of the first step of the run "small", computed in float64 with
                          W + strength * alpha / rank * B A in place of W, and the errors of float32 and bfloat16 beside it
"""
import argparse
import importlib.util
import json
import os

import torch
from safetensors.torch import load_file, save_file

HERE = os.path.dirname(os.path.abspath(__file__))
spec = importlib.util.spec_from_file_location("make_golden", os.path.join(HERE, "make-golden.py"))
golden = importlib.util.module_from_spec(spec)
spec.loader.exec_module(golden)

RANK = 3
RUNS = {"a": (1.0, 0.0), "a-minus": (-0.5, 0.0), "b": (0.0, 0.75), "both": (0.8, 1.25)}
A_LAYERS = ["layers.0.attention.to_q", "layers.0.attention.to_out.0", "layers.1.feed_forward.w2", "layers.1.feed_forward.w1",
            "context_refiner.1.attention.to_v", "noise_refiner.0.feed_forward.w3", "all_x_embedder.2-1", "layers.0.adaLN_modulation.0"]
B_LAYERS = ["layers.1.attention.qkv", "lora_unet_layers_0_feed_forward_w3", "lora_unet_noise_refiner_1_attention_to_k", "final_layer.linear",
            "cap_embedder.1", "t_embedder.mlp.2", "lora_unet_layers_0_attention_out"]


def plain(name):
    """diffusers' names of what NAME stands for."""
    name = name.replace("lora_unet_layers_0_", "layers.0.").replace("lora_unet_noise_refiner_1_", "noise_refiner.1.")
    name = name.replace("feed_forward_w3", "feed_forward.w3").replace("attention_to_k", "attention.to_k").replace("attention_out", "attention.to_out.0")
    name = name.replace("final_layer.", "all_final_layer.2-1.")
    return [name.replace("qkv", "to_" + c) for c in "qkv"] if name.endswith("qkv") else [name]


def make(layers, shapes, g):
    pairs = {}
    for name in layers:
        out = sum(shapes[n][0] for n in plain(name))
        inner = shapes[plain(name)[0]][1]
        a, b = torch.randn(RANK, inner, generator=g) / inner ** 0.5, torch.randn(out, RANK, generator=g) / RANK ** 0.5
        pairs[name] = a.bfloat16(), b.bfloat16()
    return pairs


def merge(weights, pairs, factor):
    for name, (a, b) in pairs.items():
        whole = factor(name) * b.double() @ a.double()
        for part, n in zip(whole.chunk(len(plain(name))), plain(name)):
            weights[n] = weights[n] + part
    return weights


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--out", default=HERE)
    a = ap.parse_args()
    torch.set_num_threads(1)
    config, _ = golden.MODELS["heads128"]
    record = load_file(os.path.join(HERE, "heads128.safetensors"))
    modules = {d: golden.make_modules(config, d) for d in (torch.float64, torch.float32, torch.bfloat16)}
    linear = {n: m for n, m in modules[torch.float64][1].named_modules() if isinstance(m, torch.nn.Linear)}
    base = {n: m.weight.clone() for n, m in linear.items()}
    shapes = {n: w.shape for n, w in base.items()}
    g = torch.Generator().manual_seed(12)
    first, second = make(A_LAYERS, shapes, g), make(B_LAYERS, shapes, g)
    alpha = {n: 0.5 + 0.5 * i for i, n in enumerate(B_LAYERS)}

    tensors = {}
    for n, (down, up) in first.items():
        tensors["transformer.%s.lora_A.weight" % n], tensors["transformer.%s.lora_B.weight" % n] = down, up
    save_file(tensors, os.path.join(a.out, "lora-a.safetensors"),
              metadata={"lora_adapter_metadata": json.dumps({"transformer.lora_alpha": 2, "transformer.r": RANK})})
    tensors = {}
    for n, (down, up) in second.items():
        stem = n if n.startswith("lora_unet") else "diffusion_model." + n
        tensors[stem + ".lora_down.weight"], tensors[stem + ".lora_up.weight"] = down, up
        tensors[stem + ".alpha"] = torch.tensor(alpha[n])
    tensors["lora_te_text_model_encoder.lora_down.weight"] = torch.zeros(1, 4)
    tensors["lora_unet_layers_77_attention_out.lora_down.weight"] = torch.zeros(1, 4)
    save_file(tensors, os.path.join(a.out, "lora-b.safetensors"))

    feed = {k: record["small/feed/" + k] for k in ("step0.in", "step0.t", "text.embeds")}
    out = {}
    for run, (x, y) in RUNS.items():
        weights = merge(merge(dict(base), first, lambda n: x * 2 / RANK), second, lambda n: y * alpha[n] / RANK)
        got = {}
        for d, (_, tr, _) in modules.items():
            for n, m in tr.named_modules():
                if isinstance(m, torch.nn.Linear):
                    m.weight.data = weights[n].to(d)
            tr.rope_embedder.freqs_cis = tr.rope_embedder.precompute_freqs_cis(tr.rope_embedder.axes_dims, tr.rope_embedder.axes_lens,
                                                                              theta=tr.rope_embedder.theta)
            with torch.no_grad(), golden.keep_double(d):
                got[d] = tr([feed["step0.in"].to(d)], feed["step0.t"], [feed["text.embeds"].to(d)], return_dict=False)[0][0].double()
        truth = got[torch.float64]
        errors = [golden.error(got[torch.float32], truth), golden.error(got[torch.bfloat16], truth)]
        moved = golden.error(truth, record["small/stage/step0.out"].double().view_as(truth)) if record["small/stage/step0.out"].numel() == truth.numel() else 0
        print(run, "errors", errors, "moved by", moved)
        out[run], out[run + ".errors"] = truth.float().contiguous(), torch.tensor(errors)
        out[run + ".strengths"] = torch.tensor([x, y])
    save_file(out, os.path.join(a.out, "lora.safetensors"))


if __name__ == "__main__":
    main()
