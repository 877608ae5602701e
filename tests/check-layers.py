#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Holds the #include lines of engine/ and app/ against the table of engine/DESIGN.md, "Folders and the rule of direction".

usage: check-layers.py [SOURCE_ROOT]
"""
import pathlib
import re
import sys

# folder: the folders whose headers it may include, besides its own and the plain data of include/zie named below
LAYERS = {
    "base": [],
    "formats": ["base"],
    "ops": ["base"],
    "backend": ["base", "ops"],
    "backend/ref": ["base", "ops", "backend"],
    "backend/cpu": ["base", "ops", "backend"],
    "backend/cuda": ["base", "ops", "backend"],
    "memory": ["base", "formats", "ops"],
    "text": ["base", "formats", "ops", "memory"],
    "model": ["base", "formats", "ops", "memory"],
    "sample": ["base", "formats", "ops", "memory"],
    "run": ["base", "formats", "ops", "backend", "memory", "text", "model", "sample", "include/zie"],
    "hub": ["include/zie"],
    "cli": ["include/zie", "hub"],
    "include/zie": [],
}
APP = ["include/zie", "hub"]

# The public headers that hold nothing but names, numbers and errors: any folder may use them.
DATA_HEADERS = {"zie-types.h", "zie-error.h", "zie-device.h", "zie-image.h"}

# Foreign headers that are not for everyone: pattern, and where in engine/ it may stand.
FOREIGN = [
    (r"gtk/|gdk/|adwaita|pango|cairo", []),
    (r"libsoup/", ["hub"]),
    (r"gio/", ["hub", "cli"]),
    (r"json-glib/", ["base", "formats", "text", "run", "hub", "cli"]),
    (r"png\.h", ["formats", "run"]),
    (r"(oneapi/)?dnnl", ["backend/cpu"]),
    (r"cuda|cublas|cudnn|nvml", ["backend/cuda"]),
]

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)
SUFFIXES = {".c", ".h", ".cu", ".cuh"}


def folder_of(path, engine):
    return path.parent.relative_to(engine).as_posix()


def problems_of(source, folder, engine, headers):
    """What SOURCE, of FOLDER ("app" for the application), includes and should not."""
    allowed = APP if folder == "app" else LAYERS[folder]
    for _, name in INCLUDE.findall(source.read_text(encoding="utf-8")):
        if (source.parent / name).is_file():
            continue
        base = name.rsplit("/", 1)[-1]
        owner = "include/zie" if name.startswith("zie/") else headers.get(name)
        if owner is not None:
            if owner == folder or owner in allowed or (owner == "include/zie" and base in DATA_HEADERS):
                continue
            yield f"includes {name} of {owner}; {folder} may include {', '.join(allowed) or 'nothing of ours'}"
        elif folder != "app":
            for pattern, places in FOREIGN:
                if re.match(pattern, name) and folder not in places:
                    yield f"includes {name}, which is {'for ' + ', '.join(places) if places else 'not for the engine'}"


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
    engine = root / "engine"
    sources = sorted(p for p in engine.rglob("*") if p.suffix in SUFFIXES)
    headers, bad = {}, []

    for path in sources:
        folder = folder_of(path, engine)
        if folder not in LAYERS:
            bad.append(f"{path.relative_to(root)}: the folder {folder} is not in the table of tests/check-layers.py")
        elif path.suffix in (".h", ".cuh") and folder != "include/zie":
            if path.name in headers:
                bad.append(f"{path.relative_to(root)}: {headers[path.name]} has a header of this name too")
            headers[path.name] = folder

    for path in sources:
        folder = folder_of(path, engine)
        if folder in LAYERS:
            bad += [f"{path.relative_to(root)}: {p}" for p in problems_of(path, folder, engine, headers)]
    for path in sorted(p for p in (root / "app").rglob("*") if p.suffix in SUFFIXES):
        bad += [f"{path.relative_to(root)}: {p}" for p in problems_of(path, "app", engine, headers)]

    print("\n".join(bad) if bad else f"{len(sources)} files of the engine keep the rule of direction")
    return bool(bad) or not sources


if __name__ == "__main__":
    sys.exit(main())
