"""What all peers share: options, data, the line protocol of the harness, and the closing JSON line.

Alone:        python torch_dense.py --steps 5       one JSON line {name, ms_per_step, median_ms, tokens_per_s, versions, notes}
For bench/:   python torch_dense.py --serve         prints {"ready": true, ...}, then {"ms": ...} for every line "step" on
                                                    stdin, so that ours and theirs can take turns; ends with stdin.
"""

import argparse
import importlib.metadata
import json
import os
import statistics
import sys
import time


def options(**extra):
    parser = argparse.ArgumentParser()
    parser.add_argument("--B", type=int, default=4096)
    parser.add_argument("--D", type=int, default=768)
    parser.add_argument("--F", type=int, default=16384)
    parser.add_argument("--K", type=int, default=32)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--data", help="raw little-endian f32 [batches, B, D]; default: standard normal")
    parser.add_argument("--serve", action="store_true")
    for name, kind in extra.items():
        if kind is bool:
            parser.add_argument(f"--{name}", action="store_true")
        else:
            parser.add_argument(f"--{name}", type=kind)
    args = parser.parse_args()
    # Before torch is imported: its pools read these once.
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = str(args.threads)
    return args


def batches(args):
    import numpy as np
    import torch

    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    if args.data:
        flat = torch.from_numpy(np.fromfile(args.data, dtype="<f4"))
        return list(flat.reshape(-1, args.B, args.D).unbind(0))
    return [torch.randn(args.B, args.D) for _ in range(4)]


def versions(*packages):
    return {"python": sys.version.split()[0], **{p: importlib.metadata.version(p) for p in packages}}


def emit(record):
    print(json.dumps(record), flush=True)


def run(args, name, step, tokens, packages, notes, warmup=2, commands=None):
    """`step(i)` does step i. Serves the harness or measures alone. `commands` are extra lines of the protocol."""
    count = 0

    def timed():
        nonlocal count
        start = time.perf_counter()
        step(count)
        count += 1
        return (time.perf_counter() - start) * 1e3

    for _ in range(warmup):
        timed()
    about = {"name": name, "threads": args.threads, "versions": versions(*packages), "notes": notes}
    if args.serve:
        emit({"ready": True, **about})
        for line in sys.stdin:
            word, _, rest = line.strip().partition(" ")
            if word == "step":
                emit({"ms": timed()})
            elif commands and word in commands:
                emit(commands[word](rest))
        return
    times = [timed() for _ in range(args.steps)]
    median = statistics.median(times)
    emit({**about, "ms_per_step": times, "median_ms": median, "tokens_per_s": tokens / median * 1e3})
