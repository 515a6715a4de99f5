"""
Folders of saekit's activation shards as numpy and safetensors write them: the format of src/store/activations/manifest.ts, from its
description. Values are those of test/oracles/activations. Needs numpy, torch (for bfloat16) and safetensors.

  python test/oracles/shards/make_shards.py        # from the repository root; writes test/golden/shards
"""

import hashlib
import json
import pathlib
import shutil

import numpy as np
import torch
from safetensors.torch import save_file

out = pathlib.Path("test/golden/shards")
shutil.rmtree(out, ignore_errors=True)
D, BLOCK, SHARDS = 70, 64, (10, 7)


def rows(start: int, count: int) -> np.ndarray:
    i, j = np.arange(start, start + count)[:, None], np.arange(D)[None, :]
    return (((31 * i + 7 * j + i * j) % 129 - 64) / 8).astype(np.float32)


def int8(x: np.ndarray) -> dict[str, np.ndarray]:
    parts = np.split(x, range(BLOCK, D, BLOCK), axis=1)
    scale = np.stack([np.abs(p).max(axis=1) / np.float32(127) for p in parts], axis=1).astype(np.float32)
    wide = np.repeat(scale, BLOCK, axis=1)[:, :D].astype(np.float64)
    q = np.floor(x.astype(np.float64) / wide + 0.5).astype(np.int8)
    return {"x": q, "scale": scale}


for dtype in ("f32", "f16", "bf16", "int8"):
    folder = out / dtype
    folder.mkdir(parents=True)
    shards, start, restored = [], 0, []
    for s, count in enumerate(SHARDS):
        x = rows(start, count)
        if dtype == "int8":
            tensors = {k: torch.from_numpy(v) for k, v in int8(x).items()}
            wide = tensors["scale"].repeat_interleave(BLOCK, dim=1)[:, :D]
            restored.append(tensors["x"].float() * wide)
        else:
            tensors = {"x": torch.from_numpy(x).to({"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}[dtype])}
            restored.append(tensors["x"].float())
        i = np.arange(start, start + count)
        tensors |= {
            "tokens": torch.from_numpy(((37 * i) % 1000).astype(np.int32)),
            "documents": torch.from_numpy((i // 5).astype(np.int32)),
            "positions": torch.from_numpy((i % 5).astype(np.int32)),
        }
        path = folder / f"shard-{s:05d}.safetensors"
        save_file(tensors, path)
        raw = path.read_bytes()
        shards.append({"file": path.name, "rows": count, "bytes": len(raw), "sha256": hashlib.sha256(raw).hexdigest()})
        start += count
    save_file({"x": torch.cat(restored)}, out / f"{dtype}-restored.safetensors")
    x = rows(0, start).astype(np.float64)
    norms = np.linalg.norm(x, axis=1)
    manifest = {
        "format": "saekit activations",
        "schemaVersion": 1,
        "finished": True,
        "origin": {
            "model": {"name": "tiny", "hash": "0" * 64},
            "tokenizerHash": "1" * 64,
            "hook": "blocks.0.hook_resid_post",
            "part": "train",
            "data": [],
            "documents": "none",
            "split": "none",
            "contextLength": 5,
            "excludeSpecial": True,
            "excludeFirst": 0,
            "seed": "0",
            "batchSequences": 4,
            "tokens": start,
            "dtype": dtype,
            "D": D,
            "rowsPerShard": SHARDS[0],
        },
        "rows": start,
        "shards": shards,
        "statistics": {
            "count": start,
            "mean": x.mean(axis=0).tolist(),
            "variance": x.var(axis=0).tolist(),
            "meanNorm": norms.mean(),
            "geometricNorm": float(np.exp(np.log(norms).mean())),
            "largest": float(np.abs(x).max()),
        },
        "saekit": "by Python",
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1))
