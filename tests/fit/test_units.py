"""A fit has no units: scaling or shifting columns, the order of rows or components, turning the data change nothing.

Of the spherical shapes one unit for all columns; where columns have units of their own, the priors state them. Turning
the data changes nothing for priors that look at no axes: scale_structure="matrix".

Tolerances. Scales and shifts by anything but powers of two round the rows, float64 to 1e-16 of an offset and, once
centred, float32 to 6e-8 of the range: sums of 300 such rows move the bound by less than 1e-4 nats and memberships by
less than 1e-4. Where a fit stops (gains below 1e-7 nats per row) its parameters stand within 1e-3 posterior standard
deviations, and may stop a sweep earlier or later for rounding's sake.
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ortho_group

import tfgmm
from tfgmm.families.variational import COMPONENTS
from tfgmm.mixture.parameters import FORMS
from tfgmm.mixture.registry import COVARIANCES

GENERATOR = np.random.default_rng(2)
NUM_ROWS = 300
OWNERS = GENERATOR.integers(0, 3, NUM_ROWS)
CENTRES = np.array([[-3.0, 0.0, 2.0], [3.0, 1.0, -2.0], [0.0, 4.0, 0.0]])
ROWS = GENERATOR.normal(CENTRES[OWNERS], [1.0, 0.7, 1.3])
START = ROWS[[np.flatnonzero(OWNERS == k)[0] for k in range(3)]]

NATS = 1e-3
MEMBERSHIP = 1e-3
WEIGHTS = {"spherical": "stick_breaking", "diag": "dirichlet", "full": "dirichlet", "tied": "stick_breaking"}


def fitted(rows, covariance, start="k-means++", **options):
    weights = WEIGHTS.get(covariance, "dirichlet")
    return tfgmm.fit_mixture(rows, 3, covariance=covariance, weights=weights, start=start, restarts=3, **options)


@functools.cache
def from_start(covariance):
    """Returns the fit from given rows: no start needs choosing."""
    return fitted(ROWS, covariance, START)


@functools.cache
def from_the_best_start(covariance):
    return fitted(ROWS, covariance)


def some_quick(name, cases):
    """Returns the cases for every shape, half of them slow, so that each shape and each case is among the quick."""
    pairs = [(case, shape) for case in cases for shape in COMPONENTS]
    turns = [list(cases).index(case) + list(COMPONENTS).index(shape) for case, shape in pairs]
    marked = [pytest.param(*pair, marks=[pytest.mark.slow] * (turn % 2)) for pair, turn in zip(pairs, turns)]
    return pytest.mark.parametrize((name, "covariance"), marked)


def matched(model, rows, other, others_rows):
    """Returns the responsibilities of both for their own rows, the components of the second in the first's order."""
    ours, theirs = model.responsibilities(rows), other.responsibilities(others_rows)
    return ours, theirs[:, order_of(ours, theirs)]


def order_of(ours, theirs):
    order = np.argmax(ours.T @ theirs, axis=1)
    assert sorted(order) == [0, 1, 2]
    return order


def assert_same(base, other, rows, scale=1.0, shift=0.0):
    """The fit of rows * scale + shift is the base fit in those units."""
    scale, shift = (np.broadcast_to(np.float64(value), 3) for value in (scale, shift))
    ours, theirs = base.model.responsibilities(ROWS), other.model.responsibilities(rows)
    order = order_of(ours, theirs)
    np.testing.assert_allclose(theirs[:, order], ours, atol=MEMBERSHIP)
    expected = base.elbo - NUM_ROWS * np.sum(np.log(scale))
    assert other.elbo == pytest.approx(expected, abs=NATS)
    assert other.log_likelihood == pytest.approx(base.log_likelihood - base.elbo + expected, abs=20 * NATS)
    scales = base.model.scales.numpy() * scale
    locs = other.model.locs.numpy()[order] - shift
    np.testing.assert_allclose(other.model.scales.numpy()[order], scales, rtol=1e-3)
    assert (np.abs(locs - base.model.locs.numpy() * scale) < 0.01 * scales + 1e-15 * np.abs(shift)).all()
    sds = [component_sds(result.model) for result in (base, other)]
    np.testing.assert_allclose(sds[1][order], sds[0] * scale, rtol=1e-3)


