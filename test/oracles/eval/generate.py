"""Goldens of src/eval: metrics by PyTorch/numpy in float64 on small fixed inputs, written to test/golden/eval/metrics.json.

Run:  python test/oracles/eval/generate.py       (needs numpy, torch, scipy)

The "model" is logits = tanh(h) U + c at the hook, h = E[id] + 0.5 E[previous id] (previous within the sequence).
"""

import json
import pathlib

import numpy as np
import torch
import torch.nn.functional as functional
from scipy.stats import binomtest

rng = np.random.default_rng(7)
R, T, D, V, F, K = 4, 9, 5, 11, 12, 3
BOS = 0


def rounded(a):
    """float32 values with few digits, so that the JSON is small and both sides read the same number."""
    return np.round(np.asarray(a, dtype=np.float64), 3).astype(np.float32)


E, U, c = rounded(rng.normal(size=(V, D))), rounded(rng.normal(size=(D, V))), rounded(rng.normal(size=V))
directions = rng.normal(size=(F, D))
directions /= np.linalg.norm(directions, axis=1, keepdims=True)
# Tied and biased down, so that some latents are dead and some rows have fewer than K active ones.
W_enc, W_dec = rounded(directions), rounded(0.7 * directions)
b_enc, b_dec = rounded(0.1 * rng.normal(size=F) - 0.8), rounded(0.2 * rng.normal(size=D))

# Four sequences: documents run on over row ends, each starts with BOS; the last row is padded.
ids = np.zeros((R, T), dtype=np.int64)
documents = np.full((R, T), -1)
mask = np.zeros((R, T), dtype=np.int64)
lengths, flat = [5, 8, 3, 7, 9], 0
for document, length in enumerate(lengths):
    for position in range(length):
        r, t = divmod(flat, T)
        if position > 0:  # mostly what the model expects, so that its clean loss is the smallest
            last = E[ids[r, t - 1]] + (0.5 * E[ids[r, t - 2]] if t > 1 else 0) if t > 0 else np.zeros(D)
            scores = np.tanh(last) @ U + c
            scores[BOS] = -np.inf
            ids[r, t] = scores.argmax() if rng.random() < 0.7 else rng.integers(1, V)
        documents[r, t], mask[r, t] = document, 1
        flat += 1

h = torch.zeros(R, T, D, dtype=torch.float64)
for r in range(R):
    for t in range(T):
        if mask[r, t]:
            h[r, t] = torch.tensor(E[ids[r, t]], dtype=torch.float64)
            if t > 0:
                h[r, t] += 0.5 * torch.tensor(E[ids[r, t - 1]], dtype=torch.float64)
h = h.to(torch.float32).to(torch.float64)  # what the engine would hand over


def to64(a):
    return torch.tensor(a, dtype=torch.float64)


def logits_of(acts):
    return torch.tanh(acts) @ to64(U) + to64(c)


measured = torch.tensor((mask == 1) & (ids != BOS))
x = h[measured]

# SAE
pre = (x - to64(b_dec)) @ to64(W_enc).T + to64(b_enc)
values, indices = pre.topk(K, dim=-1)
values = values.relu()
xhat_sae = (torch.zeros(len(x), F, dtype=torch.float64).scatter(1, indices, values) @ to64(W_dec)) + to64(b_dec)

# PCA fitted elsewhere
train = rounded(rng.normal(size=(40, D)) @ rng.normal(size=(D, D)) + rng.normal(size=D))
mean = train.astype(np.float64).mean(0)
centred = train.astype(np.float64) - mean
_, singular, Vt = np.linalg.svd(centred, full_matrices=False)
P = to64(Vt[:K])
xhat_pca = to64(mean) + (x - to64(mean)) @ P.T @ P


def fvu(xhat):
    return float(((x - xhat) ** 2).sum() / ((x - x.mean(0)) ** 2).sum())


def cosine(xhat):
    return float(functional.cosine_similarity(x, xhat, dim=-1, eps=1e-30).mean())


# Scored predictions: from a measured position to the next real token of the same document in the same row.
scored, targets = [], []
for r in range(R):
    for t in range(T - 1):
        if measured[r, t] and mask[r, t + 1] and documents[r, t] == documents[r, t + 1]:
            scored.append((r, t))
            targets.append(int(ids[r, t + 1]))
rows_, cols_ = map(list, zip(*scored))


def splice(xhat):
    spliced = h.clone()
    spliced[measured] = xhat
    return logits_of(spliced)[rows_, cols_]


def ce(logits):
    return float(functional.cross_entropy(logits, torch.tensor(targets)))


clean = logits_of(h)[rows_, cols_]
ce_clean, ce_zero, ce_mean = ce(clean), ce(splice(torch.zeros_like(x))), ce(splice(to64(mean).expand_as(x)))


def candidate(xhat):
    logits = splice(xhat)
    loss = ce(logits)
    return {
        "fvu": fvu(xhat),
        "cosine": cosine(xhat),
        "ce": loss,
        "deltaCe": loss - ce_clean,
        "recoveredZero": (ce_zero - loss) / (ce_zero - ce_clean),
        "recoveredMean": (ce_mean - loss) / (ce_mean - ce_clean),
        "kl": float(functional.kl_div(logits.log_softmax(-1), clean.log_softmax(-1), log_target=True, reduction="batchmean")),
    }


active = values > 0
fired = np.bincount(indices[active].numpy(), minlength=F)
quantile_input = rounded(rng.normal(size=13))
golden = {
    "dims": {"R": R, "T": T, "D": D, "V": V, "F": F, "K": K, "bos": BOS},
    "ids": ids.ravel().tolist(),
    "mask": mask.ravel().tolist(),
    "documents": documents.ravel().tolist(),
    "E": E.ravel().tolist(),
    "U": U.ravel().tolist(),
    "c": c.ravel().tolist(),
    "W_enc": W_enc.ravel().tolist(),
    "W_dec": W_dec.ravel().tolist(),
    "b_enc": b_enc.tolist(),
    "b_dec": b_dec.tolist(),
    "train": train.ravel().tolist(),
    "expected": {
        "rows": int(measured.sum()),
        "excludedRows": int(((mask == 1) & (ids == BOS)).sum()),
        "ceTokens": len(targets),
        "cleanCe": ce_clean,
        "zeroCe": ce_zero,
        "meanCe": ce_mean,
        "sae": {**candidate(xhat_sae), "l0": float(active.sum(-1).double().mean()), "dead": int((fired == 0).sum()), "fired": fired.tolist()},
        "pca": candidate(xhat_pca),
        "mean": mean.tolist(),
        "covariance": np.cov(train.astype(np.float64).T, bias=True).ravel().tolist(),
        "eigenvalues": (singular**2 / len(train)).tolist(),
    },
    "quantiles": {
        "input": quantile_input.tolist(),
        "at": [0, 0.025, 0.1, 0.5, 0.77, 0.975, 1],
        "expected": np.quantile(quantile_input.astype(np.float64), [0, 0.025, 0.1, 0.5, 0.77, 0.975, 1]).tolist(),
    },
}
golden["wilson"] = [
    [s, n, level, *binomtest(s, n).proportion_ci(level, method="wilson")]
    for s, n, level in [(0, 10, 0.95), (3, 10, 0.95), (10, 10, 0.95), (37, 4096, 0.99), (150, 200, 0.9)]
]

out = pathlib.Path(__file__).resolve().parents[2] / "golden" / "eval" / "metrics.json"
out.parent.mkdir(parents=True, exist_ok=True)
out.write_text(json.dumps(golden) + "\n")
print(out, out.stat().st_size, "bytes", golden["expected"]["sae"])
