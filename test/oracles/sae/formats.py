"""Writes test/golden/sae/formats: run as `python test/oracles/sae/formats.py` from the repository root.

One folder per case, a tiny SAE that the upstream library itself wrote (or, where it says "layout", that PyTorch or NumPy wrote in that
library's documented layout because the library is not to be had from a package index), and numbers.json: x, z, xhat by the upstream code.

    sae-lens 6, dictionary_learning 0.1.0 (its dictionary.py and trainers, without nnsight), eai-sparsify 1.3.3
"""

import functools
import importlib.util
import json
import os
import shutil
import sys
import types

os.environ["SPARSIFY_DISABLE_TRITON"] = "1"

import numpy as np
import torch
from safetensors.torch import save_file

OUT = os.path.join(os.path.dirname(__file__), "..", "..", "golden", "sae", "formats")
D, F, K, B = 6, 16, 3, 7
generator = torch.Generator().manual_seed(11)


def rand(*shape, scale=1.0, mean=0.0):
    return torch.randn(shape, generator=generator) * scale + mean


X = rand(B, D, scale=1.5, mean=0.3)
SKIPPED_KEYS = ("k", "threshold", "group_sizes")


def folder(name):
    path = os.path.join(OUT, name)
    shutil.rmtree(path, ignore_errors=True)
    os.makedirs(path)
    return path


def numbers(tensor):
    return [float(f"{v:.9g}") for v in tensor.detach().float().flatten().tolist()]


def record(name, z, xhat, by, x=X):
    assert ((z != 0).float().sum(-1) > 0).all() and (z == 0).any(), name
    with open(os.path.join(OUT, name, "numbers.json"), "w") as f:
        json.dump({"by": by, "B": x.shape[0], "x": numbers(x), "z": numbers(z), "xhat": numbers(xhat)}, f)
        f.write("\n")
    print(name, "L0", (z != 0).float().sum(-1).mean().item())


def randomize(module):
    with torch.no_grad():
        for name, p in list(module.named_parameters()) + list(module.named_buffers()):
            if name in SKIPPED_KEYS or not p.is_floating_point() or p.dim() == 0:
                continue
            if "threshold" in name:
                p.copy_(rand(*p.shape, scale=0.3).abs() + 0.2)
            else:
                p.copy_(rand(*p.shape, scale=0.5 if p.dim() == 2 else 0.3))


def write_json(path, value):
    with open(path, "w") as f:
        json.dump(value, f, indent=1)
        f.write("\n")


