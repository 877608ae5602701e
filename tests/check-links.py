#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The engine uses no widget library and no network, its command line a network through the hub alone: their symbols say so.

usage: check-links.py LIBRARY_OR_PROGRAM ...
"""
import re
import subprocess
import sys

WIDGETS = r"gtk_|gdk_|adw_|gsk_|pango_"


def main():
    bad = []
    for path in sys.argv[1:]:
        is_library = path.endswith(".a")
        forbidden = re.compile(rf"\b({WIDGETS}|soup_)\w*" if is_library else rf"\b({WIDGETS})\w*")
        symbols = subprocess.run(["nm", "-u", path], capture_output=True, text=True, check=True).stdout
        bad += [f"{path}: uses {m}" for m in sorted({m.group(0) for m in forbidden.finditer(symbols)})]
        if not is_library:
            needed = subprocess.run(["readelf", "-d", path], capture_output=True, text=True, check=True).stdout
            bad += [f"{path}: needs {m}" for m in re.findall(r"NEEDED.*\[(lib(?:gtk|adwaita|gdk|pango)[^\]]*)\]", needed)]
    print("\n".join(bad) if bad else f"{len(sys.argv) - 1} files link what they may")
    return bool(bad) or len(sys.argv) < 2


if __name__ == "__main__":
    sys.exit(main())
