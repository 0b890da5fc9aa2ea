"""llama.cpp's side of `cargo xtask bench tuning`, through llama-cpp-python, driven by lines as
peer.py is. Texts are written side by side in one context, a sequence each, which is how
llama.cpp batches; the likeliest token is taken.

    python llama.py CASE.json MODEL.gguf
"""

import ctypes
import json
import pathlib
import sys
import time

import llama_cpp as l
import numpy as np

case = json.loads(pathlib.Path(sys.argv[1]).read_text())


def answer(**fields):
    print(json.dumps(fields), flush=True)


started = time.time()
# Kept by name: the library goes on calling it.
silent = l.llama_log_callback(lambda *_: None)
l.llama_log_set(silent, ctypes.c_void_p(0))
l.llama_backend_init()
params = l.llama_model_default_params()
params.n_gpu_layers = 0
model = l.llama_model_load_from_file(sys.argv[2].encode(), params)
if not model:
    sys.exit("llama.cpp does not load the model")
vocab = l.llama_vocab_n_tokens(l.llama_model_get_vocab(model))
threads = 1


def make(batch, new):
    longest = max(len(ids) for ids in case["prompts"])
    params = l.llama_context_default_params()
    params.n_ctx = batch * (longest + new + 8)
    params.n_batch = params.n_ubatch = max(512, batch * longest)
    params.n_seq_max = batch
    params.n_threads = params.n_threads_batch = threads
    # One pool of cells for all sequences, which their different lengths share.
    params.kv_unified = True
    return l.llama_init_from_model(model, params)


def generate(batch, new):
    prompts = case["prompts"][:batch]
    context = make(batch, new)
    room = l.llama_batch_init(sum(map(len, prompts)), 0, 1)
    try:

        def add(token, position, sequence, wanted):
            i = room.n_tokens
            room.token[i], room.pos[i] = token, position
            room.n_seq_id[i], room.seq_id[i][0] = 1, sequence
            room.logits[i] = wanted
            room.n_tokens = i + 1
            return i

        room.n_tokens = 0
        rows = []
        for sequence, ids in enumerate(prompts):
            for position, token in enumerate(ids):
                row = add(token, position, sequence, position + 1 == len(ids))
            rows.append(row)
        for written in range(new):
            if l.llama_decode(context, room):
                sys.exit("llama_decode failed")
            drawn = [
                int(np.ctypeslib.as_array(l.llama_get_logits_ith(context, row), (vocab,)).argmax())
                for row in rows
            ]
            if written + 1 == new:
                break
            room.n_tokens = 0
            rows = [
                add(token, len(prompts[s]) + written, s, True) for s, token in enumerate(drawn)
            ]
        return batch * new
    finally:
        l.llama_batch_free(room)
        l.llama_free(context)


answer(engine=f"llama-cpp-python {l.__version__}", seconds=time.time() - started)
for line in sys.stdin:
    verb, *rest = line.split()
    begun = time.perf_counter()
    if verb == "threads":
        threads = int(rest[0])
        answer()
    elif verb == "generate":
        tokens = generate(int(rest[0]), int(rest[1]))
        answer(seconds=time.perf_counter() - begun, tokens=tokens)
    else:
        sys.exit(f"unknown command {verb!r}")
