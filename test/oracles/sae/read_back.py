"""Reads files that saekit wrote, with the libraries whose formats they are in; the numbers must be those of numbers.json.

    python test/oracles/sae/read_back.py FOLDER     that has dl-<class>, gs, sl-<architecture>, as read-back.ts writes them
"""

import json
import os
import sys

import numpy as np
import torch

GOLDEN = os.path.join(os.path.dirname(__file__), "..", "..", "golden", "sae", "formats")


def main(root):
    from sae_lens import SAE

    import formats

    worst = 0.0
    for name in sorted(os.listdir(root)):
        path = os.path.join(root, name)
        if name.startswith("dl-"):
            case = f"dictionary-learning-{name[3:]}"
            state = torch.load(os.path.join(path, "ae.pt"), weights_only=True)
            sae = formats.dictionary_classes()[name[3:]]()
            sae.load_state_dict(state)
        elif name == "gs":
            case = "gemma-scope-2"
            state = {k: torch.from_numpy(v) for k, v in np.load(os.path.join(path, "params.npz")).items()}
            sae = formats.dictionary_classes()["JumpReluAutoEncoder"]()
            sae.load_state_dict(state)
        elif name.startswith("sl-"):
            case = "dictionary-learning-BatchTopKSAE" if name == "sl-bt" else f"saelens-{name[3:]}"
            sae = SAE.load_from_disk(path)
        else:
            continue
        with open(os.path.join(GOLDEN, case, "numbers.json")) as f:
            golden = json.load(f)
        x = torch.tensor(golden["x"]).reshape(golden["B"], -1)
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
    print("worst", f"{worst:.2e}")


if __name__ == "__main__":
    main(sys.argv[1])
