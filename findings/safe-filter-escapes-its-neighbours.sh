#!/usr/bin/env bash
# transformers 5.24.0 renders chat templates without automatic escapes, and yet a template can write HTML
# entities into the prompt: "| safe", which is meant to switch escapes off, makes a Markup of jinja2's
# markupsafe, and every plain text that "+" puts beside one is escaped. Functionary's template for v3.1 says
# "Use the function '"|safe + name + "' to '"|safe + description, so a model is told of {&#34;name&#34;: ...
# where its author meant {"name": .... The operator "~" of the same two texts escapes nothing.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --quiet install transformers==5.24.0 jinja2==3.1.6 markupsafe==3.0.4
"$folder/venv/bin/python" - 2> "$folder/log" <<'PYTHON'
import sys

from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

tokenizer = PreTrainedTokenizerFast(
    tokenizer_object=Tokenizer(models.BPE()), bos_token="<s>", eos_token="</s>"
)
tool = {"type": "function", "function": {"name": "sky", "description": "the sky's colour", "parameters": {}}}


def text(template):
    question = [{"role": "user", "content": "Which colour?"}]
    return tokenizer.apply_chat_template(question, chat_template=template, tools=[tool], tokenize=False)


plus = text("{{ 'Tool '|safe + tools[0]['function']['description'] + ': ' + tools[0] | tojson }}")
tilde = text("{{ 'Tool '|safe ~ tools[0]['function']['description'] ~ ': ' ~ tools[0] | tojson }}")
print(plus)
print(tilde)
escaped = "sky&#39;s" in plus and "{&#34;type&#34;" in plus
plain = "sky's" in tilde and '{"type"' in tilde and "&" not in tilde
sys.exit(0 if escaped and plain else "the texts are otherwise now")
PYTHON
