#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Write a random Z-Image-Turbo checkpoint in the diffusers directory layout.

No real weights can be had where this project is built, so every speed, memory
and numeric comparison runs on weights this script makes.  The same bytes are
fed to every program that is compared: diffusers, the other peers and our own
engine.

    OUT/model_index.json
    OUT/scheduler/scheduler_config.json
    OUT/transformer/{config.json, diffusion_pytorch_model*.safetensors[, index]}
    OUT/text_encoder/{config.json, model*.safetensors[, index]}
    OUT/vae/{config.json, diffusion_pytorch_model.safetensors}

The tokenizer is left out (it is data, not weights).  With --comfy DIR the same
weights are also written under the single-file names that other loaders expect
(fused qkv, the VAE in the original autoencoder's names).

How a value is made
-------------------
Every tensor is a pure function of (seed, tensor name, element index), so any
one tensor can be made again alone, in any language, with no generator state:

    key  = fnv1a64("<component>/<tensor name>") ^ mix(seed)
    h    = mix(key + (i + 1) * 0x9E3779B97F4A7C15)          (mod 2^64)
    n    = h[0:16] + h[16:32] + h[32:48] + h[48:64] - 131070  (four 16-bit fields)
    w    = float32(n) * float32(std / 37837.22724) [+ float32(mean)]

mix() is the splitmix64 finaliser.  n is a bell-shaped integer in +-131070, so
values never leave +-3.47 std.  The product and the sum are two separate
float32 roundings (no fused multiply-add), then the value is rounded to the
file's type, to nearest even.  The three backends below (torch, numpy, plain
Python) give the same bytes; --digest prints a sha256 of them to compare.

