#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Record what the samplers beside Euler do with a linear velocity field, for test-golden-sampler.c.

    make-samplers.py [--out FOLDER]

Writes samplers.json: for each sampler, step count and shift the latent after every step, in float32 as hexadecimal.
heun, dpmpp-2m and dpmpp-2m-sde are run by diffusers' own schedulers (FlowMatchHeunDiscreteScheduler and
DPMSolverMultistepScheduler with flow sigmas) on the time grid of FlowMatchEulerDiscreteScheduler; res-multistep, which
diffusers has not, follows ComfyUI's k_diffusion/sampling.py (res_multistep, eta 0) line by line.

The field is v = w x + u sigma + c, the noise that of one torch.Generator: its first draw is where the latent begins, each
later one is what dpmpp-2m-sde adds in a step.
"""
import argparse
import json
import os

import diffusers
import torch
from diffusers import DPMSolverMultistepScheduler, FlowMatchEulerDiscreteScheduler, FlowMatchHeunDiscreteScheduler

HERE = os.path.dirname(os.path.abspath(__file__))
N = 32
SEED = 11


def field():
    k = torch.arange(N, dtype=torch.float32)
    return (k - 20) / 64, (k % 7 - 3) / 4, (k % 5 - 2) / 8


def velocity(x, sigma):
    w, u, c = field()
    return w * x + u * sigma + c


def grid(n, shift):
    s = FlowMatchEulerDiscreteScheduler(num_train_timesteps=1000, shift=shift)
    s.set_timesteps(sigmas=torch.linspace(1.0, 1 / n, n).tolist())
    return s.sigmas.clone()


def run_heun(sigmas, x, gen):
    s = FlowMatchHeunDiscreteScheduler(num_train_timesteps=1000, shift=1.0)
    s.set_timesteps(len(sigmas) - 1)
    n = len(sigmas) - 1
    s.sigmas = torch.cat([sigmas[:1], sigmas[1:-1].repeat_interleave(2), sigmas[-1:]])
    s.timesteps = torch.arange(2 * n - 1, dtype=torch.float32)      # only looked up by the first call
    s._step_index = 0
    out = []
    for i in range(n):
        x = s.step(velocity(x, sigmas[i]), s.timesteps[0], x, return_dict=False)[0]
        if i < n - 1:
            x = s.step(velocity(x, sigmas[i + 1]), s.timesteps[0], x, return_dict=False)[0]
        out.append(x)
    return out


def run_dpm(algorithm, sigmas, x, gen):
    s = DPMSolverMultistepScheduler(num_train_timesteps=1000, algorithm_type=algorithm, solver_order=2, solver_type="midpoint",
                                    prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=1.0, final_sigmas_type="zero")
    n = len(sigmas) - 1
    s.set_timesteps(n)
    s.sigmas = sigmas
    s._step_index = 0
    out = []
    for i in range(n):
        x = s.step(velocity(x, sigmas[i]), 0, x, generator=gen, return_dict=False)[0]
        out.append(x)
    return out


def run_res(sigmas, x, gen):
    """comfy/k_diffusion/sampling.py, res_multistep with eta = 0: sigma_down is the next sigma."""
    sigma_fn = lambda t: t.neg().exp()
    t_fn = lambda sigma: sigma.log().neg()
    phi1_fn = lambda t: torch.expm1(t) / t
    phi2_fn = lambda t: (phi1_fn(t) - 1.0) / t
    old_sigma_down = old_denoised = None
    out = []
    for i in range(len(sigmas) - 1):
        denoised = x - sigmas[i] * velocity(x, sigmas[i])
        sigma_down = sigmas[i + 1]
        if sigma_down == 0 or old_denoised is None:
            x = x + (x - denoised) / sigmas[i] * (sigma_down - sigmas[i])
        else:
            t, t_old, t_next, t_prev = t_fn(sigmas[i]), t_fn(old_sigma_down), t_fn(sigma_down), t_fn(sigmas[i - 1])
            h = t_next - t
            c2 = (t_prev - t_old) / h
            phi1_val, phi2_val = phi1_fn(-h), phi2_fn(-h)
            b1 = torch.nan_to_num(phi1_val - phi2_val / c2, nan=0.0)
            b2 = torch.nan_to_num(phi2_val / c2, nan=0.0)
            x = sigma_fn(h) * x + h * (b1 * denoised + b2 * old_denoised)
        old_denoised, old_sigma_down = denoised, sigma_down
        out.append(x)
    return out


SAMPLERS = {
    "heun": run_heun,
    "dpmpp-2m": lambda *a: run_dpm("dpmsolver++", *a),
    "dpmpp-2m-sde": lambda *a: run_dpm("sde-dpmsolver++", *a),
    "res-multistep": run_res,
}


def hexes(x):
    return " ".join(float(v).hex() for v in x)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--out", default=HERE)
    a = ap.parse_args()
    rows = []
    for name, run in SAMPLERS.items():
        for n, shift in ((1, 3.0), (2, 3.0), (8, 3.0), (20, 6.0)):
            gen = torch.Generator("cpu").manual_seed(SEED)
            x = torch.randn(N, generator=gen)
            out = run(grid(n, shift), x, gen)
            assert torch.isfinite(out[-1]).all()
            kept = sorted({0, 1, 2, n // 2, n - 1} & set(range(n)))      # all follow from all before
            rows.append(dict(sampler=name, n_steps=n, shift=shift, latents=[dict(step=i, values=hexes(out[i])) for i in kept]))
    w, u, c = field()
    with open(os.path.join(a.out, "samplers.json"), "w", encoding="utf-8") as f:
        json.dump(dict(versions={"torch": torch.__version__, "diffusers": diffusers.__version__}, seed=SEED, w=hexes(w), u=hexes(u), c=hexes(c),
                       runs=rows), f, separators=(",", ":"))
        f.write("\n")


if __name__ == "__main__":
    main()
