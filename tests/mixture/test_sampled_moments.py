"""Rows drawn by NumPy have the weights, means and covariances of their mixture, and are a pure function of a seed."""

from __future__ import annotations

import numpy as np
import pytest
from known_mixtures import CENTRE, WEIGHTS, D, K, Mixture
from scipy import stats

from tfgmm.families.variational import COMPONENTS
from tfgmm.mixture.parameters import MixtureDensity
from tfgmm.mixture.sampling import sample_rows

NUM_ROWS = 20_000


@pytest.mark.parametrize("covariance", COMPONENTS)
def test_rows_have_the_mean_and_covariance_of_the_mixture(covariance: str) -> None:
    known = Mixture(covariance)
    mixture = known.plug_in()
    rows = sample_rows(mixture, NUM_ROWS, seed=1)
    assert rows.shape == (NUM_ROWS, D) and rows.dtype == np.float64
    locs, away = mixture.components["locs"], rows - CENTRE
    mean = WEIGHTS @ locs
    expected = sum(w * (c + np.outer(m, m)) for w, c, m in zip(WEIGHTS, known.covariances(), locs))
    expected = expected - np.outer(mean, mean)
    assert (np.abs(away.mean(axis=0) - mean) < 5 * away.std(axis=0) / NUM_ROWS**0.5).all()
    products = (away - mean)[:, :, None] * (away - mean)[:, None, :]
    assert (np.abs(products.mean(axis=0) - expected) < 5 * products.std(axis=0) / NUM_ROWS**0.5).all()


@pytest.mark.parametrize("covariance", COMPONENTS)
def test_rows_of_components_far_apart_are_those_of_each(covariance: str) -> None:
    """Every row shows whose it is: by weight, and with the mean and the covariance of that component."""
    known = Mixture(covariance)
    mixture = known.plug_in()
    components = mixture.components | {"locs": 1e4 * np.arange(K)[:, None] * np.ones(D)}
    rows = sample_rows(mixture._replace(centre=np.zeros(D), components=components), NUM_ROWS, seed=2)
    owners = np.round(rows[:, 0] / 1e4).astype(int)
    shares = np.bincount(owners, minlength=K) / NUM_ROWS
    assert (np.abs(shares - WEIGHTS) < 5 * np.sqrt(WEIGHTS * (1 - WEIGHTS) / NUM_ROWS)).all()
    for k, covariances in enumerate(known.covariances()):
        away = rows[owners == k] - components["locs"][k]
        squares = away[:, :, None] * away[:, None, :]
        for values, expected in ((away, 0.0), (squares, covariances)):
            assert (np.abs(values.mean(axis=0) - expected) < 5 * values.std(axis=0) / len(away) ** 0.5).all()


def test_rows_of_one_column_have_the_distribution_of_the_mixture() -> None:
    locs, precisions = np.array([[-2.0], [1.5], [4.0]]), np.array([[4.0], [0.5], [100.0]])
    mixture = MixtureDensity("diag", np.zeros(1), np.log(WEIGHTS), {"locs": locs, "precisions": precisions})
    rows = sample_rows(mixture, NUM_ROWS, seed=3)[:, 0]

    def cdf(x: np.ndarray) -> np.ndarray:
        return stats.norm.cdf(np.asarray(x)[..., None], locs[:, 0], precisions[:, 0] ** -0.5) @ WEIGHTS

    assert stats.kstest(rows, cdf).pvalue > 1e-3


def test_rows_are_a_pure_function_of_seed_and_part() -> None:
    mixture = Mixture("full").plug_in()
    first, again = (sample_rows(mixture, 100, seed=5, part=1) for _ in range(2))
    assert first.tobytes() == again.tobytes()
    for seed, part in ((5, 0), (5, 2), (6, 1), (1, 5)):
        assert not np.any(first == sample_rows(mixture, 100, seed, part))


def test_no_rows_are_an_empty_array() -> None:
    assert sample_rows(Mixture("tied").plug_in(), 0, seed=0).shape == (0, D)
