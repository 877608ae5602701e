#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Relative error between two files of dump_reference.py, tensor by tensor.

    compare_reference.py REFERENCE.safetensors OTHER.safetensors

||other - reference|| / ||reference|| for every name both files have; for the
image also the PSNR on [-1, 1].  Exits 1 on a NaN or a shape that differs.
"""
import math
import sys

from safetensors.torch import load_file


def main():
    a, b = load_file(sys.argv[1]), load_file(sys.argv[2])
    bad = False
    for k in a:
        if k not in b or k == "ids":
            continue
        x, y = a[k].double(), b[k].double()
        if x.shape != y.shape:
            print("%-20s shapes differ: %s %s" % (k, tuple(x.shape), tuple(y.shape)))
            bad = True
            continue
        e = ((y - x).norm() / x.norm().clamp_min(1e-30)).item()
        bad |= not math.isfinite(e)
        more = ""
        if k == "image":
            mse = (x.clamp(-1, 1) - y.clamp(-1, 1)).pow(2).mean().item()
            more = "  PSNR %.2f dB" % (10 * math.log10(4 / mse)) if mse else "  equal"
        print("%-20s %.3e%s" % (k, e, more))
    return bad


if __name__ == "__main__":
    sys.exit(main())
