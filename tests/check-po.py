#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The translations are whole: POTFILES names every file with words for people, each language has every one of them translated,
none by guessing, and gettext's own checks pass (formats, plurals, one access key a label).

usage: check-po.py SOURCE_ROOT            CONTRIBUTING says how to bring po/ up to date.
"""
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

# As meson's preset "glib" has it: what "ninja zimage-studio-pot" extracts.
XGETTEXT = ["xgettext", "--from-code=UTF-8", "--add-comments", "--keyword=_", "--keyword=N_", "--keyword=C_:1c,2", "--keyword=NC_:1c,2",
            "--keyword=g_dngettext:2,3", "--flag=g_strdup_printf:1:c-format", "--flag=g_set_error:4:c-format"]
WORDS = re.compile(r'\b(?:_|N_|C_|NC_|ngettext) ?\("|\btranslatable="(?:yes|true)"')
ALSO = {"data/com.example.ZImageStudio.desktop.in", "data/com.example.ZImageStudio.gschema.xml",
        "data/com.example.ZImageStudio.metainfo.xml.in", "po/words.h"}


def lines_of(path):
    return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip() and not line.startswith("#")]


def with_words(root):
    found = set(ALSO)
    for folder in ("app", "engine"):
        for path in (root / folder).rglob("*"):
            if path.suffix in (".c", ".h", ".ui") and WORDS.search(path.read_text(encoding="utf-8")):
                found.add(path.relative_to(root).as_posix())
    return found


def run(*command, **options):
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C.UTF-8"}, **options)


def problems_of(po, pot):
    done = run("msgfmt", "--check", "--check-accelerators=_", "-o", os.devnull, str(po))
    if done.returncode or done.stderr.strip():
        yield done.stderr.strip()
    done = run("msgcmp", str(po), str(pot))             # untranslated, fuzzy or not there at all
    if done.returncode:
        yield done.stderr.strip()
    text = po.read_text(encoding="utf-8")
    if re.search(r"(?m)^#~", text):
        yield f"{po}: has entries that nothing uses any more (msgattrib --no-obsolete)"


def main():
    root = pathlib.Path(sys.argv[1]).resolve()
    bad = []

    listed = lines_of(root / "po/POTFILES")
    bad += [f"po/POTFILES lacks {name}" for name in sorted(with_words(root) - set(listed))]
    bad += [f"po/POTFILES names {name}, which has no words" for name in sorted(set(listed) - with_words(root))]
    bad += ["po/POTFILES is not in order"] if listed[3:] != sorted(listed[3:]) else []
    words = (root / "po/words.h").read_text(encoding="utf-8")
    with open(root / "data/catalogue.json", encoding="utf-8") as file:
        bad += [f"po/words.h lacks the summary of {model['id']}" for model in json.load(file)["models"] if f'N_("{model["summary"]}")' not in words]
    languages = {word for line in lines_of(root / "po/LINGUAS") for word in line.split()}
    files = {path.stem for path in (root / "po").glob("*.po")}
    bad += [f"po/LINGUAS and the files in po/ differ: {sorted(languages ^ files)}"] if languages != files else []

    with tempfile.TemporaryDirectory() as folder:
        pot = pathlib.Path(folder, "zimage-studio.pot")
        done = run(*XGETTEXT, "--files-from=po/POTFILES", "-o", str(pot), cwd=root)
        bad += [done.stderr] if done.returncode else []
        for language in sorted(files) if pot.exists() else []:
            bad += problems_of(root / "po" / f"{language}.po", pot)
        n_messages = pot.read_text(encoding="utf-8").count("\nmsgid ") - 1 if pot.exists() else 0

    print("\n".join(bad) if bad else f"{n_messages} messages in {len(files)} languages are whole")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
