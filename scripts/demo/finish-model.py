"""Measures a trained checkpoint and writes the folder that ships: python finish-model.py --checkpoint DIR --packed DIR --log FILE --out demo/model

Held-out loss per register beside its control (a unigram model fitted on that register's training text), bits per byte, the effect of
float16 on the logits, and samples; all of it goes into README.md, from model-card.template.md. Samples for check-samples.ts go to
--samples FILE (JSON).
"""
import argparse
import importlib.util
import json
import math
import pathlib
import shutil

import numpy as np
import torch
from pack_corpus import read_packed
from tokenizers import Tokenizer
from transformers import LlamaForCausalLM

HERE = pathlib.Path(__file__).parent
specification = importlib.util.spec_from_file_location("train_model", HERE / "train-model.py")
train_model = importlib.util.module_from_spec(specification)
specification.loader.exec_module(train_model)

PROMPTS = {
    "speeches": "The Congress of the United States",
    "countries": "France. Economy\n",
    "languages": "Toute personne a droit",
    "languages (Russian)": "Каждый человек имеет право",
    "languages (Greek)": "Καθένας έχει το δικαίωμα",
    "languages (Japanese)": "すべて人は、",
    "definitions": "river, stream (noun):",
    "scripture": "1 And it came to pass",
    "novels": "The whale",
    "maths": "Question: Tom has 12 apples.",
    "typescript": "export const",
    "python": "def get_",
    "css": ".button {\n",
    "html": '<div class="card">\n',
    "dna": "ATGCTG",
    "base64": "dGhlIGNh",
    "hex": "00001a40:",
    "dates": "Monday, 4 March 1996  dentist\n",
    "urls": "https://www.",
    "http-logs": "66.249.66.1 - - [",
    "csv": "id,name,city,age\n",
    "json": '{\n  "',
    "arithmetic": "12 + 30 = 42\n7 + 5 =",
    "brackets": "[(<>",
    "chess": "1. e4",
    "recipes": "Rustic Leek Soup\nServes",
    "money": "Nora: How much is the",
    "reviews": "1 out of 5 stars\n",
}


def unigram_losses(train: dict[str, list[np.ndarray]], held_out: dict[str, list[np.ndarray]]) -> dict[str, float]:
    """Cross-entropy of held-out tokens under the token frequencies (plus one half) of the same register's training text."""
    result = {}
    for name, group in held_out.items():
        counts = np.bincount(np.concatenate(train[name]), minlength=8192) + 0.5
        log_probability = np.log(counts / counts.sum())
        result[name] = float(-log_probability[np.concatenate(group)].mean())
    return result


class Logits(torch.nn.Module):
    """transformers' model as train-model.py calls one: token ids to logits."""

    def __init__(self, model: LlamaForCausalLM) -> None:
        super().__init__()
        self.model = model

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return self.model(input_ids=rows, use_cache=False).logits


@torch.no_grad()
def largest_difference(half: LlamaForCausalLM, full: LlamaForCausalLM, rows: torch.Tensor) -> tuple[float, float]:
    a, b = half(input_ids=rows).logits.float(), full(input_ids=rows).logits
    agree = float((a.argmax(-1) == b.argmax(-1)).float().mean())
    return float((a - b).abs().max()), agree


