"""The bundled model with interventions made by hand in PyTorch forward hooks: h' = h + (z' - z) d, times the token's std."""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

sys.path.append(str(Path(__file__).parents[1]))
from demo import DNA, LATE, ROOT

torch.set_grad_enabled(False)
torch.manual_seed(0)
model = AutoModelForCausalLM.from_pretrained(ROOT / "demo/model", dtype=torch.float32)
tokenizer = AutoTokenizer.from_pretrained(ROOT / "demo/model")
BOS = model.config.bos_token_id
D = model.config.hidden_size
# The first one without a near tie in any case.
TEXTS = ["The meeting was 12 * 3 = 36 ACGT", "The meeting was 11 * 3 = 33 ACGT", "The river was 12 * 4 = 48 GATTA", "We met at 10 + 3 = 13 ACGT"]
OTHER = "страницы: ошибка чтения файла и"
COLUMNS = list(range(0, D, 8))
LOGITS_OF = list(range(0, 8192, 256))
NEW = 12


def numbers(seed, shape, scale):
    """The same numbers as in exactness.test.ts: no weights have to be stored."""
    i = np.arange(1, int(np.prod(shape)) + 1, dtype=np.float64)
    x = np.sin(i * 12.9898 + seed) * 43758.5453
    return torch.tensor(((x - np.floor(x) - 0.5) * 2 * scale).astype(np.float32).reshape(shape))


def made(seed, F, hook, Dout=D, **kind):
    return dict(
        hook=hook, F=F, W_enc=numbers(seed, (F, D), 0.3), b_enc=numbers(seed + 1, (F,), 0.1),
        W_dec=numbers(seed + 2, (F, Dout), 0.15), b_dec=numbers(seed + 3, (Dout,), 0.1), **kind,
    )


weights = load_file(ROOT / f"demo/saes/{LATE}/sae_weights.safetensors")
weights = {name: tensor.float() for name, tensor in weights.items()}
cfg = json.loads((ROOT / f"demo/saes/{LATE}/cfg.json").read_text())
SAES = {
    "topk": dict(hook=LATE, F=cfg["d_sae"], W_enc=weights["W_enc"].T, b_enc=weights["b_enc"], W_dec=weights["W_dec"], b_dec=weights["b_dec"], K=cfg["k"]),
    "jumprelu": made(1, 256, "blocks.1.hook_resid_post", threshold=numbers(9, (256,), 1).abs() * 2),
    "layer": made(20, 256, "blocks.1.hook_resid_post", K=24, norm="layer"),
    "norm": made(30, 256, "blocks.0.hook_mlp_out", K=24, norm="norm"),
    "gated": made(40, 256, "blocks.1.hook_attn_out", r_mag=numbers(44, (256,), 0.3), b_mag=numbers(45, (256,), 0.3)),
    "transcoder": made(50, 192, "blocks.1.hook_resid_mid", out="blocks.1.hook_mlp_out", threshold=numbers(55, (192,), 1).abs()),
}


class NearTie(Exception):
    pass


def encode(sae, x):
    """-> z [T,F], and how a row of the output is scaled back."""
    shift, factor = 0, 1
    if sae.get("norm") == "layer":
        shift, factor = x.mean(-1, keepdim=True), x.std(-1, keepdim=True)
        x = (x - shift) / (factor + 1e-5)
    if sae.get("norm") == "norm":
        factor = x.norm(dim=-1, keepdim=True) / D**0.5
        x = x / factor
    if "out" not in sae:
        x = x - sae["b_dec"]
    c = x @ sae["W_enc"].T
    pre = c + sae["b_enc"]
    if "K" in sae:
        top = pre.topk(sae["K"] + 1)
        gap = ((top.values[:, -2] - top.values[:, -1]) / top.values[:, 0]).min()
        if gap <= 1e-6:
            raise NearTie(f"K-th latent {gap}")
        z = torch.zeros_like(pre).scatter(-1, top.indices[:, :-1], top.values[:, :-1].relu())
    elif "r_mag" in sae:
        z = torch.where(pre > 0, (c * sae["r_mag"].exp() + sae["b_mag"]).relu(), 0.0)
    else:
        z = torch.where(pre > sae["threshold"], pre, 0.0)
    return z, shift, factor


CHANGES = {
    "add": lambda z, v: z + v,
    "clamp": lambda z, v: torch.full_like(z, v),
    "scale": lambda z, v: z * v,
    "zero": lambda z, v: torch.zeros_like(z),
    "at-least": lambda z, v: z.clamp(min=v),
    "at-most": lambda z, v: z.clamp(max=v),
    "suppress": lambda z, v: torch.where(z > 0, 0.0, z),
}


