"""A tiny Gemma 3 with the metadata of Ollama's own converter instead of llama.cpp's, and what PyTorch computes with its weights.

    python test/oracles/gguf/make_ollama.py      # needs gguf, torch, transformers; writes test/golden/gguf/ollama-gemma3.gguf and .safetensors

As in Ollama's files of the 4B, 12B and 27B: 34 layers and no word of the scaling (linear, 8) that those models have, rope.local and rope.global instead of freq_base
and freq_base_swa, one flag per layer for the windows, tensors for images (v.*, mm.*), one token more than the embedding has rows, no add_space_prefix. The matrices of
the blocks are Q4_0 and the embedding F16. Values that a reader might take for granted are others here: rotary bases, and windows in 3 of 4 layers instead of 5 of 6.
"""

from pathlib import Path

import gguf
import numpy as np
import torch
import transformers as hf
from safetensors.numpy import save_file

OUT = Path(__file__).resolve().parents[2] / "golden" / "gguf"
Q = gguf.GGMLQuantizationType
D, HEADS, HEAD, FF, V, LAYERS, LOCAL, GLOBAL = 32, 4, 8, 32, 64, 34, 3000.0, 500000.0
windows = [(layer + 1) % 4 != 0 for layer in range(LAYERS)]
config = hf.Gemma3TextConfig(vocab_size=V, hidden_size=D, intermediate_size=FF, num_hidden_layers=LAYERS, num_attention_heads=HEADS, num_key_value_heads=1, head_dim=HEAD,
                             query_pre_attn_scalar=HEAD, max_position_embeddings=64, rms_norm_eps=1e-6, sliding_window=5,
                             layer_types=["sliding_attention" if local else "full_attention" for local in windows],
                             rope_parameters={"full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": GLOBAL}, "sliding_attention": {"rope_type": "default", "rope_theta": LOCAL}})
torch.manual_seed(11)
model = hf.Gemma3ForCausalLM(config).float().eval()
names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.GEMMA3, LAYERS)

w = gguf.GGUFWriter(OUT / "ollama-gemma3.gguf", "gemma3")
for key, value in {"context_length": 64, "embedding_length": D, "block_count": LAYERS, "feed_forward_length": FF, "attention.head_count": HEADS, "attention.head_count_kv": 1,
                   "attention.key_length": HEAD, "attention.value_length": HEAD, "attention.sliding_window": 5, "mm.tokens_per_image": 4, "vision.block_count": 1,
                   "vision.embedding_length": 8}.items():
    w.add_uint32(f"gemma3.{key}", value)
w.add_array("gemma3.attention.sliding_window_pattern", windows)
w.add_float32("gemma3.rope.local.freq_base", LOCAL)
w.add_float32("gemma3.rope.global.freq_base", GLOBAL)
w.add_file_type(2)
w.add_tokenizer_model("llama")
w.add_tokenizer_pre("default")
pieces = ["<pad>", "<eos>", "<bos>", "<unk>", "▁", *"abcdefghijklmnopqrstuvwxyz", "▁a", "ab", "▁ab", *(f"<unused{i}>" for i in range(30)), "<image_soft_token>"]
w.add_token_list(pieces)
w.add_token_scores([-float(i) for i in range(len(pieces))])
w.add_token_types([3] * 3 + [2] + [1] * (V - 4) + [4])
w.add_bos_token_id(2)
w.add_eos_token_id(1)
w.add_unk_token_id(3)
w.add_pad_token_id(0)
assert len(pieces) == V + 1

with torch.no_grad():
    for name, p in model.named_parameters():
        p.copy_(torch.randn_like(p) * (0.25 if "norm" in name else 0.6 if "embed" in name else 2.0 / D**0.5))
        to = names.get_name(name, try_suffixes=(".weight",))
        stored = p.numpy() + np.float32("norm" in name)
        if stored.ndim == 1:
            w.add_tensor(to, stored)
            p.copy_(torch.from_numpy(stored - np.float32(1)))
            continue
        kind = Q.F16 if "embed" in name else Q.Q4_0
        raw = gguf.quants.quantize(stored, kind)
        w.add_tensor(to, raw, raw_dtype=kind)
        p.copy_(torch.from_numpy(gguf.quants.dequantize(raw, kind).astype(np.float32).reshape(stored.shape)))
rng = np.random.default_rng(3)
for name, shape in {"v.patch_embedding.weight": (8, 3, 2, 2), "v.blk.0.attn_k.weight": (8, 8), "mm.mm_input_projection.weight": (8, D)}.items():
    w.add_tensor(name, rng.standard_normal(shape).astype(np.float16))
for name in ("v.patch_embedding.bias", "v.blk.0.layer_norm1.weight", "v.post_layernorm.bias", "mm.mm_soft_emb_norm.weight"):
    w.add_tensor(name, rng.standard_normal(8).astype(np.float32))
w.write_header_to_file()
w.write_kv_data_to_file()
w.write_tensors_to_file()
w.close()

ids = torch.randint(0, V, (1, 14))
with torch.no_grad():
    logits = model.double()(ids).logits[0].float().numpy()
save_file({"ids": ids[0].int().numpy(), "logits": logits}, OUT / "ollama-gemma3.safetensors")
print((OUT / "ollama-gemma3.gguf").stat().st_size, logits.std())