def component_sds(model):
    """Returns the standard deviations of the components at the posterior means, (K, D), data units."""
    return FORMS[model.variational.form].covariances(model.plug_in().components)[0]


def priors_in_units(covariance, scale, shift=0.0):
    """Returns the priors of ROWS in other units, for spherical shapes, whose columns then weigh as before."""
    rows = ROWS * scale + shift
    if not COVARIANCES[covariance].is_spherical:
        return "auto"
    priors = tfgmm.Priors.from_data(ROWS, covariance)
    unit = np.abs(np.broadcast_to(scale, 3))
    return dataclasses.replace(
        priors,
        loc_mean=tfgmm.Priors.from_data(rows, "diag").loc_mean,
        loc_scale=priors.loc_scale * unit,
        column_scale=unit,
        row_variance=priors.row_variance * unit**2,
    )


UNITS = {
    "one column in millions, one in millionths": ([1e-6, 1e6, 1.0], 0.0),
    "all tiny": (1e-8, 0.0),
    "1e-8 beside 1e8": ([1e-8, 1e8, 1.0], 0.0),
    "shifted by 1e8": (1.0, [1e8, -1e8, 0.0]),
}


@some_quick("units", UNITS)
def test_units_change_nothing_but_the_numbers(units, covariance):
    """Also the rounding of rows that are shifted by 1e8: 1.5e-8 in float64, 1e-8 of the bound's tolerance."""
    scale, shift = UNITS[units]
    rows = ROWS * scale + shift
    priors = priors_in_units(covariance, scale, shift)
    assert_same(from_the_best_start(covariance), fitted(rows, covariance, priors=priors), rows, scale, shift)


@pytest.mark.parametrize("covariance", ["spherical", "tied_spherical"])
def test_a_sphere_is_one_in_data_units_and_one_unit_for_all_changes_nothing(covariance):
    rows = 1e-3 * ROWS + 7.0
    assert_same(from_the_best_start(covariance), fitted(rows, covariance), rows, 1e-3, 7.0)
    with pytest.warns(UserWarning, match="column 2 is .* times that of column 1, .* hardly counts"):
        one_column = fitted(ROWS * [1.0, 1.0, 30.0], covariance)
    assert one_column.elbo + NUM_ROWS * np.log(30.0) < from_the_best_start(covariance).elbo - 100.0


@some_quick("seed", [0, 1])
def test_the_order_of_rows_changes_nothing(seed, covariance):
    """The k-means++ starts differ, and lead to the same optimum."""
    order = np.random.default_rng(seed).permutation(NUM_ROWS)
    base, other = from_the_best_start(covariance), fitted(ROWS[order], covariance)
    assert other.elbo == pytest.approx(base.elbo, abs=NATS)
    ours, theirs = matched(base.model, ROWS, other.model, ROWS)
    np.testing.assert_allclose(theirs, ours, atol=MEMBERSHIP)


@pytest.mark.parametrize("covariance", ["diag", "tied_spherical", "full"])
def test_relabelling_the_start_relabels_the_fit(covariance):
    order = [2, 0, 1]
    one, other = from_start(covariance), fitted(ROWS, covariance, START[order])
    # The same sums in another order: 1e-13, which 10 sweeps widen; responsibilities are float32
    theirs = other.model.responsibilities(ROWS)
    np.testing.assert_allclose(theirs, one.model.responsibilities(ROWS)[:, order], atol=1e-5)
    np.testing.assert_allclose(other.model.locs, one.model.locs.numpy()[order], atol=1e-6)
    assert other.elbo == pytest.approx(one.elbo, rel=1e-9)


