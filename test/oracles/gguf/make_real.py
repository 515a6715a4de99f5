"""What PyTorch, transformers and llama.cpp make of a real GGUF file.

    LLAMA_CPP_MODULES=.../node_modules python test/oracles/gguf/make_real.py .cache/models/SmolLM2-135M-Instruct.Q4_1.gguf smollm2
    LLAMA_CPP_MODULES=.../node_modules python test/oracles/gguf/make_real.py .cache/models/gemma-3-270m-q4_k_m.gguf gemma3    # not committed: stays in .cache

Writes real-<name>.json and real-<name>.safetensors. Weights are dequantised by transformers from the GGUF file (gguf_file=). Ids of all texts are llama.cpp's. Prompts are
rendered with the file's chat template by jinja2 (plain text for a model without one) and continued greedily in float32. Logits are float64; kept are every
position of two texts at every 96th id of the vocabulary, and each position's root mean square over all ids.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import gguf
import jinja2
import numpy as np
import torch
from safetensors.numpy import save_file
from transformers import AutoModelForCausalLM

path, name = Path(sys.argv[1]), sys.argv[2]
ROOT = Path(__file__).resolve().parents[3]
OUT = ROOT / "test/golden/gguf" if name == "smollm2" else ROOT / ".cache/models"
torch.set_num_threads(1)
NEW_TOKENS = 24
STRIDE = 96
QUESTIONS = [
    "What is the capital of France?", "Write a haiku about rain.", "Explain why the sky is blue in one sentence.", "What is 12 * 7?", "Translate 'good morning' to Spanish.",
    "List three fruits.", "Who wrote Hamlet?", "Give me a Python function that adds two numbers.", "What does DNA stand for?", "Tell me a joke about cats.",
    "Summarise: The meeting was moved from Monday to Thursday because the room was taken.", "Is 17 a prime number?", "Wie heißt die Hauptstadt von Österreich?",
    "日本の首都はどこですか？", "Name a planet that has rings.", "What should I cook with eggs, rice and peas?", "Rewrite politely: Give me the report now.",
    "How many days are in a leap year?", "Complete: To be, or not to be,", "What is the boiling point of water in Celsius?",
]
TEXTS = ["The meeting was held on the 3rd of May 1998, and nobody came: «Привет», 你好, and 🙂.", "def f(x):\n    return x**2 + 1\n\nprint(f(3))\n"]
nasty = json.loads((ROOT / "test/golden/models/tokenizers/golden.json").read_text())["texts"]

fields = gguf.GGUFReader(path).fields
template = fields["tokenizer.chat_template"].contents() if "tokenizer.chat_template" in fields else None
tokens = lambda key: fields["tokenizer.ggml.tokens"].contents(fields[f"tokenizer.ggml.{key}_token_id"].contents())
if template:
    env = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
    render = lambda q: env.from_string(template).render(messages=[{"role": "user", "content": q}], add_generation_prompt=True, bos_token=tokens("bos"), eos_token=tokens("eos"))
else:
    render = lambda q: q + " "
prompts = [render(q) for q in QUESTIONS]
script = Path(__file__).with_name("llama_cpp_tokens.mjs")
out = subprocess.run(["node", str(script), str(path)], input=json.dumps(nasty + TEXTS + prompts), capture_output=True, text=True, check=True).stdout
ids = json.loads(out[out.index("[["):] if "[[" in out else out)
nasty_ids, text_ids, prompt_ids = ids[: len(nasty)], ids[len(nasty) : len(nasty) + 2], ids[len(nasty) + 2 :]

bos = None if template else fields["tokenizer.ggml.bos_token_id"].contents()
model = AutoModelForCausalLM.from_pretrained(os.path.dirname(path) or ".", gguf_file=path.name, dtype=torch.float32, attn_implementation="eager").eval()
eos = int(fields["tokenizer.ggml.eos_token_id"].contents())
answers = []
with torch.no_grad():
    for prompt in prompt_ids:
        x = torch.tensor([([bos] if bos is not None else []) + prompt])
        y = model.generate(x, attention_mask=torch.ones_like(x), max_new_tokens=NEW_TOKENS, do_sample=False, eos_token_id=eos, pad_token_id=0)[0, x.shape[1] :].tolist()
        answers.append(y[: y.index(eos)] if eos in y else y)
        print(len(answers), end=" ", flush=True)
    single = [model(torch.tensor([t])).logits[0].double().numpy() for t in text_ids]
    model = model.double()
    tensors = {}
    for i, t in enumerate(text_ids):
        logits = model(torch.tensor([t])).logits[0].numpy()
        tensors[f"{i}/ids"] = np.array(t, dtype=np.int32)
        tensors[f"{i}/logits"] = np.ascontiguousarray(logits[:, ::STRIDE]).astype(np.float32)
        tensors[f"{i}/rms"] = np.array([np.sqrt((logits**2).mean())], dtype=np.float32)
        print("PyTorch float32 leaves float64 by", np.abs(single[i] - logits).max() / np.sqrt((logits**2).mean()), "of the RMS")
OUT.mkdir(exist_ok=True)
save_file(tensors, OUT / f"real-{name}.safetensors")
join = lambda x: " ".join(map(str, x))
(OUT / f"real-{name}.json").write_text(json.dumps({
    "file": path.name, "stride": STRIDE, "newTokens": NEW_TOKENS, "nasty": [join(x) for x in nasty_ids],
    "chats": [{"question": q, "prompt": p, "ids": join(i), "answer": join(a)} for q, p, i, a in zip(QUESTIONS, prompts, prompt_ids, answers)],
}, ensure_ascii=True, indent=0, separators=(",", ":")))
