"""Pre-trains the demo model: python train-model.py --packed DIR --tokenizer DIR --out DIR --minutes 8 [--device cpu --rows 16]

A Llama of 8 million parameters (llama.py). Documents are drawn register by register (mixture.json), each after a BOS, and packed to rows
of 256 tokens; every row starts with BOS. There is no mask between documents: the model sees the end of the last one. Registers of real text
are seen dozens of times on a large GPU, so there is dropout. The learning rate is a function of elapsed wall-clock time, so that the decay
ends when the minutes end, however fast the machine is.
"""
import argparse
import json
import os
import pathlib
import queue
import shutil
import threading
import time

import numpy as np
import torch
import torch.nn.functional as F
from llama import Llama, Shape, check, to_hugging_face
from pack_corpus import read_packed

CONTEXT = 256
BOS = 0


class Mixture:
    """Endless rows: draws registers by their token shares, takes each register's next document, packs."""

    def __init__(self, documents: dict[str, list[np.ndarray]], shares: dict[str, float], seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.groups = [documents[name] for name in shares if documents.get(name)]
        mean = np.array([np.mean([len(item) for item in group]) for group in self.groups])
        # Shares are of tokens; documents differ in length.
        weights = np.array([share for name, share in shares.items() if documents.get(name)]) / mean
        self.weights, self.length = weights / weights.sum(), float(mean @ (weights / weights.sum()))
        self.orders = [self.rng.permutation(len(group)) for group in self.groups]
        self.next = [0] * len(self.groups)
        self.rest = np.empty(0, dtype=np.uint16)

    def document(self, register: int) -> np.ndarray:
        if self.next[register] == len(self.groups[register]):
            self.orders[register] = self.rng.permutation(len(self.groups[register]))
            self.next[register] = 0
        self.next[register] += 1
        return self.groups[register][self.orders[register][self.next[register] - 1]]

    def rows(self, count: int) -> torch.Tensor:
        """Rows of CONTEXT tokens, each starting with BOS; a document cut by a row's end goes on after the next row's BOS."""
        need = count * (CONTEXT - 1)
        pieces, have = [self.rest], len(self.rest)
        while have < need:
            draws = self.rng.choice(len(self.groups), size=int((need - have) / self.length) + 1, p=self.weights)
            drawn = [self.document(register) for register in draws]
            pieces += drawn
            have += sum(map(len, drawn))
        flat = np.concatenate(pieces)
        self.rest = flat[need:]
        return torch.from_numpy(with_bos(flat[:need].reshape(count, CONTEXT - 1)))


def with_bos(body: np.ndarray) -> np.ndarray:
    return np.concatenate([np.full((len(body), 1), BOS, dtype=np.int64), body.astype(np.int64)], axis=1)


def ahead(mixture: Mixture, rows: int, depth: int = 8) -> "queue.Queue[torch.Tensor]":
    """Batches made by a thread while the device computes."""
    batches: queue.Queue[torch.Tensor] = queue.Queue(depth)

    def work() -> None:
        while True:
            batch = mixture.rows(rows)
            batches.put(batch.pin_memory() if torch.cuda.is_available() else batch)

    threading.Thread(target=work, daemon=True).start()
    return batches


def loss_of(model: torch.nn.Module, rows: torch.Tensor, reduction: str = "mean") -> torch.Tensor:
    logits = model(rows)[:, :-1]
    return F.cross_entropy(logits.float().reshape(-1, logits.shape[-1]), rows[:, 1:].reshape(-1), reduction=reduction)


@torch.no_grad()
def held_out_loss(model: torch.nn.Module, documents: dict[str, list[np.ndarray]], rows_per_register: int) -> dict[str, float]:
    """Mean loss in nats per token, register by register, on rows packed from held-out documents of that register alone."""
    model.eval()
    device, result = next(model.parameters()).device, {}
    for name, group in documents.items():
        flat = np.concatenate(group)
        count = min(rows_per_register, len(flat) // (CONTEXT - 1))
        rows = torch.from_numpy(with_bos(flat[: count * (CONTEXT - 1)].reshape(count, CONTEXT - 1)))
        total = sum(float(loss_of(model, part.to(device), "sum")) for part in rows.split(32))
        result[name] = total / (count * (CONTEXT - 1))
    model.train()
    return result


def save(model: Llama, tokenizer: pathlib.Path, target: pathlib.Path) -> None:
    """A complete Hugging Face folder in float16; written beside the target, then renamed."""
    fresh, old = (target.with_name(target.name + ending) for ending in (".new", ".old"))
    shutil.rmtree(fresh, ignore_errors=True)
    to_hugging_face(model).half().save_pretrained(fresh, safe_serialization=True)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(tokenizer / name, fresh / name)
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        os.rename(target, old)
    os.rename(fresh, target)
    shutil.rmtree(old, ignore_errors=True)


def say(**event: object) -> None:
    print(json.dumps(event), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("packed", "tokenizer", "out"):
        parser.add_argument(f"--{name}", type=pathlib.Path, required=True)
    parser.add_argument("--minutes", type=float, default=8, help="of training, compilation not counted")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--rows", type=int, default=512, help="rows of 256 tokens per step")
    parser.add_argument("--learning-rate", type=float, default=3e-3)
    parser.add_argument("--warmup", type=float, default=0.02, help="share of the time")
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--weight-decay", type=float, default=0.1)
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    torch.manual_seed(17)
    torch.set_float32_matmul_precision("high")
    shares = json.loads((pathlib.Path(__file__).parent / "mixture.json").read_text())
    began = time.monotonic()
    train, held_out = (read_packed(arguments.packed / f"{part}.npz.xz") for part in ("train", "heldout"))
    counts = {name: sum(map(len, group)) for name, group in train.items()}
    say(train_tokens=counts, total=sum(counts.values()), held_out=sum(sum(map(len, group)) for group in held_out.values()), read_s=round(time.monotonic() - began, 1))
    batches = ahead(Mixture(train, shares, seed=17), arguments.rows)
    model = Llama(Shape(context=CONTEXT), arguments.dropout).to(device).train()
    matrices = [p for p in model.parameters() if p.dim() >= 2]
    others = [p for p in model.parameters() if p.dim() < 2]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": arguments.weight_decay}, {"params": others, "weight_decay": 0.0}],
        lr=arguments.learning_rate, betas=(0.9, 0.95), fused=True,
    )
    name = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    say(parameters=sum(p.numel() for p in model.parameters()), device=name, torch=torch.__version__, difference_from_transformers=check(model, batches.get()[:2].to(device)))
    model.train()
    compiled = torch.compile(loss_of) if device.type == "cuda" else loss_of

    def step(scale: float) -> torch.Tensor:
        for group in optimizer.param_groups:
            group["lr"] = arguments.learning_rate * scale
        with torch.autocast(device.type, torch.bfloat16):
            loss = compiled(model, batches.get().to(device, non_blocking=True))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.detach()

    began = time.monotonic()
    for _ in range(2):
        step(1e-3).item()
    say(compiled_s=round(time.monotonic() - began, 1))
    start = mark = time.monotonic()
    budget = arguments.minutes * 60
    steps = marked = 0
    next_evaluation = budget / 4
    while (done := (time.monotonic() - start) / budget) < 1:
        # Warm-up, then a straight line to zero.
        loss = step(min(done / arguments.warmup, 1.0) * min((1 - done) / (1 - arguments.warmup), 1.0) + 1e-4)
        steps += 1
        if steps in (10, 50) or steps % 200 == 0:
            value, now = loss.item(), time.monotonic()
            per_step = arguments.rows * (CONTEXT - 1)
            say(step=steps, tokens=steps * per_step, loss=round(value, 4), tokens_per_s=round((steps - marked) * per_step / (now - mark)), waiting=batches.qsize(), minutes=round((now - start) / 60, 2))
            mark, marked = now, steps
        if time.monotonic() - start >= next_evaluation:
            with torch.autocast(device.type, torch.bfloat16):
                losses = held_out_loss(model, held_out, 16)
            say(held_out={name: round(value, 3) for name, value in losses.items()}, minutes=round((time.monotonic() - start) / 60, 2))
            save(model, arguments.tokenizer, arguments.out)
            next_evaluation += budget / 4
    save(model, arguments.tokenizer, arguments.out)
    say(finished=True, tokens=steps * arguments.rows * (CONTEXT - 1), steps=steps, minutes=(time.monotonic() - start) / 60, device=name)
    say(held_out={name: round(value, 3) for name, value in held_out_loss(model, held_out, 64).items()})


if __name__ == "__main__":
    main()
