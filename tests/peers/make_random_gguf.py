#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A transformer of full size as one GGUF file of random blocks, for timing quantised weights: the numbers are noise of the right size.

    make_random_gguf.py OUT.gguf [--type Q8_0] [--tiny]

    zimage bench --model CHECKPOINT --transformer OUT.gguf       with the other parts of make_random_checkpoint.py

Plain Python; Q8_0 is 6.5 GB."""

import argparse
import os
import struct
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import make_random_checkpoint as weights  # noqa: E402

# ggml's number, numbers and bytes of a block, where its halves lie, and what they are: then the weights' spread is about 0.02.
TYPES = {
    "Q4_0": (2, 32, 18, (0,), 4e-3), "Q4_1": (3, 32, 20, (0, 2), 2e-3), "Q5_0": (6, 32, 22, (0,), 2e-3), "Q5_1": (7, 32, 24, (0, 2), 1e-3),
    "Q8_0": (8, 32, 34, (0,), 2.7e-4), "Q2_K": (10, 256, 84, (80, 82), 2e-3), "Q3_K": (11, 256, 110, (108,), 5e-4),
    "Q4_K": (12, 256, 144, (0, 2), 1e-4), "Q5_K": (13, 256, 176, (0, 2), 5e-5), "Q6_K": (14, 256, 210, (208,), 2e-5),
}
ALIGNMENT, PIECE = 32, 1 << 18


def blocks(out, kind, n):
    """N blocks of random bytes with halves of one size."""
    _, _, size, halves, value = TYPES[kind]
    half = struct.pack("<e", value)
    while n > 0:
        count = min(n, PIECE)
        data = bytearray(os.urandom(count * size))
        for at in halves:
            data[at::size] = half[:1] * count
            data[at + 1::size] = half[1:] * count
        out.write(data)
        n -= count


def plain(out, name, n):
    out.write(struct.pack("<f", 1.0 if "norm" in name and name.endswith("weight") else 0.0) * n)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("out")
    ap.add_argument("--type", choices=sorted(TYPES), default="Q8_0")
    ap.add_argument("--tiny", action="store_true")
    a = ap.parse_args()
    kind, block, size, _, _ = TYPES[a.type]
    config = (weights.tiny_config() if a.tiny else weights.full_config())["transformer"]

    def text(s):
        return struct.pack("<Q", len(s)) + s.encode()

    infos, plans, at = b"", [], 0
    for name, shape, _, _ in weights.comfy_transformer(config):
        n = 1
        for d in shape:
            n *= d
        quantised = len(shape) == 2 and shape[0] > 1 and shape[1] % block == 0
        infos += text(name) + struct.pack("<I", len(shape)) + b"".join(struct.pack("<Q", d) for d in reversed(shape))
        infos += struct.pack("<IQ", kind if quantised else 0, at)
        bytes_ = n // block * size if quantised else n * 4
        plans.append((name, n, quantised, -bytes_ % ALIGNMENT))
        at += bytes_ + -bytes_ % ALIGNMENT
    head = b"GGUF" + struct.pack("<IQQ", 3, len(plans), 1) + text("general.architecture") + struct.pack("<I", 8) + text("lumina2") + infos
    with open(a.out, "wb") as out:
        out.write(head + bytes(-len(head) % ALIGNMENT))
        for name, n, quantised, pad in plans:
            if quantised:
                blocks(out, a.type, n // block)
            else:
                plain(out, name, n)
            out.write(bytes(pad))
    print("%s: %.2f GB of %s" % (a.out, os.path.getsize(a.out) / 1e9, a.type))


if __name__ == "__main__":
    main()
