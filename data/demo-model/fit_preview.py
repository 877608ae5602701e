#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Fits the linear map from this model's latents to colours, for previews, and writes it into model_index.json.

    fit_preview.py [--pictures 96]

Flux's factors mean nothing in another latent space.  Least squares over pictures of single objects on plain
backgrounds, each latent element against the mean colour of its 8 x 8 pixels.  Needs torch, diffusers, numpy, Pillow.
"""
import argparse
import io
import json
import os
import tarfile

import numpy as np
import torch
from diffusers import AutoencoderKL
from PIL import Image

HERE = os.path.dirname(os.path.abspath(__file__))
BACKGROUNDS = [(245, 245, 245), (214, 64, 60), (240, 150, 60), (246, 212, 84), (98, 178, 96), (180, 226, 204), (60, 158, 160),
               (74, 122, 212), (160, 206, 240), (140, 96, 190), (246, 182, 204), (140, 98, 70), (150, 152, 158), (30, 30, 36),
               (34, 48, 96), (232, 238, 246)]


def pictures(n):
    objects = json.load(open(os.path.join(HERE, "objects.json"), encoding="utf-8"))
    objects = objects["objects"] if isinstance(objects, dict) else objects
    tar = tarfile.open(os.path.join(HERE, "objects.tar"))
    rng = np.random.default_rng(0)
    for i in range(n):
        item = objects[rng.integers(len(objects))]
        thing = Image.open(io.BytesIO(tar.extractfile(item["file"]).read())).convert("RGBA").resize((216, 216))
        scene = Image.new("RGBA", (256, 256), BACKGROUNDS[i % len(BACKGROUNDS)] + (255,))
        scene.alpha_composite(thing, (20, 20))
        yield torch.from_numpy(np.asarray(scene.convert("RGB")).copy()).float().permute(2, 0, 1)[None] / 127.5 - 1


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--pictures", type=int, default=96)
    a = ap.parse_args()
    vae = AutoencoderKL.from_pretrained(os.path.join(HERE, "vae"), torch_dtype=torch.float32).eval()
    latents, colours = [], []
    for picture in pictures(a.pictures):
        with torch.no_grad():
            z = vae.encode(picture).latent_dist.mode()
        z = (z - vae.config.shift_factor) * vae.config.scaling_factor
        latents.append(z[0].flatten(1).T.numpy())
        colours.append(torch.nn.functional.avg_pool2d(picture, 8)[0].flatten(1).T.numpy())
    x, y = np.concatenate(latents).astype(np.float64), np.concatenate(colours).astype(np.float64)
    x = np.concatenate([x, np.ones((len(x), 1))], 1)
    fit = np.linalg.solve(x.T @ x + 1e-6 * len(x) * np.eye(x.shape[1]), x.T @ y)
    print("error %.3f of a spread of %.3f" % (np.sqrt(((x @ fit - y) ** 2).mean()), y.std()))

    path = os.path.join(HERE, "model_index.json")
    index = json.load(open(path, encoding="utf-8"))
    index["zimage_studio"]["preview"] = {"weights": [[round(float(v), 4) for v in row] for row in fit[:-1]],
                                         "bias": [round(float(v), 4) for v in fit[-1]]}
    with open(path, "w", encoding="utf-8") as f:
        json.dump(index, f, indent=2)
        f.write("\n")


if __name__ == "__main__":
    main()
