"""Sentence vectors of the real all-MiniLM-L6-v2 by PyTorch transformers: test/golden/models/minilm.safetensors.

    venv/bin/python test/oracles/models/make_minilm.py .cache/models/all-MiniLM-L6-v2      after npm run fetch-test-models
"""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import AutoModel, AutoTokenizer

OUT = Path(__file__).resolve().parents[2] / "golden" / "models"
TEXTS = json.loads((OUT / "minilm-texts.json").read_text())
MAX_TOKENS = 64

folder = sys.argv[1]
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModel.from_pretrained(folder, dtype=torch.float64, attn_implementation="eager").eval()
vectors, ids = [], []
for text in TEXTS:
    # One by one, so that padding here cannot hide a fault in padding there.
    encoded = tokenizer(text, truncation=True, max_length=MAX_TOKENS, return_tensors="pt")
    with torch.no_grad():
        hidden = model(**encoded).last_hidden_state[0]
    mean = hidden.mean(0)
    vectors.append(mean / mean.norm())
    ids.append(encoded.input_ids[0].int())
V = torch.stack(vectors)
golden = {"vectors": V.float(), "lengths": torch.tensor([len(i) for i in ids]).int(), "ids": torch.cat(ids)}
save_file(golden, OUT / "minilm.safetensors", metadata={"source": "transformers, all-MiniLM-L6-v2"})
print(f"{len(TEXTS)} texts, {[len(i) for i in ids]} tokens; cosine of the first two {V[0] @ V[1]:.3f}, of the first and third {V[0] @ V[2]:.3f}")
