"""Rotary frequencies and angles of real configurations, by transformers: the tiny models reach neither their size nor their positions."""

import json
from pathlib import Path

import torch
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

OUT = Path(__file__).resolve().parents[2] / "golden" / "models" / "rope.json"

CONFIGS = {
    "llama-2-7b": dict(head_dim=128, max_position_embeddings=4096, rope_parameters={"rope_type": "default", "rope_theta": 10000.0}),
    "llama-3.1-8b": dict(head_dim=128, max_position_embeddings=131072, rope_parameters={
        "rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}),
    "llama-3.2-1b": dict(head_dim=64, max_position_embeddings=131072, rope_parameters={
        "rope_type": "llama3", "rope_theta": 500000.0, "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}),
    "linear": dict(head_dim=128, max_position_embeddings=16384, rope_parameters={"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0}),
    "dynamic": dict(head_dim=128, max_position_embeddings=4096, rope_parameters={"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 2.0}),
    "yarn": dict(head_dim=128, max_position_embeddings=65536, rope_parameters={
        "rope_type": "yarn", "rope_theta": 10000.0, "factor": 16.0, "original_max_position_embeddings": 4096}),
    "yarn-all-settings": dict(head_dim=64, max_position_embeddings=65536, rope_parameters={
        "rope_type": "yarn", "rope_theta": 1000000.0, "factor": 4.0, "original_max_position_embeddings": 16384, "beta_fast": 16.0, "beta_slow": 2.0,
        "mscale": 1.0, "mscale_all_dim": 0.8, "truncate": False}),
}

golden = {}
for name, changes in CONFIGS.items():
    config = LlamaConfig(hidden_size=4 * changes["head_dim"], num_attention_heads=4, **changes)
    rotary = LlamaRotaryEmbedding(config)
    positions = [0, 1, 7, 1000, min(8000, 2 * config.max_position_embeddings - 1)]
    half = changes["head_dim"] // 2
    # Asking for the last position makes dynamic scaling act.
    cos, sin = rotary(torch.zeros(1), torch.tensor([positions]))
    golden[name] = {
        "config": {k: v for k, v in changes.items()}, "positions": positions, "length": positions[-1] + 1, "frequencies": rotary.inv_freq.tolist(),
        "cos": cos[0, :, :half].flatten().tolist(), "sin": sin[0, :, :half].flatten().tolist(),
    }
OUT.write_text(json.dumps(golden))
print(OUT.stat().st_size)
