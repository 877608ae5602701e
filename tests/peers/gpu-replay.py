#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""On a machine with a card: diffusers at full size against our CUDA engine on the same work, as a table.

    gpu-replay.py REPLAY CHECKPOINT [--out FOLDER] [--job WxH:TOKENS]... [--steps N]

REPLAY is BUILD/tests/tools/replay; CHECKPOINT what make_random_checkpoint.py writes without --tiny.  diffusers' records are
made in float32 and in bf16 (45 GB of the card's memory); then replay computes each again in bf16, fed: every stage starts
from the float32 record, so that no error is carried on.  Passes when no tensor (text embeddings, every step's output, the
decoded image) is farther from the float32 record than 1.25 times the bf16 record is; where that bf16 record was not fed
the same latents (steps after the first), the limit is the first step's own bf16 error, which has no error carried over.
"""
import argparse
import math
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
LIMIT = 1.25
JOBS = ["768x768:21", "1024x1024:64", "1280x720:300"]


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("replay")
    ap.add_argument("checkpoint")
    ap.add_argument("--out")
    ap.add_argument("--job", action="append", metavar="WxH:TOKENS")
    ap.add_argument("--steps", type=int, default=8)
    ap.add_argument("--device", default="cuda")
    a = ap.parse_args()
    out = a.out or tempfile.mkdtemp()
    jobs = a.job or JOBS
    path = lambda job, kind: os.path.join(out, job.replace(":", "-") + "-" + kind + ".safetensors")  # noqa: E731

    for dtype in ("f32", "bf16"):
        if not all(os.path.exists(path(j, dtype)) for j in jobs):
            subprocess.run([sys.executable, os.path.join(HERE, "dump_reference.py"), a.checkpoint, "--dtype", dtype, "--steps",
                            str(a.steps)] + [x for j in jobs for x in ("--job", j + ":" + path(j, dtype))], check=True,
                           stdout=subprocess.DEVNULL)
    for job in jobs:
        subprocess.run([a.replay, a.checkpoint, path(job, "f32"), path(job, "ours"), "--device", a.device, "--dtype", "bf16",
                        "--feed"], check=True)

    from safetensors.torch import load_file

    def error(x, y):
        x, y = x.double(), y.double()
        return ((y - x).norm() / x.norm().clamp_min(1e-30)).item()

    bad = False
    for job in jobs:
        ref, low, ours = (load_file(path(job, k)) for k in ("f32", "bf16", "ours"))
        print("%s tokens\n%-14s %12s %12s %7s" % (job.replace(":", ", "), "", "diffusers", "ours", "ratio"))
        steps = [("step%d.out" % i, "step0.out") for i in range(a.steps)]
        for name, limit_of in [("text.embeds", "text.embeds")] + steps + [("image", "image")]:
            theirs, mine = error(ref[limit_of], low[limit_of]), error(ref[name], ours[name])
            wrong = not mine <= LIMIT * theirs
            bad |= wrong or not math.isfinite(mine)
            print("%-14s %12.3e %12.3e %7.2f%s" % (name, theirs, mine, mine / theirs, "  too far" if wrong else ""))
    print("failed" if bad else "passed")
    return bad


if __name__ == "__main__":
    sys.exit(main())
