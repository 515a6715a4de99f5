"""The bundled model with the bundled SAEs spliced in, by SAELens's HookedSAETransformer."""

import json
import sys
from pathlib import Path

import torch
from sae_lens import SAE, HookedSAETransformer
from transformer_lens import HookedTransformerConfig
from transformer_lens.pretrained.weight_conversions import convert_llama_weights
from transformers import AutoModelForCausalLM, AutoTokenizer

sys.path.append(str(Path(__file__).parents[1]))
from demo import GREEK, DNA, EARLY as FIRST, LATE as SECOND, ROOT, largest

# Of each line the first text without a near tie.
TEXTS = [
    ["The meeting will be held on the 4th of March.", "The meeting was held on the 5th of May.", "We met on the 6th of June."],
    ["Το βιβλίο είναι πάνω στο τραπέζι.", "Δεν ξέρω τι να κάνω τώρα.", "Η συνάντηση θα γίνει αύριο."],
    ['{"id": 7, "name": "salt", "price": 3.99}', '{"id": 8, "name": "oil", "price": 2.50}', '{"id": 9, "name": "rice"}'],
]
# Latents of the second SAE that are changed: Greek text, and one that is off in most places.
ABLATED, RAISED, AMOUNT = GREEK, DNA, round(largest(DNA) / 4)
LOGITS_OF = list(range(0, 8192, 256))

torch.manual_seed(0)
torch.set_grad_enabled(False)
hf = AutoModelForCausalLM.from_pretrained(ROOT / "demo/model", dtype=torch.float32)
tokenizer = AutoTokenizer.from_pretrained(ROOT / "demo/model")
c = hf.config
cfg = HookedTransformerConfig(
    n_layers=c.num_hidden_layers, d_model=c.hidden_size, n_heads=c.num_attention_heads, d_head=c.head_dim,
    n_key_value_heads=c.num_key_value_heads, d_mlp=c.intermediate_size, d_vocab=c.vocab_size, n_ctx=c.max_position_embeddings,
    act_fn="silu", gated_mlp=True, normalization_type="RMS", final_rms=True, eps=c.rms_norm_eps,
    positional_embedding_type="rotary", rotary_dim=c.head_dim, rotary_base=10000, rotary_adjacent_pairs=False,
    original_architecture="LlamaForCausalLM", dtype=torch.float32, device="cpu",
)
model = HookedSAETransformer(cfg)
model.load_state_dict(convert_llama_weights(hf, cfg), strict=False)
saes = {hook: SAE.load_from_disk(str(ROOT / "demo/saes" / hook)) for hook in (FIRST, SECOND)}
BOS = c.bos_token_id


def losses(logits, ids):
    return torch.nn.functional.cross_entropy(logits[0, :-1], ids[0, 1:], reduction="none")


def encoded(text):
    return torch.tensor([[BOS] + tokenizer.encode(text, add_special_tokens=False)])


def has_ties(ids):
    """A K-th latent that is almost the next one would make the comparison a matter of rounding."""
    _, cache = model.run_with_cache(ids)
    for hook, sae in saes.items():
        x = cache[hook][0]
        pre = torch.relu((x - sae.b_dec) @ sae.W_enc + sae.b_enc)
        top = pre.topk(sae.cfg.k + 1).values
        gap = (top[:, -2] - top[:, -1]).min() / top[:, -2].max()
        if gap <= 1e-5:
            print(f"near tie at {hook}: {gap}")
            return True
    return False


def change(latent, to):
    def hook(z, hook):
        z[..., latent] = to(z[..., latent])
        return z

    return [(f"{SECOND}.hook_sae_acts_post", hook)]


CASES = {
    "first": dict(at=[FIRST]),
    "both": dict(at=[FIRST, SECOND]),
    "both, special tokens as they are": dict(at=[FIRST, SECOND], exclude=True),
    "both, error kept": dict(at=[FIRST, SECOND], error=True),
    "ablated": dict(at=[SECOND], edit=change(ABLATED, lambda z: 0 * z), exclude=True),
    "ablated, error kept": dict(at=[SECOND], error=True, edit=change(ABLATED, lambda z: 0 * z), exclude=True),
    "raised, error kept": dict(at=[FIRST, SECOND], error=True, edit=change(RAISED, lambda z: z + AMOUNT)),
}

out = {"ablated": ABLATED, "raised": RAISED, "amount": AMOUNT, "logitsOf": LOGITS_OF, "texts": []}
for texts in TEXTS:
    text = next(text for text in texts if not has_ties(encoded(text)))
    ids = encoded(text)
    clean = losses(model(ids), ids)
    assert torch.allclose(clean, losses(hf(ids).logits, ids), atol=1e-4), "TransformerLens has another model"
    entry = {"text": text, "ids": ids[0].tolist(), "clean": clean.tolist(), "cases": {}}
    for name, case in CASES.items():
        with model.saes(
            saes=[saes[hook] for hook in case["at"]],
            use_error_term=case.get("error", False),
            exclude_special_tokens=[BOS] if case.get("exclude") else False,
        ):
            logits = model.run_with_hooks(ids, fwd_hooks=case.get("edit", []))
        entry["cases"][name] = {"loss": losses(logits, ids).tolist(), "logits": logits[0, -1, LOGITS_OF].tolist()}
    for name in ("ablated, error kept", "raised, error kept"):
        print(text[:20], name, (torch.tensor(entry["cases"][name]["loss"]) - clean).abs().max().item())
    out["texts"].append(entry)

golden = ROOT / "test/golden/hooked/run-with-saes.json"
golden.write_text(json.dumps(out, ensure_ascii=False) + "\n")
print(golden, golden.stat().st_size)
