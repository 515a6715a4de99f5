"""Writes test/golden/sae: run as `python test/oracles/sae/generate.py` from the repository root, with sae-lens 6.

1. Loads `ours`, a folder that saekit wrote (tiny-sae.ts), with SAE.load_from_disk and stores what SAELens encodes and
   decodes on a probe batch.
2. Writes folders with SAELens's own code, each with such numbers, for saekit to load: a trained SAE saved for inference, the
   two switches that change the forward pass, half precision, and a square one (d_in = d_sae).
"""

import json
import os
import shutil

import torch
from sae_lens import SAE, TopKSAE, TopKSAEConfig, TopKTrainingSAE, TopKTrainingSAEConfig
from sae_lens import __version__ as version
from sae_lens.saes.sae import SAEMetadata

OUT = os.path.join(os.path.dirname(__file__), "..", "..", "golden", "sae")
D, F, K, B = 8, 24, 4, 12


def numbers(tensor):
    return [float(f"{v:.9g}") for v in tensor.detach().float().flatten().tolist()]


def record(name, sae):
    generator = torch.Generator().manual_seed(7)
    x = torch.randn(B, sae.cfg.d_in, generator=generator) * 2
    with torch.no_grad():
        z = sae.encode(x)
        xhat = sae.decode(z)
        pre = (sae.process_sae_in(x) @ sae.W_enc + sae.b_enc).float()
        if sae.cfg.rescale_acts_by_decoder_norm:
            pre = pre * sae.W_dec.norm(dim=-1)
    # A near tie at the K-th place would test rounding.
    top = pre.sort(dim=-1, descending=True).values
    margin = (top[:, sae.cfg.k - 1] - top[:, sae.cfg.k]).min().item()
    assert margin > 1e-3, (name, margin)
    assert (z > 0).sum(dim=-1).max() <= sae.cfg.k and (z > 0).any()
    golden = {
        "sae_lens": version,
        "B": B,
        "cfg": sae.cfg.to_dict(),
        "x": numbers(x),
        "z": numbers(z),
        "xhat": numbers(xhat),
    }
    with open(os.path.join(OUT, f"{name}.json"), "w") as f:
        json.dump(golden, f)
        f.write("\n")
    print(name, "margin", f"{margin:.4f}", "L0", (z > 0).float().sum(dim=-1).mean().item())


def randomize(sae, generator, dtype=torch.float32):
    with torch.no_grad():
        for parameter, scale in ((sae.W_enc, 0.5), (sae.b_enc, 0.2), (sae.W_dec, 0.6), (sae.b_dec, 0.7)):
            values = torch.randn(parameter.shape, generator=generator) * scale
            parameter.copy_(values.to(dtype))


def main():
    generator = torch.Generator().manual_seed(3)
    metadata = {"model_name": "tiny-model", "hook_name": "blocks.1.hook_resid_post", "context_size": 64}

    ours = SAE.load_from_disk(os.path.join(OUT, "ours"))
    assert type(ours) is TopKSAE and ours.cfg.k == K and (ours.cfg.d_in, ours.cfg.d_sae) == (D, F)
    assert ours.cfg.metadata.hook_name == "blocks.1.hook_resid_post" and ours.cfg.metadata.prepend_bos is True
    record("ours", ours)

    def write(name, sae, save):
        folder = os.path.join(OUT, name)
        shutil.rmtree(folder, ignore_errors=True)
        randomize(sae, generator, getattr(torch, sae.cfg.dtype))
        save(sae, folder)
        # In float32 whatever the file holds: the weights are tested here, not half-precision arithmetic.
        record(name, SAE.load_from_disk(folder, dtype="float32"))

    training = TopKTrainingSAE(TopKTrainingSAEConfig(d_in=D, d_sae=F, k=K, metadata=SAEMetadata(**metadata)))
    write("trained-by-saelens", training, lambda sae, folder: sae.save_inference_model(folder))
    cases = {
        "saelens-switches": dict(d_in=D, d_sae=F, rescale_acts_by_decoder_norm=True, apply_b_dec_to_input=False),
        "saelens-bfloat16": dict(d_in=D, d_sae=F, dtype="bfloat16"),
        "saelens-square": dict(d_in=D, d_sae=D),
    }
    for name, settings in cases.items():
        cfg = TopKSAEConfig(k=K if name != "saelens-square" else 3, metadata=SAEMetadata(**metadata), **settings)
        write(name, TopKSAE(cfg), lambda sae, folder: sae.save_model(folder))


main()
