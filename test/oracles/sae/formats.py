"""Writes test/golden/sae/formats: run as `python test/oracles/sae/formats.py` from the repository root.

One folder per case, a tiny SAE that the upstream library itself wrote (or, where it says "layout", that PyTorch or NumPy wrote in the
documented layout, because there is no library that writes it), and numbers.json: x, z, xhat by the upstream code.

    sae-lens 6, dictionary_learning 0.1.0 (its dictionary.py and trainers, without nnsight), eai-sparsify 1.3.3, llamascopium 2.0.0b34
    (its models, without what training needs), and openai/sparse_autoencoder at OPENAI_SAE, a checkout
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


# ---------------------------------------------------------------- Gemma Scope, Llama Scope, OpenAI
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

    # The config.json that lies beside the released files: these keys, and places as modules of transformers.
    layer = "model.layers.1."
    both = (layer + "pre_feedforward_layernorm.output", layer + "post_feedforward_layernorm.output")
    for name, sub, kind, (reads, writes) in (
        ("gemma-scope-2", "resid_post/layer_1_width_16_l0_small", "sae", (layer + "output", "")),
        ("gemma-scope-2-transcoder", "transcoder/layer_1_width_16_l0_small_affine", "transcoder", both),
    ):
        affine = kind == "transcoder"
        path = folder(f"{name}/{sub}")
        local["root"] = os.path.join(OUT, name)
        weights = {"w_enc": rand(D, F, scale=0.5), "w_dec": rand(F, D, scale=0.5), "b_enc": rand(F, scale=0.3), "b_dec": rand(D, scale=0.3), "threshold": rand(F, scale=0.3).abs() + 0.2}
        if affine:
            weights["affine_skip_connection"] = rand(D, D, scale=0.4)
        save_file(weights, os.path.join(path, "params.safetensors"))
        write_json(os.path.join(path, "config.json"), {
            "architecture": "jump_relu", "model_name": "gemma-v3-270m-pt", "affine_connection": affine, "hf_hook_point_in": reads, "hf_hook_point_out": writes,
            "width": F, "l0": 3, "type": kind,
        })
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

    # Llama Scope again, as its authors' own loader takes it: hyperparams.json whole, decoder rows of any length, and the threshold chosen
    # as they chose it (lm_saes, post_processing.py of November 2024): on activations that are not scaled, the K B-th largest of
    # pre = (W x + b / s) |decoder row|. So in units of x, where s is folded into the biases: it takes s with the encoder.
    name, theta_name = "llama-scope-decoder-norm", "jump_relu_threshold"
    path = folder(f"{name}/checkpoints")
    norm_in = 3.0
    s = D**0.5 / norm_in
    weights = {"encoder.weight": rand(F, D, scale=0.5), "encoder.bias": rand(F, scale=0.3), "decoder.weight": rand(D, F, scale=0.5), "decoder.bias": rand(D, scale=0.3)}
    sae = llamascopium_sae("jumprelu", W_E=weights["encoder.weight"].T, b_E=weights["encoder.bias"], W_D=weights["decoder.weight"].T, b_D=weights["decoder.bias"], norms=(norm_in, norm_in))
    sae.standardize_parameters_of_dataset_norm()
    with torch.no_grad():
        _, pre = sae.encode(X, return_hidden_pre=True)
        length = sae.decoder_norm()
        ranked = (pre * length).relu().flatten().sort(descending=True).values
        theta = (ranked[B * K - 1] + ranked[B * K]) / 2
        sae.activation_function.log_jumprelu_threshold.fill_(theta.log())
        z, xhat = sae.encode(X), sae(X)
    assert (z > 0).sum() == B * K
    write_json(
        os.path.join(OUT, name, "hyperparams.json"),
        {
            "device": "cpu", "seed": 42, "dtype": "torch.float32", "hook_point_in": HOOK, "hook_point_out": HOOK, "use_decoder_bias": True,
            "apply_decoder_bias_to_pre_encoder": False, "expansion_factor": 3, "d_model": D, "d_sae": F, "bias_init_method": "all_zero",
            "act_fn": "jumprelu", theta_name: theta.item(), "norm_activation": "dataset-wise",
            "dataset_average_activation_norm": {"in": norm_in, "out": norm_in}, "decoder_exactly_fixed_norm": False,
            "sparsity_include_decoder_norm": True, "use_glu_encoder": False, "init_decoder_norm": 0.5, "init_encoder_norm": None,
            "init_encoder_with_decoder_transpose": True, "lp": 1, "l1_coefficient": 8e-05, "l1_coefficient_warmup_steps": 39062, "top_k": K,
            "k_warmup_steps": 39062, "use_batch_norm_mse": True, "use_ghost_grads": False, "tp_size": 1, "ddp_size": 1,
        },
    )
    save_file({k: v.contiguous() for k, v in weights.items()}, os.path.join(path, "final.safetensors"))
    # Here latents are in units of s x and of what they write, as SAELens has them; upstream in units of x.
    record(name, z * length * s, xhat, "llamascopium 2.0.0b34")

    # OpenAI: its package is not on a package index, so its class comes from a checkout.
    model = openai_model()
    for name, activation in (("openai-topk", "TopK"), ("openai-relu", "ReLU")):
        path = folder(name)
        sae = model.Autoencoder(F, D, activation=model.TopK(K) if activation == "TopK" else torch.nn.ReLU(), normalize=activation == "TopK")
        with torch.no_grad():
            for p, scale in ((sae.pre_bias, 0.3), (sae.latent_bias, 0.3), (sae.encoder.weight, 0.5), (sae.decoder.weight, 0.5)):
                p.copy_(rand(*p.shape, scale=scale))
            # Its state_dict says the activation's settings twice, and its own loader refuses the second time.
            state = {key: value for key, value in sae.state_dict().items() if not key.startswith("activation.")}
            torch.save(state, os.path.join(path, "1.pt"))
            sae = model.Autoencoder.from_state_dict(torch.load(os.path.join(path, "1.pt")))
            _, z, xhat = sae(X)
        record(name, z, xhat, "openai/sparse_autoencoder, model.py")


HOOK, OUT_HOOK = "blocks.1.hook_resid_post", "blocks.1.hook_mlp_out"


def openai_model():
    path = os.path.join(os.environ["OPENAI_SAE"], "sparse_autoencoder", "model.py")
    spec = importlib.util.spec_from_file_location("openai_sae_model", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# ---------------------------------------------------------------- Llamascopium
@functools.cache
def llamascopium_module():
    root = os.path.dirname(importlib.util.find_spec("llamascopium").origin)
    # Its __init__ wants what training and its server need.
    for name in ("llamascopium", "llamascopium.models"):
        package = types.ModuleType(name)
        package.__path__ = [os.path.join(root, *name.split(".")[1:])]
        sys.modules[name] = package
    return importlib.import_module("llamascopium.models.sae")


def llamascopium_sae(act_fn, *, W_E, b_E, W_D, b_D, norms, theta=None, hook_out=HOOK, **fields):
    module = llamascopium_module()
    cfg = module.SAEConfig(hook_point_in=HOOK, hook_point_out=hook_out, d_model=D, expansion_factor=F / D, act_fn=act_fn, top_k=K, dtype=torch.float32, device="cpu", **fields)
    sae = module.SparseAutoEncoder.from_config(cfg)
    with torch.no_grad():
        for p, value in ((sae.W_E, W_E), (sae.b_E, b_E), (sae.W_D, W_D), (sae.b_D, b_D)):
            p.copy_(value)
        if theta is not None:
            sae.activation_function.log_jumprelu_threshold.copy_(theta.log())
    sae.set_dataset_average_activation_norm({HOOK: norms[0], hook_out: norms[1]})
    sae.set_current_k(K)
    return sae


def llamascopium():
    for name, act, fields, fold in (
        ("llamascopium-jumprelu", "jumprelu", {}, False),
        ("llamascopium-topk", "topk", {}, False),
        # Saved with the scale folded in: the norm stands in the file all the same.
        ("llamascopium-relu-inference", "relu", {"sparsity_include_decoder_norm": False}, True),
        ("llamascopium-token-wise", "jumprelu", {"norm_activation": "token-wise"}, False),
        ("llamascopium-transcoder", "jumprelu", {"hook_out": OUT_HOOK}, False),
    ):
        path = folder(name)
        hook_out = fields.get("hook_out", HOOK)
        weights = {"W_E": rand(D, F, scale=0.5), "b_E": rand(F, scale=0.3), "W_D": rand(F, D, scale=0.5), "b_D": rand(D, scale=0.3)}
        theta = rand(F, scale=0.2).abs() + 0.2
        sae = llamascopium_sae(act, **weights, norms=(4.0, 4.0 if hook_out == HOOK else 7.0), theta=theta if act == "jumprelu" else None, **fields)
        sae.save_pretrained(path, fold_activation_scale=fold)
        sae.cfg.save_hyperparameters(path)
        sae = type(sae).from_local(path, device="cpu", dtype=torch.float32)
        sae.set_current_k(K)
        with torch.no_grad():
            # What stands at the other hook only sets the scale of the output where that is of the row.
            batch, scale = sae.normalize_activations({HOOK: X, hook_out: X}, return_scale_factor=True)
            z = sae.encode(batch[HOOK])
            xhat = sae.decode(z) / scale[hook_out]
            # TopK is in units of what is written here: |W_D| folded in.
            record(name, z * sae.decoder_norm() if act == "topk" else z, xhat, "llamascopium 2.0.0b34")


if __name__ == "__main__":
    saelens()
    sparsify()
    dictionary_learning()
    scopes()
    llamascopium()
