"""Sums of rows, measured from another centre or with room for more gaps, against plain sums."""

from __future__ import annotations

import numpy as np
import pytest

from tfgmm.mixture.features import columns_of_products, num_products
from tfgmm.mixture.parameters import FORMS
from tfgmm.mixture.registry import FormName
from tfgmm.mixture.statistics import Statistics, shifted, split_masks, with_more_masks

GENERATOR = np.random.default_rng(0)
ROWS = GENERATOR.normal(size=(30, 10))
SHARES = GENERATOR.dirichlet(np.ones(3), 30)


def sums(rows: np.ndarray, form: FormName) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sums memberships of rows with a value, values and products of them, gaps left out."""
    one, other = columns_of_products(num_products(FORMS[form].write_products, 10), 10)
    values = np.nan_to_num(rows)
    products = values[:, one] * values[:, other]
    return SHARES.T @ np.isfinite(rows), SHARES.T @ values, SHARES.T @ products


@pytest.mark.parametrize(("form", "has_gaps"), [("independent", False), ("independent", True), ("correlated", False)])
def test_sums_are_measured_from_another_centre(form: FormName, has_gaps: bool) -> None:
    rows = np.where(GENERATOR.random(ROWS.shape) < 0.3, np.nan, ROWS) if has_gaps else ROWS
    observed, first, products = sums(rows, form)
    step = np.linspace(-2.0, 5.0, 10)
    by_column = observed if has_gaps else SHARES.sum(axis=0)[:, None]
    for moved, plain in zip(shifted(first, products, by_column, step), sums(rows + step, form)[1:]):
        np.testing.assert_allclose(moved, plain, rtol=1e-12, atol=1e-12)


def test_columns_with_gaps_are_counted_by_themselves_from_now_on() -> None:
    rows = ROWS.copy()
    rows[:7, 4] = np.nan
    observed, first, products = sums(rows, "independent")
    statistics = Statistics(SHARES.sum(axis=0), first, np.concatenate([products, observed[:, [4]]], axis=1))
    more = with_more_masks(statistics, [4], [2, 4, 9])
    assert more.second.shape == (3, 13)
    for value, plain in zip(split_masks(more, [2, 4, 9]), (observed, products)):
        np.testing.assert_allclose(value, plain, rtol=1e-12)
    np.testing.assert_allclose(more.second[:, [10, 12]], np.repeat(statistics.counts[:, None], 2, axis=1))
