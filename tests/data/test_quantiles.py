"""Quantiles with weights are those of repeated rows, and between whole weights they change little by little."""

from __future__ import annotations

import numpy as np
import pytest

from tfgmm.data.quantiles import column_quantiles, quantile_of

LEVELS = np.linspace(0.0, 1.0, 31)


@pytest.mark.parametrize("seed", range(20))
def test_whole_weights_are_repetitions_and_gaps_are_left_out(seed: int) -> None:
    random = np.random.default_rng(seed)
    values = random.integers(0, 6, (random.integers(1, 9), 2)).astype(np.float64)
    values[random.random(values.shape) < 0.2] = np.nan
    weights = random.integers(1, 5, len(values)).astype(np.float64)
    found = column_quantiles(values, weights, LEVELS)
    for column in range(2):
        there = ~np.isnan(values[:, column])
        copies = np.repeat(values[there, column], weights[there].astype(int))
        expected = np.quantile(copies, LEVELS) if len(copies) else np.full(31, np.nan)
        np.testing.assert_allclose(found[:, column], expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(column_quantiles(values, np.ones(len(values)), LEVELS).shape, (31, 2))
    np.testing.assert_allclose(
        column_quantiles(values, np.full(len(values), 0.25), LEVELS), column_quantiles(values, None, LEVELS), atol=1e-12
    )


def test_between_equal_values_there_is_nothing() -> None:
    """A column that is nearly constant has no spread between its quartiles, not even that of rounding."""
    random = np.random.default_rng(3)
    values = np.where(random.random((4_000, 1)) < 0.1, random.normal(size=(4_000, 1)), 0.1)
    found = column_quantiles(values, random.gamma(1.0, size=4_000), np.linspace(0.2, 0.8, 13))
    assert (found == 0.1).all()
    extremes = np.array([[-1e308], [1e308]])
    np.testing.assert_array_equal(
        column_quantiles(extremes, np.array([2.0, 1.0]), [0.0, 0.5, 1.0])[:, 0], [-1e308, -1e308, 1e308]
    )


def test_weights_that_are_nearly_whole_give_nearly_the_same() -> None:
    values, weights = np.array([[1.0], [2.0], [4.0], [9.0]]), np.array([1.0, 3.0, 2.0, 1.0])
    for shift in (1e-9, -1e-9):
        near = column_quantiles(values, weights + shift * np.array([1.0, -1.0, 1.0, 1.0]), LEVELS)
        np.testing.assert_allclose(near, column_quantiles(values, weights, LEVELS), atol=1e-7)
    far = column_quantiles(values, np.array([0.3, 2.5, 2.2, 1.0]), LEVELS)[:, 0]
    assert (np.diff(far) >= 0.0).all() and far[0] == 1.0 and far[-1] == 9.0


def test_rows_without_weights_and_gaps_are_numpys() -> None:
    values = np.random.default_rng(0).normal(size=(50, 3))
    np.testing.assert_array_equal(column_quantiles(values, None, LEVELS), np.quantile(values, LEVELS, axis=0))


@pytest.mark.parametrize("num_rows", [1, 2, 3, 8, 101, 272])
def test_a_quantile_of_one_column_is_that_of_numpy_to_the_last_bit(num_rows: int) -> None:
    values = np.random.default_rng(num_rows).normal(size=num_rows)
    for level in (0.0, 0.05, 0.25, 0.3, 0.5, 0.75, 0.95, 1.0):
        assert quantile_of(values, level) == np.quantile(values, level)
