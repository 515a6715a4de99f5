"""Reads files that saekit wrote, with the libraries whose formats they are in; the numbers must be those of numbers.json.

    python test/oracles/sae/read_back.py FOLDER     that has dl-<class>, gs, folded-*, sl-<architecture>, sp-<case>, onnx-<case>, as read-back.ts writes them

ONNX files are checked by onnx.checker and run by onnxruntime. test/golden/sae/read-back.json gets a checksum of each of the other files: what
saekit writes later is what was read here.
"""

import hashlib
import json
import os
import sys

import numpy as np
import torch

GOLDEN = os.path.join(os.path.dirname(__file__), "..", "..", "golden", "sae", "formats")


def run_onnx(folder, case):
    """The largest error of the three graphs of a folder."""
    import onnx
    import onnxruntime

    with open(os.path.join(GOLDEN, case, "numbers.json")) as f:
        golden = json.load(f)
    given = {name: np.array(golden[name], np.float32).reshape(golden["B"], -1) for name in ("x", "z")}
    worst = 0.0
    for file, output in [("encoder", "z"), ("decoder", "xhat"), ("round_trip", "xhat")]:
        path = os.path.join(folder, f"{file}.onnx")
        onnx.checker.check_model(path, full_check=True)
        session = onnxruntime.InferenceSession(path)
        feeds = {end.name: given[end.name] for end in session.get_inputs()}
        found = session.run([output], feeds)[0]
        worst = max(worst, np.abs(found.ravel() - np.array(golden[output])).max())
    return worst


class Sparsify:
    """SparseCoder with a dense code."""

    def __init__(self, path):
        from sparsify.sparse_coder import SparseCoder

        self.coder = SparseCoder.load_from_disk(path)

    def encode(self, x):
        self.x, top = x, self.coder.encode(x)
        return torch.zeros(x.shape[0], self.coder.num_latents).scatter(1, top.top_indices, top.top_acts)

    def decode(self, z):
        acts, indices = z.topk(int((z != 0).sum(1).max()))
        skip = 0 if self.coder.W_skip is None else self.x @ self.coder.W_skip.mT
        return self.coder.decode(acts, indices) + skip


def main(root):
    from sae_lens import SAE

    import formats

    worst, read = 0.0, {}
    with open(os.path.join(root, "cases.json")) as f:
        cases = json.load(f)
    for name in sorted(os.listdir(root)):
        path = os.path.join(root, name)
        file = "sae_weights.safetensors"
        if name.startswith("dl-") or name == "folded-dl":
            cls = "JumpReluAutoEncoder" if name == "folded-dl" else name[3:]
            case = "saelens-jumprelu" if name == "folded-dl" else f"dictionary-learning-{cls}"
            file = "ae.pt"
            state = torch.load(os.path.join(path, file), weights_only=True)
            sae = formats.dictionary_classes()[cls]()
            sae.load_state_dict(state)
            if "TopK" in cls:
                # As its users load it: k and group sizes are the file's.
                with open(os.path.join(path, "config.json")) as f:
                    k = json.load(f)["trainer"]["k"]
                sae = type(sae).from_pretrained(os.path.join(path, file), k=k)
        elif name in ("gs", "folded-gs"):
            case = "gemma-scope-2" if name == "gs" else "saelens-jumprelu"
            file = "params.npz"
            state = {k: torch.from_numpy(v) for k, v in np.load(os.path.join(path, "params.npz")).items()}
            sae = formats.dictionary_classes()["JumpReluAutoEncoder"]()
            sae.load_state_dict(state)
        elif name.startswith("sl-"):
            case = "dictionary-learning-BatchTopKSAE" if name == "sl-bt" else f"saelens-{name[3:]}"
            sae = SAE.load_from_disk(path)
        elif name.startswith("sp-"):
            case, file = f"sparsify-{name[3:]}", "sae.safetensors"
            sae = Sparsify(path)
        elif name.startswith("onnx-"):
            error = run_onnx(path, name[5:])
            worst = max(worst, error)
            print(name, f"{error:.2e}")
            assert error < 2e-5, name
            continue
        else:
            continue
        with open(os.path.join(GOLDEN, case, "numbers.json")) as f:
            golden = json.load(f)
        x = torch.tensor(golden["x"]).reshape(golden["B"], -1)
        if "sequences" in golden:
            x = x.reshape(len(golden["sequences"]), golden["sequences"][0], -1)
        with torch.no_grad():
            z = sae.encode(x)
            xhat = sae(x) if name.startswith("sl-") else sae.decode(z)
        error = max(
            (z.flatten() - torch.tensor(golden["z"])).abs().max().item(),
            (xhat.flatten() - torch.tensor(golden["xhat"])).abs().max().item(),
        )
        worst = max(worst, error)
        print(name, f"{error:.2e}")
        assert error < 2e-5, name
        with open(os.path.join(path, file), "rb") as f:
            read[name] = {**cases[name], "file": file, "sha256": hashlib.sha256(f.read()).hexdigest()}
    with open(os.path.join(GOLDEN, "..", "read-back.json"), "w") as f:
        json.dump(read, f, indent=1)
        f.write("\n")
    print("worst", f"{worst:.2e}")


if __name__ == "__main__":
    main(sys.argv[1])
