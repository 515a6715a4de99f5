"""Published config.json files in the spellings that they have on the hub, and what transformers takes them to mean: test/golden/models/configs.json.

Old spellings (rope_theta, rotary_pct, rope_local_base_freq, sliding_window_pattern, a text_config with most fields missing) are what people
have; the tiny models are saved in the newest one. Fields that say nothing about the numbers are left out.
"""

import json
from pathlib import Path

from transformers import AutoConfig

OUT = Path(__file__).resolve().parents[2] / "golden" / "models" / "configs.json"

PUBLISHED = {
    "EleutherAI/pythia-70m": {
        "model_type": "gpt_neox", "bos_token_id": 0, "eos_token_id": 0, "hidden_act": "gelu", "hidden_size": 512, "intermediate_size": 2048, "layer_norm_eps": 1e-05,
        "max_position_embeddings": 2048, "num_attention_heads": 8, "num_hidden_layers": 6, "rotary_emb_base": 10000, "rotary_pct": 0.25, "tie_word_embeddings": False,
        "use_parallel_residual": True, "vocab_size": 50304},
    "EleutherAI/gpt-neox-20b": {
        "model_type": "gpt_neox", "hidden_act": "gelu_fast", "hidden_size": 6144, "intermediate_size": 24576, "layer_norm_eps": 1e-05, "max_position_embeddings": 2048,
        "num_attention_heads": 64, "num_hidden_layers": 44, "rotary_emb_base": 10000, "rotary_pct": 0.25, "tie_word_embeddings": False, "vocab_size": 50432},
    "mistralai/Mistral-7B-v0.1": {
        "model_type": "mistral", "hidden_act": "silu", "hidden_size": 4096, "intermediate_size": 14336, "max_position_embeddings": 32768, "num_attention_heads": 32,
        "num_hidden_layers": 32, "num_key_value_heads": 8, "rms_norm_eps": 1e-05, "rope_theta": 10000.0, "sliding_window": 4096, "tie_word_embeddings": False,
        "vocab_size": 32000},
    "mistralai/Mistral-7B-v0.3": {
        "model_type": "mistral", "hidden_act": "silu", "hidden_size": 4096, "intermediate_size": 14336, "max_position_embeddings": 32768, "num_attention_heads": 32,
        "num_hidden_layers": 32, "num_key_value_heads": 8, "rms_norm_eps": 1e-05, "rope_theta": 1000000.0, "sliding_window": None, "tie_word_embeddings": False,
        "vocab_size": 32768},
    "mistralai/Mistral-Nemo-Base-2407": {
        "model_type": "mistral", "head_dim": 128, "hidden_act": "silu", "hidden_size": 5120, "intermediate_size": 14336, "max_position_embeddings": 128000,
        "num_attention_heads": 32, "num_hidden_layers": 40, "num_key_value_heads": 8, "rms_norm_eps": 1e-05, "rope_theta": 1000000.0, "sliding_window": None,
        "tie_word_embeddings": False, "vocab_size": 131072},
    "Qwen/Qwen2.5-0.5B": {
        "model_type": "qwen2", "hidden_act": "silu", "hidden_size": 896, "intermediate_size": 4864, "max_position_embeddings": 32768, "max_window_layers": 24,
        "num_attention_heads": 14, "num_hidden_layers": 24, "num_key_value_heads": 2, "rms_norm_eps": 1e-06, "rope_theta": 1000000.0, "sliding_window": 32768,
        "tie_word_embeddings": True, "use_mrope": False, "use_sliding_window": False, "vocab_size": 151936},
    "deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B": {
        "model_type": "qwen2", "hidden_act": "silu", "hidden_size": 1536, "intermediate_size": 8960, "max_position_embeddings": 131072, "max_window_layers": 21,
        "num_attention_heads": 12, "num_hidden_layers": 28, "num_key_value_heads": 2, "rms_norm_eps": 1e-06, "rope_theta": 10000, "sliding_window": 4096,
        "tie_word_embeddings": False, "use_mrope": False, "use_sliding_window": False, "vocab_size": 151936},
    "deepseek-ai/DeepSeek-R1-Distill-Llama-8B": {
        "model_type": "llama", "attention_bias": False, "hidden_act": "silu", "hidden_size": 4096, "intermediate_size": 14336, "max_position_embeddings": 131072, "mlp_bias": False,
        "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 8, "pretraining_tp": 1, "rms_norm_eps": 1e-05, "rope_scaling": {
            "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192, "rope_type": "llama3"},
        "rope_theta": 500000.0, "tie_word_embeddings": False, "vocab_size": 128256},
    "HuggingFaceTB/SmolLM2-135M": {
        "model_type": "llama", "attention_bias": False, "hidden_act": "silu", "hidden_size": 576, "intermediate_size": 1536, "max_position_embeddings": 8192, "mlp_bias": False,
        "num_attention_heads": 9, "num_hidden_layers": 30, "num_key_value_heads": 3, "pretraining_tp": 1, "rms_norm_eps": 1e-05, "rope_interleaved": False, "rope_scaling": None,
        "rope_theta": 100000, "tie_word_embeddings": True, "vocab_size": 49152},
    "TinyLlama/TinyLlama-1.1B-Chat-v1.0": {
        "model_type": "llama", "attention_bias": False, "hidden_act": "silu", "hidden_size": 2048, "intermediate_size": 5632, "max_position_embeddings": 2048,
        "num_attention_heads": 32, "num_hidden_layers": 22, "num_key_value_heads": 4, "pretraining_tp": 1, "rms_norm_eps": 1e-05, "rope_scaling": None, "rope_theta": 10000.0,
        "tie_word_embeddings": False, "vocab_size": 32000},
    "Qwen/Qwen3-0.6B": {
        "model_type": "qwen3", "attention_bias": False, "head_dim": 128, "hidden_act": "silu", "hidden_size": 1024, "intermediate_size": 3072, "max_position_embeddings": 40960,
        "max_window_layers": 28, "num_attention_heads": 16, "num_hidden_layers": 28, "num_key_value_heads": 8, "rms_norm_eps": 1e-06, "rope_scaling": None,
        "rope_theta": 1000000, "sliding_window": None, "tie_word_embeddings": True, "use_sliding_window": False, "vocab_size": 151936},
    "google/gemma-2-2b": {
        "model_type": "gemma2", "attention_bias": False, "attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0, "head_dim": 256, "hidden_act": "gelu_pytorch_tanh",
        "hidden_activation": "gelu_pytorch_tanh", "hidden_size": 2304, "intermediate_size": 9216, "max_position_embeddings": 8192, "num_attention_heads": 8,
        "num_hidden_layers": 26, "num_key_value_heads": 4, "query_pre_attn_scalar": 256, "rms_norm_eps": 1e-06, "rope_theta": 10000.0, "sliding_window": 4096,
        "vocab_size": 256000},
    "google/gemma-2-27b": {
        "model_type": "gemma2", "attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0, "head_dim": 128, "hidden_activation": "gelu_pytorch_tanh", "hidden_size": 4608,
        "intermediate_size": 36864, "max_position_embeddings": 8192, "num_attention_heads": 32, "num_hidden_layers": 46, "num_key_value_heads": 16,
        "query_pre_attn_scalar": 144, "rms_norm_eps": 1e-06, "rope_theta": 10000.0, "sliding_window": 4096, "vocab_size": 256000},
    "google/gemma-3-1b-pt": {
        "model_type": "gemma3_text", "attention_bias": False, "attn_logit_softcapping": None, "final_logit_softcapping": None, "head_dim": 256,
        "hidden_activation": "gelu_pytorch_tanh", "hidden_size": 1152, "intermediate_size": 6912, "max_position_embeddings": 32768, "num_attention_heads": 4,
        "num_hidden_layers": 26, "num_key_value_heads": 1, "query_pre_attn_scalar": 256, "rms_norm_eps": 1e-06, "rope_local_base_freq": 10000, "rope_scaling": None,
        "rope_theta": 1000000, "sliding_window": 512, "sliding_window_pattern": 6, "vocab_size": 262144},
    "google/gemma-3-4b-pt": {
        "model_type": "gemma3", "text_config": {
            "hidden_size": 2560, "intermediate_size": 10240, "model_type": "gemma3_text", "num_hidden_layers": 34, "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
            "sliding_window": 1024},
        "vision_config": {"hidden_size": 1152, "image_size": 896, "intermediate_size": 4304, "model_type": "siglip_vision_model", "num_attention_heads": 16,
                          "num_hidden_layers": 27, "patch_size": 14}},
    "google-bert/bert-base-uncased": {
        "model_type": "bert", "hidden_act": "gelu", "hidden_size": 768, "intermediate_size": 3072, "layer_norm_eps": 1e-12, "max_position_embeddings": 512,
        "num_attention_heads": 12, "num_hidden_layers": 12, "pad_token_id": 0, "position_embedding_type": "absolute", "type_vocab_size": 2, "vocab_size": 30522},
}


