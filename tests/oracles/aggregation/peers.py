"""The peers' side of `cargo xtask bench aggregation`: Flower, ByzFL, numpy and torch, each at its best, driven by
lines on standard input as server/rules/examples/bench_aggregation.rs is.

    python peers.py THREADS

`data N D` makes N updates of D values, `time PEER RULE` times one call.
"""

import json
import sys
import time

import numpy as np
import torch

import packages

THREADS = int(sys.argv[1])
MALICIOUS, TRIM = 2, 1
torch.set_num_threads(THREADS)


def answer(**fields):
    print(json.dumps(fields), flush=True)


class Data:
    def __init__(self, n, d):
        self.x = np.random.default_rng(1).uniform(-1, 1, size=(n, d)).astype(np.float32)
        self.w = np.full(n, 1 / n, dtype=np.float32)
        self.t = torch.from_numpy(self.x)
        self.records = None

    def replies(self):
        # Flower's own form of what came in, made before its time runs.
        if self.records is None:
            self.records = packages.replies(self.x, np.full(len(self.x), 100.0))
        return self.records


def flwr_krum(data):
    chosen = packages.multikrum.select_multikrum(data.replies(), MALICIOUS, 1)
    return packages.aggregate_arrayrecords(chosen, packages.EXAMPLES)


def byzfl_median(data):
    try:
        return packages.byzfl.Median()(data.t)
    except RuntimeError:
        # torch.quantile, which it takes for tensors, has a largest input.
        return packages.byzfl.Median()(data.x)


def torch_trimmed(data):
    rest = data.t.sum(dim=0) - data.t.amax(dim=0) - data.t.amin(dim=0)
    return rest / (len(data.t) - 2 * TRIM)


def torch_krum(data):
    distances = torch.cdist(data.t, data.t) ** 2
    near = distances.sort(dim=1).values[:, 1 : len(data.t) - MALICIOUS - 1]
    return data.t[near.sum(dim=1).argmin()].clone()


CALLS = {
    ("flwr", "fedavg"): lambda data: packages.aggregate_arrayrecords(data.replies(), packages.EXAMPLES),
    ("flwr", "median"): lambda data: np.median(data.x, axis=0),
    ("flwr", "trimmed-mean"): lambda data: packages.fedtrimmedavg.trim_mean(data.x, 0.1),
    ("flwr", "krum"): flwr_krum,
    ("byzfl", "fedavg"): lambda data: packages.byzfl.Average()(data.t),
    ("byzfl", "median"): byzfl_median,
    ("byzfl", "trimmed-mean"): lambda data: packages.byzfl.TrMean(TRIM)(data.t),
    ("byzfl", "krum"): lambda data: packages.quietly(lambda: packages.byzfl.Krum(MALICIOUS)(data.t)),
    ("numpy", "fedavg"): lambda data: data.w @ data.x,
    ("numpy", "median"): lambda data: np.partition(data.x, (len(data.x) - 1) // 2, axis=0)[(len(data.x) - 1) // 2],
    ("numpy", "trimmed-mean"): lambda data: (data.x.sum(0) - data.x.max(0) - data.x.min(0)) / (len(data.x) - 2 * TRIM),
    ("torch", "fedavg"): lambda data: torch.from_numpy(data.w) @ data.t,
    ("torch", "median"): lambda data: data.t.median(dim=0).values,
    ("torch", "trimmed-mean"): torch_trimmed,
    ("torch", "krum"): torch_krum,
}


def main():
    answer(engine=f"flwr, byzfl, numpy {np.__version__}, torch {torch.__version__}", seconds=0.0)
    data = None
    for text in sys.stdin:
        words = text.split()
        if words[0] == "data":
            data = None
            data = Data(int(words[1]), int(words[2]))
            answer(seconds=0.0)
            continue
        call = CALLS[tuple(words[1:])]
        data.replies() if words[1] == "flwr" else None
        started = time.perf_counter()
        call(data)
        answer(seconds=time.perf_counter() - started)


if __name__ == "__main__":
    with torch.inference_mode():
        main()
