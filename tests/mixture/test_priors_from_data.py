"""Priors from data: what plain NumPy makes of the rows, whatever the units and the axes; odd columns do no harm."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from reference_mixture import column_scales, floored_correlations
from scipy import linalg

import tfgmm
from tfgmm.data.summary import DataSummary, summarise
from tfgmm.families.variational import COMPONENTS
from tfgmm.mixture.partitions import start_groups
from tfgmm.mixture.priors import Priors
from tfgmm.mixture.priors_from_data import least_variances

# All spreads are standard deviations: no column is far from normal
ROWS = np.random.default_rng(0).multivariate_normal([5.0, -2.0, 0.0], [[4, 3, 0], [3, 9, -1], [0, -1, 0.5]], 200)
SPHERICAL = ("spherical", "tied_spherical")
CORRELATED = ("full", "tied")
each_covariance = pytest.mark.parametrize("covariance", COMPONENTS)


def rotation():
    return np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]


@each_covariance
def test_fields_are_those_of_the_definition(covariance):
    """A component may be as wide as all rows together; everything else says that nothing is known."""
    priors = Priors.from_data(ROWS, covariance)
    spread = column_scales(ROWS)
    if covariance in SPHERICAL:  # one number for a sphere, in the units of the rows
        spread = np.full(3, np.sqrt(np.mean(spread**2)))
        np.testing.assert_allclose(priors.expected_scale, spread[0] ** 2, rtol=1e-12)
    elif covariance in CORRELATED:
        expected = spread[:, None] * floored_correlations(ROWS) * spread
        np.testing.assert_allclose(priors.expected_scale, expected, rtol=1e-10, atol=1e-12)
    else:
        np.testing.assert_allclose(priors.expected_scale, spread**2, rtol=1e-12)
    np.testing.assert_allclose(priors.loc_mean, ROWS.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(priors.loc_scale, spread, rtol=1e-12)
    np.testing.assert_allclose(priors.loc_scale_grid, [2 ** (-j / 8) for j in range(-12, 17)], rtol=1e-12)
    np.testing.assert_allclose(priors.degree_grid, [2 ** (j / 3) for j in range(31)], rtol=1e-12)
    assert (priors.scale_structure, priors.hyper_degrees, priors.column_scale) == ("both", 1.0, 1.0)
    assert priors.weight_concentration == priors.stick_concentration == 1.0
    assert priors.loc_covariance is None and priors.inverse_scale is None and priors.degrees is None
    assert set(np.ravel(priors.least_scale)) == {1e-7}  # these numbers are not rounded
    priors.check_sizes(2, 3)


@pytest.mark.parametrize("structure", ["both", "columns", "matrix"])
@pytest.mark.parametrize("covariance", CORRELATED)
def test_a_matrix_alone_shapes_locations_too(covariance, structure):
    priors = Priors.from_data(ROWS, covariance, scale_structure=structure)
    assert priors.scale_structure == structure
    assert priors.loc_covariance == (priors.expected_scale if structure == "matrix" else None)


def test_a_column_that_was_rounded_has_the_variance_of_its_rounding_as_its_floor():
    """step^2 / 12 as a share of the column's variance."""
    rows = np.column_stack([np.rint(ROWS[:, 0]), 5.0 * np.rint(ROWS[:, 1]), ROWS[:, 2]])
    shares = np.array([1.0, 25.0]) / 12 / rows[:, :2].var(axis=0)
    for covariance in ("diag", "tied_diag", "full", "tied"):
        np.testing.assert_allclose(Priors.from_data(rows, covariance).least_scale, [*shares, 1e-7], rtol=1e-9)
    for covariance in SPHERICAL:
        share = (1.0 + 25.0 + 0.0) / 12 / rows.var(axis=0).sum()
        assert Priors.from_data(rows, covariance).least_scale == pytest.approx(share, rel=1e-9)
    # A rounding that no width can show is left to the floor of all columns
    fine = np.round(ROWS[:, :1], 4)
    assert np.ravel(Priors.from_data(fine).least_scale).tolist() == [1e-7]


