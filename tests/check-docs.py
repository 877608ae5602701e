#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the documents name is there: files, functions, pictures and links, and the program's options; and the table of
environment variables has all of them.

usage: check-docs.py SOURCE_ROOT
"""
import pathlib
import re
import sys

DOCUMENTS = ["README.md", "CONTRIBUTING.md", "THIRD-PARTY.md", "engine/DESIGN.md", "engine/SPEED.md", "data/demo-model/README.md"]
# Files by their kind; models' own files and what a build makes are no files of ours.
FILE = re.compile(r"`([\w./-]+\.(?:c|h|cu|cuh|cpp|py|sh|ui|md|its|in))`")
FOREIGN = {"avx_mathfun.h"}
FUNCTION = re.compile(r"`((?:zie|zis|cli|cuda)_\w+) ?\(\)`")
LINK = re.compile(r"\]\(([^)#:]+)\)")
OPTION = re.compile(r"`(?:zimage [a-z ]+)?(--[a-z][a-z-]+)\b")
# Options of other programs that the documents name.
OTHERS = {"--all", "--bench", "--filter", "--large", "--time", "--rounds", "--resume", "--decoder-s", "--offload-to-cpu", "--fast",
          "--device", "--cuda", "--no-run", "--onednn", "--check"}


def main():
    root = pathlib.Path(sys.argv[1]).resolve()
    files = [path.relative_to(root).as_posix() for folder in ("app", "data", "engine", "po", "tests") for path in (root / folder).rglob("*")]
    files += [path.name for path in root.iterdir() if path.is_file()]
    sources = [root / name for name in files if name.endswith((".c", ".h", ".cu", ".cuh", ".cpp"))]
    text = "\n".join(path.read_text(encoding="utf-8") for path in sources if path.is_file())
    functions = set(re.findall(r"\b((?:zie|zis|cli|cuda)_\w+) \(", text))
    options = {"--" + name for name in re.findall(r'\{ "([a-z][a-z-]+)", ', text)} | OTHERS | {"--help", "--version"}

    bad = []
    for document in DOCUMENTS:
        words = (root / document).read_text(encoding="utf-8")
        for name in set(FILE.findall(words)) - FOREIGN:
            if "NAME" not in name and not any(file == name or file.endswith("/" + name) for file in files):
                bad.append(f"{document} names {name}, which is nowhere")
        bad += [f"{document} names {name}(), which is nowhere" for name in set(FUNCTION.findall(words)) - functions]
        bad += [f"{document} links to {name}, which is not there" for name in set(LINK.findall(words))
                if not (root / document).parent.joinpath(name).exists()]
        bad += [f"{document} names the option {name}, which no program has" for name in set(OPTION.findall(words)) - options]
    # The program's own; tests have theirs.
    programs = "\n".join(path.read_text(encoding="utf-8") for path in sources if path.is_file() and path.relative_to(root).parts[0] in ("app", "engine"))
    table = (root / "engine/DESIGN.md").read_text(encoding="utf-8").split("## Environment variables")[1]
    bad += [f"engine/DESIGN.md lacks the variable {name} in its table" for name in set(re.findall(r'"(ZI[ES]_[A-Z_]+)"', programs)) if f"`{name}" not in table]
    print("\n".join(sorted(bad)) if bad else f"{len(DOCUMENTS)} documents name what is there")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
