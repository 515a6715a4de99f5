"""
A Llama folder in Hugging Face layout (F32 safetensors) as a GGUF file, for llama.cpp in the benchmark.

  python llama_gguf.py FOLDER OUT.gguf F32|F16

Rows of the query and key projections are reordered: llama.cpp rotates neighbouring pairs, Hugging Face halves. Norms stay F32. The vocabulary
is made up: the benchmark feeds token ids.
"""

import json
import sys

import gguf
import numpy as np
from safetensors.numpy import load_file

folder, out, dtype = sys.argv[1:]
config = json.load(open(f"{folder}/config.json"))
tensors = load_file(f"{folder}/model.safetensors")
heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
layers, width = config["num_hidden_layers"], config["hidden_size"]
half = dtype == "F16"

writer = gguf.GGUFWriter(out, "llama")
writer.add_name("bench")
writer.add_context_length(config["max_position_embeddings"])
writer.add_embedding_length(width)
writer.add_block_count(layers)
writer.add_feed_forward_length(config["intermediate_size"])
writer.add_head_count(heads)
writer.add_head_count_kv(kv_heads)
writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
writer.add_rope_freq_base(config["rope_theta"])
writer.add_rope_dimension_count(width // heads)
writer.add_vocab_size(config["vocab_size"])
writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16 if half else gguf.LlamaFileType.ALL_F32)
# llama.cpp wants a vocabulary; nothing is ever tokenized.
writer.add_tokenizer_model("gpt2")
writer.add_tokenizer_pre("default")
writer.add_token_list([f"t{i}" for i in range(config["vocab_size"])])
writer.add_token_merges(["t 0"])
writer.add_bos_token_id(0)
writer.add_eos_token_id(1)


def pairs(weight, n):
    return weight.reshape(n, 2, weight.shape[0] // n // 2, -1).swapaxes(1, 2).reshape(weight.shape)


NAMES = {
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
}
TOP = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight", "lm_head.weight": "output.weight"}
for name, weight in tensors.items():
    weight = np.asarray(weight, dtype=np.float32)
    if name in TOP:
        target = TOP[name]
    else:
        _, _, layer, *rest = name.split(".")
        part = ".".join(rest[:-1])
        target = f"blk.{layer}.{NAMES[part]}.weight"
        if part == "self_attn.q_proj":
            weight = pairs(weight, heads)
        if part == "self_attn.k_proj":
            weight = pairs(weight, kv_heads)
    writer.add_tensor(target, weight.astype(np.float16) if half and weight.ndim == 2 else weight)
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
