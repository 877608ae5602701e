#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Exact against blended decoding, as a table in Markdown: peak of the job's memory, time, PSNR against the exact picture, seams.

    decode-table.py ZIMAGE MODEL [--vae FILE_OR_FOLDER] [--sizes 512 768] [--tile 0:0 512:64] [--device cpu] [--steps N]

One picture a line from the same latent (same seed): exact first, then in tiles of SIZE:OVERLAP, 0:0 for the program's own choice.
--vae puts another VAE behind the model's transformer, a random one of full size for instance (make_random_checkpoint.py).

The peak is the job's arena, which the decode determines at all but the smallest sizes.  A seam is a line where the rectangle
of one tile meets the next one's: how far the difference between both pictures jumps there, averaged along the line; the
largest is shown, and beside it the largest of lines that are no seams.  Both of 255.  Needs numpy and Pillow.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile

import numpy as np
from PIL import Image


def generate(a, size, folder, extra):
    path = os.path.join(folder, "picture.png")
    command = [a.zimage, "generate", "-m", a.model, "-p", a.prompt, "--seed", "3", "--steps", str(a.steps), "--width", str(size),
               "--height", str(size), "--device", a.device, "-o", path, "--json", *extra]
    if a.vae:
        command += ["--vae", a.vae]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    result = next(e for e in events if e["event"] == "finished")
    seconds = next(e for e in events if e["event"] == "image")["stage_seconds"]["decode"]
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).astype(np.float64), result["arena_peak"], seconds


def tiles_of(size, tile, overlap):
    """the program's own choice where 0"""
    tile = tile or (384 if size <= 768 else 512 if size <= 1024 else 640)
    return tile, overlap or tile // 8 // 8 * 8


def seams(difference, tile, overlap):
    """largest mean jump over a seam's line, and over any other"""
    size = difference.shape[0]
    step = tile - overlap
    lines = {k for at in range(step, size, step) for k in (at, min(at + overlap, size - 1))} if size > tile else set()
    jumps = [np.abs(np.diff(difference, axis=axis)).mean(axis=(1 - axis, 2)) for axis in (0, 1)]
    at = [max(j[k - 1] for j in jumps) for k in sorted(lines)]
    other = [max(j[k - 1] for j in jumps) for k in range(1, size) if k not in lines]
    return max(at, default=0), max(other)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("zimage")
    ap.add_argument("model")
    ap.add_argument("--vae")
    ap.add_argument("--sizes", nargs="*", type=int, default=[512, 768])
    ap.add_argument("--tile", nargs="*", default=["0:0"])
    ap.add_argument("--device", default="cpu")
    ap.add_argument("--steps", type=int, default=8)
    ap.add_argument("--prompt", default="a red apple on a wooden table")
    a = ap.parse_args()

    print("| size | decode | arena | seconds | PSNR to exact | largest seam | elsewhere |\n|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for size in a.sizes:
            exact, peak, seconds = generate(a, size, folder, [])
            print(f"| {size}² | exact | {peak / 2**20:.0f} MiB | {seconds:.2f} | | | |", flush=True)
            for text in a.tile:
                tile, overlap = tiles_of(size, *map(int, text.split(":")))
                blend, peak, seconds = generate(a, size, folder, ["--decode", "blend", "--tile-size", str(tile), "--tile-overlap", str(overlap)])
                error = np.mean((blend - exact) ** 2)
                psnr = "equal" if error == 0 else f"{10 * np.log10(255 ** 2 / error):.1f} dB"
                at, other = seams(blend - exact, tile, overlap)
                print(f"| {size}² | blend {tile}/{overlap} | {peak / 2**20:.0f} MiB | {seconds:.2f} | {psnr} | {at:.2f} | {other:.2f} |", flush=True)


if __name__ == "__main__":
    main()
