"""Means and spreads are exact at any offset, bad numbers are found, and centring keeps small differences."""

from __future__ import annotations

import dataclasses
import fractions
import json
import math
import pickle

import numpy as np
import pandas as pd
import pytest
from tables_of_rows import NAMES, VALUES, message_of, text_file

from tfgmm.data.blocks import RowBlock, row_blocks
from tfgmm.data.readers import Rows, read_rows
from tfgmm.data.summary import DataSummary, SummaryAccumulator, centre, summarise
from tfgmm.data.survey import check_finite

# Summary


def expected_moments(values):
    """Mean and standard deviation in rational numbers: exact at any offset, rounded only at the end."""
    columns = [[fractions.Fraction(value) for value in column] for column in values.T.tolist()]
    means = [sum(column) / len(column) for column in columns]
    pairs = zip(columns, means, strict=True)
    variances = [sum((value - mean) ** 2 for value in column) / len(column) for column, mean in pairs]
    return [float(mean) for mean in means], [math.sqrt(variance) for variance in variances]


@pytest.mark.parametrize("offset", [0.0, -1e8, 1e12])
@pytest.mark.parametrize("block", [1, 7, 64, 300])
def test_summary_is_right_at_any_offset_and_block_size(offset, block):
    values = np.random.default_rng(1).normal(offset, [1.0, 3.0], (300, 2))
    summary = summarise(values[start : start + block] for start in range(0, 300, block))
    means, scales = expected_moments(values)
    assert (summary.num_data, summary.num_features) == (300, 2)
    np.testing.assert_allclose(summary.mean, means, rtol=4e-16, atol=1e-14)
    np.testing.assert_allclose(summary.scale, scales, rtol=1e-13)


def test_summary_equals_numpy_over_blocks_that_do_not_divide_the_rows():
    values = np.random.default_rng(2).normal(2.0, 0.5, (2 * 65_536 + 17, 2)).astype(np.float32)
    summary = summarise(read_rows(values))
    np.testing.assert_allclose(summary.mean, values.mean(axis=0, dtype=np.float64), rtol=1e-13)
    np.testing.assert_allclose(summary.scale, values.std(axis=0, dtype=np.float64), rtol=1e-13)


def test_constant_columns_have_scale_one():
    summary = summarise(np.tile([0.1, 1e8 + 0.3, 0.0], (1001, 1)))
    assert summary.scale == (1.0, 1.0, 1.0) and summary.mean == (0.1, 1e8 + 0.3, 0.0)
    assert summarise(np.array([[3.0]])).scale == (1.0,)


def test_columns_of_one_value_do_not_vary_and_all_others_do():
    values = np.column_stack([np.full(4, 7.0), [0.0, 1e-9, 0.0, 0.0], np.full(4, 1e8 + 0.3), [5.0, 6.0, 5.0, 6.0]])
    assert summarise(values).varies.tolist() == [False, True, False, True]
    older = dataclasses.replace(summarise(values), minimum=None, maximum=None)  # which does not know
    assert older.varies.tolist() == [True] * 4


def test_small_spread_on_a_small_column_is_not_taken_for_constant():
    values = np.array([[1.0], [2.0]]) * 1e-100
    assert summarise(values).scale == pytest.approx((0.5e-100,), rel=1e-12)


def test_summary_survives_json_exactly():
    summary = summarise(Rows(np.random.default_rng(3).normal(1e8, 1e-3, (100, 2)), NAMES))
    again = DataSummary.from_dict(json.loads(json.dumps(summary.to_dict())))
    assert again == summary and again.column_names == NAMES and type(again.mean[0]) is float
    without = summarise(VALUES)
    assert DataSummary.from_dict(json.loads(json.dumps(without.to_dict()))) == without


def test_summaries_of_plain_rows_are_those_that_older_versions_read():
    carried = {"num_rows": 2, "gaps": (1, 0), "num_incomplete": 1, "weights_name": "", "noise_columns": ("", "a")}
    plain = DataSummary(3, 2, (0.0, 0.0), (1.0, 1.0))
    full = DataSummary(3, 2, (0.0, 0.0), (1.0, 1.0), **carried)
    assert set(full.to_dict()) - set(plain.to_dict()) == set(carried)
    assert not {"num_empty", "num_weightless"} & set(full.to_dict())
    assert DataSummary.from_dict(json.loads(json.dumps(full.to_dict()))) == full


