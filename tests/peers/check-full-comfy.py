#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A checkpoint of full size as ComfyUI's files, beside the diffusers directory it was made from: the same picture from both.

    check-full-comfy.py ZIMAGE CHECKPOINT FOLDER [--side 256] [--steps 1] [--dtype bf16] [--keep]

CHECKPOINT is what make_random_checkpoint.py writes (or the model itself).  FOLDER gets models/diffusion_models (fused qkv, prefixed),
models/text_encoders and models/vae (the original names), 20 GB that are copied byte by byte; they are removed at the end unless
--keep says otherwise, and used where they lie.  Prints the time and the memory of both and ends with 0 where the pixels are equal.
Plain Python."""

import argparse
import json
import os
import re
import resource
import shutil
import struct
import subprocess
import sys
import time
import zlib

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import make_random_checkpoint as weights  # noqa: E402

PIECE = 16 << 20
PREFIX = "model.diffusion_model."


class Component:
    """The tensors of a diffusers component, sharded or not: name to (file, type, shape, offset, size)."""

    def __init__(self, folder):
        with open(os.path.join(folder, "config.json"), encoding="utf-8") as f:
            self.config = json.load(f)
        self.tensors = {}
        for name in sorted(os.listdir(folder)):
            if not name.endswith(".safetensors"):
                continue
            path = os.path.join(folder, name)
            with open(path, "rb") as f:
                (size,) = struct.unpack("<Q", f.read(8))
                header = json.loads(f.read(size))
            for tensor, info in header.items():
                if tensor != "__metadata__":
                    begin, end = info["data_offsets"]
                    self.tensors[tensor] = (path, info["dtype"], info["shape"], 8 + size + begin, end - begin)


def copy(out, path, offset, size):
    with open(path, "rb") as f:
        f.seek(offset)
        while size > 0:
            piece = f.read(min(PIECE, size))
            if not piece:
                raise SystemExit("%s: ends too early" % path)
            out.write(piece)
            size -= len(piece)
        os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)      # others on this machine have a use for the memory


def write(path, component, items):
    """items: (new name, new shape, names that lie one after the other in it)."""
    if os.path.exists(path):
        return
    header, at = {}, 0
    for new, shape, names in items:
        size = sum(component.tensors[n][4] for n in names)
        header[new] = {"dtype": component.tensors[names[0]][1], "shape": list(shape), "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path + ".part", "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        for _, _, names in items:
            for name in names:
                copy(out, component.tensors[name][0], *component.tensors[name][3:])
        out.flush()
        os.fsync(out.fileno())
        os.posix_fadvise(out.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    os.rename(path + ".part", path)


def write_comfy(checkpoint, folder):
    transformer, text, vae = (Component(os.path.join(checkpoint, part)) for part in ("transformer", "text_encoder", "vae"))
    write(os.path.join(folder, "diffusion_models", "z_image_turbo.safetensors"), transformer,
          [(PREFIX + new, shape, [s[1] for s in src]) for new, shape, _, src in weights.comfy_transformer(transformer.config)])
    write(os.path.join(folder, "text_encoders", "qwen_3_4b.safetensors"), text,
          [(name, info[2], [name]) for name, info in text.tensors.items()])
    write(os.path.join(folder, "vae", "ae.safetensors"), vae,
          [(new, shape, [src[0][1]]) for new, shape, _, src in weights.comfy_vae(vae.config)])
    return folder


def pixels(path):
    with open(path, "rb") as f:
        data = f.read()
    at, packed = 8, b""
    while at < len(data):
        (n,), kind = struct.unpack(">I", data[at:at + 4]), data[at + 4:at + 8]
        packed += data[at + 8:at + 8 + n] if kind == b"IDAT" else b""
        at += n + 12
    return zlib.decompress(packed)


def paint(a, name, model):
    out = os.path.join(a.folder, name + ".png")
    command = [a.zimage, "generate", "--model", model, "--prompt", "a red cat on a blue sofa", "--width", str(a.side), "--height", str(a.side),
               "--steps", str(a.steps), "--seed", "7", "--device", "cpu", "--dtype", a.dtype, "--output", out]
    begin = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit("%s: status %d\n%s" % (name, done.returncode, done.stderr))
    words = re.sub(r"\s+", " ", (done.stderr + done.stdout).strip().splitlines()[-1])
    print("%-10s %6.1f s, peak %.1f GB with the mapped files; %s" % (
        name, time.monotonic() - begin, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6, words), flush=True)
    return pixels(out)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("zimage")
    ap.add_argument("checkpoint")
    ap.add_argument("folder")
    ap.add_argument("--side", type=int, default=256)
    ap.add_argument("--steps", type=int, default=1)
    ap.add_argument("--dtype", default="bf16")
    ap.add_argument("--keep", action="store_true")
    a = ap.parse_args()
    a.zimage, models = os.path.abspath(a.zimage), os.path.join(a.folder, "models")
    try:
        begin = time.monotonic()
        write_comfy(a.checkpoint, models)
        print("written in %.0f s" % (time.monotonic() - begin), flush=True)
        info = subprocess.run([a.zimage, "info", models], capture_output=True, text=True, check=False)
        print(info.stdout or info.stderr, flush=True)
        comfy, own = paint(a, "comfy", models), paint(a, "diffusers", a.checkpoint)
        same = comfy == own
        print("the same pixels" if same else "other pixels: FAILED")
    finally:
        if not a.keep:
            shutil.rmtree(models, ignore_errors=True)
    return not same


if __name__ == "__main__":
    sys.exit(main())
