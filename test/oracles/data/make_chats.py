"""
Conversations through chat templates, as transformers writes them, with the tokens of a role.

  python test/oracles/data/make_chats.py        # from the repository root; writes test/golden/data/chats.json

A template with {% generation %} is given to both sides. For one without, transformers gets the same template with the tag around the contents of
the role that is asked for, so that its mask is an oracle for contents that nobody marked.
"""

import json
import pathlib

from transformers import PreTrainedTokenizerFast

tokenizer = PreTrainedTokenizerFast.from_pretrained("demo/model")

# ROLE(x) stands for the contents of a message; it is printed plainly, or inside the tag.
chatml = """{% for m in messages %}
{{ '<|im_start|>' + m['role'] + '\\n' }}ROLE(m['content']){{ '<|im_end|>\\n' }}
{% endfor %}
{% if add_generation_prompt %}
{{ '<|im_start|>assistant\\n' }}
{% endif %}
"""
headers = """{{- bos_token }}
{%- for m in messages %}
    {{- '<|' + m.role + '|>\\n\\n' }}
    ROLE(m.content | trim)
    {{- '<|eot|>' }}
{%- endfor %}
"""
merged = """{{ bos_token }}{% if messages[0].role == 'system' %}{% set system = messages[0].content %}{% set rest = messages[1:] %}{% else %}{% set system = '' %}{% set rest = messages %}{% endif %}{% for m in rest %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must take turns') }}{% endif %}{% if m.role == 'user' %}[INST] {% if loop.first and system %}<<{{ system | trim }}>>

{% endif %}ROLE(m.content | trim) [/INST]{% else %} ROLE(m.content | trim) {{ eos_token }}{% endif %}{% endfor %}"""
reasoning = """{% set ns = namespace(last=-1) %}{% for m in messages %}{% if m.role == 'user' %}{% set ns.last = loop.index0 %}{% endif %}{% endfor %}{% for m in messages %}{{ '<|' + m.role + '|>\\n' }}{% if m.role == 'assistant' and loop.index0 < ns.last and '</think>' in m.content %}ROLE(m.content.split('</think>')[-1].lstrip()){% else %}ROLE(m.content){% endif %}{{ '<|end|>\\n' }}{% endfor %}"""
marked = """{%- for m in messages -%}
{%- if m.role == 'assistant' %}
{{ '<assistant> ' }}{%- generation -%}
{{ m.content }} {{ eos_token }}
{% endgeneration %}

{% else %}
<{{ m.role }}> {{ m.content }}
{% endif %}
{%- endfor -%}"""
templates = {"chatml": chatml, "headers": headers, "merged": merged, "reasoning": reasoning, "marked": marked}

conversations = [
    [("user", "What is 2 + 2?"), ("assistant", "It is 4.")],
    [("system", "Be brief."), ("user", "user"), ("assistant", "user"), ("user", "and assistant?"), ("assistant", "assistant <|im_end|>")],
    [("user", "  Ünï 😀 汉字\n"), ("assistant", "\n\n Кириллица,\n\n  with  spaces \n"), ("user", "once more\n"), ("assistant", "once more")],
    [("user", "Count."), ("assistant", "<think>one two</think>\n\nOne, two."), ("user", "Again."), ("assistant", "<think>so be it</think>\n\nOne, two.")],
    [("user", "say nothing"), ("assistant", ""), ("user", "x"), ("assistant", "x x x")],
]



def expand(template, role):
    """ROLE(x) -> {{ x }}, or for one role {% generation %}{{ x }}{% endgeneration %}."""
    out, at = "", 0
    while (start := template.find("ROLE(", at)) >= 0:
        depth, end = 0, start + 4
        while True:
            depth += {"(": 1, ")": -1}.get(template[end], 0)
            end += 1
            if depth == 0:
                break
        inner = template[start + 5 : end - 1]
        dash = "-" if template[max(0, start - 4) : start] == "    " else ""
        text = "{{" + dash + " " + inner + " }}"
        if role:
            tagged = "{%" + dash + " generation %}{{ " + inner + " }}{% endgeneration %}"
            text = "{%" + dash + " if m['role'] == '" + role + "' %}" + tagged + "{% else %}{{ " + inner + " }}{% endif %}"
        out += template[at:start] + text
        at = end
    return out + template[at:]


cases = []
for name, template in templates.items():
    given = expand(template, None)
    for pairs in conversations:
        messages = [{"role": role, "content": content} for role, content in pairs]
        if name == "merged" and ("assistant", "") in pairs:
            continue  # transformers marks a token of the template for an empty content that lies within one
        masks = {}
        for role in ["assistant"] if name == "marked" else ["assistant", "user"]:
            out = tokenizer.apply_chat_template(
                messages, chat_template=given if name == "marked" else expand(template, role),
                return_dict=True, return_assistant_tokens_mask=True,
            )
            text = tokenizer.apply_chat_template(messages, chat_template=given, tokenize=False)
            ids = tokenizer.apply_chat_template(messages, chat_template=given, return_dict=True)["input_ids"]
            assert ids == out["input_ids"], (name, text)
            masks[role] = "".join(map(str, out["assistant_masks"]))
        cases.append({"template": name, "messages": messages, "text": text, "ids": ids, "masks": masks})

json.dump(
    {"templates": {name: expand(template, None) for name, template in templates.items()}, "cases": cases},
    open(pathlib.Path("test/golden/data/chats.json"), "w"), ensure_ascii=False, indent=1,
)