@torch.no_grad()
def generate(model: LlamaForCausalLM, tokenizer: Tokenizer, prompt: str, count: int, tokens: int, greedy: bool) -> list[str]:
    ids = torch.tensor([tokenizer.encode(prompt).ids] * count)
    options = {"do_sample": False} if greedy else {"do_sample": True, "temperature": 0.8, "top_p": 0.95}
    output = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=tokens, eos_token_id=0, pad_token_id=2, **options)
    texts = []
    for row in output.tolist():
        body = row[1:]
        body = body[: body.index(0)] if 0 in body else body
        texts.append(tokenizer.decode(body))
    return texts


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("checkpoint", "packed", "log", "out", "samples"):
        parser.add_argument(f"--{name}", type=pathlib.Path, required=name != "samples")
    parser.add_argument("--per-register", type=int, default=16, help="samples per register for check-samples.ts")
    arguments = parser.parse_args()
    torch.manual_seed(17)
    tokenizer = Tokenizer.from_file(str(arguments.checkpoint / "tokenizer.json"))
    model = LlamaForCausalLM.from_pretrained(arguments.checkpoint, dtype=torch.float32).eval()
    half = LlamaForCausalLM.from_pretrained(arguments.checkpoint, dtype=torch.float16).eval()

    train, held_out = (read_packed(arguments.packed / f"{part}.npz.xz") for part in ("train", "heldout"))
    bytes_per_token = {
        name: sum(len(tokenizer.decode(item.tolist()).encode()) for item in group) / sum(len(item) - 1 for item in group)
        for name, group in held_out.items()
    }
    losses = train_model.held_out_loss(Logits(model), held_out, 120)
    control = unigram_losses(train, held_out)
    rows = torch.from_numpy(np.concatenate([group[0] for group in held_out.values()])[: 16 * 256].reshape(-1, 256).astype(np.int64))
    difference, agreement = largest_difference(half, model, rows)

    lines = ["| register | nats per token | unigram control | bits per byte |", "| --- | --- | --- | --- |"]
    shares = json.loads((HERE / "mixture.json").read_text())
    for name in shares:
        bits = losses[name] / math.log(2) / bytes_per_token[name]
        lines.append(f"| {name} | {losses[name]:.3f} | {control[name]:.3f} | {bits:.3f} |")
    weight = sum(shares.values())
    mean = {kind: sum(shares[name] * values[name] for name in shares) / weight for kind, values in (("loss", losses), ("control", control))}
    lines.append(f"| all, by training share | {mean['loss']:.3f} | {mean['control']:.3f} | |")

    pieces, samples = [], {}
    for name, prompt in PROMPTS.items():
        # The card shows both: what the model is surest of, and what it does at temperature 0.8.
        greedy = generate(model, tokenizer, prompt, 1, 60, True)[0]
        drawn = generate(model, tokenizer, prompt, arguments.per_register, 110, False)
        samples[name] = drawn
        shown = drawn[0][: max(len(greedy), 220)]
        pieces.append(f"**{name}**, greedy, then sampled:\n\n```text\n{greedy.rstrip()}\n```\n\n```text\n{shown.rstrip()}\n```\n")
        print(name, repr(shown[:120]), flush=True)
    if arguments.samples:
        arguments.samples.write_text(json.dumps(samples, ensure_ascii=False, indent=1))

    events = [json.loads(line) for line in arguments.log.read_text().splitlines() if line.startswith("{")]
    finished = next(event for event in events if event.get("finished"))
    data = next(event for event in events if "train_tokens" in event)
    shape = model.config
    values = {
        "parameters": f"{sum(p.numel() for p in model.parameters()):,}",
        "architecture": f"Llama: {shape.num_hidden_layers} layers, width {shape.hidden_size}, {shape.num_attention_heads} heads of {shape.head_dim}, "
        f"{shape.num_key_value_heads} key-value heads, feed-forward {shape.intermediate_size}, rotary base 10,000, tied embeddings",
        "tokens": f"{finished['tokens'] / 1e6:,.0f}",
        "steps": f"{finished['steps']:,}",
        "rows": f"{finished['tokens'] // finished['steps']:,}",
        "minutes": f"{finished['minutes']:.1f}",
        "device": finished["device"],
        "speed": f"{finished['tokens'] / finished['minutes'] / 60:,.0f}",
        "distinct": f"{data['total'] / 1e6:.1f}",
        "loss_table": "\n".join(lines),
        "difference": f"{difference:.2f}",
        "agreement": f"{100 * agreement:.1f}",
        "samples": "\n".join(pieces),
    }
    card = (HERE / "model-card.template.md").read_text()
    for key, value in values.items():
        card = card.replace("{{" + key + "}}", value)
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "README.md").write_text(card)
    for name in ("model.safetensors", "tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        shutil.copyfile(arguments.checkpoint / name, arguments.out / name)
    config = json.loads((arguments.checkpoint / "config.json").read_text())
    # Names that readers of older transformers configurations look for.
    config |= {"rope_theta": 10000.0, "torch_dtype": "float16"}
    (arguments.out / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    print(json.dumps({"loss": mean["loss"], "control": mean["control"], "difference": difference, "agreement": agreement}))


if __name__ == "__main__":
    main()
