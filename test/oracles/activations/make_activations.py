"""
Activations as other programs write them. See README.md beside this file for the formula of the values and what to install.

  python test/oracles/activations/make_activations.py        # from the repository root; writes test/golden/activations
"""

import importlib
import importlib.util
import io
import json
import logging
import pathlib
import shutil
import sys
import types
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from safetensors.numpy import save_file as save_numpy
from safetensors.torch import save_file as save_torch

out = pathlib.Path("test/golden/activations")
shutil.rmtree(out, ignore_errors=True)
D = 6


def rows(start: int, count: int, width: int = D) -> np.ndarray:
    i, j = np.arange(start, start + count)[:, None], np.arange(width)[None, :]
    return (((31 * i + 7 * j + i * j) % 129 - 64) / 8).astype(np.float32)


def ids(start: int, count: int, dtype=np.int64) -> np.ndarray:
    return ((37 * np.arange(start, start + count)) % 1000).astype(dtype)


def folder(name: str) -> pathlib.Path:
    path = out / name
    path.mkdir(parents=True, exist_ok=True)
    return path


# safetensors: every float type, one and many files, tokens, several candidates, integers.
st = folder("safetensors")
save_numpy({"acts": rows(0, 20)}, st / "f32.safetensors")
save_numpy({"acts": rows(0, 20).astype(np.float64)}, st / "f64.safetensors")
save_numpy(
    {"hidden": rows(0, 20).astype(np.float16).reshape(4, 5, D), "tokens": ids(0, 20).reshape(4, 5)},
    st / "f16-tokens.safetensors",
    metadata={"model_name": "org/tiny", "hook": "blocks.3.hook_resid_post"},
)
save_torch({"acts": torch.from_numpy(rows(0, 20)).bfloat16()}, st / "bf16.safetensors")
save_numpy({"acts": np.arange(40, dtype=np.int8).reshape(20, 2)}, st / "int8.safetensors")
save_numpy({"layer_3": rows(0, 20), "layer_30": rows(5, 20), "loss": np.zeros(20, np.float32)}, st / "two.safetensors")
many = folder("safetensors-many")
for name, start, count in [("part-1", 0, 7), ("part-2", 7, 0), ("part-3", 7, 11), ("part-10", 18, 2)]:
    save_numpy({"acts": rows(start, count)}, many / f"{name}.safetensors")

# NumPy: dtypes, orders, header versions, and what is refused.
npy = folder("npy")
for name, array in {
    "f2": rows(0, 20).astype("<f2"),
    "f4": rows(0, 20),
    "f8": rows(0, 20).astype("<f8"),
    "big-endian": rows(0, 20).astype(">f4"),
    "fortran": np.asfortranarray(rows(0, 20)),
    "sequences": rows(0, 20).reshape(4, 5, D),
    "fortran-sequences": np.asfortranarray(rows(0, 20).reshape(4, 5, D)),
    "flat": rows(0, 1)[0],
    "images": np.zeros((2, 3, 4, 4), np.float32),
    "integers": np.arange(12).reshape(6, 2),
    "bfloat16": np.zeros((4, 2), "V2"),
    "objects": np.array([[1, "a"]], dtype=object),
    "structured": np.zeros(3, dtype=[("x", "f4"), ("y", "f4")]),
    "empty": rows(0, 0),
}.items():
    np.save(npy / f"{name}.npy", array, allow_pickle=True)
for version in [(2, 0), (3, 0)]:
    with open(npy / f"v{version[0]}.npy", "wb") as file:
        np.lib.format.write_array(file, rows(0, 20), version=version)
beside = folder("npy-tokens")
np.save(beside / "vectors.npy", rows(0, 20))
np.save(beside / "tokens.npy", ids(0, 20, np.int32))
many = folder("npy-many")
for k, (start, count) in enumerate([(0, 9), (9, 8), (17, 3)]):
    np.save(many / f"chunk_{k}.npy", rows(start, count))

npz = folder("npz")
np.savez(npz / "stored.npz", acts=rows(0, 20), tokens=ids(0, 20))
np.savez_compressed(npz / "deflated.npz", acts=rows(0, 20).reshape(4, 5, D), input_ids=ids(0, 20).reshape(4, 5))
np.savez(npz / "two.npz", mlp=rows(0, 20), attention=rows(9, 20))
with zipfile.ZipFile(npz / "no-arrays.zip", "w") as archive:
    archive.writestr("readme.txt", "nothing")
torch.save(torch.from_numpy(rows(0, 4)), out / "tensor.pt")
torch.save(torch.from_numpy(rows(0, 4)), out / "legacy.pt", _use_new_zipfile_serialization=False)

