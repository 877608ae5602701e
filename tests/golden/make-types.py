#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Record what the gguf package and torch make of stored numbers, for test-golden-types.c.

    make-types.py [--out FOLDER]

Writes types.json: of each type the SHA-256 of the float32 values of N_BLOCKS blocks of pseudo-random bytes, which the test
makes again: xorshift32 from the seed below, one byte a draw; the blocks' halves lose the bit 0x0400, so that all are finite.
Of the 8-bit floats every code once, NaN as 0x7fc00000.
"""
import argparse
import hashlib
import importlib.metadata
import json
import os

import gguf
import numpy as np
import torch

HERE = os.path.dirname(os.path.abspath(__file__))
SEED = 2463534242
N_BLOCKS = 300
# where the halves of a block stand
HALVES = {"Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2],
          "Q5_K": [0, 2], "Q6_K": [208]}


def random_bytes(n):
    x, out = SEED, bytearray(n)
    for i in range(n):
        x ^= x << 13 & 0xffffffff
        x ^= x >> 17
        x ^= x << 5 & 0xffffffff
        out[i] = x & 255
    return out


def digest(values):
    values = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32).copy().reshape(-1)
    values[(values & 0x7fffffff) > 0x7f800000] = 0x7fc00000
    return hashlib.sha256(values.tobytes()).hexdigest()


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--out", default=HERE)
    a = ap.parse_args()
    rows = []
    for name, halves in HALVES.items():
        kind = gguf.GGMLQuantizationType[name]
        block, size = gguf.GGML_QUANT_SIZES[kind]
        data = np.frombuffer(bytes(random_bytes(N_BLOCKS * size)), dtype=np.uint8).copy().reshape(N_BLOCKS, size)
        for at in halves:
            data[:, at + 1] &= 0xfb
        rows.append(dict(type=name, block=block, size=size, halves=halves, n_blocks=N_BLOCKS, sha256=digest(gguf.quants.dequantize(data, kind))))
    for name, kind in (("F8_E4M3", torch.float8_e4m3fn), ("F8_E5M2", torch.float8_e5m2)):
        codes = torch.arange(256, dtype=torch.uint8).view(kind).to(torch.float32)
        rows.append(dict(type=name, sha256=digest(codes.numpy())))
    with open(os.path.join(a.out, "types.json"), "w", encoding="utf-8") as f:
        json.dump(dict(versions={"gguf": importlib.metadata.version("gguf"), "torch": torch.__version__}, seed=SEED, types=rows), f, indent=1)
        f.write("\n")


if __name__ == "__main__":
    main()
