"""The functions of shared formulas for tensors: the figures of NumPy's, and gradients that are finite everywhere."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tfgmm.families import triangular
from tfgmm.families.functions import NUMPY, SCALE_RANGE, SHAPE_RANGE, Functions
from tfgmm.model.gradients.functions import TENSORFLOW

EXTREMES = [-3e38, -1e4, -200.0, -88.8, -44.0, 0.0, 44.0, 88.8, 200.0, 1e4, 3e38]
POSITIVE = np.concatenate([np.logspace(-9, 9, 91), np.logspace(-300, 300, 61), np.linspace(0.5, 3.0, 26)])


def value_and_slope(logarithms, dtype, *limits):
    logarithms = tf.constant(logarithms, dtype)
    with tf.GradientTape() as tape:
        tape.watch(logarithms)
        values = TENSORFLOW.positive(logarithms, *limits)
    return values.numpy(), tape.gradient(values, logarithms).numpy()


# The same as NumPy's


@pytest.mark.parametrize("name", ["log", "digamma", "lgamma"])
def test_functions_of_positive_numbers_are_numpys(name):
    found = getattr(TENSORFLOW, name)(tf.constant(POSITIVE)).numpy()
    np.testing.assert_allclose(found, getattr(NUMPY, name)(POSITIVE), rtol=1e-13, atol=2e-15)


@pytest.mark.parametrize("limits", [SCALE_RANGE, SHAPE_RANGE, (2.0, 3.0)])
def test_positive_numbers_are_numpys(limits):
    logarithms = np.concatenate([EXTREMES, np.linspace(-100.0, 100.0, 401)])
    np.testing.assert_allclose(
        TENSORFLOW.positive(logarithms, limits).numpy(), NUMPY.positive(logarithms, limits), rtol=1e-15
    )


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("axis", [0, -1, -2])
def test_sums_and_logarithms_of_sums_are_numpys_along_every_axis(axis, keepdims):
    values = np.random.default_rng(0).normal(0.0, 30.0, (3, 4, 5))
    for name in ("sum", "logsumexp"):
        expected = getattr(NUMPY, name)(values, axis, keepdims=keepdims)
        found = getattr(TENSORFLOW, name)(tf.constant(values), axis, keepdims=keepdims)
        assert tuple(found.shape) == expected.shape
        np.testing.assert_allclose(found, expected, rtol=1e-14, atol=1e-12)
    np.testing.assert_allclose(TENSORFLOW.sum(values, (-2, -1)), NUMPY.sum(values, (-2, -1)), rtol=1e-13)


@pytest.mark.parametrize("values", [[1e300, -1e300, 0.0], [-1e10, -1e10], [-745.0, -746.0], [710.0, 709.0], [5e9]])
def test_logarithms_of_sums_of_extreme_values_are_numpys(values):
    found = TENSORFLOW.logsumexp(tf.constant(values, tf.float64), -1).numpy()
    np.testing.assert_allclose(found, NUMPY.logsumexp(np.array(values), -1), rtol=1e-15)


@pytest.mark.parametrize("shape", [(1, 1), (5, 5), (3, 4, 4), (2, 3, 17, 17)])
def test_inverses_of_triangles_are_numpys(shape):
    lower = np.tril(np.random.default_rng(0).normal(size=shape)) + 3.0 * np.eye(shape[-1])
    expected = NUMPY.triangular_inverse(lower)
    np.testing.assert_allclose(TENSORFLOW.triangular_inverse(tf.constant(lower)), expected, rtol=1e-9, atol=1e-14)


def test_no_function_was_left_out():
    tried = {"log", "positive", "digamma", "lgamma", "sum", "logsumexp", "triangular_inverse"}
    assert set(Functions._fields) == tried


# Gradients of positive numbers


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
    _, slopes = value_and_slope([-100.0, 0.0, 100.0], tf.float64, SCALE_RANGE)
    np.testing.assert_array_equal(slopes, [0.0, 1.0, 0.0])


def test_variables_of_any_shape_keep_their_shape():
    assert TENSORFLOW.positive(tf.Variable(tf.zeros((2, 3, 4), tf.float64)), SCALE_RANGE).shape == (2, 3, 4)


@pytest.mark.parametrize("functions", [NUMPY, TENSORFLOW], ids=["numpy", "tensorflow"])
def test_triangular_matrices_come_back_from_the_numbers_behind_them(functions):
    generator = np.random.default_rng(1)
    lower = np.tril(generator.normal(size=(2, 4, 4)), -1) + np.eye(4) * generator.uniform(0.5, 2.0, (2, 4, 4))
    values = triangular.with_log_diagonal(lower)
    np.testing.assert_allclose(np.diagonal(values, axis1=1, axis2=2), np.log(np.diagonal(lower, axis1=1, axis2=2)))
    found = triangular.from_values(values + np.triu(np.ones((4, 4)), 1), SCALE_RANGE, functions)
    np.testing.assert_allclose(found, lower, rtol=1e-14)
