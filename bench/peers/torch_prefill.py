"""Prompts through a Hugging Face folder by transformers: keys and values cached, logits of the last position only, f32, SDPA attention.

`--ids` is raw little-endian i32 [B, T]. `save PATH` over the protocol writes the logits [B, V] as raw f32.
"""

import peer

args = peer.options(model=str, ids=str)
import numpy as np  # noqa: E402
import torch  # noqa: E402
from transformers import AutoModelForCausalLM  # noqa: E402

torch.set_num_threads(args.threads)
model = AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32).eval()
ids = torch.from_numpy(np.fromfile(args.ids, dtype="<i4").reshape(args.B, -1).astype(np.int64))
last = {}


@torch.inference_mode()
def step(_):
    last["logits"] = model(input_ids=ids, use_cache=True, logits_to_keep=1).logits[:, -1]


def save(path):
    last["logits"].contiguous().numpy().tofile(path)
    return {"saved": path}


peer.run(
    args, "torch_prefill", step, ids.numel(), ["torch", "transformers"],
    f"AutoModelForCausalLM, use_cache, logits_to_keep=1, attention {model.config._attn_implementation}, inference_mode", commands={"save": save},
)
