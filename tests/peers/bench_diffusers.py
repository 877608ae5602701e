#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Time and memory of diffusers' ZImagePipeline on a random checkpoint.

    make_random_checkpoint.py CKPT
    bench_diffusers.py CKPT --mode time    --out FILE
    bench_diffusers.py CKPT --mode memory  --out FILE
    bench_diffusers.py CKPT --mode compile --out FILE
    bench_diffusers.py CKPT --mode profile --out FILE
    bench_diffusers.py CKPT --mode all     --out FILE     all of them, loading once

The peaks that torch counts do not depend on what ran before; the card's own
figure does a little (libraries loaded earlier stay loaded), so give --mode
memory a process of its own where that matters.  One JSON object a line goes to
--out (and to standard output).

What is timed is what a user of the pipeline gets: its own code, its own
padding of the prompt to 512 tokens, its default attention, in bf16.  The
tokenizer is a stand-in that returns fixed token ids (the checkpoint has none),
64 of them real and the rest padding.  A time is the median of the timed runs
after warm-up, host clock, with the device idle before and after; the JSON has
minimum and maximum too.

Memory, per run, after the caching allocator was emptied:
    allocated  peak bytes in live tensors
    reserved   peak bytes the allocator took from the driver
    device     peak bytes in use on the card (NVML) less what was in use before
               this process made its CUDA context: what nvidia-smi would show
