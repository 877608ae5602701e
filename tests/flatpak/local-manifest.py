#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The manifest as it is built where it cannot be built as it stands.

usage: local-manifest.py [--onednn-of-sdk | --onednn-source FILE|DIR] [--cuda DIR [--targets 80,90a]] MANIFEST OUT

--onednn-of-sdk   takes Debian's oneDNN out of the stand-in SDK instead of building upstream's archive
--onednn-source   builds oneDNN from an archive that lies here, which has to have the manifest's checksum, or from an unpacked folder
--cuda DIR        switches the CUDA module on, with the toolkit in DIR: nvcc, nvvm, headers and libcudart_static are copied beside OUT
"""
import argparse
import json
import os
import pathlib
import shutil

# Of a toolkit of 7 GB, what compiling takes.
TOOLKIT = ["bin/nvcc", "bin/nvcc.profile", "bin/cudafe++", "bin/ptxas", "bin/fatbinary", "bin/nvlink", "bin/bin2c", "bin/crt",
           "nvvm/bin/cicc", "nvvm/libdevice", "include", "lib64/libcudart_static.a", "lib64/libcudadevrt.a", "lib64/libculibos.a"]


def onednn_of_sdk(module):
    return {
        "name": module["name"],
        "buildsystem": "simple",
        "build-commands": [
            "mkdir -p /app/lib /app/include",
            "cp -a /usr/lib/*-linux-gnu/libdnnl.so* /app/lib/",
            "cp -a /usr/include/oneapi /usr/include/dnnl*.h* /app/include/",
        ],
        "sources": [],
    }


def onednn_from(module, source):
    """the module with its sources from here; flatpak-builder compares the checksum of an archive"""
    archive = module["sources"][0]
    path = os.path.abspath(source)
    here = {"type": "dir", "path": path} if source.is_dir() else {"type": archive["type"], "path": path, "sha256": archive["sha256"]}
    return {**module, "sources": [here]}


def copy_toolkit(source, folder):
    shutil.rmtree(folder, ignore_errors=True)
    for name in TOOLKIT:
        found = source / name
        if name.startswith("lib64/") and not found.exists():
            found = source / "lib" / name[len("lib64/"):]
        if not found.exists():
            continue
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if found.is_dir():
            shutil.copytree(found, target)
        else:
            shutil.copy2(found, target)


def main():
    parser = argparse.ArgumentParser()
    onednn = parser.add_mutually_exclusive_group()
    onednn.add_argument("--onednn-of-sdk", action="store_true")
    onednn.add_argument("--onednn-source", type=pathlib.Path)
    parser.add_argument("--cuda", type=pathlib.Path)
    parser.add_argument("--targets")
    parser.add_argument("manifest", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    options = parser.parse_args()

    manifest = json.loads(options.manifest.read_text(encoding="utf-8"))
    modules = {module["name"]: module for module in manifest["modules"]}
    onednn = modules["onednn"]
    if options.onednn_of_sdk:
        manifest["modules"][manifest["modules"].index(onednn)] = onednn_of_sdk(onednn)
    elif options.onednn_source:
        if not options.onednn_source.exists():
            parser.error(f"{options.onednn_source}: there is no such archive or folder")
        manifest["modules"][manifest["modules"].index(onednn)] = onednn_from(onednn, options.onednn_source)
    if options.cuda:
        folder = options.out.parent / "cuda-toolkit"
        copy_toolkit(options.cuda, folder)
        modules["cuda-toolkit"]["disabled"] = False
        modules["cuda-toolkit"]["sources"][0]["path"] = os.path.abspath(folder)
        opts = modules["zimage-studio"]["config-opts"]
        opts[opts.index("-Dcuda=disabled")] = "-Dcuda=enabled"
        opts += [f"-Dgpu_targets={options.targets}"] if options.targets else []
    # The manifest's own folder is the source; this one lies elsewhere.
    for source in modules["zimage-studio"]["sources"]:
        source["path"] = os.path.abspath(options.manifest.parent / source["path"])
    options.out.write_text(json.dumps(manifest, indent=4), encoding="utf-8")


if __name__ == "__main__":
    main()
