#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measure the demo model: does the picture show what the sentence says?

    measure.py [--command "zimage generate"] [--kind one|two|background ...] [--limit N] [--keep DIR] [--torch]

The prompts are those of measure-prompts.json: fixed before training, of templates that training never used. They are
given to the program in one file, seed 1 each (`--prompts-file`; pictures OUT_000.png, OUT_001.png, ...).
--torch runs the same shipped files with diffusers and transformers instead (weights dequantised as they are).

A picture of one object is right when, among all listed objects drawn on the same background, the nearest is the one
named; two objects: both must be, each in its own box. Distance: mean absolute RGB error over the object's box, the best
of shifts by up to 4 pixels. A background is right when the border's colour is nearest to the one asked for.
Needs numpy and Pillow; --torch also torch, diffusers, transformers, gguf.
"""
import argparse
import glob
import io
import json
import os
import shlex
import subprocess
import tarfile
import tempfile

import numpy as np
from PIL import Image

import captions as cap

HERE, S = os.path.dirname(os.path.abspath(__file__)), 256
SHIFTS = [(dx, dy) for dy in (-4, -2, 0, 2, 4) for dx in (-4, -2, 0, 2, 4)]


class Drawn:
    """Every listed object on the default background in one box of one layout, as training drew it."""

    def __init__(self, objects):
        tar = tarfile.open(os.path.join(HERE, "objects.tar"))
        self.bank = [Image.open(io.BytesIO(tar.extractfile(o["file"]).read())).convert("RGBA").resize((S, S)) for o in objects]
        self.boxes = {}

    def box(self, layout, slot):
        """-> (x0, y0, side, pictures [objects, side, side, 3])"""
        if (layout, slot) not in self.boxes:
            cx, cy, s = cap.LAYOUTS[layout][slot]
            n = int(round(s * S))
            x0, y0 = int(round((cx + 1) * S / 2 - n / 2)), int(round((cy + 1) * S / 2 - n / 2))
            ground = background(-1)[y0:y0 + n, None]
            out = np.empty((len(self.bank), n, n, 3), np.float32)
            for k, im in enumerate(self.bank):
                # premultiplied, so that hidden colours do not bleed in
                a = np.asarray(im, np.float32) / 255
                a = np.concatenate([a[..., :3] * a[..., 3:], a[..., 3:]], 2)
                a = np.stack([np.asarray(Image.fromarray(a[..., c]).resize((n, n), Image.BILINEAR)) for c in range(4)], 2)
                out[k] = ground * (1 - a[..., 3:]) + a[..., :3]
            self.boxes[layout, slot] = x0, y0, n, out
        return self.boxes[layout, slot]

    def nearest(self, picture, layout, slot):
        x0, y0, n, refs = self.box(layout, slot)
        pad = np.pad(picture, ((4, 4), (4, 4), (0, 0)), mode="edge")
        # a coarse pass without shifts leaves the 40 likeliest; those get all shifts
        d = np.abs(refs[:, ::2, ::2] - picture[y0:y0 + n:2, x0:x0 + n:2]).mean((1, 2, 3))
        few = np.argsort(d)[:40]
        best = [min(np.abs(refs[k] - pad[y0 + 4 + dy:y0 + 4 + dy + n, x0 + 4 + dx:x0 + 4 + dx + n]).mean() for dx, dy in SHIFTS) for k in few]
        return int(few[int(np.argmin(best))])


def background(k):
    """rows [S, 3] of a background, 0..1"""
    rgb = np.array(cap.COLOURS[k][2] if k >= 0 else cap.DEFAULT_RGB, np.float32) / 255
    return np.clip(rgb * np.linspace(1.04, .90, S, dtype=np.float32)[:, None], 0, 1)


def nearest_background(picture):
    strip = lambda p: np.concatenate([p[:, 4:12].reshape(-1, 3), p[:, -12:-4].reshape(-1, 3)])
    seen = np.median(strip(picture).reshape(2, S, 8, 3), (0, 2))
    d = [np.abs(seen - background(k)).mean() for k in range(-1, len(cap.COLOURS))]
    return int(np.argmin(d)) - 1


# ---------------------------------------------------------------- making the pictures
def by_command(command, prompts, folder):
    lines = os.path.join(folder, "prompts.txt")
    with open(lines, "w", encoding="utf-8") as f:
        f.write("".join(p["prompt"] + "\n" for p in prompts))
    subprocess.run(shlex.split(command) + ["--model", HERE, "--prompts-file", lines, "--output", os.path.join(folder, "out.png"),
                                           "--seed", "1"], check=True)
    files = sorted(glob.glob(os.path.join(folder, "out_*.png")))
    assert len(files) == len(prompts), f"{len(files)} pictures of {len(prompts)} prompts"
    return [np.asarray(Image.open(f).convert("RGB"), np.float32) / 255 for f in files]


def dequantised(path):
    import gguf
    import torch
    return {t.name: torch.from_numpy(np.array(gguf.quants.dequantize(t.data, t.tensor_type), np.float32)) for t in gguf.GGUFReader(path).tensors}


def load_pipeline():
    import torch
    from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, ZImagePipeline, ZImageTransformer2DModel
    from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3Model

    from export import QWEN
    tr = ZImageTransformer2DModel.from_config(ZImageTransformer2DModel.load_config(os.path.join(HERE, "transformer")))
    state = {}
    for k, v in dequantised(os.path.join(HERE, "transformer/diffusion_pytorch_model.gguf")).items():
        k = k.replace("x_embedder.", "all_x_embedder.2-1.").replace("final_layer.", "all_final_layer.2-1.")
        k = k.replace("attention.out.", "attention.to_out.0.").replace("q_norm.", "norm_q.").replace("k_norm.", "norm_k.")
        if "attention.qkv" in k:
            state.update({k.replace("qkv", "to_" + c): w for c, w in zip("qkv", v.chunk(3))})
        else:
            state[k] = v
    tr.load_state_dict(state)
    te = Qwen3Model(Qwen3Config.from_pretrained(os.path.join(HERE, "text_encoder")))
    names = {v: k for k, v in QWEN.items()}
    state = {}
    for k, v in dequantised(os.path.join(HERE, "text_encoder/model.gguf")).items():
        if k == "token_embd.weight":
            state["embed_tokens.weight"] = v
        else:
            _, n, part, _ = k.split(".")
            state[f"layers.{n}.{names[part]}.weight"] = v
    missing = te.load_state_dict(state, strict=False).missing_keys
    assert all(k == "norm.weight" or k.startswith(f"layers.{te.config.num_hidden_layers - 1}.") for k in missing), missing
    vae = AutoencoderKL.from_pretrained(os.path.join(HERE, "vae"), torch_dtype=torch.float32)
    with open(os.path.join(HERE, "tokenizer/tokenizer_config.json"), encoding="utf-8") as f:
        conf = json.load(f)
    tok = PreTrainedTokenizerFast(tokenizer_file=os.path.join(HERE, "tokenizer/tokenizer.json"), pad_token=conf["pad_token"],
                                  eos_token=conf["eos_token"], chat_template=conf["chat_template"])
    sched = FlowMatchEulerDiscreteScheduler.from_pretrained(os.path.join(HERE, "scheduler"))
    pipe = ZImagePipeline(scheduler=sched, vae=vae.eval(), text_encoder=te.eval(), tokenizer=tok, transformer=tr.eval())
    pipe.set_progress_bar_config(disable=True)
    return pipe


def by_torch(prompts, folder):
    import torch
    pipe, out = load_pipeline(), []
    for k, p in enumerate(prompts):
        im = pipe(prompt=p["prompt"], width=S, height=S, num_inference_steps=8, guidance_scale=0.0,
                  generator=torch.Generator().manual_seed(1)).images[0]
        im.save(os.path.join(folder, f"out_{k:03d}.png"))
        out.append(np.asarray(im, np.float32) / 255)
        if k % 20 == 19:
            print(k + 1, "pictures", flush=True)
    return out


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--command", default="zimage generate")
    ap.add_argument("--torch", action="store_true")
    ap.add_argument("--kind", nargs="*", choices=("one", "two", "background"))
    ap.add_argument("--limit", type=int, help="the first N of each kind")
    ap.add_argument("--keep", help="leave the pictures in this folder")
    a = ap.parse_args()
    objects = cap.load_objects()
    with open(os.path.join(HERE, "measure-prompts.json"), encoding="utf-8") as f:
        prompts = json.load(f)
    chosen = []
    for kind in a.kind or ("one", "two", "background"):
        chosen += [p for p in prompts if p["kind"] == kind][:a.limit]
    with tempfile.TemporaryDirectory() as tmp:
        folder = a.keep or tmp
        os.makedirs(folder, exist_ok=True)
        pictures = by_torch(chosen, folder) if a.torch else by_command(a.command, chosen, folder)
    drawn, table = Drawn(objects), {}
    for p, x in zip(chosen, pictures):
        if p["kind"] == "background":
            got = nearest_background(x)
            ok = got == p["background"]
        else:
            got = [drawn.nearest(x, p["layout"], slot) for slot in range(len(p["objects"]))]
            ok = got == p["objects"]
        table.setdefault((p["kind"], p["lang"]), []).append(ok)
        if not ok:
            names = "background %s" % got if p["kind"] == "background" else ", ".join(objects[g]["en"][0] for g in got)
            print(f"wrong: {p['prompt']}  ->  {names}")
    print(f"\n{'what':12} {'English':>16} {'Chinese':>16} {'both':>16}")
    for kind in dict.fromkeys(p["kind"] for p in chosen):
        en, zh = table.get((kind, "en"), []), table.get((kind, "zh"), [])
        cell = lambda v: f"{sum(v)}/{len(v)} {100 * sum(v) / max(1, len(v)):.1f} %"
        print(f"{kind:12} {cell(en):>16} {cell(zh):>16} {cell(en + zh):>16}")


if __name__ == "__main__":
    main()
