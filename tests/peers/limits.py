#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What one GPU can do at the shapes of Z-Image-Turbo, through PyTorch.

Prints one JSON object a line (and appends it to --out FILE), then a table.
Nothing here belongs to a peer: these are the ceilings that a peer's time, and
ours, are set against.

  copy       device-to-device, host-to-device and back, pinned and pageable
  gemm       bf16, fp8 (per tensor, per row) and int8 products at the layer shapes
  chain      all products of one forward pass in a row, on distinct weights: the
             sustained rate, clocks and power as they are after seconds of load
  attention  scaled_dot_product_attention by backend, at the joint length
  conv       the autoencoder's 3x3 convolutions, both memory formats
  pointwise  the bandwidth-bound passes between the products

Times are medians over repeats of a group of launches between two events.
Random data throughout: products of zeros run faster and tell nothing.
"""
import argparse
import json
import statistics
import time

import torch
import torch.nn.functional as F

DIM, FFN, HEADS, HD, LAYERS, REFINERS = 3840, 10240, 30, 128, 30, 2
ROWS = []
OUT = None


def emit(**row):
    ROWS.append(row)
    line = json.dumps(row)
    print(line, flush=True)
    if OUT:
        with open(OUT, "a") as f:
            f.write(line + "\n")


def timed(fn, inner=10, repeats=7, warm=3):
    """Median, minimum and maximum milliseconds of one call of fn(i)."""
    for i in range(warm):
        fn(i)
    torch.cuda.synchronize()
    out = []
    for _ in range(repeats):
        a, b = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        a.record()
        for i in range(inner):
            fn(i)
        b.record()
        b.synchronize()
        out.append(a.elapsed_time(b) / inner)
    return statistics.median(out), min(out), max(out)


def guarded(label, fn):
    try:
        fn()
    except Exception as e:  # one unsupported type must not end the run
        emit(what="failed", label=label, error=repr(e)[:300])
    torch.cuda.empty_cache()


# ---------------------------------------------------------------------------


def copies():
    n = 2 << 30
    a = torch.empty(n, dtype=torch.uint8, device="cuda").random_(0, 256)
    b = torch.empty_like(a)
    ms, lo, hi = timed(lambda i: b.copy_(a))
    emit(what="copy", kind="device to device, read + write", gbs=2 * n / ms / 1e6, ms=ms)
    for pinned in (True, False):
        m = 1 << 30
        h = torch.empty(m, dtype=torch.uint8, pin_memory=pinned)
        h.fill_(7)
        for up in (True, False):
            def go(i):
                if up:
                    a[:m].copy_(h, non_blocking=True)
                else:
                    h.copy_(a[:m], non_blocking=True)
            ms, lo, hi = timed(go, inner=2, repeats=3, warm=1)
            emit(what="copy", kind="%s %s" % ("host to device" if up else "device to host",
                                              "pinned" if pinned else "pageable"), gbs=m / ms / 1e6, ms=ms)


SHAPES = [("qkv", DIM, 3 * DIM), ("out", DIM, DIM), ("w1+w3", DIM, 2 * FFN), ("w1", DIM, FFN), ("w2", FFN, DIM)]


def weights(n, k, copies):
    return [torch.randn(n, k, device="cuda", dtype=torch.bfloat16) / k ** 0.5 for _ in range(copies)]


def gemm(m, inner):
    for name, k, n in SHAPES:
        reps = max(2, min(8, int(300e6 / (n * k * 2)) + 1))  # go round > L2 worth of weights
        w = weights(n, k, reps)
        xs = [torch.randn(m, k, device="cuda", dtype=torch.bfloat16) for _ in range(2)]
        out = torch.empty(m, n, device="cuda", dtype=torch.bfloat16)
        flop = 2.0 * m * n * k

        def report(kind, t):
            emit(what="gemm", kind=kind, name=name, m=m, k=k, n=n, ms=t[0], ms_min=t[1], ms_max=t[2],
                 tflops=flop / t[0] / 1e9)

        guarded("bf16", lambda: report("bf16", timed(
            lambda i: torch.matmul(xs[i & 1], w[i % reps].t(), out=out), inner)))
        if m != 4160:
            continue
        f8 = torch.float8_e4m3fn
        xq = [(x * 64).clamp(-448, 448).to(f8) for x in xs]
        wq = [(v * 64 * k ** 0.5).clamp(-448, 448).to(f8) for v in w]
        one = torch.full((), 1 / 64.0, device="cuda")
        row, col = torch.full((m, 1), 1 / 64.0, device="cuda"), torch.full((1, n), 1 / 64.0, device="cuda")
        for fast in (True, False):
            tag = "fast accumulation" if fast else "exact accumulation"
            guarded("fp8 tensor", lambda: report("fp8 per tensor, " + tag, timed(
                lambda i: torch._scaled_mm(xq[i & 1], wq[i % reps].t(), scale_a=one, scale_b=one,
                                           out_dtype=torch.bfloat16, use_fast_accum=fast), inner)))
            guarded("fp8 row", lambda: report("fp8 per row, " + tag, timed(
                lambda i: torch._scaled_mm(xq[i & 1], wq[i % reps].t(), scale_a=row, scale_b=col,
                                           out_dtype=torch.bfloat16, use_fast_accum=fast), inner)))
        del xq, wq
        xi = [torch.randint(-127, 128, (m, k), device="cuda", dtype=torch.int8) for _ in range(2)]
        wi = [torch.randint(-127, 128, (n, k), device="cuda", dtype=torch.int8) for _ in range(reps)]
        guarded("int8", lambda: report("int8 to int32", timed(
            lambda i: torch._int_mm(xi[i & 1], wi[i % reps].t()), inner)))
        # the activation's own conversion: absolute maximum per row, scale, round
        if name in ("out", "w2"):
            def quant(i):
                x = xs[i & 1]
                s = x.abs().amax(dim=1, keepdim=True).float().clamp_min(1e-6) / 448.0
                return (x / s).to(f8)
            guarded("quant", lambda: emit(what="pointwise", kind="fp8 row quantise, eager", elements=m * k,
                                          ms=timed(quant, inner)[0]))


def attention(s, inner):
    from torch.nn.attention import SDPBackend, sdpa_kernel
    flop = 4.0 * s * s * HEADS * HD
    base = [torch.randn(1, s, HEADS, HD, device="cuda", dtype=torch.bfloat16) for _ in range(3)]
    strided = [t.transpose(1, 2) for t in base]
    packed = [t.contiguous() for t in strided]
    todo = [("default", None), ("flash", SDPBackend.FLASH_ATTENTION), ("cudnn", SDPBackend.CUDNN_ATTENTION),
            ("efficient", SDPBackend.EFFICIENT_ATTENTION)]
    for layout, (q, k, v) in (("B,S,H,D", strided), ("B,H,S,D", packed)):
        for name, be in todo:
            def go():
                def call(i):
                    F.scaled_dot_product_attention(q, k, v)
                if be is None:
                    t = timed(call, inner)
                else:
                    with sdpa_kernel(be):
                        t = timed(call, inner)
                emit(what="attention", kind=name, layout=layout, s=s, ms=t[0], ms_min=t[1], ms_max=t[2],
                     tflops=flop / t[0] / 1e9)
            guarded("attention " + name, go)
        if s != 4160:
            break


def chain(m, backend="cudnn"):
    """Every product (and attention) of one forward, distinct weights, for seconds."""
    from torch.nn.attention import SDPBackend, sdpa_kernel
    blocks = LAYERS + REFINERS
    w = [[torch.randn(n, k, device="cuda", dtype=torch.bfloat16) / k ** 0.5
          for k, n in ((DIM, 3 * DIM), (DIM, DIM), (DIM, 2 * FFN), (FFN, DIM))] for _ in range(blocks)]
    x = torch.randn(m, DIM, device="cuda", dtype=torch.bfloat16)
    h = torch.randn(m, FFN, device="cuda", dtype=torch.bfloat16)
    o = [torch.empty(m, n, device="cuda", dtype=torch.bfloat16) for n in (3 * DIM, DIM, 2 * FFN, DIM)]
    q, k, v = [torch.randn(1, m, HEADS, HD, device="cuda", dtype=torch.bfloat16).transpose(1, 2) for _ in range(3)]

    def products(i):
        for b in w:
            torch.matmul(x, b[0].t(), out=o[0])
            torch.matmul(x, b[1].t(), out=o[1])
            torch.matmul(x, b[2].t(), out=o[2])
            torch.matmul(h, b[3].t(), out=o[3])

    def attend(i):
        for _ in range(blocks):
            F.scaled_dot_product_attention(q, k, v)

    def both(i):
        for b in w:
            torch.matmul(x, b[0].t(), out=o[0])
            F.scaled_dot_product_attention(q, k, v)
            torch.matmul(x, b[1].t(), out=o[1])
            torch.matmul(x, b[2].t(), out=o[2])
            torch.matmul(h, b[3].t(), out=o[3])

    gf = blocks * 2.0 * m * (4 * DIM * DIM + 3 * DIM * FFN)
    af = blocks * 4.0 * m * m * DIM
    be = {"cudnn": SDPBackend.CUDNN_ATTENTION, "flash": SDPBackend.FLASH_ATTENTION}[backend]
    with sdpa_kernel(be):
        for name, fn, flop in (("products", products, gf), ("attention", attend, af), ("both", both, gf + af)):
            t = timed(fn, inner=2, repeats=8, warm=2)
            emit(what="chain", kind=name, attention=backend, m=m, blocks=blocks, ms=t[0], ms_min=t[1], ms_max=t[2],
                 tflops=flop / t[0] / 1e9, gflop=flop / 1e9)
        fn, t0, n = both, time.time(), 0
        torch.cuda.synchronize()
        t0 = time.time()
        while time.time() - t0 < 4.0:
            for _ in range(8):
                fn(0)
            n += 8
            torch.cuda.synchronize()
        ms = (time.time() - t0) * 1e3 / n
        emit(what="chain", kind="both, sustained 4 s", attention=backend, m=m, blocks=blocks, ms=ms,
             tflops=(gf + af) / ms / 1e9)


def soak(seconds):
    a, b = [torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16) for _ in range(2)]
    c, end = torch.empty_like(a), time.time() + seconds
    while time.time() < end:
        for _ in range(20):
            torch.matmul(a, b, out=c)
        torch.cuda.synchronize()


def convs(inner):
    for ci, co, hw in ((128, 128, 1024), (256, 256, 512), (512, 512, 256), (512, 512, 128), (256, 128, 1024)):
        x = torch.randn(1, ci, hw, hw, device="cuda", dtype=torch.bfloat16)
        w = torch.randn(co, ci, 3, 3, device="cuda", dtype=torch.bfloat16) / (9 * ci) ** 0.5
        b = torch.randn(co, device="cuda", dtype=torch.bfloat16)
        flop = 2.0 * 9 * ci * co * hw * hw
        for bench in (False, True):
            torch.backends.cudnn.benchmark = bench
            for fmt, name in ((torch.channels_last, "channels_last"), (torch.contiguous_format, "contiguous")):
                def go():
                    xx, ww = x.contiguous(memory_format=fmt), w.contiguous(memory_format=fmt)
                    t = timed(lambda i: F.conv2d(xx, ww, b, padding=1), inner)
                    emit(what="conv", kind=name, benchmark=bench, ci=ci, co=co, hw=hw, ms=t[0], tflops=flop / t[0] / 1e9)
                guarded("conv " + name, go)
    torch.backends.cudnn.benchmark = False


def pointwise(m):
    x = torch.randn(m, DIM, device="cuda", dtype=torch.bfloat16)
    g = torch.randn(DIM, device="cuda", dtype=torch.bfloat16)
    guarded("rms", lambda: emit(what="pointwise", kind="rms_norm", elements=m * DIM,
                                ms=timed(lambda i: F.rms_norm(x, (DIM,), g, 1e-5), 20)[0]))
    a = torch.randn(m, 2 * FFN, device="cuda", dtype=torch.bfloat16)
    guarded("silu", lambda: emit(what="pointwise", kind="silu * up, eager", elements=m * FFN,
                                 ms=timed(lambda i: F.silu(a[:, :FFN]) * a[:, FFN:], 20)[0]))


def main():
    global OUT
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--out")
    ap.add_argument("--inner", type=int, default=10)
    ap.add_argument("--soak", type=float, default=0.0, metavar="SECONDS",
                    help="run products for so long before each section: the rates of a warm card, some 10 to 15 %% lower")
    ap.add_argument("--sections", nargs="*",
                    default=["copy", "gemm", "attention", "chain", "conv", "pointwise"])
    a = ap.parse_args()
    OUT = a.out
    p = torch.cuda.get_device_properties(0)
    emit(what="device", name=p.name, sms=p.multi_processor_count, memory=p.total_memory, torch=torch.__version__,
         cuda=torch.version.cuda, cudnn=torch.backends.cudnn.version(),
         capability=list(torch.cuda.get_device_capability()))
    with torch.no_grad():
        for s in a.sections:
            t0 = time.time()
            if a.soak:
                soak(a.soak)
            if s == "copy":
                guarded(s, copies)
            elif s == "gemm":
                for m in (4160, 4096, 4128, 2368, 9280, 16448):
                    guarded("gemm %d" % m, lambda: gemm(m, a.inner))
            elif s == "attention":
                for q in (2368, 4160, 9280, 16448):
                    guarded("attention %d" % q, lambda: attention(q, max(3, a.inner // 2)))
            elif s == "chain":
                guarded("chain", lambda: chain(4160, "cudnn"))
            elif s == "conv":
                guarded("conv", lambda: convs(a.inner))
            elif s == "pointwise":
                guarded("pointwise", lambda: pointwise(4160))
            emit(what="section", name=s, seconds=time.time() - t0)
    print("\n%-10s %-34s %-26s %9s %9s" % ("what", "kind", "shape", "ms", "TFLOP/s"))
    for r in ROWS:
        if r["what"] in ("gemm", "attention", "chain", "conv"):
            shape = {"gemm": lambda: "%s M%d K%d N%d" % (r["name"], r["m"], r["k"], r["n"]),
                     "attention": lambda: "S%d %s" % (r["s"], r["layout"]),
                     "chain": lambda: "M%d" % r["m"],
                     "conv": lambda: "%d>%d @%d bench=%d" % (r["ci"], r["co"], r["hw"], r["benchmark"])}[r["what"]]()
            print("%-10s %-34s %-26s %9.3f %9.1f" % (r["what"], r["kind"][:34], shape, r["ms"], r["tflops"]))
        elif r["what"] == "copy":
            print("%-10s %-34s %-26s %9.3f %7.1f GB/s" % ("copy", r["kind"], "", r["ms"], r["gbs"]))
        elif r["what"] == "pointwise":
            print("%-10s %-34s %-26s %9.3f" % ("pointwise", r["kind"], "%d elements" % r["elements"], r["ms"]))


if __name__ == "__main__":
    main()
