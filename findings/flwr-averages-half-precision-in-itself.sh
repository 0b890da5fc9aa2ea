#!/usr/bin/env bash
# flwr 1.42.0: aggregate_arrayrecords, the mean behind FedAvg and every strategy built on it, adds up in the
# replies' own type. Adapters and models in float16 are weighed, rounded and added in float16, one client at a
# time, without a warning: the mean of equal models is another model, and what is lost grows with the number of
# clients. numpy's own mean of the same arrays, which adds up in float32, is right to one rounding. Integer
# buffers come back as float64, so both lower and higher precision change under the same call.
#
# Seen, 20,000 weights of standard deviation 1: the mean of 10 equal models is 0.07 % away from them, of 100
# 0.6 %; a step of 0.001 a client has a mean of 0.6 of that error with 10 clients and a fiftieth with 100.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --quiet install flwr==1.42.0 numpy==2.3.5
"$folder/venv/bin/python" - <<'PYTHON'
import flwr
import numpy as np
from flwr.app import Array, ArrayRecord, MetricRecord, RecordDict
from flwr.serverapp.strategy.strategy_utils import aggregate_arrayrecords

WEIGHTS = 20_000
random = np.random.default_rng(7)
base = random.standard_normal(WEIGHTS).astype(np.float16)


def mean(models):
    replies = [
        RecordDict({"arrays": ArrayRecord({"w": Array(model)}), "metrics": MetricRecord({"num-examples": 50})})
        for model in models
    ]
    return aggregate_arrayrecords(replies, "num-examples")["w"].numpy()


def apart(a, b):
    a, b = a.astype(np.float64), b.astype(np.float64)
    return np.linalg.norm(a - b) / np.linalg.norm(b)


print("flwr", flwr.__version__)
for clients in 10, 100:
    equal = mean([base] * clients)
    steps = [1e-3 * random.standard_normal(WEIGHTS) for _ in range(clients)]
    models = [(base + step).astype(np.float16) for step in steps]
    exact = np.mean([model.astype(np.float64) for model in models], axis=0)
    error, update = mean(models).astype(np.float64) - exact, exact - base
    share = np.linalg.norm(update) / np.linalg.norm(error)
    own = apart(np.mean(models, axis=0), exact)
    print(f"{clients:3} clients: equal models {apart(equal, base):.2%} apart, numpy's mean {own:.3%},"
          f" mean update {share:.2f} of the error")
    assert equal.dtype == np.float16
    assert apart(equal, base) > 4e-4, "the mean of equal models is that model now"
    assert own < 4e-4, own
    assert share < 1, "the update is larger than the error now"
assert mean([np.array([1, 2, 3])] * 4).dtype == np.float64
PYTHON
