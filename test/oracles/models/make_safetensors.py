"""A small file by the safetensors library itself, with every dtype that NumPy and PyTorch can name, and one empty tensor.

Given a path as argument, reads that file back instead and prints what it finds: to check files that this project wrote.
"""

import sys
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

OUT = Path(__file__).resolve().parents[2] / "golden" / "models" / "formats"

if len(sys.argv) > 1:
    with safe_open(sys.argv[1], "pt") as f:
        print(f.metadata())
        for key in f.keys():
            tensor = f.get_tensor(key)
            print(key, tensor.dtype, tuple(tensor.shape), tensor.flatten()[:4].tolist())
    sys.exit()

OUT.mkdir(parents=True, exist_ok=True)
halves = torch.tensor([0.0, -0.0, 1.0, -1.5, 0.1, 65504.0, 6e-8, 6e-5, float("inf"), float("-inf"), 1 / 3, 2.0**-14])
tensors = {
    "f32": torch.arange(6, dtype=torch.float32).reshape(2, 3) / 3,
    "f64": torch.tensor([[1 / 3], [2 / 3]], dtype=torch.float64),
    "f16": halves.half(),
    "bf16": halves.bfloat16(),
    "i64": torch.tensor([-(2**62), 0, 2**62], dtype=torch.int64),
    "i32": torch.tensor([-7, 7], dtype=torch.int32),
    "i16": torch.tensor([-300, 300, 1], dtype=torch.int16),
    "i8": torch.tensor([-128, 127, 0], dtype=torch.int8),
    "u8": torch.tensor([0, 255, 3], dtype=torch.uint8),
    "bool": torch.tensor([True, False, True]),
    "scalar": torch.tensor(2.5),
    "empty": torch.zeros(0, 4),
}
save_file(tensors, OUT / "all-dtypes.safetensors", metadata={"note": "grüße"})
# What the halves are as float32, and how float32 values round to halves.
probe = torch.cat([torch.linspace(-3, 3, 301), torch.logspace(-9, 5, 301), -torch.logspace(-9, 5, 301), torch.tensor([2049.0, 2051.0, 65519.0, 65520.0, 2.0**-25, 3 * 2.0**-25, 1 + 2.0**-8, 1 + 3 * 2.0**-8])])
save_file({"f32": probe, "f16": probe.half(), "bf16": probe.bfloat16(), "f16_back": probe.half().float(), "bf16_back": probe.bfloat16().float()}, OUT / "rounding.safetensors")
