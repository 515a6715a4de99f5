"""Dense, obvious PyTorch implementation of the TopK training recipe: the oracle for src/train.

Equations (x already scaled by s; B rows, D width, F latents, K active; W_enc and W_dec both [F, D]):

  pre   = (x - b_dec) W_enc^T + b_enc                    [B, F]
  z     = ReLU(TopK_K(pre))                              ties do not occur in the goldens
  xhat  = z W_dec + b_dec
  e     = x - xhat
  fired: z > 0 in any row -> stepsSinceFired = 0, else += 1;  dead = stepsSinceFired >= deadSteps
  z_aux = ReLU(TopK_min(auxk, nDead)(pre, live latents at -inf))
  xa    = z_aux W_dec + (b_dec - sg(b_dec))              bias has no value here, but has a gradient
  L_aux = mean((xa - sg(e))^2) / mean((sg(e) - mean_b sg(e))^2),  NaN -> 0
  L     = mseScale mean(e^2) + alpha L_aux
          + mseScale mean((x - xhat_4K)^2) / 8           with multiTopk: xhat_4K as xhat, with 4 K latents
  G_i  -= (G_i . w_i) w_i for each row i of dL/dW_dec, w_i the unit row; then Adam; then w_i /= |w_i|
  Adam's learning rate is lr, and lr encoderLrScale for W_enc
  exported with ema: sum_t (1 - ema) ema^(T-t) p_t / (1 - ema^T) over the weights p_t after each step t = 1..T, decoder rows / norm

Everything the product does by sparse kernels is done here by dense products and autograd, on purpose.
"""

import math
from dataclasses import dataclass

import torch

SOFT_COSINE = 0.8


@dataclass
class Recipe:
    D: int
    F: int
    K: int
    B: int
    totalSteps: int
    lr: float
    warmupSteps: int
    decaySteps: int
    auxk: int
    deadSteps: int
    auxkCoefficient: float = 1 / 32
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 6.25e-10
    freeze: str = "none"
    multiTopk: bool = False
    ema: float = 0.0
    encoderLrScale: float = 1.0


def input_scale(sample):
    """s = sqrt(D) / mean_b |x_b - m|_2, m the mean of the sample [N, D]."""
    m = sample.mean(0)
    return math.sqrt(sample.shape[1]) / (sample - m).norm(dim=1).mean().item()


def geometric_median(sample, iterations=100, tolerance=1e-5):
    """Weiszfeld from the mean; stops when |g' - g| < tolerance |g|."""
    g = sample.mean(0)
    for _ in range(iterations):
        w = 1 / (sample - g).norm(dim=1).clamp_min(1e-12)
        new = (w[:, None] * sample).sum(0) / w.sum()
        move = (new - g).norm() / g.norm().clamp_min(1e-12)
        g = new
        if move < tolerance:
            break
    return g


def mse_scale(sample):
    return 1 / ((sample - sample.mean(0)) ** 2).mean().item()


def encoder_scale(W_dec, K, U):
    """c such that W_enc = c W_dec reconstructs the unit vectors U [256, D] with mean norm 1 (b_enc = 0)."""
    pre = U @ W_dec.T
    top = pre.topk(K, dim=1)
    z = torch.zeros_like(pre).scatter(1, top.indices, top.values.relu())
    return 1 / (z @ W_dec).norm(dim=1).mean().item()


def lr_at(r, step):
    """Learning rate of step `step`, counted from 0."""
    warm = (step + 1) / r.warmupSteps if step < r.warmupSteps else 1.0
    decay = min(1.0, (r.totalSteps - step) / r.decaySteps) if r.decaySteps > 0 else 1.0
    return r.lr * warm * decay


def top_k_relu(pre, k):
    top = pre.topk(k, dim=1)
    return torch.zeros_like(pre).scatter(1, top.indices, top.values.relu()), top.indices


