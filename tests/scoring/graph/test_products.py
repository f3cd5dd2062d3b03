"""Products of columns as operations are NumPy's, in pieces, and so are their coefficients."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tfgmm.mixture.features import num_products, pairs
from tfgmm.mixture.parameters import FORMS
from tfgmm.scoring.graph.densities import GRAPH_FORMS
from tfgmm.scoring.graph.products import coefficients_of_products, products

SIZES = (*range(1, 10), 17)


def whole(rows):
    """Returns the pieces of `products` side by side, (B, P)."""
    return np.concatenate([piece.numpy() for piece in products(tf.constant(rows))], axis=1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("num_features", SIZES)
def test_products_are_those_of_the_named_columns_in_the_type_of_the_rows(num_features, dtype):
    rows = np.random.default_rng(num_features).normal(size=(7, num_features)).astype(dtype)
    first, second = pairs(num_features)
    result = whole(rows)
    assert result.dtype == dtype
    np.testing.assert_array_equal(result, rows[:, first] * rows[:, second])
    assert whole(rows[:0]).shape == (0, len(first))


@pytest.mark.parametrize("num_features", SIZES)
def test_products_times_coefficients_are_the_quadratic_form_of_each_matrix(num_features):
    generator = np.random.default_rng(num_features)
    rows = generator.normal(size=(5, num_features))
    matrices = generator.normal(size=(3, num_features, num_features))
    matrices += np.swapaxes(matrices, 1, 2)
    flat = coefficients_of_products(tf.constant(matrices)).numpy()
    expected = np.array([[row @ matrix @ row for matrix in matrices] for row in rows])
    np.testing.assert_allclose(whole(rows) @ flat.T, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("num_features", [1, 4, 9])
def test_the_number_of_products_is_known_without_a_row(form, num_features):
    expected = sum(piece.shape[1] for piece in GRAPH_FORMS[form].features(tf.zeros((0, num_features)))) - num_features
    assert num_products(FORMS[form].write_products, num_features) == expected