def run(ids, edits, prompt, cache=None, other=None):
    """Logits [T,V] with the edits in place; `cache` gets what stands at the hooks that are named there."""
    kept = {}  # z of every SAE, read before its hook is changed
    live = {}  # values of hooks, for transcoders
    T = ids.shape[1]
    at = torch.arange(T)

    def change(hook, h):
        h = h[0]
        mine = [e for e in edits if (SAES[e["sae"]].get("out") or SAES[e["sae"]]["hook"] if "sae" in e else e["hook"]) == hook]
        sources = {name: encode(sae, h) for name, sae in SAES.items() if sae["hook"] == hook and "out" not in sae}
        for name, sae in SAES.items():
            if sae.get("out") == hook:
                sources[name] = encode(sae, live[sae["hook"]])
        kept.update(sources)
        base, delta = h.clone(), torch.zeros_like(h)
        for e in mine:
            on = ids[0] != BOS
            if e.get("positions") == "generated":
                on &= at >= prompt
            elif isinstance(e.get("positions"), list):
                inside = torch.zeros(T, dtype=torch.bool)
                for start, end in e["positions"]:
                    start = start + prompt if start < 0 else start
                    end = T if end is None else end + prompt if end < 0 else end
                    inside |= (at >= start) & (at < end)
                on &= inside
            if "sae" in e:
                sae = SAES[e["sae"]]
                z, shift, factor = sources[e["sae"]]
                if not e.get("keepError", True) or e["mode"] == "splice":
                    base = torch.where(on[:, None], (z @ sae["W_dec"] + sae["b_dec"]) * factor + shift, base)
                if e["mode"] == "splice":
                    continue
                zj, d = z[:, e["latent"]], sae["W_dec"][e["latent"]]
            else:
                v = numbers(e["vector"], (D,), 1)
                d, factor = v if e["mode"] == "add" else v / v.norm(), 1
                zj = h @ d
            if e["mode"] == "patch":
                new = other[e["sae"]][:, e["latent"]]
                on &= at < len(new)
                y = torch.cat([new, torch.zeros(max(0, T - len(new)))])[:T]
            else:
                y = CHANGES[e["mode"]](zj, e.get("value", 0.0))
            if "when" in e:
                w = e["when"]
                seen = kept[w.get("sae", e.get("sae"))][0][:, w["latent"]]
                on = on & (seen > w["above"] if "above" in w else seen < w["below"])
            delta += (on * (y - zj))[:, None] * factor * d
        out = base + delta
        live[hook] = out
        if cache is not None and hook in cache:
            cache[hook] = out
        return out[None]

    handles = []
    for i, layer in enumerate(model.model.layers):
        def attn(m, args, out, i=i):
            return (change(f"blocks.{i}.hook_attn_out", out[0]), *out[1:])

        def mid(m, args, i=i):
            live[f"blocks.{i}.hook_resid_mid"] = args[0][0]

        handles += [
            layer.self_attn.register_forward_hook(attn),
            layer.post_attention_layernorm.register_forward_pre_hook(mid),
            layer.mlp.register_forward_hook(lambda m, a, out, i=i: change(f"blocks.{i}.hook_mlp_out", out)),
            layer.register_forward_hook(lambda m, a, out, i=i: change(f"blocks.{i}.hook_resid_post", out)),
        ]
    try:
        logits = model(ids).logits[0]
    finally:
        for handle in handles:
            handle.remove()
    return logits, kept


