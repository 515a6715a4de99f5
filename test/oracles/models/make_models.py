"""Tiny random models saved by transformers, and what PyTorch computes with them: logits and every hook.

Writes test/golden/models/<name>/ (the model folder, as transformers saves it) and <name>/golden.safetensors.
Weights have realistic scale: attention must be selective (entropy well below log T), or RoPE, scaling and masks could be
wrong without any number moving. The script prints the entropies and stops when they are too high.
"""

import json
import math
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

OUT = Path(__file__).resolve().parents[2] / "golden" / "models"
TOKENIZERS = OUT / "tokenizers"


def llama(**changes):
    base = dict(
        vocab_size=96, hidden_size=32, intermediate_size=56, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=8, max_position_embeddings=64, rms_norm_eps=1e-5, bos_token_id=1,
        eos_token_id=2, tie_word_embeddings=False,
    )
    return LlamaConfig(**{**base, **changes})


def gpt2(**changes):
    base = dict(
        vocab_size=96, n_embd=32, n_layer=2, n_head=4, n_positions=64, bos_token_id=1, eos_token_id=2,
        activation_function="gelu_new", resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
    )
    return GPT2Config(**{**base, **changes})


# name: config, weight dtype, T, options
MODELS = {
    # Grouped keys, own head, vocabulary of the byte-level tokenizer beside it.
    "llama-untied": (llama(vocab_size=320, rope_parameters={"rope_type": "default", "rope_theta": 10000.0}), torch.float32, 40,
                     {"tokenizer": "byte-level"}),
    # T 48 is beyond original_max_position_embeddings 16; two shards, three layers.
    "llama3-tied-shards": (llama(num_hidden_layers=3, num_key_value_heads=1, intermediate_size=48, tie_word_embeddings=True, rope_parameters={
        "rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 16}), torch.float32, 48, {"shards": True}),
    "llama-linear-bf16": (llama(attention_bias=True, mlp_bias=True, rope_parameters={
        "rope_type": "linear", "rope_theta": 500.0, "factor": 4.0}), torch.bfloat16, 40, {}),
    "llama-yarn": (llama(vocab_size=64, num_hidden_layers=1, max_position_embeddings=64, rope_parameters={
        "rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 16}), torch.float32, 40, {}),
    # Beyond max_position_embeddings, where dynamic scaling begins to act.
    "llama-dynamic": (llama(vocab_size=64, num_hidden_layers=1, max_position_embeddings=16, rope_parameters={
        "rope_type": "dynamic", "rope_theta": 10000.0, "factor": 4.0}), torch.float32, 40, {}),
    "gpt2-new": (gpt2(vocab_size=320), torch.float32, 40, {"tokenizer": "byte-level", "selective": 1.7}),
    "gpt2-exact-f16": (gpt2(activation_function="gelu", scale_attn_by_inverse_layer_idx=True, n_inner=72, layer_norm_epsilon=1e-3), torch.float16, 40,
                       {"selective": 1.9}),
}


@torch.no_grad()
def randomize(model, seed, selective=1.4):
    """Residual writes of unit size and queries and keys that make scores of a few units."""
    generator = torch.Generator().manual_seed(seed)
    for name, weight in model.named_parameters():
        # Conv1D keeps [in,out], Linear [out,in].
        fan_in = weight.shape[0] if "gpt2" in model.config.model_type else weight.shape[-1]
        if weight.dim() == 1:
            centre = 1.0 if name.endswith("weight") else 0.0
            spread = 0.3
        elif "embed_tokens" in name or "wte" in name:
            centre, spread = 0.0, 0.6
        elif "wpe" in name:
            centre, spread = 0.0, 0.4
        else:
            centre, spread = 0.0, 1.0 / math.sqrt(fan_in)
            if "q_proj" in name or "k_proj" in name or "c_attn" in name:
                spread *= selective
        weight.copy_(centre + spread * torch.randn(weight.shape, generator=generator))


def record(model, ids, mask=None):
    """Runs the model and returns every hook by its TransformerLens name, and the logits."""
    cache, handles = {}, []

    def keep(name, shape=None, take=lambda args, output: output):
        def hook(_module, args, kwargs, output):
            value = take(args or tuple(kwargs.values()), output)
            cache[name] = (value if shape is None else value.reshape(shape)).detach().float().contiguous().clone()
        return hook

    def on(module, *args, **kwargs):
        handles.append(module.register_forward_hook(keep(*args, **kwargs), with_kwargs=True))

    B, T = ids.shape
    first = lambda args, output: output[0] if isinstance(output, tuple) else output
    into = lambda args, output: args[0]
    is_llama = model.config.model_type == "llama"
    H = model.config.num_attention_heads
    if is_llama:
        on(model.model.embed_tokens, "hook_embed")
        layers = model.model.layers
    else:
        on(model.transformer.wte, "hook_embed")
        on(model.transformer.wpe, "hook_pos_embed", take=lambda args, output: output.expand(B, T, -1))
        layers = model.transformer.h
    for i, layer in enumerate(layers):
        b = f"blocks.{i}"
        attn = layer.self_attn if is_llama else layer.attn
        project = attn.o_proj if is_llama else attn.c_proj
        down = layer.mlp.down_proj if is_llama else layer.mlp.c_proj
        second = layer.post_attention_layernorm if is_llama else layer.ln_2
        on(layer, f"{b}.hook_resid_pre", take=into)
        on(attn, f"{b}.attn.hook_pattern", take=lambda args, output: output[1])
        on(project, f"{b}.attn.hook_z", (B, T, H, -1), take=into)
        on(attn, f"{b}.hook_attn_out", take=first)
        on(second, f"{b}.hook_resid_mid", take=into)
        on(down, f"{b}.mlp.hook_post", take=into)
        on(layer.mlp, f"{b}.hook_mlp_out", take=first)
        on(layer, f"{b}.hook_resid_post", take=first)
    extra = {}
    if mask is not None:
        extra = {"attention_mask": mask, "position_ids": (mask.cumsum(-1) - 1).clamp(min=0)}
    with torch.no_grad():
        cache["logits"] = model(ids, use_cache=False, **extra).logits.float().contiguous()
    for handle in handles:
        handle.remove()
    return cache


def entropy(pattern):
    """Mean entropy of the attention rows, over that of a uniform look back."""
    rows = pattern[..., 8:, :]
    nats = -(rows * rows.clamp_min(1e-30).log()).sum(-1)
    uniform = torch.arange(9, pattern.shape[-1] + 1).float().log()
    return (nats / uniform).mean().item()


def make(name, config, dtype, T, options):
    folder = OUT / name
    shutil.rmtree(folder, ignore_errors=True)
    torch.manual_seed(0)
    kind = LlamaForCausalLM if config.model_type == "llama" else GPT2LMHeadModel
    model = kind(config).eval()
    randomize(model, seed=len(name), selective=options.get("selective", 1.4))
    model.tie_weights()
    model.to(dtype)
    model.save_pretrained(folder, **({"max_shard_size": "60KB"} if options.get("shards") else {}))
    if "tokenizer" in options:
        for file in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(TOKENIZERS / options["tokenizer"] / file, folder / file)

    # The stored weights, computed with in float64 (norms and softmax stay in float32, as transformers has them), so that
    # the difference to these numbers is our rounding and not the sum of two.
    model = kind.from_pretrained(folder, dtype=torch.float64, attn_implementation="eager").eval()
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(3, config.vocab_size, (1, T), generator=generator)
    ids[0, 0] = 1
    cache = record(model, ids)
    golden = {f"plain/{k}": v for k, v in cache.items()} | {"plain/ids": ids.int()}

    # One row padded on the left, one on the right: only the mask tells them apart from tokens.
    short = 12
    padded = torch.randint(3, config.vocab_size, (2, short), generator=generator)
    mask = torch.ones(2, short, dtype=torch.long)
    mask[0, :5] = 0
    mask[1, 9:] = 0
    # In float32: transformers' mask value for float64 becomes -inf in its float32 softmax, and a row without any token NaN.
    single = kind.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    inner = record(single, padded, mask)
    last = f"blocks.{config.num_hidden_layers - 1}.hook_resid_post"
    golden |= {"padded/ids": padded.int(), "padded/mask": mask.to(torch.uint8), f"padded/{last}": inner[last], "padded/logits": inner["logits"]}

    if "tokenizer" in options:
        from tokenizers import Tokenizer
        text = "The knight takes e5, and Bob can't pay £3."
        encoded = [1, *Tokenizer.from_file(str(folder / "tokenizer.json")).encode(text, add_special_tokens=False).ids]
        spoken = record(model, torch.tensor([encoded]))
        golden |= {"text/ids": torch.tensor([encoded]).int(), "text/logits": spoken["logits"]}
    assert all(v.isfinite().all() for v in golden.values())

    save_file({k: v.contiguous() for k, v in golden.items()}, folder / "golden.safetensors", metadata={"source": f"transformers, {name}"})
    size = sum(f.stat().st_size for f in folder.glob("model*.safetensors"))
    entropies = [entropy(v) for k, v in cache.items() if k.endswith("hook_pattern")]
    shown = ", ".join(f"{e:.2f}" for e in entropies)
    rounded = record(single, ids)
    own = max(((rounded[k] - v).abs().max() / v.pow(2).mean().sqrt()).item() for k, v in cache.items())
    print(f"{name}: PyTorch's own float32 is within {own:.1e}; weights {size // 1024} KB, golden {(folder / 'golden.safetensors').stat().st_size // 1024} KB, "
          f"attention entropy / log T: {shown}, logits rms {cache['logits'].pow(2).mean().sqrt():.2f}")
    assert max(entropies) < 0.8, "attention is too flat to notice an error in it"
    assert size < 200 * 1024


if __name__ == "__main__":
    for name, (config, dtype, T, options) in MODELS.items():
        make(name, config, dtype, T, options)
