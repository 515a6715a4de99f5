"""One step of sae-lens's own TopK trainer (SAETrainer.step) at the given sizes, everything else at its defaults.

Defaults that matter for time: dense activations, Adam without fusion, gradient clipping, decoder-norm rescaling, no dead
latents within the dead window of 1,000 steps.
"""

import peer

args = peer.options()
import torch  # noqa: E402
from sae_lens.config import SAETrainerConfig  # noqa: E402
from sae_lens.saes.topk_sae import TopKTrainingSAE, TopKTrainingSAEConfig  # noqa: E402
from sae_lens.training.sae_trainer import SAETrainer  # noqa: E402

data = peer.batches(args)
sae = TopKTrainingSAE(TopKTrainingSAEConfig(d_in=args.D, d_sae=args.F, k=args.K))
config = SAETrainerConfig(total_training_samples=10**9, train_batch_size_samples=args.B, lr_end=3e-5)
trainer = SAETrainer(config, sae, iter(()))


def step(i):
    trainer.step(data[i % len(data)]).loss.item()
    trainer.n_training_steps += 1


peer.run(
    args, "sae_lens", step, args.B, ["sae-lens", "torch", "transformer-lens"],
    "SAETrainer.step, TopKTrainingSAEConfig and SAETrainerConfig defaults apart from sizes",
)
