"""Writes tests/fixtures/statistics.json: intervals and tests by statsmodels and scipy.

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install -r tests/oracles/statistics/requirements.txt
    /tmp/venv/bin/python tests/oracles/statistics/make.py
"""

import json
from pathlib import Path

import numpy as np
import scipy
import statsmodels
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

OUT = Path(__file__).resolve().parents[2] / "fixtures" / "statistics.json"


def wilson():
    for hits, n in [(0, 8), (1, 8), (8, 8), (50, 100), (219, 240), (0, 520), (517, 520), (3, 10_000)]:
        low, high = proportion_confint(hits, n, method="wilson")
        yield {"hits": hits, "n": n, "low": float(low), "high": float(high)}


def discordant():
    for gained, lost in [(1, 0), (3, 0), (5, 2), (10, 10), (0, 12), (40, 61), (150, 30), (900, 1_000), (1_200, 5)]:
        # The rows that agree do not matter.
        found = mcnemar([[7, gained], [lost, 9]], exact=True)
        yield {"gained": gained, "lost": lost, "p": float(found.pvalue)}


def paired():
    random = np.random.default_rng(20_240_610)
    cases = [[1.0, 2.0, 6.0], [-3.5, 0.5], [12.0, 11.5, 13.0, 9.0, 10.5]]
    cases += [list(random.normal(shift, 4.0, size)) for shift, size in [(0, 5), (3, 8), (-8, 12), (0.4, 15)]]
    for differences in cases:
        test = stats.ttest_1samp(differences, 0.0)
        low, high = test.confidence_interval(0.95)
        exact = stats.permutation_test(
            (np.array(differences),), np.mean, permutation_type="samples", n_resamples=np.inf
        )
        yield {
            "differences": [float(value) for value in differences],
            "p": float(test.pvalue),
            "low": float(low),
            "high": float(high),
            "exact": float(exact.pvalue),
        }


def holm():
    random = np.random.default_rng(7)
    families = [[0.04], [0.01, 0.02, 0.03], [0.5, 0.01, 0.04, 0.04], [0.9, 0.8, 0.7]]
    families += [list(random.uniform(0, 0.1, 12)), list(random.uniform(0, 1, 30) ** 4)]
    for values in families:
        adjusted = multipletests(values, method="holm")[1]
        yield {"values": [float(v) for v in values], "adjusted": [float(v) for v in adjusted]}


def main():
    made = {
        "made_by": f"tests/oracles/statistics/make.py, scipy {scipy.__version__}, statsmodels {statsmodels.__version__}",
        "wilson": list(wilson()),
        "mcnemar": list(discordant()),
        "paired": list(paired()),
        "holm": list(holm()),
    }
    OUT.write_text(json.dumps(made, indent=1) + "\n")


main()