def meaning(published):
    config = AutoConfig.for_model(**json.loads(json.dumps(published)))
    c = config.get_text_config()
    ropes = getattr(c, "rope_parameters", None)
    types = getattr(c, "layer_types", None) or [
        "sliding_attention" if getattr(c, "sliding_window", None) and c.model_type == "mistral" else "full_attention"] * c.num_hidden_layers
    heads, D = c.num_attention_heads, c.hidden_size
    head_dim = getattr(c, "head_dim", None) or D // heads

    def rope(kind):
        if ropes is None:
            return None
        one = ropes.get(kind, ropes)
        return {
            "theta": one["rope_theta"], "type": one["rope_type"], "factor": one.get("factor"),
            "dims": int(head_dim * one.get("partial_rotary_factor", 1.0)),
        }

    return {
        "D": D, "layers": c.num_hidden_layers, "heads": heads, "kvHeads": getattr(c, "num_key_value_heads", None) or heads, "headDim": head_dim, "V": c.vocab_size,
        "contextLength": c.max_position_embeddings, "mlpWidth": c.intermediate_size, "normEpsilon": getattr(c, "rms_norm_eps", None) or c.layer_norm_eps,
        "activation": getattr(c, "hidden_activation", None) or c.hidden_act, "tiedHead": c.tie_word_embeddings, "parallel": getattr(c, "use_parallel_residual", None),
        "scale": (getattr(c, "query_pre_attn_scalar", None) or head_dim) ** -0.5, "scoreCap": getattr(c, "attn_logit_softcapping", None),
        "logitCap": getattr(c, "final_logit_softcapping", None),
        "windows": [c.sliding_window if kind == "sliding_attention" else None for kind in types], "ropes": [rope(kind) for kind in types],
    }


golden = {name: {"config": config, "meaning": meaning(config)} for name, config in PUBLISHED.items()}
# One line each: layers repeat.
OUT.write_text("{\n" + ",\n".join(f"{json.dumps(name)}: {json.dumps(entry)}" for name, entry in golden.items()) + "\n}\n")
print(f"{len(golden)} configurations, {OUT.stat().st_size // 1024} KB")
