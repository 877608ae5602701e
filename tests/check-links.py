#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The engine and its command line use no widget library and no network: their symbols say so.

usage: check-links.py LIBRARY_OR_PROGRAM ...
"""
import re
import subprocess
import sys

FORBIDDEN = re.compile(r"\b(gtk_|gdk_|adw_|gsk_|pango_|soup_)\w*")


def main():
    bad = []
    for path in sys.argv[1:]:
        symbols = subprocess.run(["nm", "-u", path], capture_output=True, text=True, check=True).stdout
        bad += [f"{path}: uses {m}" for m in sorted({m.group(0) for m in FORBIDDEN.finditer(symbols)})]
        if not path.endswith(".a"):
            needed = subprocess.run(["readelf", "-d", path], capture_output=True, text=True, check=True).stdout
            bad += [f"{path}: needs {m}" for m in re.findall(r"NEEDED.*\[(lib(?:gtk|adwaita|soup|gdk|pango)[^\]]*)\]", needed)]
    print("\n".join(bad) if bad else f"{len(sys.argv) - 1} files link neither widgets nor network")
    return bool(bad) or len(sys.argv) < 2


if __name__ == "__main__":
    sys.exit(main())
