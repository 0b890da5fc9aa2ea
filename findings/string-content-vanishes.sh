#!/usr/bin/env bash
# trl 1.16.0's chat templates of Idefics3 and SmolVLM, rendered by transformers 5.24.0: a message whose
# content is a string, as instruction data sets write it, is rendered as an empty turn, question and answer
# alike, without an error or a warning. The same text as a list of parts is there. Llava's template refuses
# the string, Qwen2.5-VL's takes it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --quiet install transformers==5.24.0 jinja2==3.1.6
"$folder/venv/bin/pip" --quiet install --no-deps trl==1.16.0
"$folder/venv/bin/python" - 2> "$folder/log" <<'PYTHON'
import importlib.util
import pathlib
import sys

from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

trl = pathlib.Path(importlib.util.find_spec("trl").origin).parent
tokenizer = PreTrainedTokenizerFast(
    tokenizer_object=Tokenizer(models.BPE()), bos_token="<s>", eos_token="</s>"
)


def seen(name, content):
    messages = [
        {"role": "user", "content": content("Which colour is the sky?")},
        {"role": "assistant", "content": content("Blue.")},
    ]
    template = (trl / "chat_templates" / f"{name}.jinja").read_text()
    try:
        text = tokenizer.apply_chat_template(messages, chat_template=template, tokenize=False)
    except Exception as error:
        return type(error).__name__
    return "there" if "Blue." in text and "colour" in text else f"gone: {text!r}"


found = {}
for name in ("idefics3", "smolvlm", "llava_next", "qwen2_5_vl"):
    found[name] = (
        seen(name, lambda text: text),
        seen(name, lambda text: [{"type": "text", "text": text}]),
    )
    print(name, "| string:", found[name][0], "| parts:", found[name][1])
same = (
    all(found[name][0].startswith("gone") for name in ("idefics3", "smolvlm"))
    and all(parts == "there" for _, parts in found.values())
    and found["llava_next"][0] not in ("there",)
    and found["qwen2_5_vl"][0] == "there"
)
sys.exit(0 if same else "the templates are otherwise now")
PYTHON
