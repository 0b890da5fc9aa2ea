"""Writes the seeds of the fuzz targets: the smallest files that pass each reader whole.
Needs nothing but Python. Parquet's are the files of server/tuning/tests/data."""
import json, pathlib, struct

here = pathlib.Path(__file__).parent
VOCAB = ["<|im_start|>", "<|im_end|>", *"abcdefghijklmnopqrstuvwxyz012", "Ġ", "Ċ", "at", "Ġa"]
VOCAB += [f"[PAD{n}]" for n in range(len(VOCAB), 40)]
LLAMA = {"model_type": "llama", "hidden_size": 8, "intermediate_size": 8, "num_attention_heads": 2,
         "num_key_value_heads": 1, "num_hidden_layers": 1, "rms_norm_eps": 1e-5, "vocab_size": 40,
         "max_position_embeddings": 64, "tie_word_embeddings": True, "rope_theta": 10000.0}
SHAPES = {"model.embed_tokens.weight": [40, 8], "model.norm.weight": [8],
          "model.layers.0.input_layernorm.weight": [8],
          "model.layers.0.post_attention_layernorm.weight": [8],
          "model.layers.0.self_attn.q_proj.weight": [8, 8], "model.layers.0.self_attn.k_proj.weight": [4, 8],
          "model.layers.0.self_attn.v_proj.weight": [4, 8], "model.layers.0.self_attn.o_proj.weight": [8, 8],
          "model.layers.0.mlp.gate_proj.weight": [8, 8], "model.layers.0.mlp.up_proj.weight": [8, 8],
          "model.layers.0.mlp.down_proj.weight": [8, 8]}


def write(name, data):
    path = here / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else json.dumps(data).encode())


def size(shape):
    count = 1
    for side in shape:
        count *= side
    return count


def safetensors(shapes, dtype="F32", metadata=None):
    width = {"F32": 4, "F16": 2, "BF16": 2}[dtype]
    header, body = {}, b""
    if metadata:
        header["__metadata__"] = metadata
    for name, shape in sorted(shapes.items()):
        start = len(body)
        one = {"F32": struct.pack("<f", 0.5), "F16": struct.pack("<e", 0.5), "BF16": b"\x00\x3f"}[dtype]
        body += one * size(shape)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [start, start + size(shape) * width]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + body


pairs = {}
for target, out in [("q_proj", 8), ("v_proj", 4)]:
    prefix = f"base_model.model.model.layers.0.self_attn.{target}.lora_"
    pairs[f"{prefix}A.weight"], pairs[f"{prefix}B.weight"] = [2, 8], [out, 2]
ours = {"rank": 2, "alpha": 4.0, "dropout": 0.0, "targets": ["q_proj", "v_proj"]}
write("safetensors/f32.safetensors", safetensors(SHAPES))
write("safetensors/bf16.safetensors", safetensors(SHAPES, "BF16"))
write("safetensors/f16.safetensors", safetensors(SHAPES, "F16"))
write("safetensors/peft.safetensors", safetensors(pairs))
write("safetensors/canonical.safetensors",
      safetensors(pairs, metadata={"fedseal": json.dumps(ours, separators=(",", ":")), "format": "pt"}))