class Oracle:
    """State of one run; `step(x)` takes x [B, D] already multiplied by s."""

    def __init__(self, recipe, params, mseScale, steps_since_fired, dtype=torch.float32):
        self.r = recipe
        self.p = {
            n: params[n].to(dtype).clone().requires_grad_(True) for n in ("W_enc", "b_enc", "W_dec", "b_dec")
        }
        self.mseScale = mseScale
        self.since = steps_since_fired.clone()
        self.W0 = self.p["W_dec"].detach().clone()
        frozen = {"none": (), "soft": (), "decoder": ("W_dec",), "encoder": ("W_enc", "b_enc")}[recipe.freeze]
        self.trained = [n for n in self.p if n not in frozen]
        self.adam = torch.optim.Adam(
            [{"params": [self.p[n]], "scale": recipe.encoderLrScale if n == "W_enc" else 1.0} for n in self.trained], lr=recipe.lr, betas=(recipe.beta1, recipe.beta2), eps=recipe.eps
        )
        self.t = 0
        self.clamped = 0
        self.selected = None
        self.history = []

    def forward(self, x):
        W_enc, b_enc, W_dec, b_dec = (self.p[n] for n in ("W_enc", "b_enc", "W_dec", "b_dec"))
        pre = (x - b_dec) @ W_enc.T + b_enc
        z, indices = top_k_relu(pre, self.r.K)
        xhat = z @ W_dec + b_dec
        e = x - xhat
        self.since = torch.where((z > 0).any(0), torch.zeros_like(self.since), self.since + 1)
        dead = self.since >= self.r.deadSteps
        nDead = int(dead.sum())
        auxIndices = None
        aux = torch.zeros((), dtype=x.dtype)
        auxActive = 0.0
        if nDead > 0 and self.r.auxk > 0:
            masked = torch.where(dead, pre, torch.full_like(pre, -math.inf))
            z_aux, auxIndices = top_k_relu(masked, min(self.r.auxk, nDead))
            auxActive = (z_aux > 0).sum(1).double().mean().item()
            xa = z_aux @ W_dec + (b_dec - b_dec.detach())
            sg = e.detach()
            aux = torch.nan_to_num(((xa - sg) ** 2).mean() / ((sg - sg.mean(0)) ** 2).mean(), nan=0.0)
        loss = self.mseScale * (e**2).mean() + self.r.auxkCoefficient * aux
        wide = wideFvu = None
        if self.r.multiTopk:
            z_wide, wide = top_k_relu(pre, 4 * self.r.K)
            e_wide = x - (z_wide @ W_dec + b_dec)
            loss = loss + self.mseScale * (e_wide**2).mean() / 8
            wideFvu = ((e_wide**2).sum() / ((x - x.mean(0)) ** 2).sum()).item()
        self.selected = (indices.sort(1).values, None if auxIndices is None else auxIndices.sort(1).values,
                         None if wide is None else wide.sort(1).values)
        metrics = {
            "loss": loss.item(),
            "fvu": ((e**2).sum() / ((x - x.mean(0)) ** 2).sum()).item(),
            "l0": (z > 0).sum(1).double().mean().item(),
            "auxLoss": aux.item(),
            "auxActive": auxActive,
            "dead": nDead,
        }
        if wideFvu is not None:
            metrics["multiTopkFvu"] = wideFvu
        return loss, metrics

    def step(self, x):
        """One optimizer step; returns (metrics, gradients as Adam sees them, raw W_dec gradient)."""
        self.adam.zero_grad()
        loss, metrics = self.forward(x)
        loss.backward()
        metrics["lr"] = lr_at(self.r, self.t)
        W = self.p["W_dec"]
        raw = W.grad.clone()
        with torch.no_grad():
            W.grad -= (W.grad * W).sum(1, keepdim=True) * W
            gradients = {n: self.p[n].grad.clone() for n in self.p}
            for group in self.adam.param_groups:
                group["lr"] = metrics["lr"] * group["scale"]
            self.adam.step()
            if "W_dec" in self.trained:
                W /= W.norm(dim=1, keepdim=True)
            if self.r.freeze == "soft":
                self._back_to_cone()
        self.t += 1
        if self.r.ema:
            self.history.append({n: p.detach().double().clone() for n, p in self.p.items()})
        return metrics, gradients, raw

    def exported(self):
        """The weights that are exported with `ema`, from all weights so far, in float64."""
        T, d = len(self.history), self.r.ema
        mean = {
            n: sum((1 - d) * d ** (T - 1 - t) * p[n] for t, p in enumerate(self.history)) / (1 - d**T) for n in self.p
        }
        mean["W_dec"] /= mean["W_dec"].norm(dim=1, keepdim=True)
        return mean

    def _back_to_cone(self):
        """w with cos(w, w0) < 0.8 becomes 0.8 w0 + 0.6 u, u the unit part of w orthogonal to w0."""
        W, W0 = self.p["W_dec"], self.W0
        cosine = (W * W0).sum(1, keepdim=True)
        u = W - cosine * W0
        u = u / u.norm(dim=1, keepdim=True)
        cone = SOFT_COSINE * W0 + math.sqrt(1 - SOFT_COSINE**2) * u
        outside = cosine < SOFT_COSINE
        self.clamped += int(outside.sum())
        W.copy_(torch.where(outside, cone, W))