def test_summaries_of_older_versions_load_without_the_newer_fields():
    old = {"num_data": 3, "num_features": 1, "mean": [2.0], "scale": [0.5], "column_names": None}
    summary = DataSummary.from_dict(old)
    assert (summary.centre, summary.spread) == ((2.0,), (0.5,))
    assert summary.minimum is None and summary.maximum is None
    assert DataSummary.from_dict(json.loads(json.dumps(summary.to_dict()))) == summary
    assert "'range'" in message_of(ValueError, DataSummary.from_dict, {**old, "range": 1})


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint64", "float16", "float32", "longdouble"])
def test_range_is_exact_in_every_dtype_and_over_all_blocks(dtype):
    values = np.random.default_rng(5).integers(0, 2 if dtype == "bool" else 100, (70_000, 3)).astype(dtype)
    for rows in (values, np.asfortranarray(values), iter([values[:10], values[10:10], values[10:]])):
        summary = summarise(rows)
        assert summary.minimum == tuple(values.min(axis=0).astype(float))
        assert summary.maximum == tuple(values.max(axis=0).astype(float))


def test_far_rows_rule_neither_centre_nor_spread_of_a_column_and_others_keep_theirs():
    rng = np.random.default_rng(6)
    values = np.stack([rng.normal(5.0, 2.0, 4_000), rng.normal(5.0, 2.0, 4_000), np.full(4_000, 7.0)], axis=1)
    values[0, 0] = 1e9
    flags = np.zeros((4_000, 1))
    flags[:800] = 1e6  # no spread between the quartiles
    summary = summarise(np.hstack([values, flags]))
    low, middle, high = np.percentile(values[:, 0], [25, 50, 75])
    scale = values[:, 1].std()
    np.testing.assert_allclose(summary.spread, [3 * (high - low) / 1.349, scale, 1.0, flags.std()], rtol=1e-12)
    np.testing.assert_allclose(summary.centre, [middle, values[:, 1].mean(), 7.0, flags.mean()], rtol=1e-12)
    assert summary.spread[0] < 7.0 and summary.scale[0] > 1e7


def test_centre_and_spread_are_mean_and_scale_where_no_sample_is_at_hand_and_a_sample_can_be_given():
    values = np.random.default_rng(7).normal(size=(2_000, 1))
    values[0] = 1e6
    blocks = summarise([values[:1_000], values[1_000:]])
    assert (blocks.centre, blocks.spread) == (blocks.mean, blocks.scale)
    sampled = summarise([values[:1_000], values[1_000:]], sample=values[500:])
    low, middle, high = np.percentile(values[500:], [25, 50, 75])
    assert sampled.centre == (middle,) and sampled.spread == pytest.approx((3 * (high - low) / 1.349,), rel=1e-12)
    assert sampled.mean == blocks.mean
    accumulator = SummaryAccumulator()
    accumulator.update(values)
    assert accumulator.result().spread == accumulator.result().scale
    assert accumulator.result(values).spread == summarise(values).spread


def test_summary_record_refuses_fields_that_do_not_fit():
    message = message_of(ValueError, DataSummary.from_dict, {"num_data": 3})
    assert "num_features" in message and "['num_data']" in message
    assert "Received: 1" in message_of(ValueError, DataSummary, 3, 2, (0.0,), (1.0, 1.0))
    assert "num_data=0" in message_of(ValueError, DataSummary, 0, 1, (0.0,), (1.0,))


def test_blocks_with_other_columns_or_without_rows():
    accumulator = SummaryAccumulator(name="rows")
    accumulator.update(np.empty((0, 2)))
    assert "no rows" in message_of(ValueError, accumulator.result)
    accumulator.update(VALUES)
    message = message_of(ValueError, accumulator.update, VALUES[:, :1])
    assert "`rows` must have shape (B, 2)" in message and "(3, 1)" in message
    assert accumulator.result().num_data == 3


def test_wide_rows_come_in_smaller_blocks():
    assert [len(block) for block in row_blocks(np.zeros((3000, 4096), dtype=bool))] == [2048, 952]


# Not finite


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("check", [summarise, check_finite])  # both by the name of the rows
def test_bad_values_are_counted_over_all_blocks_and_the_first_is_placed(bad, check):
    values = np.ones((150_000, 2))
    values[[70_001, 70_002, 149_999], [1, 0, 0]] = bad
    message = message_of(ValueError, check, Rows(values, NAMES, "validation_data"))
    assert message.startswith("`validation_data` must hold finite numbers. Received: 3 values that are NaN or infinite")
    assert "the first in row 70001, column 'waiting' (rows count from 0). Drop or fill" in message


def test_streamed_blocks_report_the_absolute_row_and_the_count_of_the_block():
    accumulator = SummaryAccumulator()
    accumulator.update(VALUES)
    message = message_of(ValueError, accumulator.update, np.array([[1.0, 1.0], [1.0, math.nan]]))
    assert "1 value that is NaN or infinite in this batch, the first in row 4, column 1" in message


def test_missing_csv_cells_are_refused_by_the_summary(tmp_path):
    path = text_file(tmp_path, "a,b\n1,2\n3,\n")
    message = message_of(ValueError, summarise, read_rows(path))
    assert "1 value that is NaN or infinite, the first in row 1, column 'b'" in message


# Centring


