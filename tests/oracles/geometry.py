"""Makes tests/fixtures/geometry.json: norms, cosines and principal components of small updates by NumPy.

    python3 tests/oracles/geometry.py > tests/fixtures/geometry.json

Where scikit-learn is there, its PCA is held against the same values.
"""

import json
import sys

import numpy as np


def case(updates):
    x = np.asarray(updates, dtype=np.float32).astype(np.float64)
    norms = np.linalg.norm(x, axis=1)
    cosines = x @ x.T / np.outer(norms, norms)
    centred = x - x.mean(axis=0)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    places = u[:, :2] * s[:2]
    # The update that is farthest from 0 on an axis has a positive coordinate.
    places *= np.sign(places[np.abs(places).argmax(axis=0), [0, 1]])
    explained = (s**2 / (s**2).sum())[:2]
    try:
        from sklearn.decomposition import PCA
    except ImportError:
        print("without scikit-learn", file=sys.stderr)
    else:
        pca = PCA(2, svd_solver="full").fit(x)
        assert np.allclose(np.abs(pca.transform(x)), np.abs(places), atol=1e-9)
        assert np.allclose(pca.explained_variance_ratio_, explained)
        print("as scikit-learn", file=sys.stderr)
    names = {"norms": norms, "cosines": cosines, "places": places, "explained": explained}
    values = {name: [round(float(v), 9) for v in value.ravel()] for name, value in names.items()}
    return {"updates": np.asarray(updates).tolist(), **values}


def main():
    random = np.random.default_rng(7)
    cloud = np.round(random.normal(size=(6, 5)), 4)
    wide = np.round(random.normal(size=(9, 40)) + np.linspace(0, 2, 40), 4)
    # Eight alike and two that go another way, as colluding attackers do.
    split = np.round(np.vstack([random.normal(1, 0.1, (8, 12)), random.normal(-2, 0.1, (2, 12))]), 4)
    json.dump([case(cloud), case(wide), case(split)], sys.stdout)
    print()


main()
