"""Small tokenizers of the kinds in use, trained by the Python library, and its ids for nasty text.

byte-level: GPT-2's pre-tokenizer; digits: numbers split first, then the same (SmolLM); llama3: a regular expression split, then bytes; qwen2: its expression behind NFC; neox: NFC,
runs of spaces as added tokens that are looked for in normalised text, and a token that eats white space to its left; metaspace: Llama 2's pieces with byte fallback;
mistral: the same through the Metaspace pre-tokenizer; gemma: no pre-tokenizer to speak of, white space runs as added tokens; wordpiece and wordpiece-cased: BERT; unigram:
ALBERT and T5 without their compiled character map; deepseek: several splits one after the other; roberta, falcon, words, splits: the
remaining pre-tokenizers and ways to split. The unigram trainer learns other pieces at every run. Writes test/golden/models/tokenizers/<kind>/ and tokenizers/golden.json.
"""

import json
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

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

NASTY += [
    "👨‍👩‍👧‍👦👩🏽‍🚀🧑‍🤝‍🧑 🇫🇷🇺🇳 ❤️‍🔥 ☺︎☺️ 1️⃣ #️⃣", "สวัสดีครับ ยินดีที่ได้รู้จัก ๑๒๓", "नमस्ते दुनिया क्षत्रिय १२३ ज़रा", "السَّلامُ عَلَيْكُمْ ١٢٣ ﷺ لا", "ביקור בַּגַּן", "ქართული ენა", "Ελληνικά ΣΟΦΟΣ σοφός", "İstanbul ı I i̇ ß ẞ ŉ ǅ",
    "한글 한글 (NFD) が か\u3099", "Å Å A\u030a \u212b Ω Ω", "q\u0307\u0323 q\u0323\u0307 \u1e0b\u0323", "ﬀ ﬁ ﬂ ㎏ ㍿ ① ⅷ ½ ﾊﾝｶｸ ＦＵＬＬ", "a\u00ada soft\u00adhyphen", "\u202eright to left\u202c \u2066iso\u2069", "\ue000 private \U0010fffd", "\ufffd replacement \ufffe\uffff",
    "  \n  \n\n   \n\t\t\n end", "\r\r\n\r", "\u2028line\u2029paragraph\u0085next", "\u00a0\u1680\u2000\u200a\u202f\u205f\u3000 spaces", "a  b   c    d     e      f       g        h", "\t\ttabs\t \t mixed \t", " \u200b ", "x \n", " \n x",
    "if (a<b && c>d || !e) { return a->b[c::d] ?? 'x\\n'; } // $%^&*~`", "<div class=\"a\">&nbsp;</div>", "SELECT * FROM t WHERE a='b''c';", "f(x)=x^2+3x-4; 0x1F 1e-10 3.14159 1_000_000 ١٬٢٣٤", "1st 2nd 3rd 12345678901234567890", "I'm you're he'd WE'LL it’s o'clock rock'n'roll 'tis '' ' 's",
    "<|end|><|end|> <|end|>  <|end|>x", "x <|begin|>", "<|END|> <|end| > < |end|>", "[CLS] [MASK] [SEP] a[MASK]b [mask]", "<unk>text<unk>", "▁▁ ▁a▁ a▁b", "Ġ Ċ ĉ Ġa", "<0x0A><0xFF> <0xff>", "caf\u00e9 cafe\u0301 CAFÉ", "ⒶⒷ 𝓐𝓑 𝟘𝟙 𝔸", "漢字かな交じり文ABC混在１２３", "中文，测试。English混排", "𠀀𠀁 㐀 﨑 豈",
    " \ufeffa \ufeff\ufeff b", "a\u0085 b !\u0085\u0085x", "\ufeff first", "!?\ufeff?! x\u0085", "a...b !!! --- (x) [y]", "1234 12 5 678901",
    "supercalifragilisticexpialidocious" * 4, "\u0e33 \u0f43 \u1161 \uac00\u11a8", "\x01\x02\x1f\x80\x9f", "ZWNJ می‌خواهم", "a\u0300\u0301\u0302\u0303b", "ᾳ ᾼ ῼ ΐ", "٠١٢ ۰۱۲ 〇一二 ⅠⅡ ₁₂ ¹² 🄀", "—–‒―-‐‑ …‥. “”„‟\"", "¿? ¡! § ¶ © ® ™ € £ ¥ ¢ ₹ ₿", "ß=ss ﬆ ŀ",
]

