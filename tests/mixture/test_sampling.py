"""Rows drawn by NumPy come from the mixture, follow their seed, and take no more memory than a few times their own."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc

import known_mixtures
import numpy as np
import pytest
from known_mixtures import CENTRE, D, K
from scipy import stats

from tfgmm.mixture.parameters import MixtureDensity
from tfgmm.mixture.registry import COVARIANCES
from tfgmm.mixture.sampling import rows_by_component, sample_rows


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_distances_of_the_rows_of_each_component_are_chi_squared(covariance: str) -> None:
    known = known_mixtures.Mixture(covariance)
    apart = {**known.plug_in().components, "locs": 1e3 * np.arange(K)[:, None] * np.ones(D)}  # whose is whose is seen
    mixture = known.plug_in()._replace(components=apart)
    rows = sample_rows(mixture, 3_000, seed=7) - CENTRE
    owners = np.rint(rows[:, 0] / 1e3).astype(int)
    counts = np.bincount(owners, minlength=K)
    assert stats.chisquare(counts, 3_000 * known_mixtures.WEIGHTS).pvalue > 1e-3
    for k, covariance_matrix in enumerate(known.covariances()):
        away = rows[owners == k] - apart["locs"][k]
        squares = np.einsum("nd,nd->n", away, np.linalg.solve(covariance_matrix, away.T).T)
        assert stats.kstest(squares, stats.chi2(D).cdf).pvalue > 1e-3
        first = away[:, 0] / np.sqrt(covariance_matrix[0, 0])
        assert stats.kstest(first, stats.norm.cdf).pvalue > 1e-3


def test_rows_are_a_pure_function_of_seed_and_part() -> None:
    mixture = known_mixtures.Mixture("full").plug_in()
    rows = sample_rows(mixture, 50, seed=3)
    np.testing.assert_array_equal(rows, sample_rows(mixture, 50, seed=3, part=0))
    others = (sample_rows(mixture, 50, 3, 1), sample_rows(mixture, 50, 4), sample_rows(mixture, 50, 3 + 2**40))
    assert all((rows != other).all() for other in others)
    assert sample_rows(mixture, 0, seed=3).shape == (0, D)


def test_rows_by_component_are_the_same_rows_in_order_and_with_their_components() -> None:
    mixture = known_mixtures.Mixture("full").plug_in()
    rows, owners = rows_by_component(mixture, 50, np.random.default_rng(np.random.SeedSequence(3, spawn_key=(0,))))
    assert (np.diff(owners) >= 0).all() and owners.dtype == np.int64
    for one, other in zip(np.sort(rows, axis=0), np.sort(sample_rows(mixture, 50, seed=3), axis=0)):
        np.testing.assert_array_equal(one, other)
    moments = rows_by_component(mixture, 30_000, np.random.default_rng(0))
    for k, matrix in enumerate(known_mixtures.Mixture("full").covariances()):
        of_component = moments[0][moments[1] == k]
        assert abs(len(of_component) / 30_000 - known_mixtures.WEIGHTS[k]) < 0.02
        np.testing.assert_allclose(of_component.mean(axis=0), mixture.components["locs"][k] + CENTRE, atol=0.1)
        np.testing.assert_allclose(np.cov(of_component.T), matrix, atol=0.1 * matrix.max())


def test_memory_is_that_of_the_rows_also_for_matrices() -> None:
    num_components, num_features, num_rows = 4, 64, 20_000
    whiteners = np.broadcast_to(np.eye(num_features), (num_components, num_features, num_features))
    components = {"locs": np.zeros((num_components, num_features)), "whiteners": whiteners}
    mixture = MixtureDensity("full", np.zeros(num_features), np.log(np.full(num_components, 0.25)), components)
    tracemalloc.start()
    rows = sample_rows(mixture, num_rows, seed=0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5 * rows.nbytes  # a matrix per row would be 64 times


def test_table_of_outliers_loads_no_tensorflow() -> None:
    script = """
import sys
import numpy as np
from tfgmm.mixture.parameters import MixtureDensity
from tfgmm.scoring.scores import outlier_table
components = {"locs": np.zeros((2, 1)), "precisions": np.ones((2, 1))}
table = outlier_table(MixtureDensity("diag", np.array([1e8]), np.log([0.5, 0.5]), components))
assert table.shape == (2, 109) and "tensorflow" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=100)
