#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Record what diffusers' AutoencoderKL.tiled_decode makes of latents, for test-golden-tiles.c.

    make-tiles.py [--out FOLDER]

Writes tiles.json: the VAE of make-golden.py's model heads64 in float32 at its own settings (tiles of its sample_size, a quarter
of which is shared), for latents of several sizes in model space: of the picture, flattened as [3, height, width], every
STRIDE-th value.  Element k of a latent is (k * 2654435761 mod 2^32) / 2^32 * 3 - 1.5.
"""
import argparse
import copy
import importlib
import json
import os

import numpy as np
import torch

HERE = os.path.dirname(os.path.abspath(__file__))
golden = importlib.import_module("make-golden")
STRIDE = 13
# rows and columns of a tile are 8 latents, the next one begins 6 further on
SIZES = ((11, 9), (13, 8), (6, 20), (8, 8))


def latent(channels, h, w):
    k = np.arange(channels * h * w, dtype=np.uint64)
    x = (k * np.uint64(2654435761) % np.uint64(1 << 32)).astype(np.float64) / 2 ** 32 * 3 - 1.5
    return torch.from_numpy(x.astype(np.float32)).view(1, channels, h, w)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--out", default=HERE)
    a = ap.parse_args()
    config = copy.deepcopy(golden.MODELS["heads64"][0])
    _, _, vae = golden.make_modules(config, torch.float32)
    vae.enable_tiling()
    pictures = []
    for h, w in SIZES:
        x = latent(vae.config.latent_channels, h, w)
        with torch.no_grad():
            image = vae.decode(x / vae.config.scaling_factor + vae.config.shift_factor, return_dict=False)[0]
        assert image.shape == (1, 3, 8 * h, 8 * w)
        pictures.append(dict(h=h, w=w, values=[float("%.7g" % v) for v in image.flatten()[::STRIDE].tolist()]))
    record = dict(model="heads64", size=vae.tile_sample_min_size, overlap=int(vae.tile_sample_min_size * vae.tile_overlap_factor),
                  stride=STRIDE, pictures=pictures, versions=golden.versions())
    with open(os.path.join(a.out, "tiles.json"), "w", encoding="utf-8") as f:
        json.dump(record, f, separators=(",", ":"))
        f.write("\n")


if __name__ == "__main__":
    main()
