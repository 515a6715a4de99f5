"""Which characters each token stands for, by the Python library: of the tokenizers that make_tokenizers.py made, on its texts.

Kinds that change the text or write spaces as something else; the others give the text back byte by byte. Writes
test/golden/models/tokenizers/offsets.json: kind -> one string per text of golden.json, one word per token, in UTF-16 units:
`n` n characters from where the token before ended, `g+n` after a gap of g (below 0: it shares characters with the token before).
"""

import json
from pathlib import Path

from tokenizers import Tokenizer

FOLDER = Path(__file__).resolve().parents[2] / "golden" / "models" / "tokenizers"
KINDS = ["metaspace", "mistral", "gemma", "unigram", "wordpiece", "wordpiece-cased", "words", "qwen2"]

texts = json.loads((FOLDER / "golden.json").read_text())["texts"]


def words(tokenizer, text):
    units = [0]
    for character in text:
        units.append(units[-1] + (2 if ord(character) > 0xFFFF else 1))
    found, at = [], 0
    for start, end in tokenizer.encode(text, add_special_tokens=False).offsets:
        start, end = units[start], units[end]
        found.append(f"{end - start}" if start == at else f"{start - at}+{end - start}")
        at = end
    return " ".join(found)


offsets = {kind: [words(Tokenizer.from_file(str(FOLDER / kind / "tokenizer.json")), text) for text in texts] for kind in KINDS}
(FOLDER / "offsets.json").write_text(json.dumps(offsets, separators=(",", ":")).replace("],", "],\n"))
