"""Pre-trains the demo model: python train-model.py --corpus DIR --tokenizer DIR --out DIR --minutes 75

A Llama of some 3 to 5 million parameters on two CPU cores. Documents are drawn register by register (mixture.json), each after a BOS,
and packed to rows of 256 tokens; every row starts with BOS. There is no mask between documents: the model sees the end of the last one.
The learning rate is a function of elapsed wall-clock time, so that the decay ends when the minutes end, however busy the machine is.
"""
import argparse
import json
import math
import os
import pathlib
import random
import shutil
import time

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from transformers import LlamaConfig, LlamaForCausalLM

CONTEXT = 256
BOS = 0


def read_documents(path: pathlib.Path, tokenizer: Tokenizer, most: int | None = None) -> dict[str, list[np.ndarray]]:
    """Token ids of every document, BOS first, by register; `most` keeps only so many of each, evenly spaced in the file."""
    texts: dict[str, list[str]] = {}
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            document = json.loads(line)
            texts.setdefault(document["register"], []).append(document["text"])
    if most is not None:
        texts = {name: group[:: -(-len(group) // most)] for name, group in texts.items()}
    encoded: dict[str, list[np.ndarray]] = {}
    for register, group in texts.items():
        encoded[register] = [np.array(item.ids, dtype=np.uint16) for item in tokenizer.encode_batch(group)]
    return encoded


class Threads:
    """Chooses one or two threads by what is faster now: on a shared machine two threads that wait for each other are slower than one."""

    PERIOD, TRIAL = 60, 4

    def __init__(self, most: int) -> None:
        self.most, self.current, self.step = most, most, 0
        self.seconds: dict[int, list[float]] = {}

    def before_step(self) -> None:
        phase = self.step % self.PERIOD
        if self.most > 1 and phase < 2 * self.TRIAL:
            self.current = 1 if phase < self.TRIAL else self.most
            if phase == 0:
                self.seconds = {}
        elif self.most > 1 and phase == 2 * self.TRIAL:
            self.current = min(self.seconds, key=lambda count: sum(self.seconds[count][1:]))
        torch.set_num_threads(self.current)

    def after_step(self, seconds: float) -> None:
        self.seconds.setdefault(self.current, []).append(seconds)
        self.step += 1


class Mixture:
    """Endless rows: draws a register by its token share, takes that register's next document, packs."""

    def __init__(self, documents: dict[str, list[np.ndarray]], shares: dict[str, float], seed: int) -> None:
        self.rng = random.Random(seed)
        self.documents = {name: documents[name] for name in shares if documents.get(name)}
        for group in self.documents.values():
            self.rng.shuffle(group)
        self.names = list(self.documents)
        mean = {name: float(np.mean([len(item) for item in group])) for name, group in self.documents.items()}
        # Shares are of tokens; documents differ in length.
        self.weights = [shares[name] / mean[name] for name in self.names]
        self.next = dict.fromkeys(self.names, 0)
        self.rest = np.empty(0, dtype=np.uint16)

    def document(self) -> np.ndarray:
        name = self.rng.choices(self.names, self.weights)[0]
        group = self.documents[name]
        if self.next[name] == len(group):
            self.rng.shuffle(group)
            self.next[name] = 0
        self.next[name] += 1
        return group[self.next[name] - 1]

    def rows(self, count: int) -> torch.Tensor:
        """Rows of CONTEXT tokens, each starting with BOS; a document cut by a row's end goes on after the next row's BOS."""
        need = count * (CONTEXT - 1)
        pieces, have = [self.rest], len(self.rest)
        while have < need:
            pieces.append(self.document())
            have += len(pieces[-1])
        flat = np.concatenate(pieces)
        self.rest = flat[need:]
        body = flat[:need].reshape(count, CONTEXT - 1)
        rows = np.concatenate([np.full((count, 1), BOS, dtype=np.uint16), body], axis=1)
        return torch.from_numpy(rows.astype(np.int64))


def create_model(layers: int) -> LlamaForCausalLM:
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=8192, hidden_size=192, intermediate_size=512, num_hidden_layers=layers, num_attention_heads=6,
            num_key_value_heads=2, max_position_embeddings=CONTEXT, rms_norm_eps=1e-5, rope_theta=10000.0, tie_word_embeddings=True,
            bos_token_id=0, eos_token_id=1, pad_token_id=2, initializer_range=0.02,
        )
    )


def loss_of(model: torch.nn.Module, rows: torch.Tensor, reduction: str = "mean") -> torch.Tensor:
    logits = model(input_ids=rows, use_cache=False).logits[:, :-1]
    return F.cross_entropy(logits.float().reshape(-1, logits.shape[-1]), rows[:, 1:].reshape(-1), reduction=reduction)


@torch.no_grad()
def held_out_loss(model: LlamaForCausalLM, documents: dict[str, list[np.ndarray]], rows_per_register: int, autocast: bool) -> dict[str, float]:
    """Mean loss in nats per token, register by register, on rows packed from held-out documents of that register alone."""
    model.eval()
    result = {}
    for name, group in documents.items():
        flat = np.concatenate(group)
        count = min(rows_per_register, len(flat) // (CONTEXT - 1))
        body = flat[: count * (CONTEXT - 1)].reshape(count, CONTEXT - 1)
        rows = torch.from_numpy(np.concatenate([np.zeros((count, 1), dtype=np.uint16), body], axis=1).astype(np.int64))
        total = 0.0
        for part in rows.split(16):
            with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
                total += float(loss_of(model, part, "sum"))
        result[name] = total / (count * (CONTEXT - 1))
    model.train()
    return result


def save(model: LlamaForCausalLM, tokenizer: pathlib.Path, target: pathlib.Path) -> None:
    """A complete Hugging Face folder in float16; written beside the target, then renamed."""
    fresh = target.with_name(target.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    half = create_model(model.config.num_hidden_layers)
    half.load_state_dict(model.state_dict())
    half.half().save_pretrained(fresh, safe_serialization=True)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(tokenizer / name, fresh / name)
    old = target.with_name(target.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        os.rename(target, old)
    os.rename(fresh, target)
    shutil.rmtree(old, ignore_errors=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--corpus", type=pathlib.Path, required=True)
    parser.add_argument("--tokenizer", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--minutes", type=float, default=75)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--rows", type=int, default=24, help="rows of 256 tokens per step")
    parser.add_argument("--learning-rate", type=float, default=2.5e-3)
    parser.add_argument("--warmup", type=float, default=0.01, help="share of the time")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--float32", action="store_true")
    parser.add_argument("--measure", type=int, default=0, help="only time this many steps")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    threads = Threads(arguments.threads)
    torch.manual_seed(17)
    here = pathlib.Path(__file__).parent
    shares = json.loads((here / "mixture.json").read_text())
    tokenizer = Tokenizer.from_file(str(arguments.tokenizer / "tokenizer.json"))
    held_out = read_documents(arguments.corpus / "heldout.jsonl", tokenizer)
    train = held_out if arguments.measure else read_documents(arguments.corpus / "train.jsonl", tokenizer)
    counts = {name: sum(map(len, group)) for name, group in train.items()}
    print(json.dumps({"train_tokens": counts, "total": sum(counts.values()), "held_out": sum(sum(map(len, g)) for g in held_out.values())}), flush=True)
    mixture = Mixture(train, shares, seed=17)
    model = create_model(arguments.layers)
    matrices = [p for p in model.parameters() if p.dim() >= 2]
    others = [p for p in model.parameters() if p.dim() < 2]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}],
        lr=arguments.learning_rate, betas=(0.9, 0.95), fused=True,
    )
    print(json.dumps({"parameters": sum(p.numel() for p in model.parameters())}), flush=True)
    step_model = torch.compile(model) if arguments.compile else model
    autocast = not arguments.float32
    start = time.monotonic()
    budget = arguments.minutes * 60
    next_save, next_evaluation, tokens, step = 300.0, 600.0, 0, 0
    since, since_tokens = start, 0
    running = math.nan
    while True:
        elapsed = time.monotonic() - start
        done = elapsed / budget
        if done >= 1 or (arguments.measure and step == arguments.measure):
            break
        threads.before_step()
        began = time.monotonic()
        # Warm-up, then a straight line to zero.
        scale = min(done / arguments.warmup, 1.0) * min((1 - done) / (1 - arguments.warmup), 1.0) + 1e-3
        for group in optimizer.param_groups:
            group["lr"] = arguments.learning_rate * scale
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            loss = loss_of(step_model, mixture.rows(arguments.rows))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        threads.after_step(time.monotonic() - began)
        step += 1
        tokens += arguments.rows * (CONTEXT - 1)
        value = loss.item()
        running = value if math.isnan(running) else 0.98 * running + 0.02 * value
        if step in (1, 3, 10) or step % 50 == 0:
            now = time.monotonic()
            speed = (tokens - since_tokens) / (now - since)
            since, since_tokens = now, tokens
            print(json.dumps({"step": step, "tokens": tokens, "loss": round(running, 4), "tokens_per_s": round(speed), "threads": threads.current, "minutes": round((now - start) / 60, 2)}), flush=True)
        if arguments.measure:
            continue
        if elapsed >= next_save:
            save(model, arguments.tokenizer, arguments.out)
            next_save = elapsed + 300
        if elapsed >= next_evaluation:
            losses = held_out_loss(model, held_out, 16, autocast)
            print(json.dumps({"held_out": {name: round(value, 3) for name, value in losses.items()}, "minutes": round(elapsed / 60, 1)}), flush=True)
            next_evaluation = elapsed + 600
    if arguments.measure:
        return
    save(model, arguments.tokenizer, arguments.out)
    with torch.no_grad():
        rounded = LlamaForCausalLM.from_pretrained(arguments.out, dtype=torch.float32)
        rows = mixture.rows(8)
        first, second = model(input_ids=rows).logits, rounded(input_ids=rows).logits
        print(json.dumps({"float16_weights": {"largest_logit_difference": float((first - second).abs().max()), "loss_before": loss_of(model, rows).item(), "loss_after": loss_of(rounded, rows).item()}}), flush=True)
    print(json.dumps({"finished": True, "tokens": tokens, "steps": step, "minutes": (time.monotonic() - start) / 60}), flush=True)


if __name__ == "__main__":
    main()