# ---------------------------------------------------------------- SAELens
def saelens():
    import sae_lens
    from sae_lens import SAE
    from sae_lens.registry import get_sae_class, get_sae_training_class

    by = f"sae-lens {sae_lens.__version__}"
    metadata = {"model_name": "tiny-model", "hook_name": "blocks.1.hook_resid_post", "context_size": 64}

    def done(name, path):
        sae = SAE.load_from_disk(path, dtype="float32")
        with torch.no_grad():
            z = sae.encode(X)
            record(name, z, sae(X), by)

    def inference(name, architecture, **fields):
        cls, cfg_cls = get_sae_class(architecture)
        cfg = cfg_cls.from_dict({"architecture": architecture, "d_in": D, "d_sae": F, "metadata": metadata, **fields})
        sae = cls(cfg)
        randomize(sae)
        path = folder(name)
        sae.save_model(path)
        done(name, path)

    inference("saelens-standard", "standard")
    inference("saelens-standard-x", "standard", apply_b_dec_to_input=False)
    inference("saelens-layer-norm", "standard", normalize_activations="layer_norm")
    inference("saelens-norm-rescale", "standard", normalize_activations="constant_norm_rescale")
    inference("saelens-gated", "gated")
    inference("saelens-jumprelu", "jumprelu")
    inference("saelens-abstopk", "abstopk", k=K)
    inference("saelens-transcoder", "transcoder", d_out=D + 2, apply_b_dec_to_input=False)
    inference("saelens-skip-transcoder", "skip_transcoder", d_out=D + 2, apply_b_dec_to_input=False)
    inference("saelens-jumprelu-transcoder", "jumprelu_transcoder", d_out=D + 2, apply_b_dec_to_input=False)
    inference("saelens-jumprelu-skip-transcoder", "jumprelu_skip_transcoder", d_out=D, apply_b_dec_to_input=False)

    for name, architecture, fields in (
        ("saelens-batchtopk", "batchtopk", {"k": K}),
        ("saelens-matryoshka", "matryoshka_batchtopk", {"k": K, "matryoshka_widths": [4, F]}),
    ):
        cls, cfg_cls = get_sae_training_class(architecture)
        sae = cls(cfg_cls.from_dict({"architecture": architecture, "d_in": D, "d_sae": F, "metadata": metadata, **fields}))
        randomize(sae)
        sae.topk_threshold.fill_(0.7)
        path = folder(name)
        sae.save_inference_model(path)
        done(name, path)

    # The flat cfg.json of versions 3 to 5; read by SAELens 6's own handling of old files.
    for name, fields in (
        ("saelens-v3-relu", {"activation_fn_str": "relu", "apply_b_dec_to_input": True, "sae_lens_version": "3.2.0"}),
        (
            "saelens-v5-topk",
            {"activation_fn_str": "topk", "activation_fn_kwargs": {"k": K}, "apply_b_dec_to_input": False, "sae_lens_version": "5.3.0"},
        ),
    ):
        path = folder(name)
        cfg = {
            "d_in": D, "d_sae": F, "dtype": "torch.float32" if "v3" in name else "float32", "device": "cpu", "model_name": "tiny-model",
            "hook_name": "blocks.1.hook_resid_post", "hook_layer": 1, "hook_head_index": None, "context_size": 64, "prepend_bos": True,
            "finetuning_scaling_factor": False, "normalize_activations": "none", "dataset_path": "somebody/text", **fields,
        }
        weights = {"W_enc": rand(D, F, scale=0.5), "b_enc": rand(F, scale=0.3), "W_dec": rand(F, D, scale=0.5), "b_dec": rand(D, scale=0.3)}
        if "v3" in name:
            weights["scaling_factor"] = torch.ones(F)
        save_file(weights, os.path.join(path, "sae_weights.safetensors"))
        write_json(os.path.join(path, "cfg.json"), cfg)
        done(name, path)


# ---------------------------------------------------------------- sparsify
def sparsify():
    from sparsify.config import SparseCoderConfig
    from sparsify.sparse_coder import SparseCoder

    for name, fields in (
        ("sparsify-topk", {}),
        ("sparsify-skip-transcoder", {"transcode": True, "skip_connection": True}),
    ):
        sae = SparseCoder(D, SparseCoderConfig(num_latents=F, k=K, normalize_decoder=False, **fields), decoder=True)
        randomize(sae)
        path = folder(f"{name}/layers.1")
        sae.save_to_disk(path)
        with torch.no_grad():
            top = sae.encode(X)
            z = torch.zeros(B, F).scatter(1, top.top_indices, top.top_acts)
            xhat = sae.decode(top.top_acts, top.top_indices)
            if sae.W_skip is not None:
                xhat = xhat + X @ sae.W_skip.mT
        record(name, z, xhat, "eai-sparsify 1.3.3")


# ---------------------------------------------------------------- dictionary_learning
@functools.cache
def dictionary_classes():
    root = os.path.dirname(importlib.util.find_spec("dictionary_learning").origin)
    # Its __init__ wants nnsight, which only its buffers use.
    package = types.ModuleType("dictionary_learning")
    package.__path__ = [root]
    sys.modules["dictionary_learning"] = package
    trainers = types.ModuleType("dictionary_learning.trainers")
    trainers.__path__ = [os.path.join(root, "trainers")]
    sys.modules["dictionary_learning.trainers"] = trainers
    from dictionary_learning import dictionary as d
    from dictionary_learning.trainers.batch_top_k import BatchTopKSAE
    from dictionary_learning.trainers.matryoshka_batch_top_k import MatryoshkaBatchTopKSAE
    from dictionary_learning.trainers.top_k import AutoEncoderTopK

    return {
        "AutoEncoder": lambda: d.AutoEncoder(D, F),
        "AutoEncoderNew": lambda: d.AutoEncoderNew(D, F),
        "GatedAutoEncoder": lambda: d.GatedAutoEncoder(D, F),
        "JumpReluAutoEncoder": lambda: d.JumpReluAutoEncoder(D, F),
        "AutoEncoderTopK": lambda: AutoEncoderTopK(D, F, K),
        "BatchTopKSAE": lambda: BatchTopKSAE(D, F, K),
        "MatryoshkaBatchTopKSAE": lambda: MatryoshkaBatchTopKSAE(D, F, K, [4, F - 4]),
    }


