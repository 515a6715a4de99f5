"""test/golden/gguf/blocks.gguf and blocks.safetensors: two rows of random blocks of every tensor type, and what PyPI's gguf makes of them.

    python test/oracles/gguf/make_blocks.py
"""
import pathlib

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Q
from safetensors.numpy import save_file

OUT = pathlib.Path(__file__).parents[2] / "golden" / "gguf"
TYPES = [Q.F32, Q.F16, Q.BF16, Q.F64, Q.Q8_0, Q.Q4_0, Q.Q4_1, Q.Q5_0, Q.Q5_1, Q.Q2_K, Q.Q3_K, Q.Q4_K, Q.Q5_K, Q.Q6_K]
# Where the float16 scales lie in a block; the rest is any bytes.
HALVES = {Q.Q8_0: [0], Q.Q4_0: [0], Q.Q4_1: [0, 2], Q.Q5_0: [0], Q.Q5_1: [0, 2], Q.Q2_K: [80, 82], Q.Q3_K: [108], Q.Q4_K: [0, 2],
          Q.Q5_K: [0, 2], Q.Q6_K: [208]}
rng = np.random.default_rng(20260722)
writer = gguf.GGUFWriter(OUT / "blocks.gguf", "none")
writer.add_string("test.text", "nasty \u0000 text \U0001f469\u200d\U0001f4bb")
writer.add_uint64("test.u64", 2**60)
writer.add_int64("test.i64", -5)
writer.add_float64("test.f64", 1e-300)
writer.add_array("test.strings", ["a", "", "\u00e9"])
writer.add_array("test.floats", [0.5, -1.5])
expected = {}
for kind in TYPES:
    elements, size = gguf.GGML_QUANT_SIZES[kind]
    if kind in (Q.F32, Q.F64):
        data = rng.standard_normal((2, 256)).astype(np.float32 if kind == Q.F32 else np.float64)
        floats = data.astype(np.float32)
        writer.add_tensor(kind.name, data)
    else:
        raw = rng.integers(0, 256, (2, 256 // elements, size), dtype=np.uint8)
        for at in HALVES.get(kind, []):
            scales = (rng.standard_normal((2, 256 // elements)) / 64).astype(np.float16)
            raw[..., at:at + 2] = scales[..., None].view(np.uint8)
        if kind not in HALVES:  # any numbers, but no NaN or infinity
            values = rng.standard_normal((2, 256))
            raw = (values.astype(np.float16).view(np.uint8) if kind == Q.F16
                   else (values.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16).view(np.uint8))
        data = raw.reshape(2, -1)
        floats = gguf.quants.dequantize(data, kind).astype(np.float32)
        writer.add_tensor(kind.name, data, raw_dtype=kind)
    expected[kind.name] = np.ascontiguousarray(floats.reshape(2, 256))
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
save_file(expected, OUT / "blocks.safetensors")
