"""
What onnxruntime in Python finds at the residual tensors of Moonshine's encoder, and its decoder's greedy tokens, on a sound made by a formula.

    python test/oracles/onnx/make_moonshine.py .cache/models/moonshine-tiny test/golden/onnx/moonshine.json
"""
import json
import sys

import numpy as np
import onnx
import onnxruntime as ort

folder, target = sys.argv[1:]
t = np.arange(24000) / 16000
# A vowel-like tone with a slow tremolo, as in moonshine.slow.test.ts.
audio = (0.3 * np.sin(2 * np.pi * 140 * t) + 0.2 * np.sin(2 * np.pi * 700 * t) + 0.1 * np.sin(2 * np.pi * 1220 * t)) * (0.6 + 0.4 * np.sin(2 * np.pi * 3 * t))
audio = audio.astype(np.float32)[None]

model = onnx.load(f"{folder}/encoder_model.onnx")
taps = {f"blocks.{l}.hook_resid_{place}": f"/layers.{l}/{name}_output_0" for l in (0, 3, 5) for place, name in (("mid", "Add"), ("post", "Add_1"))}
for tensor in taps.values():
    model.graph.output.append(onnx.ValueInfoProto(name=tensor))
session = ort.InferenceSession(model.SerializeToString())
values = session.run(["last_hidden_state", *taps.values()], {"input_values": audio})
hidden = values[0]
found = {"dims": list(hidden.shape), "hooks": {}}
for (hook, tensor), value in zip(taps.items(), values[1:]):
    found["hooks"][hook] = {"tensor": tensor, "rms": float(np.sqrt((value**2).mean())), "row10": [float(x) for x in value[0, 10, :8]]}

decoder = ort.InferenceSession(f"{folder}/decoder_model_merged.onnx")
ids = [1]
for _ in range(8):
    feeds = {"input_ids": np.array([ids]), "encoder_hidden_states": hidden, "use_cache_branch": np.array([False])}
    for one in decoder.get_inputs():
        if one.name.startswith("past"):
            feeds[one.name] = np.zeros((1, 8, 1, 36), np.float32)
    logits = decoder.run(["logits"], feeds)[0]
    ids.append(int(logits[0, -1].argmax()))
found["tokens"] = ids
json.dump(found, open(target, "w"), indent=1)