@pytest.mark.parametrize("covariance", [name for name in COMPONENTS if name not in SPHERICAL])
def test_other_units_and_offsets_change_the_units_alone(covariance):
    units, offset = np.array([1e-8, 1e8, 3.0]), np.array([0.0, -1e9, 40.0])
    rows = np.column_stack([ROWS[:, :2], np.round(ROWS[:, 2], 1)])
    one, other = Priors.from_data(rows, covariance), Priors.from_data(rows * units + offset, covariance)
    np.testing.assert_allclose(other.loc_mean, np.array(one.loc_mean) * units + offset, rtol=1e-9)
    np.testing.assert_allclose(other.loc_scale, np.array(one.loc_scale) * units, rtol=1e-9)
    squares = np.outer(units, units) if covariance in CORRELATED else units**2
    np.testing.assert_allclose(other.expected_scale, np.array(one.expected_scale) * squares, rtol=1e-6)
    np.testing.assert_allclose(other.least_scale, one.least_scale, rtol=1e-6)
    assert one.least_scale[2] > 1e-4


@pytest.mark.parametrize("covariance", SPHERICAL)
def test_a_sphere_has_one_unit_and_knows_no_axes(covariance):
    """In other units of all columns, shifted, or turned, it is the same sphere."""
    one = Priors.from_data(ROWS, covariance)
    moved = Priors.from_data(1e6 * ROWS + [0.0, 3e6, 1e7], covariance)
    np.testing.assert_allclose(moved.loc_scale, 1e6 * np.array(one.loc_scale), rtol=1e-9)
    assert moved.expected_scale == pytest.approx(1e12 * one.expected_scale, rel=1e-9)
    turned = Priors.from_data(ROWS @ rotation().T, covariance)
    np.testing.assert_allclose(turned.loc_mean, rotation() @ one.loc_mean, rtol=1e-9)
    np.testing.assert_allclose(turned.loc_scale, one.loc_scale, rtol=1e-9)
    assert turned.expected_scale == pytest.approx(one.expected_scale, rel=1e-9)


def test_a_rotation_turns_a_learned_matrix_with_the_rows():
    turn = rotation()
    one, other = (Priors.from_data(rows, "full", scale_structure="matrix") for rows in (ROWS, ROWS @ turn.T))
    np.testing.assert_allclose(other.loc_mean, turn @ one.loc_mean, rtol=1e-9)
    for name in ("expected_scale", "loc_covariance"):
        turned = turn @ np.array(getattr(one, name)) @ turn.T
        np.testing.assert_allclose(getattr(other, name), turned, rtol=1e-9, atol=1e-12)
    assert other.least_scale == one.least_scale


@each_covariance
def test_one_row_at_1e8_hardly_moves_them(covariance):
    spoilt = ROWS.copy()
    spoilt[17] = [1e8, -1e8, 1e8]
    one, other = Priors.from_data(ROWS, covariance), Priors.from_data(spoilt, covariance)
    # a spread is held at 3 robust ones: 2.2 standard deviations of a normal column; the middle becomes the median
    ratio = np.array(other.loc_scale) / np.array(one.loc_scale)
    assert (ratio > 1).all() and (ratio < 3.3).all()
    assert (np.abs(np.subtract(other.loc_mean, one.loc_mean)) < 0.3 * np.array(one.loc_scale)).all()
    if covariance in CORRELATED:
        # widths along the axes of the one in units of the other; correlations have eigenvalues of 3 at the most
        widths = np.sqrt(linalg.eigh(np.array(other.expected_scale), np.array(one.expected_scale), eigvals_only=True))
        least = np.linalg.eigvalsh(np.corrcoef(ROWS.T))[0]
        assert widths.min() > 0.5 and widths.max() < ratio.max() * np.sqrt(3 / least)
    else:
        widths = np.sqrt(np.array(other.expected_scale) / one.expected_scale)
        np.testing.assert_allclose(widths, ratio[: np.size(widths)].reshape(widths.shape), rtol=1e-9)


