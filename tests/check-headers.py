#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compiles every header of the engine alone: in C, and the public ones in C++ too.

usage: check-headers.py SOURCE_ROOT BUILD_ROOT CXX|- CC [CC_ARG ...]
"""
import pathlib
import subprocess
import sys

WARNINGS = ["-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter", "-Wno-missing-field-initializers"]


def compile_alone(compiler, language, header, flags):
    source = f'#include "{header}"\n#include "{header}"\n'
    result = subprocess.run([*compiler, "-x", language, "-fsyntax-only", *WARNINGS, *flags, "-"], input=source.encode(),
                            capture_output=True)
    return result.stderr.decode("utf-8", "replace") if result.returncode else ""


def main():
    root, build, cxx, cc = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4:]
    engine = root / "engine"
    packages = ["glib-2.0", "json-glib-1.0", "gio-unix-2.0", "libsoup-3.0", "libpng"]
    libraries = subprocess.run(["pkg-config", "--cflags", *packages], capture_output=True, text=True, check=True).stdout.split()
    public_flags = ["-I" + str(engine / "include"), "-I" + build, *libraries]
    folders = sorted({str(h.parent) for h in engine.rglob("*.h") if "include" not in h.parts})
    internal_flags = ["-D_GNU_SOURCE", *["-I" + f for f in folders], *public_flags]

    failures, n = [], 0
    for header in sorted(engine.rglob("*.h")):
        if "cuda" in header.parts:
            continue
        is_public = "include" in header.parts
        name = "zie/" + header.name if is_public else str(header)
        tries = [(cc, "c", ["-std=c17", *(public_flags if is_public else internal_flags)])]
        if is_public and cxx != "-":
            tries.append(([cxx], "c++", ["-std=c++17", *public_flags]))
        for compiler, language, flags in tries:
            n += 1
            message = compile_alone(compiler, language, name, flags)
            if message:
                failures.append(f"{header.relative_to(root)} does not compile alone as {language}:\n{message}")

    print("\n".join(failures) if failures else f"{n} headers compile alone")
    return bool(failures) or n == 0


if __name__ == "__main__":
    sys.exit(main())
