"""The functions that formulas share: finite and positive parameters from any number, sums of any exponentials."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

from tfgmm.families.functions import NUMPY, SCALE_RANGE, SHAPE_RANGE, logsumexp, positive

EXTREMES = [-3e38, -1e4, -200.0, -88.8, -44.0, 0.0, 44.0, 88.8, 200.0, 1e4, 3e38]
TYPES = [np.float32, np.float64]


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("limits", [SCALE_RANGE, SHAPE_RANGE])
def test_any_finite_number_gives_a_positive_value_within_the_limits(dtype, limits):
    values = positive(np.array(EXTREMES, dtype), limits)
    assert values.dtype == dtype and np.isfinite(values).all()
    # exp of a rounded logarithm of 78 is good to 78 times the type's precision
    rounding = 1 + 160 * np.finfo(dtype).eps
    assert (values >= limits[0] / rounding).all() and (values <= limits[1] * rounding).all()


@pytest.mark.parametrize("dtype", TYPES)
def test_within_the_limits_it_is_exp(dtype):
    logarithms = np.linspace(-20.0, 70.0, 91).astype(dtype)
    np.testing.assert_allclose(
        positive(logarithms, SHAPE_RANGE), np.exp(np.linspace(-20.0, 70.0, 91)), rtol=100 * np.finfo(dtype).eps
    )


def test_the_limits_change_the_value():
    logarithm = np.float64(-50.0)
    assert float(positive(logarithm)) == pytest.approx(np.exp(-50.0))
    assert float(positive(logarithm, SHAPE_RANGE)) == pytest.approx(1e-9)
    assert float(positive(logarithm, (2.0, 3.0))) == pytest.approx(2.0)


def test_the_ends_of_the_line_are_the_limits_and_what_is_no_number_stays_none():
    np.testing.assert_allclose(positive(np.array([-np.inf, np.inf])), SCALE_RANGE, rtol=1e-13)
    assert np.isnan(positive(np.array([np.nan]))).all()


def test_numbers_of_any_shape_keep_their_shape():
    assert positive(np.zeros((2, 3, 4))).shape == (2, 3, 4)


def test_smallest_values_survive_what_the_bound_does_with_them():
    """1 / shape^2 (gradient of a small-shape draw) in float32; squares of scales in float64."""
    assert np.isfinite(np.float32(1.0) / np.float32(SHAPE_RANGE[0]) ** 2)
    assert SCALE_RANGE[0] ** 2 > 0 and np.isfinite(SCALE_RANGE[1] ** 2)


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_logsumexp_is_scipys_along_every_axis(axis, keepdims):
    values = np.random.default_rng(0).normal(0.0, 30.0, (3, 4, 5))
    expected = special.logsumexp(values, axis=axis, keepdims=keepdims)
    found = logsumexp(values, axis, keepdims=keepdims)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-14)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1e300, -1e300, 0.0], 1e300),
        ([-1e300, -2e300], -1e300),
        ([1e10, 1e10], 1e10 + np.log(2.0)),
        ([-1e10, -1e10, -1e10], -1e10 + np.log(3.0)),
        ([-745.0, -746.0], -745.0 + np.log1p(np.exp(-1.0))),
        ([710.0, 709.0], 710.0 + np.log1p(np.exp(-1.0))),
        ([1e-300, -1e-300], np.log(2.0)),
        ([5e9], 5e9),
    ],
)
def test_logsumexp_of_extreme_values_neither_overflows_nor_vanishes(values, expected):
    assert float(logsumexp(np.array(values), -1)) == pytest.approx(expected, rel=1e-15)


def test_the_set_for_numpy_has_them():
    assert NUMPY.positive is positive and NUMPY.logsumexp is logsumexp
    np.testing.assert_array_equal(NUMPY.sum(np.ones((2, 3, 4)), (-2, -1), keepdims=True), np.full((2, 1, 1), 12.0))
    np.testing.assert_allclose(NUMPY.log(NUMPY.positive(np.arange(3.0), SHAPE_RANGE)), np.arange(3.0), atol=1e-15)
