#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Turn the shipped model folder back into a checkpoint for `train.py --resume`: restore.py OUT

The inverse of export.py, up to the 8-bit rounding. Needs torch, safetensors, gguf, numpy.
"""
import json
import os
import sys

import torch
from safetensors.torch import load_file

import model
from export import fused, qwen_names
from measure import dequantised
from train import HERE, save_parts


def main():
    out = sys.argv[1]
    os.makedirs(out, exist_ok=True)
    dit, text = model.Dit(), model.Text()
    tr, te = model.to_diffusers(dit, text)
    state, words = (dequantised(os.path.join(HERE, f)) for f in ("transformer/diffusion_pytorch_model.gguf", "text_encoder/model.gguf"))
    with torch.no_grad():
        for name, p in tr.items():
            key = next(iter(fused({name: p}))) if not any(f".to_{c}." in name for c in "qkv") else None
            if key:
                p.copy_(state[key])
            else:
                c = next(c for c in "qkv" if f".to_{c}." in name)
                p.copy_(state[name.replace(f"to_{c}", "qkv")].chunk(3)["qkv".index(c)])
        for name, p in qwen_names(te).items():
            p.copy_(words[name])
    save_parts(out, "dit", dit.state_dict())
    save_parts(out, "text", text.state_dict())
    save_parts(out, "vae", load_file(os.path.join(HERE, "vae/diffusion_pytorch_model.safetensors")))
    with open(os.path.join(HERE, "vae/config.json"), encoding="utf-8") as f:
        vae = json.load(f)
    with open(f"{out}/state.json", "w") as f:
        json.dump({"shift": vae["shift_factor"], "scale": vae["scaling_factor"]}, f)


if __name__ == "__main__":
    main()
