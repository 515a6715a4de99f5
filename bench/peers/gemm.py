"""The encoder product x W^T [B, F] in numpy's OpenBLAS (`--kind numpy`) or in torch.mm (`--kind torch`), f32."""

import peer

args = peer.options(kind=str)
import numpy as np  # noqa: E402

x = np.random.default_rng(0).standard_normal((args.B, args.D), dtype=np.float32)
W = np.random.default_rng(1).standard_normal((args.F, args.D), dtype=np.float32)

if args.kind == "torch":
    import torch

    torch.set_num_threads(args.threads)
    tx, tW, tout = torch.from_numpy(x), torch.from_numpy(W), torch.empty(args.B, args.F)
    peer.run(args, "torch.mm", lambda _: torch.mm(tx, tW.T, out=tout), args.B, ["torch"], "torch.mm, whole, reused output")
else:
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    out = np.empty((args.B, args.F), np.float32)
    peer.run(
        args, "numpy", lambda _: np.matmul(x, W.T, out=out), args.B, ["numpy"],
        {"blas": blas["name"], "configuration": blas.get("openblas configuration")},
    )
