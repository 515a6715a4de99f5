"""What transformers makes of a text as a prompt: the golden tokenizers with the post-processors in use. Writes test/golden/models/tokenizers/prompts.json.

Where there is a tokenizer.json its post-processor decides, and add_bos_token of tokenizer_config.json is not looked at (transformers 5).
"""

import json
import tempfile
from pathlib import Path

from transformers import AutoTokenizer

TOKENIZERS = Path(__file__).resolve().parents[2] / "golden" / "models" / "tokenizers"
TEXTS = ["The knight takes e5", " a", "<|begin|>x", "日本"]
BYTES = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True}


def template(before, after, ids):
    part = lambda name: {"SpecialToken": {"id": name, "type_id": 0}}
    text = {"Sequence": {"id": "A", "type_id": 0}}
    single = [*map(part, before), text, *map(part, after)]
    names = {name: {"id": name, "ids": [ids[name]], "tokens": [name]} for name in [*before, *after]}
    return {"type": "TemplateProcessing", "single": single, "pair": [text, {"Sequence": {"id": "B", "type_id": 1}}], "special_tokens": names}


def processors(ids):
    bos = template(["<|begin|>"], [], ids)
    yield "none", None
    yield "bytes", BYTES
    yield "bos", bos
    yield "bytes, bos", {"type": "Sequence", "processors": [BYTES, bos]}
    yield "bos, end", template(["<|begin|>"], ["<|end|>"], ids)
    begin, end = [["<|begin|>", ids["<|begin|>"]], ["<|end|>", ids["<|end|>"]]]
    yield "roberta", {"type": "RobertaProcessing", "sep": end, "cls": begin, "trim_offsets": True, "add_prefix_space": False}
    yield "bert", {"type": "BertProcessing", "sep": end, "cls": begin}


golden = {}
for folder in sorted(path for path in TOKENIZERS.iterdir() if path.is_dir()):
    spec = json.loads((folder / "tokenizer.json").read_text())
    config = json.loads((folder / "tokenizer_config.json").read_text())
    ids = {token["content"]: token["id"] for token in spec["added_tokens"]}
    golden[folder.name] = {}
    for name, processor in processors(ids):
        for add_bos in [None] if name == "none" else [None, True, False]:
            with tempfile.TemporaryDirectory() as at:
                (Path(at) / "tokenizer.json").write_text(json.dumps({**spec, "post_processor": processor}))
                (Path(at) / "tokenizer_config.json").write_text(json.dumps({**config, **({} if add_bos is None else {"add_bos_token": add_bos})}))
                tokenizer = AutoTokenizer.from_pretrained(at)
                found = [" ".join(map(str, tokenizer(text).input_ids)) for text in TEXTS]
            assert golden[folder.name].setdefault(name, {"post_processor": processor, "ids": found})["ids"] == found, (folder.name, name, add_bos)
(TOKENIZERS / "prompts.json").write_text(json.dumps({"texts": TEXTS, "kinds": golden}, separators=(",", ":")) + "\n")
