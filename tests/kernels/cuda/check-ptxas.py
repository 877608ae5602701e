#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reads what ptxas -v said of each kernel and fails where registers did not suffice: numbers that spill to memory, arrays
that live on a stack, warpgroup products that wait for each other.

usage: check-ptxas.py REPORT ...
"""
import pathlib
import re
import shutil
import subprocess
import sys

# Kernels that may, by a pattern for their readable name, and why.
ALLOWED = {}

# Lines that mean a slow kernel: wgmma is serialised (C7508, C7510, C7512 …), setmaxnreg is ignored.
SLOW = re.compile(r"\(C75\d\d\)|wgmma.*serializ|setmaxnreg.*ignored", re.I)

ENTRY = re.compile(r"Compiling entry function '([^']+)' for '([^']+)'")
FUNCTION = re.compile(r"Function properties for '?([^\s']+)")
FRAME = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
REGISTERS = re.compile(r"Used (\d+) registers")


def readable(names):
    """Names as a person writes them, where c++filt is there."""
    filt = shutil.which("c++filt")
    if not filt or not names:
        return dict(zip(names, names))
    out = subprocess.run([filt], input="\n".join(names), capture_output=True, text=True, check=True).stdout
    return dict(zip(names, out.rstrip("\n").split("\n")))


def read(path):
    """The kernels of a report as (mangled name, target, stack, stores, loads, registers), and its lines that mean slow."""
    kernels, slow = [], []
    name = target = None
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        if m := ENTRY.search(line):
            name, target = m.groups()
        elif m := FUNCTION.search(line):
            name = m.group(1)
        elif m := FRAME.search(line):
            kernels.append([name or "a function without a name", target or "?", *map(int, m.groups()), 0])
        elif (m := REGISTERS.search(line)) and kernels:
            kernels[-1][5] = int(m.group(1))
        if SLOW.search(line):
            slow.append(line.strip())
    return kernels, slow


def main():
    bad, n, most, targets = [], 0, 0, set()
    if len(sys.argv) < 2:
        print(__doc__.strip())
        return 1
    for report in map(pathlib.Path, sys.argv[1:]):
        kernels, slow = read(report)
        if not kernels:
            bad.append(f"{report.name}: no kernel in it; was it compiled with -Xptxas -v?")
        bad += [f"{report.name}: {line}" for line in slow]
        names = readable(sorted({k[0] for k in kernels}))
        for name, target, stack, stores, loads, registers in kernels:
            n, most = n + 1, max(most, registers)
            targets.add(target)
            if (stack or stores or loads) and not any(re.search(p, names[name]) for p in ALLOWED):
                bad.append(f"{report.name}: {names[name]} for {target}: {stack} bytes of stack, {stores} spilled, {loads} read "
                           f"back, with {registers} registers")
    print("\n".join(bad) if bad else f"{n} kernels for {', '.join(sorted(targets))} keep to their registers (at most {most})")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
