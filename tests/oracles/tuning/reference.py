"""What transformers, peft and torch compute: the references of `cargo xtask oracle tuning`.

    reference.py make OUT SMOLLM2_FOLDER
    reference.py check OUT

`make` writes OUT/smollm2.json, OUT/smollm2.safetensors and OUT/peft/KIND (adapters of tiny-llama
with OUT/peft.json). `check` loads the adapters that the engine wrote to OUT/ours/KIND and prints the
largest difference of logits. f32 throughout. See README.md.
"""
import json, os, pathlib, subprocess, sys, warnings

os.environ.update(HF_HUB_DISABLE_PROGRESS_BARS="1", TRANSFORMERS_VERBOSITY="error", PYTHONWARNINGS="ignore",
                  HF_HUB_OFFLINE="1", TQDM_DISABLE="1")
import numpy as np
import torch
from peft import IA3Config, LNTuningConfig, LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

warnings.filterwarnings("ignore")
here = pathlib.Path(__file__).resolve().parent
fixtures = here.parents[2] / "server/tuning/tests/fixtures"
PROMPTS = ["What is the capital of France?", "Write one sentence about the sea.", "2 + 2 =",
           "Name three colours.", "Who wrote Hamlet?", "Translate 'good morning' to Spanish.",
           "List two uses of salt.", "What do bees make?", "Give me a word that rhymes with light.",
           "How many days are in a week?"]
EXAMPLES = [("Name a river in Egypt.", "The Nile."), ("What colour is the sky?", "It is blue on a clear day.")]
KINDS = {
    "lora": LoraConfig(r=3, lora_alpha=6, target_modules=["q_proj", "up_proj"], task_type="CAUSAL_LM"),
    "rslora": LoraConfig(r=4, lora_alpha=6, use_rslora=True, target_modules=["v_proj", "down_proj"],
                         task_type="CAUSAL_LM"),
    "ia3": IA3Config(target_modules=["k_proj", "v_proj", "down_proj"], feedforward_modules=["down_proj"],
                     task_type="CAUSAL_LM"),
    "ln_tuning": LNTuningConfig(target_modules=["input_layernorm", "post_attention_layernorm", "norm"],
                                task_type="CAUSAL_LM"),
}


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


def tiny():
    folder = fixtures / "tiny-llama"
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    return AutoTokenizer.from_pretrained(folder), model


def logits(model, ids):
    with torch.no_grad():
        return model(torch.tensor([ids])).logits[0, -1]


def adapters(out):
    report = {"prompt": "where is the dog 42?", "logits": {}}
    for kind, config in KINDS.items():
        tokenizer, model = tiny()
        ids = encode(tokenizer, report["prompt"])
        model = get_peft_model(model, config)
        torch.manual_seed(len(kind))
        with torch.no_grad():
            for p in model.parameters():
                if p.requires_grad:
                    p.add_(0.2 * torch.randn_like(p))
        model.save_pretrained(out / "peft" / kind)
        report["logits"][kind] = logits(model.eval(), ids).tolist()
    (out / "peft.json").write_text(json.dumps(report))


def check(out):
    """The engine's adapters, loaded by peft; its logits are in OUT/ours.json."""
    ours = json.loads((out / "ours.json").read_text())
    largest = 0.0
    for kind, values in ours["logits"].items():
        tokenizer, model = tiny()
        base = logits(model, encode(tokenizer, ours["prompt"]))
        model = PeftModel.from_pretrained(model, out / "ours" / kind).eval()
        real = logits(model, encode(tokenizer, ours["prompt"]))
        assert (real - base).abs().max() > 1e-2, f"{kind} changes nothing"
        largest = max(largest, (real - torch.tensor(values)).abs().max().item())
    assert set(ours["logits"]) == set(KINDS), ours["logits"].keys()
    print(json.dumps({"adapters.write.max_abs_diff": largest}))


def main():
    torch.set_num_threads(1)
    command, out = sys.argv[1], pathlib.Path(sys.argv[2])
    if command == "check":
        return check(out)
    out.mkdir(parents=True, exist_ok=True)
    subprocess.run([sys.executable, fixtures / "architectures.py", out], check=True, stdout=subprocess.DEVNULL)
    adapters(out)
    smollm2(out, sys.argv[3])


if __name__ == "__main__":
    main()
