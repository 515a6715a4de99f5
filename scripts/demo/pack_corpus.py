"""Token ids of the corpus in two small files for a machine that trains: python pack_corpus.py --corpus DIR --tokenizer DIR --out DIR [--generated 14000]

Writes train.npz.xz and heldout.npz.xz: `ids` (uint16, every document begins with BOS), `ends` (where each document ends), `register` (of
each document, an index into `registers`).
"""
import argparse
import collections
import io
import json
import lzma
import pathlib

import numpy as np
from tokenizers import Tokenizer


def pack(source: pathlib.Path, tokenizer: Tokenizer, target: pathlib.Path, generated: int | None) -> None:
    registers: list[str] = []
    seen: collections.Counter[str] = collections.Counter()
    ids, lengths, owner, texts = [], [], [], []

    def encode() -> None:
        for item in tokenizer.encode_batch(texts):
            ids.append(np.array(item.ids, dtype=np.uint16))
            lengths.append(len(item.ids))
        texts.clear()

    with open(source, encoding="utf-8") as lines:
        for line in lines:
            document = json.loads(line)
            name = document["register"]
            # Only generated documents know the seed they came from; one can always make more of them.
            if generated is not None and "seed" in document["meta"] and seen[name] >= generated:
                continue
            seen[name] += 1
            if name not in registers:
                registers.append(name)
            owner.append(registers.index(name))
            texts.append(document["text"])
            if len(texts) == 10_000:
                encode()
    encode()
    buffer = io.BytesIO()
    np.savez(buffer, ids=np.concatenate(ids), ends=np.cumsum(lengths, dtype=np.int64), register=np.array(owner, dtype=np.uint8), registers=np.array(registers))
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 4, "lc": 0, "lp": 1, "pb": 1}]
    target.write_bytes(lzma.compress(buffer.getvalue(), filters=filters))
    print(target, f"{sum(lengths) / 1e6:.1f} M tokens, {target.stat().st_size / 1e6:.1f} MB", flush=True)


def read_packed(path: pathlib.Path) -> dict[str, list[np.ndarray]]:
    """Token ids of every document by register."""
    data = np.load(io.BytesIO(lzma.decompress(path.read_bytes())))
    ids, ends, owner = data["ids"], data["ends"], data["register"]
    documents = np.split(ids, ends[:-1])
    return {str(name): [documents[i] for i in np.flatnonzero(owner == index)] for index, name in enumerate(data["registers"])}


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("corpus", "tokenizer", "out"):
        parser.add_argument(f"--{name}", type=pathlib.Path, required=True)
    parser.add_argument("--generated", type=int, default=14_000, help="documents of each generated register")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer.from_file(str(arguments.tokenizer / "tokenizer.json"))
    for part, most in (("heldout", None), ("train", arguments.generated)):
        pack(arguments.corpus / f"{part}.jsonl", tokenizer, arguments.out / f"{part}.npz.xz", most)


if __name__ == "__main__":
    main()