# Parquet: 300 rows, so that there are many row groups and pages.
parquet = folder("parquet")
N = 300
lists = pa.array(list(rows(0, N)), pa.list_(pa.float32()))
ordinary = pa.table({"id": list(range(N)), "embedding": lists})
small = {"row_group_size": 128, "data_page_size": 512, "write_batch_size": 50}
pq.write_table(ordinary, parquet / "dictionary.parquet", **small)
pq.write_table(ordinary, parquet / "dictionary-falls-back.parquet", **small, dictionary_pagesize_limit=64)
pq.write_table(ordinary, parquet / "plain-v1.parquet", **small, use_dictionary=False, compression="none")
pq.write_table(ordinary, parquet / "plain-v2.parquet", **small, use_dictionary=False, compression="zstd", data_page_version="2.0")
pq.write_table(ordinary, parquet / "byte-stream-split.parquet", **small, use_dictionary=False, use_byte_stream_split=["embedding.list.element"])
pq.write_table(ordinary, parquet / "page-index.parquet", **small, write_page_index=True)
fixed = pa.FixedSizeListArray.from_arrays(pa.array(rows(0, N).ravel()), D)
pq.write_table(pa.table({"v": fixed}), parquet / "fixed-size.parquet", **small)
pq.write_table(pa.table({"v": pa.array(list(rows(0, N).astype("f8")), pa.large_list(pa.float64()))}), parquet / "double.parquet", **small)
pq.write_table(pa.table({"v": pa.array(list(rows(0, N).astype("f2")), pa.list_(pa.float16()))}), parquet / "half.parquet", **small)
required = pa.schema([pa.field("v", pa.list_(pa.field("element", pa.float32(), nullable=False)), nullable=False)])
pq.write_table(pa.table({"v": lists.cast(required.field("v").type)}, schema=required), parquet / "required.parquet", **small)
nested = pa.array([list(part) for part in rows(0, N).reshape(60, 5, D)], pa.list_(pa.list_(pa.float32())))
pq.write_table(pa.table({"v": nested}), parquet / "nested.parquet", row_group_size=25, data_page_size=512, write_batch_size=50)
pq.write_table(pa.table({"a": lists, "b": pa.array(list(rows(9, N)), lists.type)}), parquet / "two.parquet", **small)
pq.write_table(pa.table({f"d{j}": rows(0, N)[:, j] for j in range(D)}), parquet / "one-column-per-dimension.parquet")
ragged = [list(map(float, row)) for row in rows(0, N)]
ragged[170], ragged[171] = ragged[170][:5], [*ragged[171], 1.0]
pq.write_table(pa.table({"v": pa.array(ragged, lists.type)}), parquet / "ragged.parquet", **small)
# 5 + 1 entries of two rows and a null: the count of entries alone does not show it.
holes = [list(map(float, row)) for row in rows(0, N)]
holes[40] = [*holes[40], *[1.0] * 5]
holes[41] = None
pq.write_table(pa.table({"v": pa.array(holes, lists.type)}), parquet / "null.parquet", **small)
inner = [list(map(float, row)) for row in rows(0, N)]
inner[7][2] = None
pq.write_table(pa.table({"v": pa.array(inner, lists.type)}), parquet / "null-inside.parquet", **small)

# Arrow as such, and folders of the datasets library.
import datasets  # noqa: E402

arrow = folder("arrow")
batches = pa.table({"v": fixed, "token_ids": ids(0, N, np.int32)}).to_batches(max_chunksize=70)
with pa.OSFile(str(arrow / "file.arrow"), "wb") as sink, pa.ipc.new_file(sink, batches[0].schema) as writer:
    for batch in batches:
        writer.write_batch(batch)
