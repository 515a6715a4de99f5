"""What directions do to the logits through the last norm's gain and the head, in float64: W_U (g * d), of LayerNorm W_U (g * (d - mean d)).

Writes test/golden/models/<name>/effects.safetensors: directions [3,D] and effects [3,V]. The models come from make_models.py.
"""

from pathlib import Path

import torch
from make_models import KINDS
from safetensors.torch import save_file
from transformers import AutoConfig

OUT = Path(__file__).resolve().parents[2] / "golden" / "models"
# name -> (norm, gain of it)
NORMS = {
    "gpt2-new": (lambda m: m.transformer.ln_f, lambda n: n.weight),
    "neox-parallel": (lambda m: m.gpt_neox.final_layer_norm, lambda n: n.weight),
    "llama-untied": (lambda m: m.model.norm, lambda n: n.weight),
    "gemma2": (lambda m: m.model.norm, lambda n: 1 + n.weight),
}

for name, (norm_of, gain_of) in NORMS.items():
    kind = AutoConfig.from_pretrained(OUT / name).model_type
    model = KINDS[kind].from_pretrained(OUT / name, dtype=torch.float64)
    norm = norm_of(model)
    head = model.get_output_embeddings().weight.detach()
    torch.manual_seed(7)
    # Means far from 0, where both norms differ most, and very different lengths.
    directions = (torch.randn(3, head.shape[1]) + torch.tensor([[0.0], [1.5], [-4.0]])) * torch.tensor([[1.0], [0.01], [30.0]])
    d = directions.double()
    if isinstance(norm, torch.nn.LayerNorm):
        d = d - d.mean(dim=1, keepdim=True)
    effects = (d * gain_of(norm).detach()) @ head.T
    save_file({"directions": directions, "effects": effects.float()}, OUT / name / "effects.safetensors")
    print(name, type(norm).__name__, effects.abs().max().item())
