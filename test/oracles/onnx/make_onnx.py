"""
ONNX files as people have them, and what PyTorch says is inside.

    gpt2       torch.onnx, the exporter of PyTorch 2.9 and later (torch.export)
    gpt2-past  Optimum, with key-value cache
    llama      Optimum, with key-value cache, grouped query heads; weights in a second file
    llama-f16  the same in half precision
    llama-int8 the same with dynamically quantised products (onnxruntime.quantization); numbers are those of onnxruntime in Python
    bert       Optimum, an encoder
    neox       Optimum, attention and MLP in parallel: one sum per layer
    bert-fused, gpt2-fused   the same behind ONNX Runtime's optimizer: sums and norms, embeddings, attention as one operator each

Run in an environment with torch, transformers < 5, optimum-onnx, onnx, onnxruntime, safetensors:

    python test/oracles/onnx/make_onnx.py test/golden/onnx
"""
import json
import os
import shutil
import sys
import tempfile

import numpy as np
import onnx
import torch
from optimum.exporters.onnx import main_export
from safetensors.numpy import save_file
from transformers import BertConfig, BertModel, GPT2Config, GPT2LMHeadModel, GPTNeoXConfig, GPTNeoXForCausalLM, LlamaConfig, LlamaForCausalLM

out = sys.argv[1]
ROWS = [[3, 14, 15, 9, 26, 5], [35, 8, 9, 7]]
V, D, LAYERS, HEADS = 48, 16, 2, 4
torch.manual_seed(0)


def scaled(model):
    """Weights large enough that a wrong hook is not mistaken for a right one."""
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_(p + 0.25 * torch.randn_like(p) if p.dim() > 1 else p + 0.1 * torch.randn_like(p))
    return model.eval()


MODELS = {
    "gpt2": scaled(GPT2LMHeadModel(GPT2Config(vocab_size=V, n_positions=16, n_embd=D, n_layer=LAYERS, n_head=HEADS, bos_token_id=0, eos_token_id=1))),
    "llama": scaled(
        LlamaForCausalLM(
            LlamaConfig(vocab_size=V, hidden_size=D, intermediate_size=24, num_hidden_layers=LAYERS, num_attention_heads=HEADS, num_key_value_heads=2, max_position_embeddings=32, bos_token_id=0, eos_token_id=1)
        )
    ),
    "bert": scaled(BertModel(BertConfig(vocab_size=V, hidden_size=D, intermediate_size=24, num_hidden_layers=LAYERS, num_attention_heads=HEADS, max_position_embeddings=16), add_pooling_layer=False)),
    "neox": scaled(GPTNeoXForCausalLM(GPTNeoXConfig(vocab_size=V, hidden_size=D, intermediate_size=24, num_hidden_layers=LAYERS, num_attention_heads=HEADS, max_position_embeddings=32, rotary_pct=0.5, use_parallel_residual=True, bos_token_id=0, eos_token_id=1))),
}


def places(kind, model):
    """Modules whose input (pre) or output is a hook."""
    if kind == "gpt2":
        for l, block in enumerate(model.transformer.h):
            yield f"blocks.{l}.hook_resid_pre", block, "input"
            yield f"blocks.{l}.hook_attn_out", block.attn, "output"
            yield f"blocks.{l}.hook_resid_mid", block.ln_2, "input"
            yield f"blocks.{l}.hook_mlp_out", block.mlp, "output"
            yield f"blocks.{l}.hook_resid_post", block, "output"
    if kind == "llama":
        for l, block in enumerate(model.model.layers):
            yield f"blocks.{l}.hook_resid_pre", block.input_layernorm, "input"
            yield f"blocks.{l}.hook_attn_out", block.self_attn, "output"
            yield f"blocks.{l}.hook_resid_mid", block.post_attention_layernorm, "input"
            yield f"blocks.{l}.hook_mlp_out", block.mlp, "output"
            yield f"blocks.{l}.hook_resid_post", block, "output"
    if kind == "neox":
        for l, block in enumerate(model.gpt_neox.layers):
            yield f"blocks.{l}.hook_resid_pre", block.input_layernorm, "input"
            yield f"blocks.{l}.hook_resid_post", block, "output"
    if kind == "bert":
        for l, block in enumerate(model.encoder.layer):
            yield f"blocks.{l}.hook_resid_pre", block.attention.self.query, "input"
            yield f"blocks.{l}.hook_resid_mid", block.attention.output.LayerNorm, "input"
            yield f"blocks.{l}.hook_normalized_resid_mid", block.attention, "output"
            yield f"blocks.{l}.hook_resid_post", block.output.LayerNorm, "input"
            yield f"blocks.{l}.hook_normalized_resid_post", block, "output"


def truth(kind, model):
    found = {}
    for r, row in enumerate(ROWS):
        handles = []
        for name, module, side in places(kind, model):
            def keep(_, args, kwargs, output, name=name, side=side):
                value = (args[0] if args else next(iter(kwargs.values()))) if side == "input" else output
                value = value[0] if isinstance(value, tuple) else value
                found[f"{r}/{name}"] = value[0].detach().numpy().copy()
            handles.append(module.register_forward_hook(keep, with_kwargs=True))
        with torch.no_grad():
            result = model(torch.tensor([row]))
        if kind != "bert":
            found[f"{r}/logits"] = result.logits[0].numpy().copy()
        for handle in handles:
            handle.remove()
    return found


