"""Trained logarithms give finite, positive parameters and finite gradients, whatever the optimizer does to them."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from tfgmm.families.positive import SCALE_RANGE, SHAPE_RANGE, positive

EXTREMES = [-3e38, -1e4, -200.0, -88.8, -44.0, 0.0, 44.0, 88.8, 200.0, 1e4, 3e38]


def value_and_slope(logarithms, dtype, *limits):
    logarithms = tf.constant(logarithms, dtype)
    with tf.GradientTape() as tape:
        tape.watch(logarithms)
        values = positive(logarithms, *limits)
    return values.numpy(), tape.gradient(values, logarithms).numpy()


@pytest.mark.parametrize("dtype", [tf.float32, tf.float64])
@pytest.mark.parametrize("limits", [SCALE_RANGE, SHAPE_RANGE])
def test_any_finite_number_gives_a_positive_value_within_the_limits_and_a_finite_gradient(dtype, limits):
    values, slopes = value_and_slope(EXTREMES, dtype, limits)
    assert values.dtype == dtype.as_numpy_dtype
    assert np.isfinite(values).all() and np.isfinite(slopes).all()
    # exp of a rounded logarithm of 78 is good to 78 times the type's precision
    rounding = 1 + 160 * np.finfo(values.dtype).eps
    assert (values >= limits[0] / rounding).all() and (values <= limits[1] * rounding).all()


@pytest.mark.parametrize("dtype", [tf.float32, tf.float64])
def test_within_the_limits_it_is_exp_and_so_is_its_gradient(dtype):
    logarithms = np.linspace(-20.0, 70.0, 91)
    values, slopes = value_and_slope(logarithms, dtype, SHAPE_RANGE)
    np.testing.assert_allclose(values, np.exp(logarithms), rtol=100 * np.finfo(values.dtype).eps)
    np.testing.assert_array_equal(slopes, values)


def test_beyond_the_limits_the_gradient_is_zero():
    _, slopes = value_and_slope([-100.0, 0.0, 100.0], tf.float64)
    np.testing.assert_array_equal(slopes, [0.0, 1.0, 0.0])


def test_the_limits_change_the_value():
    logarithm = tf.constant(-50.0, tf.float64)
    assert float(positive(logarithm)) == pytest.approx(np.exp(-50.0))
    assert float(positive(logarithm, SHAPE_RANGE)) == pytest.approx(1e-9)
    assert float(positive(logarithm, (2.0, 3.0))) == pytest.approx(2.0)


def test_variables_of_any_shape_keep_their_shape():
    assert positive(tf.Variable(tf.zeros((2, 3, 4), tf.float64))).shape == (2, 3, 4)


def test_smallest_values_survive_what_the_bound_does_with_them():
    """1 / shape^2 (gradient of a small-shape draw) in float32; squares of scales in float64."""
    assert np.isfinite(np.float32(1.0) / np.float32(SHAPE_RANGE[0]) ** 2)
    assert SCALE_RANGE[0] ** 2 > 0 and np.isfinite(SCALE_RANGE[1] ** 2)
