"""Stored rows train what the same rows in memory train: surveys, batches, resumed orders, and errors on the way."""

from __future__ import annotations

import os

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from tables_of_rows import message_of, write_ipc

from tfgmm.data.files.stored import StoredRows
from tfgmm.data.readers import Rows
from tfgmm.data.sources import check_ends, open_source
from tfgmm.data.survey import survey_rows
from tfgmm.model.batches import ordered_batches, split_rows, training_batches
from tfgmm.model.training_errors import file_error_of

NUM_ROWS = 70_000
VALUES = np.random.default_rng(0).normal([1e6, -3.0], [1.0, 20.0], (NUM_ROWS, 2)).round(6)
FRAME = pd.DataFrame(VALUES, columns=["a", "b"])
KINDS = ["array", "dataset", "CSV", "Parquet", "Parquet, small groups", "Arrow", "folder"]


@pytest.fixture(scope="module")
def kinds(tmp_path_factory):
    """The same rows of every kind, as `open_source` gives them; files are held to be large."""
    folder = tmp_path_factory.mktemp("rows")
    table = pa.Table.from_pandas(FRAME, preserve_index=False)
    FRAME.to_csv(folder / "x.csv", index=False)
    pq.write_table(table, folder / "x.parquet")
    pq.write_table(table, folder / "groups.parquet", row_group_size=777)
    write_ipc(table, folder / "x.arrow")
    (folder / "x").mkdir()
    for number, part in enumerate(np.array_split(np.arange(NUM_ROWS), 3)):
        FRAME.iloc[part].to_parquet(folder / "x" / f"{number}.parquet", index=False)
    dataset = tf.data.Dataset.from_tensor_slices(VALUES).batch(1_000)
    given = [VALUES, dataset, *(folder / name for name in ("x.csv", "x.parquet", "groups.parquet", "x.arrow", "x"))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tfgmm.data.files.opening._LARGE_BYTES", 1_000_000)
        return {kind: open_source(rows, "x", 2) for kind, rows in zip(KINDS, given, strict=True)}


# Surveys


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_gives_the_same_summary_and_sample(kinds, kind):
    assert isinstance(kinds[kind], StoredRows) == (kind not in ("array", "dataset"))
    survey = survey_rows(kinds[kind], None, seed=5)
    summary = survey.summary
    assert (summary.num_data, summary.num_features) == (NUM_ROWS, 2)
    np.testing.assert_allclose(summary.mean, VALUES.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(summary.scale, VALUES.std(axis=0), rtol=1e-9)
    assert summary.minimum == tuple(VALUES.min(axis=0)) and summary.maximum == tuple(VALUES.max(axis=0))
    assert survey.sample.tobytes() == survey_rows(kinds["array"], None, seed=5).sample.tobytes()
    assert summary.column_names == (None if kind in ("array", "dataset") else ("a", "b"))


def test_the_sample_is_rows_in_their_order_each_at_most_once_and_depends_on_the_seed():
    ramp = np.arange(300_000.0)[:, None]
    samples = [survey_rows(Rows(ramp), None, seed).sample[:, 0] for seed in (0, 0, 1)]
    np.testing.assert_array_equal(samples[0], samples[1])
    assert not np.array_equal(samples[0], samples[2])
    for sample in samples:
        assert len(sample) == 20_000 and (np.diff(sample) > 0).all()
        # Uniform: of 20,000 rows each tenth of the data has 2,000 in the mean, with standard deviation 41.
        counts = np.histogram(sample, bins=10, range=(0, 300_000))[0]
        assert np.abs(counts - 2_000).max() < 5 * 41
    shared = len(np.intersect1d(samples[0], samples[2]))  # 1,333 expected, with standard deviation 34
    assert abs(shared - 1_333) < 5 * 34


@pytest.mark.parametrize("batch_size", [7, 20_000, 65_536])
def test_the_sample_does_not_depend_on_how_the_rows_are_cut(batch_size):
    values = np.random.default_rng(1).normal(size=(65_536 + 30_000, 1))
    dataset = tf.data.Dataset.from_tensor_slices(values).batch(batch_size).take(5_000)
    seen = values[: 5_000 * batch_size]
    by_dataset = survey_rows(open_source(dataset, "x", 1), None, seed=2).sample
    np.testing.assert_array_equal(by_dataset, survey_rows(Rows(seen), None, seed=2).sample)


def test_a_stream_of_unknown_length_is_known_by_its_first_rows():
    values = np.arange(50_000.0)[:, None]
    stream = tf.data.Dataset.from_tensor_slices(values).batch(999).filter(lambda rows: True)
    source = open_source(stream, "x", 1)
    survey = survey_rows(source, 50_000, seed=0)
    np.testing.assert_array_equal(survey.sample, values[:20_000])
    assert survey.summary.num_data == 50_000 and survey.summary.mean == (9_999.5,)
    assert "`num_data`" in message_of(ValueError, survey_rows, source, None, 0)


def test_a_few_far_rows_move_the_mean_but_not_the_centre():
    values = np.random.default_rng(3).normal(2.0, 1.0, (5_000, 2))
    values[:3, 0] = 1e8
    summary = survey_rows(Rows(values), None, seed=0).summary
    low, middle, high = np.percentile(values, [25, 50, 75], axis=0)
    assert summary.scale[0] > 1e6 and summary.mean[0] > 1e4
    np.testing.assert_allclose(summary.spread, [3 * (high - low)[0] / 1.349, values[:, 1].std()], rtol=1e-12)
    np.testing.assert_allclose(summary.centre, [middle[0], values[:, 1].mean()], rtol=1e-12)


# Batches


def batches_of(source, size=9_000, **options):
    options = {"seed": 3, "shuffle": True, "steps_per_epoch": None, **options}
    batches = training_batches(source, VALUES.mean(axis=0), size, **options)
    return batches, [rows.numpy() for rows in batches.dataset.take(3 * (batches.num_batches or 8))]


STORED = KINDS[2:]


@pytest.mark.parametrize("kind", STORED)
def test_batches_in_the_order_of_the_rows_are_those_of_the_array(kinds, kind):
    by_array, expected = batches_of(kinds["array"], shuffle=False)
    batches, found = batches_of(kinds[kind], shuffle=False)
    assert batches.num_batches == batches.steps_per_epoch == by_array.num_batches == 8
    assert int(batches.dataset.cardinality()) == tf.data.INFINITE_CARDINALITY and batches.batch_size == 9_000
    assert [rows.tobytes() for rows in found] == [rows.tobytes() for rows in expected]
    assert found[0].dtype == np.float32


@pytest.mark.parametrize("kind", STORED)
def test_every_pass_has_every_row_once_in_an_order_of_its_own(kinds, kind):
    _, found = batches_of(kinds[kind])
    assert [len(rows) for rows in found] == ([9_000] * 7 + [7_000]) * 3
    passes = [np.concatenate(found[start : start + 8]) for start in (0, 8, 16)]
    expected = (VALUES - VALUES.mean(axis=0)).astype(np.float32)
    for rows in passes:
        np.testing.assert_array_equal(rows[np.lexsort(rows.T)], expected[np.lexsort(expected.T)])
    assert (passes[0] != passes[1]).any(axis=1).mean() > 0.99
    assert [rows.tobytes() for rows in batches_of(kinds[kind])[1]] == [rows.tobytes() for rows in found]
    assert found[0].tobytes() != batches_of(kinds[kind], seed=4)[1][0].tobytes()


@pytest.mark.parametrize("kind", STORED)
@pytest.mark.parametrize("steps_per_epoch, initial_epoch", [(None, 2), (3, 3), (13, 1)])
def test_a_resumed_order_is_the_rest_of_an_uninterrupted_one(kinds, kind, steps_per_epoch, initial_epoch):
    whole = training_batches(kinds[kind], np.zeros(2), 9_000, seed=3, shuffle=True, steps_per_epoch=steps_per_epoch)
    done = initial_epoch * (steps_per_epoch or 8)
    resumed = training_batches(
        kinds[kind],
        np.zeros(2),
        9_000,
        seed=3,
        shuffle=True,
        steps_per_epoch=steps_per_epoch,
        initial_epoch=initial_epoch,
    )
    for one, other in zip(whole.dataset.skip(done).take(12), resumed.dataset.take(12), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("kind", STORED)
def test_batches_for_evaluation_are_the_rows_in_order_time_after_time(kinds, kind):
    dataset = ordered_batches(kinds[kind], np.array([1e6, 0.0]), 30_000)
    assert int(dataset.cardinality()) == 3
    for _ in range(2):
        rows = np.concatenate([batch.numpy() for batch in dataset])
        np.testing.assert_array_equal(rows, (VALUES - [1e6, 0.0]).astype(np.float32))
    assert [len(batch) for batch in ordered_batches(kinds[kind], np.zeros(2), None)][0] == 65_536


# What is refused


def test_stored_rows_are_finite_files_without_a_split(kinds):
    check_ends(kinds["Parquet"], None, "")
    message = message_of(ValueError, split_rows, kinds["folder"], 0.2)
    assert "`validation_split`" in message and "validation_data" in message and kinds["folder"].origin in message


def test_a_wrong_number_of_columns_names_the_folder(tmp_path):
    FRAME[:5].to_csv(tmp_path / "1.csv", index=False)
    message = message_of(ValueError, open_source, tmp_path, "x", 3)
    assert "(N, 3)" in message and f"2 columns in '{tmp_path}'" in message


@pytest.mark.parametrize("look, arguments", [(survey_rows, (None, 0)), (ordered_batches, (np.zeros(2), 10))])
def test_bad_values_are_found_before_training_and_placed(tmp_path, look, arguments):
    FRAME[:100].to_csv(tmp_path / "1.csv", index=False)
    FRAME[:100].assign(b=np.where(np.arange(100) == 7, np.nan, 1.0)).to_csv(tmp_path / "2.csv", index=False)
    source = open_source(tmp_path, "x", 2)
    message = message_of(ValueError, look, source, *arguments)
    assert f"1 value that is NaN or infinite in these 100 rows, the first in row 7 of '{tmp_path / '2.csv'}'" in message


def test_a_file_that_changes_during_training_stops_it_by_name(tmp_path):
    for name in ("1.parquet", "2.parquet"):
        FRAME.to_parquet(tmp_path / name, index=False)
    source = open_source(tmp_path, "x", 2)
    batches = training_batches(source, np.zeros(2), 1_000, seed=0, shuffle=False, steps_per_epoch=None)
    iterator = iter(batches.dataset)
    next(iterator)
    FRAME[:5].to_parquet(tmp_path / "new", index=False)
    os.replace(tmp_path / "new", tmp_path / "2.parquet")
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        for _ in range(batches.num_batches):
            next(iterator)
    message = str(file_error_of(caught.value))
    assert message.startswith("`x` must") and "2.parquet" in message and "replaced or changed" in message
    assert file_error_of(tf.errors.InvalidArgumentError(None, None, "another")) is None
