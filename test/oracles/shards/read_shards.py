"""
Reads a folder of `saekit harvest` with safetensors and numpy alone, as docs/activations.md says, and checks it: sha256, types and shapes
against the manifest, statistics against numpy's of the rows. Prints one line per folder; fails on the first difference.

  python test/oracles/shards/read_shards.py FOLDER...
"""

import hashlib
import json
import pathlib
import sys

import numpy as np
import torch
from safetensors.torch import load_file

TORCH = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16, "int8": torch.int8}

for folder in map(pathlib.Path, sys.argv[1:]):
    manifest = json.loads((folder / "manifest.json").read_text())
    origin = manifest["origin"]
    rows = []
    for entry in manifest["shards"]:
        path = folder / entry["file"]
        assert hashlib.sha256(path.read_bytes()).hexdigest() == entry["sha256"], path
        assert path.stat().st_size == entry["bytes"], path
        shard = load_file(path)
        x = shard["x"]
        assert x.dtype == TORCH[origin["dtype"]] and x.shape == (entry["rows"], origin["D"]), (path, x.dtype, x.shape)
        for name in ("tokens", "documents", "positions"):
            assert shard[name].dtype == torch.int32 and shard[name].shape == (entry["rows"],), (path, name)
        assert 0 <= shard["positions"].min() and shard["positions"].max() < origin["contextLength"]
        if origin["dtype"] == "int8":
            x = x.float() * shard["scale"].repeat_interleave(64, 1)[:, : x.shape[1]]
        rows.append(x.float().numpy().astype(np.float64))
    x = np.concatenate(rows)
    assert len(x) == manifest["rows"] == manifest["statistics"]["count"] and np.isfinite(x).all()
    # The statistics are those before rounding.
    step = {"f32": 1e-6, "f16": 2**-10, "bf16": 2**-7, "int8": 1 / 100}[origin["dtype"]]
    largest, norms = np.abs(x).max(), np.linalg.norm(x, axis=1)
    for name, found in {
        "mean": x.mean(axis=0),
        "variance": x.var(axis=0),
        "meanNorm": norms.mean(),
        "geometricNorm": np.exp(np.log(norms).mean()),
        "largest": largest,
    }.items():
        scale = largest * (largest if name == "variance" else 1)
        off = np.abs(np.asarray(manifest["statistics"][name]) - found).max()
        assert off <= step * scale, (folder, name, off)
    print(f"{folder}: {len(x)} rows of {origin['dtype']}, D {origin['D']}, as the manifest says")