with pa.OSFile(str(arrow / "compressed.arrow"), "wb") as sink, pa.ipc.new_file(sink, batches[0].schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as writer:
    for batch in batches:
        writer.write_batch(batch)
mixed = pa.table({"name": [f"n{i}" for i in range(N)], "s": [{"a": i, "b": "x"} for i in range(N)], "big": pa.array(list(rows(0, N).astype("f8")), pa.large_list(pa.float64())), "label": pa.array(["x"] * N).dictionary_encode()})
with pa.OSFile(str(arrow / "among-others.arrow"), "wb") as sink, pa.ipc.new_stream(sink, mixed.schema) as writer:
    writer.write_table(mixed, max_chunksize=100)
swapped = [list(map(float, row)) for row in rows(0, 20)]
swapped[3], swapped[4] = swapped[3][:5], [*swapped[4], 1.0]
for name, column in {"ragged": swapped, "null": [*swapped[:3], None, *swapped[5:]]}.items():
    with pa.OSFile(str(arrow / f"{name}.arrow"), "wb") as sink, pa.ipc.new_stream(sink, pa.schema([("v", lists.type)])) as writer:
        writer.write_table(pa.table({"v": pa.array(column, lists.type)}))

from sae_lens.cache_activations_runner import CacheActivationsRunner  # noqa: E402

T, HOOK = 5, "blocks.3.hook_resid_post"
sequences_per_batch, batches_per_buffer, buffers = 3, 4, 2
runner = object.__new__(CacheActivationsRunner)  # without a model: its activations come from the formula
cache = out / "saelens"
runner.cfg = types.SimpleNamespace(
    new_cached_activations_path=str(cache), dataset_path="formula", n_buffers=buffers, n_batches_in_buffer=batches_per_buffer,
    shuffle=False, hf_repo_id=None, hook_name=HOOK, n_seq_in_buffer=sequences_per_batch * batches_per_buffer, d_in=D,
)
runner.context_size = T
runner.features = datasets.Features({HOOK: datasets.Array2D(shape=(T, D), dtype="float32"), "token_ids": datasets.Sequence(datasets.Value("int32"), length=T)})


class Store:
    at = 0

    def get_raw_llm_batch(self):
        start, count = Store.at, sequences_per_batch * T
        Store.at += count
        return torch.from_numpy(rows(start, count)), torch.from_numpy(ids(start, count))


runner.activations_store = Store()
runner.run()
two = datasets.Dataset.from_dict({"first": list(rows(0, 20)), "second": list(rows(9, 20)), "text": ["t"] * 20}, features=datasets.Features(
    {"first": datasets.Sequence(datasets.Value("float32")), "second": datasets.Sequence(datasets.Value("float32")), "text": datasets.Value("string")}))
datasets.DatasetDict({"train": two, "test": two}).save_to_disk(out / "dataset-dict")


# Llamascopium and delphi: one module each, without the packages around it.
def module(name: str):
    parts = name.split(".")
    for i in range(1, len(parts)):
        package = ".".join(parts[:i])
        if package in sys.modules:
            continue
        stub = types.ModuleType(package)
        if i == 1:
            stub.__path__ = [str(pathlib.Path(importlib.util.find_spec(package).origin).parent)]
        else:
            stub.__path__ = [str(pathlib.Path(sys.modules[".".join(parts[: i - 1])].__path__[0], parts[i - 1]))]
        stub.logger = logging.getLogger(package)
        sys.modules[package] = stub
    return importlib.import_module(name)


writer = module("llamascopium.activation.writer")
hooks = ["blocks.1.hook_resid_post", "blocks.2.hook_resid_post"]


def samples(count: int, T: int, mask):
    for s in range(count):
        keep = torch.tensor([mask(s * T + t) for t in range(T)], dtype=torch.int32)
        acts = torch.from_numpy(rows(s * T, T))
        yield {
            "tokens": torch.from_numpy(ids(s * T, T)), "mask": keep, "attention_mask": keep,
            "meta": {"model_name": "org/tiny", "context_idx": s}, hooks[0]: acts, hooks[1]: (acts + 1).bfloat16(),
        }


def write(name: str, format: str, T: int, mask, hook_points):
    cfg = writer.ActivationWriterConfig(hook_points=hook_points, n_samples_per_chunk=3, cache_dir=str(out / name), format=format)
    data = ({k: v for k, v in sample.items() if k not in hooks or k in hook_points} for sample in samples(7, T, mask))
    writer.ActivationWriter(cfg).process(data)


write("llamascopium", "safetensors", 5, lambda i: 0 if i % 5 == 0 or i in (13, 14, 33) else 1, hooks)
write("llamascopium-pt", "pt", 2, lambda i: 1, hooks[:1])
shards = folder("llamascopium-shards/layer")
for name, start in {"shard-0-chunk-00000000": 0, "shard-0-chunk-00000001": 20, "shard-10-chunk-00000000": 60, "shard-2-chunk-00000000": 40}.items():
    keep = torch.ones(20, dtype=torch.int32)
    save_torch({"activation": torch.from_numpy(rows(start, 20)), "tokens": torch.from_numpy(ids(start, 20)), "mask": keep, "attention_mask": keep.clone()}, shards / f"{name}.safetensors")

# delphi: 11 latents over 8 sequences of 5 tokens; latent f is on where (row + f) mod 4 is 0 and the formula is not 0.
latents = module("delphi.latents.cache")
F, S = 11, 8


def z(sequences: int, T: int) -> torch.Tensor:
    dense = rows(0, sequences * T, F)
    on = (np.arange(sequences * T)[:, None] + np.arange(F)[None, :]) % 4 == 0
    return torch.from_numpy(np.where(on, dense, 0).astype(np.float32)).reshape(sequences, T, F)


cache = latents.InMemoryCache(batch_size=3)
for b, part in enumerate(torch.split(z(S, T), 3)):
    cache.add(part, torch.from_numpy(ids(b * 15, part.shape[0] * T)).reshape(-1, T), b, "layers.1")
cache.save()
whole = object.__new__(latents.LatentCache)
whole.cache, whole.width = cache, F
whole.save_splits(n_splits=3, save_dir=out / "delphi")
config = types.SimpleNamespace(to_dict=lambda: {"dataset_repo": "formula", "cache_ctx_len": T, "n_tokens": S * T})
whole.save_config(out / "delphi", config, "org/tiny")
whole.save(folder("delphi-whole"))
whole.save_splits(n_splits=2, save_dir=out / "delphi-without-tokens", save_tokens=False)
print(f"{sum(f.stat().st_size for f in out.rglob('*') if f.is_file()) / 1e3:.0f} kB in {out}")
