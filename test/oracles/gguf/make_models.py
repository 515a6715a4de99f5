"""Tiny models of every architecture as llama.cpp would write them, and what PyTorch computes with the weights that the file holds.

    python test/oracles/gguf/make_models.py      # needs gguf, torch, transformers, sentencepiece; writes test/golden/gguf/<arch>.gguf and logits.safetensors

Names come from gguf.TensorNameMap. What llama.cpp does to the numbers is written here as a map of rows (`order`), quantised in the file's order and put back for
PyTorch by the same map, so nothing here says how to undo it. Logits are float64 over 14 tokens, more than the windows of 5.
"""

from pathlib import Path

import gguf
import numpy as np
import torch
import transformers as hf
from safetensors.numpy import save_file

OUT = Path(__file__).resolve().parents[2] / "golden" / "gguf"
Q = gguf.GGMLQuantizationType
D, HEADS, KV, HEAD, FF, V = 32, 4, 2, 8, 64, 64
GATED = dict(vocab_size=V, hidden_size=D, intermediate_size=FF, num_hidden_layers=2, num_attention_heads=HEADS, num_key_value_heads=KV, max_position_embeddings=64,
             rms_norm_eps=1e-5, head_dim=HEAD)
LLAMA3 = dict(rope_type="llama3", rope_theta=500.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=8192)
CASES = {
    "llama": (gguf.MODEL_ARCH.LLAMA, Q.Q8_0, hf.LlamaForCausalLM, hf.LlamaConfig(**GATED, rope_parameters={**LLAMA3, "rope_theta": 500000.0}, attention_bias=True, mlp_bias=True)),
    "qwen2": (gguf.MODEL_ARCH.QWEN2, Q.Q4_0, hf.Qwen2ForCausalLM, hf.Qwen2Config(**{k: v for k, v in GATED.items() if k != "head_dim"}, tie_word_embeddings=True)),
    "qwen3": (gguf.MODEL_ARCH.QWEN3, Q.Q5_1, hf.Qwen3ForCausalLM, hf.Qwen3Config(**{**GATED, "head_dim": 16})),
    "gemma2": (gguf.MODEL_ARCH.GEMMA2, Q.F16, hf.Gemma2ForCausalLM, hf.Gemma2Config(**{**GATED, "head_dim": 16}, sliding_window=5, query_pre_attn_scalar=16)),
    "gemma3": (gguf.MODEL_ARCH.GEMMA3, Q.BF16, hf.Gemma3ForCausalLM, hf.Gemma3TextConfig(**{**GATED, "num_hidden_layers": 7, "num_key_value_heads": 1, "intermediate_size": 32},
               sliding_window=5, query_pre_attn_scalar=HEAD, rope_parameters={"full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
               "sliding_attention": {"rope_type": "default", "rope_theta": 1e4}})),
    "gpt2": (gguf.MODEL_ARCH.GPT2, Q.Q8_0, hf.GPT2LMHeadModel, hf.GPT2Config(vocab_size=V, n_embd=D, n_layer=2, n_head=HEADS, n_positions=32)),
    "gptneox": (gguf.MODEL_ARCH.GPTNEOX, Q.Q5_0, hf.GPTNeoXForCausalLM, hf.GPTNeoXConfig(vocab_size=V, hidden_size=D, intermediate_size=FF, num_hidden_layers=2,
                num_attention_heads=HEADS, max_position_embeddings=64, rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5})),
}


