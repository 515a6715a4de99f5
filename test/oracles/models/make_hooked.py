"""What PyTorch computes when forward hooks edit the tiny models in the middle.

Reads test/golden/models/hooked-cases.json: edits by hook name. Writes <model>/hooked.safetensors: for every case the last residual of
a plain batch and of one with a row padded on the left and one on the right, and for the last case the logits.
"""

import json

import torch
from safetensors.torch import save_file

from make_models import KINDS, OUT, places

MODELS = ["llama-untied", "gpt2-new", "neox-parallel", "gemma2"]
CASES = json.loads((OUT / "hooked-cases.json").read_text())


def edit(x, op, *args, heads_at):
    """The edits, out of place. heads_at: the axis of heads, where there is one."""
    if op == "zero":
        return torch.zeros_like(x)
    if op == "scale":
        return x * args[0]
    if op == "add":
        return x + torch.sin(torch.arange(x.shape[-1], dtype=torch.float64)).to(x.dtype)
    if op == "swap":
        order = list(range(x.shape[1]))
        a, b = args
        order[a], order[b] = b, a
        return x[:, order]
    if op == "zero head":
        keep = torch.ones(x.shape[heads_at], dtype=x.dtype)
        keep[args[0]] = 0
        return x * keep.reshape([-1 if axis == heads_at else 1 for axis in range(x.dim())])
    if op == "diagonal":
        return torch.eye(x.shape[-1], dtype=x.dtype).expand_as(x)
    raise ValueError(op)


def run(model, case, ids, mask=None):
    """Last residual and logits with the edits of a case in place."""
    outside, layers = places(model)
    modules = {name: (module, what) for module, what, name in outside}
    modules |= {f"blocks.{i}.{name}": (module, what) for i, layer in enumerate(layers) for module, what, name in layer}
    H = model.config.num_attention_heads
    handles, patterns = [], {}

    def on_output(module, change):
        def hook(_module, _args, output):
            return (change(output[0]), *output[1:]) if isinstance(output, tuple) else change(output)
        handles.append(module.register_forward_hook(hook))

    def on_input(module, change):
        def hook(_module, args, kwargs):
            if args:
                return (change(args[0]), *args[1:]), kwargs
            name = next(iter(kwargs))
            return args, {**kwargs, name: change(kwargs[name])}
        handles.append(module.register_forward_pre_hook(hook, with_kwargs=True))

    # The residual stream is read twice, by the norm and by the sum after it: in the middle of a block the norm's hook is too late.
    def on_middle(layer, attention, change):
        """resid_mid = resid_pre + attn_out: change attn_out so that the sum becomes the changed sum."""
        before = {}
        handles.append(layer.register_forward_pre_hook(lambda _m, args, kwargs: before.update(x=args[0] if args else kwargs["hidden_states"]), with_kwargs=True))
        on_output(attention, lambda out: change(before["x"] + out) - before["x"])

    for name, *what in case:
        change = lambda x, what=what: edit(x, *what, heads_at=2)
        module, where = modules[name]
        block = name.rsplit(".hook_", 1)[0]
        if name.endswith("hook_resid_mid"):
            on_middle(modules[f"{block}.hook_resid_pre"][0], modules[f"{block}.hook_attn_out"][0], change)
        elif where == "pattern":
            patterns[int(name.split(".")[1])] = change
        elif name.endswith("hook_z"):
            on_input(module, lambda x, change=change: change(x.reshape(*x.shape[:2], H, -1)).reshape(x.shape))
        elif where == "in":
            on_input(module, change)
        else:
            on_output(module, change)
    last = {}
    handles.append(layers[-1][-1][0].register_forward_hook(lambda _m, _a, out: last.update(x=out[0] if isinstance(out, tuple) else out)))

    # Eager attention takes one softmax per layer, in order; nothing else in a forward pass takes any.
    softmax, calls = torch.nn.functional.softmax, [0]

    def counted(*args, **kwargs):
        layer = calls[0]
        calls[0] += 1
        pattern = softmax(*args, **kwargs)
        return patterns[layer](pattern) if layer in patterns else pattern

    extra = {} if mask is None else {"attention_mask": mask, "position_ids": (mask.cumsum(-1) - 1).clamp(min=0)}
    torch.nn.functional.softmax = counted
    try:
        with torch.no_grad():
            logits = model(ids, use_cache=False, **extra).logits
    finally:
        torch.nn.functional.softmax = softmax
        for handle in handles:
            handle.remove()
    assert calls[0] == len(layers)
    return last["x"].float().contiguous(), logits.float().contiguous()


def make(name):
    folder = OUT / name
    kind = KINDS[json.loads((folder / "config.json").read_text())["model_type"]]
    double = kind.from_pretrained(folder, dtype=torch.float64, attn_implementation="eager").eval()
    # Padding in float32, as in make_models.py.
    single = kind.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    generator = torch.Generator().manual_seed(7)
    ids = torch.randint(3, double.config.vocab_size, (1, 12), generator=generator)
    padded = torch.randint(3, double.config.vocab_size, (2, 12), generator=generator)
    mask = torch.ones(2, 12, dtype=torch.long)
    mask[0, :4] = 0
    mask[1, 9:] = 0
    golden = {"plain/ids": ids.int(), "padded/ids": padded.int(), "padded/mask": mask.to(torch.uint8)}
    clean, _ = run(double, [], ids)
    parallel = getattr(double.config, "use_parallel_residual", False)
    # A parallel block has no middle.
    cases = {title: case for title, case in CASES.items() if not parallel or all("resid_mid" not in name for name, *_ in case)}
    for title, case in cases.items():
        residual, logits = run(double, case, ids)
        # Gemma's second norms take the size of what attention and MLP write out again.
        unseen = title in ("scale neurons", "half a pattern") and double.config.model_type == "gemma2"
        assert unseen or (residual - clean).abs().max() > 0.01, f"{title} changes nothing"
        golden[f"plain/{title}"] = residual
        golden[f"padded/{title}"], padded_logits = run(single, case, padded, mask)
    golden |= {"plain/logits": logits, "padded/logits": padded_logits}
    assert all(v.isfinite().all() for v in golden.values())
    save_file({k: v.contiguous() for k, v in golden.items()}, folder / "hooked.safetensors", metadata={"source": f"transformers, {name}"})
    print(f"{name}: {len(cases)} cases, {(folder / 'hooked.safetensors').stat().st_size // 1024} KB")


if __name__ == "__main__":
    for name in MODELS:
        make(name)
