"""Adapters of every kind that peft writes, with the logits that it computes with them.

`make(OUT)` writes OUT/peft/KIND and OUT/peft.json: by kind the base, the logits of one prompt, and for
kinds that the engine refuses the word that its message has to have. `check(OUT)` loads the adapters that
the engine wrote to OUT/ours/KIND, with the base given and with the base that they name, and prints the largest
difference of logits.
"""
import json, pathlib

import torch
from peft import (AutoPeftModelForCausalLM, IA3Config, LNTuningConfig, LoraConfig, PeftModel, PeftType,
                  get_peft_model, PEFT_TYPE_TO_CONFIG_MAPPING)
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

fixtures = pathlib.Path(__file__).resolve().parents[3] / "server/tuning/tests/fixtures"
PROMPT = "where is the dog 42?"
ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
Q0, DOWN1 = "model.layers.0.self_attn.q_proj", "model.layers.1.mlp.down_proj"
NORMS = ["input_layernorm", "post_attention_layernorm", "norm"]


def lora(**own):
    return LoraConfig(**{"r": 3, "lora_alpha": 6, "target_modules": ["q_proj", "up_proj"], "task_type": "CAUSAL_LM",
                         **own})


def ia3(**own):
    return IA3Config(**{"target_modules": ["k_proj", "v_proj", "down_proj"], "feedforward_modules": ["down_proj"],
                        "task_type": "CAUSAL_LM", **own})


def norms(**own):
    return LNTuningConfig(**{"target_modules": NORMS, "task_type": "CAUSAL_LM", **own})


# Kinds that have to load, by base.
LOADED = {
    "tiny-llama": {
        "lora": lora(),
        "rslora": lora(r=4, use_rslora=True, target_modules=["v_proj", "down_proj"]),
        "all-linear": lora(target_modules="all-linear"),
        "full-paths": lora(target_modules=[Q0, DOWN1]),
        "suffixes": lora(target_modules=["self_attn.v_proj", "mlp.gate_proj"]),
        "pattern": lora(target_modules=r"model\.layers\.[0-9]+\.(self_attn\.(q|o)_proj|mlp\.down_proj)"),
        "look-ahead": lora(target_modules=r"^(?!.*lm_head).*(q_proj|gate_proj)$"),
        "rank-pattern": lora(target_modules=ALL, rank_pattern={"down_proj": 5, r"layers\.0\.self_attn\.q_proj": 1}),
        "alpha-pattern": lora(target_modules=ALL, alpha_pattern={"v_proj": 1.5, Q0: 24}),
        "both-patterns-rslora": lora(target_modules=ALL, use_rslora=True, rank_pattern={"up_proj": 6},
                                     alpha_pattern={"up_proj": 2, "q_proj": 9}),
        "layers-list": lora(target_modules=["q_proj", "v_proj"], layers_to_transform=[1]),
        "layer-zero": lora(target_modules=["q_proj", "v_proj"], layers_to_transform=0),
        "layers-pattern": lora(target_modules=["q_proj"], layers_to_transform=[1], layers_pattern="layers"),
        "exclude-names": lora(target_modules="all-linear", exclude_modules=["down_proj", Q0]),
        "exclude-pattern": lora(target_modules=ALL, exclude_modules=r".*\.0\.mlp\..*"),
        "gaussian": lora(init_lora_weights="gaussian"),
        "orthogonal": lora(r=4, init_lora_weights="orthogonal"),
        "dropout": lora(lora_dropout=0.3),
        "bf16": lora(target_modules=ALL),
        "f16": lora(target_modules=ALL),
        "ia3": ia3(),
        "ia3-all": ia3(target_modules=ALL),
        "ia3-full-paths": ia3(target_modules=[Q0, DOWN1], feedforward_modules=[DOWN1]),
        "ia3-pattern": ia3(target_modules=r".*\.(k|v|down)_proj", feedforward_modules=r".*\.down_proj"),
        "ln-tuning": norms(),
        "ln-tuning-last": norms(target_modules=["norm"]),
        "ln-tuning-paths": norms(target_modules=[f"model.layers.{n}.input_layernorm" for n in (0, 1)]),
    },
    "phi3": {
        "fused-lora": lora(target_modules=["qkv_proj", "gate_up_proj"]),
        "fused-all-linear": lora(target_modules="all-linear"),
        "fused-ia3": ia3(target_modules=["qkv_proj", "gate_up_proj", "down_proj"]),
    },
    "gemma2": {
        "gemma-ln-tuning": norms(target_modules=["input_layernorm", "post_feedforward_layernorm", "norm"]),
    },
    "olmo2": {
        "olmo-lora": lora(target_modules="all-linear"),
        "olmo-ln-tuning": norms(target_modules=["q_norm", "post_attention_layernorm"]),
    },
}
# Kinds of LoRA that are refused, with the key that the refusal names.
REFUSED = {
    "dora": (lora(use_dora=True), "use_dora"),
    "bias-all": (lora(bias="all"), "bias"),
    "bias-lora-only": (lora(bias="lora_only"), "bias"),
    "lora-bias": (lora(lora_bias=True), "lora_bias"),
    "modules-to-save": (lora(modules_to_save=["lm_head"]), "modules_to_save"),
    "token-indices": (lora(trainable_token_indices=[1, 2]), "trainable_token_indices"),
    "embedding": (lora(target_modules=["q_proj", "embed_tokens"]), "embed_tokens"),
    "head": (lora(target_modules=["q_proj", "lm_head"]), "lm_head"),
    "replicated": (lora(layer_replication=[[0, 2], [1, 2]]), "layer_replication"),
    "pissa": (lora(init_lora_weights="pissa"), "init_lora_weights"),
    "olora": (lora(init_lora_weights="olora"), "init_lora_weights"),
}


