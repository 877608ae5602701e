#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Looks at every file of the repository: the licence line, and nothing that only made sense where it was written.

usage: check-tree.py [SOURCE_ROOT]
"""
import os
import pathlib
import re
import subprocess
import sys

LICENCE = "SPDX-License-Identifier: Apache-2.0"
CODE = {".c", ".h", ".cu", ".cuh", ".cpp", ".py", ".sh"}
SCRIPTS = {"dev", ".ci/run"}

# Paths outside of a clone (in pieces, so that this file may look at itself), and words that mark unfinished work.
OUTSIDE = re.compile("|".join([r"\.\./" + "shared", r"(?<![\w.*~-])/" + "work/"]))
UNFINISHED = re.compile(r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME"]) + r")\b")


def tracked(root):
    """The files that git knows, or all of them where it is no clone."""
    try:
        out = subprocess.run(["git", "-C", str(root), "ls-files", "-z"], capture_output=True, check=True).stdout
        files = [root / os.fsdecode(name) for name in out.split(b"\0") if name]
        if files:
            return [f for f in files if f.is_file()]
    except (OSError, subprocess.CalledProcessError):
        pass
    return [p for p in root.rglob("*") if p.is_file()
            and not any(part.startswith("build") or part == ".git" for part in p.relative_to(root).parts)]


def problems_of(path, name):
    if name.startswith("tests/fuzz/corpus/"):
        return                      # hostile on purpose
    data = path.read_bytes()
    if b"\0" in data[:8192]:
        return
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        yield "is not UTF-8 text"
        return

    if (path.suffix in CODE or name in SCRIPTS) and LICENCE not in "\n".join(text.split("\n", 3)[:3]):
        yield f"its first lines lack '{LICENCE}'"
    for number, line in enumerate(text.split("\n"), 1):
        if OUTSIDE.search(line):
            yield f"line {number} names a path outside of the repository: {line.strip()[:80]}"
        if path.suffix in CODE and UNFINISHED.search(line):
            yield f"line {number} marks unfinished work: {line.strip()[:80]}"
        if line.startswith(("<<<<<<< ", ">>>>>>> ")):
            yield f"line {number} is left over from a merge"


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
    files = sorted(tracked(root))
    bad = []
    for path in files:
        name = path.relative_to(root).as_posix()
        bad += [f"{name}: {problem}" for problem in problems_of(path, name)]
    print("\n".join(bad) if bad else f"{len(files)} files are in order")
    return bool(bad) or not files


if __name__ == "__main__":
    sys.exit(main())
