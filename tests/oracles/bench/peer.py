"""The peers' side of `cargo xtask bench tuning`: torch + peft + transformers in one process, driven
by lines on standard input as server/tuning/examples/bench.rs is.

    python peer.py CASE.json MODEL f32|bf16

CASE.json comes from the other side's `export`: the token ids that everybody trains on and answers.
MODEL is a GGUF file (transformers dequantises it: the same weights), a folder, or `d256`.

The peer gets what makes it fast: the vocabulary product on the response's rows alone, no gradient
for the base, padding to the longest example of a batch only, torch's fused attention and AdamW.
"""

import contextlib
import json
import pathlib
import resource
import sys
import time

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, logging
from transformers.utils import logging as hf_logging

hf_logging.disable_progress_bar()
logging.set_verbosity_error()
torch.manual_seed(1)

case = json.loads(pathlib.Path(sys.argv[1]).read_text())
name, dtype = sys.argv[2], {"f32": torch.float32, "bf16": torch.bfloat16}[sys.argv[3]]


def answer(**fields):
    print(json.dumps(fields), flush=True)


def load():
    if name == "d256":
        config = {k: v for k, v in case["config"].items() if k not in ("architectures", "model_type")}
        return LlamaForCausalLM(LlamaConfig(**config)).to(dtype)
    path = pathlib.Path(name)
    if path.suffix == ".gguf":
        return AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=dtype)
    return AutoModelForCausalLM.from_pretrained(path, dtype=dtype)


started = time.time()
with contextlib.redirect_stdout(sys.stderr):
    model = load().eval()
tuned, optimizer, at = None, None, 0


def prepare():
    """LoRA on queries and values, made at the first step, as the other side does."""
    global tuned, optimizer
    config = LoraConfig(r=16, lora_alpha=32, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    tuned = get_peft_model(model, config)
    tuned.train()
    trained = [p for p in tuned.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=5e-5, weight_decay=0.0, fused=True)


def step():
    global at
    size = case["batch_size"]
    batch = [case["examples"][(at + i) % len(case["examples"])] for i in range(size)]
    at = (at + size) % len(case["examples"])
    longest = max(len(ids) for ids, _ in batch)
    ids = torch.zeros(size, longest, dtype=torch.long)
    mask = torch.zeros(size, longest, dtype=torch.long)
    counted = torch.zeros(size, longest - 1, dtype=torch.bool)
    for row, (example, response) in enumerate(batch):
        ids[row, : len(example)] = torch.tensor(example)
        mask[row, : len(example)] = 1
        counted[row, response - 1 : len(example) - 1] = True
    decoder = tuned.get_base_model()
    hidden = decoder.model(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
    logits = decoder.lm_head(hidden[:, :-1][counted]).float()
    loss = torch.nn.functional.cross_entropy(logits, ids[:, 1:][counted])
    loss.backward()
    torch.nn.utils.clip_grad_norm_([p for p in tuned.parameters() if p.requires_grad], 1.0)
    optimizer.step()
    optimizer.zero_grad()
    return int(mask.sum()), loss.item()


@torch.inference_mode()
def generate(batch, new):
    prompts = case["prompts"][:batch]
    longest = max(len(ids) for ids in prompts)
    ids = torch.zeros(batch, longest, dtype=torch.long)
    mask = torch.zeros(batch, longest, dtype=torch.long)
    for row, prompt in enumerate(prompts):
        ids[row, longest - len(prompt) :] = torch.tensor(prompt)
        mask[row, longest - len(prompt) :] = 1
    out = model.generate(input_ids=ids, attention_mask=mask, max_new_tokens=new,
                         min_new_tokens=new, do_sample=False, pad_token_id=0)
    return (out.shape[1] - longest) * batch


def peak():
    """The fastest large product of this type."""
    n = 2048 if dtype == torch.bfloat16 else 1024
    a, b = torch.randn(n, n).to(dtype), torch.randn(n, n).to(dtype)
    best = float("inf")
    for _ in range(12):
        begun = time.perf_counter()
        a @ b
        best = min(best, time.perf_counter() - begun)
    return 2 * n**3 / best


answer(engine=f"torch {torch.__version__}", seconds=time.time() - started)
for line in sys.stdin:
    verb, *rest = line.split()
    begun = time.perf_counter()
    if verb == "threads":
        torch.set_num_threads(int(rest[0]))
        answer()
    elif verb == "train":
        if tuned is None:
            prepare()
        tokens, loss = 0, 0.0
        for _ in range(int(rest[0])):
            own, loss = step()
            tokens += own
        answer(seconds=time.perf_counter() - begun, tokens=tokens, loss=loss)
    elif verb == "generate":
        tokens = generate(int(rest[0]), int(rest[1]))
        answer(seconds=time.perf_counter() - begun, tokens=tokens)
    elif verb == "peak":
        answer(operations_per_second=peak())
    elif verb == "memory":
        answer(peak_kib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    else:
        sys.exit(f"unknown command {verb!r}")
