#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""On a machine with a card of its own: the full-size model within budgets of the card's memory, as a table.

    gpu-budget.py ZIMAGE CHECKPOINT [--budgets GiB...] [--sizes WxH...] [--steps N] [--link GB/s] [--card N]

CHECKPOINT is what make_random_checkpoint.py writes without --tiny, with a tokenizer/tokenizer.json put in.  Each size is made
with no budget first, then within each budget: two pictures of N steps, of which the second is timed.  Every cell must finish
with the bytes of the unbounded pictures; the driver's figure for the card, sampled each 2 ms from before the process to after
it, must stay within the plan's peak and the budget, and the plan within 2 % or 32 MiB of it.  "hidden" is the share of the
copies that took no time: 1 - (step - step without a budget) / (bytes of a step / link).  "bound" is what a step could take at
best, the longer of both, and how far the measured one is from it.  Other programs on the card would be counted too.  --card N:
by the driver's index, so that several cards can share the sizes.
"""
import argparse
import ctypes
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time

GIB = 1 << 30
SLACK = 32 << 20
PROMPT = " ".join(str(i) for i in range(1, 21)) + " a fox"


class Driver:
    """the card's memory in use, as NVML tells it; highest while it watches"""

    class Memory(ctypes.Structure):
        _fields_ = [("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong)]

    def __init__(self, index):
        self.lib = ctypes.CDLL("libnvidia-ml.so.1")
        self.card = ctypes.c_void_p()
        assert self.lib.nvmlInit_v2() == 0 and self.lib.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(self.card)) == 0

    def used(self):
        memory = self.Memory()
        assert self.lib.nvmlDeviceGetMemoryInfo(self.card, ctypes.byref(memory)) == 0
        return memory.used

    def __enter__(self):
        self.base = self.peak = self.used()
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()
        return self

    def watch(self):
        while not self.stop.wait(0.002):
            self.peak = max(self.peak, self.used())

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()


def run(zimage, arguments):
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    if "ZIMAGE_LIBRARY_PATH" in env:               # of a program that was carried here with its libraries
        env["LD_LIBRARY_PATH"] = env["ZIMAGE_LIBRARY_PATH"]
    return subprocess.run([zimage, *arguments], env=env, capture_output=True, text=True, timeout=300)


def cell(a, driver, width, height, budget):
    request = ["-m", a.checkpoint, "--device", "cuda", "--width", str(width), "--height", str(height), "--steps", str(a.steps), "-p",
               PROMPT, "--seed", "7", "--batch", "2"] + (["--vram-budget", "%dM" % (budget * 1024)] if budget else [])
    plan = run(a.zimage, ["plan", "--json", *request])
    if plan.returncode != 0:
        return {"error": plan.stderr.strip()}
    plan = json.loads(plan.stdout)
    with tempfile.TemporaryDirectory() as folder:
        begin = time.time()
        with driver:
            done = run(a.zimage, ["generate", "--json", "-o", folder, *request])
        seconds = time.time() - begin
        if done.returncode != 0:
            return {"error": done.stderr.strip()[-300:]}
        files = sorted(os.listdir(folder))
        digest = hashlib.sha256()
        for name in files:
            with open(os.path.join(folder, name), "rb") as file:
                digest.update(pixels(file.read()))
    time.sleep(0.2)
    images = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    images = [event for event in images if event.get("event") == "image"]
    result = [json.loads(line) for line in done.stdout.splitlines() if '"result"' in line][-1]
    stages = images[-1]["stage_seconds"]
    streamed = {stage["stage"]: stage["streamed"] for stage in plan["stages"]}
    return {"plan": plan["vram_peak"], "peak": driver.peak - driver.base, "left": driver.used() - driver.base, "seconds": seconds,
            "step": stages["sample"] / a.steps, "decode": stages["decode"], "picture": stages["sample"] + stages["decode"],
            "step_bytes": streamed["sample"] / a.steps / 2, "bytes": sum(streamed.values()), "digest": digest.hexdigest(),
            "told": result["peak_memory"]["vram"], "decode_bytes": streamed["decode"], "cut": plan.get("decode")}


def pixels(data):
    """The pixel chunks of a PNG: the recipe beside them names no budget, but a time."""
    at, out = 8, b""
    while at < len(data):
        size, kind = int.from_bytes(data[at:at + 4], "big"), data[at + 4:at + 8]
        if kind == b"IDAT":
            out += data[at + 8:at + 8 + size]
        at += 12 + size
    return out


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("zimage")
    ap.add_argument("checkpoint")
    ap.add_argument("--budgets", nargs="*", type=float, default=[24, 16, 12, 8, 6, 4])
    ap.add_argument("--sizes", nargs="*", default=["768x768", "1024x1024", "1280x720", "1536x1536", "2048x2048"])
    ap.add_argument("--steps", type=int, default=8)
    ap.add_argument("--link", type=float, default=55.4, help="GB/s of pinned copies to the card")
    ap.add_argument("--card", type=int, default=0)
    a = ap.parse_args()
    driver = Driver(a.card)
    os.environ["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"                                  # as the driver counts
    os.environ["CUDA_VISIBLE_DEVICES"] = str(a.card)
    n_bad = 0

    run(a.zimage, ["generate", "-m", a.checkpoint, "--device", "cuda", "--width", "256", "--height", "256", "--steps", "1", "-p", "a",
                   "-o", os.path.join(tempfile.mkdtemp(), "warm.png")])            # algorithms are timed, files cached
    print("%-10s %7s %8s %8s %8s %9s %9s %9s %9s %8s %8s %8s  %s" % (
        "size", "budget", "step ms", "bound", "over", "decode ms", "plan MiB", "peak MiB", "plan-peak", "GB/step", "hidden", "run s", ""), flush=True)
    for size in a.sizes:
        width, height = map(int, size.split("x"))
        whole = None
        for budget in [0, *a.budgets]:
            c = cell(a, driver, width, height, budget)
            if "error" in c:
                n_bad += 1
                print("%-10s %7s FAILED: %s" % (size, budget or "-", c["error"]), flush=True)
                continue
            whole = whole or c
            copies = c["step_bytes"] / a.link / 1e9
            bound = max(copies, whole["step"])
            bad = []
            if c["digest"] != whole["digest"]:
                bad.append("OTHER PICTURES")
            if c["peak"] > c["plan"]:
                bad.append("OVER THE PLAN")
            if budget and c["peak"] > budget * GIB:
                bad.append("OVER THE BUDGET")
            if c["plan"] - c["peak"] > max(SLACK, 0.02 * c["peak"]):
                bad.append("PLAN TOO HIGH")
            n_bad += len(bad) > 0
            print("%-10s %7s %8.1f %8.1f %7.1f%% %9.1f %9.0f %9.0f %9.1f %8.2f %8s %8.1f  %s" % (
                size, "%g" % budget if budget else "-", c["step"] * 1e3, bound * 1e3, 100 * (c["step"] / bound - 1), c["decode"] * 1e3,
                c["plan"] / (1 << 20), c["peak"] / (1 << 20), (c["plan"] - c["peak"]) / (1 << 20), c["step_bytes"] / 1e9,
                "%.0f%%" % (100 * max(0, min(1, 1 - (c["step"] - whole["step"]) / copies))) if copies else "", c["seconds"],
                ", ".join(bad)), flush=True)
    print("%d cells are not as they should be" % n_bad if n_bad else "every cell is as it should be")
    return n_bad > 0


if __name__ == "__main__":
    sys.exit(main())
