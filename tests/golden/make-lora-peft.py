#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Record what diffusers and PEFT themselves make of LoRA files, for test-golden-lora.c.

    make-lora-peft.py [--out FOLDER]

Takes the model heads128 of make-golden.py and writes three random LoRAs, in bf16 and of strengths that bf16 has exactly, and what
comes of them:

    lora-peft.safetensors     an adapter that PEFT made, saved by ZImagePipeline.save_lora_weights(): alpha, and what differs from
                              layer to layer, in the metadata
    lora-kohya.safetensors    kohya's names, alpha in tensors
    lora-comfy.safetensors    ComfyUI's names with q, k and v as one layer
    lora-diffusers.safetensors  for each set of strengths the output of the first step of the run "small" after load_lora_weights()
                              and set_adapters(), in float64, and the errors of float32 and bfloat16 beside it

make-lora.py records the same model with factors merged into the weights by hand.
"""
import argparse
import importlib.util
import os

import diffusers
import peft
import torch
from diffusers import ZImagePipeline
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from safetensors.torch import load_file, save_file

HERE = os.path.dirname(os.path.abspath(__file__))
spec = importlib.util.spec_from_file_location("make_golden", os.path.join(HERE, "make-golden.py"))
golden = importlib.util.module_from_spec(spec)
spec.loader.exec_module(golden)

RANK = 4
FILES = ("peft", "kohya", "comfy")
RUNS = {"peft": (1.0, 0, 0), "kohya": (0, 0.75, 0), "comfy": (0, 0, -0.5), "two": (0.8, 1.25, 0), "three": (0.5, -0.75, 1.0)}
PEFT = LoraConfig(r=RANK, lora_alpha=2, init_lora_weights=False,
                  target_modules=["layers.0.attention.to_q", "layers.1.attention.to_out.0", "layers.0.feed_forward.w1", "layers.1.feed_forward.w2",
                                  "context_refiner.0.attention.to_k", "noise_refiner.1.adaLN_modulation.0", "all_x_embedder.2-1"],
                  rank_pattern={"layers.0.feed_forward.w1": 2}, alpha_pattern={"layers.1.feed_forward.w2": 16, "context_refiner.0.attention.to_k": 8})
KOHYA = {"layers_0_attention_to_v": 8, "layers_1_attention_out": 2, "noise_refiner_0_feed_forward_w3": 4, "context_refiner_1_attention_to_q": 1,
         "layers_1_adaLN_modulation_0": 4}
COMFY = {"layers.1.attention.qkv": 4, "layers.0.attention.out": 8, "layers.0.feed_forward.w2": 2, "noise_refiner.0.attention.qkv": None}


def make(names, shapes, g):
    """{name: (A, B, alpha)} in bf16."""
    pairs = {}
    for name, alpha in names.items():
        real = name if "." in name else next(n for n in shapes if n.replace(".", "_") == name.replace("attention_out", "attention_to_out_0"))
        real = real.replace("attention.out", "attention.to_out.0")
        out, inner = shapes[real.replace("qkv", "to_q")]
        out *= 3 if real.endswith("qkv") else 1
        pairs[name] = ((torch.randn(RANK, inner, generator=g) / inner ** 0.5).bfloat16(), (torch.randn(out, RANK, generator=g) / RANK ** 0.5).bfloat16(),
                       alpha)
    return pairs


def write_files(folder, modules, shapes):
    g = torch.Generator().manual_seed(21)
    transformer = modules[torch.float32][1]
    transformer.add_adapter(PEFT, adapter_name="made")
    state = get_peft_model_state_dict(transformer, adapter_name="made")
    for name in sorted(state):
        inner = state[name].shape[1]
        state[name] = (torch.randn(state[name].shape, generator=g) / inner ** 0.5).bfloat16()
    ZImagePipeline.save_lora_weights(folder, transformer_lora_layers=state, weight_name="lora-peft.safetensors",
                                     transformer_lora_adapter_metadata=transformer.peft_config["made"].to_dict())
    transformer.delete_adapters("made")

    for file, prefix, names in (("kohya", "lora_unet_", KOHYA), ("comfy", "diffusion_model.", COMFY)):
        tensors = {}
        for name, (down, up, alpha) in make(names, shapes, g).items():
            kind = ".lora." if name.endswith("qkv") else ".lora_"      # diffusers takes a fused layer under the first alone
            tensors[prefix + name + kind + "down.weight"], tensors[prefix + name + kind + "up.weight"] = down, up
            if alpha is not None:
                tensors[prefix + name + ".alpha"] = torch.tensor(float(alpha))
        save_file(tensors, os.path.join(folder, "lora-%s.safetensors" % file))


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--out", default=HERE)
    a = ap.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(21)
    config, _ = golden.MODELS["heads128"]
    record = load_file(os.path.join(HERE, "heads128.safetensors"))
    modules = {d: golden.make_modules(config, d) for d in (torch.float64, torch.float32, torch.bfloat16)}
    shapes = {n: m.weight.shape for n, m in modules[torch.float64][1].named_modules() if isinstance(m, torch.nn.Linear)}
    write_files(a.out, modules, shapes)

    feed = {k: record["small/feed/" + k] for k in ("step0.in", "step0.t", "text.embeds")}
    plain = record["small/stage/step0.out"].double()
    got = {}
    for d, (_, tr, _) in modules.items():
        pipe = ZImagePipeline(scheduler=None, vae=None, text_encoder=None, tokenizer=None, transformer=tr)
        for file in FILES:
            pipe.load_lora_weights(os.path.join(a.out, "lora-%s.safetensors" % file), adapter_name=file)
        layers = {file: sum(file in m.lora_A for m in tr.modules() if hasattr(m, "lora_A")) for file in FILES}
        assert layers == {"peft": 7, "kohya": 5, "comfy": 8}, layers          # a qkv counts three times
        if d == torch.float64:
            tr.to(d)
        tr.rope_embedder.freqs_cis = tr.rope_embedder.precompute_freqs_cis(tr.rope_embedder.axes_dims, tr.rope_embedder.axes_lens,
                                                                          theta=tr.rope_embedder.theta)
        for run, strengths in RUNS.items():
            used = [(f, s) for f, s in zip(FILES, strengths) if s]
            pipe.set_adapters([f for f, _ in used], [s for _, s in used])
            with torch.no_grad(), golden.keep_double(d):
                got[run, d] = tr([feed["step0.in"].to(d)], feed["step0.t"], [feed["text.embeds"].to(d)], return_dict=False)[0][0].double()

    out = {}
    for run, strengths in RUNS.items():
        truth = got[run, torch.float64]
        errors = [golden.error(got[run, torch.float32], truth), golden.error(got[run, torch.bfloat16], truth)]
        print(run, "errors", errors, "moved by", golden.error(truth, plain.view_as(truth)))
        out[run], out[run + ".errors"] = truth.float().contiguous(), torch.tensor(errors)
        out[run + ".strengths"] = torch.tensor(strengths)
    save_file(out, os.path.join(a.out, "lora-diffusers.safetensors"),
              metadata={"torch": torch.__version__, "diffusers": diffusers.__version__, "peft": peft.__version__})


if __name__ == "__main__":
    main()