GPT4_SPLIT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def byte_level():
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    t.decoder = decoders.ByteLevel()
    return t, trainers.BpeTrainer(vocab_size=900, special_tokens=["<|pad|>", "<|begin|>", "<|end|>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)


def digits():
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    t.decoder = decoders.ByteLevel()
    return t, trainers.BpeTrainer(vocab_size=900, special_tokens=["<|pad|>", "<|begin|>", "<|end|>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)


def llama3():
    t = Tokenizer(models.BPE(ignore_merges=True))
    t.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(GPT4_SPLIT), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    t.decoder = decoders.ByteLevel()
    return t, trainers.BpeTrainer(vocab_size=900, special_tokens=["<|pad|>", "<|begin|>", "<|end|>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)


def metaspace():
    t = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    t.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    t.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    special = ["<unk>", "<|begin|>", "<|end|>"] + [f"<0x{b:02X}>" for b in range(256)]
    return t, trainers.BpeTrainer(vocab_size=700, special_tokens=special, show_progress=False)


SPECIAL = ["<|pad|>", "<|begin|>", "<|end|>"]
BYTES = [f"<0x{b:02X}>" for b in range(256)]


def bytes_bpe(vocab, **model):
    return Tokenizer(models.BPE(**model)), trainers.BpeTrainer(vocab_size=vocab, special_tokens=SPECIAL, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)


def qwen2():
    t, trainer = bytes_bpe(900)
    t.normalizer = normalizers.NFC()
    split = GPT4_SPLIT.replace(r"\p{N}{1,3}", r"\p{N}")
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(split), behavior="isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    t.decoder = decoders.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)
    return t, trainer


def neox():
    t, trainer = bytes_bpe(900)
    t.normalizer = normalizers.NFC()
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=True)
    t.decoder = decoders.ByteLevel()
    return t, trainer


def deepseek():
    t, trainer = bytes_bpe(900)
    t.normalizer = normalizers.Sequence([])
    t.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(r"[\r\n]"), behavior="isolated"),
        pre_tokenizers.Split(Regex(r"\s?[A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf\u01c4-\u0293\u0370-\u0373\u0386\u0388-\u03ff\u0400-\u0481\u048a-\u052f\u0531-\u0556\u10a0-\u10c5]+"), behavior="isolated"),
        pre_tokenizers.Split(Regex(r"\s?[!-/:-~！-／：-～‘-‟　-。]+"), behavior="isolated"),
        pre_tokenizers.Split(Regex(r"\s+$"), behavior="isolated"),
        pre_tokenizers.Split(Regex(r"[一-龥ࠀ-一가-퟿]+"), behavior="isolated"),
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    t.decoder = decoders.ByteLevel()
    return t, trainer


def roberta():
    t, trainer = bytes_bpe(900)
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True, trim_offsets=True)
    t.decoder = decoders.ByteLevel(add_prefix_space=True, trim_offsets=True)
    return t, trainer


def falcon():
    t, trainer = bytes_bpe(900)
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Punctuation(behavior="contiguous"), pre_tokenizers.ByteLevel(add_prefix_space=False), pre_tokenizers.Digits(individual_digits=False), pre_tokenizers.Split(Regex("[0-9][0-9][0-9]"), behavior="isolated")])
    t.decoder = decoders.ByteLevel()
    return t, trainer


def words():
    t = Tokenizer(models.BPE(unk_token="<unk>"))
    t.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), pre_tokenizers.Punctuation()])
    return t, trainers.BpeTrainer(vocab_size=900, special_tokens=["<unk>", "<|begin|>", "<|end|>"], show_progress=False)


def splits():
    t, trainer = bytes_bpe(900)
    t.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split("a", behavior="merged_with_previous"), pre_tokenizers.Split(Regex("[eo]"), behavior="merged_with_next"), pre_tokenizers.Split(Regex("[0-9]"), behavior="contiguous"),
        pre_tokenizers.Split(Regex("[^ ]+"), behavior="isolated", invert=True), pre_tokenizers.Split("\n", behavior="removed"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    t.decoder = decoders.ByteLevel()
    return t, trainer


def mistral():
    t = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    t.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="first", split=False)
    t.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    return t, trainers.BpeTrainer(vocab_size=700, special_tokens=["<unk>", "<|begin|>", "<|end|>"] + BYTES, show_progress=False)


