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
    >>> rows = sample_rows(MixtureDensity("diag", np.zeros(1), np.log([0.3, 0.7]), components), 10_000, seed=0)
    >>> round(float(np.mean(rows > 0.0)), 1), round(float(rows[rows > 0.0].std()), 2)
    (0.7, 0.1)
    """
    generator = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(part,)))
    # They are drawn component by component, which is quicker
    return generator.permutation(rows_by_component(mixture, num_rows, generator)[0])


def rows_by_component(
    mixture: MixtureDensity, num_rows: int, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draws rows from the mixture, (num_rows, D) float64, data units, and the component of each, (num_rows,) int64.

    Those of the first component come first, and so on.

    Args:
        mixture: One mixture (no leading axes).
        num_rows: Number of rows.
        generator: Generator of the draws.
    """
    weights = np.exp(mixture.log_weights)
    owners = np.repeat(np.arange(len(weights)), generator.multinomial(num_rows, weights / weights.sum()))
    noise = generator.standard_normal((num_rows, len(mixture.centre)))
    rows = mixture.form.standard_normal_rows(mixture.components, owners, noise)
    rows += mixture.components[LOCS][owners]
    rows += mixture.centre
    return rows, owners
