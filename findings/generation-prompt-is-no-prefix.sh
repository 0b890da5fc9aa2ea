#!/usr/bin/env bash
# trl 1.16.0's chat templates, rendered by transformers 5.24.0: for DeepSeek R1 and V3 and every Nemotron the
# prompt that add_generation_prompt writes (it ends in "<think>\n") is not the beginning of the finished
# conversation with that answer, and for the thinking Qwen3.5 to 3.8 it is one only because an empty thought
# is put in. The "_training" variants, which exist to be preserved under prefixes, are no different. So
# "prompt + answer" (what is scored and generated from) and the rendered conversation (what is trained) are
# different texts, and tokens of the prompt get a loss or tokens of the answer none.
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
question = {"role": "user", "content": "Which colour is the sky?"}
answer = {"role": "assistant", "content": "Blue."}
tokenizer = PreTrainedTokenizerFast(
    tokenizer_object=Tokenizer(models.BPE()), bos_token="<s>", eos_token="</s>"
)


def text(template, messages, prompt):
    return tokenizer.apply_chat_template(
        messages, chat_template=template, tokenize=False, add_generation_prompt=prompt
    )


total, broken, thought = 0, [], []
for path in sorted((trl / "chat_templates").glob("*.jinja")):
    template = path.read_text()
    try:
        prompt = text(template, [question], True)
        whole = text(template, [question, answer], False)
    except Exception:  # it wants content as a list of parts
        continue
    total += 1
    if not whole.startswith(prompt):
        broken.append(path.stem)
    elif not whole.startswith(prompt + "Blue."):
        thought.append(path.stem)
print(total, "templates; not a prefix:", *broken)
print("a prefix, but more than the answer follows:", *thought)
known = {"deepseek_r1_distill", "deepseekv3", "nemotron_3_nano", "nemotron_3_super"}
training = {name for name in broken if name.endswith("_training")}
same = known <= set(broken) and len(training) >= 5 and "qwen3" in thought
sys.exit(0 if same else "the templates are otherwise now")
PYTHON
