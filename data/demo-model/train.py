#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Train the demo model: first the VAE, then transformer and text encoder together (PyTorch, one GPU).

    train.py OUT [--vae-s S] [--dit-s S] [--resume DIR] [--decoder-s S]

OUT receives bfloat16 checkpoints (`vae`, `dit-*`, `text`: safetensors below 16 MB), a contact sheet and a log;
`export.py OUT` turns them into the model folder. Times are in seconds, because the machine is lent by the minute:
the learning rate follows the clock. `--resume DIR` starts from such checkpoints with a fresh, warmed-up optimiser
(a VAE found there is not trained again unless --vae-s is given).

How it works:
- Scenes are fixed (one sentence, one picture), so their latents are made once and stay on the GPU; worker
  processes only write sentences and token ids.
- Noise levels: half the rows at the 8 of the shipped schedule, half anywhere on it.
- After `--policy-from` of the time, half the rows walk the sampler's own path: a row keeps the state that the model
  itself reached, and learns the velocity from there to the true latent. So 8 plain Euler steps end on the picture.
- Objects whose predictions are worse are shown more often.
- Matrices are updated by orthogonalised momentum (Muon, scaled to Adam's step), everything else by AdamW.
- `--decoder-s`: at the end the VAE's decoder also sees latents that the transformer made.
"""
import argparse
import json
import math
import multiprocessing as mp
import os
import queue
import random
import sys
import tarfile
import time

import numpy as np
import torch
import torch._dynamo
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file, save_file
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

import captions as cap
import model

HERE = os.path.dirname(os.path.abspath(__file__))
S, PAD_TOKEN = 256, "<|endoftext|>"
SIGMAS = [3 * b / (1 + 2 * b) for b in (1, .875, .75, .625, .5, .375, .25, .125)] + [0.0]
ITEM, GROUP = 280, 40          # rows of one queue item; rows of a path group: 2 ITEM = ITEM - GROUP + 8 GROUP
T0 = time.time()


def log(*x):
    print(f"[{time.time() - T0:6.1f}]", *x, flush=True)


# ---------------------------------------------------------------- tokenizer (Qwen2 kind: byte-level BPE)
QWEN = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def make_tokenizer(objects, path):
    """Learns merges from words alone, so that none crosses the border between a name and what stands beside it."""
    tok = Tokenizer(models.BPE())
    tok.normalizer = normalizers.NFC()
    tok.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(QWEN), "isolated", False),
                                                 pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tok.decoder = decoders.ByteLevel()
    words = ["user\n", "assistant\n"] * 50

    def english(text, n):
        for w in text.split():
            words.extend([w, " " + w, " " + w] * n)
            words.extend([w.title(), " " + w.title()] * (n // 2))
    def chinese(text, n):
        words.extend([text] * n)
    for o in objects:
        for n in o["en"]:
            english(n, 10)
        for n in o["zh"]:
            chinese(n, 16)
    for en, zh, _ in cap.COLOURS:
        for n in en:
            english(n, 20)
        for n in zh:
            chinese(n, 20)
    for group in (cap.EN_ONE, cap.EN_LR, cap.EN_TB, cap.EN_ROW, cap.EN_BG, cap.EN_ADJ, cap.EN_FILL, cap.EN_WORDS):
        for t in group:
            english(" ".join(p for p in t.replace("}", "{").split("{")[::2]), 4)
    for group in (cap.ZH_ONE, cap.ZH_LR, cap.ZH_TB, cap.ZH_ROW, cap.ZH_BG, cap.ZH_ADJ, cap.ZH_FILL, cap.ZH_WORDS):
        for t in group:
            for part in t.replace("}", "{").split("{")[::2]:
                chinese(part, 6)
    special = [PAD_TOKEN, "<|im_start|>", "<|im_end|>"]
    tok.train_from_iterator(words, trainers.BpeTrainer(vocab_size=model.TEXT["vocab"] - len(special), show_progress=False,
                                                       initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    tok.add_special_tokens(special)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    tok.save(path)


def template(prompt):
    return f"<|im_start|>user\n{prompt}<|im_end|>\n<|im_start|>assistant\n"


# ---------------------------------------------------------------- scenes
class Scenes:
    """Every one-object scene, and many of two and three: layout, object numbers, background (-1: the default)."""

    def __init__(self, n_objects, pairs, rows):
        r, n_bg = np.random.default_rng(7), len(cap.COLOURS)
        bg = lambda n: np.where(r.random(n) < .45, -1, r.integers(0, n_bg, n))
        self.singles = n_objects * (n_bg + 1)
        n = self.singles + pairs + rows
        self.layout, self.ids, self.bg = np.zeros(n, np.int64), np.full((n, 3), -1, np.int64), np.zeros(n, np.int64)
        k = np.arange(self.singles)
        self.ids[k, 0], self.bg[k] = k // (n_bg + 1), k % (n_bg + 1) - 1
        p = slice(self.singles, self.singles + pairs)
        self.layout[p] = np.where(r.random(pairs) < .6, cap.LEFT_RIGHT, cap.TOP_BOTTOM)
        self.ids[p, :2], self.bg[p] = r.integers(0, n_objects, (pairs, 2)), bg(pairs)
        q = slice(self.singles + pairs, n)
        self.layout[q], self.ids[q], self.bg[q] = cap.ROW, r.integers(0, n_objects, (rows, 3)), bg(rows)
        self.pairs, self.rows, self.n = pairs, rows, n

    def draw(self, r, weights):
        """A scene's number; one-object scenes follow the objects' weights."""
        u = r.random()
        if u < .56:
            o = r.choices(range(len(weights)), cum_weights=weights)[0]
            return o * (len(cap.COLOURS) + 1) + (0 if r.random() < .45 else 1 + r.randrange(len(cap.COLOURS)))
        if u < .90:
            return self.singles + r.randrange(self.pairs)
        return self.singles + self.pairs + r.randrange(self.rows)


def feed(seed, q, scenes, objects, forbidden, tok_path, weights, long):
    """A worker: items of ITEM rows (scene numbers, token ids padded to 32 or 64, lengths)."""
    r, c, tok = random.Random(seed), cap.Captions(objects, seed + 1, forbidden), Tokenizer.from_file(tok_path)
    pad, width = tok.token_to_id(PAD_TOKEN), 64 if long else 32
    while True:
        cum, t = [], 0.0
        for w in weights:
            t += w
            cum.append(t)
        idx, ids, ln = np.zeros(ITEM, np.int32), np.full((ITEM, width), pad, np.int16), np.zeros(ITEM, np.int16)
        k = 0
        while k < ITEM:
            s = scenes.draw(r, cum)
            names = [int(i) for i in scenes.ids[s] if i >= 0]
            e = tok.encode(template(c.sentence(int(scenes.layout[s]), names, int(scenes.bg[s]), fill=r.choice([2, 3, 4, 5]) if long else None))).ids
            if (32 if long else 0) < len(e) <= width:
                idx[k], ids[k, :len(e)], ln[k] = s, e, len(e)
                k += 1
        q.put((idx, ids, ln))


class Renderer:
    """Draws scenes on the GPU."""

    def __init__(self, objects, scenes, dev):
        tar, bank = tarfile.open(os.path.join(HERE, "objects.tar")), np.zeros((len(objects), 4, S, S), np.uint8)
        for i, o in enumerate(objects):
            im = Image.open(tar.extractfile(o["file"])).convert("RGBA")
            bank[i] = np.asarray(im if im.size == (S, S) else im.resize((S, S))).transpose(2, 0, 1)
        self.dev, self.bank = dev, torch.from_numpy(bank).to(dev)
        self.layout, self.ids, self.bg = (torch.from_numpy(x).to(dev) for x in (scenes.layout, scenes.ids, scenes.bg))
        place = torch.zeros(len(cap.LAYOUTS), 3, 3)
        place[..., 2] = 1
        for l, objs in enumerate(cap.LAYOUTS):
            for j, p in enumerate(objs):
                place[l, j] = torch.tensor(p)
        self.place = place.to(dev)
        self.palette = torch.tensor([c[2] for c in cap.COLOURS] + [cap.DEFAULT_RGB], dtype=torch.float32, device=dev) / 255
        self.ramp = torch.linspace(1.04, .90, S, device=dev).view(1, 1, S, 1)

    @torch.no_grad()
    def __call__(self, idx, jitter=False, n=None):
        """scene numbers [B] -> [B,3,S,S] in -1..1; jitter moves and scales objects a little (for the VAE)"""
        return self.draw(self.layout[idx], self.ids[idx], self.bg[idx], jitter, n)

    @torch.no_grad()
    def draw(self, layout, ids, bg, jitter=False, n=None):
        """n, the number of objects at most, may be given to spare the GPU a wait"""
        b, dev = len(layout), self.dev
        img = (self.palette[bg].view(b, 3, 1, 1) * self.ramp).clamp(0, 1).expand(b, 3, S, S).contiguous()
        n = int((ids >= 0).any(0).sum()) if n is None else n
        for j in range(n):
            cx, cy, s = self.place[layout, j].unbind(-1)
            if jitter:
                r = torch.rand(3, b, device=dev) * 2 - 1
                cx, cy, s = cx + .06 * r[0], cy + .06 * r[1], s * (1 + .12 * r[2])
            z = torch.zeros_like(s)
            th = torch.stack([torch.stack([1 / s, z, -cx / s], -1), torch.stack([z, 1 / s, -cy / s], -1)], 1)
            src = self.bank[ids[:, j].clamp_min(0)].float() / 255
            src = torch.cat([src[:, :3] * src[:, 3:], src[:, 3:]], 1) * (ids[:, j] >= 0).view(b, 1, 1, 1)
            if n > 1:       # small: halve first, bilinear alone would alias
                src = F.avg_pool2d(src, 2)
            o = F.grid_sample(src, F.affine_grid(th, (b, 4, S, S), align_corners=False), mode="bilinear", align_corners=False)
            img = img * (1 - o[:, 3:]) + o[:, :3]
        return img * 2 - 1


# ---------------------------------------------------------------- optimiser
class Muon:
    """Orthogonalised momentum for matrices, its step scaled to AdamW's so that both share one learning rate."""

    def __init__(self, params, wd=.01):
        self.wd, self.groups = wd, {}
        for p in params:
            self.groups.setdefault(tuple(p.shape[-2:]), []).append(p)
        self.m = {k: torch.zeros(sum(p.numel() for p in v) // (k[0] * k[1]), *k, device=v[0].device) for k, v in self.groups.items()}

    @torch.no_grad()
    def step(self, lr):
        for k, ps in self.groups.items():
            g = torch.cat([p.grad.view(-1, *k) for p in ps])
            m = self.m[k].lerp_(g, .05)
            x = g.lerp(m, .95).bfloat16()
            if k[0] > k[1]:
                x = x.mT
            x = x / (x.float().norm(dim=(1, 2), keepdim=True) + 1e-7).bfloat16()
            for _ in range(5):
                a = x @ x.mT
                x = 3.4445 * x + (-4.7750 * a + 2.0315 * (a @ a)) @ x
            x = (x.mT if k[0] > k[1] else x).float()
            at = 0
            for p in ps:
                n = p.numel() // (k[0] * k[1])
                p.mul_(1 - lr * self.wd).add_(x[at:at + n].view_as(p), alpha=-lr * .2 * max(k) ** .5)
                at += n


def split_params(*nets):
    mats, rest = [], []
    for net in nets:
        for name, p in net.named_parameters():
            (mats if name.split(".")[-1] in ("qkv", "wo", "w13", "w2", "wq", "wk", "wv") else rest).append(p)
    return mats, rest


# ---------------------------------------------------------------- checkpoints
def save_parts(d, name, tensors, limit=15_000_000):
    """Writes bf16 tensors in files below `limit` bytes: name.safetensors, or name-0, name-1, ..."""
    parts, size = [{}], 0
    for k, v in tensors.items():
        v = v.detach().to(torch.bfloat16).contiguous().cpu()
        if size + v.numel() * 2 > limit:
            parts.append({})
            size = 0
        parts[-1][k] = v
        size += v.numel() * 2
    for i, p in enumerate(parts):
        f = f"{d}/{name}.safetensors" if len(parts) == 1 else f"{d}/{name}-{i}.safetensors"
        save_file(p, f + ".new")
        os.replace(f + ".new", f)


def load_parts(d, name):
    files = sorted(f for f in os.listdir(d) if f.endswith(".safetensors") and f.rsplit(".", 1)[0].split("-")[0] == name)
    out = {}
    for f in files:
        out.update(load_file(f"{d}/{f}"))
    return {k: v.float() for k, v in out.items()}


# ---------------------------------------------------------------- VAE
def image_loss(x, y):
    """Absolute error of the picture and of its differences at three scales."""
    l = (x - y).abs().mean() + 2 * (x - y).square().mean()
    for _ in range(3):
        l = l + ((x[..., 1:] - x[..., :-1]) - (y[..., 1:] - y[..., :-1])).abs().mean() \
              + ((x[..., 1:, :] - x[..., :-1, :]) - (y[..., 1:, :] - y[..., :-1, :])).abs().mean()
        x, y = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)
    return l


def train_vae(vae, render, scenes, a, dev):
    opt = torch.optim.AdamW(vae.parameters(), a.vae_lr, betas=(.9, .95), weight_decay=0.0, fused=dev == "cuda")

    def loss_fn(x, noise):
        with torch.autocast(dev, torch.bfloat16):
            m, lv = vae.encoder(x).chunk(2, 1)
            m, lv = m.float(), lv.float().clamp(-20, 10)
            y = vae.decoder((m + noise * (.5 * lv).exp()).contiguous(memory_format=torch.channels_last)).float()
        kl = .5 * (m.square() + lv.exp() - 1 - lv).mean()
        return image_loss(y, x) + 3e-6 * kl, kl.detach(), (y.detach() - x).square().mean()
    f = torch.compile(loss_fn, dynamic=False) if a.compile else loss_fn
    b, t0, it, sums = a.vae_batch, None, 0, 0.0
    while True:
        frac = 0 if t0 is None else (time.time() - t0) / a.vae_s
        if frac >= 1 or it >= a.vae_steps:
            break
        for g in opt.param_groups:
            g["lr"] = a.vae_lr * min(1, (it + 1) / 200) * (.5 + .5 * math.cos(math.pi * frac)) + 1e-6
        x = torch.cat([render(torch.randint(lo, hi, (b // 2,), device=dev), jitter=it % 2 == 0, n=n)
                       for lo, hi, n in ((0, scenes.singles, 1), (scenes.singles, scenes.n, 3))]).contiguous(memory_format=torch.channels_last)
        loss, kl, mse = f(x, torch.randn(b, model.VAE["latent"], S // 8, S // 8, device=dev))
        opt.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        opt.step()
        it += 1
        if it == 5:
            t0 = time.time()
            log("vae compiled")
        if it % 500 == 0:
            log(f"vae {it} loss {loss.item():.4f} kl {kl.item():.2f} PSNR {-10 * math.log10(mse.item() / 4):.2f}")
    log(f"vae done: {it} steps of {b}")


@torch.no_grad()
def vae_stats(vae, render, scenes, dev, out):
    """shift, scale, and PSNR of scenes as 8-bit pictures; a sheet of pictures over their reconstructions"""
    r = np.random.default_rng(11)
    idx = torch.from_numpy(np.concatenate([r.integers(0, scenes.singles, 64), r.integers(scenes.singles, scenes.n, 64)])).to(dev)
    mse, ms, keep = [], [], []
    for i in idx.split(16):
        x = render(i).contiguous(memory_format=torch.channels_last)
        with torch.autocast(dev, torch.bfloat16):
            m = vae.encoder(x)[:, :16]
            y = vae.decoder(m.contiguous(memory_format=torch.channels_last)).float()
        ms.append(m.float())
        a, b = ((v.clamp(-1, 1) * .5 + .5).mul(255).round() for v in (x, y))
        mse.append((a - b).square().mean((1, 2, 3)))
        keep.append(torch.stack([a[:2], b[:2]]))
    mse, m = torch.cat(mse), torch.cat(ms)
    k = torch.cat(keep, 1).byte().permute(0, 1, 3, 4, 2).cpu().numpy()
    Image.fromarray(np.concatenate([np.concatenate(list(k[j % 2][(j // 2) * 8:(j // 2) * 8 + 8]), 1) for j in range(4)], 0)).save(f"{out}/vae.png")
    psnr = lambda v: 10 * math.log10(255 ** 2 / v)
    log(f"vae PSNR of the mean error {psnr(mse.mean().item()):.2f} dB, mean of PSNR {np.mean([psnr(v) for v in mse.tolist()]):.2f} dB")
    return m.mean().item(), 1 / m.std().item(), psnr(mse.mean().item())


# ---------------------------------------------------------------- pictures from sentences
@torch.no_grad()
def sample(dit, text, tok, prompts, dev, seed=42, steps=SIGMAS, dtype=torch.bfloat16):
    """Latents (normalised) of the prompts, as the program makes them."""
    out = []
    for p in range(0, len(prompts), 128):
        ids = [tok.encode(template(s)).ids for s in prompts[p:p + 128]]
        lens = [32 * math.ceil(len(e) / 32) for e in ids]
        res = torch.zeros(len(ids), 16, S // 8, S // 8, device=dev)
        for n in sorted(set(lens)):
            rows = [k for k, l in enumerate(lens) if l == n]
            i, m = torch.full((len(rows), n), tok.token_to_id(PAD_TOKEN)), torch.zeros(len(rows), n, dtype=torch.bool)
            for k, row in enumerate(rows):
                i[k, :len(ids[row])], m[k, :len(ids[row])] = torch.tensor(ids[row]), True
            i, m = i.to(dev), m.to(dev)
            x = torch.randn(len(rows), 16, S // 8, S // 8, generator=torch.Generator().manual_seed(seed + p)).to(dev)
            c = text(i, dtype)
            for a, b in zip(steps[:-1], steps[1:]):
                x = x - (b - a) * dit(x, torch.full((len(rows),), 1 - a, device=dev), c, m)
            res[rows] = x
        out.append(res)
    return torch.cat(out)


@torch.no_grad()
def decode(vae, z, scale, shift, dev):
    out = []
    for c in z.split(64):
        with torch.autocast(dev, torch.bfloat16):
            out.append(vae.decoder((c / scale + shift).contiguous(memory_format=torch.channels_last)).float())
    return torch.cat(out).clamp(-1, 1)


@torch.no_grad()
def quick_measure(pics, prompts, render, n_objects, dev):
    """A quick form of measure.py's figures (no shifts), to follow the training with."""
    ok = {}
    for kind in ("one", "two", "background"):
        rows = [k for k, p in enumerate(prompts) if p["kind"] == kind]
        good = np.ones(len(rows), bool)
        if kind == "background":
            for n, k in enumerate(rows):
                x = pics[k][:, :16].reshape(3, -1).mean(1) * .5 + .5
                good[n] = (render.palette * render.ramp[0, 0, :16].mean() - x).square().sum(1).argmin().item() == prompts[k]["background"]
        else:
            for slot in range(1 if kind == "one" else 2):
                for layout in set(prompts[k]["layout"] for k in rows):
                    sel = [n for n, k in enumerate(rows) if prompts[k]["layout"] == layout]
                    cx, cy, s = cap.LAYOUTS[layout][slot]
                    x0, x1, y0, y1 = (int(round((c + d * s + 1) * S / 2)) for c, d in ((cx, -1), (cx, 1), (cy, -1), (cy, 1)))
                    ids = torch.full((n_objects, 3), -1, device=dev)
                    ids[:, slot] = torch.arange(n_objects, device=dev)
                    ref = torch.cat([render.draw(torch.full((len(c),), layout, device=dev), c, torch.full((len(c),), -1, device=dev), n=1 if kind == "one" else 2)[..., y0:y1, x0:x1]
                                     for c in ids.split(64)]).flatten(1)
                    got = torch.stack([pics[rows[n]][:, y0:y1, x0:x1] for n in sel]).flatten(1)
                    best = torch.cdist(got, ref).argmin(1).cpu().numpy()
                    good[sel] &= best == np.array([prompts[rows[n]]["objects"][slot] for n in sel])
        ok[kind] = good.mean()
    return ok


SHEET = ["a red apple", "cat", "red apple", "a cat and a dog", "一只猫", "老虎", "左边是汽车,右边是自行车", "a rocket on a navy background",
         "pizza, hamburger and french fries", "a tiger above a banana", "an octopus on a pink background", "熊猫,绿色背景", "a unicorn",
         "a whale next to a sailboat", "sushi on top, coffee at the bottom", "a dragon", "a guitar on a purple background", "草莓和葡萄",
         "smiling face with sunglasses on a yellow background", "a castle, sky blue background", "a teddy bear", "a picture of a volcano",
         "紫色背景上的水晶球", "a penguin, a fox and a frog", "狮子", "a butterfly", "自行车在树的左边", "a robot, orange background", "雪人的照片",
         "violin", "a slice of cake next to a cup of coffee", "恐龙"]


def sheet(pics, path, cols=8):
    a = (pics * .5 + .5).mul(255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    Image.fromarray(np.concatenate([np.concatenate(list(a[i:i + cols]), 1) for i in range(0, len(a) // cols * cols, cols)], 0)).save(path)


# ---------------------------------------------------------------- main
def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("out")
    ap.add_argument("--vae-s", type=float, default=None, help="seconds of VAE training (default 210, 0 when resumed)")
    ap.add_argument("--vae-batch", type=int, default=16)
    ap.add_argument("--vae-lr", type=float, default=1e-3)
    ap.add_argument("--vae-steps", type=int, default=10 ** 9)
    ap.add_argument("--dit-s", type=float, default=1200)
    ap.add_argument("--dit-steps", type=int, default=10 ** 9)
    ap.add_argument("--lr", type=float, default=1.2e-3)
    ap.add_argument("--policy-from", type=float, default=.35, help="share of the time before half the rows walk the sampler's path")
    ap.add_argument("--flat", type=float, default=.3, help="share of the time at the full learning rate")
    ap.add_argument("--decoder-s", type=float, default=0)
    ap.add_argument("--decoder-lr", type=float, default=4e-4)
    ap.add_argument("--resume")
    ap.add_argument("--pairs", type=int, default=100000)
    ap.add_argument("--rows", type=int, default=30000)
    ap.add_argument("--workers", type=int, default=11)
    ap.add_argument("--eval-every", type=float, default=150)
    ap.add_argument("--no-long", dest="long", action="store_false", help="leave out sentences beyond 32 tokens (saves compiling)")
    ap.add_argument("--no-compile", dest="compile", action="store_false")
    ap.add_argument("--device", default="cuda")
    a = ap.parse_args()
    if a.vae_s is None:
        a.vae_s = 0 if a.resume else 210
    os.makedirs(a.out, exist_ok=True)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    dev = a.device
    objects = cap.load_objects()
    with open(os.path.join(HERE, "measure-prompts.json"), encoding="utf-8") as f:
        prompts = json.load(f)
    tok_path = os.path.join(HERE, "tokenizer", "tokenizer.json")
    if not os.path.exists(tok_path):
        make_tokenizer(objects, tok_path)
    tok = Tokenizer.from_file(tok_path)
    assert tok.get_vocab_size() <= model.TEXT["vocab"]
    log("GFLOP of one picture: transformer %.1f, VAE decoder %.1f, text %.2f" % model.gflop(), "tokens", tok.get_vocab_size())

    scenes = Scenes(len(objects), a.pairs, a.rows)
    ctx = mp.get_context("fork")
    weights = ctx.RawArray("d", [1.0] * len(objects))
    q_short, q_long = ctx.Queue(48), ctx.Queue(6)
    forbidden = [p["prompt"] for p in prompts]
    procs = [ctx.Process(target=feed, args=(100 + k + int(time.time()), q_long if k == 0 else q_short, scenes, objects, forbidden, tok_path, weights, k == 0),
                         daemon=True) for k in range(a.workers)]
    for p in procs:
        p.start()

    torch.manual_seed(int(time.time()))
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.benchmark = True
    torch._dynamo.config.recompile_limit = 64
    render = Renderer(objects, scenes, dev)
    vae = model.Vae().to(dev).to(memory_format=torch.channels_last)
    dit, text = model.Dit().to(dev), model.Text().to(dev)
    count = lambda m: sum(p.numel() for p in m.parameters()) / 1e6
    log(f"millions of parameters: transformer {count(dit):.2f}, text {count(text):.2f}, VAE {count(vae):.2f}")
    if a.resume:
        for net, name in ((vae, "vae"), (dit, "dit"), (text, "text")):
            state = load_parts(a.resume, name)
            if state:
                state = {k: v for k, v in state.items() if not k.startswith("_")}
                log("resumed", name, net.load_state_dict(state))
    if a.vae_s > 0:
        train_vae(vae, render, scenes, a, dev)
    vae.eval().requires_grad_(False)
    shift, scale, psnr = vae_stats(vae, render, scenes, dev, a.out)
    if a.resume and a.vae_s == 0:      # keep the very numbers the transformer was trained with
        with open(f"{a.resume}/state.json") as f:
            old = json.load(f)
        shift, scale = old["shift"], old["scale"]

    def save(it):
        save_parts(a.out, "vae", vae.state_dict())
        save_parts(a.out, "dit", ema_state(dit))
        save_parts(a.out, "text", ema_state(text))
        with open(f"{a.out}/state.json", "w") as f:
            json.dump({"shift": shift, "scale": scale, "psnr": psnr, "steps": it}, f)

    mats, rest = split_params(dit, text)
    params = mats + rest
    ema = [p.detach().clone() for p in params]
    names = {id(p): e for p, e in zip(params, ema)}
    ema_state = lambda net: {k: names[id(p)] for k, p in net.named_parameters()}
    save(0)

    # every scene's latent, normalised
    pool = torch.empty(scenes.n, 16, S // 8, S // 8, dtype=torch.bfloat16, device=dev)
    enc = torch.compile(vae.encoder, dynamic=False) if a.compile else vae.encoder
    chunk = 128 if dev == "cuda" else 8
    with torch.no_grad(), torch.autocast(dev, torch.bfloat16):
        for k in range(0, scenes.n, chunk):
            i = torch.arange(k, k + chunk, device=dev).clamp_max(scenes.n - 1)
            z = enc(render(i).contiguous(memory_format=torch.channels_last))[:, :16]
            pool[i] = ((z.float() - shift) * scale).to(torch.bfloat16)
    log("latents of", scenes.n, "scenes")

    if a.dit_s > 0:
        it = train_dit(a, dit, text, vae, ema, mats, rest, pool, scenes, weights, q_short, q_long, render, tok, prompts, scale, shift, dev, save)
    for p, e in zip(params, ema):
        p.data.copy_(e)
    if a.decoder_s > 0:
        train_decoder(a, vae, dit, text, pool, scenes, q_short, render, scale, shift, dev)
        _, _, psnr = vae_stats(vae, render, scenes, dev, a.out)
        save(0)
        report(a, dit, text, vae, render, tok, prompts, scale, shift, len(objects), dev, "end")
    for p in procs:
        p.terminate()
    log("done")


def report(a, dit, text, vae, render, tok, prompts, scale, shift, n_objects, dev, tag):
    blocks = dit.block, text.block
    dit.block, text.block = model.dit_block, model.text_block
    z = sample(dit, text, tok, SHEET, dev)
    sheet(decode(vae, z, scale, shift, dev), f"{a.out}/sheet.png")
    some = prompts if dev == "cuda" else prompts[::40]
    ok = quick_measure(decode(vae, sample(dit, text, tok, [p["prompt"] for p in some], dev), scale, shift, dev), some, render, n_objects, dev)
    log(f"{tag} measure:", ", ".join(f"{k} {v:.3f}" for k, v in ok.items()))
    dit.block, text.block = blocks


def train_dit(a, dit, text, vae, ema, mats, rest, pool, scenes, weights, q_short, q_long, render, tok, prompts, scale, shift, dev, save):
    if a.compile:
        dit.block, text.block = (torch.compile(f, dynamic=False) for f in (model.dit_block, model.text_block))
    params, muon = mats + rest, Muon(mats)
    adam = torch.optim.AdamW(rest, a.lr, betas=(.9, .95), weight_decay=0.0, fused=dev == "cuda")
    n_obj, sig = len(render.bank), torch.tensor(SIGMAS, device=dev)
    err, cnt = torch.zeros(n_obj, device=dev), torch.zeros(n_obj, device=dev)
    path = 8 * GROUP
    st = dict(x=torch.zeros(path, 16, S // 8, S // 8, device=dev), idx=torch.zeros(path, dtype=torch.long, device=dev),
              ids=torch.full((path, 32), tok.token_to_id(PAD_TOKEN), device=dev), ln=torch.ones(path, dtype=torch.long, device=dev),
              k=torch.full((path,), 8, device=dev))
    single = torch.from_numpy((scenes.layout == cap.SINGLE).astype(np.int64)).to(dev).bool()
    owner = torch.from_numpy(scenes.ids[:, 0]).to(dev)
    move = lambda *ts: [torch.from_numpy(t).to(dev, non_blocking=True).long() for t in ts]
    t0, it, turn, last_eval, acc, waits = None, 0, 0, 0.0, torch.zeros(3, device=dev), 0.0
    while True:
        frac = 0 if t0 is None else (time.time() - t0) / a.dit_s
        if frac >= 1 or it >= a.dit_steps:
            break
        lr = a.lr * min(1, (it + 1) / 300) * (1 if frac < a.flat else .5 + .5 * math.cos(math.pi * (frac - a.flat) / (1 - a.flat))) + 2e-6
        long = a.long and it % 20 == 19
        walk = frac >= a.policy_from and not long
        w0 = time.time()
        items = [q_long.get(), q_long.get()] if long else [q_short.get()] if walk else [q_short.get(), q_short.get()]
        waits += time.time() - w0
        idx, ids, ln = move(*(np.concatenate(p) for p in zip(*items)))
        if walk:            # GROUP rows begin a path; the others of this item are ordinary ones
            g = slice(turn * GROUP, (turn + 1) * GROUP)
            st["idx"][g], st["ids"][g], st["ln"][g] = idx[:GROUP], ids[:GROUP], ln[:GROUP]
            st["k"][g], st["x"][g] = 0, torch.randn(GROUP, 16, S // 8, S // 8, device=dev)
            turn = (turn + 1) % 8
            live = st["k"] < 8                    # the first few rounds, before every group has begun
            idx, ids, ln = idx[GROUP:], ids[GROUP:], ln[GROUP:]
        b = len(idx)
        u = torch.rand(b, device=dev)
        s = torch.where(torch.rand(b, device=dev) < .5, sig[torch.randint(0, 8, (b,), device=dev)], (3 * u / (1 + 2 * u)).clamp_min(.02))
        z = pool[idx].float()
        e = torch.randn_like(z)
        sv = s.view(-1, 1, 1, 1)
        x, target = (1 - sv) * z + sv * e, z - e
        if walk:
            ps = sig[st["k"].clamp_max(7)]
            pz = pool[st["idx"]].float()
            x, s = torch.cat([x, st["x"]]), torch.cat([s, ps])
            target = torch.cat([target, (pz - st["x"]) / ps.view(-1, 1, 1, 1)])
            ids, ln = torch.cat([ids, st["ids"]]), torch.cat([ln, st["ln"]])
        mask = torch.arange(ids.shape[1], device=dev) < ln[:, None]
        o = dit(x, 1 - s, text(ids, torch.bfloat16), mask)
        per = (o - target).square().mean((1, 2, 3))
        if walk:
            weight = torch.cat([torch.ones(b, device=dev), live.float()])
            loss = (per * weight).sum() / weight.sum()
        else:
            loss = per.mean()
        for p in params:
            p.grad = None
        loss.backward()
        torch.nn.utils.clip_grad_norm_(params, 1.0)
        muon.step(lr)
        for g in adam.param_groups:
            g["lr"] = lr
        adam.step()
        d = min(.9985, (1 + it) / (10 + it))
        torch._foreach_lerp_(ema, [p.detach() for p in params], 1 - d)
        with torch.no_grad():
            pd = per.detach()
            acc += torch.stack([pd[:b].mean(), (pd[b:] * live * ps.square()).sum() / live.sum().clamp_min(1) if walk else acc.new_zeros(()), acc.new_tensor(float(walk))])
            pick = (single[idx] & (s[:b] >= .7)).float()
            err.index_add_(0, owner[idx], pd[:b] * pick * s[:b].square())
            cnt.index_add_(0, owner[idx], pick)
            if walk:
                k = st["k"]
                step = torch.where(live, sig[(k + 1).clamp_max(8)] - ps, 0.0)
                st["x"] = st["x"] - step.view(-1, 1, 1, 1) * o.detach()[b:]
                st["k"] = (k + 1).clamp_max(8)
        it += 1
        if it == 40:
            t0 = time.time()
            log("transformer compiled")
        if it % 200 == 0 or it == 20:
            l = acc.tolist()
            log(f"dit {it} {frac:.3f} lr {lr:.5f} loss {l[0] / (200 if it > 20 else 20):.4f} path x0 error {l[1] / max(1, l[2]):.4f} queue {q_short.qsize()} waited {waits:.1f}s")
            acc.zero_()
            waits = 0.0
        if it % 1000 == 0:
            m = (err / cnt.clamp_min(1)).cpu().numpy()
            m = m / m.mean()
            for k in range(n_obj):
                weights[k] = float(np.clip(m[k], .6, 3.0))
            err.zero_()
            cnt.zero_()
            order = np.argsort(-m)
            log("hardest:", [f"{render_name(render, k)} {m[k]:.2f}" for k in order[:8]], "easiest", f"{m[order[-1]]:.2f}")
        if t0 is not None and time.time() - t0 - last_eval > a.eval_every or it == a.dit_steps:
            last_eval = time.time() - t0
            evaluate(a, dit, text, vae, ema, params, render, tok, prompts, scale, shift, n_obj, dev, it)
            save(it)
    evaluate(a, dit, text, vae, ema, params, render, tok, prompts, scale, shift, n_obj, dev, it)
    save(it)
    log(f"transformer done: {it} steps of {2 * ITEM}")
    return it


def render_name(render, k):
    return cap.load_objects()[k]["en"][0]


def evaluate(a, dit, text, vae, ema, params, render, tok, prompts, scale, shift, n_obj, dev, it):
    """The running average's figures and contact sheet."""
    keep = [p.detach().clone() for p in params]
    for p, e in zip(params, ema):
        p.data.copy_(e)
    report(a, dit, text, vae, render, tok, prompts, scale, shift, n_obj, dev, f"step {it}")
    for p, k in zip(params, keep):
        p.data.copy_(k)


def corners(x, n=32):
    """The four corners, the top left first: a decoder likes to keep something of the whole picture in one of them, where
    a plain mean over the picture does not mind it."""
    return torch.cat([x[..., :n, :n], x[..., :n, -n:], x[..., -n:, :n], x[..., -n:, -n:]])


def watch_norms(net):
    """A list that each run of NET fills with how unevenly the energy of each norm's input lies over the picture: per norm, the
    mean over groups of log(kurtosis / 8) where that is positive (kurtosis: mean of e^2 over (mean of e)^2, e the energy at a
    place; edges of objects alone make 5 to 20).  A decoder left alone steers its norms by a drop of huge values in one corner,
    kurtosis 1000, which is seen in the picture (StyleGAN2 tells of the same drops: arXiv 1912.04958, section 2)."""
    seen = []

    def look(norm, args):
        g = args[0].float().unflatten(1, (norm.num_groups, -1))
        e = (g - g.mean((2, 3, 4), keepdim=True)).square().mean(2)
        kurtosis = e.square().mean((2, 3)) / (e.mean((2, 3)).square() + 1e-12)
        seen.append(F.relu(kurtosis.add(1e-6).log() - math.log(8)).mean())
    for m in net.modules():
        if isinstance(m, torch.nn.GroupNorm):
            m.register_forward_pre_hook(look)
    return seen


def render_mixed(render, scenes, idx):
    """Scenes of any kind, idx on the CPU: one call for those of one object, one for the others."""
    one = idx < scenes.singles
    y = torch.empty(len(idx), 3, S, S, device=render.dev)
    for pick, n in ((one, 1), (~one, 3)):
        if pick.any():
            y[pick.to(render.dev)] = render(idx[pick].to(render.dev), n=n)
    return y.contiguous(memory_format=torch.channels_last)


def flat_loss(x, y):
    """Absolute error and that of differences over 1, 4 and 16 pixels, where the picture that is asked for is smooth: there the
    eye sees a fold of two levels."""
    with torch.no_grad():
        edge = (F.max_pool2d(y, 9, 1, 4) + F.max_pool2d(-y, 9, 1, 4)).amax(1, keepdim=True)      # brightest less darkest nearby
        w = (edge < .12).float()
    e = (x - y) * w
    l = e.abs().mean()
    for k in (1, 4, 16):
        l = l + (e[..., k:] - e[..., :-k]).abs().mean() + (e[..., k:, :] - e[..., :-k, :]).abs().mean()
    return l


def train_decoder(a, vae, dit, text, pool, scenes, q, render, scale, shift, dev):
    """The decoder alone: half true latents, half those of the transformer's own 8 steps for a sentence."""
    dec, peak = vae.decoder, a.decoder_lr
    dec.requires_grad_(True)
    seen = watch_norms(dec)

    def decode_watched(z):
        seen.clear()
        return dec(z), torch.stack(list(seen)).mean()
    opt = torch.optim.AdamW(dec.parameters(), peak, betas=(.9, .95), weight_decay=0.0, fused=dev == "cuda")
    f = torch.compile(decode_watched, dynamic=False) if a.compile else decode_watched
    t0, it, own = time.time(), 0, []
    while time.time() - t0 < a.decoder_s:
        if len(own) < 8:
            idx, ids, ln = (torch.from_numpy(v).long() for v in q.get())
            with torch.no_grad():
                ids, mask = ids.to(dev), torch.arange(32, device=dev) < ln.to(dev)[:, None]
                c, x = text(ids, torch.bfloat16), torch.randn(len(ids), 16, S // 8, S // 8, device=dev)
                for s, n in zip(SIGMAS[:-1], SIGMAS[1:]):
                    x = x - (n - s) * dit(x, torch.full((len(ids),), 1 - s, device=dev), c, mask)
            own += [(idx[k:k + 8], x[k:k + 8]) for k in range(0, len(ids), 8)]
            random.shuffle(own)
        i, z = own.pop()
        j = torch.randint(0, scenes.n, (8,))
        z = torch.cat([z, pool[j.to(dev)].float()]) / scale + shift
        y = render_mixed(render, scenes, torch.cat([i, j]))
        for g in opt.param_groups:
            g["lr"] = peak * min(1, (it + 1) / 100) * (.5 + .5 * math.cos(math.pi * min(1, (time.time() - t0) / a.decoder_s))) + 1e-7
        with torch.autocast(dev, torch.bfloat16):
            p, uneven = f(z.contiguous(memory_format=torch.channels_last))
        p = p.float()
        loss = image_loss(p, y) + 2 * image_loss(corners(p), corners(y)) + 4 * flat_loss(p, y) + .1 * uneven
        opt.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(dec.parameters(), 1.0)
        opt.step()
        it += 1
        if it % 200 == 0:
            near = (corners(p)[:16] - corners(y)[:16]).square().mean().item()
            log(f"decoder {it} uneven {uneven.item():.3f} top left {10 * math.log10(4 / near):.2f} dB own {10 * math.log10(4 / (p[:8] - y[:8]).square().mean().item()):.2f} dB true {10 * math.log10(4 / (p[8:] - y[8:]).square().mean().item()):.2f} dB")
    dec.requires_grad_(False)
    log(f"decoder done: {it} steps")


if __name__ == "__main__":
    main()
