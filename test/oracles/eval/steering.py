"""Goldens of the statistics of steering: scipy and statsmodels on small fixed inputs, written to test/golden/eval/steering.json.

Run:  python test/oracles/eval/steering.py       (needs numpy, scipy, statsmodels)
"""

import json
import pathlib

import numpy as np
from scipy.stats import binom, binomtest, kstest
from statsmodels.stats.multitest import multipletests

rng = np.random.default_rng(11)
p = np.round(np.concatenate([rng.random(9) ** 3, [0.01, 0.01, 1.0]]), 5)
samples = [rng.random(7), rng.random(50), rng.random(200) ** 1.3, np.linspace(0.01, 0.99, 40)]
samples = [np.round(x, 6) for x in samples]
golden = {
    "clopperPearson": [
        [s, n, level, *binomtest(s, n).proportion_ci(level, method="exact")]
        for s, n, level in [(0, 10, 0.95), (3, 10, 0.95), (10, 10, 0.95), (50, 1000, 0.99), (4000, 5000, 0.9)]
    ],
    "cdf": [[s, n, q, float(binom.cdf(s, n, q))] for s, n, q in [(0, 5, 0.3), (3, 5, 0.5), (40, 1000, 0.05), (990, 5000, 0.2)]],
    "p": p.tolist(),
    "benjaminiHochberg": multipletests(p, method="fdr_bh")[1].tolist(),
    "uniformity": [[x.tolist(), *(float(v) for v in kstest(x, "uniform", method="exact"))] for x in samples],
}
out = pathlib.Path(__file__).resolve().parents[2] / "golden" / "eval" / "steering.json"
out.write_text(json.dumps(golden) + "\n")
print(out.name, out.stat().st_size, "bytes")