def gemma():
    t = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    t.normalizer = normalizers.Replace(" ", "▁")
    t.pre_tokenizer = pre_tokenizers.Split(" ", behavior="merged_with_previous")
    t.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    return t, trainers.BpeTrainer(vocab_size=700, special_tokens=["<unk>", "<|begin|>", "<|end|>"] + BYTES, show_progress=False)


def wordpiece(cased=False):
    t = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    t.normalizer = normalizers.BertNormalizer(lowercase=not cased, strip_accents=None, handle_chinese_chars=True, clean_text=True)
    t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    t.decoder = decoders.WordPiece(prefix="##", cleanup=True)
    return t, trainers.WordPieceTrainer(vocab_size=700, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "<|begin|>", "<|end|>"], show_progress=False)


def unigram():
    t = Tokenizer(models.Unigram())
    t.normalizer = normalizers.Sequence([normalizers.Replace("``", '"'), normalizers.Replace("''", '"'), normalizers.NFKD(), normalizers.StripAccents(), normalizers.Lowercase(), normalizers.Replace(Regex(" {2,}"), " ")])
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always", split=True)])
    t.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always", split=True)
    return t, trainers.UnigramTrainer(vocab_size=600, special_tokens=["<pad>", "<unk>", "<|begin|>", "<|end|>"], unk_token="<unk>", show_progress=False)


# Added to the vocabulary after training.
AFTER = {
    "roberta": [AddedToken("[MASK]", lstrip=True, special=True, normalized=False)],
    "neox": [AddedToken(" " * n, normalized=True, special=False) for n in range(8, 1, -1)] + [AddedToken("[MASK]", lstrip=True, special=True), AddedToken("x^2", single_word=False, special=False), AddedToken("end", single_word=True, special=False)],
    "gemma": [AddedToken(c * n, normalized=False, special=False) for n in range(2, 6) for c in ("\n", "▁", "\t")] + [AddedToken("<div>", normalized=False, special=False)],
}
KINDS = {
    "byte-level": byte_level, "digits": digits, "llama3": llama3, "qwen2": qwen2, "neox": neox, "deepseek": deepseek, "roberta": roberta, "falcon": falcon, "splits": splits, "words": words, "metaspace": metaspace, "mistral": mistral,
    "gemma": gemma, "wordpiece": wordpiece, "wordpiece-cased": lambda: wordpiece(cased=True), "unigram": unigram,
}
golden = {}
for name, make in KINDS.items():
    tokenizer, trainer = make()
    if isinstance(tokenizer.decoder, decoders.ByteLevel):
        # Learned from the nasty text itself, across all places where the pre-tokenizer will split: one split too few or too many changes ids.
        splits, tokenizer.pre_tokenizer = tokenizer.pre_tokenizer, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        tokenizer.train_from_iterator(NASTY * 2 + CORPUS, trainer)
        tokenizer.pre_tokenizer = splits
    else:
        tokenizer.train_from_iterator(NASTY + CORPUS, trainer)
    folder = OUT / name
    folder.mkdir(parents=True, exist_ok=True)
    if BYTES[0] in tokenizer.get_vocab():
        # Byte pieces are ordinary vocabulary in Llama 2's file, not special tokens; the trainer has no other way to add them.
        data = json.loads(tokenizer.to_str())
        data["added_tokens"] = data["added_tokens"][:3]
        tokenizer = Tokenizer.from_str(json.dumps(data))
    tokenizer.add_tokens(AFTER.get(name, []))
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    (folder / "tokenizer_config.json").write_text(json.dumps({"bos_token": "<|begin|>", "eos_token": "<|end|>", "tokenizer_class": "PreTrainedTokenizerFast"}))
    cases = []
    for text in NASTY:
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        decoded = tokenizer.decode(ids, skip_special_tokens=True)
        cases.append({"ids": " ".join(map(str, ids)), **({} if decoded == text else {"decoded": decoded})})
    golden[name] = cases
    print(name, tokenizer.get_vocab_size(), sum(len(c["ids"].split()) for c in cases))
(OUT / "golden.json").write_text(json.dumps({"texts": NASTY, "kinds": golden}, ensure_ascii=True, separators=(",", ":")).replace("},{", "},\n{"))
