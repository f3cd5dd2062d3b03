"""Priors from data: the numbers of an independent program, whatever the units; odd columns do no harm."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
from reference_mixture import priors_from_data
from scipy import linalg

from tfgmm.data.summary import DataSummary
from tfgmm.families.variational import COMPONENTS
from tfgmm.mixture.priors import Priors

# 200 rows: fewer than 150 per column, so that nothing of W0^-1 fades; all spreads are standard deviations
ROWS = np.random.default_rng(0).multivariate_normal([5.0, -2.0, 0.0], [[4, 3, 0], [3, 9, -1], [0, -1, 0.5]], 200)
MATRICES = ("loc_covariance", "inverse_scale")


def matrix(priors, name):
    return np.array(getattr(priors, name))


@pytest.mark.parametrize("covariance", COMPONENTS)
def test_priors_are_those_of_the_independent_program(covariance):
    priors, expected = Priors.from_data(ROWS, covariance), priors_from_data(ROWS, covariance, "dirichlet")
    np.testing.assert_allclose(priors.loc_mean, expected.loc_mean, rtol=1e-12)
    assert priors.weight_concentration == expected.weight_concentration == 1.0
    assert priors.stick_concentration == expected.gamma == 1.0
    if covariance in ("full", "tied"):
        assert priors.degrees == expected.degrees == 4.0
        for name in MATRICES:
            np.testing.assert_allclose(matrix(priors, name), getattr(expected, name), rtol=1e-10, atol=1e-12)
    else:
        np.testing.assert_allclose(priors.loc_scale, expected.loc_scale, rtol=1e-12)
        np.testing.assert_allclose(priors.precision_shape, expected.precision_shape[0])
        np.testing.assert_allclose(priors.precision_rate, np.squeeze(expected.precision_rate), rtol=1e-12)
        unit = expected.unit if covariance.endswith("spherical") else np.ones(3)
        np.testing.assert_allclose(np.broadcast_to(priors.column_scale, 3), unit, rtol=1e-12)
    priors.check_sizes(2, 3)


@pytest.mark.parametrize("covariance", COMPONENTS)
def test_other_units_and_offsets_change_the_units_alone(covariance):
    units, offset = np.array([1e-8, 1e8, 3.0]), np.array([0.0, -1e9, 40.0])
    one, other = Priors.from_data(ROWS, covariance), Priors.from_data(ROWS * units + offset, covariance)
    np.testing.assert_allclose(other.loc_mean, np.array(one.loc_mean) * units + offset, rtol=1e-9)
    np.testing.assert_allclose(other.loc_scale, np.array(one.loc_scale) * units, rtol=1e-9)
    if covariance in ("full", "tied"):
        for name in MATRICES:
            np.testing.assert_allclose(matrix(other, name), matrix(one, name) * np.outer(units, units), rtol=1e-6)
    elif covariance.endswith("spherical"):
        assert other.precision_rate == one.precision_rate == 0.02
        np.testing.assert_allclose(other.column_scale, np.array(one.column_scale) * units, rtol=1e-9)
    else:
        np.testing.assert_allclose(other.precision_rate, np.array(one.precision_rate) * units**2, rtol=1e-9)


def test_a_rotation_turns_the_priors_of_matrices_with_the_rows():
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    one, other = Priors.from_data(ROWS, "full"), Priors.from_data(ROWS @ turn.T, "full")
    for name in MATRICES:
        np.testing.assert_allclose(matrix(other, name), turn @ matrix(one, name) @ turn.T, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("covariance", COMPONENTS)
def test_one_row_at_1e8_hardly_moves_them(covariance):
    spoilt = ROWS.copy()
    spoilt[17] = [1e8, -1e8, 1e8]
    one, other = Priors.from_data(ROWS, covariance), Priors.from_data(spoilt, covariance)
    # a spread is held at 3 robust ones: 2.2 standard deviations of a normal column; the middle becomes the median
    ratio = np.array(other.loc_scale) / np.array(one.loc_scale)
    assert (ratio > 1).all() and (ratio < 3.3).all()
    assert (np.abs(np.subtract(other.loc_mean, one.loc_mean)) < 0.3 * np.array(one.loc_scale)).all()
    if covariance in ("full", "tied"):
        # widths along the axes of the one in units of the other; correlations have eigenvalues of 3 at the most
        widths = np.sqrt(linalg.eigh(matrix(other, "inverse_scale"), matrix(one, "inverse_scale"), eigvals_only=True))
        least = np.linalg.eigvalsh(np.corrcoef(ROWS.T))[0]
        assert widths.min() > 0.5 and widths.max() < ratio.max() * np.sqrt(3 / least)


@pytest.mark.parametrize("covariance", COMPONENTS)
@pytest.mark.parametrize("kind", ["constant column", "equal rows", "two equal columns", "one row", "few rows"])
def test_odd_data_gives_priors_that_a_model_can_take(kind, covariance):
    rows = {
        "constant column": np.column_stack([ROWS[:, 0], np.full(200, 7.0), ROWS[:, 1]]),
        "equal rows": np.tile([3.0, 1e8, 0.0], (50, 1)),
        "two equal columns": ROWS[:, [0, 0, 1]],
        "one row": ROWS[:1],
        "few rows": ROWS[:2],
    }[kind]
    priors = Priors.from_data(rows, covariance)
    components = COMPONENTS[covariance](2, 3, priors)
    for value in components.random_start(np.random.default_rng(0)):
        assert np.isfinite(value).all()
    if covariance in ("full", "tied"):
        scale = np.sqrt(np.diag(matrix(priors, "inverse_scale")))
        assert np.linalg.eigvalsh(matrix(priors, "inverse_scale") / np.outer(scale, scale))[0] > 1e-4
    if kind == "constant column":
        assert priors.loc_scale[1] == 3.0 and priors.loc_mean[1] == 7.0


@pytest.mark.parametrize(("num_data", "share"), [(450, 1.0), (900, 0.25), (4500, 0.01), (10**9, 0.005)])
def test_many_rows_make_the_prior_of_a_precision_matrix_fade(num_data, share):
    """150 rows for each of 3 columns are the most that keep it whole; locations keep theirs."""
    few = DataSummary(100, 3, (0.0,) * 3, (1.0,) * 3)
    one, other = (
        Priors.from_data(summary, "full", sample=ROWS) for summary in (few, dataclasses.replace(few, num_data=num_data))
    )
    np.testing.assert_allclose(matrix(other, "inverse_scale"), share * matrix(one, "inverse_scale"), rtol=1e-12)
    assert other.loc_covariance == one.loc_covariance


def test_frames_and_summaries_do_as_arrays_do():
    frame = pd.DataFrame(ROWS, columns=["a", "b", "c"])
    assert Priors.from_data(frame, "tied") == Priors.from_data(ROWS, "tied")
    with pytest.raises(ValueError, match='`sample` must be rows .*covariance="full"'):
        Priors.from_data(DataSummary(10, 3, (0.0,) * 3, (1.0,) * 3), "full")


def test_rows_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="`data` must"):
        Priors.from_data([[0.0], [np.nan]])
