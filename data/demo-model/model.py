# SPDX-License-Identifier: Apache-2.0
"""The three networks in plain PyTorch, with the parts of one matrix product kept together for speed.

`to_diffusers` gives the tensors the names and shapes of the published layout. GFLOP counts are at the end.
"""
import math

import torch
import torch.nn as nn
import torch.nn.functional as F

VAE = dict(ch=(32, 32, 96, 128), per_block=1, latent=16)
TEXT = dict(vocab=5120, dim=256, hidden=768, layers=5, heads=4, kv_heads=2, head_dim=128, theta=1e6, eps=1e-6)
DIT = dict(dim=384, heads=3, layers=5, refiners=1, axes=(32, 48, 48), theta=256.0, eps=1e-5, adaln=256, t_hidden=1024)
FFN = int(DIT["dim"] / 3 * 8)


# ---------------------------------------------------------------- VAE (AutoencoderKL; names as in diffusers)
class Res(nn.Module):
    def __init__(self, i, o):
        super().__init__()
        self.norm1, self.conv1 = nn.GroupNorm(32, i, 1e-6), nn.Conv2d(i, o, 3, padding=1)
        self.norm2, self.conv2 = nn.GroupNorm(32, o, 1e-6), nn.Conv2d(o, o, 3, padding=1)
        if i != o:
            self.conv_shortcut = nn.Conv2d(i, o, 1)

    def forward(self, x):
        h = self.conv2(F.silu(self.norm2(self.conv1(F.silu(self.norm1(x))))))
        return h + (self.conv_shortcut(x) if hasattr(self, "conv_shortcut") else x)


