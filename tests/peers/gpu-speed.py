#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""On a machine with a card: the speed of our CUDA engine beside diffusers' and PyTorch's, in one run.

    gpu-speed.py ZIMAGE CHECKPOINT [--sizes 768 1024 2048] [--no-compile]

CHECKPOINT is what make_random_checkpoint.py writes without --tiny, with a tokenizer/tokenizer.json put in.  8 steps, a prompt
of 64 tokens, batch 1, all resident, bf16.  In turn: `zimage bench` at each size; products + attention of one step alone, through
PyTorch, held for 4 s (limits.py); ZImagePipeline whole, eager, then with its blocks compiled; `zimage bench` again.  Clock and
power are sampled beside each (read only).  Printed last: the table of engine/SPEED.md.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
PROMPT = " ".join(str(i) for i in range(1, 21)) + " a"      # 64 tokens with the template and what bench adds


class Sampler:
    """clock and power of the card while something runs"""

    def __enter__(self):
        self.rows, self.stop = [], threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()
        return self

    def run(self):
        while not self.stop.wait(0.15):
            out = subprocess.run(["nvidia-smi", "--query-gpu=clocks.sm,power.draw,temperature.gpu", "--format=csv,noheader,nounits"],
                                 capture_output=True, text=True).stdout
            try:
                self.rows.append([float(v) for v in out.strip().split("\n")[0].split(",")])
            except ValueError:
                pass

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()

    def __str__(self):
        busy = [r for r in self.rows if r[1] > 200] or self.rows or [[0, 0, 0]]
        return "%.0f MHz, %.0f W, %.0f C" % tuple(statistics.median(r[i] for r in busy) for i in range(3))


def ours(zimage, ckpt, size, runs):
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    if "ZIMAGE_LIBRARY_PATH" in env:               # of a program that was carried here with its libraries
        env["LD_LIBRARY_PATH"] = env["ZIMAGE_LIBRARY_PATH"]
    with Sampler() as s:
        out = subprocess.run([zimage, "bench", "-m", ckpt, "--device", "cuda", "--runs", str(runs), "--width", str(size), "--height",
                              str(size), "--steps", "8", "-p", PROMPT, "--json"], env=env, capture_output=True, text=True, check=True)
    row = json.loads(out.stdout)
    print("ours %d: %s; step %.2f ms, text %.2f, decode %.2f, whole %.1f (min %.1f), %.0f MiB beside the weights; op times sum to %.1f ms"
          % (size, s, row["sample"]["median_ms"] / 8, row["text"]["median_ms"], row["decode"]["median_ms"], row["job"]["median_ms"],
             row["job"]["min_ms"], row["arena_peak"] / 2 ** 20, sum(o["ms"] for o in row.get("ops", []))), flush=True)
    return row


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("zimage")
    ap.add_argument("checkpoint")
    ap.add_argument("--sizes", nargs="*", type=int, default=[768, 1024, 2048])
    ap.add_argument("--runs", type=int, default=5)
    ap.add_argument("--no-compile", action="store_true")
    ap.add_argument("--ops", help="a file for the op times of the first size at 1024")
    a = ap.parse_args()
    first = {s: ours(a.zimage, a.checkpoint, s, a.runs) for s in a.sizes}
    if a.ops:
        with open(a.ops, "w") as f:
            json.dump(first, f)

    import torch
    import bench_diffusers
    import limits
    alone, whole, compiled, compiled_step = {}, {}, None, None
    for s in a.sizes:
        m = (s // 16) ** 2 + 64
        with Sampler() as sampler, torch.no_grad():
            limits.chain(m)
        alone[s] = [r["ms"] for r in limits.ROWS if r["what"] == "chain" and r["m"] == m and r["kind"].startswith("both, s")][0]
        print("products + attention alone, %d tokens: %.2f ms held; %s" % (m, alone[s], sampler), flush=True)
        torch.cuda.empty_cache()

    with torch.no_grad():
        bench_diffusers.versions()
        pipe = bench_diffusers.load(a.checkpoint)

        def picture(size):
            pipe(prompt="x", width=size, height=size, num_inference_steps=8, guidance_scale=0.0,
                 generator=torch.Generator("cuda").manual_seed(7))

        for s in a.sizes:
            with Sampler() as sampler:
                whole[s] = bench_diffusers.timed(lambda s=s: picture(s), runs=5 if s < 2048 else 3, warm=1)["ms"]
            print("diffusers eager %d: %.1f ms whole; %s" % (s, whole[s], sampler), flush=True)
        if not a.no_compile and 1024 in a.sizes:
            t0 = time.time()
            pipe.transformer.compile_repeated_blocks(dynamic=False)
            picture(1024)
            print("diffusers compiled blocks: first picture %.1f s" % (time.time() - t0), flush=True)
            with Sampler() as sampler:
                compiled = bench_diffusers.timed(lambda: picture(1024), runs=5, warm=1)["ms"]
            print("diffusers compiled blocks 1024: %.1f ms whole; %s" % (compiled, sampler), flush=True)
        del pipe
        bench_diffusers.clean()
    second = {s: ours(a.zimage, a.checkpoint, s, a.runs) for s in a.sizes}

    print("\n%-6s %10s %10s %7s | %10s %12s %7s %12s %7s" % ("size", "our step", "alone", "ratio", "our whole", "diffusers", "times", "compiled",
                                                           "times"))
    for s in a.sizes:
        step = max(r[s]["sample"]["median_ms"] / 8 for r in (first, second))
        job = max(r[s]["job"]["median_ms"] for r in (first, second))
        line = "%-6d %10.2f %10.2f %7.3f | %10.1f %12.1f %7.2f" % (s, step, alone[s], step / alone[s], job, whole[s], whole[s] / job)
        if compiled and s == 1024:
            line += " %12.1f %7.2f" % (compiled, compiled / job)
        print(line)
    print("ours: the slower of the two rounds' medians")


if __name__ == "__main__":
    main()
