"""Four small tokenizers of the kinds in use, trained by the Python library, and its ids for nasty text.

byte-level: GPT-2's pre-tokenizer; digits: numbers split first, then the same (SmolLM); llama3: a regular expression split, then bytes; metaspace: Llama 2's pieces with byte
fallback. Writes test/golden/models/tokenizers/<kind>/ and tokenizers/golden.json.
"""

import json
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

OUT = Path(__file__).resolve().parents[2] / "golden" / "models" / "tokenizers"

CORPUS = [
    "The knight takes on e5, and the bishop can't move. It's White's turn; they'll castle.",
    "Bob paid $3.50 for 12 apples, then 1,234 pears. What did he pay in all?",
    "for (let i = 0; i < n; i++) { total += values[i]; }\n\treturn total;\n",
    "Der König schlägt den Läufer. Où est la bibliothèque ? ¿Cuánto cuesta? Сколько это стоит?",
] * 4

NASTY = [
    "", " ", "  leading and trailing  ", "a\tb\r\nc\n\n\nd", "can't won't I'LL they'VE we're", "x=1;y==2!=3...,,,", "1234567890 12,345.678",
    "Ünïcödé naïve façade Straße", "Привет, мир! Сколько?", "日本語のテキスト、漢字とカナ。", "한국어 텍스트", "مرحبا بالعالم", "עִבְרִית",
    "हिन्दी में पाठ", "ไทยไม่มีช่องว่าง", "emoji 👩‍👩‍👧‍👦 🇩🇪 👍🏽 🏳️‍🌈", "e\u0301 versus \u00e9; \ufb01 ligature; \u1e9b\u0323", "zero\u200bwidth\u200djoiner\ufeffbom",
    "nbsp\u00a0here\u2003em\u3000ideographic", "\U0001d54f\U0001d550 math \U00020000 rare", "<|begin|> is special <|end|><|end|>", "a<|end|>b", "null\x00byte \x7f del \x1b esc",
    "<0x41> <s> </s> ▁under Ġthere", "MiXeD CaSe WORDS andCamelCase snake_case kebab-case", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "http://user:pass@example.com/a?b=c&d=%20#frag", "½ ² ³ ₄ Ⅷ ٣ 四", "def f(x):\n    return x**2  # square\n", "“quotes” ‘single’ — dash… «fr»",
]

GPT4_SPLIT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def byte_level():
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    t.decoder = decoders.ByteLevel()
    return t, trainers.BpeTrainer(vocab_size=320, special_tokens=["<|pad|>", "<|begin|>", "<|end|>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)


def digits():
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    t.decoder = decoders.ByteLevel()
    return t, trainers.BpeTrainer(vocab_size=320, special_tokens=["<|pad|>", "<|begin|>", "<|end|>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)


def llama3():
    t = Tokenizer(models.BPE(ignore_merges=True))
    t.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(GPT4_SPLIT), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    t.decoder = decoders.ByteLevel()
    return t, trainers.BpeTrainer(vocab_size=340, special_tokens=["<|pad|>", "<|begin|>", "<|end|>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)


def metaspace():
    t = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    t.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    t.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    special = ["<unk>", "<|begin|>", "<|end|>"] + [f"<0x{b:02X}>" for b in range(256)]
    return t, trainers.BpeTrainer(vocab_size=460, special_tokens=special, show_progress=False)


golden = {}
for name, make in {"byte-level": byte_level, "digits": digits, "llama3": llama3, "metaspace": metaspace}.items():
    tokenizer, trainer = make()
    tokenizer.train_from_iterator(CORPUS, trainer)
    folder = OUT / name
    folder.mkdir(parents=True, exist_ok=True)
    if name == "metaspace":
        # Byte pieces are ordinary vocabulary in Llama 2's file, not special tokens; the trainer has no other way to add them.
        data = json.loads(tokenizer.to_str())
        data["added_tokens"] = data["added_tokens"][:3]
        tokenizer = Tokenizer.from_str(json.dumps(data))
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    (folder / "tokenizer_config.json").write_text(json.dumps({"bos_token": "<|begin|>", "eos_token": "<|end|>", "tokenizer_class": "PreTrainedTokenizerFast"}))
    cases = []
    for text in NASTY:
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        cases.append({"text": text, "ids": ids, "decoded": tokenizer.decode(ids, skip_special_tokens=True)})
    golden[name] = cases
    print(name, tokenizer.get_vocab_size(), sum(len(c["ids"]) for c in cases))
(OUT / "golden.json").write_text(json.dumps(golden, ensure_ascii=True, indent=0))