def test_small_differences_at_a_large_offset_survive_centring_to_float32():
    steps = np.array([[0.0], [0.25], [-0.5], [1.125]])
    rows = read_rows(pd.DataFrame(1e8 + steps, columns=["a"]))
    centred = centre(rows, [1e8])
    assert centred.dtype == np.float32 and centred.flags.c_contiguous
    np.testing.assert_array_equal(centred, steps.astype(np.float32))
    mean = 1e8 + 0.21875
    assert summarise(rows).mean == (mean,)
    np.testing.assert_array_equal(centre(rows, (mean,)), (steps - 0.21875).astype(np.float32))


def test_centring_is_the_same_over_block_borders_and_in_float64():
    values = np.random.default_rng(4).normal(5.0, 1.0, (65_536 + 3, 2))
    expected = values - np.array([5.0, 4.0])
    np.testing.assert_array_equal(centre(values, [5.0, 4.0], np.float64), expected)
    np.testing.assert_array_equal(centre(values, [5.0, 4.0]), expected.astype(np.float32))


def test_centring_leaves_nan_and_infinity_for_scoring():
    values = np.array([[math.nan, 1.0], [math.inf, 2.0]])
    np.testing.assert_array_equal(centre(values, [0.0, 1.0]), [[math.nan, 0.0], [math.inf, 1.0]])


def test_values_beyond_float32_after_centring_are_refused():
    rows = Rows(np.array([[0.0, 1.0], [0.0, 1e39]]), NAMES)
    message = message_of(ValueError, centre, rows, [0.0, 0.0], name="validation_data")
    assert "`validation_data` must hold numbers within 3.4e38" in message
    assert "1e+39 in row 1, column 'waiting'" in message and "another unit" in message


def test_spread_beyond_float64_is_refused():
    message = message_of(ValueError, summarise, Rows(np.array([[1.0, 1e300], [2.0, -1e300]]), NAMES))
    assert "values up to 1e+300, column 'waiting'" in message


def test_centre_of_the_wrong_length_is_refused():
    assert "`centre` must have shape (2,)" in message_of(ValueError, centre, VALUES, [0.0])


# --- The fingerprint


def test_fingerprint_is_that_of_the_rows_whatever_their_order_type_blocks_and_file(tmp_path):
    rows = np.random.default_rng(0).integers(-50, 50, (20_000, 3)).astype(float)
    expected = summarise(rows).fingerprint
    assert len(expected) == 16
    shuffled = np.random.default_rng(1).permutation(rows)
    for same in (rows.astype(np.int64), rows.astype(np.float32), np.asfortranarray(rows), shuffled, rows * 1.0 - 0.0):
        assert summarise(same).fingerprint == expected
    assert summarise([rows[:7], rows[7:12_000], rows[12_000:]]).fingerprint == expected
    pd.DataFrame(rows, columns=["a", "b", "c"]).to_csv(tmp_path / "rows.csv", index=False)
    assert summarise(read_rows(tmp_path / "rows.csv")).fingerprint == expected


def test_fingerprint_tells_rows_of_few_different_values():
    rows = np.random.default_rng(0).integers(0, 2, (4000, 16)).astype(float)
    distinct = np.unique(rows, axis=0)
    assert len({summarise(row[None]).fingerprint for row in distinct}) == len(distinct) > 3500
    for signs in ([-1.0] * 16, [1.0, -1.0] * 8):
        assert summarise(rows * signs).fingerprint != summarise(rows).fingerprint


@pytest.mark.parametrize("change", ["digit", "columns", "pair of rows", "row twice", "row less"])
def test_fingerprint_tells_other_rows(change):
    rows = np.random.default_rng(0).normal(size=(500, 3))
    other = rows.copy()
    if change == "digit":
        other[77, 2] = np.nextafter(other[77, 2], 9.0)
    elif change == "columns":
        other = other[:, [1, 0, 2]]
    elif change == "pair of rows":
        other[[3, 4], 1] = other[[4, 3], 1]
    else:
        other = np.concatenate([other, other[:1]]) if change == "row twice" else other[1:]
    assert summarise(other).fingerprint != summarise(rows).fingerprint


def test_a_summary_goes_on_from_the_numbers_that_were_kept():
    rows = np.random.default_rng(0).normal(1e6, 1.0, (50, 2))
    rows[5, 0] = np.nan
    words = {"name": "x", "missing": "integrate"}
    begun, whole = SummaryAccumulator(**words), SummaryAccumulator(**words)
    begun.update(RowBlock(rows[:20], np.arange(1.0, 21.0)))
    kept = begun.kept()
    again = SummaryAccumulator.going_on(pickle.loads(pickle.dumps(kept)), **words)
    for accumulator in (begun, again):  # the first also changes nothing of what was kept
        accumulator.update(rows[20:])
    assert SummaryAccumulator.going_on(kept, **words).result().num_rows == 20
    whole.update(RowBlock(rows[:20], np.arange(1.0, 21.0)))
    whole.update(rows[20:])
    assert again.result() == begun.result() == whole.result()