class VaeAttention(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.group_norm = nn.GroupNorm(32, c, 1e-6)
        self.to_q, self.to_k, self.to_v = (nn.Linear(c, c) for _ in range(3))
        self.to_out = nn.ModuleList([nn.Linear(c, c)])

    def forward(self, x):
        b, c, h, w = x.shape
        t = self.group_norm(x).flatten(2).transpose(1, 2)
        o = F.scaled_dot_product_attention(self.to_q(t)[:, None], self.to_k(t)[:, None], self.to_v(t)[:, None])[:, 0]
        return x + self.to_out[0](o).transpose(1, 2).reshape(b, c, h, w)


class Mid(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.attentions, self.resnets = nn.ModuleList([VaeAttention(c)]), nn.ModuleList([Res(c, c), Res(c, c)])

    def forward(self, x):
        return self.resnets[1](self.attentions[0](self.resnets[0](x)))


class Scale(nn.Module):
    def __init__(self, c, down):
        super().__init__()
        self.conv, self.down = nn.Conv2d(c, c, 3, 2 if down else 1, 0 if down else 1), down

    def forward(self, x):
        return self.conv(F.pad(x, (0, 1, 0, 1)) if self.down else F.interpolate(x, scale_factor=2.0, mode="nearest"))


class Block(nn.Module):
    def __init__(self, i, o, n, down, up):
        super().__init__()
        self.resnets = nn.ModuleList([Res(i if j == 0 else o, o) for j in range(n)])
        if down:
            self.downsamplers = nn.ModuleList([Scale(o, True)])
        if up:
            self.upsamplers = nn.ModuleList([Scale(o, False)])

    def forward(self, x):
        for r in self.resnets:
            x = r(x)
        for name in ("downsamplers", "upsamplers"):
            if hasattr(self, name):
                x = getattr(self, name)[0](x)
        return x


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        ch = VAE["ch"]
        self.conv_in = nn.Conv2d(3, ch[0], 3, padding=1)
        self.down_blocks = nn.ModuleList(Block(ch[max(i - 1, 0)], ch[i], VAE["per_block"], i < 3, False) for i in range(4))
        self.mid_block, self.conv_norm_out = Mid(ch[-1]), nn.GroupNorm(32, ch[-1], 1e-6)
        self.conv_out = nn.Conv2d(ch[-1], 2 * VAE["latent"], 3, padding=1)

    def forward(self, x):
        x = self.conv_in(x)
        for b in self.down_blocks:
            x = b(x)
        return self.conv_out(F.silu(self.conv_norm_out(self.mid_block(x))))


class Decoder(nn.Module):
    def __init__(self):
        super().__init__()
        ch = VAE["ch"][::-1]
        self.conv_in, self.mid_block = nn.Conv2d(VAE["latent"], ch[0], 3, padding=1), Mid(ch[0])
        self.up_blocks = nn.ModuleList(Block(ch[max(i - 1, 0)], ch[i], VAE["per_block"] + 1, False, i < 3) for i in range(4))
        self.conv_norm_out, self.conv_out = nn.GroupNorm(32, ch[-1], 1e-6), nn.Conv2d(ch[-1], 3, 3, padding=1)

    def forward(self, z):
        x = self.mid_block(self.conv_in(z))
        for b in self.up_blocks:
            x = b(x)
        return self.conv_out(F.silu(self.conv_norm_out(x)))


class Vae(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = Encoder(), Decoder()


# ---------------------------------------------------------------- pieces of the two transformers
def rms(x, w, eps):
    y = x.float()
    return (y * torch.rsqrt(y.square().mean(-1, keepdim=True) + eps) * w).to(x.dtype)


def text_block(x, cos, sin, n1, n2, qn, kn, wq, wk, wv, wo, w13, w2):
    """One Qwen3 layer, causal; cos and sin [L, head_dim/2] (half-split rotation)."""
    t, b, n = x.dtype, x.shape[0], x.shape[1]
    hd, kv = TEXT["head_dim"], TEXT["kv_heads"]

    def rot(y):
        a, c = y.float().chunk(2, -1)
        k, s = cos[None, :, None], sin[None, :, None]
        return torch.cat([a * k - c * s, c * k + a * s], -1).to(t)
    h = rms(x, n1, TEXT["eps"])
    q = rot(rms(F.linear(h, wq.to(t)).view(b, n, -1, hd), qn, TEXT["eps"]))
    k = rot(rms(F.linear(h, wk.to(t)).view(b, n, kv, hd), kn, TEXT["eps"]))
    v = F.linear(h, wv.to(t)).view(b, n, kv, hd)
    g = TEXT["heads"] // kv
    k, v = k.repeat_interleave(g, 2), v.repeat_interleave(g, 2)
    o = F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), is_causal=True)
    x = x + F.linear(o.transpose(1, 2).reshape(b, n, -1), wo.to(t))
    g, u = F.linear(rms(x, n2, TEXT["eps"]), w13.reshape(-1, w13.shape[-1]).to(t)).chunk(2, -1)
    return x + F.linear(F.silu(g) * u, w2.to(t))


def dit_block(x, cos, sin, m, n1, n2, n3, n4, qn, kn, qkv, wo, w13, w2):
    """One block of the transformer; m [B, 4 dim] or None; cos and sin [N, 64] (interleaved pairs)."""
    t, b, n, d = x.dtype, x.shape[0], x.shape[1], x.shape[2]
    heads, eps = DIT["heads"], DIT["eps"]

    def rot(y):
        a, c = y.float().view(b, n, heads, -1, 2).unbind(-1)
        k, s = cos[None, :, None], sin[None, :, None]
        return torch.stack([a * k - c * s, a * s + c * k], -1).flatten(3).to(t)
    h = rms(x, n1, eps)
    if m is not None:
        sa, ga, sm, gm = m[:, None].chunk(4, -1)
        h, ga, gm = h * (1 + sa), ga.tanh(), gm.tanh()
    q, k, v = F.linear(h, qkv.reshape(3 * d, d).to(t)).view(b, n, 3, heads, -1).unbind(2)
    q, k = rot(rms(q, qn, eps)), rot(rms(k, kn, eps))
    o = F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2))
    h = rms(F.linear(o.transpose(1, 2).reshape(b, n, d), wo.to(t)), n2, eps)
    x = x + (h if m is None else ga * h)
    h = rms(x, n3, eps)
    if m is not None:
        h = h * (1 + sm)
    g, u = F.linear(h, w13.reshape(-1, d).to(t)).chunk(2, -1)
    h = rms(F.linear(F.silu(g) * u, w2.to(t)), n4, eps)
    return x + (h if m is None else gm * h)


