"""Tiny random models saved by transformers, and what PyTorch computes with them: logits and every hook.

Writes test/golden/models/<name>/ (the model folder, as transformers saves it) and <name>/golden.safetensors.
Weights have realistic scale: attention must be selective (entropy well below log T), or RoPE, scaling and masks could be
wrong without any number moving. The script prints the entropies and stops when they are too high.
"""

import json
import math
import shutil
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import (
    BertConfig, BertForMaskedLM, Gemma2Config, Gemma2ForCausalLM, Gemma3Config, Gemma3ForCausalLM, Gemma3ForConditionalGeneration, Gemma3TextConfig,
    GPT2Config, GPT2LMHeadModel, GPTNeoXConfig, GPTNeoXForCausalLM, LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM, Qwen2Config,
    Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM,
)

KINDS = {
    "bert": BertForMaskedLM, "gemma2": Gemma2ForCausalLM, "gemma3": Gemma3ForConditionalGeneration, "gemma3_text": Gemma3ForCausalLM,
    "gpt2": GPT2LMHeadModel, "gpt_neox": GPTNeoXForCausalLM, "llama": LlamaForCausalLM, "mistral": MistralForCausalLM, "qwen2": Qwen2ForCausalLM,
    "qwen3": Qwen3ForCausalLM,
}
OUT = Path(__file__).resolve().parents[2] / "golden" / "models"
TOKENIZERS = OUT / "tokenizers"


GATED = dict(
    vocab_size=96, hidden_size=32, intermediate_size=56, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64,
    rms_norm_eps=1e-5, bos_token_id=1, eos_token_id=2,
)


def llama(**changes):
    return LlamaConfig(**{**GATED, "head_dim": 8, "tie_word_embeddings": False, **changes})


def gpt2(**changes):
    base = dict(
        vocab_size=96, n_embd=32, n_layer=2, n_head=4, n_positions=64, bos_token_id=1, eos_token_id=2,
        activation_function="gelu_new", resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
    )
    return GPT2Config(**{**base, **changes})


def neox(**changes):
    base = dict(
        vocab_size=96, hidden_size=32, intermediate_size=80, num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=64, bos_token_id=1,
        eos_token_id=2, rope_parameters={"rope_type": "default", "rope_theta": 100.0, "partial_rotary_factor": 0.5},
    )
    return GPTNeoXConfig(**{**base, **changes})


def gemma3(**changes):
    """Windows of 7 but in every third layer, whose positions turn at another base and are stretched."""
    base = dict(
        GATED, head_dim=16, num_hidden_layers=4, num_key_value_heads=1, intermediate_size=40, sliding_window=7, query_pre_attn_scalar=24,
        layer_types=["sliding_attention", "sliding_attention", "full_attention", "sliding_attention"], pad_token_id=0,
        rope_parameters={
            "full_attention": {"rope_type": "linear", "rope_theta": 5000.0, "factor": 4.0},
            "sliding_attention": {"rope_type": "default", "rope_theta": 100.0},
        },
    )
    return Gemma3TextConfig(**{**base, **changes})