def clean(path, target, external=False):
    """Without the exporter's notes on source files, which are most of a small file."""
    model = onnx.load(path)
    for node in model.graph.node:
        node.ClearField("doc_string")
        node.ClearField("metadata_props")
    for part in [*model.graph.value_info, *model.graph.input, *model.graph.output]:
        part.ClearField("metadata_props")
    del model.graph.value_info[:]
    model.graph.ClearField("metadata_props")
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if external:
        # onnx appends to a file that is there.
        data = os.path.join(os.path.dirname(target), "model.onnx_data")
        if os.path.exists(data):
            os.remove(data)
        onnx.save(model, target, save_as_external_data=True, location="model.onnx_data", size_threshold=256)
    else:
        onnx.save(model, target)
    return model


with tempfile.TemporaryDirectory() as tmp:
    numbers = {kind: truth(kind, model) for kind, model in MODELS.items()}
    for kind, model in MODELS.items():
        model.save_pretrained(f"{tmp}/{kind}")
    for name, kind, task in [("gpt2-past", "gpt2", "text-generation-with-past"), ("llama", "llama", "text-generation-with-past"), ("bert", "bert", "feature-extraction"), ("neox", "neox", "text-generation")]:
        main_export(f"{tmp}/{kind}", output=f"{tmp}/{name}-onnx", task=task, do_validation=False)
        clean(f"{tmp}/{name}-onnx/model.onnx", f"{out}/{name}/model.onnx", external=name == "llama")
        config = json.load(open(f"{tmp}/{kind}/config.json"))
        json.dump({k: v for k, v in config.items() if k in ("model_type", "max_position_embeddings", "n_positions", "bos_token_id", "eos_token_id", "num_attention_heads", "n_head", "num_key_value_heads")}, open(f"{out}/{name}/config.json", "w"))
        save_file(numbers[kind], f"{out}/{name}/golden.safetensors")

    torch.onnx.export(
        MODELS["gpt2"], (torch.tensor([ROWS[0], ROWS[0]]),), f"{tmp}/gpt2.onnx", input_names=["input_ids"], output_names=["logits"],
        kwargs={"use_cache": False}, dynamo=True, external_data=False,
        dynamic_shapes={"input_ids": {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}, "use_cache": None},
    )
    clean(f"{tmp}/gpt2.onnx", f"{out}/gpt2/model.onnx")
    save_file(numbers["gpt2"], f"{out}/gpt2/golden.safetensors")

    from onnxruntime.transformers import optimizer

    for name, kind in [("bert", "bert"), ("gpt2-past", "gpt2")]:
        fused = optimizer.optimize_model(f"{tmp}/{name}-onnx/model.onnx", model_type=kind, num_heads=HEADS, hidden_size=D, opt_level=0)
        fused.save_model_to_file(f"{tmp}/{name}-fused.onnx")
        clean(f"{tmp}/{name}-fused.onnx", f"{out}/{kind}-fused/model.onnx")
        # What is added is no value of its own where biases are fused.
        kept = {k: v for k, v in numbers[kind].items() if k.endswith("logits") or "resid" in k}
        save_file(kept, f"{out}/{kind}-fused/golden.safetensors")

    from onnxruntime.quantization import quantize_dynamic
    from onnxruntime.transformers.float16 import convert_float_to_float16

    half = convert_float_to_float16(onnx.load(f"{tmp}/llama-onnx/model.onnx"), keep_io_types=False)
    onnx.save(half, f"{tmp}/half.onnx")
    clean(f"{tmp}/half.onnx", f"{out}/llama-f16/model.onnx")
    save_file(numbers["llama"], f"{out}/llama-f16/golden.safetensors")

    quantize_dynamic(f"{tmp}/llama-onnx/model.onnx", f"{tmp}/int8.onnx")
    quantized = clean(f"{tmp}/int8.onnx", f"{out}/llama-int8/model.onnx")
    import onnxruntime

    tap = "/model/layers.0/Add_1_output_0"
    quantized.graph.output.append(onnx.ValueInfoProto(name=tap))
    session = onnxruntime.InferenceSession(quantized.SerializeToString())
    found = {}
    for r, row in enumerate(ROWS):
        feeds = {"input_ids": np.array([row]), "attention_mask": np.ones((1, len(row)), np.int64), "position_ids": np.arange(len(row))[None]}
        for one in session.get_inputs():
            if one.name.startswith("past"):
                feeds[one.name] = np.zeros((1, one.shape[1], 0, one.shape[3]), np.float32)
        logits, hidden = session.run(["logits", tap], feeds)
        found[f"{r}/logits"] = logits[0]
        found[f"{r}/blocks.0.hook_resid_post"] = hidden[0]
    save_file(found, f"{out}/llama-int8/golden.safetensors")
