"""Writes test/golden/train: run as `python test/oracles/train/generate.py` from the repository root.

Runs every case in float32 (stored) and float64 (check only): a golden is refused when the two differ by more than
2e-5 relative after 10 steps or select other latents, because then it would test rounding and not the recipe.
"""

import json
import math
import os
import sys

import torch
from safetensors.torch import save_file

sys.path.insert(0, os.path.dirname(__file__))
from recipe import Oracle, Recipe, encoder_scale, geometric_median, input_scale, mse_scale  # noqa: E402

OUT = os.path.join(os.path.dirname(__file__), "..", "..", "golden", "train")
PLANTED_BIAS = -1.3
NAMES = ("W_enc", "b_enc", "W_dec", "b_dec")


def mixture(rows, D, features, generator, active=3.0, noise=0.05):
    """More features than dimensions, each on with probability active/features, on an off-centre mean."""
    directions = torch.randn(features, D, generator=generator)
    directions /= directions.norm(dim=1, keepdim=True)
    on = torch.rand(rows, features, generator=generator) < active / features
    strength = 0.5 + torch.rand(rows, features, generator=generator) * 2
    offset = torch.randn(D, generator=generator) * 0.7
    return ((on * strength) @ directions + offset + noise * torch.randn(rows, D, generator=generator)) * 3.7


def unit_rows(F, D, generator):
    W = torch.randn(F, D, generator=generator)
    return W / W.norm(dim=1, keepdim=True)


def start(sample, F, K, generator):
    """The recipe's initial state from a raw sample, and the numbers it consists of."""
    D = sample.shape[1]
    s = input_scale(sample)
    scaled = sample * s
    W_dec = unit_rows(F, D, generator)
    U = unit_rows(256, D, generator)
    c = encoder_scale(W_dec, K, U)
    params = {"W_enc": W_dec * c, "b_enc": torch.zeros(F), "W_dec": W_dec, "b_dec": geometric_median(scaled)}
    numbers = {"inputScale": s, "mseScale": mse_scale(scaled), "encoderScale": c}
    return params, numbers, U


def relative(a, b):
    return ((a.double() - b).norm() / b.norm()).item()


def small_case(name, x, params, numbers, recipe, planted):
    """
    12 steps on x [12, B, D] (raw). Latents in `planted` start dead: counter 1000, and a bias low enough to stay out of
    the top K of most rows but high enough that AuxK finds positive pre-activations among them.
    """
    params = {n: t.clone() for n, t in params.items()}
    since = torch.zeros(recipe.F, dtype=torch.int32)
    params["b_enc"][planted] = PLANTED_BIAS
    since[planted] = 1000
    single = Oracle(recipe, params, numbers["mseScale"], since)
    double = Oracle(recipe, params, numbers["mseScale"], since, dtype=torch.float64)
    tensors = {f"init.{n}": params[n] for n in NAMES} | {"init.steps_since_fired": since}
    scale32 = torch.tensor(numbers["inputScale"], dtype=torch.float32)
    rows = []
    worst = 0.0
    for t in range(recipe.totalSteps):
        batch = x[t] * scale32
        metrics, gradients, raw = single.step(batch)
        double.step(batch.double())
        for a, b in zip(single.selected, double.selected):
            assert (a is None) == (b is None) and (a is None or torch.equal(a, b)), f"{name}: near tie at step {t + 1}"
        rows.append(metrics)
        if t == 0:
            tensors |= {f"grad1.{n}": gradients[n] for n in NAMES}
            tensors["grad1.W_dec_unprojected"] = raw
        if t + 1 in (1, 10, recipe.totalSteps):
            tensors |= {f"step{t + 1}.{n}": single.p[n].detach().clone() for n in NAMES}
            tensors[f"step{t + 1}.steps_since_fired"] = single.since.clone()
            if recipe.ema:
                tensors |= {f"step{t + 1}.ema.{n}": p.float() for n, p in single.exported().items()}
            worst = max(worst, *(relative(single.p[n].detach(), double.p[n].detach()) for n in NAMES))
    assert worst < 2e-5, f"{name}: float32 and float64 differ by {worst:.1e}"
    if len(planted) > 0:
        assert min(m["auxActive"] for m in rows) > 0.5, f"{name}: AuxK has nothing to do"
    if recipe.freeze == "soft":
        assert single.clamped > 20, f"{name}: the cone must bind, it held {single.clamped} rows"
    save_file(tensors, os.path.join(OUT, f"{name}.safetensors"))
    print(name, f"f32-f64 {worst:.1e}", f"clamped {single.clamped}", [m["dead"] for m in rows],
          [round(m["auxActive"], 2) for m in rows],
          [round(m["fvu"], 4) for m in rows])
    return {"config": vars(recipe), "mseScale": numbers["mseScale"], "inputScale": numbers["inputScale"],
            "float32AgainstFloat64": worst, "clampedRows": single.clamped, "steps": rows}


