"""What transformers, peft and torch compute: the references of `cargo xtask oracle tuning`.

    reference.py families OUT
    reference.py smollm2 OUT SMOLLM2_FOLDER
    reference.py check OUT

`families` writes OUT/architectures and OUT/peft (see adapters.py), `smollm2` OUT/smollm2.json and
OUT/smollm2.safetensors. `check` loads the adapters that the engine wrote to OUT/ours/KIND and prints
the largest difference of logits. f32 throughout. See README.md.
"""
import json, os, pathlib, subprocess, sys, warnings

os.environ.update(HF_HUB_DISABLE_PROGRESS_BARS="1", TRANSFORMERS_VERBOSITY="error", PYTHONWARNINGS="ignore",
                  HF_HUB_OFFLINE="1", TQDM_DISABLE="1")
import numpy as np
import torch
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

import adapters

warnings.filterwarnings("ignore")
here = pathlib.Path(__file__).resolve().parent
fixtures = here.parents[2] / "server/tuning/tests/fixtures"
PROMPTS = ["What is the capital of France?", "Write one sentence about the sea.", "2 + 2 =",
           "Name three colours.", "Who wrote Hamlet?", "Translate 'good morning' to Spanish.",
           "List two uses of salt.", "What do bees make?", "Give me a word that rhymes with light.",
           "How many days are in a week?"]
EXAMPLES = [("Name a river in Egypt.", "The Nile."), ("What colour is the sky?", "It is blue on a clear day.")]


def encode(tokenizer, prompt):
    text = tokenizer.apply_chat_template([{"role": "user", "content": prompt}], tokenize=False,
                                         add_generation_prompt=True)
    return tokenizer.encode(text, add_special_tokens=False)


def smollm2(out, folder):
    file = next(pathlib.Path(folder).glob("*.gguf")).name
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=file)
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=file, dtype=torch.float32).eval()
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    report, tensors = {"prompts": [], "examples": []}, {}
    for number, prompt in enumerate(PROMPTS):
        ids = encode(tokenizer, prompt)
        with torch.no_grad():
            tensors[f"logits.{number}"] = model(torch.tensor([ids])).logits[0, -1].contiguous()
            # No early end: 20 tokens whatever they are.
            answer = model.generate(torch.tensor([ids]), max_new_tokens=20, min_new_tokens=20, do_sample=False,
                                    eos_token_id=[], pad_token_id=0)
        report["prompts"].append({"text": prompt, "ids": ids, "greedy": answer[0, len(ids):].tolist()})
    rows = []
    for prompt, response in EXAMPLES:
        head = encode(tokenizer, prompt)
        tail = tokenizer.encode(response, add_special_tokens=False) + [end]
        rows.append((head + tail, len(head)))
        report["examples"].append({"prompt": prompt, "response": response, "ids": head + tail})
    lora = get_peft_model(model, LoraConfig(r=16, lora_alpha=32, lora_dropout=0.0, target_modules=["q_proj", "v_proj"],
                                            task_type="CAUSAL_LM"))
    rng = np.random.default_rng(7)
    params = [p for p in lora.parameters() if p.requires_grad]
    with torch.no_grad():
        for p in params:
            p.copy_(torch.tensor(rng.normal(0, 0.02, tuple(p.shape)), dtype=torch.float32))
    keep = lambda name: tensors.update({f"{name}.{k}": v.clone() for k, v in get_peft_model_state_dict(lora).items()})
    keep("start")
    start_values = [p.detach().clone() for p in params]

    def step(optimizer):
        total, count = 0.0, 0
        for ids, start in rows:
            hidden = lora.base_model.model.model(torch.tensor([ids])).last_hidden_state[0]
            logits = model.lm_head(hidden[start - 1:-1])
            total = total + torch.nn.functional.cross_entropy(logits, torch.tensor(ids[start:]), reduction="sum")
            count += len(ids) - start
        loss = total / count
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(params, 1.0)
        optimizer.step()
        return loss.item()

    def restart(epsilon):
        with torch.no_grad():
            for p, value in zip(params, start_values):
                p.copy_(value)
        return torch.optim.AdamW(params, lr=1e-4, eps=epsilon, weight_decay=0.0)

    step(restart(1e-5))
    keep("one")
    optimizer = restart(1e-8)
    report["losses"] = []
    for number in range(50):
        report["losses"].append(step(optimizer))
        if number == 0:
            keep("usual")
    # The same step in f64: what both ought to give.
    lora.double()
    step(restart(1e-8))
    keep("exact")
    tensors.update({k: v.float() for k, v in tensors.items()})
    save_file(tensors, out / "smollm2.safetensors")
    (out / "smollm2.json").write_text(json.dumps(report))


def main():
    torch.set_num_threads(1)
    command, out = sys.argv[1], pathlib.Path(sys.argv[2])
    if command == "check":
        return adapters.check(out)
    out.mkdir(parents=True, exist_ok=True)
    if command == "families":
        subprocess.run([sys.executable, fixtures / "architectures.py", out], check=True, stdout=subprocess.DEVNULL)
        return adapters.make(out)
    smollm2(out, sys.argv[3])


if __name__ == "__main__":
    main()
