#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the Flatpak's manifest and the metainfo promise: least permissions, pinned sources whose checksums say where they are
from, screenshots that are there in the size they say, one version everywhere, and words in the length that shops show.

usage: check-packages.py SOURCE_ROOT
"""
import json
import pathlib
import re
import struct
import sys
import xml.etree.ElementTree

APP = "com.example.ZImageStudio"
# Files come and go through portals.
PERMISSIONS = {"--share=ipc", "--share=network", "--socket=wayland", "--socket=fallback-x11", "--device=dri"}


def problems_of_manifest(root):
    manifest = json.loads((root / f"{APP}.json").read_text(encoding="utf-8"))
    if manifest["id"] != APP:
        yield f"the manifest of {APP} is of {manifest['id']}"
    if set(manifest["finish-args"]) != PERMISSIONS:
        yield f"permissions {sorted(set(manifest['finish-args']) ^ PERMISSIONS)} are new, or lacking"
    for module in manifest["modules"]:
        for source in module["sources"]:
            if "url" in source and not (re.fullmatch(r"[0-9a-f]{64}", source.get("sha256", "")) and source.get("x-checksum-from")):
                yield f"{source['url']}: no checksum, or not from where it is"
    # What dev builds must not travel into the sandbox; "build-bundle" is a command of flatpak.
    skipped = set(manifest["modules"][-1]["sources"][0]["skip"])
    built = set(re.findall(r"\bbuild(?:-[a-z0-9-]*[a-z0-9])?(?=[/ \"])", (root / "dev").read_text(encoding="utf-8"))) - {"build-bundle"}
    if built - skipped:
        yield f"the manifest copies {sorted(built - skipped)}, too"


def png_size(path):
    with open(path, "rb") as file:
        return struct.unpack(">II", file.read(24)[16:])


def problems_of_metainfo(root):
    tree = xml.etree.ElementTree.parse(root / f"data/{APP}.metainfo.xml.in").getroot()
    if len(tree.findtext("name")) >= 20 or len(tree.findtext("summary")) > 35 or tree.findtext("summary").endswith("."):
        yield "name or summary are longer than shops show (19 and 35 letters), or the summary ends in a full stop"
    version = re.search(r"(?m)^  version: '([\d.]+)'", (root / "meson.build").read_text(encoding="utf-8")).group(1)
    newest = tree.find("releases/release").get("version")
    if newest != version:
        yield f"the newest release is {newest}, the program {version}"
    for image in tree.iterfind("screenshots/screenshot/image"):
        path = root / "data/screenshots" / image.text.rsplit("/", 1)[1]
        said = int(image.get("width")), int(image.get("height"))
        if not path.exists() or png_size(path) != said:
            yield f"{image.text}: data/screenshots has no such picture of {said[0]} x {said[1]}"
        if said[0] > 1000 or said[1] > 700:
            yield f"{image.text}: larger than 1000 x 700"


def main():
    root = pathlib.Path(sys.argv[1]).resolve()
    bad = [*problems_of_manifest(root), *problems_of_metainfo(root)]
    print("\n".join(bad) if bad else "manifest and metainfo are in order")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
