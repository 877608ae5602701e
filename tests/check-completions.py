#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The shells' completions offer exactly the commands and options that the program's own help names.

usage: check-completions.py ZIMAGE BASH_FILE ZSH_FILE
"""
import os
import re
import shutil
import subprocess
import sys

COMMANDS = ["generate", "plan", "info", "models list", "models catalogue", "models fetch", "models repair", "inspect", "tokenize",
            "devices", "bench"]


def output(*command):
    env = {**os.environ, "LC_ALL": "C.UTF-8"}
    return subprocess.run(command, capture_output=True, text=True, check=True, env=env).stdout


def complete(file, *words):
    """what Bash offers for the last of WORDS"""
    script = 'source "$0"; COMP_WORDS=(zimage "$@"); COMP_CWORD=$#; _zimage; printf "%s\\n" "${COMPREPLY[@]}"'
    return set(output("bash", "-c", script, file, *words).split())


def main():
    zimage, bash, zsh = sys.argv[1:4]
    bad = []

    overview = set(re.findall(r"(?m)^  ([a-z]+) ", output(zimage, "--help")))
    offered = complete(bash, "") - {"--help", "--version", "help"}
    if offered != overview:
        bad.append(f"{bash}: offers the commands {sorted(offered)}, --help names {sorted(overview)}")

    with open(zsh, encoding="utf-8") as file:
        zsh_text = file.read()
    in_help = set()
    for command in COMMANDS:
        options = set(re.findall(r"--[a-z][a-z0-9-]*", "\n".join(
            line.lstrip()[:40] for line in output(zimage, *command.split(), "--help").splitlines() if line.lstrip().startswith("-"))))
        options -= {option for option in options if option.startswith("--help")}
        in_help |= options
        offered = complete(bash, *command.split(), "--") - {"--help"}
        if offered != options:
            bad.append(f"{bash}: {command}: not offered {sorted(options - offered)}, not there {sorted(offered - options)}")
    in_zsh = set(re.findall(r"--[a-z][a-z0-9-]*", zsh_text)) - {"--help", "--version"}
    if in_zsh != in_help:
        bad.append(f"{zsh}: not offered {sorted(in_help - in_zsh)}, not there {sorted(in_zsh - in_help)}")

    if "euler" not in complete(bash, "generate", "--sampler", "e"):
        bad.append(f"{bash}: --sampler does not complete its values")
    if shutil.which("zsh"):
        done = subprocess.run(["zsh", "-n", zsh], capture_output=True, text=True, check=False)
        bad += [done.stderr] if done.returncode else []

    print("\n".join(bad) if bad else f"{len(COMMANDS)} commands are completed as their help says")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
