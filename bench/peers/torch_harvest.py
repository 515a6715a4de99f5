"""Activations of a Hugging Face folder by transformers: AutoModel (no head), output_hidden_states, f32, SDPA attention.

`--ids` is raw little-endian i32 [B, T]. `save PATH` over the protocol writes hidden_states[layer + 1] as raw f32.
"""

import peer

args = peer.options(model=str, ids=str, layer=int)
import numpy as np  # noqa: E402
import torch  # noqa: E402
from transformers import AutoModel  # noqa: E402

torch.set_num_threads(args.threads)
model = AutoModel.from_pretrained(args.model, dtype=torch.float32).eval()
ids = torch.from_numpy(np.fromfile(args.ids, dtype="<i4").reshape(args.B, -1).astype(np.int64))
# A forward hook sees the residual stream before the final norm, which hidden_states[-1] does not.
seen = {}
model.layers[args.layer].register_forward_hook(
    lambda _module, _inputs, output: seen.update(h=output[0] if isinstance(output, tuple) else output)
)


@torch.inference_mode()
def step(_):
    model(input_ids=ids, output_hidden_states=True, use_cache=False)


def save(path):
    seen["h"].contiguous().numpy().tofile(path)
    return {"saved": path}


peer.run(
    args, "torch_harvest", step, ids.numel(), ["torch", "transformers"],
    f"AutoModel, all layers, attention {model.config._attn_implementation}, inference_mode", commands={"save": save},
)