"""
import argparse
import gc
import json
import math
import os
import statistics
import sys
import threading
import time
import traceback

SIZES = [(768, 768), (1024, 1024), (1280, 720), (1536, 1536), (2048, 2048)]  # width, height
STEPS, TOKENS, PADDED = 8, 64, 512
OUT = None


def emit(**row):
    line = json.dumps(row)
    print(line, flush=True)
    if OUT:
        with open(OUT, "a") as f:
            f.write(line + "\n")


class Nvml:
    """Card memory in use, sampled from a thread; the first reading is the floor."""

    def __init__(self):
        self.ok = False
        try:
            import pynvml
            pynvml.nvmlInit()
            self.lib, self.dev = pynvml, pynvml.nvmlDeviceGetHandleByIndex(0)
            self.floor = self.read()
            self.ok = True
        except Exception as e:
            print("no NVML:", e, file=sys.stderr)

    def read(self):
        return self.lib.nvmlDeviceGetMemoryInfo(self.dev).used

    def __enter__(self):
        self.peak, self.stop = 0, False
        if self.ok:
            def poll():
                while not self.stop:
                    self.peak = max(self.peak, self.read() - self.floor)
                    time.sleep(0.004)
            self.thread = threading.Thread(target=poll, daemon=True)
            self.thread.start()
        return self

    def __exit__(self, *a):
        self.stop = True
        if self.ok:
            self.thread.join()
            self.peak = max(self.peak, self.read() - self.floor)


NVML = Nvml()  # before torch touches the card

import torch  # noqa: E402


def clean():
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.synchronize()


def timed(fn, runs=5, warm=2):
    for _ in range(warm):
        fn()
    total, host = [], []
    for _ in range(runs):
        torch.cuda.synchronize()
        a = time.perf_counter()
        fn()
        b = time.perf_counter()
        torch.cuda.synchronize()
        c = time.perf_counter()
        total.append((c - a) * 1e3)
        host.append((b - a) * 1e3)
    return {"ms": statistics.median(total), "ms_min": min(total), "ms_max": max(total),
            "host_ms": statistics.median(host), "runs": runs}


def peak(fn):
    clean()
    torch.cuda.reset_peak_memory_stats()
    with NVML:
        t0 = time.perf_counter()
        fn()
        torch.cuda.synchronize()
        ms = (time.perf_counter() - t0) * 1e3
    return {"allocated": torch.cuda.max_memory_allocated(), "reserved": torch.cuda.max_memory_reserved(),
            "device": NVML.peak, "ms": ms}


def section(name, fn):
    t0 = time.time()
    try:
        fn()
        emit(what="section", name=name, seconds=time.time() - t0)
    except Exception as e:
        emit(what="failed", name=name, error=repr(e)[:500], trace=traceback.format_exc()[-1500:],
             seconds=time.time() - t0)
    clean()


# ---------------------------------------------------------------------------


class Encoding(dict):
    __getattr__ = dict.__getitem__


class StandInTokenizer:
    """Fixed ids, TOKENS of them real, padded on the right."""

    def __init__(self, vocab):
        self.ids = [(i * 7919 + 13) % min(vocab, 151643) for i in range(TOKENS)]

    def apply_chat_template(self, messages, **_):
        return messages[0]["content"]

    def __call__(self, prompt, max_length=PADDED, **_):
        n = len(prompt)
        pad = max_length - len(self.ids)
        return Encoding(input_ids=torch.tensor([self.ids + [0] * pad] * n),
                        attention_mask=torch.tensor([[1] * len(self.ids) + [0] * pad] * n))


def load(ckpt, device="cuda"):
    from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, ZImagePipeline, ZImageTransformer2DModel
    from transformers import Qwen3Model
    bf16, times = torch.bfloat16, {}

    def part(name, fn):
        t0 = time.time()
        m = fn().eval()
        times[name + "_read"] = time.time() - t0
        t0 = time.time()
        m = m.to(device)
        torch.cuda.synchronize()
        times[name + "_to_device"] = time.time() - t0
        return m

    te = part("text_encoder", lambda: Qwen3Model.from_pretrained(os.path.join(ckpt, "text_encoder"), dtype=bf16))
    tr = part("transformer", lambda: ZImageTransformer2DModel.from_pretrained(ckpt, subfolder="transformer", torch_dtype=bf16))
    vae = part("vae", lambda: AutoencoderKL.from_pretrained(ckpt, subfolder="vae", torch_dtype=bf16))
    sched = FlowMatchEulerDiscreteScheduler.from_pretrained(ckpt, subfolder="scheduler")
    pipe = ZImagePipeline(scheduler=sched, vae=vae, text_encoder=te,
                          tokenizer=StandInTokenizer(te.config.vocab_size), transformer=tr)
    pipe.set_progress_bar_config(disable=True)
    emit(what="load", ckpt=os.path.basename(os.path.normpath(ckpt)), seconds=times,
         bytes={n: sum(p.numel() * p.element_size() for p in m.parameters())
                for n, m in (("text_encoder", te), ("transformer", tr), ("vae", vae))},
         parameters={n: sum(p.numel() for p in m.parameters())
                     for n, m in (("text_encoder", te), ("transformer", tr), ("vae", vae))},
         rope=str(getattr(te.config, "rope_parameters", getattr(te.config, "rope_theta", None))),
         attention=getattr(te.config, "_attn_implementation", None))
    return pipe


def versions():
    import diffusers
    import transformers
    emit(what="versions", torch=torch.__version__, cuda=torch.version.cuda, cudnn=torch.backends.cudnn.version(),
         diffusers=diffusers.__version__, transformers=transformers.__version__, python=sys.version.split()[0],
         device=torch.cuda.get_device_name(0), total=torch.cuda.get_device_properties(0).total_memory)


def embeds(pipe, n=TOKENS):
    g = torch.Generator("cuda").manual_seed(3)
    return [torch.randn(n, pipe.transformer.config.cap_feat_dim, generator=g, device="cuda", dtype=torch.bfloat16) * 4]


def dit_inputs(pipe, w, h):
    g = torch.Generator("cuda").manual_seed(5)
    x = torch.randn(pipe.transformer.config.in_channels, 1, h // 8, w // 8, generator=g, device="cuda", dtype=torch.bfloat16)
    return [x], torch.full((1,), 0.4, device="cuda"), embeds(pipe)


def stats(t):
    t = t.float()
    return {"mean": t.mean().item(), "std": t.std().item(), "absmax": t.abs().max().item(),
            "finite": bool(torch.isfinite(t).all())}


def psnr(a, b, peak_value=2.0):
    mse = (a.float().clamp(-1, 1) - b.float().clamp(-1, 1)).pow(2).mean().item()
    return None if mse == 0 else 10 * math.log10(peak_value ** 2 / mse)


def latent(pipe, w, h, kind):
    """noise: white.  smooth: what a picture is closer to, mostly low frequencies."""
    g = torch.Generator("cuda").manual_seed(11)
    z = torch.randn(1, 16, h // 8, w // 8, generator=g, device="cuda")
    if kind == "smooth":
        low = torch.randn(1, 16, h // 128, w // 128, generator=g, device="cuda")
        z = 0.25 * z + torch.nn.functional.interpolate(low, size=z.shape[2:], mode="bicubic")
    c = pipe.vae.config
    return (z / c.scaling_factor + c.shift_factor).to(torch.bfloat16)


def untile(vae):
    vae.disable_tiling()
    vae.tile_latent_min_size = vae.config.sample_size // 8
    vae.tile_sample_min_size = vae.config.sample_size


def tile(vae, latent_side):
    vae.enable_tiling()
    vae.tile_latent_min_size, vae.tile_sample_min_size = latent_side, latent_side * 8


# ---------------------------------------------------------------------------


def mode_time(pipe, sizes):
    from torch.nn.attention import SDPBackend, sdpa_kernel

    def text():
        r = timed(lambda: pipe.encode_prompt("x", do_classifier_free_guidance=False), runs=7)
        e = pipe.encode_prompt("x", do_classifier_free_guidance=False)[0][0]
        emit(what="text", tokens=TOKENS, padded=PADDED, shape=list(e.shape), out=stats(e), **r)
        ids = torch.tensor([pipe.tokenizer.ids], device="cuda")
        r = timed(lambda: pipe.text_encoder(input_ids=ids, output_hidden_states=True).hidden_states[-2], runs=7)
        emit(what="text", tokens=TOKENS, padded=TOKENS, **r)

    section("text", text)

    def one(w, h):
        x, t, c = dit_inputs(pipe, w, h)
        runs = 5 if w * h <= 1536 * 1536 else 3
        out = pipe.transformer(x, t, c, return_dict=False)[0][0]
        r = timed(lambda: pipe.transformer(x, t, c, return_dict=False), runs=runs)
        emit(what="dit", backend="default", w=w, h=h, out=stats(out), **r)
        if w * h <= 1024 * 1024:
            r = timed(lambda: [pipe.transformer(x, t, c, return_dict=False) for _ in range(STEPS)], runs=3, warm=0)
            emit(what="dit8", backend="default", w=w, h=h, **r)
        for name, be in (("cudnn", SDPBackend.CUDNN_ATTENTION), ("flash", SDPBackend.FLASH_ATTENTION)):
            with sdpa_kernel(be):
                r = timed(lambda: pipe.transformer(x, t, c, return_dict=False), runs=runs, warm=1)
            emit(what="dit", backend=name, w=w, h=h, **r)

    for w, h in sizes:
        section("dit %dx%d" % (w, h), lambda: one(w, h))

    def vae(w, h):
        keep = {}
        for kind in ("noise", "smooth"):
            z = latent(pipe, w, h, kind)
            untile(pipe.vae)
            keep[kind] = pipe.vae.decode(z, return_dict=False)[0]
        z = latent(pipe, w, h, "smooth")
        runs = 5 if w * h <= 1536 * 1536 else 3
        r = timed(lambda: pipe.vae.decode(z, return_dict=False), runs=runs)
        emit(what="vae", tiling="off", w=w, h=h, out=stats(keep["smooth"]), **r)
        for side in (128, 64, 32):
            tile(pipe.vae, side)
            if max(w, h) // 8 <= side:
                continue
            db = {k: psnr(keep[k], pipe.vae.decode(latent(pipe, w, h, k), return_dict=False)[0]) for k in keep}
            r = timed(lambda: pipe.vae.decode(z, return_dict=False), runs=3, warm=1)
            emit(what="vae", tiling=side * 8, w=w, h=h, psnr=db, **r)
        untile(pipe.vae)
        if (w, h) == (1024, 1024):
            pipe.vae.to(memory_format=torch.channels_last)
            r = timed(lambda: pipe.vae.decode(z, return_dict=False), runs=runs)
            emit(what="vae", tiling="off", format="channels_last", w=w, h=h, **r)
            pipe.vae.to(memory_format=torch.contiguous_format)
            pipe.vae.to(torch.float32)
            zf = z.float()
            ref = pipe.vae.decode(zf, return_dict=False)[0]
            r = timed(lambda: pipe.vae.decode(zf, return_dict=False), runs=3, warm=1)
            emit(what="vae", tiling="off", dtype="float32", w=w, h=h, psnr_bf16=psnr(ref, keep["smooth"]), **r)
            pipe.vae.to(torch.bfloat16)

    for w, h in sizes:
        section("vae %dx%d" % (w, h), lambda: vae(w, h))

    def whole(w, h):
        untile(pipe.vae)

        def call(**kw):
            return pipe(width=w, height=h, num_inference_steps=STEPS, guidance_scale=0.0,
                        generator=torch.Generator("cuda").manual_seed(7), **kw)
        pe = pipe.encode_prompt("x", do_classifier_free_guidance=False)[0]
        lat = call(prompt_embeds=pe, output_type="latent").images
        r = timed(lambda: call(prompt_embeds=pe, output_type="latent"), runs=3, warm=0)
        emit(what="denoise", w=w, h=h, steps=STEPS, out=stats(lat), **r)
        r = timed(lambda: call(prompt="x", output_type="pil"), runs=3, warm=1)
        emit(what="whole", w=w, h=h, steps=STEPS, ends="text to PIL image", **r)
        if (w, h) == (1024, 1024):
            order = [SDPBackend.CUDNN_ATTENTION, SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION,
                     SDPBackend.MATH]  # cuDNN cannot do the decoder's 512-wide head
            with sdpa_kernel(order, set_priority=True):
                r = timed(lambda: call(prompt="x", output_type="pil"), runs=3, warm=1)
            emit(what="whole", backend="cudnn", w=w, h=h, steps=STEPS, ends="text to PIL image", **r)

    for w, h in sizes:
        section("whole %dx%d" % (w, h), lambda: whole(w, h))


def mode_memory(pipe, sizes):
    def call(w, h, steps=2, **kw):  # the peak does not depend on the number of steps
        return user[0](width=w, height=h, num_inference_steps=steps, guidance_scale=0.0,
                       generator=torch.Generator("cuda").manual_seed(7), **kw)

    def tilings(w):
        yield "off", lambda: untile(pipe.vae)
        yield 512, lambda: tile(pipe.vae, 64)
        if w > 1024:
            yield 1024, lambda: tile(pipe.vae, 128)

    pe = pipe.encode_prompt("x", do_classifier_free_guidance=False)[0]
    base = torch.cuda.memory_allocated()
    emit(what="resident", where="all on the card", bytes=base)

    user = [pipe]

    def run(where, w, h, **kw):
        call(w, h, **kw)  # warm: libraries, workspaces
        for name, setup in tilings(w):
            setup()
            emit(what="memory", where=where, w=w, h=h, tiling=name, **peak(lambda: call(w, h, **kw)))
        untile(pipe.vae)
        if where != "model_cpu_offload":
            emit(what="memory", where=where, w=w, h=h, tiling="(no decode)",
                 **peak(lambda: call(w, h, output_type="latent", **kw)))

    def all_on():
        emit(what="memory", where="text encode alone", **peak(lambda: pipe.encode_prompt("x", do_classifier_free_guidance=False)))
        for w, h in sizes:
            run("all on the card", w, h, prompt="x")

    section("memory: all on the card", all_on)

    def no_text():
        pipe.text_encoder.to("cpu")
        user[0] = type(pipe)(scheduler=pipe.scheduler, vae=pipe.vae, text_encoder=None, tokenizer=None,
                             transformer=pipe.transformer)
        user[0].set_progress_bar_config(disable=True)
        clean()
        emit(what="resident", where="text encoder off", bytes=torch.cuda.memory_allocated())
        for w, h in sizes:
            run("text encoder off", w, h, prompt_embeds=pe)

    section("memory: text encoder off", no_text)

    def offload():
        user[0] = pipe
        pipe.enable_model_cpu_offload()
        clean()
        for w, h in sizes:
            run("model_cpu_offload", w, h, prompt="x")
        r = timed(lambda: call(1024, 1024, steps=STEPS, prompt="x"), runs=3, warm=0)
        emit(what="whole", where="model_cpu_offload", w=1024, h=1024, steps=STEPS, **r)

    section("memory: model_cpu_offload", offload)


def mode_compile(pipe, how):
    x, t, c = dit_inputs(pipe, 1024, 1024)
    eager = pipe.transformer(x, t, c, return_dict=False)[0][0]

    def go():
        t0 = time.time()
        if how == "blocks":
            pipe.transformer.compile_repeated_blocks(dynamic=False)
            f = pipe.transformer
        else:
            f = torch.compile(pipe.transformer, dynamic=False)
        out = f(x, t, c, return_dict=False)[0][0]
        torch.cuda.synchronize()
        first = time.time() - t0
        for _ in range(2):
            f(x, t, c, return_dict=False)
        torch.cuda.synchronize()
        warm = time.time() - t0 - first
        r = timed(lambda: f(x, t, c, return_dict=False), runs=7)
        rel = ((out.float() - eager.float()).norm() / eager.float().norm()).item()
        emit(what="compile", how=how, w=1024, h=1024, first_call_s=first, warm_s=warm, rel_to_eager=rel, **r)
        r = timed(lambda: [f(x, t, c, return_dict=False) for _ in range(STEPS)], runs=3, warm=0)
        emit(what="compile8", how=how, w=1024, h=1024, **r)
        if how == "blocks" and next(pipe.text_encoder.parameters()).is_cuda:
            r = timed(lambda: pipe(prompt="x", width=1024, height=1024, num_inference_steps=STEPS, guidance_scale=0.0,
                                   generator=torch.Generator("cuda").manual_seed(7)), runs=5, warm=1)
            emit(what="whole", how="compiled blocks", w=1024, h=1024, steps=STEPS, **r)

    section("compile " + how, go)


def mode_profile(pipe):
    """Where one eager forward at 1024x1024 spends its device time, by kind of kernel."""
    from torch.profiler import ProfilerActivity, profile
    kinds = (("attention", ("flash", "fmha", "sdpa", "attention")),
             ("product", ("gemm", "nvjet", "cutlass", "xmma", "cublas", "splitk", "gemv")),
             ("convolution", ("conv", "winograd", "implicit")),
             ("norm", ("norm", "welford")))

    def run(what, fn):
        fn()
        fn()
        torch.cuda.synchronize()
        with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as p:
            fn()
            torch.cuda.synchronize()
        total, by, names, count = 0.0, {}, {}, 0
        for e in p.events():
            if str(getattr(e, "device_type", "")).endswith("CUDA"):
                n, ms = e.name.lower(), e.time_range.elapsed_us() / 1e3
                kind = next((k for k, words in kinds if any(s in n for s in words)), "elementwise, copies, other")
                by[kind] = by.get(kind, 0.0) + ms
                names[e.name[:90]] = names.get(e.name[:90], 0.0) + ms
                total += ms
                count += 1
        emit(what="profile", of=what, device_ms=total, kernels=count, by=by,
             top=sorted(names.items(), key=lambda kv: -kv[1])[:14])

    x, t, c = dit_inputs(pipe, 1024, 1024)
    section("profile dit", lambda: run("one forward, 1024x1024", lambda: pipe.transformer(x, t, c, return_dict=False)))
    z = latent(pipe, 1024, 1024, "smooth")
    section("profile vae", lambda: run("VAE decode, 1024x1024", lambda: pipe.vae.decode(z, return_dict=False)))
    section("profile text", lambda: run("text encode, 512 padded", lambda: pipe.encode_prompt("x", do_classifier_free_guidance=False)))


def main():
    global OUT
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("ckpt")
    ap.add_argument("--mode", choices=("check", "time", "memory", "compile", "profile", "all"), required=True)
    ap.add_argument("--how", choices=("blocks", "whole"), default="blocks", help="with --mode compile")
    ap.add_argument("--sizes", nargs="*", help="WxH ...", default=None)
    ap.add_argument("--out")
    a = ap.parse_args()
    OUT = a.out
    sizes = [tuple(map(int, s.split("x"))) for s in a.sizes] if a.sizes else SIZES
    with torch.no_grad():
        versions()
        t0 = time.time()
        pipe = load(a.ckpt)
        emit(what="section", name="load", seconds=time.time() - t0)
        if a.mode == "check":
            img = pipe(prompt="x", width=256, height=256, num_inference_steps=2, guidance_scale=0.0,
                       generator=torch.Generator("cuda").manual_seed(7), output_type="pt").images
            emit(what="check", image=stats(img), shape=list(img.shape))
        elif a.mode == "time":
            mode_time(pipe, sizes)
        elif a.mode == "memory":
            mode_memory(pipe, sizes if a.sizes else [(1024, 1024), (2048, 2048)])
        elif a.mode == "compile":
            mode_compile(pipe, a.how)
        elif a.mode == "profile":
            mode_profile(pipe)
        else:
            mode_time(pipe, sizes)
            mode_profile(pipe)
            mode_memory(pipe, [(1024, 1024), (2048, 2048)])
            pipe.remove_all_hooks()
            pipe.text_encoder.to("cpu")
            pipe.transformer.to("cuda")
            mode_compile(pipe, a.how)


if __name__ == "__main__":
    main()