# Configurations of each architecture, tokenizer_config.json, adapter_config.json.
write("config/llama.json", LLAMA)
write("config/llama3.json", LLAMA | {"rope_scaling": {
    "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32}, "eos_token_id": [1, 2]})
write("config/yarn.json", LLAMA | {"rope_scaling": {
    "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16, "beta_fast": 32.0,
    "beta_slow": 1.0, "attention_factor": 1.1, "mscale": 1.0, "mscale_all_dim": 0.5, "truncate": False}})
write("config/longrope.json", LLAMA | {"original_max_position_embeddings": 32, "rope_scaling": {
    "rope_type": "longrope", "short_factor": [1.0, 1.5], "long_factor": [2.0, 4.0]}})
write("config/qwen2.json", LLAMA | {"model_type": "qwen2", "use_sliding_window": True, "sliding_window": 8,
                                    "max_window_layers": 0})
write("config/gemma3.json", LLAMA | {"model_type": "gemma3_text", "head_dim": 4, "sliding_window_pattern": 2,
                                     "query_pre_attn_scalar": 4, "hidden_activation": "gelu_pytorch_tanh",
                                     "final_logit_softcapping": 30.0, "rope_local_base_freq": 1000.0})
write("config/mistral.json", LLAMA | {"model_type": "mistral", "sliding_window": 16, "head_dim": 4})
write("config/tokenizer.json", {"eos_token": {"content": "<|im_end|>"}, "bos_token": "<|im_start|>", "chat_template":
      "{% for m in messages %}{{ m['role'] | upper + m.content }}{% endfor %}{% if add_generation_prompt %}a{% endif %}"})
write("config/templates.json", {"chat_template": [{"name": "default", "template":
      "{% macro f(x) %}{{ x|trim }}{% endmacro %}{% set n = namespace(i=0) %}{{ f(messages[0]['content']) }}"}]})
write("config/peft.json", {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "lora_dropout": 0.0, "bias": "none",
                           "target_modules": ["q_proj", "v_proj"], "use_rslora": False, "task_type": "CAUSAL_LM"})

# Tokenizers.
byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
special = [{"id": i, "content": VOCAB[i], "single_word": False, "lstrip": False, "rstrip": False,
            "normalized": False, "special": True} for i in range(2)]
bpe = {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
       "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
       "vocab": {token: i for i, token in enumerate(VOCAB)}, "merges": [["a", "t"], ["Ġ", "a"]]}
TOKENIZER = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": special,
             "normalizer": None, "pre_tokenizer": byte_level, "post_processor": byte_level,
             "decoder": byte_level, "model": bpe}
write("tokenizer/bpe.json", TOKENIZER)
write("tokenizer/sentencepiece.json", TOKENIZER | {
    "normalizer": {"type": "Sequence", "normalizers": [
        {"type": "Prepend", "prepend": "\u2581"},
        {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}]},
    "pre_tokenizer": None, "post_processor": {"type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "<|im_start|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [], "special_tokens": {"<|im_start|>": {"id": "<|im_start|>", "ids": [0], "tokens": ["<|im_start|>"]}}},
    "decoder": {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Fuse"},
                                                 {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
    "model": bpe | {"byte_fallback": True, "unk_token": "a", "fuse_unk": True}})
write("tokenizer/split.json", TOKENIZER | {
    "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": {"Regex": "\\p{L}+|\\s+(?!\\S)|\\d{1,3}"}, "behavior": "Isolated", "invert": False},
        {"type": "Digits", "individual_digits": True}, byte_level | {"use_regex": False}]},
    "normalizer": {"type": "NFC"}})


# GGUF.
def text(value):
    raw = value.encode()
    return struct.pack("<Q", len(raw)) + raw


def entry(key, value):
    if isinstance(value, bool):
        return text(key) + struct.pack("<IB", 7, value)
    if isinstance(value, int):
        return text(key) + struct.pack("<II", 4, value)
    if isinstance(value, float):
        return text(key) + struct.pack("<If", 6, value)
    if isinstance(value, str):
        return text(key) + struct.pack("<I", 8) + text(value)
    kind = {str: 8, int: 5, float: 6}[type(value[0])]
    items = b"".join(text(v) if kind == 8 else struct.pack("<f" if kind == 6 else "<i", v) for v in value)
    return text(key) + struct.pack("<IIQ", 9, kind, len(value)) + items


# Values and bytes of a block, by type.
BLOCKS = {0: (1, 4), 1: (1, 2), 30: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34),
          10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210),
          16: (256, 66), 19: (256, 50), 21: (256, 110), 22: (256, 82), 23: (256, 136), 29: (256, 56)}
