"""Whether the goldens' hooks are TransformerLens's: the same names, the same places, the same values, for the unprocessed model.

    venv/bin/pip install transformer-lens; venv/bin/python test/oracles/models/check_hooks.py

Tiny models of one family each are given to HookedTransformer or HookedEncoder through TransformerLens's own conversion of weights;
what it caches is compared with golden.safetensors. Both compute in float32 at best, so the bound is loose; a hook in another place is off by
its whole size. Models whose positions are stretched in a way that TransformerLens does not have are left to transformers alone.
"""

import json
import warnings

import torch
from safetensors.torch import load_file
from transformer_lens import HookedEncoder, HookedTransformer, HookedTransformerConfig
from transformer_lens.loading_from_pretrained import (
    convert_bert_weights, convert_gemma_weights, convert_gpt2_weights, convert_llama_weights, convert_mistral_weights, convert_neox_weights,
    convert_qwen3_weights,
)
from transformers import BertForPreTraining

from make_models import KINDS, OUT

warnings.filterwarnings("ignore")

RMS = dict(normalization_type="RMS", gated_mlp=True, final_rms=True, positional_embedding_type="rotary", rotary_adjacent_pairs=False)


def shape(c):
    return dict(
        d_model=c.hidden_size, n_layers=c.num_hidden_layers, n_heads=c.num_attention_heads, d_head=getattr(c, "head_dim", None) or c.hidden_size // c.num_attention_heads,
        d_vocab=c.vocab_size, n_ctx=c.max_position_embeddings,
    )


def gated(c, architecture, **changes):
    base = shape(c)
    return {
        **base, **RMS, "d_mlp": c.intermediate_size, "eps": c.rms_norm_eps, "act_fn": "silu", "n_key_value_heads": c.num_key_value_heads,
        "rotary_dim": base["d_head"], "original_architecture": architecture, **changes,
    }


def gemma(c, architecture, **changes):
    return gated(
        c, architecture, act_fn="gelu_pytorch_tanh", use_attn_scale=True, attn_scale=c.query_pre_attn_scalar ** 0.5,
        attn_types=["local" if t == "sliding_attention" else "global" for t in c.layer_types], use_local_attn=True, window_size=c.sliding_window,
        output_logits_soft_cap=c.final_logit_softcapping, use_normalization_before_and_after=True, **changes,
    )


def gemma2(c):
    return gemma(c, "Gemma2ForCausalLM", rotary_base=c.rope_parameters["rope_theta"], attn_scores_soft_cap=c.attn_logit_softcapping)


def gemma3(c):
    whole, local = c.rope_parameters["full_attention"], c.rope_parameters["sliding_attention"]
    return gemma(
        c, "Gemma3ForCausalLM", use_qk_norm=True, rotary_base=whole["rope_theta"], rotary_scaling_factor=whole["factor"], rotary_base_local=local["rope_theta"],
    )


def gpt2(c):
    return dict(
        shape(c), d_mlp=4 * c.n_embd, eps=c.layer_norm_epsilon, act_fn="gelu_new", normalization_type="LN", original_architecture="GPT2LMHeadModel",
    )


