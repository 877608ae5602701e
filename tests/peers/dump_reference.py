#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Record what diffusers computes on a random checkpoint, for our engine's tests.

    dump_reference.py CKPT OUT.safetensors [--width W --height H --tokens N
        --steps N --dtype f32|bf16 --layers --device cuda|cpu --job WxH:TOKENS:OUT]

Runs the real ZImagePipeline (its padding, its schedule, its order of
operations) and stores its inputs and what passes between its parts:

    ids                     the N token ids (int32)
    noise                   the starting latent, made from the same hash as the
                            weights, tensor name "input/noise", mean 0, std 1
    sigmas, timesteps       the scheduler's, float32
    text.embeds             [N, width] what the text encoder gives the transformer
    step<i>.in, step<i>.out the transformer's input and output (before the sign flip)
    step<i>.t               its time argument
    step<i>.latent          the latent after the step
    vae.in, image           the decoder's input, and its output before clamping
    <part>.<k>              with --layers: the output of every block, first step

--dtype f32 runs every part in float32 with TF32 off, on weights that are the
file's bf16 values: the reference to measure an error against.  --dtype bf16
runs it as users do: the error that is already accepted.  Everything is stored
as float32 unless said otherwise.
"""
import argparse
import os
import sys

import torch

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from make_random_checkpoint import TorchBackend, tensor_key  # noqa: E402


def load_parts(ckpt, dtype, device):
    """text encoder, transformer, VAE, scheduler of a checkpoint"""
    from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, ZImageTransformer2DModel
    from transformers import Qwen3Model

    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.set_float32_matmul_precision("highest")
    dt = torch.float32 if dtype == "f32" else torch.bfloat16
    te = Qwen3Model.from_pretrained(os.path.join(ckpt, "text_encoder"), dtype=dt).eval().to(device)
    tr = ZImageTransformer2DModel.from_pretrained(ckpt, subfolder="transformer", torch_dtype=dt).eval().to(device)
    vae = AutoencoderKL.from_pretrained(ckpt, subfolder="vae", torch_dtype=dt).eval().to(device)
    return te, tr, vae, FlowMatchEulerDiscreteScheduler.from_pretrained(ckpt, subfolder="scheduler")


def record(a, parts, width, height, tokens, out):
    """runs the pipeline once and writes OUT; A has steps, seed, dtype, layers, device"""
    import copy
    from diffusers import ZImagePipeline
    from safetensors.torch import save_file

    te, tr, vae, sched = parts
    sched = copy.deepcopy(sched)
    hooks = []
    ids = [(i * 7919 + 13) % min(te.config.vocab_size, 151643) for i in range(tokens)]

    class Encoding(dict):
        __getattr__ = dict.__getitem__

    class StandInTokenizer:
        def apply_chat_template(self, messages, **_):
            return messages[0]["content"]

        def __call__(self, prompt, max_length=512, **_):
            pad = max_length - len(ids)
            return Encoding(input_ids=torch.tensor([ids + [0] * pad]),
                            attention_mask=torch.tensor([[1] * len(ids) + [0] * pad]))

    pipe = ZImagePipeline(scheduler=sched, vae=vae, text_encoder=te, tokenizer=StandInTokenizer(), transformer=tr)
    pipe.set_progress_bar_config(disable=True)
    keep = {"ids": torch.tensor(ids, dtype=torch.int32)}
    shape = (1, 16, height // 8, width // 8)
    noise = TorchBackend(a.device).tensor(tensor_key(a.seed, "input", "noise"), shape, 0.0, 1.0, torch.float32)

    def put(name, t):
        keep[name] = t.detach().float().cpu().clone().contiguous()  # on a CPU in f32 all before it copies nothing

    step, first = [0], [True]

    def before(_, args, kwargs):
        x, t, c = args[:3]
        put("step%d.in" % step[0], x[0])
        put("step%d.t" % step[0], t)
        if step[0] == 0:
            put("text.embeds", c[0])

    def after(_, args, kwargs, out):
        put("step%d.out" % step[0], out[0][0])
        first[0] = False

    hooks.append(tr.register_forward_pre_hook(before, with_kwargs=True))
    hooks.append(tr.register_forward_hook(after, with_kwargs=True))
    hooks.append(vae.decoder.register_forward_hook(lambda m, args, o: (put("vae.in", args[0]), put("image", o), None)[-1]))
    if a.layers:
        def tap(name, once):
            def hook(m, args, out):
                if first[0] or not once:
                    put(name, out[0] if isinstance(out, tuple) else out)
            return hook
        for part in ("noise_refiner", "context_refiner", "layers"):
            for k, m in enumerate(getattr(tr, part)):
                hooks.append(m.register_forward_hook(tap("%s.%d" % (part, k), True)))
        hooks.append(tr.t_embedder.register_forward_hook(tap("t_embedder", True)))
        for k, m in enumerate(te.layers):
            def text_hook(m, args, out, k=k):
                o = out[0] if isinstance(out, tuple) else out
                put("text_layer.%d" % k, o[0, :tokens] if o.dim() == 3 else o[:tokens])
            hooks.append(m.register_forward_hook(text_hook))
        for k, m in enumerate(vae.decoder.up_blocks):
            hooks.append(m.register_forward_hook(tap("vae.up.%d" % k, False)))
        hooks.append(vae.decoder.mid_block.register_forward_hook(tap("vae.mid", False)))

    def end(p, i, t, kw):
        put("step%d.latent" % i, kw["latents"])
        step[0] = i + 1
        return {}

    with torch.no_grad():
        pipe(prompt="x", width=width, height=height, num_inference_steps=a.steps, guidance_scale=0.0,
             latents=noise.clone(), callback_on_step_end=end, output_type="pt")
    for hook in hooks:
        hook.remove()
    put("noise", noise)
    put("sigmas", sched.sigmas)
    put("timesteps", sched.timesteps)
    os.makedirs(os.path.dirname(os.path.abspath(out)), exist_ok=True)
    import diffusers
    import transformers
    save_file(keep, out, metadata={"dtype": a.dtype, "seed": str(a.seed), "torch": torch.__version__,
                                     "diffusers": diffusers.__version__, "transformers": transformers.__version__,
                                     "device": torch.cuda.get_device_name(0) if a.device.startswith("cuda") else "cpu"})
    for k in ("text.embeds", "step0.out", "step%d.latent" % (a.steps - 1), "image"):
        t = keep[k]
        print("%-14s %-22s mean %+.4f std %.4f max %.3f" % (k, tuple(t.shape), t.mean(), t.std(), t.abs().max()))
    print("sigmas", ["%.6f" % s for s in keep["sigmas"].tolist()])
    print("%s: %d tensors, %.2f MiB" % (os.path.basename(out), len(keep), os.path.getsize(out) / 2 ** 20))


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("ckpt")
    ap.add_argument("out", nargs="?")
    ap.add_argument("--width", type=int, default=128)
    ap.add_argument("--height", type=int, default=96)
    ap.add_argument("--tokens", type=int, default=21)
    ap.add_argument("--steps", type=int, default=8)
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("--dtype", choices=("f32", "bf16"), default="f32")
    ap.add_argument("--layers", action="store_true")
    ap.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    ap.add_argument("--job", action="append", default=[], metavar="WxH:TOKENS:OUT", help="several records, the model loaded once")
    a = ap.parse_args()
    jobs = []
    for job in a.job:
        size, tokens, out = job.split(":", 2)
        jobs.append((*(int(v) for v in size.split("x")), int(tokens), out))
    if a.out:
        jobs.append((a.width, a.height, a.tokens, a.out))
    if not jobs:
        ap.error("neither OUT nor --job")
    parts = load_parts(a.ckpt, a.dtype, a.device)
    for job in jobs:
        record(a, parts, *job)


if __name__ == "__main__":
    main()
