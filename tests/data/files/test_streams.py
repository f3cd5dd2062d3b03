"""Columns of Arrow become the numbers that Arrow says they are, nulls NaN."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from tfgmm.data.files.streams import BatchSlices, RowStream


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


@pytest.mark.parametrize("sizes", [[3, 3, 3], [1, 0, 5, 0, 3], [9], [0]])
def test_record_batches_are_cut_to_the_rows_asked_for(sizes: list[int]) -> None:
    ends = np.cumsum(sizes)
    pieces = [pa.record_batch({"a": np.arange(end - size, end)}) for size, end in zip(sizes, ends, strict=True)]
    for portion in (1, 2, 4, 100):
        slices = BatchSlices(iter(pieces))
        taken = []
        while (values := [row for batch in slices.batches(portion) for row in batch.column("a").to_pylist()]) != []:
            taken.append(values)
        assert [row for values in taken for row in values] == list(range(ends[-1]))
        assert all(len(values) == portion for values in taken[:-1])


def test_rows_are_skipped_and_read_in_portions_of_any_size() -> None:
    batches = (pa.record_batch({"b": np.arange(start, start + 4), "a": np.zeros(4)}) for start in range(0, 20, 4))
    stream = RowStream(batches, ["a", "b"], np.dtype(np.float64))
    stream.skip(3)
    assert stream.read(6)[:, 1].tolist() == [3, 4, 5, 6, 7, 8]
    stream.skip(9)
    np.testing.assert_array_equal(stream.read(5), [[0, 18], [0, 19]])
    assert stream.read(5).shape == (0, 2)
