"""
Trains sae-lens's TopK SAE on a file of activations and measures it on held-out rows: the peer of our quality figures.

  python quality_saelens.py --data activations.safetensors --F 4096 --K 32 --steps 3000 --seed 0 --out folder

`--data` has one F32 (or F16, BF16) tensor [N, D] (its name by `--tensor`, default: the only one). The last `--heldout` rows
are never trained on, unless `--test` names another file. Batches are drawn from a seeded shuffle, epoch after epoch.

Choices, all sae-lens's own: TopKTrainingSAE, Adam, lr 3e-4, constant schedule, gradient clipping at 1, decoder-norm
rescaling, AuxK coefficient 1. Two departures, both in its favour and both recorded: the inputs are scaled by its
`expected_average_only_in` (`--normalize none` for the default), and `--lr`, `--warmup`, `--decay` take lists or values to
sweep; the best held-out FVU wins. `--out` gets the inference SAE folder (cfg.json, sae_weights.safetensors).
"""

import argparse
import json
import sys
import time

parser = argparse.ArgumentParser()
parser.add_argument("--data", required=True)
parser.add_argument("--tensor")
parser.add_argument("--test", help="safetensors of held-out rows; default: the last --heldout rows of --data")
parser.add_argument("--heldout", type=int, default=65536)
parser.add_argument("--F", type=int, required=True)
parser.add_argument("--K", type=int, required=True)
parser.add_argument("--B", type=int, default=4096)
parser.add_argument("--steps", type=int, required=True)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--lr", default="3e-4", help="one value or several with commas")
parser.add_argument("--warmup", type=int, default=0)
parser.add_argument("--decay", type=int, default=0)
parser.add_argument("--normalize", default="expected_average_only_in", choices=["none", "expected_average_only_in"])
parser.add_argument("--dead-window", type=int, default=1000)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--device", default="cpu")
parser.add_argument("--out", required=True)
args = parser.parse_args()

import torch  # noqa: E402
from safetensors.torch import load_file  # noqa: E402
from sae_lens.config import SAETrainerConfig  # noqa: E402
from sae_lens.saes.topk_sae import TopKTrainingSAE, TopKTrainingSAEConfig  # noqa: E402
from sae_lens.training.sae_trainer import SAETrainer  # noqa: E402

import peer  # noqa: E402

torch.set_num_threads(args.threads)


def rows_of(path):
    tensors = load_file(path)
    name = args.tensor or next(iter(tensors))
    if args.tensor is None and len(tensors) != 1:
        sys.exit(f"{path} has tensors {sorted(tensors)}: choose one with --tensor")
    return tensors[name].float()


everything = rows_of(args.data)
train, test = (everything, rows_of(args.test)) if args.test else (everything[: -args.heldout], everything[-args.heldout :])
D = train.shape[1]


def provider(seed):
    generator = torch.Generator().manual_seed(seed)
    while True:
        order = torch.randperm(len(train), generator=generator)
        for b in range(0, len(order) - args.B + 1, args.B):
            yield train[order[b : b + args.B]]


@torch.no_grad()
def measure(sae):
    """Textbook FVU over all held-out rows together, and mean L0."""
    mean = test.mean(0)
    error = total = active = 0.0
    fired = torch.zeros(args.F, dtype=torch.bool)
    for b in range(0, len(test), args.B):
        x = test[b : b + args.B]
        z = sae.encode(x.to(args.device)).cpu()
        xhat = sae.decode(z.to(args.device)).cpu()
        error += ((x - xhat) ** 2).double().sum().item()
        total += ((x - mean) ** 2).double().sum().item()
        active += (z > 0).sum().item()
        fired |= (z > 0).any(0)
    return {"fvu": error / total, "l0": active / len(test), "dead": int((~fired).sum())}


def one(lr):
    torch.manual_seed(args.seed)
    sae = TopKTrainingSAE(
        TopKTrainingSAEConfig(d_in=D, d_sae=args.F, k=args.K, normalize_activations=args.normalize, device=args.device)
    )
    config = SAETrainerConfig(
        total_training_samples=args.steps * args.B, train_batch_size_samples=args.B, lr=lr, lr_end=lr / 10,
        lr_warm_up_steps=args.warmup, lr_decay_steps=args.decay, dead_feature_window=args.dead_window,
        n_batches_for_norm_estimate=min(50, len(train) // args.B), device=args.device,
    )
    start = time.perf_counter()
    SAETrainer(config, sae, provider(args.seed)).fit()
    seconds = time.perf_counter() - start
    result = measure(sae)
    return {"lr": lr, **result, "seconds": seconds, "tokens_per_s": args.steps * args.B / seconds}, sae


runs = [one(float(lr)) for lr in args.lr.split(",")]
best, sae = min(runs, key=lambda run: run[0]["fvu"])
sae.save_inference_model(args.out)
peer.emit(
    {
        "name": "quality_saelens", **best, "seed": args.seed, "steps": args.steps, "B": args.B, "F": args.F, "K": args.K,
        "rows": {"train": len(train), "test": len(test)}, "normalize": args.normalize, "warmup": args.warmup,
        "decay": args.decay, "all": [run[0] for run in runs], "versions": peer.versions("sae-lens", "torch"), "out": args.out,
    }
)
