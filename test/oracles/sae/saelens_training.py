"""Writes test/golden/sae/saelens-training: run as `python test/oracles/sae/saelens_training.py` from the repository root, sae-lens 6.

Checkpoints as SAELens's own trainer leaves them in the middle of training (save_checkpoint: the weights of the training class, cfg.json,
activation_scaler.json), each trained for some steps on a few directions. numbers.json: x, and z and xhat of what SAELens makes of the same
SAE when it is done with it: fold_activation_norm_scaling_factor, save_inference_model, SAE.load_from_disk.
"""

import contextlib
import copy
import io
import json
import os
import shutil
import tempfile

import torch
import sae_lens
from sae_lens import SAE
from sae_lens.config import SAETrainerConfig
from sae_lens.registry import get_sae_training_class
from sae_lens.training.sae_trainer import SAETrainer

OUT = os.path.join(os.path.dirname(__file__), "..", "..", "golden", "sae", "saelens-training")
D, F, K, B, STEPS = 6, 16, 3, 40, 300
METADATA = {"model_name": "tiny-model", "hook_name": "blocks.1.hook_resid_post", "context_size": 64}
KEPT = ("cfg.json", "sae_weights.safetensors", "activation_scaler.json", "activation_whitening.safetensors")


def rows(generator, directions):
    """Sparse sums of directions, about 40 long: far from the length sqrt(D) that a scaler makes of them."""
    while True:
        active = (torch.rand(256, directions.shape[0], generator=generator) < 0.2).float()
        yield 12 * (active * torch.rand(active.shape, generator=generator)) @ directions + 1


def case(name, architecture, scaled=False, whitened=False, **fields):
    torch.manual_seed(5)
    generator = torch.Generator().manual_seed(7)
    directions = torch.randn(10, D, generator=generator)
    data = rows(generator, directions)
    cls, cfg_cls = get_sae_training_class(architecture)
    norm = "expected_average_only_in" if scaled else "covariance_whitening" if whitened else "none"
    sae = cls(cfg_cls.from_dict({"architecture": architecture, "d_in": D, "d_sae": F, "metadata": METADATA, "normalize_activations": norm, **fields}))
    with torch.no_grad():  # decoder rows of unequal length, as they become in long training
        sae.W_dec *= torch.linspace(0.4, 2.5, F)[torch.randperm(F)].unsqueeze(1)
    path = os.path.join(OUT, name)
    shutil.rmtree(path, ignore_errors=True)
    with tempfile.TemporaryDirectory() as root, contextlib.redirect_stderr(io.StringIO()):
        trainer = SAETrainer(SAETrainerConfig(total_training_samples=256 * STEPS, train_batch_size_samples=256, lr=3e-3, lr_end=3e-3, n_batches_for_norm_estimate=20), sae, data)
        if scaled:
            trainer.activation_scaler.estimate_scaling_factor(D, data, 20)
        if whitened:
            trainer.activation_scaler.estimate_whitening(D, data, 20)
        for _ in range(STEPS):
            trainer.step(next(data))
        trainer.save_checkpoint("checkpoint", base_path=root)
        os.makedirs(path)
        for file in KEPT:
            if whitened or "whitening" not in file:
                shutil.copy(os.path.join(root, "checkpoint", file), path)
        # What SAETrainer.fit does at its end, and the runner after it.
        done, factor = copy.deepcopy(trainer.sae), trainer.activation_scaler.scaling_factor
        if factor is not None:
            done.fold_activation_norm_scaling_factor(factor)
        if whitened:
            statistics = trainer.activation_scaler.whitening
            done.fold_activation_whitening(statistics.mean, statistics.matrix, statistics.inverse_matrix)
        done.save_inference_model(os.path.join(root, "inference"))
        finished = SAE.load_from_disk(os.path.join(root, "inference"), dtype="float32")
        x = next(data)[:B]
        with torch.no_grad():
            z, xhat = finished.encode(x), finished(x)
    l0 = (z != 0).float().sum(-1).mean().item()
    assert 1 < l0 < F, name
    numbers = lambda tensor: [float(f"{v:.9g}") for v in tensor.flatten().tolist()]
    with open(os.path.join(path, "numbers.json"), "w") as f:
        json.dump({"by": f"sae-lens {sae_lens.__version__}", "B": B, "x": numbers(x), "z": numbers(z), "xhat": numbers(xhat)}, f)
        f.write("\n")
    fvu = ((x - xhat).square().sum() / (x - x.mean(0)).square().sum()).item()
    print(f"{name}: scale {factor}, L0 {l0:.2f}, FVU {fvu:.3f}")


for scaled in (False, True):
    end = "-scaled" if scaled else ""
    case(f"standard{end}", "standard", scaled, l1_coefficient=0.05)
    case(f"gated{end}", "gated", scaled, l1_coefficient=0.05)
    case(f"jumprelu{end}", "jumprelu", scaled, l0_coefficient=0.05, jumprelu_init_threshold=0.1)
    case(f"topk{end}", "topk", scaled, k=K)
    case(f"batchtopk{end}", "batchtopk", scaled, k=K + 0.5)
    case(f"matryoshka{end}", "matryoshka_batchtopk", scaled, k=K, matryoshka_widths=[4, F])
case("topk-lengths-scaled", "topk", True, k=K, rescale_acts_by_decoder_norm=False)
case("batchtopk-lengths-scaled", "batchtopk", True, k=K, rescale_acts_by_decoder_norm=False)
for kind, fields in {
    "standard": {"l1_coefficient": 0.05},
    "gated": {"l1_coefficient": 0.05},
    "jumprelu": {"l0_coefficient": 0.05, "jumprelu_init_threshold": 0.1},
    "topk": {"k": K},
    "batchtopk": {"k": K + 0.5},
}.items():
    case(f"{kind}-whitened", kind, whitened=True, **fields)
for kind in ("standard", "gated"):
    case(f"{kind}-x-whitened", kind, whitened=True, l1_coefficient=0.05, apply_b_dec_to_input=False)
