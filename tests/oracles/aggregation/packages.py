"""The same rules and optimisers in Flower and ByzFL. None: the package has no result for this input."""

import contextlib
import io
from types import SimpleNamespace

import byzfl
import numpy as np
import torch
from flwr.app import Array, ArrayRecord, MetricRecord, RecordDict
from flwr.serverapp import strategy
from flwr.serverapp.strategy import fedtrimmedavg, multikrum
from flwr.serverapp.strategy.fedavg import FedAvg
from flwr.serverapp.strategy.strategy_utils import aggregate_arrayrecords

EXAMPLES = "num-examples"


def quietly(work):
    """ByzFL's Krum prints."""
    with contextlib.redirect_stdout(io.StringIO()):
        return work()


def replies(x, w):
    return [
        RecordDict({
            "arrays": ArrayRecord({"x": Array(row)}),
            "metrics": MetricRecord({EXAMPLES: float(examples)}),
        })
        for row, examples in zip(x, w)
    ]


def value(arrays):
    return arrays["x"].numpy()


def flwr_mean(x, w, f):
    return value(aggregate_arrayrecords(replies(x, w), EXAMPLES))


def flwr_strategy(one, x, w):
    """A strategy's own aggregation; only its look at the messages' errors is left out."""
    one._check_and_log_replies = lambda messages, is_train: (list(messages), [])
    arrays, _ = one.aggregate_train(1, [SimpleNamespace(content=reply) for reply in replies(x, w)])
    return None if arrays is None else value(arrays)


def flwr_median(x, w, f):
    return flwr_strategy(strategy.FedMedian(), x, w)


def flwr_trimmed(x, w, f, share):
    return flwr_strategy(strategy.FedTrimmedAvg(beta=share), x, w)


def flwr_bulyan(x, w, f):
    """None below its bound: it skips the round."""
    return flwr_strategy(strategy.Bulyan(num_malicious_nodes=f), x, w)


def flwr_krum(x, w, f, select=1):
    chosen = multikrum.select_multikrum(replies(x, w), f, select)
    return value(aggregate_arrayrecords(chosen, EXAMPLES))


def torch_lower_median(x, w, f):
    return torch.tensor(x).median(dim=0).values.numpy()


def byzfl_median(x, w, f):
    return byzfl.Median()(torch.tensor(x)).numpy()


def byzfl_trimmed(x, w, f, trim=1):
    return byzfl.TrMean(trim)(x) if len(x) > 2 * trim else None


def byzfl_krum(x, w, f):
    return quietly(lambda: byzfl.Krum(f)(x))


def byzfl_multi_krum(x, w, f):
    return quietly(lambda: byzfl.MultiKrum(f)(x))


def byzfl_geometric_median(x, w, f, iterations, smoothing):
    return byzfl.GeometricMedian(nu=smoothing, T=iterations)(x)


def byzfl_centred_clipping(x, w, f, iterations, bound):
    # A zero update has no direction to be clipped along, which ByzFL divides by.
    if not np.linalg.norm(x, axis=1).all():
        return None
    return byzfl.CenteredClipping(L=iterations, tau=float(bound))(x)


def byzfl_norm_clipping(x, w, f, bound):
    """Updates that are clipped first; their plain mean."""
    return byzfl.Average()(byzfl.Clipping(c=float(bound))(x.copy()))


def flwr_optimiser(name, deltas, **numbers):
    """Flower's own steps: only what its FedAvg would have aggregated is given."""
    names = {"fedavgm": "FedAvgM", "fedadagrad": "FedAdagrad", "fedyogi": "FedYogi", "fedadam": "FedAdam"}
    theirs = {
        "learning_rate": "server_learning_rate" if name == "fedavgm" else "eta",
        "momentum": "server_momentum",
        "beta1": "beta_1",
        "beta2": "beta_2",
        "tau": "tau",
    }
    one = getattr(strategy, names[name])(**{theirs[key]: number for key, number in numbers.items()})
    before = FedAvg.aggregate_train
    FedAvg.aggregate_train = lambda self, server_round, replies: (replies, None)
    try:
        at, steps = np.zeros_like(deltas[0]), []
        for number, delta in enumerate(deltas):
            current = ArrayRecord({"x": Array(at)})
            one.current_arrays = current if name == "fedavgm" else {"x": at}
            arrays, _ = one.aggregate_train(number + 1, ArrayRecord({"x": Array(at + delta)}))
            after = value(arrays)
            steps.append(after - at)
            at = np.zeros_like(at)
        return steps
    finally:
        FedAvg.aggregate_train = before
