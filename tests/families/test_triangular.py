"""Triangular matrices: inverses as NumPy's and as exact fractions give them, determinants, numbers behind them."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from tfgmm.families import triangular
from tfgmm.families.functions import NUMPY, SCALE_RANGE

EPSILON = np.finfo(np.float64).eps


def random_triangles(*shape, seed=0):
    """Returns lower triangular matrices (..., D, D) with a diagonal between 0.5 and 2."""
    generator = np.random.default_rng(seed)
    lower = np.tril(generator.normal(size=shape), -1)
    places = np.arange(shape[-1])
    lower[..., places, places] = generator.uniform(0.5, 2.0, shape[:-1])
    return lower


def steep_triangle(num_rows, seed, orders=12):
    """Returns a triangle whose rows differ by orders of magnitude, as those of columns in different units do."""
    generator = np.random.default_rng(seed)
    scales = 10.0 ** generator.uniform(-orders, orders, num_rows)
    return scales[:, None] * random_triangles(num_rows, num_rows, seed=seed + 100)


def exact_inverse(lower):
    """Returns the inverse of one triangle in rational numbers, by substitution, column by column."""
    size = len(lower)
    exact = [[Fraction(float(value)) for value in row] for row in lower]
    columns = []
    for column in range(size):
        solved: list[Fraction] = []
        for row in range(size):
            rest = sum((exact[row][j] * solved[j] for j in range(row)), start=Fraction(0))
            solved.append((Fraction(int(row == column)) - rest) / exact[row][row])
        columns.append(solved)
    return [[columns[column][row] for column in range(size)] for row in range(size)]


@pytest.mark.parametrize("leading", [(), (3,), (2, 4)])
@pytest.mark.parametrize("num_features", [1, 2, 5, 17])
def test_inverses_are_those_of_numpy_whatever_stands_in_front(num_features, leading):
    lower = random_triangles(*leading, num_features, num_features)
    found = triangular.inverse(lower)
    assert found.shape == lower.shape and found.dtype == np.float64
    expected = np.linalg.inv(lower)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12 * np.abs(expected).max())
    identity = np.broadcast_to(np.eye(num_features), lower.shape)
    np.testing.assert_allclose(found @ lower, identity, atol=1e-11 * np.abs(expected).max())
    np.testing.assert_array_equal(found, np.tril(found))


def test_each_of_several_inverses_is_that_of_the_matrix_alone():
    lower = random_triangles(2, 3, 6, 6)
    together = triangular.inverse(lower)
    for place in np.ndindex(2, 3):
        np.testing.assert_allclose(together[place], triangular.inverse(lower[place]), rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("seed", range(6))
def test_entries_of_ill_conditioned_inverses_are_as_near_to_exact_fractions_as_their_terms_allow(seed):
    """|found - exact| <= c eps |X| |L| |X| in every entry (Higham 2002, 14.2), however the rows are scaled.

    numpy.linalg.inv, which exchanges rows, does not keep within this.
    """
    lower = steep_triangle(7, seed)
    assert np.linalg.cond(lower) > 1e8
    found, exact = triangular.inverse(lower), exact_inverse(lower)
    sizes = np.abs(np.array(exact, np.float64))
    allowed = len(lower) * EPSILON * (sizes @ np.abs(lower) @ sizes)
    for place in np.ndindex(lower.shape):
        away = abs(Fraction(float(found[place])) - exact[place[0]][place[1]])
        assert float(away) <= allowed[place]


@pytest.mark.parametrize("seed", range(3))
def test_entries_where_nothing_cancels_keep_fourteen_digits(seed):
    """With negative entries below the diagonal all terms of the inverse are positive."""
    lower = steep_triangle(7, seed)
    lower = np.where(np.eye(7) > 0, lower, -np.abs(lower))
    found, exact = triangular.inverse(lower), exact_inverse(lower)
    for row in range(7):
        for column in range(row + 1):
            assert abs(Fraction(float(found[row, column])) / exact[row][column] - 1) < 1e-14


def test_what_stands_above_the_diagonal_is_not_looked_at():
    lower = random_triangles(4, 4)
    spoilt = lower + np.triu(np.full((4, 4), 7.0), 1)
    np.testing.assert_array_equal(triangular.inverse(spoilt), triangular.inverse(lower))


def test_diagonals_determinants_transposes_and_products_are_those_of_numpy():
    lower, vectors = random_triangles(2, 3, 4, 4), np.random.default_rng(1).normal(size=(2, 3, 4))
    np.testing.assert_allclose(triangular.log_determinants(lower), np.linalg.slogdet(lower)[1], rtol=1e-12, atol=1e-14)
    assert triangular.diagonal(lower).shape == (2, 3, 4)
    for place in np.ndindex(2, 3):
        np.testing.assert_array_equal(triangular.transposed(lower)[place], lower[place].T)
        np.testing.assert_array_equal(triangular.diagonal(lower)[place], np.diag(lower[place]))
        np.testing.assert_allclose(triangular.times(lower, vectors)[place], lower[place] @ vectors[place], rtol=1e-13)


@pytest.mark.parametrize("leading", [(), (2, 3)])
def test_the_numbers_behind_triangles_give_them_back(leading):
    lower = random_triangles(*leading, 5, 5)
    values = triangular.with_log_diagonal(lower)
    np.testing.assert_array_equal(np.tril(values, -1), np.tril(lower, -1))
    np.testing.assert_allclose(triangular.diagonal(values), np.log(triangular.diagonal(lower)), rtol=1e-15)
    np.testing.assert_allclose(triangular.from_values(values, SCALE_RANGE, NUMPY), lower, rtol=1e-15)
    above = values + np.triu(np.ones((5, 5)), 1)
    np.testing.assert_array_equal(
        triangular.from_values(above, SCALE_RANGE, NUMPY), triangular.from_values(values, SCALE_RANGE, NUMPY)
    )


def test_any_numbers_give_a_diagonal_within_the_limits():
    values = np.full((2, 2), 1e4)
    values[0, 0] = -1e4
    lower = triangular.from_values(values, (1e-3, 1e3), NUMPY)
    np.testing.assert_allclose(lower, [[1e-3, 0.0], [1e4, 1e3]], rtol=1e-12)


@pytest.mark.parametrize("num_features", [1, 2, 5])
def test_matrices_behind_numbers_are_below_the_diagonal_and_positive_on_it(num_features):
    values = np.random.default_rng(0).normal(size=(3, 4, num_features, num_features))
    found = triangular.from_values(values, SCALE_RANGE, NUMPY)
    below = np.tri(num_features, k=-1, dtype=bool)
    np.testing.assert_array_equal(found[..., below], values[..., below])
    np.testing.assert_array_equal(triangular.diagonal(found), np.exp(triangular.diagonal(values)))
    assert not np.triu(found, 1).any()
    assert not np.signbit(np.triu(found, 1)).any()
