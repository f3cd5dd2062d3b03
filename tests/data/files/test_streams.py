"""Columns of Arrow become the numbers that Arrow says they are, nulls NaN."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from tfgmm.data.files.streams import RowStream


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("share_of_nulls", [0.0, 0.3, 1.0])
def test_slices_with_and_without_nulls(dtype: type, share_of_nulls: float) -> None:
    rng = np.random.default_rng(0)
    for _ in range(100):
        num_rows = int(rng.integers(0, 60))
        values, is_null = rng.normal(size=num_rows).astype(dtype), rng.random(num_rows) < share_of_nulls
        batch = pa.record_batch({"a": pa.array(values, mask=is_null)})
        start, length = (int(number) for number in rng.integers(0, num_rows + 1, 2))
        stream = RowStream((piece for piece in [batch.slice(start, length)]), ["a"], np.dtype(dtype))
        found = stream.read(100)
        assert found.dtype == dtype
        np.testing.assert_array_equal(found[:, 0], np.where(is_null, np.nan, values)[start : start + length])