class TextLayer(nn.Module):
    def __init__(self):
        super().__init__()
        d, hd, h = TEXT["dim"], TEXT["head_dim"], TEXT["hidden"]
        q, kv = TEXT["heads"] * hd, TEXT["kv_heads"] * hd
        mat = lambda *s: nn.Parameter(torch.randn(*s) * s[-1] ** -.5)
        self.n1, self.n2 = nn.Parameter(torch.ones(d)), nn.Parameter(torch.ones(d))
        self.qn, self.kn = nn.Parameter(torch.ones(hd)), nn.Parameter(torch.ones(hd))
        self.wq, self.wk, self.wv, self.wo = mat(q, d), mat(kv, d), mat(kv, d), nn.Parameter(torch.randn(d, q) * .3 * q ** -.5)
        self.w13, self.w2 = mat(2, h, d), nn.Parameter(torch.randn(d, h) * .3 * h ** -.5)

    def parts(self):
        return (self.n1, self.n2, self.qn, self.kn, self.wq, self.wk, self.wv, self.wo, self.w13, self.w2)


class DitLayer(nn.Module):
    def __init__(self, modulated):
        super().__init__()
        d, hd = DIT["dim"], DIT["dim"] // DIT["heads"]
        mat = lambda *s: nn.Parameter(torch.randn(*s) * s[-1] ** -.5)
        self.n1, self.n2, self.n3, self.n4 = (nn.Parameter(torch.full((d,), v)) for v in (1., .5, 1., .5))
        self.qn, self.kn = nn.Parameter(torch.ones(hd)), nn.Parameter(torch.ones(hd))
        self.qkv, self.wo, self.w13, self.w2 = mat(3, d, d), mat(d, d), mat(2, FFN, d), mat(d, FFN)
        self.mod = nn.Linear(DIT["adaln"], 4 * d) if modulated else None
        if modulated:
            nn.init.normal_(self.mod.weight, std=.02)
            nn.init.zeros_(self.mod.bias)
            with torch.no_grad():
                self.mod.bias.view(4, d)[1::2] = 1.0

    def parts(self):
        return (self.n1, self.n2, self.n3, self.n4, self.qn, self.kn, self.qkv, self.wo, self.w13, self.w2)