def gemma3_with_images():
    vision = dict(hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1, image_size=16, patch_size=8)
    text = gemma3(num_hidden_layers=2, layer_types=["sliding_attention", "full_attention"], intermediate_size=24).to_dict()
    return Gemma3Config(text_config=text, vision_config=vision, mm_tokens_per_image=4, image_token_index=95, boi_token_index=93, eoi_token_index=94)


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
    "neox-parallel": (neox(), torch.float32, 28, {"selective": 1.7}),
    "neox-sequential-f16": (neox(use_parallel_residual=False, attention_bias=False, hidden_act="gelu_new", tie_word_embeddings=True), torch.float16, 28,
                            {"selective": 1.8}),
    "mistral-window": (MistralConfig(**GATED, head_dim=8, sliding_window=7), torch.float32, 28, {"selective": 1.5}),
    # The upper two of three layers see a window; positions beyond 16 are stretched.
    "qwen2-windows-yarn": (Qwen2Config(**{**GATED, "num_hidden_layers": 3, "intermediate_size": 40}, tie_word_embeddings=True, use_sliding_window=True,
                           sliding_window=7, max_window_layers=1, rope_parameters={
                               "rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 16}), torch.float32, 28,
                           {"shards": True, "selective": 1.6}),
    # Heads of 16 where D / H is 8.
    "qwen3-bf16": (Qwen3Config(**GATED, head_dim=16), torch.bfloat16, 28, {"sharpness": 1.5}),
    "gemma2": (Gemma2Config(**{**GATED, "num_hidden_layers": 3, "intermediate_size": 40}, head_dim=16, sliding_window=7, query_pre_attn_scalar=24,
               attn_logit_softcapping=10.0, final_logit_softcapping=6.0), torch.float32, 28, {"selective": 1.6}),
    "gemma3-text": (gemma3(final_logit_softcapping=6.0), torch.float32, 28, {"sharpness": 1.5}),
    "gemma3-images": (gemma3_with_images(), torch.bfloat16, 28, {"sharpness": 1.5}),
    "bert": (BertConfig(vocab_size=96, hidden_size=32, intermediate_size=72, num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=64),
             torch.float32, 28, {"selective": 1.6}),
}


@torch.no_grad()
def randomize(model, seed, selective=1.4, sharpness=1.0):
    """Residual writes of unit size, and queries and keys that make scores of a few units."""
    generator = torch.Generator().manual_seed(seed)
    kind = model.config.model_type
    for name, weight in model.named_parameters():
        # Conv1D keeps [in,out], Linear [out,in].
        fan_in = weight.shape[0] if kind == "gpt2" else weight.shape[-1]
        if weight.dim() == 1:
            # Gemma's norms multiply by 1 + w.
            centre = 0.0 if not name.endswith("weight") or "gemma" in kind else 1.0
            if "q_norm" in name or "k_norm" in name:
                centre += sharpness - 1
            spread = 0.3
        elif any(part in name for part in ("embed_tokens", "wte", "embed_in", "word_embeddings")):
            centre, spread = 0.0, 0.6 / (weight.shape[1] ** 0.5 if "gemma" in kind else 1)
        elif any(part in name for part in ("wpe", "position_embeddings", "token_type_embeddings")):
            centre, spread = 0.0, 0.4
        else:
            centre, spread = 0.0, 1.0 / math.sqrt(fan_in)
            if any(part in name for part in ("q_proj", "k_proj", "c_attn", "query", "key.")):
                spread *= selective
        weight.copy_(centre + spread * torch.randn(weight.shape, generator=generator))


def places(model):
    """Where a family keeps what: (module, "in" or "out", hook name) for the embeddings, then of every layer."""
    kind = model.config.model_type
    if kind == "bert":
        inner = model.bert.embeddings
        outside = [
            (inner.word_embeddings, "out", "embed.hook_embed"), (inner.position_embeddings, "out", "embed.hook_pos_embed"),
            (inner.token_type_embeddings, "out", "embed.hook_token_type_embed"), (inner, "out", "hook_full_embed"),
        ]
        def layer_places(layer):
            return [
                (layer, "in", "hook_resid_pre"), (layer.attention.self, "pattern", "attn.hook_pattern"), (layer.attention.output.dense, "in", "attn.hook_z"),
                (layer.attention.output.dense, "out", "hook_attn_out"), (layer.attention.output.LayerNorm, "in", "hook_resid_mid"),
                (layer.intermediate, "out", "mlp.hook_post"), (layer.output.dense, "out", "hook_mlp_out"), (layer.output.LayerNorm, "in", "hook_resid_post"),
                (layer, "out", "hook_normalized_resid_post"),
            ]
        return outside, [layer_places(layer) for layer in model.bert.encoder.layer]

    def block(layer, attention, project, down, second, parallel=False, written=None, written_by_mlp=None):
        mid = [] if parallel else [(second, "in", "hook_resid_mid")]
        return [
            (layer, "in", "hook_resid_pre"), (attention, "pattern", "attn.hook_pattern"), (project, "in", "attn.hook_z"),
            (written or attention, "out", "hook_attn_out"), *mid, (second, "normalized", "ln2.hook_normalized"), (layer.mlp, "in", "mlp.hook_in"),
            (down, "in", "mlp.hook_post"), (written_by_mlp or layer.mlp, "out", "hook_mlp_out"),
            (layer, "out", "hook_resid_post"),
        ]

    if kind == "gpt2":
        inner = model.transformer
        return (
            [(inner.wte, "out", "hook_embed"), (inner.wpe, "out", "hook_pos_embed")],
            [block(x, x.attn, x.attn.c_proj, x.mlp.c_proj, x.ln_2) for x in inner.h],
        )
    if kind == "gpt_neox":
        inner, parallel = model.gpt_neox, model.config.use_parallel_residual
        return (
            [(inner.embed_in, "out", "hook_embed")],
            [block(x, x.attention, x.attention.dense, x.mlp.dense_4h_to_h, x.post_attention_layernorm, parallel) for x in inner.layers],
        )
    inner = model.model.language_model if kind == "gemma3" else model.model
    gemma = "gemma" in kind
    return [(inner.embed_tokens, "out", "hook_embed")], [
        block(
            x, x.self_attn, x.self_attn.o_proj, x.mlp.down_proj, x.pre_feedforward_layernorm if gemma else x.post_attention_layernorm,
            # What is added to the stream has passed one more norm.
            written=x.post_attention_layernorm if gemma else None, written_by_mlp=x.post_feedforward_layernorm if gemma else None,
        )
        for x in inner.layers
    ]


def record(model, ids, mask=None):
    """Runs the model and returns every hook by its TransformerLens name, and the logits."""
    cache, handles = {}, []
    B, T = ids.shape
    config = model.config.get_text_config()

    def on(module, what, name):
        def hook(_module, args, kwargs, output):
            if what == "in":
                value = (args or tuple(kwargs.values()))[0]
            elif what == "pattern":
                value = output[1]
            elif what == "normalized":
                # The module's own output without its gain and shift.
                value = (output - (module.bias if getattr(module, "bias", None) is not None else 0)) / (module.weight + ("Gemma" in type(module).__name__))
            else:
                value = output[0] if isinstance(output, tuple) else output
            if name.endswith("hook_z"):
                value = value.reshape(B, T, config.num_attention_heads, -1)
            if name.endswith("hook_pos_embed"):
                value = value.expand(B, T, -1)
            cache[name] = value.detach().float().contiguous().clone()
        handles.append(module.register_forward_hook(hook, with_kwargs=True))

    outside, layers = places(model)
    for place in outside:
        on(*place)
    for i, layer in enumerate(layers):
        for module, what, name in layer:
            on(module, what, f"blocks.{i}.{name}")
    extra = {}
    if mask is not None:
        extra = {"attention_mask": mask, "position_ids": (mask.cumsum(-1) - 1).clamp(min=0)}
    encoder = config.model_type == "bert"
    with torch.no_grad():
        output = model(ids, **extra) if encoder else model(ids, use_cache=False, **extra)
    # An encoder's logits are not those of a next token; they are not offered.
    if not encoder:
        cache["logits"] = output.logits.float().contiguous()
    for handle in handles:
        handle.remove()
    return cache


def entropy(pattern):
    """Mean entropy of the attention rows, over that of a uniform look at what they may see."""
    rows = pattern[..., 8:, :]
    nats = -(rows * rows.clamp_min(1e-30).log()).sum(-1)
    uniform = (pattern.flatten(0, 1).amax(0) > 0).sum(-1)[8:].float().log()
    return (nats / uniform).mean().item()


def save(folder, config, dtype, options, seed):
    shutil.rmtree(folder, ignore_errors=True)
    torch.manual_seed(0)
    model = KINDS[config.model_type](config).eval()
    randomize(model, seed=seed, **{key: options[key] for key in ("selective", "sharpness") if key in options})
    model.tie_weights()
    model.to(dtype)
    model.save_pretrained(folder, **({"max_shard_size": "60KB"} if options.get("shards") else {}))
    if "tokenizer" in options:
        for file in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(TOKENIZERS / options["tokenizer"] / file, folder / file)
        # Without a post-processor this alone says that prompts begin with BOS.
        config_file = folder / "tokenizer_config.json"
        config_file.write_text(json.dumps({**json.loads(config_file.read_text()), "add_bos_token": True}))


def make(name, config, dtype, T, options, kept):
    folder = OUT / name
    if not kept:
        save(folder, config, dtype, options, len(name))
    kind = KINDS[config.model_type]

    # The stored weights, computed with in float64 (norms and softmax stay in float32, as transformers has them), so that
    # the difference to these numbers is our rounding and not the sum of two.
    model = kind.from_pretrained(folder, dtype=torch.float64, attn_implementation="eager").eval()
    generator = torch.Generator().manual_seed(1)
    V = config.get_text_config().vocab_size - (3 if config.model_type == "gemma3" else 0)
    ids = torch.randint(3, V, (1, T), generator=generator)
    ids[0, 0] = 1
    cache = record(model, ids)
    golden = {f"plain/{k}": v for k, v in cache.items()} | {"plain/ids": ids.int()}

    # One row padded on the left, one on the right: only the mask tells them apart from tokens.
    short = 12
    padded = torch.randint(3, V, (2, short), generator=generator)
    mask = torch.ones(2, short, dtype=torch.long)
    mask[0, :5] = 0
    mask[1, 9:] = 0
    # In float32: transformers' mask value for float64 becomes -inf in its float32 softmax, and a row without any token NaN.
    single = kind.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    inner = record(single, padded, mask)
    last = [hook for hook in inner if hook.startswith("blocks")][-1]
    golden |= {"padded/ids": padded.int(), "padded/mask": mask.to(torch.uint8), **{f"padded/{k}": inner[k] for k in (last, "logits") if k in inner}}

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
          f"attention entropy / log T: {shown}, rms of the last hook {cache[last].pow(2).mean().sqrt():.2f}")
    assert max(entropies) < 0.8, "attention is too flat to notice an error in it"
    assert size < 200 * 1024


if __name__ == "__main__":
    # With --kept only what PyTorch computes is made anew, with the models that are there.
    kept = "--kept" in sys.argv
    chosen = [name for name in sys.argv[1:] if name != "--kept"] or MODELS
    for name in chosen:
        make(name, *MODELS[name], kept)
