"""Directions between two sets of rows by numpy and scikit-learn."""

import json
from pathlib import Path

import numpy as np
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression

ROOT = Path(__file__).parents[3]
D, P, N = 12, 30, 40


def numbers(seed, shape):
    """The same numbers as in vectors.test.ts."""
    i = np.arange(1, int(np.prod(shape)) + 1, dtype=np.float64)
    x = np.sin(i * 12.9898 + seed) * 43758.5453
    return ((x - np.floor(x) - 0.5) * 2).astype(np.float32).astype(np.float64).reshape(shape)


stretch = np.linspace(0.3, 2, D)
plus = numbers(1, (P, D)) * stretch + 0.4 * numbers(3, (D,)) + 3
minus = numbers(2, (N, D)) * stretch + 3
plus, minus = (rows.astype(np.float32).astype(np.float64) for rows in (plus, minus))
x = np.concatenate([plus, minus])
y = np.array([1] * P + [0] * N)
x = x - x.mean(0)
u = PCA(1, svd_solver="full").fit(x).components_[0]
scaled = x / np.sqrt((x**2).sum(1).mean())
w = LogisticRegression(C=1, tol=1e-12, max_iter=100000).fit(scaled, y).coef_[0]
difference = plus.mean(0) - minus.mean(0)


def along(v):
    v = v / np.linalg.norm(v)
    return v * (difference @ v)


out = {name: along(v).tolist() for name, v in {"mean": difference, "pca": u, "probe": w}.items()}
golden = ROOT / "test/golden/steer/vectors.json"
golden.write_text(json.dumps(out) + "\n")
print({name: np.linalg.norm(v) for name, v in out.items()})
