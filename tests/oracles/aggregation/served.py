"""Rules that get an input of the server's own, by the equations of their sources; and cases for them.

`x` is [n, d]: the clients' differences, A before B; `a` and `b` are the global pair.
"""

import numpy as np

SERVED = 50


def divided(a, b):
    """Quotients, 0 where the divisor is 0."""
    return np.divide(a, b, out=np.zeros(np.broadcast(a, b).shape), where=b > 0)


def fltrust(x, own):
    """Cao et al. 2021, algorithm 2, lines 9 to 12. Where nobody is trusted the global adapter stays."""
    lengths, length = np.linalg.norm(x, axis=1), np.linalg.norm(own)
    trust = np.maximum(0, divided(x @ own, lengths * length))
    return divided(trust, trust.sum()) * divided(length, lengths) @ x


def by_behaviour(x, w, refusals, losses, refusal_scale, loss_scale):
    """Ours (docs/METHODS.md); the last behaviour is the global adapter's."""
    own, losses_of = np.sort(refusals[:-1]), np.sort(losses[:-1])
    top = max(own[len(own) // 2], refusals[-1])
    low = min(losses_of[(len(own) - 1) // 2], losses[-1])
    fall, rise = np.maximum(0, top - refusals[:-1]), np.maximum(0, losses[:-1] - low)
    weights = w * np.exp(-fall / refusal_scale - rise / loss_scale)
    return divided(weights, weights.sum()) @ x


def evidence(memory, harmful, least=3, audit=5):
    """Their evidence level (prefilter_strategy.py) on one step a client: the factor and what is known after it."""
    settled, bad, good, unseen = memory
    if settled == 2:
        return 0.0, memory
    if settled == 1:
        if unseen + 1 < audit:
            return 1.0, (1, 0, 0, unseen + 1)
        return (0.0, (0, 0, 0, 0)) if harmful else (1.0, (1, 0, 0, 0))
    bad, good = bad + harmful, good + (not harmful)
    if bad + good < least:
        return float(not harmful), (0, bad, good, 0)
    return float(not harmful), (2 if good == 0 else 1 if bad == 0 else 0, 0, 0, 0)


def safe_fedllm(x, w, first_b, probe, bias, memories, level, threshold, skip):
    """Tao et al. 2026: their step, client, shadow and evidence levels on one step a client."""
    rows = x[:, first_b]
    p = 1 / (1 + np.exp(-(divided(rows, np.linalg.norm(rows, axis=1, keepdims=True)) @ probe + bias)))
    harmful, s = p >= threshold, lambda z: 1 / (1 + np.exp(-z))
    if level == 1:
        factors = (1 + w * ~harmful) / (2 + w)
    elif level == 2:
        t = np.where(p <= 0.8, s(10 * (p / 0.8 - 0.5)) / 2, 0.5 + s(10 * ((p - 0.8) / 0.2 - 0.5)) / 2)
        factors = 1 - t
    elif level == 3:
        factors = (1.0 - harmful) ** 7
    else:
        factors = np.array([evidence(memory, bool(one))[0] for memory, one in zip(memories, harmful)])
    weights = w * factors
    return np.zeros(x.shape[1]) if factors.mean() < skip else divided(weights, weights.sum()) @ x


def statistics(matrix):
    """Merenciano et al. 2026: largest value, Frobenius norm, its energy's share, entropy; kurtosis of entries."""
    if not matrix.any():
        return np.zeros(5)
    values = np.linalg.svd(matrix, compute_uv=False)
    shares = values[values > 1e-12 * values[0]] / values.sum()
    off = matrix - matrix.mean()
    return np.array([
        values[0], np.linalg.norm(matrix), values[0] ** 2 / (values**2).sum(), -(shares * np.log(shares)).sum(),
        divided((off**4).mean(), (off**2).mean() ** 2),
    ])


def spectral(x, w, a, b, numbers, threshold):
    size = a.size
    rows = np.array([
        statistics((b + row[size:].reshape(b.shape)) @ (a + row[:size].reshape(a.shape)) - b @ a) for row in x
    ])
    z = (rows - numbers["means"]) / numbers["scales"] @ numbers["weights"] + numbers["bias"][0]
    with np.errstate(over="ignore"):
        weights = w * (1 / (1 + np.exp(-z)) < threshold)
    return divided(weights, weights.sum()) @ x


def drawn(rng, single, n, outer, rank, inner):
    """The clients' updates and examples, the global pair, the server's own update, and behaviours."""
    a, b = single(rng.normal(size=(rank, inner))), single(rng.normal(size=(outer, rank)))
    x = single(rng.normal(size=(n, a.size + b.size)))
    w = rng.integers(1, 500, size=n).astype(np.float64)
    own = single(rng.normal(size=x.shape[1]) + x[0])
    refusals, losses = rng.normal(size=n + 1) * 2, rng.random(n + 1)
    return {"x": x, "w": w, "a": a, "b": b, "own": own, "refusals": refusals, "losses": losses}


def degenerate(rng, single):
    """Rounds at the edges, 20 of them."""
    some = lambda n=5, outer=4, rank=2, inner=5: drawn(rng, single, n, outer, rank, inner)
    yield some(1)
    yield some(2)
    yield some(30)
    yield some(3, 1, 1, 1)
    yield some(4, 3, 1, 6)
    changes = [
        lambda c: c["x"].__setitem__(slice(None), c["x"][0].copy()),  # all alike
        lambda c: c["x"].fill(0.0),
        lambda c: c["x"][2].fill(0.0),
        lambda c: c["own"].fill(0.0),
        lambda c: c["x"].__setitem__(slice(None), single(-c["own"] * np.arange(1, 6)[:, None])),  # nobody is trusted
        lambda c: c["x"].__setitem__(1, single(c["x"][1] * 1e15)),
        lambda c: c["x"].__setitem__(slice(None), single(c["x"] * 1e-20)),
        lambda c: (c["refusals"].fill(0.5), c["losses"].fill(0.5)),
        lambda c: c["refusals"].__setitem__(1, -1e6),
        lambda c: (c["refusals"].fill(-1e4), c["refusals"].__setitem__(5, 3.0)),  # every weight is 0
        lambda c: c["a"].fill(0.0),
        lambda c: c["b"].fill(0.0),
        lambda c: c["x"][:, c["a"].size :].fill(0.0),
        lambda c: c["x"][:, : c["a"].size].fill(0.0),
        lambda c: c["w"].__setitem__(slice(None), [0.0, 1.0, 1e9, 3.0, 0.0]),
    ]
    for change in changes:
        case = some()
        change(case)
        yield case


def cases(single):
    """Kind, rule, parameters, rows, examples, the global pair, the server's own update, its numbers, the result.
    Clients are called c0, c1 and so on."""
    rng = np.random.default_rng(17)
    sizes = lambda: (int(rng.integers(*span)) for span in ((2, 8), (3, 9), (1, 4), (3, 9)))
    rounds = [("random", drawn(rng, single, *sizes())) for _ in range(SERVED)]
    rounds += [("degenerate", case) for case in degenerate(rng, single)]
    for index, (kind, case) in enumerate(rounds):
        x, w, a, b, own, refusals, losses = case.values()
        yield kind, "fltrust", {}, x, w, a, b, own, {}, fltrust(x, own)
        scales = {"refusal_scale": 0.25 * (1 + index % 4), "loss_scale": 0.2 * (1 + index % 3)}
        numbers = {"refusal": refusals, "loss": losses}
        result = by_behaviour(x, w, refusals, losses, **scales)
        yield kind, "behaviour-weighted", scales, x, w, a, b, None, numbers, result
        probe, bias = rng.normal(size=b.size) * 2, rng.normal()
        settings = {"level": 1 + index % 4, "threshold": 0.5 + 0.1 * (index % 3), "skip": 0.1 * (index % 5)}
        first_b = np.arange(a.size, x.shape[1])
        numbers = {"weights": probe, "bias": np.array([bias])}
        memories = []
        for client in range(len(x)):
            memory, harmful = (0, 0, 0, 0), rng.random() < 0.5
            for _ in range(int(rng.integers(0, 9))):
                # Mostly of one kind.
                memory = evidence(memory, harmful != (rng.random() < 0.1))[1]
            memories.append(memory)
            numbers[f"evidence of c{client}"] = np.array(memory, dtype=np.float64)
        result = safe_fedllm(x, w, first_b, probe, bias, memories, **settings)
        yield kind, "safe-fedllm", settings, x, w, a, b, None, numbers, result
        numbers = {
            "weights": rng.normal(size=5), "bias": rng.normal(size=1), "means": rng.normal(size=5) + 2,
            "scales": rng.random(5) + 0.5,
        }
        settings = {"threshold": 0.3 + 0.1 * (index % 5)}
        yield kind, "spectral", settings, x, w, a, b, None, numbers, spectral(x, w, a, b, numbers, **settings)
