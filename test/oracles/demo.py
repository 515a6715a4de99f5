"""What the generators know of the bundled SAEs: their hooks, and latents for a register or concept. Another model can take the place of this one."""

import json
from pathlib import Path

ROOT = Path(__file__).parents[2]
EARLY, LATE = sorted(path.name for path in (ROOT / "demo/saes").iterdir())


CARDS = json.loads((ROOT / "demo/saes" / LATE / "features/cards.json").read_text())["cards"]


def latent_for(label: str, *others: int) -> int:
    """The latent of the late SAE whose card tells a register or concept best; the first one where no card does."""
    left = [card for card in CARDS if card["latent"] not in others]
    f1 = lambda card: card["best"]["f1"] if card.get("best", {}).get("label", "").startswith(label) else 0
    return max(left, key=f1)["latent"]


DNA = latent_for("dna")
GREEK = latent_for("language/greek", DNA)


def largest(latent: int) -> float:
    """The largest activation on its card."""
    return max(example["value"] for card in CARDS if card["latent"] == latent for example in card["examples"])
