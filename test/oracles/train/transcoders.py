"""Loss curves of transcoders, in dense PyTorch with autograd: writes test/golden/train/transcoders.json.

    python test/oracles/train/transcoders.py        # after generate.py, whose curve.safetensors has the rows x and the start

Equations as in recipe.py and variants.py, but for two places: x = s_x raw - c is read, y = s_y raw_y is to be given, c fixed.

  y (raw)   3 ReLU(raw A^T) + 0.7, A the first 20 rows of the start's W_enc: a small MLP
  start     W_enc as there, W_dec = the first 20 columns of it there, rows to unit norm, c = b_dec there, b_enc, b_dec, W_skip = 0
  p         x W_enc^T + b_enc;  z = the B K largest of ReLU(p) over the batch;  e = y - b_dec - z W_dec (- x W_skip^T)
  L         mseScale mean(e^2) + alpha L_aux, AuxK as there; s_y and mseScale of all rows y
"""

import json
import math
import os
import sys

import torch
from safetensors.torch import load_file

sys.path.insert(0, os.path.dirname(__file__))
from recipe import Oracle, Recipe, input_scale, mse_scale, top_k_relu  # noqa: E402

OUT = os.path.join(os.path.dirname(__file__), "..", "..", "golden", "train")
STEPS, DOUT = 200, 20


class TranscoderOracle(Oracle):
    """`step` takes (x, y), scaled, x without c."""

    def __init__(self, skip, recipe, params, mseScale, since, dtype):
        super().__init__(recipe, params, mseScale, since, dtype)
        self.skip = skip
        if skip:
            self.p["W_skip"] = torch.zeros(DOUT, recipe.D, dtype=dtype, requires_grad=True)
            self.adam.add_param_group({"params": [self.p["W_skip"]], "scale": 1.0})

    def forward(self, rows):
        x, y = rows
        W_enc, b_enc, W_dec, b_dec = (self.p[k] for k in ("W_enc", "b_enc", "W_dec", "b_dec"))
        p = x @ W_enc.T + b_enc
        flat = torch.relu(p).flatten()
        top = flat.topk(self.r.B * self.r.K)
        z = torch.zeros_like(flat).scatter(0, top.indices, top.values).view_as(p)
        e = y - b_dec - z @ W_dec
        if self.skip:
            e = e - x @ self.p["W_skip"].T
        loss = self.mseScale * (e**2).mean()
        self.since = torch.where((z > 0).any(0), torch.zeros_like(self.since), self.since + 1)
        dead = self.since >= self.r.deadSteps
        aux = torch.zeros((), dtype=x.dtype)
        if int(dead.sum()) > 0 and self.r.auxk > 0:
            masked = torch.where(dead, p, torch.full_like(p, -math.inf))
            z_aux, _ = top_k_relu(masked, min(self.r.auxk, int(dead.sum())))
            xa, sg = z_aux @ W_dec + (b_dec - b_dec.detach()), e.detach()
            aux = torch.nan_to_num(((xa - sg) ** 2).mean() / ((sg - sg.mean(0)) ** 2).mean(), nan=0.0)
        loss = loss + self.r.auxkCoefficient * aux
        return loss, {"loss": loss.item(), "l0": (z > 0).sum().item() / len(x), "dead": int(dead.sum())}


def main():
    torch.set_num_threads(1)
    with open(os.path.join(OUT, "cases.json")) as f:
        curve = json.load(f)["curve"]
    tensors = load_file(os.path.join(OUT, "curve.safetensors"))
    data, W_enc = tensors["data"], tensors["init.W_enc"]
    y = 3 * torch.relu(data.double() @ W_enc[:DOUT].double().T) + 0.7
    scale = input_scale(y)
    mse = mse_scale(y * scale)
    W_dec = tensors["init.W_dec"][:, :DOUT]
    params = {"W_enc": W_enc, "W_dec": W_dec / W_dec.norm(dim=1, keepdim=True), "b_enc": torch.zeros(192), "b_dec": torch.zeros(DOUT)}
    report = {"generator": "test/oracles/train/transcoders.py", "torch": torch.__version__.split("+")[0], "steps": STEPS,
              "inputScale": curve["inputScale"], "outputScale": scale, "mseScale": mse, "cases": {}}
    for name in ("transcoder", "skip-transcoder"):
        recipe = Recipe(D=24, F=192, K=4, B=256, totalSteps=STEPS, lr=1e-3, warmupSteps=20, decaySteps=60, auxk=16, deadSteps=3)
        curves = []
        for dtype in (torch.float32, torch.float64):
            run = TranscoderOracle(name != "transcoder", recipe, params, mse, torch.zeros(192, dtype=torch.int32), dtype)
            rows = [(torch.arange(256) + t * 256) % len(data) for t in range(STEPS)]
            read = data.to(dtype) * curve["inputScale"] - tensors["init.b_dec"].to(dtype)
            given = y.to(torch.float32).to(dtype) * scale
            curves.append([run.step((read[i], given[i]))[0] for i in rows])
        worst = max(abs(a["loss"] - b["loss"]) / b["loss"] for a, b in zip(*curves))
        print(name, f"f32-f64 {worst:.1e}", [(round(curves[0][t]["loss"], 4), round(curves[0][t]["l0"], 2), curves[0][t]["dead"]) for t in (0, 1, 9, 99, 199)])
        assert worst < 5e-4, f"{name}: float32 and float64 differ by {worst:.1e}"
        report["cases"][name] = {"config": vars(recipe) | {"variant": name, "Dout": DOUT}, "float32AgainstFloat64": worst,
                                 **{k: [float(f"{m[k]:.8g}") for m in curves[1]] for k in ("loss", "l0")}}
    with open(os.path.join(OUT, "transcoders.json"), "w") as f:
        json.dump(report, f)
        f.write("\n")


if __name__ == "__main__":
    main()
