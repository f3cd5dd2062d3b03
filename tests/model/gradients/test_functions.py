"""The functions of shared formulas: the same numbers for arrays and tensors, gradients that stay finite."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf
from scipy import special

from tfgmm.families import triangular
from tfgmm.families.functions import NUMPY, SCALE_RANGE, SHAPE_RANGE
from tfgmm.model.gradients.functions import TENSORFLOW

VALUES = np.random.default_rng(0).uniform(0.1, 5.0, (3, 4))


def triangles(*shape):
    generator = np.random.default_rng(1)
    return np.tril(generator.normal(size=shape), -1) + np.eye(shape[-1]) * generator.uniform(0.5, 2.0, shape)


@pytest.mark.parametrize("name", ["log", "digamma", "lgamma"])
def test_both_have_the_functions_of_scipy(name):
    expected = {"log": np.log, "digamma": special.digamma, "lgamma": special.gammaln}[name](VALUES)
    for functions in (NUMPY, TENSORFLOW):
        np.testing.assert_allclose(getattr(functions, name)(VALUES), expected, rtol=1e-13)


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("axis", [-1, 0])
def test_both_sum_over_the_axis_asked_for(axis, keepdims):
    for functions in (NUMPY, TENSORFLOW):
        np.testing.assert_allclose(
            functions.sum(VALUES, axis, keepdims=keepdims), VALUES.sum(axis, keepdims=keepdims), rtol=1e-14
        )
        np.testing.assert_allclose(
            functions.logsumexp(VALUES, axis, keepdims=keepdims),
            special.logsumexp(VALUES, axis, keepdims=keepdims),
            rtol=1e-14,
        )
        assert float(functions.sum(VALUES, (-2, -1))) == pytest.approx(VALUES.sum(), rel=1e-14)


@pytest.mark.parametrize("shape", [(1, 1), (2, 3, 3), (2, 1, 16, 16)], ids=str)
def test_both_invert_triangular_matrices_and_look_at_nothing_above_the_diagonal(shape):
    lower = triangles(*shape)
    for functions in (NUMPY, TENSORFLOW):
        inverse = np.array(functions.triangular_inverse(lower + np.triu(np.ones(shape), 1)))
        np.testing.assert_allclose(inverse @ lower, np.broadcast_to(np.eye(shape[-1]), shape), atol=1e-9)
        assert not np.triu(inverse, 1).any()


@pytest.mark.parametrize("limits", [SHAPE_RANGE, SCALE_RANGE], ids=["shapes", "scales"])
def test_positive_is_finite_and_positive_for_any_number_with_a_gradient_that_is_zero_beyond_the_limits(limits):
    logarithms = tf.constant([-1e300, -1e4, -1.0, 0.0, 3.0, 1e4, 1e300], tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(logarithms)
        values = TENSORFLOW.positive(logarithms, limits)
    np.testing.assert_allclose(
        values, [limits[0], limits[0], math.exp(-1), 1.0, math.exp(3), limits[1], limits[1]], rtol=1e-12
    )
    np.testing.assert_array_equal(tape.gradient(values, logarithms), np.where(np.abs(logarithms) < 10, values, 0.0))
    np.testing.assert_allclose(NUMPY.positive(logarithms.numpy(), limits), values, rtol=1e-14)


@pytest.mark.parametrize("functions", [NUMPY, TENSORFLOW], ids=["numpy", "tensorflow"])
def test_triangular_matrices_come_back_from_the_numbers_behind_them(functions):
    lower = triangles(2, 4, 4)
    values = np.array(triangular.with_log_diagonal(lower))
    np.testing.assert_allclose(np.diagonal(values, axis1=1, axis2=2), np.log(np.diagonal(lower, axis1=1, axis2=2)))
    np.testing.assert_allclose(triangular.from_values(values + np.triu(np.ones((4, 4)), 1), SCALE_RANGE, functions), lower, rtol=1e-14)