def order(name, kind, shape):
    """The row of the Hugging Face tensor that stands at each row of llama.cpp's."""
    rows = np.arange(shape[0])
    if kind == "llama" and (".q_proj." in name or ".k_proj." in name):
        return rows.reshape(-1, 2, HEAD // 2).swapaxes(1, 2).reshape(-1)
    if kind == "gptneox" and ".query_key_value." in name:
        return rows.reshape(HEADS, 3, -1).swapaxes(0, 1).reshape(-1)
    return rows


def metadata(w, kind, config):
    w.add_context_length(config.max_position_embeddings)
    w.add_embedding_length(D)
    w.add_block_count(config.num_hidden_layers)
    w.add_head_count(HEADS)
    if kind == "gpt2":
        w.add_feed_forward_length(4 * D)
        return w.add_layer_norm_eps(config.layer_norm_epsilon)
    w.add_feed_forward_length(config.intermediate_size)
    if kind == "gptneox":
        w.add_layer_norm_eps(config.layer_norm_eps)
        w.add_rope_dimension_count(int(0.5 * D / HEADS))
        return w.add_parallel_residual(True)
    w.add_head_count_kv(config.num_key_value_heads)
    w.add_layer_norm_rms_eps(config.rms_norm_eps)
    ropes = config.rope_parameters
    w.add_rope_freq_base(ropes.get("full_attention", ropes)["rope_theta"] if kind == "gemma3" else ropes["rope_theta"])
    if kind == "llama":
        w.add_rope_dimension_count(HEAD)
        w.add_vocab_size(V)
        # llama.cpp, LlamaModel.generate_extra_tensors
        r = LLAMA3
        freqs = 1.0 / (500000.0 ** (torch.arange(0, HEAD, 2, dtype=torch.float32) / HEAD))
        low, high, factors = r["original_max_position_embeddings"] / 1.0, r["original_max_position_embeddings"] / 4.0, []
        for f in freqs:
            wavelength = 2 * np.pi / f
            smooth = (r["original_max_position_embeddings"] / wavelength - 1.0) / (4.0 - 1.0)
            factors.append(1.0 if wavelength < high else 8.0 if wavelength > low else 1 / ((1 - smooth) / 8.0 + smooth))
        w.add_tensor("rope_freqs.weight", np.array(factors, dtype=np.float32))
    if kind in ("qwen3", "gemma2", "gemma3"):
        w.add_key_length(config.head_dim)
        w.add_value_length(config.head_dim)
    if kind in ("gemma2", "gemma3"):
        w.add_sliding_window(5)
    if kind == "gemma2":
        w.add_attn_logit_softcapping(50.0)
        w.add_final_logit_softcapping(30.0)
    if kind == "gemma3":
        w.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        w.add_rope_scaling_factor(8.0)


golden = {}
for kind, (arch, quant, build, config) in CASES.items():
    torch.manual_seed(7)
    model = build(config).float().eval()
    names = gguf.get_tensor_name_map(arch, config.num_hidden_layers)
    w = gguf.GGUFWriter(OUT / f"{kind}.gguf", gguf.MODEL_ARCH_NAMES[arch])
    metadata(w, kind, config)
    w.add_file_type({Q.Q8_0: 7, Q.Q4_0: 2, Q.Q5_1: 9, Q.F16: 1, Q.BF16: 32, Q.Q5_0: 8}[quant])
    with torch.no_grad():
        for name, p in model.named_parameters():
            norm = "norm" in name or ".ln_" in name
            p.copy_(torch.randn_like(p) * (0.25 if norm or name.endswith("bias") else 0.6 if "embed" in name or "wte" in name else 2.0 / D**0.5) + (1.0 if norm and "gemma" not in kind and not name.endswith("bias") else 0))
            weights = p.numpy()
            transposed = kind == "gpt2" and any(part in name for part in ("c_attn.weight", "c_proj.weight", "c_fc.weight"))
            rows = order(name, kind, weights.shape)
            stored = np.ascontiguousarray(weights.T if transposed else weights[rows])
            if "gemma" in kind and name.endswith("norm.weight"):
                stored = stored + np.float32(1)
            to = names.get_name(name, try_suffixes=(".weight", ".bias"))
            if stored.ndim == 1:
                w.add_tensor(to, stored)
                back = stored - np.float32(1) if "gemma" in kind and name.endswith("norm.weight") else stored
            else:
                raw = gguf.quants.quantize(stored, quant)
                w.add_tensor(to, raw, raw_dtype=quant)
                back = gguf.quants.dequantize(raw, quant).astype(np.float32).reshape(stored.shape)
            result = np.empty_like(weights)
            if transposed:
                result[:] = back.T
            else:
                result[rows] = back
            p.copy_(torch.from_numpy(result))
        w.write_header_to_file()
        w.write_kv_data_to_file()
        w.write_tensors_to_file()
        w.close()
        ids = torch.randint(0, V, (1, 14))
        logits = model.double()(ids).logits[0].float().numpy()
    golden[f"{kind}/ids"] = ids[0].int().numpy()
    golden[f"{kind}/logits"] = logits
    print(kind, (OUT / f"{kind}.gguf").stat().st_size, logits.std())
save_file(golden, OUT / "logits.safetensors")