def neox(c):
    return dict(
        shape(c), d_mlp=c.intermediate_size, eps=c.layer_norm_eps, act_fn=c.hidden_act, normalization_type="LN", positional_embedding_type="rotary",
        rotary_adjacent_pairs=False, rotary_dim=int(c.rope_parameters["partial_rotary_factor"] * c.hidden_size // c.num_attention_heads),
        rotary_base=c.rope_parameters["rope_theta"], parallel_attn_mlp=c.use_parallel_residual, original_architecture="GPTNeoXForCausalLM",
    )


def bert(c):
    return dict(
        shape(c), d_mlp=c.intermediate_size, eps=c.layer_norm_eps, act_fn="gelu", attention_dir="bidirectional", original_architecture="BertForMaskedLM", device="cpu",
    )


MODELS = {
    "gpt2-new": (gpt2, convert_gpt2_weights),
    "llama-untied": (lambda c: gated(c, "LlamaForCausalLM", rotary_base=10000.0), convert_llama_weights),
    "neox-parallel": (neox, convert_neox_weights),
    "mistral-window": (
        lambda c: gated(c, "MistralForCausalLM", rotary_base=10000.0, use_local_attn=True, window_size=c.sliding_window, attn_types=["local"] * c.num_hidden_layers),
        convert_mistral_weights,
    ),
    "qwen3-bf16": (lambda c: gated(c, "Qwen3ForCausalLM", rotary_base=10000.0, use_qk_norm=True), convert_qwen3_weights),
    "gemma2": (gemma2, convert_gemma_weights),
    "gemma3-text": (gemma3, convert_gemma_weights),
    "bert": (bert, convert_bert_weights),
}

for name, (config_of, convert) in MODELS.items():
    folder = OUT / name
    kind = json.loads((folder / "config.json").read_text())["model_type"]
    hf = (BertForPreTraining if kind == "bert" else KINDS[kind]).from_pretrained(folder, dtype=torch.float32).eval()
    config = HookedTransformerConfig(**{"device": "cpu", "seed": 0, **config_of(hf.config)})
    model = (HookedEncoder if kind == "bert" else HookedTransformer)(config)
    state = convert(hf, config)
    if kind == "bert":
        model.load_state_dict(state, strict=False)
    else:
        # What from_pretrained_no_processing does.
        model.load_and_process_state_dict(state, fold_ln=False, center_writing_weights=False, center_unembed=False, fold_value_biases=False, refactor_factored_attn_matrices=False)
    golden = load_file(folder / "golden.safetensors")
    logits, cache = model.run_with_cache(golden["plain/ids"].long())
    # mlp.hook_in is a hook of TransformerBridge, not of HookedTransformer.
    names = [key[6:] for key in golden if key.startswith("plain/") and key not in ("plain/ids", "plain/logits") and not key.endswith("mlp.hook_in")]
    errors = {}
    for hook in names:
        assert hook in cache, f"{name}: TransformerLens has no {hook}"
        found, wanted = cache[hook], golden[f"plain/{hook}"]
        found = found.expand_as(wanted) if found.dim() == wanted.dim() else found
        errors[hook] = ((found - wanted).abs().max() / wanted.pow(2).mean().sqrt()).item()
    if kind != "bert":
        wanted = golden["plain/logits"]
        errors["logits"] = ((logits - wanted).abs().max() / wanted.pow(2).mean().sqrt()).item()
    worst = max(errors, key=errors.get)
    assert errors[worst] < 1e-3, f"{name}: {worst} is off by {errors[worst]:.1e} of its size"
    resid = {h for h in cache if h.endswith(("resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out"))}
    assert resid <= set(names), f"{name}: TransformerLens also has {resid - set(names)}"
    if kind == "gpt2":
        # What test/centred-weights.test.ts takes for granted: center_writing_weights takes the mean off the stream, and off nothing else.
        model.load_and_process_state_dict(convert(hf, config), fold_ln=False, center_writing_weights=True, center_unembed=False, fold_value_biases=False)
        _, centred = model.run_with_cache(golden["plain/ids"].long())
        for hook in names:
            stream = hook.endswith(("embed", "resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out"))
            wanted = golden[f"plain/{hook}"]
            wanted = wanted - wanted.mean(-1, keepdim=True) if stream else wanted
            error = ((centred[hook].expand_as(wanted) - wanted).abs().max() / wanted.pow(2).mean().sqrt()).item()
            assert error < 1e-3, f"{name}, centred weights: {hook} is off by {error:.1e} of its size"
        print(f"{name}: with centred weights the stream is without its mean")
    print(f"{name}: {len(errors)} values as in TransformerLens, the worst {worst}, within {errors[worst]:.1e}")
