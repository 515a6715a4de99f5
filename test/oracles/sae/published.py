"""Adds to test/golden/sae/formats what is published in forms of its own: python test/oracles/sae/published.py [WHEEL], from the repository root.

Files are written with PyTorch in the layout that SAELens's own loaders read, with the names of released files, and numbers.json by those
loaders, the download replaced by the local file. Transcoders of circuit-tracer are written by its own class; WHEEL is circuit-tracer 0.5.0,
unpacked, of which only the class is imported. Every other case of that folder is of formats.py.
"""

import importlib
import json
import os
import sys
import types

import torch
from safetensors.torch import load_file, save_file

import formats
from formats import B, D, F, HOOK, K, OUT, X, folder, rand, record, write_json

# Its own numbers, so that the cases of formats.py stay as they are.
formats.generator.manual_seed(23)


def weights(dtype=torch.float32):
    return {"W_enc": rand(F, D, scale=0.5), "b_enc": rand(F, scale=0.3), "W_dec": rand(F, D, scale=0.5), "b_dec": rand(D, scale=0.3)}


def by_sae_lens(name, repo, file, loader, overrides=(), scale=None, x=X):
    """numbers.json by SAELens's loader of that name."""
    from sae_lens.loading import pretrained_sae_loaders as loaders
    from sae_lens.registry import get_sae_class

    def local(repo_id, filename, subfolder="", **_):
        path = os.path.join(OUT, name, repo, subfolder, filename)
        if not os.path.exists(path):
            raise loaders.EntryNotFoundError(filename)
        return path

    loaders.hf_hub_download = local
    loaders.get_safetensors_tensor_shapes = lambda repo_id, filename: {k: list(v.shape) for k, v in load_file(local(repo_id, filename)).items()}
    owner = {"SAE-Res": "Qwen", "Llama-3.1-8B-Instruct-SAE": "Goodfire"}
    repo_id = next((f"{o}/{repo}" for start, o in owner.items() if repo.startswith(start)), f"lab/{repo}")
    cfg, state, _ = getattr(loaders, loader)(repo_id, file, "cpu", cfg_overrides={"dtype": "float32", **dict(overrides)})
    cls, cfg_cls = get_sae_class(loaders.handle_config_defaulting(dict(cfg))["architecture"])
    sae = cls(cfg_cls.from_dict(loaders.handle_config_defaulting(dict(cfg))))
    sae.load_state_dict({k: v.float() for k, v in state.items()})
    if scale is not None:
        sae.fold_activation_norm_scaling_factor(scale)
    with torch.no_grad():
        if sae.cfg.reshape_activations == "hook_z":
            # [B, heads, width of a head], which it flattens.
            heads = X.reshape(B, 2, D // 2)
            z, xhat = sae.encode(heads), sae(heads).flatten(1)
        else:
            z, xhat = sae.encode(X), sae(X)
    return z, xhat


def published():
    from sae_lens import __version__ as version

    def done(name, repo, file, loader, overrides=(), scale=None):
        z, xhat = by_sae_lens(name, repo, file, loader, overrides, scale)
        record(name, z, xhat, f"sae-lens {version} {loader}")

    sizes = {"d_in": D, "d_sae": F}

    # Qwen Scope; the 32K of the name is its width, which is F here. bfloat16 would be usual, float32 tests more.
    name, repo = "qwen-scope", f"SAE-Res-Qwen3-1.7B-Base-W32K-L0_{K}"
    w = weights()
    torch.save({**w, "W_dec": w["W_dec"].T.contiguous()}, os.path.join(folder(f"{name}/{repo}"), "layer1.sae.pt"))
    done(name, repo, "layer1.sae.pt", "qwen_scope_sae_huggingface_loader", sizes)

    # Goodfire, in bfloat16 as released, and qresearch.
    name, repo = "goodfire", "Llama-3.1-8B-Instruct-SAE-l19"
    w = weights()
    state = {"encoder_linear.weight": w["W_enc"], "encoder_linear.bias": w["b_enc"], "decoder_linear.weight": w["W_dec"].T.contiguous(), "decoder_linear.bias": w["b_dec"]}
    torch.save({k: v.bfloat16() for k, v in state.items()}, os.path.join(folder(f"{name}/{repo}"), f"{repo}.pth"))
    done(name, repo, f"{repo}.pth", "get_goodfire_huggingface_loader", sizes)
    name, repo = "goodfire-qresearch", "DeepSeek-R1-Distill-Llama-8B-SAE-l19"
    w = weights()
    state = {"encoder.weight": w["W_enc"], "encoder.bias": w["b_enc"], "decoder.weight": w["W_dec"].T.contiguous(), "decoder.bias": w["b_dec"]}
    torch.save(state, os.path.join(folder(f"{name}/{repo}"), f"{repo}.pt"))
    done(name, repo, f"{repo}.pt", "deepseek_r1_sae_huggingface_loader", sizes)

    # Attention SAEs; two heads.
    name, file = "attention-out", "gpt2-small_L1_Hcat_z_v9.pt"
    path = folder(name)
    w = weights()
    torch.save({**w, "W_enc": w["W_enc"].T.contiguous()}, os.path.join(path, file))
    write_json(os.path.join(path, file.replace(".pt", "_cfg.json")), {
        "seed": 49, "batch_size": 4096, "lr": 0.0012, "l1_coeff": 1.8, "act_size": D, "dict_size": F, "act_name": "blocks.1.attn.hook_z",
        "model_name": "gpt2-small", "layer": 1, "enc_dtype": "fp32", "head": "cat",
    })
    done(name, "", file, "connor_rob_hook_z_huggingface_loader", {"metadata": {"hook_name": "blocks.1.attn.hook_z"}})

    # Llama Scope R1 Distill: decoder rows of length 1, where SAELens and the authors agree; s is SAELens's registry's.
    name, scale = "llamascopium-2025", 1.7
    path = folder(name)
    w = weights()
    w["W_dec"] /= w["W_dec"].norm(dim=1, keepdim=True)
    write_json(os.path.join(path, "config.json"), {
        "sae_type": "sae", "hook_point_in": HOOK, "hook_point_out": HOOK, "d_model": D, "expansion_factor": F / D, "use_decoder_bias": True,
        "use_glu_encoder": False, "act_fn": "jumprelu", "jump_relu_threshold": 0.0, "apply_decoder_bias_to_pre_encoder": False,
        "norm_activation": "dataset-wise", "sparsity_include_decoder_norm": True, "force_unit_decoder_norm": False, "top_k": 50,
        "use_triton_kernel": False, "sparsity_threshold_for_triton_spmm_kernel": 0.99, "jumprelu_threshold_window": 2.0,
    })
    save_file({
        "encoder.weight": w["W_enc"], "encoder.bias": w["b_enc"], "decoder.weight": w["W_dec"].T.contiguous(), "decoder.bias": w["b_dec"],
        "log_jumprelu_threshold": (rand(F, scale=0.3).abs() + 0.2).log(),
        f"dataset_average_activation_norm.{HOOK}": torch.tensor(D**0.5 / scale),
    }, os.path.join(path, "sae_weights.safetensors"))
    done(name, "", ".", "llama_scope_r1_distill_sae_huggingface_loader", sizes, scale)


def matching_pursuit():
    # In formats.py it would have moved the numbers of all cases behind it.
    import sae_lens
    from sae_lens import SAE
    from sae_lens.saes.matching_pursuit_sae import MatchingPursuitSAE, MatchingPursuitSAEConfig

    metadata = {"model_name": "tiny-model", "hook_name": HOOK, "context_size": 64}
    for name, fields in (
        ("saelens-matching-pursuit", {"residual_threshold": 0.4}),
        ("saelens-matching-pursuit-revisits", {"residual_threshold": 0.1, "max_iterations": 7, "stop_on_duplicate_support": False, "apply_b_dec_to_input": False}),
    ):
        sae = MatchingPursuitSAE(MatchingPursuitSAEConfig.from_dict({"architecture": "matching_pursuit", "d_in": D, "d_sae": F, "metadata": metadata, **fields}))
        with torch.no_grad():
            rows = rand(F, D)
            sae.W_dec.copy_(rows / rows.norm(dim=1, keepdim=True))
            sae.b_dec.copy_(rand(D, scale=0.3))
        path = folder(name)
        sae.save_model(path)
        sae = SAE.load_from_disk(path, dtype="float32")
        with torch.no_grad():
            record(name, sae.encode(X), sae(X), f"sae-lens {sae_lens.__version__}")


def temporal():
    """Two sequences, which SAELens takes as a batch: numbers.json has their lengths, and xhat of forward, with the context."""
    import sae_lens
    from sae_lens import SAE
    from sae_lens.saes.temporal_sae import TemporalSAE, TemporalSAEConfig

    length = 5
    rows = torch.cat([X, rand(2 * length - B, D, scale=1.5, mean=0.3)])

    def done(name, sae, by):
        with torch.no_grad():
            both = rows.reshape(2, length, D)
            z, xhat = sae.encode(both).flatten(0, 1), sae(both).flatten(0, 1)
        record(name, z, xhat, by, rows)
        path = os.path.join(OUT, name, "numbers.json")
        with open(path) as f:
            numbers = json.load(f)
        with open(path, "w") as f:
            json.dump({**numbers, "sequences": [length, length]}, f)
            f.write("\n")

    def filled(sae):
        with torch.no_grad():
            for key, p in sae.named_parameters():
                p.copy_(rand(*p.shape, scale=2.0 if key.startswith("W_") else 0.5 if p.dim() == 2 else 0.3))
        return sae

    metadata = {"model_name": "tiny-model", "hook_name": HOOK, "context_size": 64}
    shared = {"architecture": "temporal", "d_in": D, "d_sae": F, "n_heads": 2, "bottleneck_factor": 4, "metadata": metadata}
    for name, fields in (
        ("saelens-temporal", {"kval_topk": K, "n_attn_layers": 1, "normalize_activations": "constant_scalar_rescale", "activation_normalization_factor": 0.4}),
        ("saelens-temporal-untied", {"sae_diff_type": "relu", "n_attn_layers": 2, "tied_weights": False, "apply_b_dec_to_input": False}),
    ):
        sae = filled(TemporalSAE(TemporalSAEConfig.from_dict({**shared, **fields})))
        path = folder(name)
        sae.save_model(path)
        done(name, SAE.load_from_disk(path, dtype="float32"), f"sae-lens {sae_lens.__version__}")

    # As released: SAELens's loader, and the SAE that it makes.
    from sae_lens.loading import pretrained_sae_loaders as loaders

    name, place, scale = "temporal", "gemma-2-2B/layer_1/temporal", 0.4
    path = folder(f"{name}/{place}")
    with open(os.path.join(path, "conf.yaml"), "w") as f:
        f.write(f"data:\n  dtype: float32\nllm:\n  dimin: {D}\n  layers:\n  - 1\nsae:\n  sae_type: temporal\n  exp_factor: {F / D}\n  n_heads: 2\n  n_attn_layers: 1\n  bottleneck_factor: 4\n  sae_diff_type: topk\n  kval_topk: {K}\n  tied_weights: true\n  scaling_factor: {scale}\n")
    made = filled(TemporalSAE(TemporalSAEConfig.from_dict({**shared, "kval_topk": K, "n_attn_layers": 1})))
    state = {k: v.clone() for k, v in made.state_dict().items()}
    save_file({"D": state.pop("W_dec"), "b": state.pop("b_dec"), **state}, os.path.join(path, "latest_ckpt.safetensors"))
    loaders.hf_hub_download = lambda repo_id, filename, **_: os.path.join(OUT, name, filename)
    cfg, state, _ = loaders.temporal_sae_huggingface_loader("lab/temporalSAEs", place, "cpu", cfg_overrides={"dtype": "float32", "d_sae": F})
    sae = TemporalSAE(TemporalSAEConfig.from_dict(cfg))
    sae.load_state_dict(state)
    done(name, sae, f"sae-lens {sae_lens.__version__} temporal_sae_huggingface_loader")


def circuit_tracer(wheel):
    # Its __init__ wants transformer_lens and nnsight, which its class of one layer does not.
    for name in ("circuit_tracer", "circuit_tracer.transcoder", "circuit_tracer.utils"):
        package = types.ModuleType(name)
        package.__path__ = [os.path.join(wheel, *name.split("."))]
        sys.modules[name] = package
    sys.modules["circuit_tracer.utils"].get_default_device = lambda: torch.device("cpu")
    module = importlib.import_module("circuit_tracer.transcoder.single_layer_transcoder")

    for name, jump in (("circuit-tracer-relu", False), ("circuit-tracer-jumprelu-skip", True)):
        act = module.JumpReLU(rand(F, scale=0.3).abs() + 0.2, 0.1) if jump else torch.nn.functional.relu
        sae = module.SingleLayerTranscoder(D, F, act, 1, skip_connection=jump, device=torch.device("cpu"), dtype=torch.float32)
        with torch.no_grad():
            for key, value in weights().items():
                getattr(sae, key).copy_(value)
            if jump:
                sae.W_skip.copy_(rand(D, D, scale=0.4))
        path = folder(name)
        sae.to_safetensors(os.path.join(path, "layer_1.safetensors"))
        with open(os.path.join(path, "config.yaml"), "w") as f:
            f.write('model_name: "lab/tiny-model"  # of the hub\nmodel_kind: transcoder_set\nfeature_input_hook: mlp.hook_in\nfeature_output_hook: mlp.hook_out\n')
        sae = module.load_relu_transcoder(os.path.join(path, "layer_1.safetensors"), 1, device=torch.device("cpu"), lazy_encoder=False, lazy_decoder=False)
        with torch.no_grad():
            z, xhat = sae.encode(X), sae(X)
        record(name, z, xhat, "circuit-tracer 0.5.0")
        if jump:
            continue
        # SAELens reads the same file for its authors' repositories, with a config of training beside it.
        wandb = os.path.join(path, "wandb-config.yaml")
        with open(wandb, "w") as f:
            f.write(f"d_model:\n  value: {D}\nd_feature:\n  value: {F}\nbatch_size:\n  value: 64\n")
        z2, xhat2 = by_sae_lens(name, "", "layer_1.safetensors", "mwhanna_transcoder_huggingface_loader")
        os.remove(wandb)
        assert torch.allclose(z, z2, atol=1e-6) and torch.allclose(xhat, xhat2, atol=1e-6)


def cross_layer():
    """Layers of cross-layer transcoders and crosscoders, by circuit-tracer: of its reconstruction what the layer alone gives."""
    module = importlib.import_module("circuit_tracer.transcoder.cross_layer_transcoder")
    L, N = 4, 1

    def numbers(clt):
        """z of layer N, and what it writes to the layers N to L - 1 side by side: the biases of the others are theirs."""
        with torch.no_grad():
            z = clt.encode_layer(X, N)
            features = torch.zeros(L, B, F)
            features[N] = z
            skips = clt.W_skip is not None
            inputs = torch.zeros(L, B, D)
            inputs[N] = X
            out = clt.decode(features, inputs if skips else None) - clt.b_dec[:, None]
            out[N] += clt.b_dec[N]
        return z, out[N:].permute(1, 0, 2).reshape(B, -1)

    for name, jump in (("circuit-tracer-clt-relu", False), ("circuit-tracer-clt-jumprelu", True)):
        clt = module.CrossLayerTranscoder(L, F, D, "jump_relu" if jump else "relu", lazy_decoder=False, device=torch.device("cpu"), dtype=torch.float32)
        with torch.no_grad():
            for parameter in (clt.W_enc, clt.b_enc, clt.b_dec, *clt.W_dec):
                parameter.copy_(rand(*parameter.shape, scale=0.4))
            if jump:
                clt.activation_function.threshold.copy_(rand(L, 1, F, scale=0.3).abs() + 0.2)
        path = folder(name)
        clt.to_safetensors(path)
        with open(os.path.join(path, "config.yaml"), "w") as f:
            f.write("model_name: lab/tiny-model\nmodel_kind: cross_layer_transcoder\nfeature_input_hook: hook_resid_mid\nfeature_output_hook: hook_mlp_out\n")
        record(name, *numbers(module.load_clt(path, device=torch.device("cpu"), dtype=torch.float32, lazy_decoder=False)), "circuit-tracer 0.5.0")
        if not jump:
            # SAELens adds up what the layers get.
            _, total = by_sae_lens(name, "", str(N), "mntss_clt_layer_huggingface_loader")
            xhat = torch.tensor(json.load(open(os.path.join(path, "numbers.json")))["xhat"]).reshape(B, L - N, D)
            assert torch.allclose(total, xhat.sum(1), atol=1e-5)
        for n in range(L):
            if n != N:
                os.remove(os.path.join(path, f"W_enc_{n}.safetensors"))
                os.remove(os.path.join(path, f"W_dec_{n}.safetensors"))

    # Of Gemma Scope 2 there is no program that writes: the layout is that of circuit-tracer's loader for it.
    for name, inside in (
        ("gemma-scope-2-clt", "clt/width_16_l0_small_affine"),
        ("gemma-scope-2-crosscoder", "crosscoder/layer_3_5_8_9_width_16_l0_small"),
    ):
        path = os.path.join(folder(name), inside)
        os.makedirs(path)
        files = {}
        for n in range(L):
            layer = {"w_enc": rand(D, F, scale=0.5), "b_enc": rand(F, scale=0.3), "b_dec": rand(D, scale=0.3)}
            layer |= {"w_dec": rand(F, L, D, scale=0.4), "threshold": rand(F, scale=0.3).abs() + 0.2}
            layer |= {"affine_skip_connection": rand(D, D, scale=0.4)} if "affine" in inside else {}
            files[n] = os.path.join(path, f"params_layer_{n}.safetensors")
            save_file(layer, files[n])
        # It leaves out the last.
        record(name, *numbers(module.load_gemma_scope_2_clt(files | {L: ""}, device=torch.device("cpu"), dtype=torch.float32)), "circuit-tracer 0.5.0; layout")
        for n in range(L):
            if n != N:
                os.remove(files[n])


def groupmax():
    from sparsify.config import SparseCoderConfig
    from sparsify.sparse_coder import SparseCoder

    for name, fields in (("sparsify-groupmax", {}), ("sparsify-groupmax-transcoder", {"transcode": True})):
        sae = SparseCoder(D, SparseCoderConfig(num_latents=F, k=4, activation="groupmax", normalize_decoder=False, **fields), decoder=True)
        formats.randomize(sae)
        sae.save_to_disk(folder(f"{name}/layers.1"))
        with torch.no_grad():
            top = sae.encode(X)
            z = torch.zeros(B, F).scatter(1, top.top_indices, top.top_acts)
            record(name, z, sae.decode(top.top_acts, top.top_indices), "eai-sparsify 1.3.3")


if __name__ == "__main__":
    published()
    circuit_tracer(*sys.argv[1:])
    matching_pursuit()
    temporal()
    cross_layer()
    groupmax()