@pytest.mark.parametrize("covariance", ["tied", "full"])
@pytest.mark.parametrize("seed", [0, 1])
def test_turning_the_data_turns_the_fit(covariance, seed):
    """From the same start rows: k-means++ measures each column by its own width, and would choose others."""
    turn = ortho_group.rvs(3, random_state=seed)
    one, other = (
        fitted(rows, covariance, start, priors=tfgmm.Priors.from_data(rows, covariance, scale_structure="matrix"))
        for rows, start in ((ROWS, START), (ROWS @ turn.T, START @ turn.T))
    )
    assert other.elbo == pytest.approx(one.elbo, abs=NATS)
    ours, theirs = matched(one.model, ROWS, other.model, ROWS @ turn.T)
    np.testing.assert_allclose(theirs, ours, atol=MEMBERSHIP)
    locs = one.model.locs.numpy() @ turn.T
    order = order_of(one.model.responsibilities(ROWS), other.model.responsibilities(ROWS @ turn.T))
    np.testing.assert_allclose(other.model.locs.numpy()[order], locs, atol=1e-3)
    inverse_scales = turn @ one.model.inverse_scales.numpy() @ turn.T
    if covariance == "full":
        inverse_scales = inverse_scales[np.argsort(order)]
    found = other.model.inverse_scales.numpy()
    np.testing.assert_allclose(found, inverse_scales, atol=1e-3 * np.abs(inverse_scales).max())


@pytest.mark.parametrize("covariance", ["diag", "tied", "full"])
def test_turning_the_data_does_change_what_looks_at_the_columns(covariance):
    """Diagonal shapes, and by default the priors of matrices, of which one half expects independent columns."""
    turn = ortho_group.rvs(3, random_state=0)
    assert from_start(covariance).elbo - fitted(ROWS @ turn.T, covariance, START @ turn.T).elbo > 1.0


@settings(max_examples=5, deadline=None, derandomize=True, database=None)
@given(
    powers=st.lists(st.floats(-12, 12), min_size=3, max_size=3),
    signs=st.lists(st.sampled_from([-1.0, 1.0]), min_size=3, max_size=3),
    shifts=st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=3),
    covariance=st.sampled_from(list(COMPONENTS)),
)
def test_any_units_give_the_same_clusters_and_bound(powers, signs, shifts, covariance):
    """Scales of 1e-12 to 1e12, mirrored or not, offsets of up to a million standard deviations."""
    scale = 10.0 ** np.array(powers)
    rows = (ROWS * signs + shifts) * scale
    priors = priors_in_units(covariance, scale * signs, shifts * scale)
    one, other = from_start(covariance), fitted(rows, covariance, (START * signs + shifts) * scale, priors=priors)
    assert other.elbo == pytest.approx(one.elbo - NUM_ROWS * np.log(scale).sum(), abs=NATS)
    ours, theirs = one.model.responsibilities(ROWS), other.model.responsibilities(rows)
    np.testing.assert_allclose(theirs, ours, atol=MEMBERSHIP)


@pytest.mark.parametrize("covariance", ["diag", "full"])
@pytest.mark.parametrize("offset", [1e3, 1e6])
def test_float32_rows_far_from_zero_fit_as_in_float64(covariance, offset):
    """The same rounded rows: at 1e6 float32 holds multiples of 0.0625 only."""
    rows = (ROWS + offset).astype(np.float32)
    near = rows.astype(np.float64) - offset
    one, other = fitted(rows, covariance, START + offset), fitted(near, covariance, START)
    np.testing.assert_allclose(component_sds(one.model), component_sds(other.model), rtol=1e-3)
    np.testing.assert_allclose(one.model.locs.numpy() - offset, other.model.locs, atol=1e-3)
    np.testing.assert_allclose(one.model.responsibilities(rows), other.model.responsibilities(near), atol=MEMBERSHIP)
    assert one.elbo == pytest.approx(other.elbo, abs=NATS)


def test_two_points_far_apart_keep_the_variance_that_float32_loses_elsewhere():
    """scikit-learn's issue 30382: points at 9999 and 0, float32, diag; variance 112 where 0.1 is right."""
    generator = np.random.default_rng(0)
    rows = np.concatenate([generator.normal(place, 0.1**0.5, (500, 1)) for place in (9999.0, 0.0)]).astype(np.float32)
    # Weak in these units, and fixed
    model = tfgmm.fit_mixture(rows, 2, priors=tfgmm.Priors(5000.0, 1e4, 1.0, 0.001, 1.0)).model
    np.testing.assert_allclose(component_sds(model) ** 2, 0.1, rtol=0.15)
