#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Fuzzes one target for a while, from its corpus, in a folder that goes away: run-fuzz.py TARGET CORPUS SECONDS [libFuzzer options]

Exits with libFuzzer's status; what made it fail is printed as base64, to be kept in the corpus."""

import base64
import os
import pathlib
import subprocess
import sys
import tempfile


def main():
    target, corpus, seconds, *options = sys.argv[1:]
    target = os.path.abspath(target)
    words = pathlib.Path(__file__).with_name("words.dict")
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        new = os.path.join(folder, "new")
        os.mkdir(new)
        status = subprocess.run([target, new, os.path.abspath(corpus), "-max_total_time=" + seconds, "-timeout=10", "-rss_limit_mb=1024",
                                 "-malloc_limit_mb=512", "-print_final_stats=1", "-verbosity=1", "-dict=" + str(words), *options], cwd=folder).returncode
        for path in sorted(pathlib.Path(folder).glob("*-*")):
            if path.is_file():
                print(path.name, base64.b64encode(path.read_bytes()).decode())
    return status


if __name__ == "__main__":
    sys.exit(main())
