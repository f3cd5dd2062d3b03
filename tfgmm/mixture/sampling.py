"""Rows drawn from a mixture by NumPy: for whoever asks for rows, and for the tables of outlier scores.

The SavedModel of an export draws others from the same mixture, by TensorFlow; see `scoring.graph.sampling`.
"""

from __future__ import annotations

import numpy as np

from tfgmm.mixture.parameters import LOCS, MixtureDensity


def sample_rows(mixture: MixtureDensity, num_rows: int, seed: int, part: int = 0) -> np.ndarray:
    """Draws rows from the mixture, (num_rows, D) float64, data units; a pure function of seed and part.

    Args:
        mixture: One mixture (no leading axes).
        num_rows: Number of rows.
        seed: Seed of the draws, 0 or more.
        part: Number of this set of rows, where many are drawn one after the other from one seed.

    Example:

    >>> from tfgmm.mixture.parameters import MixtureDensity
    >>> components = {"locs": np.array([[-5.0], [5.0]]), "precisions": np.array([[4.0], [100.0]])}
    >>> rows = sample_rows(MixtureDensity("diag", np.zeros(1), np.log([0.2, 0.8]), components), 1000, seed=0)
    >>> round(float(np.mean(rows > 0.0)), 1), round(float(rows[rows > 0.0].std()), 2)
    (0.8, 0.1)
    """
    generator = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(part,)))
    weights = np.exp(mixture.log_weights)
    owners = generator.choice(len(weights), num_rows, p=weights / weights.sum())
    noise = generator.standard_normal((num_rows, len(mixture.centre)))
    rows = mixture.form.standard_normal_rows(mixture.components, owners, noise)
    rows += mixture.components[LOCS][owners]
    rows += mixture.centre
    return rows
