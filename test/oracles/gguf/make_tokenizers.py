"""Tokenizers as llama.cpp writes them into GGUF files, from files that other libraries made.

    python test/oracles/gguf/make_tokenizers.py    # needs gguf, sentencepiece, and test/golden/models/tokenizers

bpe-<kind>.gguf: the byte-level tokenizers of test/golden/models/tokenizers, whose ids for the nasty texts stand there in golden.json.
spm-<kind>.gguf: trained here by SentencePiece as Llama 2 (a space put in front, bytes for what has no piece) and Gemma (no space in front, runs of white space as
pieces of the user's) were; spm.json has SentencePiece's own ids for the same texts, and the text that they decode to.
"""

import io
import json
from pathlib import Path

import gguf
import sentencepiece as spm

GOLDEN = Path(__file__).resolve().parents[2] / "golden"
OUT = GOLDEN / "gguf"
golden = json.loads((GOLDEN / "models" / "tokenizers" / "golden.json").read_text())
texts = golden["texts"]
Kind = gguf.TokenType


def write(name, model, tokens, types, *, pre=None, scores=None, merges=None, space=None, special=(1, 2)):
    w = gguf.GGUFWriter(OUT / f"{name}.gguf", "llama")
    w.add_tokenizer_model(model)
    if pre:
        w.add_tokenizer_pre(pre)
    w.add_token_list(tokens)
    w.add_token_types(types)
    if scores:
        w.add_token_scores(scores)
    if merges:
        w.add_token_merges(merges)
    if space is not None:
        w.add_add_space_prefix(space)
    w.add_bos_token_id(special[0])
    w.add_eos_token_id(special[1])
    w.add_unk_token_id(0)
    w.add_chat_template("{{ bos_token }}{% for m in messages %}{{ m.content }}{% endfor %}")
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


for kind, pre in {"byte-level": "gpt-2", "digits": "smollm", "llama3": "llama-bpe", "qwen2": "qwen2"}.items():
    t = json.loads((GOLDEN / "models" / "tokenizers" / kind / "tokenizer.json").read_text())
    added = {a["content"]: Kind.CONTROL if a["special"] else Kind.USER_DEFINED for a in t["added_tokens"]}
    vocab = {**t["model"]["vocab"], **{a["content"]: a["id"] for a in t["added_tokens"]}}
    tokens = sorted(vocab, key=vocab.get)
    assert list(vocab[x] for x in tokens) == list(range(len(tokens)))
    write(f"bpe-{kind}", "gpt2", tokens, [added.get(x, Kind.NORMAL) for x in tokens], pre=pre, merges=[" ".join(m) for m in t["model"]["merges"]])

expected = {"texts": texts, "kinds": {}}
corpus = [line for text in texts * 2 + ["The knight takes on e5, and the bishop can't move.", "Bob paid $3.50 for 12 apples, then 1,234 pears."] * 20 for line in text.split("\n")]
for kind, space, symbols in [("llama", True, []), ("gemma", False, ["\n\n", "\n\n\n", "\t\t", "▁▁", "▁▁▁", "▁▁▁▁", "<div>"])]:
    model = io.BytesIO()
    spm.SentencePieceTrainer.train(sentence_iterator=iter(corpus), model_writer=model, model_type="bpe", vocab_size=900, byte_fallback=True, character_coverage=0.99,
                                   add_dummy_prefix=space, remove_extra_whitespaces=False, normalization_rule_name="identity", user_defined_symbols=symbols,
                                   allow_whitespace_only_pieces=True, minloglevel=2, split_digits=True)
    sp = spm.SentencePieceProcessor(model_proto=model.getvalue())
    tokens, types = [], []
    for i in range(sp.get_piece_size()):
        piece = sp.id_to_piece(i)
        control = sp.is_control(i)
        symbol = piece in symbols
        types.append(Kind.UNKNOWN if sp.is_unknown(i) else Kind.CONTROL if control else Kind.BYTE if sp.is_byte(i) else Kind.USER_DEFINED if symbol else Kind.NORMAL)
        # llama.cpp's converter writes the spaces of user-defined pieces as spaces.
        tokens.append(piece.replace("▁", " ") if symbol else piece)
    write(f"spm-{kind}", "llama", tokens, types, scores=[sp.get_score(i) for i in range(len(tokens))], space=space)
    cases = []
    for text in texts:
        ids = sp.encode(text)
        cases.append({"ids": " ".join(map(str, ids)), **({} if sp.decode(ids) == text else {"decoded": sp.decode(ids)})})
    expected["kinds"][kind] = cases
    print(kind, len(tokens), sum(len(c["ids"].split()) for c in cases))
expected.pop("texts")
(OUT / "spm.json").write_text(json.dumps(expected["kinds"], ensure_ascii=True, separators=(",", ":")).replace("},{", "},\n{"))
