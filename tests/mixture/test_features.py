"""Products of columns hold every pair, and matrices go into coefficients and come back from sums, as NumPy says."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tfgmm.families.correlated import FullComponents
from tfgmm.families.independent import DiagComponents
from tfgmm.mixture.features import num_products, pairs
from tfgmm.mixture.parameters import FORMS
from tfgmm.scoring.graph.densities import GRAPH_FORMS
from tfgmm.scoring.graph.products import coefficients_of_products, matrices_of_products, products

SIZES = (*range(1, 10), 17)


def whole(rows):
    """Returns the pieces of `products` side by side, (B, P)."""
    return np.concatenate([piece.numpy() for piece in products(tf.constant(rows))], axis=1)


@pytest.mark.parametrize("num_features", SIZES)
def test_every_pair_of_columns_is_there_and_not_much_more(num_features):
    first, second = pairs(num_features)
    seen = {(min(i, j), max(i, j)) for i, j in zip(first.tolist(), second.tolist())}
    assert seen == {(i, j) for i in range(num_features) for j in range(i, num_features)}
    # twice only within a group of eight: at most 28 pairs for each group
    assert len(first) - len(seen) <= 28 * -(-num_features // 8)


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


@pytest.mark.parametrize("num_features", SIZES)
def test_sums_of_products_become_the_matrices_of_weighted_outer_products(num_features):
    generator = np.random.default_rng(num_features)
    rows, shares = generator.normal(size=(11, num_features)), generator.uniform(size=(11, 3))
    matrices = matrices_of_products(tf.constant(shares.T @ whole(rows)), num_features)
    expected = np.stack([(share[:, None] * rows).T @ rows for share in shares.T])
    np.testing.assert_allclose(matrices, expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(matrices, np.swapaxes(matrices, 1, 2))


@pytest.mark.parametrize("components", [DiagComponents, FullComponents])
@pytest.mark.parametrize("num_features", [1, 4, 9])
def test_the_number_of_products_is_known_without_a_row(components, num_features):
    expected = (
        sum(piece.shape[1] for piece in GRAPH_FORMS[components.form].features(tf.zeros((0, num_features))))
        - num_features
    )
    assert num_products(FORMS[components.form].write_products, num_features) == expected