def folder_of(base, out):
    return fixtures / base if base == "tiny-llama" else out / "architectures" / base


def tiny(base, out):
    model = AutoModelForCausalLM.from_pretrained(folder_of(base, out), dtype=torch.float32,
                                                 attn_implementation="eager")
    return model.eval()


def ids():
    tokenizer = AutoTokenizer.from_pretrained(fixtures / "tiny-llama")
    text = tokenizer.apply_chat_template([{"role": "user", "content": PROMPT}], tokenize=False,
                                         add_generation_prompt=True)
    return tokenizer.encode(text, add_special_tokens=False)


def logits(model):
    with torch.no_grad():
        return model(torch.tensor([ids()])).logits[0, -1]


def save(kind, config, base, out):
    """A trained adapter as peft saves it, and what peft computes when it loads it again."""
    torch.manual_seed(sum(kind.encode()))
    model = get_peft_model(tiny(base, out), config)
    with torch.no_grad():
        for p in model.parameters():
            if p.requires_grad:
                p.add_(0.2 * torch.randn_like(p))
    folder = out / "peft" / kind
    model.save_pretrained(folder)
    if kind in ("bf16", "f16"):
        path = folder / "adapter_model.safetensors"
        dtype = torch.bfloat16 if kind == "bf16" else torch.float16
        save_file({k: v.to(dtype) for k, v in load_file(path).items()}, path, metadata={"format": "pt"})
    return logits(PeftModel.from_pretrained(tiny(base, out), folder).eval()).tolist()


def other_types(out):
    """One folder for each other method, with its configuration alone: that is what it is refused by."""
    kinds = {}
    for type_ in PeftType:
        if type_ in (PeftType.LORA, PeftType.IA3, PeftType.LN_TUNING):
            continue
        folder = out / "peft" / f"type-{type_.value.lower()}"
        try:
            PEFT_TYPE_TO_CONFIG_MAPPING[type_]().save_pretrained(folder)
        except Exception:
            # Methods whose configuration needs more than a type are refused by it all the same.
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "adapter_config.json").write_text(json.dumps({"peft_type": type_.value}))
        kinds[folder.name] = {"base": "tiny-llama", "refused": "peft_type"}
    return kinds


def make(out):
    kinds = other_types(out)
    for base, configs in LOADED.items():
        for kind, config in configs.items():
            kinds[kind] = {"base": base, "logits": save(kind, config, base, out)}
    for kind, (config, key) in REFUSED.items():
        save(kind, config, "tiny-llama", out)
        kinds[kind] = {"base": "tiny-llama", "refused": key}
    (out / "peft.json").write_text(json.dumps({"prompt": PROMPT, "kinds": kinds}))


def check(out):
    """The engine's adapters, loaded by peft; its logits are in OUT/ours.json."""
    ours = json.loads((out / "ours.json").read_text())
    kinds = json.loads((out / "peft.json").read_text())["kinds"]
    largest = 0.0
    for kind, values in ours.items():
        model = tiny(kinds[kind]["base"], out)
        base = logits(model)
        folder = out / "ours" / kind
        loaded = [PeftModel.from_pretrained(model, folder)]
        # These find the base by its name in adapter_config.json.
        find = [AutoPeftModelForCausalLM]
        if json.loads((folder / "adapter_config.json").read_text())["peft_type"] == "LORA":
            find.append(AutoModelForCausalLM)
        loaded += [it.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager") for it in find]
        for real in (logits(it.eval()) for it in loaded):
            assert (real - base).abs().max() > 1e-3, f"{kind} changes nothing"
            largest = max(largest, (real - torch.tensor(values)).abs().max().item())
    assert set(ours) == {kind for kind, case in kinds.items() if "logits" in case}, sorted(ours)
    print(json.dumps({"adapters.write.max_abs_diff": largest}))
