"""Writes cases for the engine's rules and optimisers with the results of others: OUT/cases.jsonl.

    python cases.py OUT
"""

import json
import pathlib
import sys

import numpy as np

import packages
import references
import served

RANDOM, DEGENERATE = 50, 30
FORMULAS = ("original", "openfedllm")


def single(values):
    return np.asarray(values, dtype=np.float32).astype(np.float64)


def random_inputs():
    rng = np.random.default_rng(20_240_610)
    for _ in range(RANDOM):
        n, d = int(rng.integers(3, 13)), int(rng.integers(2, 60))
        scale = 10.0 ** rng.uniform(-3, 1)
        x = single(rng.normal(size=d) * scale + rng.normal(size=(n, d)) * scale)
        yield x, rng.integers(1, 500, size=n).astype(np.float64), int(rng.integers(0, max(n // 3, 1) + 1))


def degenerate_inputs():
    rng = np.random.default_rng(7)
    some = single(rng.normal(size=(6, 20)))
    line = single(rng.normal(size=20))
    copies = some.copy()
    copies[1] = copies[2] = copies[0]
    pairs = np.concatenate([some[:3], -some[:3]])
    single_one = np.zeros((5, 9))
    single_one[np.arange(5), np.arange(5)] = [1, 2, 3, 4, 5]
    far = some.copy()
    far[3] = single(far[3] * 1e20)
    zeros = single(np.where(rng.random((5, 11)) < 0.5, 0.0, -0.0))
    last_zero = some.copy()
    last_zero[5] = 0.0
    opposite = some.copy()
    opposite[1] = -opposite[0]
    sparse = single(some * (rng.random(some.shape) < 0.4))
    mixed = single(some * 10.0 ** np.linspace(-10, 10, 20))
    spike = some.copy()
    spike[2, 7] = single(1e15)
    two = single(np.concatenate([some[:4], some[4:] + 50]))
    cases = [
        (some[:1], 0), (some[:2], 1), (np.stack([line, line]), 1), (np.stack([line] * 5), 1), (np.zeros((4, 7)), 1),
        (some[:, :1], 1), (far, 1), (single(some * 1e-30), 1), (copies, 1), (pairs, 2),
        (single(rng.integers(-2, 3, size=(8, 30))), 1), (zeros, 1), (some, 0), (some, 5), (some, 9),
        (single_one, 1), (single(rng.normal(size=(40, 3))), 9), (single(rng.normal(size=(3, 3000))), 1),
        (single(np.outer([1, 2, 3, 4.5, 7], line)), 1), (last_zero, 1),
        (some[:3], 2), (some[:4], 2), (single(rng.normal(size=(25, 2))), 12), (single(some + 100), 1), (opposite, 1),
        (sparse, 1), (mixed, 1), (spike, 1), (two, 2), (single(some * 1e-36), 1),
    ]
    assert len(cases) == DEGENERATE
    for x, f in cases:
        yield np.asarray(x, dtype=np.float64), np.arange(1, len(x) + 1) * 10.0, f


def first(*sources):
    """The result of the first source that has one, and its name."""
    for name, work in sources:
        result = work()
        if result is not None and np.isfinite(result).all():
            return result, name
    raise AssertionError("no source has a result")


def rules(x, w, f, kind, index):
    """Rule, its parameters, the weights that it is given, its sources in turn, whether bits count."""
    n, ones = len(x), np.ones(len(x))
    clear = kind == "random"
    reference = lambda rule, w=w, **more: ("reference", lambda: rule(x, w, f, **more))
    trim = 1 + index % 2
    bound = float(1 + index % 3)
    steps = 1 + index % 3

    yield "fedavg", {}, w, [("flwr", lambda: packages.flwr_mean(x, w, f))], False
    yield "median", {}, w, [("torch", lambda: packages.torch_lower_median(x, w, f))], True
    yield "trimmed-mean", {"trim": trim}, w, [
        ("byzfl", lambda: packages.byzfl_trimmed(x, w, f, trim)), reference(references.trimmed_mean, trim=trim),
    ], False
    yield "krum", {}, w, [reference(references.krum)], False
    # With one neighbour the two of the closest pair have equal scores: which one is taken is left open.
    if clear and n - f - 2 >= 2:
        theirs = [("flwr", lambda: packages.flwr_krum(x, ones, f))]
        several = [("flwr", lambda: packages.flwr_krum(x, ones, f, n - f))]
    else:
        theirs, several = [], []
    single_update = [("reference", lambda: x[0])] if n == 1 else []
    yield "krum-original", {}, w, theirs + single_update + [reference(references.krum_original)], False
    yield "multi-krum", {}, w, several + single_update + [reference(references.multi_krum)], False
    yield "dnc", {"iterations": steps}, w, [reference(references.dnc)], False
    if not references.all_alike(x):
        yield "foolsgold", {}, w, [reference(references.foolsgold)], False
        # A zero update is equally far from every cluster: which one takes it is anybody's choice.
        if np.linalg.norm(x, axis=1).all():
            yield "clipped-clustering", {}, w, [reference(references.clipped_clustering)], False
    yield "residual", {}, w, [reference(references.residual)], False
    yield "bulyan", {}, w, [reference(references.bulyan)], False
    smoothing = 0.1 if index % 2 else 1e-6
    numbers = {"iterations": steps, "smoothing": smoothing}
    yield "geometric-median", numbers, ones, [
        ("byzfl", lambda: packages.byzfl_geometric_median(x, ones, f, **numbers)),
    ], False
    yield "geometric-median", numbers, w, [reference(references.geometric_median, **numbers)], False
    numbers_of_clipping = {"iterations": steps, "bound": bound}
    yield "centred-clipping", numbers_of_clipping, w, [
        ("byzfl", lambda: packages.byzfl_centred_clipping(x, w, f, **numbers_of_clipping)),
        reference(references.centred_clipping, **numbers_of_clipping),
    ], False
    yield "centred-clipping", {"iterations": steps}, w, [
        reference(references.centred_clipping, iterations=steps),
    ], False
    yield "norm-clipping", {"bound": bound}, ones, [
        ("byzfl", lambda: packages.byzfl_norm_clipping(x, ones, f, bound)),
    ], False
    yield "norm-clipping", {"bound": bound}, w, [reference(references.norm_clipping, bound=bound)], False
    yield "norm-clipping", {}, w, [reference(references.norm_clipping)], False


def optimisers(x, index):
    """Optimiser, formula, its numbers, its source and its steps on the updates one after another."""
    deltas = list(x[:6])
    rate, momentum, beta1, beta2, tau = 0.1 * (1 + index % 4), 0.1 + 0.2 * (index % 5), 0.5, 0.9, 1e-3 * (1 + index % 7)
    yield "plain", None, {}, "reference", deltas
    for formula in FORMULAS:
        yield "fedavgm", formula, {"momentum": momentum}, "reference", references.fedavgm(deltas, formula, momentum)
    numbers = {"learning_rate": rate, "momentum": momentum}
    yield "fedavgm", "flwr", numbers, "flwr", packages.flwr_optimiser("fedavgm", deltas, **numbers)
    for kind in ("fedadagrad", "fedyogi", "fedadam"):
        for formula in FORMULAS:
            numbers = {"learning_rate": rate, "tau": tau}
            if kind != "fedadagrad":
                numbers |= {"beta1": beta1, "beta2": beta2}
            elif formula == "original":
                numbers |= {"beta1": beta1}
            yield kind, formula, numbers, "reference", references.adaptive(deltas, formula, kind, **numbers)
        numbers = {"learning_rate": rate, "tau": tau}
        if kind != "fedadagrad":
            numbers |= {"beta1": beta1, "beta2": beta2}
        yield kind, "flwr", numbers, "flwr", packages.flwr_optimiser(kind, deltas, **numbers)


def pairs():
    """Global A and B, the clients' differences, and their examples: random ones, then degenerate ones."""
    rng = np.random.default_rng(3)

    def made(n, outer, rank, inner, scale=1.0):
        global_a, global_b = single(rng.normal(size=(rank, inner))), single(rng.normal(size=(outer, rank)) * scale)
        delta_a, delta_b = single(rng.normal(size=(n, rank, inner))), single(rng.normal(size=(n, outer, rank)) * scale)
        return global_a, global_b, delta_a, delta_b, rng.integers(1, 500, size=n).astype(np.float64)

    for _ in range(RANDOM):
        n, outer, rank, inner = (int(rng.integers(*span)) for span in ((2, 7), (4, 10), (1, 4), (4, 10)))
        yield "random", made(n, outer, rank, inner)
    one_row = made(3, 6, 2, 5)
    one_row[3][:, :, 1] = 0.0
    one_row[1][:, 1] = 0.0
    alike = made(4, 5, 2, 6)
    alike[2][:], alike[3][:] = alike[2][0], alike[3][0]
    fresh = made(3, 5, 2, 6)
    fresh[1][:] = 0.0
    unmoved = made(3, 6, 3, 5)
    unmoved[2][:], unmoved[3][:] = 0.0, 0.0
    only_a, only_b = made(3, 6, 2, 5), made(3, 6, 2, 5)
    only_a[3][:], only_b[2][:] = 0.0, 0.0
    silent = made(4, 5, 2, 6)
    silent[4][1:3] = 0.0
    far = made(4, 5, 2, 6)
    far[3][2] = single(far[3][2] * 1e6)
    opposite = made(2, 5, 2, 6)
    opposite[3][1] = single(-2 * opposite[1] - opposite[3][0])
    degenerate = [
        made(1, 5, 2, 6), made(3, 5, 2, 6, scale=0.0), made(3, 1, 2, 6), one_row, made(4, 5, 3, 7, scale=2.0**-90),
        made(8, 3, 3, 3), alike, fresh, unmoved, only_a, only_b, silent, far, opposite, made(3, 6, 2, 1),
        made(2, 1, 1, 1), made(5, 6, 1, 7), made(2, 2, 4, 3), made(12, 4, 2, 4), made(4, 5, 3, 7, scale=2.0**60),
    ]
    for case in degenerate:
        yield "degenerate", case


def apart_input():
    """10 updates, their examples, and 2 expected attackers."""
    rng = np.random.default_rng(1)
    x = single(rng.normal(size=50) + rng.normal(size=(10, 50)))
    return x, np.array([100.0, 400, 200, 50, 300, 100, 250, 80, 120, 500]), 2


def apart(x, w, f):
    """Results of rules of the same name in other packages: rule, parameters, name, what differs, result."""
    yield "fedavg", {}, "nvflare", "NVFLARE's weights, where all made as many steps: the plain mean", (
        references.mean(x, np.ones(len(x)), f)
    )
    yield "median", {}, "flwr", "Flower's FedMedian: the mean of the middle two", packages.flwr_median(x, w, f)
    yield "median", {}, "byzfl", "ByzFL's Median: the mean of the middle two", packages.byzfl_median(x, w, f)
    yield "median", {}, "torch", "torch.median", packages.torch_lower_median(x, w, f)
    yield "trimmed-mean", {}, "flwr", "Flower's FedTrimmedAvg as it is: beta 0.2 drops two of ten at either end", (
        packages.flwr_trimmed(x, w, f, 0.2)
    )
    yield "trimmed-mean", {"trim": 2}, "flwr-beta-0.2", "the same beside `trim = 2`", (
        packages.flwr_trimmed(x, w, f, 0.2)
    )
    yield "trimmed-mean", {"trim": 2}, "byzfl-f-2", "ByzFL's TrMean(2) beside `trim = 2`", (
        packages.byzfl_trimmed(x, w, f, 2)
    )
    yield "krum", {}, "flwr", "Flower's Krum: one update", packages.flwr_krum(x, w, f)
    yield "krum-original", {}, "flwr", "Flower's Krum", packages.flwr_krum(x, w, f)
    yield "krum-original", {}, "byzfl", "ByzFL's Krum", packages.byzfl_krum(x, w, f)
    yield "multi-krum", {}, "flwr", "Flower's MultiKrum as it is: one update", packages.flwr_krum(x, w, f)
    yield "multi-krum", {}, "flwr-select-8", "with 8 of ten selected: weighed by examples", (
        packages.flwr_krum(x, w, f, 8)
    )
    yield "multi-krum", {}, "flwr-equal-examples", "with 8 of ten that have as many examples", (
        packages.flwr_krum(x, np.ones(10), f, 8)
    )
    yield "multi-krum", {}, "byzfl", "ByzFL's MultiKrum", packages.byzfl_multi_krum(x, w, f)
    yield "geometric-median", {"smoothing": 0.1}, "byzfl", "ByzFL's GeometricMedian: every update counts alike", (
        packages.byzfl_geometric_median(x, w, f, 3, 0.1)
    )


def apart_elsewhere(x):
    """As `apart`, of inputs of their own: updates, attackers, rule, parameters, name, what differs, result."""
    w = np.ones(len(x))
    four = x[:4]
    yield four, 1, "trimmed-mean", {}, "flwr-of-four", "of four updates beta 0.2 drops none", (
        packages.flwr_trimmed(four, w[:4], 1, 0.2)
    )
    yield x, 1, "bulyan", {}, "flwr", "Flower's Bulyan, 1 expected attacker: chosen by one set of scores", (
        packages.flwr_bulyan(x, w, 1)
    )


def apart_steps(x):
    """As `apart`, of server optimisers after three updates, ours by the formula of a new run."""
    deltas = list(x[:3])
    shared = {"learning_rate": 0.1, "tau": 1e-3}
    both = shared | {"beta1": 0.9, "beta2": 0.99}
    flwr = lambda name, numbers: packages.flwr_optimiser(name, deltas, **numbers)
    yield "fedavgm", {"momentum": 0.9}, "flwr", "Flower's FedAvgM: momentum adds up", (
        flwr("fedavgm", {"learning_rate": 1.0, "momentum": 0.9})
    )
    yield "fedadagrad", shared, "flwr", "Flower's FedAdagrad: v from 0", flwr("fedadagrad", shared)
    yield "fedyogi", both, "flwr", "Flower's FedYogi: m from 0, v from 0, v follows the delta", flwr("fedyogi", both)
    yield "fedadam", both, "flwr", "Flower's FedAdam: the same, its rate corrected", flwr("fedadam", both)


def numbers_of(values):
    return [float(value) for value in np.asarray(values, dtype=np.float64).ravel()]


def line(**fields):
    text = json.dumps({name.rstrip("_"): value for name, value in fields.items()})
    assert "NaN" not in text and "Infinity" not in text, fields
    return text + "\n"


def main(out):
    out.mkdir(parents=True, exist_ok=True)
    inputs = [("random", *one) for one in random_inputs()] + [("degenerate", *one) for one in degenerate_inputs()]
    with open(out / "cases.jsonl", "w") as file:
        for index, (kind, x, w, f) in enumerate(inputs):
            rows = [numbers_of(row) for row in x]
            case = f"{kind} {index}"
            for rule, parameters, weights, sources, exact in rules(x, w, f, kind, index):
                expected, source = first(*sources)
                file.write(line(
                    kind="rule", name=rule, case=case, source=source, parameters=parameters, malicious=f, exact=exact,
                    rows=rows, weights=numbers_of(weights), expected=[numbers_of(expected)],
                ))
            for name, formula, numbers, source, steps in optimisers(x, index):
                file.write(line(
                    kind="optimiser", name=name, formula=formula, case=case, source=source, parameters=numbers,
                    exact=name == "plain", rows=rows[:6], expected=[numbers_of(step) for step in steps],
                ))
        for index, (kind, (global_a, global_b, delta_a, delta_b, w)) in enumerate(pairs()):
            new_a, new_b = references.lora_product(global_a + delta_a, global_b + delta_b, w)
            flat = lambda a, b: numbers_of(np.concatenate([a.ravel(), b.ravel()]))
            file.write(line(
                kind="lora", name="lora-product", case=f"{kind} pair {index}", source="reference", parameters={},
                exact=False, rows=[flat(a, b) for a, b in zip(delta_a, delta_b)], weights=numbers_of(w),
                global_=flat(global_a, global_b), shape=[len(global_b), len(global_a), global_a.shape[1]],
                expected=[flat(new_a - global_a, new_b - global_b)],
            ))
        for index, (kind, rule, parameters, x, w, a, b, own, numbers, expected) in enumerate(served.cases(single)):
            file.write(line(
                kind="served", name=rule, case=f"{kind} {index // 4}", source="reference", parameters=parameters,
                exact=False, rows=[numbers_of(row) for row in x], weights=numbers_of(w),
                global_=numbers_of(np.concatenate([a.ravel(), b.ravel()])), shape=[len(b), len(a), a.shape[1]],
                own=[] if own is None else numbers_of(own), clients=[f"c{client}" for client in range(len(x))],
                numbers={name: numbers_of(values) for name, values in numbers.items()}, expected=[numbers_of(expected)],
            ))
        x, w, f = apart_input()
        beside = [(x, w, f, *one) for one in apart(x, w, f)]
        beside += [(own, np.ones(len(own)), *one) for own, *one in apart_elsewhere(x)]
        for x, w, f, rule, parameters, source, there, result in beside:
            file.write(line(
                kind="rule", apart=there, name=rule, case="apart", source=source, parameters=parameters, malicious=f,
                exact=False, rows=[numbers_of(row) for row in x], weights=numbers_of(w), expected=[numbers_of(result)],
            ))
        x, _, _ = apart_input()
        for name, numbers, source, there, steps in apart_steps(x):
            file.write(line(
                kind="optimiser", apart=there, name=name, formula="openfedllm", case="apart", source=source,
                parameters=numbers, exact=False, rows=[numbers_of(row) for row in x[:3]],
                expected=[numbers_of(step) for step in steps],
            ))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
