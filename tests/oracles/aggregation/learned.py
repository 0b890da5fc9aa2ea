"""Logistic regression by AdamW, from the equations of Loshchilov and Hutter 2019 (algorithm 2) and of the
weighted cross-entropy: the expected values of `two_steps_are_those_of_adamw` in
server/rules/src/aggregation/linear.rs. Plain Python.

    loss = mean(-w y log s(z) - (1 - y) log(1 - s(z))), z = x . v + b, w = negatives / positives
"""
import math

samples, labels = [[1.0, 0.5], [-0.5, 2.0], [0.25, -1.0]], [1, 0, 0]
weight, rate, decay, clip = 2.0, 0.01, 2.0, 0.5
values = [0.0, 0.0, 0.0]


def loss(v):
    total = 0.0
    for x, y in zip(samples, labels):
        s = 1 / (1 + math.exp(-(x[0] * v[0] + x[1] * v[1] + v[2])))
        total += -weight * math.log(s) if y else -math.log(1 - s)
    return total / len(samples)


def gradient(v):
    """Slopes of the loss: x (s - 1) w for what is to be found, x s for the rest."""
    found = [0.0, 0.0, 0.0]
    for x, y in zip(samples, labels):
        s = 1 / (1 + math.exp(-(x[0] * v[0] + x[1] * v[1] + v[2])))
        slope = weight * (s - 1) if y else s
        for i, part in enumerate([*x, 1.0]):
            found[i] += slope * part / len(samples)
    for i in range(3):  # They are what central differences of the loss are.
        up, down = list(v), list(v)
        up[i] += 1e-6
        down[i] -= 1e-6
        assert abs((loss(up) - loss(down)) / 2e-6 - found[i]) < 1e-8
    return found


m, v = [0.0] * 3, [0.0] * 3
for step in (1, 2):
    g = gradient(values)
    norm = math.sqrt(sum(part * part for part in g))
    g = [part * min(1.0, clip / (norm + 1e-6)) for part in g]
    for i in range(3):
        m[i] = 0.9 * m[i] + 0.1 * g[i]
        v[i] = 0.999 * v[i] + 0.001 * g[i] * g[i]
        unbiased = m[i] / (1 - 0.9**step), v[i] / (1 - 0.999**step)
        values[i] -= rate * decay * values[i]
        values[i] -= rate * unbiased[0] / (math.sqrt(unbiased[1]) + 1e-8)
print(values)