def dictionary_learning():
    for cls, make in dictionary_classes().items():
        sae = make()
        randomize(sae)
        if hasattr(sae, "threshold") and sae.threshold.dim() == 0:
            sae.threshold.fill_(0.6)
        name = f"dictionary-learning-{cls}"
        path = folder(name)
        # The form of files before PyTorch 1.6 for one of them.
        torch.save(sae.state_dict(), os.path.join(path, "ae.pt"), _use_new_zipfile_serialization=cls != "GatedAutoEncoder")
        write_json(
            os.path.join(path, "config.json"),
            {
                "trainer": {"dict_class": cls, "activation_dim": D, "dict_size": F, "layer": 1, "lm_name": "tiny-model", "submodule_name": "resid_post_layer_1"},
                "buffer": {"ctx_len": 64},
            },
        )
        with torch.no_grad():
            z = sae.encode(X)
            record(name, z, sae.decode(z), "dictionary_learning 0.1.0")


# ---------------------------------------------------------------- Gemma Scope, Llama Scope, OpenAI, Llamascopium
def scopes():
    from sae_lens import SAE
    from sae_lens.loading import pretrained_sae_loaders as loaders
    from sae_lens.registry import get_sae_class

    def build(cfg, state, scale=None):
        cfg = {**cfg, "dtype": "float32", "device": "cpu"}
        cls, cfg_cls = get_sae_class(cfg["architecture"])
        sae = cls(cfg_cls.from_dict(loaders.handle_config_defaulting(cfg)))
        sae.load_state_dict({k: v.float() for k, v in state.items()})
        if scale is not None:
            sae.fold_activation_norm_scaling_factor(scale)
        return sae

    def done(name, sae, by):
        with torch.no_grad():
            record(name, sae.encode(X), sae(X), by)

    # Gemma Scope: the layout of its params.npz; SAELens's JumpReLU class on the same tensors.
    path = folder("gemma-scope/layer_1/width_16/average_l0_3")
    weights = {"W_enc": rand(D, F, scale=0.5), "W_dec": rand(F, D, scale=0.5), "b_enc": rand(F, scale=0.3), "b_dec": rand(D, scale=0.3), "threshold": rand(F, scale=0.3).abs() + 0.2}
    np.savez(os.path.join(path, "params.npz"), **{k: v.numpy() for k, v in weights.items()})
    done("gemma-scope", build({"architecture": "jumprelu", "d_in": D, "d_sae": F, "apply_b_dec_to_input": False, "metadata": {"sae_lens_version": "6.0.0"}}, weights), "layout; sae-lens JumpReLUSAE")
    # numbers.json stands beside the npz, not above it.

    # Gemma Scope 2 and Llama Scope: SAELens's own loaders, with the download replaced by the local file.
    local = {"root": ""}
    real_download = lambda repo_id, filename, **kw: os.path.join(local["root"], *([kw["subfolder"]] if kw.get("subfolder") else []), filename)
    loaders.hf_hub_download = real_download

    for name, sub, affine in (("gemma-scope-2", "resid_post/layer_1_width_16_l0_small", False), ("gemma-scope-2-transcoder", "transcoder/layer_1_width_16_l0_small_affine", True)):
        path = folder(f"{name}/{sub}")
        local["root"] = os.path.join(OUT, name)
        weights = {"w_enc": rand(D, F, scale=0.5), "w_dec": rand(F, D, scale=0.5), "b_enc": rand(F, scale=0.3), "b_dec": rand(D, scale=0.3), "threshold": rand(F, scale=0.3).abs() + 0.2}
        if affine:
            weights["affine_skip_connection"] = rand(D, D, scale=0.4)
        save_file(weights, os.path.join(path, "params.safetensors"))
        write_json(os.path.join(path, "config.json"), {"architecture": "jump_relu", "model_name": "gemma-v3-270m-pt", "affine_connection": affine, "hf_hook_point_in": "x", "hf_hook_point_out": "y"})
        loaders.get_safetensors_tensor_shapes = lambda repo, file, w=weights: {k: list(v.shape) for k, v in w.items()}
        cfg, state, _ = loaders.gemma_3_sae_huggingface_loader("google/x", sub, "cpu")
        done(name, build(cfg, state), "sae-lens gemma_3_sae_huggingface_loader")

    path = folder("llama-scope/checkpoints")
    local["root"] = OUT
    norm_in = 4.0
    write_json(
        os.path.join(OUT, "llama-scope", "hyperparams.json"),
        {"d_model": D, "d_sae": F, "jump_relu_threshold": 0.4, "dataset_average_activation_norm": {"in": norm_in, "out": norm_in}, "hook_point_in": "blocks.1.hook_resid_post", "hook_point_out": "blocks.1.hook_resid_post"},
    )
    weights = {"encoder.weight": rand(F, D, scale=0.5), "encoder.bias": rand(F, scale=0.3), "decoder.weight": rand(D, F, scale=0.5), "decoder.bias": rand(D, scale=0.3)}
    save_file({k: v.to(torch.bfloat16) for k, v in weights.items()}, os.path.join(path, "final.safetensors"))
    cfg, state, _ = loaders.llama_scope_sae_huggingface_loader("fnlp/x", "llama-scope", "cpu", cfg_overrides={"dtype": "float32"})
    done("llama-scope", build({**cfg, "normalize_activations": "expected_average_only_in"}, state, D**0.5 / norm_in), "sae-lens llama_scope_sae_huggingface_loader")

    # OpenAI: its package is not on a package index; the layout and the forward pass of its README and model.py.
    for name, activation in (("openai-topk", "TopK"), ("openai-relu", "ReLU")):
        path = folder(name)
        state = {"pre_bias": rand(D, scale=0.3), "latent_bias": rand(F, scale=0.3), "stats_last_nonzero": torch.zeros(F, dtype=torch.int64), "encoder.weight": rand(F, D, scale=0.5), "decoder.weight": rand(D, F, scale=0.5), "activation": activation}
        if activation == "TopK":
            state["activation_state_dict"] = {"k": K, "postact_fn": "ReLU"}
        torch.save(state, os.path.join(path, "1.pt"))
        mu = X.mean(-1, keepdim=True)
        std = (X - mu).std(-1, keepdim=True)
        x = (X - mu) / (std + 1e-5) if activation == "TopK" else X
        pre = (x - state["pre_bias"]) @ state["encoder.weight"].T + state["latent_bias"]
        if activation == "TopK":
            top = torch.topk(pre, K, dim=-1)
            z = torch.zeros_like(pre).scatter(-1, top.indices, torch.relu(top.values))
        else:
            z = torch.relu(pre)
        xhat = z @ state["decoder.weight"].T + state["pre_bias"]
        if activation == "TopK":
            xhat = xhat * std + mu
        record(name, z, xhat, "layout; PyTorch")

    # Llamascopium: the layout of its config.json and tensors; the forward pass of its documentation.
    for name, act in (("llamascopium-jumprelu", "jumprelu"), ("llamascopium-topk", "topk")):
        path = folder(name)
        hook = "blocks.1.hook_resid_post"
        norm = 4.0
        weights = {"W_E": rand(D, F, scale=0.5), "b_E": rand(F, scale=0.3), "W_D": rand(F, D, scale=0.5), "b_D": rand(D, scale=0.3), f"dataset_average_activation_norm.{hook}": torch.tensor(norm)}
        theta = rand(F, scale=0.2).abs() + 0.2
        if act == "jumprelu":
            weights["activation_function.log_jumprelu_threshold"] = theta.log()
        save_file(weights, os.path.join(path, "sae_weights.safetensors"))
        write_json(os.path.join(path, "config.json"), {"sae_type": "sae", "d_model": D, "expansion_factor": F // D, "d_sae": F, "use_decoder_bias": True, "act_fn": act, "norm_activation": "dataset-wise", "sparsity_include_decoder_norm": True, "top_k": K, "hook_point_in": hook, "hook_point_out": hook, "dtype": "torch.float32"})
        s = D**0.5 / norm
        pre = (X * s) @ weights["W_E"] + weights["b_E"]
        length = weights["W_D"].norm(dim=1)
        ranked = pre * length
        if act == "jumprelu":
            z = torch.where(ranked > theta, pre, torch.zeros(()))
        else:
            top = torch.topk(ranked, K, dim=-1)
            # In units of what is written: |W_D| folded in.
            z = torch.zeros_like(pre).scatter(-1, top.indices, torch.relu(top.values))
        xhat = ((z if act == "jumprelu" else z / length) @ weights["W_D"] + weights["b_D"]) / s
        record(name, z, xhat, "layout; PyTorch")


if __name__ == "__main__":
    saelens()
    sparsify()
    dictionary_learning()
    scopes()