Scales
------
Matrices get std 1/sqrt(fan_in), so each keeps the variance of its input; norm
weights sit near 1, q/k norm weights near 1.5 so that attention is peaked
enough for a wrong rotary embedding or a wrong softmax scale to show; the
modulation layers get half that gain, so that the residual stream stays within
a few units through all layers.  The autoencoder's last convolution has gain
0.7, which keeps most pixels inside [-1, 1].
"""
import argparse
import hashlib
import json
import math
import os
import re
import struct
import sys
import time

GOLDEN = 0x9E3779B97F4A7C15
C1 = 0xBF58476D1CE4E5B9
C2 = 0x94D049BB133111EB
M64 = (1 << 64) - 1
UNIT = math.sqrt(4.0 * (65536.0 ** 2 - 1.0) / 12.0)  # std of the integer n

# --------------------------------------------------------------------------
# Configurations
# --------------------------------------------------------------------------


def full_config():
    return {
        "transformer": {
            "_class_name": "ZImageTransformer2DModel",
            "_diffusers_version": "0.36.0.dev0",
            "all_f_patch_size": [1],
            "all_patch_size": [2],
            "axes_dims": [32, 48, 48],
            "axes_lens": [1536, 512, 512],
            "cap_feat_dim": 2560,
            "dim": 3840,
            "in_channels": 16,
            "n_heads": 30,
            "n_kv_heads": 30,
            "n_layers": 30,
            "n_refiner_layers": 2,
            "norm_eps": 1e-05,
            "qk_norm": True,
            "rope_theta": 256.0,
            "t_scale": 1000.0,
        },
        "text_encoder": {
            "architectures": ["Qwen3ForCausalLM"],
            "attention_bias": False,
            "attention_dropout": 0.0,
            "bos_token_id": 151643,
            "eos_token_id": 151645,
            "head_dim": 128,
            "hidden_act": "silu",
            "hidden_size": 2560,
            "initializer_range": 0.02,
            "intermediate_size": 9728,
            "max_position_embeddings": 40960,
            "max_window_layers": 36,
            "model_type": "qwen3",
            "num_attention_heads": 32,
            "num_hidden_layers": 36,
            "num_key_value_heads": 8,
            "rms_norm_eps": 1e-06,
            "rope_scaling": None,
            "rope_theta": 1000000,
            "sliding_window": None,
            "tie_word_embeddings": True,
            "torch_dtype": "bfloat16",
            "use_cache": True,
            "use_sliding_window": False,
            "vocab_size": 151936,
        },
        "vae": {
            "_class_name": "AutoencoderKL",
            "_diffusers_version": "0.36.0.dev0",
            "act_fn": "silu",
            "block_out_channels": [128, 256, 512, 512],
            "down_block_types": ["DownEncoderBlock2D"] * 4,
            "force_upcast": True,
            "in_channels": 3,
            "latent_channels": 16,
            "latents_mean": None,
            "latents_std": None,
            "layers_per_block": 2,
            "mid_block_add_attention": True,
            "norm_num_groups": 32,
            "out_channels": 3,
            "sample_size": 1024,
            "scaling_factor": 0.3611,
            "shift_factor": 0.1159,
            "up_block_types": ["UpDecoderBlock2D"] * 4,
            "use_post_quant_conv": False,
            "use_quant_conv": False,
        },
        "scheduler": {
            "_class_name": "FlowMatchEulerDiscreteScheduler",
            "_diffusers_version": "0.36.0.dev0",
            "num_train_timesteps": 1000,
            "shift": 3.0,
            "use_dynamic_shifting": False,
        },
    }


def tiny_config():
    """Same structure, same head size and rotary axes, a few MiB in all.

    dim 384 keeps the feed-forward width whole (384 / 3 * 8 = 1024) and the
    heads at 128; every ratio the code could hard-wire differs from full size.
    """
    c = full_config()
    c["transformer"].update(cap_feat_dim=256, dim=384, n_heads=3, n_kv_heads=3,
                            n_layers=4, n_refiner_layers=2)
    c["text_encoder"].update(hidden_size=256, intermediate_size=640,
                             num_attention_heads=4, num_key_value_heads=2,
                             num_hidden_layers=4, max_window_layers=4,
                             vocab_size=2048, bos_token_id=2043, eos_token_id=2045)
    c["vae"].update(block_out_channels=[32, 64, 64, 64], sample_size=256)
    return c


# --------------------------------------------------------------------------
# Tensor lists: name -> shape, in the order they are written
# --------------------------------------------------------------------------

ADALN = 256  # width of the timestep embedding that drives modulation


def transformer_tensors(c):
    d = c["dim"]
    ffn = int(d / 3 * 8)
    hd = d // c["n_heads"]
    mod = min(d, ADALN)
    out = []

    def block(prefix, modulated):
        out.extend([
            (prefix + "attention.to_q.weight", (d, d)),
            (prefix + "attention.to_k.weight", (c["n_kv_heads"] * hd, d)),
            (prefix + "attention.to_v.weight", (c["n_kv_heads"] * hd, d)),
            (prefix + "attention.to_out.0.weight", (d, d)),
            (prefix + "attention.norm_q.weight", (hd,)),
            (prefix + "attention.norm_k.weight", (hd,)),
            (prefix + "feed_forward.w1.weight", (ffn, d)),
            (prefix + "feed_forward.w2.weight", (d, ffn)),
            (prefix + "feed_forward.w3.weight", (ffn, d)),
            (prefix + "attention_norm1.weight", (d,)),
            (prefix + "ffn_norm1.weight", (d,)),
            (prefix + "attention_norm2.weight", (d,)),
            (prefix + "ffn_norm2.weight", (d,)),
        ])
        if modulated:
            out.extend([(prefix + "adaLN_modulation.0.weight", (4 * d, mod)),
                        (prefix + "adaLN_modulation.0.bias", (4 * d,))])

    for p, f in zip(c["all_patch_size"], c["all_f_patch_size"]):
        k = "%d-%d" % (p, f)
        n = p * p * f * c["in_channels"]
        out.extend([
            ("all_x_embedder.%s.weight" % k, (d, n)),
            ("all_x_embedder.%s.bias" % k, (d,)),
            ("all_final_layer.%s.linear.weight" % k, (n, d)),
            ("all_final_layer.%s.linear.bias" % k, (n,)),
            ("all_final_layer.%s.adaLN_modulation.1.weight" % k, (d, mod)),
            ("all_final_layer.%s.adaLN_modulation.1.bias" % k, (d,)),
        ])
    for i in range(c["n_refiner_layers"]):
        block("noise_refiner.%d." % i, True)
    for i in range(c["n_refiner_layers"]):
        block("context_refiner.%d." % i, False)
    out.extend([
        ("t_embedder.mlp.0.weight", (1024, 256)),
        ("t_embedder.mlp.0.bias", (1024,)),
        ("t_embedder.mlp.2.weight", (mod, 1024)),
        ("t_embedder.mlp.2.bias", (mod,)),
        ("cap_embedder.0.weight", (c["cap_feat_dim"],)),
        ("cap_embedder.1.weight", (d, c["cap_feat_dim"])),
        ("cap_embedder.1.bias", (d,)),
        ("x_pad_token", (1, d)),
        ("cap_pad_token", (1, d)),
    ])
    for i in range(c["n_layers"]):
        block("layers.%d." % i, True)
    return out


def text_encoder_tensors(c):
    h, hd = c["hidden_size"], c["head_dim"]
    q, kv, m = c["num_attention_heads"] * hd, c["num_key_value_heads"] * hd, c["intermediate_size"]
    out = [("model.embed_tokens.weight", (c["vocab_size"], h))]
    for i in range(c["num_hidden_layers"]):
        p = "model.layers.%d." % i
        out.extend([
            (p + "input_layernorm.weight", (h,)),
            (p + "self_attn.q_proj.weight", (q, h)),
            (p + "self_attn.k_proj.weight", (kv, h)),
            (p + "self_attn.v_proj.weight", (kv, h)),
            (p + "self_attn.o_proj.weight", (h, q)),
            (p + "self_attn.q_norm.weight", (hd,)),
            (p + "self_attn.k_norm.weight", (hd,)),
            (p + "post_attention_layernorm.weight", (h,)),
            (p + "mlp.gate_proj.weight", (m, h)),
            (p + "mlp.up_proj.weight", (m, h)),
            (p + "mlp.down_proj.weight", (h, m)),
        ])
    out.append(("model.norm.weight", (h,)))
    return out


def vae_tensors(c):
    ch, nl, z = c["block_out_channels"], c["layers_per_block"], c["latent_channels"]
    out = []

    def conv(name, co, ci, k=3):
        out.extend([(name + ".weight", (co, ci, k, k)), (name + ".bias", (co,))])

    def norm(name, n):
        out.extend([(name + ".weight", (n,)), (name + ".bias", (n,))])

    def resnet(p, ci, co):
        norm(p + "norm1", ci)
        conv(p + "conv1", co, ci)
        norm(p + "norm2", co)
        conv(p + "conv2", co, co)
        if ci != co:
            conv(p + "conv_shortcut", co, ci, 1)

    def mid(p, n):
        norm(p + "attentions.0.group_norm", n)
        for w in ("to_q", "to_k", "to_v", "to_out.0"):
            out.extend([(p + "attentions.0." + w + ".weight", (n, n)),
                        (p + "attentions.0." + w + ".bias", (n,))])
        resnet(p + "resnets.0.", n, n)
        resnet(p + "resnets.1.", n, n)

    conv("encoder.conv_in", ch[0], c["in_channels"])
    ci = ch[0]
    for b, co in enumerate(ch):
        for j in range(nl):
            resnet("encoder.down_blocks.%d.resnets.%d." % (b, j), ci, co)
            ci = co
        if b + 1 < len(ch):
            conv("encoder.down_blocks.%d.downsamplers.0.conv" % b, co, co)
    mid("encoder.mid_block.", ch[-1])
    norm("encoder.conv_norm_out", ch[-1])
    conv("encoder.conv_out", 2 * z, ch[-1])

    rev = ch[::-1]
    conv("decoder.conv_in", rev[0], z)
    ci = rev[0]
    for b, co in enumerate(rev):
        for j in range(nl + 1):
            resnet("decoder.up_blocks.%d.resnets.%d." % (b, j), ci, co)
            ci = co
        if b + 1 < len(rev):
            conv("decoder.up_blocks.%d.upsamplers.0.conv" % b, co, co)
    mid("decoder.mid_block.", rev[0])
    norm("decoder.conv_norm_out", rev[-1])
    conv("decoder.conv_out", c["out_channels"], rev[-1])
    return out


def scale_of(component, name, shape):
    """(mean, std) for one tensor."""
    if name.endswith("_pad_token"):
        return 0.0, 0.5
    if component == "text_encoder":
        if name == "model.embed_tokens.weight":
            return 0.0, 0.5
        if name.endswith(("q_norm.weight", "k_norm.weight")):
            return 1.5, 0.15
        if len(shape) == 1:
            return 1.0, 0.1
        return 0.0, 1.0 / math.sqrt(shape[1])
    if component == "vae":
        if name.endswith(".bias"):
            return 0.0, 0.1 if "norm" in name else 0.02
        if len(shape) == 1:
            return 1.0, 0.1
        gain = 0.7 if name == "decoder.conv_out.weight" else 1.0
        fan_in = 1
        for s in shape[1:]:
            fan_in *= s
        return 0.0, gain / math.sqrt(fan_in)
    if name.endswith(".bias"):
        return 0.0, 0.05
    if name.endswith(("norm_q.weight", "norm_k.weight")):
        return 1.5, 0.15
    if len(shape) == 1:
        return 1.0, 0.1
    gain = 1.0
    if "adaLN_modulation" in name:
        gain = 0.5
    elif name == "t_embedder.mlp.2.weight":
        gain = 2.0
    return 0.0, gain / math.sqrt(shape[1])


# --------------------------------------------------------------------------
# Values
# --------------------------------------------------------------------------


def mix(z):
    z &= M64
    z = ((z ^ (z >> 30)) * C1) & M64
    z = ((z ^ (z >> 27)) * C2) & M64
    return z ^ (z >> 31)


def fnv1a64(text):
    h = 0xCBF29CE484222325
    for b in text.encode():
        h = ((h ^ b) * 0x100000001B3) & M64
    return h


def f32(x):
    return struct.unpack("<f", struct.pack("<f", x))[0]


def tensor_key(seed, component, name):
    return fnv1a64(component + "/" + name) ^ mix(seed)


class PlainBackend:
    """Reference: plain Python.  Only for the tiny config and for checks."""
    name = "python"

    def fill(self, key, start, count, mean, std, dtype):
        k, m = f32(std / UNIT), f32(mean)
        out = bytearray()
        for i in range(start, start + count):
            h = mix(key + (i + 1) * GOLDEN)
            n = (h & 0xFFFF) + ((h >> 16) & 0xFFFF) + ((h >> 32) & 0xFFFF) + (h >> 48) - 131070
            v = f32(n * k)  # exact in double (18 x 24 bits), then one rounding
            if mean != 0.0:
                v = f32(v + m)
            b = struct.unpack("<I", struct.pack("<f", v))[0]
            if dtype == "F32":
                out += struct.pack("<I", b)
            else:
                out += struct.pack("<H", (b + 0x7FFF + ((b >> 16) & 1)) >> 16)
        return bytes(out)


class NumpyBackend:
    name = "numpy"

    def __init__(self):
        import numpy
        self.np = numpy

    def fill(self, key, start, count, mean, std, dtype):
        np = self.np
        with np.errstate(over="ignore"):
            z = np.arange(start + 1, start + count + 1, dtype=np.uint64)
            z *= np.uint64(GOLDEN)
            z += np.uint64(key)
            z ^= z >> np.uint64(30)
            z *= np.uint64(C1)
            z ^= z >> np.uint64(27)
            z *= np.uint64(C2)
            z ^= z >> np.uint64(31)
        n = z.view(np.uint16).reshape(-1, 4).astype(np.int32).sum(axis=1, dtype=np.int32)
        n -= 131070
        v = n.astype(np.float32)
        v *= np.float32(std / UNIT)
        if mean != 0.0:
            v += np.float32(mean)
        if dtype == "F32":
            return v.tobytes()
        b = v.view(np.uint32)
        return ((b + np.uint32(0x7FFF) + ((b >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)).astype(np.uint16).tobytes()


class TorchBackend:
    """Same values on a GPU (or CPU) through torch; the full size takes seconds."""

    def __init__(self, device):
        import torch
        self.torch = torch
        self.device = torch.device(device)
        self.name = "torch:" + device

    @staticmethod
    def _s(x):  # unsigned 64-bit constant as the signed one torch wants
        return x - (1 << 64) if x >= 1 << 63 else x

    def _values(self, key, start, count, mean, std):
        t = self.torch
        z = t.arange(start + 1, start + count + 1, dtype=t.int64, device=self.device)
        z *= self._s(GOLDEN)
        z += self._s(key)

        def xorshift(a, s):  # logical shift: mask the copied sign bits away
            return a.bitwise_xor_((a >> s).bitwise_and_((1 << (64 - s)) - 1))

        xorshift(z, 30).mul_(self._s(C1))
        xorshift(z, 27).mul_(self._s(C2))
        xorshift(z, 31)
        n = (z & 0xFFFF)
        for s in (16, 32, 48):
            n += (z >> s).bitwise_and_(0xFFFF)
        n -= 131070
        v = n.to(t.float32)
        v *= f32(std / UNIT)
        if mean != 0.0:
            v += f32(mean)
        return v

    def fill(self, key, start, count, mean, std, dtype):
        t = self.torch
        v = self._values(key, start, count, mean, std)
        if dtype == "F32":
            return memoryview(v.cpu().numpy()).cast("B")
        return memoryview(v.to(t.bfloat16).view(t.int16).cpu().numpy()).cast("B")

    def tensor(self, key, shape, mean, std, dtype):
        """The same tensor, left on the device (for tests that need no file)."""
        count = 1
        for s in shape:
            count *= s
        chunk, parts = 1 << 26, []
        for a in range(0, count, chunk):
            parts.append(self._values(key, a, min(chunk, count - a), mean, std).to(dtype))
        return (parts[0] if len(parts) == 1 else self.torch.cat(parts)).view(shape)


def pick_backend(want):
    if want in ("auto", "cuda", "torch"):
        try:
            import torch
            if want != "torch" and torch.cuda.is_available():
                return TorchBackend("cuda")
            if want != "auto":
                return TorchBackend("cpu")
        except ImportError:
            if want != "auto":
                raise
    if want in ("auto", "numpy"):
        try:
            return NumpyBackend()
        except ImportError:
            if want != "auto":
                raise
    return PlainBackend()


# --------------------------------------------------------------------------
# Files
# --------------------------------------------------------------------------

SIZE = {"BF16": 2, "F32": 4}


def elements(shape):
    n = 1
    for s in shape:
        n *= s
    return n


def write_safetensors(path, items, backend, seed, digest):
    """items: (name in file, shape, dtype, [(component, source name, shape), ...]).

    More than one source means the sources are stacked along the first axis.
    """
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for name, shape, dtype, _ in items:
        n = elements(shape) * SIZE[dtype]
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, at + n]}
        at += n
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    chunk = 1 << 26 if not isinstance(backend, PlainBackend) else 1 << 16
    with open(path, "wb", buffering=0) as f:
        f.write(struct.pack("<Q", len(text)))
        f.write(text)
        for name, _, dtype, sources in items:
            for component, source, shape in sources:
                mean, std = scale_of(component, source, shape)
                key, count = tensor_key(seed, component, source), elements(shape)
                for a in range(0, count, chunk):
                    data = backend.fill(key, a, min(chunk, count - a), mean, std, dtype)
                    view = memoryview(data)
                    done = 0
                    while done < len(view):  # one write() may stop at 2 GiB
                        done += f.write(view[done:])
                    if digest is not None:
                        digest.update(view)
    return at


def write_component(out, component, stem, tensors, dtype, shard_bytes, backend, seed, digest):
    folder = os.path.join(out, component)
    os.makedirs(folder, exist_ok=True)
    shards, size = [[]], 0
    for name, shape in tensors:
        n = elements(shape) * SIZE[dtype]
        if shards[-1] and size + n > shard_bytes:
            shards.append([])
            size = 0
        shards[-1].append((name, shape, dtype, [(component, name, shape)]))
        size += n
    total, weight_map = 0, {}
    for k, items in enumerate(shards):
        file = stem + (".safetensors" if len(shards) == 1
                       else "-%05d-of-%05d.safetensors" % (k + 1, len(shards)))
        total += write_safetensors(os.path.join(folder, file), items, backend, seed, digest)
        for it in items:
            weight_map[it[0]] = file
    if len(shards) > 1:
        dump_json(os.path.join(folder, stem + ".safetensors.index.json"),
                  {"metadata": {"total_size": total}, "weight_map": weight_map})
    return len(shards), total


def dump_json(path, value):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as f:
        json.dump(value, f, indent=2)
        f.write("\n")


# ---- the single-file names -------------------------------------------------


def comfy_transformer(c):
    items, shapes = [], dict(transformer_tensors(c))
    for name, shape in shapes.items():
        if name.endswith(("to_k.weight", "to_v.weight")):
            continue
        src = [("transformer", name, shape)]
        new = re.sub(r"^all_(x_embedder|final_layer)\.2-1\.", r"\1.", name)
        new = new.replace(".norm_q.", ".q_norm.").replace(".norm_k.", ".k_norm.")
        new = new.replace(".to_out.0.", ".out.")
        if name.endswith("to_q.weight"):
            new = name.replace("to_q", "qkv")
            src += [("transformer", name.replace("to_q", w), shapes[name.replace("to_q", w)])
                    for w in ("to_k", "to_v")]
            shape = (sum(s[2][0] for s in src), shape[1])
        items.append((new, shape, "BF16", src))
    return items


def comfy_vae(c):
    items, n = [], len(c["block_out_channels"])
    for name, shape in vae_tensors(c):
        src = [("vae", name, shape)]
        new = name.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
        new = new.replace("mid_block.attentions.0.group_norm", "mid.attn_1.norm")
        for a, b in (("to_q", "q"), ("to_k", "k"), ("to_v", "v"), ("to_out.0", "proj_out")):
            new = new.replace("mid_block.attentions.0." + a, "mid.attn_1." + b)
        new = new.replace("mid_block.resnets.0", "mid.block_1").replace("mid_block.resnets.1", "mid.block_2")
        new = re.sub(r"down_blocks\.(\d+)\.resnets\.(\d+)", r"down.\1.block.\2", new)
        new = re.sub(r"down_blocks\.(\d+)\.downsamplers\.0", r"down.\1.downsample", new)
        new = re.sub(r"up_blocks\.(\d+)\.resnets\.(\d+)",
                     lambda m: "up.%d.block.%s" % (n - 1 - int(m.group(1)), m.group(2)), new)
        new = re.sub(r"up_blocks\.(\d+)\.upsamplers\.0",
                     lambda m: "up.%d.upsample" % (n - 1 - int(m.group(1))), new)
        if ".attn_1." in new and new.endswith("weight") and len(shape) == 2:
            shape = shape + (1, 1)  # a 1x1 convolution there
        items.append((new, shape, "BF16", src))
    return items


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("out", help="directory to write")
    ap.add_argument("--tiny", action="store_true", help="the small config (same structure)")
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("--transformer-dtype", choices=("bf16", "f32"), default="bf16",
                    help="f32: shards as some published snapshots have them")
    ap.add_argument("--text-dtype", choices=("bf16", "f32"), default="bf16")
    ap.add_argument("--vae-dtype", choices=("bf16", "f32"), default="bf16")
    ap.add_argument("--shard-mib", type=int, default=0,
                    help="largest shard (default 9500, text encoder 3800; tiny: 8, so that it is sharded too)")
    ap.add_argument("--only", nargs="*", choices=("transformer", "text_encoder", "vae"))
    ap.add_argument("--comfy", metavar="DIR", help="also write single-file transformer and autoencoder")
    ap.add_argument("--no-diffusers", action="store_true", help="with --comfy: write only those")
    ap.add_argument("--backend", choices=("auto", "cuda", "torch", "numpy", "python"), default="auto")
    ap.add_argument("--digest", action="store_true", help="print sha256 of all weight bytes, in order")
    a = ap.parse_args()

    cfg = tiny_config() if a.tiny else full_config()
    backend = pick_backend(a.backend)
    dtype = {"bf16": "BF16", "f32": "F32"}
    tables = {
        "transformer": ("diffusion_pytorch_model", transformer_tensors, dtype[a.transformer_dtype]),
        "text_encoder": ("model", text_encoder_tensors, dtype[a.text_dtype]),
        "vae": ("diffusion_pytorch_model", vae_tensors, dtype[a.vae_dtype]),
    }
    parts = a.only or list(tables)
    began = time.time()
    if not a.no_diffusers:
        dump_json(os.path.join(a.out, "model_index.json"), {
            "_class_name": "ZImagePipeline",
            "_diffusers_version": "0.36.0.dev0",
            "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
            "text_encoder": ["transformers", "Qwen3Model"],
            "tokenizer": ["transformers", "Qwen2Tokenizer"],
            "transformer": ["diffusers", "ZImageTransformer2DModel"],
            "vae": ["diffusers", "AutoencoderKL"],
        })
        dump_json(os.path.join(a.out, "scheduler", "scheduler_config.json"), cfg["scheduler"])
        for part in parts:
            stem, table, dt = tables[part]
            default = 8 if a.tiny else (3800 if part == "text_encoder" else 9500)
            digest = hashlib.sha256() if a.digest else None
            dump_json(os.path.join(a.out, part, "config.json"), cfg[part])
            tensors = table(cfg[part])
            count = sum(elements(s) for _, s in tensors)
            t0 = time.time()
            shards, size = write_component(a.out, part, stem, tensors, dt,
                                           (a.shard_mib or default) << 20, backend, a.seed, digest)
            print("%-13s %4d tensors %13d parameters %8.1f MiB %d file(s) %5.1f s %s"
                  % (part, len(tensors), count, size / 2 ** 20, shards, time.time() - t0,
                     digest.hexdigest() if digest else ""), flush=True)
    if a.comfy:
        os.makedirs(a.comfy, exist_ok=True)
        for file, items in (("z_image_turbo.safetensors", comfy_transformer(cfg["transformer"])),
                            ("ae.safetensors", comfy_vae(cfg["vae"]))):
            size = write_safetensors(os.path.join(a.comfy, file), items, backend, a.seed, None)
            print("%-28s %4d tensors %8.1f MiB" % (file, len(items), size / 2 ** 20), flush=True)
    print("seed %d, backend %s, %.1f s" % (a.seed, backend.name, time.time() - began))
    return 0


if __name__ == "__main__":
    sys.exit(main())