def curve_case(generator):
    """300 steps over a data set reused cyclically: batch t = rows (t B + i) mod N."""
    D, F, K, B, N = 24, 192, 4, 256, 6144
    data = mixture(N, D, 64, generator)
    params, numbers, _ = start(data[:1024], F, K, generator)
    recipe = Recipe(D=D, F=F, K=K, B=B, totalSteps=300, lr=1e-3, warmupSteps=20, decaySteps=60, auxk=16, deadSteps=2)
    params["b_enc"][::4] = PLANTED_BIAS
    since = torch.zeros(F, dtype=torch.int32)
    runs = {t: Oracle(recipe, params, numbers["mseScale"], since, dtype=t) for t in (torch.float32, torch.float64)}
    curves = {t: [] for t in runs}
    scale32 = torch.tensor(numbers["inputScale"], dtype=torch.float32)
    for t in range(recipe.totalSteps):
        batch = data[(torch.arange(B) + t * B) % N] * scale32
        for dtype, run in runs.items():
            curves[dtype].append(run.step(batch.to(dtype))[0])
    a, b = curves[torch.float32], curves[torch.float64]
    worst = max(abs(p["loss"] - q["loss"]) / q["loss"] for p, q in zip(a, b))
    assert worst < 5e-3, f"curve: float32 and float64 differ by {worst:.1e}"
    save_file({"data": data, **{f"init.{n}": params[n] for n in NAMES}}, os.path.join(OUT, "curve.safetensors"))
    print("curve", f"f32-f64 {worst:.1e}", [(round(a[t]["loss"], 4), round(a[t]["fvu"], 4), a[t]["dead"]) for t in (0, 1, 2, 9, 49, 149, 299)])
    columns = {k: [m[k] for m in a] for k in ("loss", "fvu", "l0", "auxLoss", "auxActive", "dead", "lr")}
    return {"config": vars(recipe), "mseScale": numbers["mseScale"], "inputScale": numbers["inputScale"],
            "float32AgainstFloat64": worst, **columns}


def main():
    torch.set_num_threads(1)
    os.makedirs(OUT, exist_ok=True)
    generator = torch.Generator().manual_seed(20260)
    D, F, K, B, steps = 24, 96, 4, 64, 12
    rows = mixture(512 + steps * B, D, 48, generator)
    sample, x = rows[:512].contiguous(), rows[512:].reshape(steps, B, D).contiguous()
    params, numbers, U = start(sample, F, K, generator)
    converged = geometric_median((sample * numbers["inputScale"]).double(), 10000, 1e-14)
    save_file({"sample": sample, "x": x, "init.U": U, "init.W_dec": params["W_dec"], "init.W_enc": params["W_enc"],
               "init.b_dec": params["b_dec"], "init.b_dec_converged": converged.float()},
              os.path.join(OUT, "inputs.safetensors"))

    base = dict(D=D, F=F, K=K, B=B, totalSteps=steps, lr=2e-3, warmupSteps=4, decaySteps=4, auxk=8, deadSteps=1000)
    planted = torch.arange(0, F, 3)  # 32 latents
    none = torch.arange(0)
    cases = {
        # no dead latent at any step: AuxK never runs
        "plain": (base, none),
        # more dead latents than auxk
        "auxk": (base | dict(deadSteps=3), planted),
        # fewer dead latents than auxk: all of them take part
        "auxk-few": (base | dict(deadSteps=3, auxk=64), planted[:10]),
        "freeze-decoder": (base | dict(deadSteps=3, freeze="decoder"), planted),
        "freeze-encoder": (base | dict(deadSteps=3, freeze="encoder"), planted),
        "freeze-soft": (base | dict(deadSteps=3, freeze="soft", lr=0.04), planted),
        # 16 active latents beside 4; planted dead ones learn from AuxK and from the wider code at once
        "multi-topk": (base | dict(deadSteps=3, multiTopk=True), planted),
        "ema": (base | dict(deadSteps=3, ema=0.9), planted),
        # what short runs change: a slower encoder and a shorter memory of squared gradients
        "short": (base | dict(deadSteps=3, encoderLrScale=0.25, beta2=0.95), planted),
    }
    report = {"generator": "test/oracles/train/generate.py", "torch": torch.__version__.split("+")[0],
              "init": numbers, "cases": {}}
    for name, (options, dead) in cases.items():
        report["cases"][name] = small_case(name, x, params, numbers, Recipe(**options), dead)
    report["curve"] = curve_case(generator)
    with open(os.path.join(OUT, "cases.json"), "w") as f:
        json.dump(report, f, indent=1)
        f.write("\n")


if __name__ == "__main__":
    main()
