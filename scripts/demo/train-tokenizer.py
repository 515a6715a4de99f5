"""Trains the byte-level BPE tokenizer of the demo model: python train-tokenizer.py --corpus DIR --out DIR

8,192 entries, digits one by one, no prefix space, <|bos|> = 0, <|eos|> = 1, <|pad|> = 2; BOS is added by the post-processor.
Registers weigh as in mixture.json, so that no script is starved of merges.
"""
import argparse
import json
import pathlib
import random

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

VOCABULARY = 8192
CHARACTERS = 24_000_000  # enough for stable merges
# Languages get more room than their share of the training tokens: twelve scripts have to fit.
BOOST = {"languages": 2.0}


def texts(corpus: pathlib.Path, mixture: dict[str, float]) -> list[str]:
    by_register: dict[str, list[str]] = {name: [] for name in mixture}
    with open(corpus / "train.jsonl", encoding="utf-8") as lines:
        for line in lines:
            document = json.loads(line)
            by_register[document["register"]].append(document["text"])
    total = sum(share * BOOST.get(name, 1.0) for name, share in mixture.items())
    rng = random.Random(17)
    chosen: list[str] = []
    for name, share in mixture.items():
        budget = CHARACTERS * share * BOOST.get(name, 1.0) / total
        pool = by_register[name]
        if not pool:
            continue
        rng.shuffle(pool)
        while budget > 0:
            for text in pool:
                chosen.append(text)
                budget -= len(text)
                if budget <= 0:
                    break
    return chosen


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--corpus", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    mixture = json.loads((pathlib.Path(__file__).parent / "mixture.json").read_text())
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<|bos|>", "<|eos|>", "<|pad|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        max_token_length=24,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts(arguments.corpus, mixture), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<|bos|> $A", pair="<|bos|> $A <|bos|> $B", special_tokens=[("<|bos|>", 0)]
    )
    assert tokenizer.token_to_id("<|bos|>") == 0 and tokenizer.get_vocab_size() == VOCABULARY
    arguments.out.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(arguments.out / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<|bos|>",
        "eos_token": "<|eos|>",
        "pad_token": "<|pad|>",
        "model_max_length": 256,
        "clean_up_tokenization_spaces": False,
    }
    (arguments.out / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")


if __name__ == "__main__":
    main()