class Text(nn.Module):
    """The text encoder up to the state the transformer reads (the last layer of the config is never run)."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Parameter(torch.randn(TEXT["vocab"], TEXT["dim"]))
        self.layers = nn.ModuleList(TextLayer() for _ in range(TEXT["layers"] - 1))
        self.block = text_block

    def forward(self, ids, dtype):
        n, half = ids.shape[1], TEXT["head_dim"] // 2
        f = TEXT["theta"] ** (-torch.arange(half, device=ids.device, dtype=torch.float32) / half)
        a = torch.arange(n, device=ids.device, dtype=torch.float32)[:, None] * f
        cos, sin, x = a.cos(), a.sin(), F.embedding(ids, self.embed).to(dtype)
        for layer in self.layers:
            x = self.block(x, cos, sin, *layer.parts())
        return x


class Dit(nn.Module):
    def __init__(self):
        super().__init__()
        d, cap, c = DIT["dim"], TEXT["dim"], DIT["adaln"]
        self.x_emb, self.t0, self.t2 = nn.Linear(64, d), nn.Linear(256, DIT["t_hidden"]), nn.Linear(DIT["t_hidden"], c)
        self.cap_norm, self.cap_emb = nn.Parameter(torch.ones(cap)), nn.Linear(cap, d)
        self.x_pad, self.cap_pad = nn.Parameter(torch.zeros(1, d)), nn.Parameter(torch.randn(1, d) * .5)
        self.noise = nn.ModuleList(DitLayer(True) for _ in range(DIT["refiners"]))
        self.context = nn.ModuleList(DitLayer(False) for _ in range(DIT["refiners"]))
        self.layers = nn.ModuleList(DitLayer(True) for _ in range(DIT["layers"]))
        self.final_mod, self.final = nn.Linear(c, d), nn.Linear(d, 64)
        for m in (self.x_emb, self.t0, self.t2, self.cap_emb):
            nn.init.normal_(m.weight, std=m.in_features ** -.5)
            nn.init.zeros_(m.bias)
        nn.init.normal_(self.final_mod.weight, std=.02)
        for p in (self.final_mod.bias, self.final.weight, self.final.bias):
            nn.init.zeros_(p)
        self.block, self._rope = dit_block, {}

    def rope(self, cl, n, m, dev):
        key = (cl, n, m, dev)
        if key not in self._rope:
            g = torch.stack(torch.meshgrid(torch.tensor([cl + 1]), torch.arange(n), torch.arange(m), indexing="ij"), -1).view(-1, 3)
            t = torch.stack([torch.arange(1, cl + 1), torch.zeros(cl), torch.zeros(cl)], -1)
            tables = []
            for pos in (g, t):
                c = [torch.outer(pos[:, i].double(), DIT["theta"] ** (-torch.arange(0, k, 2, dtype=torch.float64) / k))
                     for i, k in enumerate(DIT["axes"])]
                c = torch.cat(c, -1).float()
                tables += [c.cos().to(dev), c.sin().to(dev)]
            self._rope[key] = tables + [torch.cat(tables[0::2]), torch.cat(tables[1::2])]
        return self._rope[key]

    def forward(self, z, t, cap, mask):
        """z [B,16,h,w], t [B] = 1 - sigma, cap [B,L,C] and mask [B,L] with L a multiple of 32 -> -velocity, float"""
        b, ch, h, w = z.shape
        n, m, dt, dev = h // 2, w // 2, cap.dtype, z.device
        xc, xs, tc, ts, uc, us = self.rope(cap.shape[1], n, m, dev)
        f = torch.exp(-math.log(10000) * torch.arange(128, device=dev) / 128) * (t * 1000)[:, None]
        c = F.linear(F.silu(F.linear(torch.cat([f.cos(), f.sin()], -1), self.t0.weight, self.t0.bias)), self.t2.weight, self.t2.bias)
        lin = lambda x, l: F.linear(x, l.weight.to(dt), l.bias.to(dt))
        c16 = c.to(dt)
        x = z.to(dt).view(b, ch, n, 2, m, 2).permute(0, 2, 4, 3, 5, 1).reshape(b, n * m, 64)
        x = lin(x, self.x_emb)
        for l in self.noise:
            x = self.block(x, xc, xs, lin(c16, l.mod), *l.parts())
        y = torch.where(mask[..., None], lin(rms(cap, self.cap_norm, DIT["eps"]), self.cap_emb), self.cap_pad.to(dt))
        for l in self.context:
            y = self.block(y, tc, ts, None, *l.parts())
        u = torch.cat([x, y], 1)
        for l in self.layers:
            u = self.block(u, uc, us, lin(c16, l.mod), *l.parts())
        o = F.layer_norm(u[:, :n * m].float(), (DIT["dim"],), eps=1e-6) * (1 + F.linear(F.silu(c), self.final_mod.weight, self.final_mod.bias))[:, None]
        o = lin(o.to(dt), self.final)
        return o.view(b, n, m, 2, 2, ch).permute(0, 5, 1, 3, 2, 4).reshape(b, ch, h, w).float()


# ---------------------------------------------------------------- names of the published layout
def to_diffusers(dit, text):
    """Two state dicts: transformer (diffusers names) and text encoder (transformers names, layers that run)."""
    a = {"all_x_embedder.2-1.": dit.x_emb, "t_embedder.mlp.0.": dit.t0, "t_embedder.mlp.2.": dit.t2, "cap_embedder.1.": dit.cap_emb,
         "all_final_layer.2-1.linear.": dit.final, "all_final_layer.2-1.adaLN_modulation.1.": dit.final_mod}
    tr = {k + n: getattr(l, n) for k, l in a.items() for n in ("weight", "bias")}
    tr.update({"cap_embedder.0.weight": dit.cap_norm, "x_pad_token": dit.x_pad, "cap_pad_token": dit.cap_pad})
    for group, layers in (("noise_refiner", dit.noise), ("context_refiner", dit.context), ("layers", dit.layers)):
        for i, l in enumerate(layers):
            p = f"{group}.{i}."
            tr.update({p + "attention_norm1.weight": l.n1, p + "attention_norm2.weight": l.n2, p + "ffn_norm1.weight": l.n3,
                       p + "ffn_norm2.weight": l.n4, p + "attention.norm_q.weight": l.qn, p + "attention.norm_k.weight": l.kn,
                       p + "attention.to_q.weight": l.qkv[0], p + "attention.to_k.weight": l.qkv[1], p + "attention.to_v.weight": l.qkv[2],
                       p + "attention.to_out.0.weight": l.wo, p + "feed_forward.w1.weight": l.w13[0],
                       p + "feed_forward.w3.weight": l.w13[1], p + "feed_forward.w2.weight": l.w2})
            if l.mod is not None:
                tr.update({p + "adaLN_modulation.0.weight": l.mod.weight, p + "adaLN_modulation.0.bias": l.mod.bias})
    te = {"embed_tokens.weight": text.embed}
    for i, l in enumerate(text.layers):
        p = f"layers.{i}."
        te.update({p + "input_layernorm.weight": l.n1, p + "post_attention_layernorm.weight": l.n2, p + "self_attn.q_norm.weight": l.qn,
                   p + "self_attn.k_norm.weight": l.kn, p + "self_attn.q_proj.weight": l.wq, p + "self_attn.k_proj.weight": l.wk,
                   p + "self_attn.v_proj.weight": l.wv, p + "self_attn.o_proj.weight": l.wo, p + "mlp.gate_proj.weight": l.w13[0],
                   p + "mlp.up_proj.weight": l.w13[1], p + "mlp.down_proj.weight": l.w2})
    return {k: v.detach() for k, v in tr.items()}, {k: v.detach() for k, v in te.items()}


def gflop(size=256, steps=8, cap=32):
    """Work of one picture, 2 per multiply-add: (transformer, VAE decoder, text encoder), in GFLOP."""
    d, img = DIT["dim"], (size // 16) ** 2
    block = lambda n: n * (4 * d * d + 3 * d * FFN) + 2 * n * n * d
    per_step = DIT["refiners"] * block(img) + DIT["layers"] * block(img + cap) + img * 64 * d * 2
    dit = steps * per_step + DIT["refiners"] * block(cap)
    t = TEXT
    q, kv = t["heads"] * t["head_dim"], t["kv_heads"] * t["head_dim"]
    text = (t["layers"] - 1) * cap * (t["dim"] * (2 * q + 2 * kv) + 3 * t["dim"] * t["hidden"])
    vae, side, ch = 0, size // 8, VAE["ch"][::-1]
    conv = lambda i, o, s: 9 * i * o * s * s
    vae += conv(VAE["latent"], ch[0], side) + 4 * conv(ch[0], ch[0], side) + 4 * ch[0] ** 2 * side ** 2 + 2 * side ** 4 * ch[0]
    for i in range(4):
        a = ch[max(i - 1, 0)]
        vae += conv(a, ch[i], side) + (a != ch[i]) * a * ch[i] * side ** 2 + (2 * VAE["per_block"] + 1) * conv(ch[i], ch[i], side)
        if i < 3:
            side *= 2
            vae += conv(ch[i], ch[i], side)
    vae += conv(ch[3], 3, side)
    return tuple(2e-9 * x for x in (dit, vae, text))