def make(text):
    ids = torch.tensor([[BOS] + tokenizer.encode(text, add_special_tokens=False)])
    other_ids = torch.tensor([[BOS] + tokenizer.encode(OTHER, add_special_tokens=False)])
    plain, z = run(ids, [], ids.shape[1])
    _, other = run(other_ids, [], other_ids.shape[1])
    other = {name: values[0] for name, values in other.items()}


    def busy(name, rank=0):
        """A latent that is on at some tokens, not at all."""
        share = (z[name][0][1:] > 0).float().mean(0)
        return int(((share - 0.5).abs() + 1e-4 * torch.arange(len(share))).argsort()[rank])


    t, j, l, n, g, c = (busy(name) for name in ("topk", "jumprelu", "layer", "norm", "gated", "transcoder"))
    LIVE = int(other["topk"][1:].sum(0).argmax())
    half = lambda name, latent: float(z[name][0][1:, latent].sort().values[len(z[name][0]) // 2]) + 0.01
    CASES = {
        "TopK, clamp": [dict(sae="topk", latent=t, mode="clamp", value=5.0)],
        "TopK, several at one hook": [
            dict(sae="topk", latent=t, mode="scale", value=-2.0),
            dict(sae="topk", latent=busy("topk", 1), mode="zero"),
            dict(sae="topk", latent=7, mode="add", value=4.0),
            dict(sae="topk", latent=busy("topk", 2), mode="at-most", value=1.0),
            dict(sae="topk", latent=DNA, mode="at-least", value=3.0),
        ],
        "JumpReLU, clamp": [dict(sae="jumprelu", latent=j, mode="clamp", value=3.0)],
        "JumpReLU, suppress and at-least": [
            dict(sae="jumprelu", latent=j, mode="suppress"),
            dict(sae="jumprelu", latent=busy("jumprelu", 1), mode="at-least", value=2.5),
        ],
        "LN-input, clamp": [dict(sae="layer", latent=l, mode="clamp", value=3.0)],
        "LN-input, add": [dict(sae="layer", latent=l, mode="add", value=2.0)],
        "LN-input, spliced and clamped": [dict(sae="layer", latent=l, mode="clamp", value=3.0, keepError=False)],
        "norm-input, clamp": [dict(sae="norm", latent=n, mode="clamp", value=3.0)],
        "gated, clamp": [dict(sae="gated", latent=g, mode="clamp", value=3.0)],
        "TopK, spliced": [dict(sae="topk", mode="splice")],
        "transcoder, clamp": [dict(sae="transcoder", latent=c, mode="clamp", value=2.0)],
        "transcoder, in place of the MLP": [dict(sae="transcoder", latent=c, mode="zero", keepError=False)],
        "a rule over layers": [
            dict(sae="topk", latent=7, mode="clamp", value=9.0, when=dict(sae="jumprelu", latent=j, above=half("jumprelu", j))),
            dict(sae="topk", latent=9, mode="clamp", value=9.0, when=dict(latent=t, below=half("topk", t))),
        ],
        "three layers": [
            dict(sae="norm", latent=n, mode="scale", value=2.0),
            dict(sae="layer", latent=l, mode="clamp", value=2.0),
            dict(sae="topk", latent=DNA, mode="clamp", value=20.0),
        ],
        "directions": [
            dict(vector=70, hook="blocks.1.hook_resid_post", mode="zero"),
            dict(vector=71, hook=LATE, mode="add", value=0.5),
        ],
        "a latent of another run": [dict(sae="topk", latent=LIVE, mode="patch", text=OTHER)],
        "generated tokens": [dict(sae="topk", latent=DNA, mode="clamp", value=40.0, positions="generated")],
        "ranges": [dict(sae="topk", latent=DNA, mode="clamp", value=40.0, positions=[[1, 3], [-2, None]])],
    }

    out = {"ids": ids[0].tolist(), "columns": COLUMNS, "logitsOf": LOGITS_OF, "cases": {}}
    for name, edits in CASES.items():
        hook = next((SAES[e["sae"]].get("out") or SAES[e["sae"]]["hook"]) if "sae" in e else e["hook"] for e in reversed(edits))
        cache = {hook: None}
        logits, _ = run(ids, edits, ids.shape[1], cache, other)
        written = ids.clone()
        for _ in range(NEW):
            step, _ = run(written, edits, ids.shape[1], None, other)
            best = step[-1].topk(2)
            if best.values[0] - best.values[1] <= 2e-4:
                raise NearTie(f"{name}: two tokens")
            written = torch.cat([written, best.indices[:1][None]], 1)
        h = cache[hook]
        out["cases"][name] = {
            "edits": edits, "hook": hook,
            "rows": [[float(f"{v:.8g}") for v in row] for row in h[:, COLUMNS].tolist()],
            "logits": [float(f"{v:.8g}") for v in logits[-1, LOGITS_OF].tolist()],
            "text": written[0, ids.shape[1]:].tolist(),
        }
        moved = (logits[-1] - plain[-1]).abs().max().item()
        assert moved > 1e-3 or "generated" in name, (name, moved)
        print(f"{name:34} logits moved by {moved:.3f}  {tokenizer.decode(written[0, ids.shape[1]:])!r}")
    return out


for text in TEXTS:
    try:
        out = make(text)
        break
    except NearTie as tie:
        print(f"near tie, another text: {tie}")
else:
    raise SystemExit("every text has a near tie; add one to TEXTS")

golden = ROOT / "test/golden/steer/exactness.json"
golden.write_text(json.dumps(out, ensure_ascii=False) + "\n")
print(golden.stat().st_size)