@each_covariance
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
    components, centre = COMPONENTS[covariance](2, 3, priors), np.array(priors.loc_mean)
    groups = start_groups("auto", rows - centre, 2, centre, np.array(priors.loc_scale), [0, 1, 2])
    for start in (components.random_start(np.random.default_rng(0)), components.start_at(groups)):
        assert all(np.isfinite(value).all() for value in (*start, components.kl(start, centre)))
    if covariance in CORRELATED:
        scale = np.sqrt(np.diag(priors.expected_scale))
        assert np.linalg.eigvalsh(np.array(priors.expected_scale) / np.outer(scale, scale))[0] > 1e-4
    if kind == "constant column" and covariance not in SPHERICAL:
        assert priors.loc_scale[1] == 1.0 and priors.loc_mean[1] == 7.0


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("covariance", SPHERICAL)
@pytest.mark.filterwarnings("ignore:column 2 has one value only")
def test_a_constant_column_does_not_set_the_unit_of_a_sphere(covariance, unit):
    """Its spread is 1 by convention, whatever the unit of the others."""
    rows = np.repeat([[-3.0, 0.0], [3.0, 0.0]], 40, axis=0) + np.random.default_rng(2).normal(size=(80, 2))
    with_constant = np.column_stack([rows, np.full(80, 7.0)]) * [unit, unit, 1.0]
    one, other = Priors.from_data(unit * rows, covariance), Priors.from_data(with_constant, covariance)
    assert other.expected_scale == pytest.approx(one.expected_scale, rel=1e-12)
    np.testing.assert_allclose(other.loc_scale, one.loc_scale[0], rtol=1e-12)
    assert other.least_scale == pytest.approx(one.least_scale, rel=1e-12)
    result = tfgmm.fit_mixture(with_constant, 2, covariance=covariance, restarts=1)
    assert (np.bincount(result.assign(with_constant)) == 40).all()


@each_covariance
def test_frames_and_summaries_do_as_arrays_do(covariance):
    frame = pd.DataFrame(ROWS, columns=["a", "b", "c"])
    assert Priors.from_data(frame, covariance) == Priors.from_data(ROWS, covariance)
    summary = DataSummary(10, 3, (0.0,) * 3, (1.0, 2.0, 2.0))
    if covariance in CORRELATED:
        with pytest.raises(ValueError, match=f'`sample` must be rows .*covariance="{covariance}"'):
            Priors.from_data(summary, covariance)
    else:
        expected = 3.0 if covariance in SPHERICAL else (1.0, 4.0, 4.0)
        assert Priors.from_data(summary, covariance).expected_scale == pytest.approx(expected)
    priors = Priors.from_data(summary, covariance, sample=np.rint(ROWS))
    np.testing.assert_allclose(np.ravel(priors.least_scale)[-1], 1 / 12 / (3 if covariance in SPHERICAL else 4))


# --- What is refused


@each_covariance
@pytest.mark.parametrize("structure", ["fixed", "rows", "matrix"])
def test_structures_that_cannot_be_learned_are_refused_in_words(structure, covariance):
    if structure == "matrix" and covariance in CORRELATED:
        return
    with pytest.raises(ValueError) as caught:
        Priors.from_data(ROWS, covariance, scale_structure=structure)
    message = str(caught.value)
    assert re.fullmatch(r"`scale_structure` must be .*\. Received: .*\. [A-Z].*\.", message), message
    assert structure in message.split("Received: ")[1]
    if structure == "matrix":
        assert covariance in message


def test_rows_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="`data` must"):
        Priors.from_data([[0.0], [np.nan]])


def test_least_variances_are_those_of_the_priors_of_independent_columns():
    rows = np.column_stack([ROWS[:, 0], np.round(8.0 * ROWS[:, 1]) / 8.0])  # the second in steps of 1/8
    summary = summarise(rows)
    least = least_variances(summary, rows)
    np.testing.assert_allclose(least, [1e-7 * summary.spread[0] ** 2, 1.0 / 8.0**2 / 12.0], rtol=1e-12)
    priors = Priors.from_data(rows, "diag")
    np.testing.assert_allclose(least, priors.least_scale * np.square(summary.spread), rtol=1e-12)
    np.testing.assert_allclose(least_variances(summary, None), 1e-7 * np.square(summary.spread), rtol=1e-12)
