#!/usr/bin/env bash
# flwr 1.42.0: Krum, MultiKrum and Bulyan compute squared distances between the replies' whole models as
# |x|^2 + |y|^2 - 2xy in the models' own float32. In tuning the clients' models differ from each other by
# little and share a large base, so the three terms cancel: distances come out negative, and the chosen client
# is an accident of rounding. No warning is written. Subtracted before they are squared, the same float32
# values give the right choice.
#
# Seen, ten honest clients, 200,000 weights of a base of standard deviation 1: with updates of 0.0003 a
# third of the distances between clients are not positive, and the order of scores is unlike the right
# one. With a base of zero the same updates are ordered rightly.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --quiet install flwr==1.42.0 numpy==2.3.5
"$folder/venv/bin/python" - <<'PYTHON'
import flwr
import numpy as np
from flwr.app import Array, ArrayRecord, RecordDict
from flwr.serverapp.strategy.multikrum import compute_distances, select_multikrum

CLIENTS, WEIGHTS, LIARS = 10, 200_000, 2
random = np.random.default_rng(7)
base = random.standard_normal(WEIGHTS).astype(np.float32)
# Each client's update is a little larger than the one before: the order is known.
sizes = 3e-4 * (1 + 0.05 * np.arange(CLIENTS))
updates = [(size * random.standard_normal(WEIGHTS)).astype(np.float32) for size in sizes]


def order(models):
    records = [ArrayRecord({"w": Array(model)}) for model in models]
    replies = [RecordDict({"arrays": record}) for record in records]
    chosen = select_multikrum(replies, LIARS, CLIENTS)
    places = {id(reply): place for place, reply in enumerate(replies)}
    return [places[id(reply)] for reply in chosen], compute_distances(records)


def right(models):
    exact = np.stack(models).astype(np.float64)
    squares = np.array(
        [[((a - b) ** 2).sum() for b in exact] for a in exact]
    )
    scores = np.sort(squares, axis=1)[:, 1 : CLIENTS - LIARS - 1].sum(axis=1)
    return np.argsort(scores).tolist(), squares


between = ~np.eye(CLIENTS, dtype=bool)
alone, _ = order(updates)
assert alone == right(updates)[0], alone
models = [base + update for update in updates]
seen, distances = order(models)
wanted, squares = right(models)
lost = (distances[between] <= 0).mean()
print("flwr", flwr.__version__)
print("right order of scores       ", wanted)
print("updates without the base    ", alone)
print("models, as strategies get them", seen)
print(f"distances: right {squares[between].min():.4f} to {squares[between].max():.4f},"
      f" flwr {distances[between].min():.4f} to {distances[between].max():.4f}, {lost:.0%} not positive")
subtracted = np.array([[np.square(a - b).sum() for b in models] for a in models])
assert np.allclose(subtracted, squares, rtol=1e-3), "float32 itself would do"
assert seen != wanted, "the order is right now: Krum of flwr has changed"
assert lost > 0, "no distance is lost now: Krum of flwr has changed"
PYTHON
