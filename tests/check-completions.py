#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The shells' completions offer exactly the commands and options that the program's own help names, and the manual explains them.

usage: check-completions.py ZIMAGE BASH_FILE ZSH_FILE MANUAL [ZIMAGE_STUDIO BASH_FILE ZSH_FILE]
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
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):       # of a desktop that may be there: none of it is needed
        env.pop(name, None)
    return subprocess.run(command, capture_output=True, text=True, check=True, env=env).stdout


def complete(file, *words, program="zimage"):
    """what Bash offers for the last of WORDS"""
    script = ('source "$0"; program=$1; shift; COMP_WORDS=("$program" "$@"); COMP_CWORD=$#; _${program//-/_}; '
              'printf "%s\\n" "${COMPREPLY[@]}"')
    return set(output("bash", "-c", script, file, program, *words).split())


def check_window(program, bash, zsh):
    """what is wrong of the window's program, which has few options and GApplication's own"""
    bad = []
    os.environ["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"       # GTK's; tests/ui looks for ours
    options = set(re.findall(r"(?m)^ .*?(--[a-z][a-z-]*)", output(program, "--help")))
    options -= {option for option in options if option.startswith("--help-")}
    offered = complete(bash, "--", program="zimage-studio") - {"--gapplication-service"}
    if options != offered or "--version" not in options:
        bad.append(f"{bash}: offers {sorted(offered)}, --help names {sorted(options)}")
    with open(zsh, encoding="utf-8") as file:
        in_zsh = set(re.findall(r"--[a-z][a-z-]*", file.read())) - {"--gapplication-service"}
    if options != in_zsh:
        bad.append(f"{zsh}: offers {sorted(in_zsh)}, --help names {sorted(options)}")
    if not re.fullmatch(r"zimage-studio \d+\.\d+\.\d+\n", output(program, "--version")):
        bad.append(f"{program} --version: {output(program, '--version')!r}")
    if "FILE.png" not in output(program, "--help"):
        bad.append(f"{program} --help does not say what it takes")
    return bad


def main():
    zimage, bash, zsh, manual = sys.argv[1:5]
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

    with open(manual, encoding="utf-8") as file:
        man = file.read().replace("\\-", "-")
    commands_part = man[man.index(".SH COMMANDS"):man.index(".SH OPTIONS")]
    # With a paragraph of its own, or in that of its command.
    paragraphs = re.findall(r"(?m)^\.TP\n(\.B.*--.*)$", man) + re.findall(r"(?m)^\.B.*--.*$", commands_part)
    explained = set(re.findall(r"--[a-z][a-z0-9-]*", "\n".join(paragraphs)))
    if explained - {"--help", "--version"} != in_help:
        bad.append(f"{manual}: not explained {sorted(in_help - explained)}, not there {sorted(explained - in_help)}")
    commands = set(re.findall(r"(?m)^\.TP\n\.B ([a-z]+)$", commands_part))
    if commands != overview | {"help"}:
        bad.append(f"{manual}: explains the commands {sorted(commands)}, --help names {sorted(overview)}")
    named = set(re.findall(r"zimage ([a-z]+(?: [a-z]+)?)\b", "\n".join(re.findall(r"(?m)^\.B(?:R)? .*", man[:man.index(".SH DESCRIPTION")]))))
    missing = {command.split()[0] for command in COMMANDS} - {name.split()[0] for name in named}
    bad += [f"{manual}: the synopsis lacks {sorted(missing)}"] if missing else []

    if "euler" not in complete(bash, "generate", "--sampler", "e"):
        bad.append(f"{bash}: --sampler does not complete its values")
    if shutil.which("zsh"):
        done = subprocess.run(["zsh", "-n", zsh], capture_output=True, text=True, check=False)
        bad += [done.stderr] if done.returncode else []

    if len(sys.argv) > 5:
        bad += check_window(*sys.argv[5:8])

    print("\n".join(bad) if bad else f"{len(COMMANDS)} commands are completed and explained as their help says")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
