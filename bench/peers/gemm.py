"""Rates of the encoder product x W^T (B 4096, D 768, F 16384, f32, 2 threads) in numpy's OpenBLAS and in torch.mm."""

import os
import statistics
import sys
import time

os.environ.setdefault("OPENBLAS_NUM_THREADS", "2")
os.environ.setdefault("OMP_NUM_THREADS", "2")
import numpy as np  # noqa: E402
import torch  # noqa: E402

torch.set_num_threads(2)
B, D, F = 4096, 768, 16384
rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
x = np.random.default_rng(0).standard_normal((B, D), dtype=np.float32)
W = np.random.default_rng(1).standard_normal((F, D), dtype=np.float32)
out = np.empty((B, F), np.float32)
tx, tW, tout = torch.from_numpy(x), torch.from_numpy(W), torch.empty(B, F)
small = np.empty((512, F), np.float32)
tsmall = torch.empty(512, F)


def tiled_numpy():
    for b in range(0, B, 512):
        np.matmul(x[b : b + 512], W.T, out=small)


def tiled_torch():
    for b in range(0, B, 512):
        torch.mm(tx[b : b + 512], tW.T, out=tsmall)


candidates = {
    "OpenBLAS (numpy), 2 threads, untiled": lambda: np.matmul(x, W.T, out=out),
    "OpenBLAS (numpy), 2 threads, tile 512": tiled_numpy,
    "torch.mm (MKL), 2 threads, untiled": lambda: torch.mm(tx, tW.T, out=tout),
    "torch.mm (MKL), 2 threads, tile 512": tiled_torch,
}
times = {name: [] for name in candidates}
for turn in range(-1, rounds):
    for name, run in candidates.items():
        t = time.perf_counter()
        run()
        if turn >= 0:
            times[name].append((time.perf_counter() - t) * 1e3)
for name, ms in times.items():
    m = statistics.median(ms)
    print(f"{name:58s} median {m:5.0f} ms  min {min(ms):5.0f} ms  {2 * B * D * F / m / 1e6:4.0f} GFLOP/s")