# A SentencePiece vocabulary in place of byte-level BPE.
PIECES = ["<unk>", "<s>", "</s>", "\u2581", "a", "t", "\u2581a", "at", "\u2581at", "<0x0A>"]
SPM = {"tokenizer.ggml.model": "llama", "tokenizer.ggml.tokens": PIECES + [f"x{i}" for i in range(30)],
       "tokenizer.ggml.scores": [0.0] * 4 + [-float(i) for i in range(36)],
       "tokenizer.ggml.token_type": [2, 3, 3, 1, 1, 1, 1, 1, 1, 6] + [1] * 29 + [4],
       "tokenizer.ggml.bos_token_id": 1, "tokenizer.ggml.eos_token_id": 2, "tokenizer.ggml.add_space_prefix": True}


def gguf(width, kinds, more={}):
    inner = min(width, 32)
    shapes = {"token_embd": [40, width], "output_norm": [width], "blk.0.attn_norm": [width],
              "blk.0.ffn_norm": [width], "blk.0.attn_q": [inner, width], "blk.0.attn_k": [inner // 2, width],
              "blk.0.attn_v": [inner // 2, width], "blk.0.attn_output": [width, inner],
              "blk.0.ffn_gate": [8, width], "blk.0.ffn_up": [8, width], "blk.0.ffn_down": [width, 8]}
    meta = {"general.architecture": "llama", "llama.block_count": 1, "llama.context_length": 64,
            "llama.embedding_length": width, "llama.feed_forward_length": 8, "llama.attention.head_count": 2,
            "llama.attention.head_count_kv": 1, "llama.attention.key_length": inner // 2,
            "llama.attention.layer_norm_rms_epsilon": 1e-5,
            "llama.rope.freq_base": 10000.0, "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "smollm",
            "tokenizer.ggml.tokens": VOCAB, "tokenizer.ggml.token_type": [3, 3] + [1] * 38,
            "tokenizer.ggml.merges": ["a t", "Ġ a"], "tokenizer.ggml.eos_token_id": 1,
            "tokenizer.ggml.add_bos_token": False} | more
    out = b"GGUF" + struct.pack("<IQQ", 3, len(shapes), len(meta))
    out += b"".join(entry(key, value) for key, value in meta.items())
    body, n = b"", 0
    for name, shape in shapes.items():
        kind = 0
        if len(shape) == 2 and shape[1] == width:
            kind = kinds[n % len(kinds)]
            n += 1
        values, length = BLOCKS[kind]
        length = size(shape) // values * length
        out += text(name + ".weight") + struct.pack("<I", len(shape))
        out += b"".join(struct.pack("<Q", side) for side in reversed(shape))
        out += struct.pack("<IQ", kind, len(body))
        body += bytes(length)
        body += bytes(-len(body) % 32)
    return out + bytes(-len(out) % 32) + body


write("gguf/floats.gguf", gguf(8, [0, 1, 30]))
write("gguf/blocks.gguf", gguf(32, [2, 3, 6, 7, 8]))
write("gguf/k.gguf", gguf(256, [10, 11, 12, 13, 14]))
write("gguf/i.gguf", gguf(256, [16, 19, 21, 22, 23, 29]))
write("gguf/spm.gguf", gguf(8, [0], SPM))

# Rows in every layout.
ROWS = {
    "alpaca": {"instruction": "Name a colour.", "input": "", "output": "Blue."},
    "pairs": {"prompt": "Name a colour.", "response": "Blue."},
    "messages": {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]},
    "sharegpt": {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]},
    "lmsys": {"conversation_id": "1", "model": "m", "conversation": [
        {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}], "language": "English"},
    "wildchat": {"conversation_hash": "1", "model": "m", "conversation": [
        {"role": "user", "content": "Hi", "toxic": False}, {"role": "assistant", "content": "Hello"}],
        "toxic": False, "language": "English"},
}
for name, row in ROWS.items():
    line = json.dumps(row)
    write(f"data_json/{name}.json", f"[{line}, {line}]".encode())
    write(f"data_json/{name}.jsonl", f"{line}\n{line}\n".encode())
