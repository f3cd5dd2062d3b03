"""Rows with weights, gaps and noise: the sums over groups of them are those of a plain loop over rows."""

from __future__ import annotations

import numpy as np
import pytest
from rows_one_by_one import noise_of, plain_sums, random_posterior, rows_with_gaps

from tfgmm.data.blocks import RowBlock
from tfgmm.families.natural_gradient import place_at
from tfgmm.families.variational import COMPONENTS
from tfgmm.mixture.row_groups import RowGroups

ROWS = rows_with_gaps()
COMPLETE = np.nan_to_num(ROWS, nan=0.25)
WEIGHTS = np.random.default_rng(3).uniform(0.1, 4.0, len(ROWS))
MATRIX = np.array([[0.3, 0.1, 0, 0], [0.1, 0.2, 0, 0], [0, 0, 0.1, 0], [0, 0, 0, 0.4]])

BLOCKS = {
    "weights": RowBlock(COMPLETE, WEIGHTS),
    "gaps": RowBlock(ROWS),
    "gaps, weights": RowBlock(ROWS, WEIGHTS),
    "noise": RowBlock(COMPLETE, None, noise_of(COMPLETE, "deviations")),
    "matrices, weights": RowBlock(COMPLETE, WEIGHTS, noise_of(COMPLETE, "covariances")),
    "few matrices": RowBlock(COMPLETE, None, noise_of(COMPLETE, "few")),
    "all": RowBlock(ROWS, WEIGHTS, noise_of(ROWS, "deviations")),
    "all, matrices": RowBlock(ROWS, WEIGHTS, noise_of(ROWS, "covariances")),
    "all, few matrices": RowBlock(ROWS, WEIGHTS, noise_of(ROWS, "few")),
}


def arrays_of(sums):
    return [*sums.statistics, sums.log_likelihood, sums.largest]


def assert_same(found, expected, tolerance=1e-10):
    for value, wanted in zip(arrays_of(found), arrays_of(expected), strict=True):
        np.testing.assert_allclose(value, wanted, rtol=tolerance, atol=tolerance)


def one_of(sums, number):
    """Returns the sums of one of R posteriors."""
    statistics, *totals = sums
    return type(sums)(type(statistics)(*(value[number] for value in statistics)), *(total[number] for total in totals))


def coefficients_of(*posteriors):
    """Returns the coefficients of R posteriors."""
    places = [place_at(q, q.values()).coefficients for q in posteriors]
    return tuple(map(np.stack, zip(*places)))


# The coefficients of correlated columns have no masks
CASES = [(covariance, ()) for covariance in COMPONENTS]
CASES += [("diag", (0, 1, 2, 3)), ("spherical", (1, 3)), ("tied_diag", (1, 3)), ("tied_spherical", (0, 1, 2, 3))]


@pytest.mark.parametrize(("covariance", "gap_columns"), CASES)
@pytest.mark.parametrize("kind", BLOCKS)
def test_sums_of_several_posteriors_are_those_of_a_plain_loop(covariance, kind, gap_columns):
    block = BLOCKS[kind]
    posteriors = [random_posterior(covariance, seed=seed) for seed in (0, 1)]
    for q in posteriors:
        q.observe_gaps(gap_columns)
    groups = RowGroups(posteriors[0].form, block, gap_columns, keeps_features=True)
    coefficients = coefficients_of(*posteriors)
    found, totals = groups.sums(coefficients), groups.log_likelihoods(coefficients)
    expected = plain_sums(posteriors[1], block)
    assert_same(one_of(found, 1), expected)
    np.testing.assert_allclose(totals[:, 1], [expected.log_likelihood, expected.largest], rtol=1e-10)
    assert_same(one_of(found, 0), one_of(groups.sums([values[:1] for values in coefficients]), 0))
