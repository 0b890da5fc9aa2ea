"""Aggregation rules and server optimisers by the equations of their sources, for numpy arrays `x` of [n, d].

`w` is the numbers of examples, `f` the number of expected attackers. Sorting is stable: of equal values the first
client's come first.
"""

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage


def order(values):
    return np.argsort(values, kind="stable")


def squared_distances(x):
    return ((x[:, None, :] - x[None, :, :]) ** 2).sum(axis=2)


def mean(x, w, f):
    """McMahan et al. 2017, algorithm 1: sum of n_k / n times w_k."""
    return (w / w.sum()) @ x


def lower_median(x, w, f):
    """Yin et al. 2018, definition 1, with torch.median's lower of two middle values."""
    return np.sort(x, axis=0)[(len(x) - 1) // 2]


def trimmed_mean(x, w, f, trim=1):
    """Yin et al. 2018, definition 2; at least one value is left."""
    trim = min(trim, (len(x) - 1) // 2)
    return np.sort(x, axis=0)[trim : len(x) - trim].mean(axis=0)


def krum(x, w, f):
    """The main paper's variant: k = n - f - 1, at least 1 where there are two; the k + 1 nearest, itself among
    them, with the smallest sum of distances; their mean."""
    n = len(x)
    size = max(n - f, min(2, n))
    distances = squared_distances(x)
    nearest = [order(row)[:size] for row in distances]
    sums = [np.sqrt(row[near]).sum() for row, near in zip(distances, nearest)]
    return x[nearest[int(np.argmin(sums))]].mean(axis=0)


def krum_scores(x, f):
    """Blanchard et al. 2017, section 4: the n - f - 2 closest others, at least one where there is one."""
    distances = squared_distances(x)
    np.fill_diagonal(distances, np.inf)
    closest = min(max(len(x) - f - 2, 1), len(x) - 1)
    return np.sort(distances, axis=1)[:, :closest].sum(axis=1)


def krum_original(x, w, f):
    return x[int(np.argmin(krum_scores(x, f)))]


def multi_krum(x, w, f):
    """Blanchard et al. 2017, section 5, m = n - f."""
    return x[order(krum_scores(x, f))[: max(len(x) - f, 1)]].mean(axis=0)


def dnc(x, w, f, iterations=1, filter=1.0):
    """Shejwalkar and Houmansadr 2021, algorithm 2, with every coordinate sampled."""
    keep = max(len(x) - int(np.floor(filter * f + 0.5)), 1)
    centred = x - x.mean(axis=0)
    top = np.linalg.svd(centred, full_matrices=False)[2][0]
    scores = (centred @ top) ** 2
    # Scores that differ by rounding alone are equal.
    scores = np.round(scores / max(scores.max(), 1e-300), 9)
    return x[order(scores)[:keep]].mean(axis=0)


def all_alike(x):
    """Whether every pair of updates has the same cosine: rounding alone would tell them apart."""
    lengths = np.linalg.norm(x, axis=1)
    scale = np.outer(lengths, lengths)
    cosine = np.divide(x @ x.T, scale, out=np.zeros_like(scale), where=scale > 0)
    pairs = cosine[np.triu_indices(len(x), 1)]
    return len(pairs) > 0 and np.ptp(pairs) < 1e-9


def foolsgold(x, w, f):
    """Fung et al. 2020, algorithm 1 without history; the mean over clients that count."""
    n = len(x)
    if n == 1:
        return x[0]
    lengths = np.linalg.norm(x, axis=1)
    scale = np.outer(lengths, lengths)
    cs = np.divide(x @ x.T, scale, out=np.zeros((n, n)), where=scale > 0)
    np.fill_diagonal(cs, 0.0)
    most = np.array([max(cs[i]) for i in range(n)])
    for i in range(n):
        for j in range(n):
            if i != j and most[i] < most[j]:
                cs[i, j] *= most[i] / most[j]
    wv = np.clip(1 - cs.max(axis=1), 0, 1)
    if wv.max() > 0:
        wv = wv / wv.max()
        wv[wv == 1] = 0.99
        with np.errstate(divide="ignore"):
            wv = np.clip(np.log(wv / (1 - wv)) + 0.5, 0, 1)
    counted = np.count_nonzero(wv)
    return x.mean(axis=0) if counted == 0 else wv @ x / counted


def residual(x, w, f, lam=2.0, threshold=0.05, shard=2000):
    """Fu et al. 2019, equations 3 to 9: repeated-median line (Siegel 1982), studentised residuals, IRLS weights."""
    n, d = x.shape
    if n < 3:
        return x.mean(axis=0)
    ranks = np.arange(n)
    place = np.argsort(x, axis=0, kind="stable")
    y = np.take_along_axis(x, place, axis=0)
    apart = ranks[None, :] - ranks[:, None]
    slopes = np.stack([
        np.median(np.delete((y - y[i]) / np.where(apart[i] == 0, 1, apart[i])[:, None], i, axis=0), axis=0)
        for i in range(n)
    ])
    slope = np.median(slopes, axis=0)
    line = slope * ranks[:, None] + np.median(y - slope * ranks[:, None], axis=0)
    off = y - line
    middle = np.median(np.sort(np.abs(off), axis=0)[1:], axis=0)
    scale = 1.4826 * (1 + 5 / (n - 1)) * middle + 1e-7
    spread = (ranks - ranks.mean()) ** 2
    leverage = 1 / n + spread / spread.sum()
    student = np.abs(off / scale) / np.sqrt(np.maximum(1 - leverage, 1e-6))[:, None]
    bound = lam * np.sqrt(2 / n)
    weight = np.where(student <= bound, 1.0, bound / np.maximum(student, bound))
    y = np.where(weight < threshold, line.astype(np.float32), y)
    confidence = weight * weight.std(axis=0, ddof=1)
    back = np.argsort(place, axis=0, kind="stable")
    total = np.take_along_axis(confidence, back, axis=0).sum(axis=1)
    share = (total / total.max()) ** 2 if total.max() > 0 else np.ones(n)
    return (share / share.sum()) @ np.take_along_axis(y, back, axis=0)


def bulyan(x, w, f):
    """El Mhamdi et al. 2018, algorithm 2; at least one update and one value of it are left."""
    left, chosen = list(range(len(x))), []
    while len(chosen) < max(len(x) - 2 * f, 1):
        best = 0 if len(left) == 1 else int(np.argmin(krum_scores(x[left], f)))
        chosen.append(left.pop(best))
    picked = x[sorted(chosen)]
    near = min(max(len(x) - 4 * f, 1), len(picked))
    apart = np.abs(picked - np.median(picked, axis=0))
    taken = np.argsort(apart, axis=0, kind="stable")[:near]
    return np.take_along_axis(picked, taken, axis=0).mean(axis=0)


def geometric_median(x, w, f, iterations=3, smoothing=1e-6):
    """Pillutla et al. 2022, algorithm 2, from 0, with the shares of examples as alpha."""
    point = np.zeros(x.shape[1])
    for _ in range(iterations):
        beta = (w / w.sum()) / np.maximum(np.linalg.norm(x - point, axis=1), smoothing)
        point = beta @ x / beta.sum()
    return point


def median_length(lengths):
    return np.sort(lengths)[(len(lengths) - 1) // 2]


def centred_clipping(x, w, f, iterations=1, bound=0.0):
    """Karimireddy et al. 2021, equation CCLIP, from 0; without a bound the median length is it."""
    centre = np.zeros(x.shape[1])
    for _ in range(iterations):
        apart = np.linalg.norm(x - centre, axis=1)
        bound = bound or median_length(apart)
        factor = np.minimum(1, bound / np.maximum(apart, 1e-300))
        centre = centre + (factor[:, None] * (x - centre)).mean(axis=0)
    return centre


def norm_clipping(x, w, f, bound=0.0):
    """Sun et al. 2019, section 4: w_k / max(1, |w_k| / M), then the mean by examples."""
    lengths = np.linalg.norm(x, axis=1)
    bound = bound or median_length(lengths)
    factor = np.minimum(1, bound / np.maximum(lengths, 1e-300))
    return (w / w.sum() * factor) @ x


def clipped_clustering(x, w, f):
    """Li et al. 2023, algorithm 2, with the round's median length; all count where the clusters are equally large."""
    n = len(x)
    lengths = np.linalg.norm(x, axis=1)
    bound = median_length(lengths)
    clipped = x * np.minimum(1, bound / np.maximum(lengths, 1e-300))[:, None]
    if n < 3:
        return clipped.mean(axis=0)
    scale = np.outer(lengths, lengths)
    cosine = np.divide(x @ x.T, scale, out=np.zeros((n, n)), where=scale > 0)
    pairs = np.triu_indices(n, 1)
    label = fcluster(linkage(np.maximum(1 - cosine[pairs], 0), method="average"), 2, criterion="maxclust")
    sizes = [np.sum(label == one) for one in (1, 2)]
    chosen = label > 0 if sizes[0] == sizes[1] else label == 1 + int(sizes[1] > sizes[0])
    return clipped[chosen].mean(axis=0)


def lora_product(a, b, w):
    """FLoRA (Wang et al. 2024), equation 5, then FlexLoRA (Bai et al. 2024), section 3.2: the mean of B_k A_k by its
    largest singular values, the root of each in both factors. `a` is [n, rank, in], `b` [n, out, rank]. Where a
    singular value is 0, the mean A and a zero of B."""
    share = w / w.sum()
    rank = a.shape[1]
    left, values, right = np.linalg.svd(np.einsum("k,kor,kri->oi", share, b, a), full_matrices=False)
    new_a, new_b = np.einsum("k,kri->ri", share, a), np.zeros(b.shape[1:])
    for k in range(min(rank, len(values))):
        if values[k] > 1e-12 * values[0]:
            sign = np.sign(left[np.argmax(np.abs(left[:, k])), k])
            new_b[:, k] = sign * left[:, k] * np.sqrt(values[k])
            new_a[k] = sign * right[k] * np.sqrt(values[k])
    return new_a, new_b


def fedavgm(deltas, formula, momentum=0.9):
    """Hsu et al. 2019, section 4.3 (`original`); OpenFedLLM, fed_global.py, branch fedavgm (`openfedllm`)."""
    m, steps = None, []
    for delta in deltas:
        share = 1 - momentum if formula == "openfedllm" else 1
        m = delta if m is None else momentum * m + share * delta
        steps.append(m)
    return steps


def adaptive(deltas, formula, kind, learning_rate=1e-3, beta1=0.9, beta2=0.99, tau=1e-3):
    """Reddi et al. 2021, algorithm 2 (`original`); OpenFedLLM, fed_global.py, branches fedadagrad, fedyogi and
    fedadam (`openfedllm`)."""
    theirs = formula == "openfedllm"
    m, v, steps = np.zeros_like(deltas[0]), np.full_like(deltas[0], tau**2), []
    for number, delta in enumerate(deltas):
        plain = theirs and (kind == "fedadagrad" or number == 0)
        m = delta if plain else beta1 * m + (1 - beta1) * delta
        s = (m if theirs else delta) ** 2
        if kind == "fedadagrad":
            v = v + s
        elif kind == "fedyogi":
            v = v - (1 - beta2) * s * np.sign(v - s)
        else:
            v = beta2 * v + (1 - beta2) * s
        steps.append(learning_rate * m / (np.sqrt(v) + tau))
    return steps
