"""Products of columns hold every pair, and matrices go into coefficients and come back from sums, as NumPy says."""

from __future__ import annotations

import numpy as np
import pytest
from log_densities import features_of

from tfgmm.mixture.features import (
    matrices_of_products,
    num_products,
    pair_coefficients,
    pairs,
    write_products,
    write_squares,
)

SIZES = (*range(1, 10), 17)


def whole(rows):
    """Returns the products of the columns of rows, (B, P), in the type of the rows."""
    return features_of("correlated", rows, rows.dtype)[:, rows.shape[1] :]


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
    first, second = pairs(num_features)
    flat = matrices[:, first, second] * pair_coefficients(num_features)
    expected = np.array([[row @ matrix @ row for matrix in matrices] for row in rows])
    np.testing.assert_allclose(whole(rows) @ flat.T, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("num_features", SIZES)
def test_sums_of_products_become_the_matrices_of_weighted_outer_products(num_features):
    generator = np.random.default_rng(num_features)
    rows, shares = generator.normal(size=(11, num_features)), generator.uniform(size=(11, 3))
    matrices = matrices_of_products(shares.T @ whole(rows), num_features)
    expected = np.stack([(share[:, None] * rows).T @ rows for share in shares.T])
    np.testing.assert_allclose(matrices, expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(matrices, np.swapaxes(matrices, 1, 2))


@pytest.mark.parametrize("leading", [(), (2,), (3, 2)])
def test_matrices_of_several_sums_are_those_of_each(leading):
    sums = np.random.default_rng(0).normal(size=(*leading, len(pairs(9)[0])))
    matrices = matrices_of_products(sums, 9)
    assert matrices.shape == (*leading, 9, 9)
    for place in np.ndindex(leading):
        np.testing.assert_array_equal(matrices[place], matrices_of_products(sums[place], 9))


@pytest.mark.parametrize("write", [write_squares, write_products])
@pytest.mark.parametrize("num_features", [1, 4, 9])
def test_the_number_of_products_is_known_without_a_row(write, num_features):
    expected = num_features if write is write_squares else len(pairs(num_features)[0])
    assert num_products(write, num_features) == expected
    found = np.full((expected, 2), np.nan)
    write(np.ones((num_features, 2)), found)
    np.testing.assert_array_equal(found, 1.0)
