"""Sums over rows by NumPy: the same figures for any number of cores and chunks."""

from __future__ import annotations

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from tfgmm.common import threads as cores
from tfgmm.data.blocks import RowBlock
from tfgmm.mixture import features
from tfgmm.mixture.parameters import form_of
from tfgmm.mixture.row_sums import sums_over_rows


def arrays_of(sums):
    """Returns the arrays of the sums, in their order."""
    return [*sums.statistics, sums.log_likelihood, sums.largest]


@pytest.mark.parametrize("covariance", ["tied_diag", "full"])
def test_sums_are_the_same_to_the_byte_for_any_number_of_cores_and_to_rounding_for_any_chunks(covariance, monkeypatch):
    write_products = form_of(covariance).write_products
    generator = np.random.default_rng(1)
    rows = generator.normal(size=(157, 4)).astype(np.float32)
    num_columns = 4 + features.num_products(write_products, 4)
    coefficients = generator.normal(size=(2, num_columns, 3)), generator.normal(size=(2, 3))
    whole = sums_over_rows(write_products, RowBlock(rows), coefficients)
    monkeypatch.setattr(cores, "_LEAST_NUMBERS", 1)
    monkeypatch.setattr(cores, "chunk_size", lambda numbers_per_row: 4)
    parts = []
    for number in (1, 2, 5):
        monkeypatch.setattr(cores, "num_cores", lambda number=number: number)
        parts.append(arrays_of(sums_over_rows(write_products, RowBlock(rows), coefficients)))
    for value, *others, wanted in zip(*parts, arrays_of(whole)):
        np.testing.assert_allclose(value, wanted, rtol=1e-12, atol=1e-12)
        assert all(np.asarray(value).tobytes() == np.asarray(other).tobytes() for other in others)


def test_sums_of_few_rows_are_the_same_to_the_byte_for_any_number_of_cores():
    """One share: the matrix library would split the product between its threads."""
    write_products = form_of("full").write_products
    generator = np.random.default_rng(1)
    rows = generator.normal(size=(2000, 20)).astype(np.float32)
    num_columns = 20 + features.num_products(write_products, 20)
    coefficients = generator.normal(size=(1, num_columns, 3)), generator.normal(size=(1, 3))
    found = []
    for number in (1, 2):
        with threadpool_limits(number, user_api="blas"):
            found.append(arrays_of(sums_over_rows(write_products, RowBlock(rows), coefficients)))
    assert all(np.asarray(one).tobytes() == np.asarray(other).tobytes() for one, other in zip(*found))
