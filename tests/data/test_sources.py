"""Rows of every kind are seen through one protocol: blocks, sizes, names, and whether they end."""

from __future__ import annotations

import pathlib
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from tables_of_rows import message_of

from tfgmm.data.files.stored import StoredRows
from tfgmm.data.readers import Rows
from tfgmm.data.sources import RowSource, check_ends, open_source
from tfgmm.data.streamed import StreamedRows

VALUES = np.arange(24.0).reshape(12, 2)
FRAME = pd.DataFrame(VALUES, columns=["a", "b"])
BATCHES = tf.data.Dataset.from_tensor_slices(VALUES).batch(5)
UNKNOWN = BATCHES.filter(lambda rows: True)


def of_shape(shape: tuple[int | None, ...] | None) -> tf.data.Dataset:
    """Returns a dataset that knows this shape of its elements."""
    return tf.data.Dataset.from_generator(lambda: iter([VALUES]), output_signature=tf.TensorSpec(shape, tf.float64))


CLASSES = {"array": Rows, "frame": Rows, "folder": StoredRows, "dataset": StreamedRows, "unknown": StreamedRows}


@pytest.fixture(params=CLASSES)
def opened(request: Any, tmp_path: pathlib.Path) -> Iterator[tuple[str, RowSource]]:
    FRAME[:7].to_csv(tmp_path / "1.csv", index=False)
    FRAME[7:].to_csv(tmp_path / "2.csv", index=False)
    kinds = {"array": VALUES, "frame": FRAME, "folder": tmp_path, "dataset": BATCHES, "unknown": UNKNOWN}
    source = open_source(kinds[request.param], "data", 2)
    yield request.param, source
    source.close()


def test_every_kind_gives_its_rows_in_blocks_without_weights_or_noise(opened: tuple[str, RowSource]) -> None:
    kind, source = opened
    assert type(source) is CLASSES[kind]
    for _ in range(2):
        blocks = list(source.blocks())
        np.testing.assert_array_equal(np.concatenate([block.values for block in blocks]), VALUES)
        assert all(block.weights is None and block.noise is None for block in blocks)
    if source.has_own_batches:
        assert [len(block.values) for block in blocks] == [5, 5, 2]


def test_every_kind_knows_what_it_is(opened: tuple[str, RowSource], tmp_path: pathlib.Path) -> None:
    kind, source = opened
    is_stream = kind in ("dataset", "unknown")
    assert (source.name, source.num_features) == ("data", 2)
    assert source.column_names == (("a", "b") if kind in ("frame", "folder") else None)
    assert source.num_data == (None if is_stream else 12)
    assert source.origin == (str(tmp_path) if kind == "folder" else None)
    assert source.is_in_memory == (kind in ("array", "frame")) and source.has_own_batches == is_stream
    assert source.has_known_length == (kind != "unknown") and not source.is_endless
    assert source.place(8) == (f"1 of '{tmp_path / '2.csv'}'" if kind == "folder" else "8")
    check_ends(source, None, "")


def test_a_source_that_was_opened_before_stays_itself_and_is_checked(opened: tuple[str, RowSource]) -> None:
    _, source = opened
    assert open_source(source, "x", None) is source and open_source((source,), "x", 2) is source
    assert "`x` must have shape (N, 3)" in message_of(ValueError, open_source, source, "x", 3)


def test_an_endless_dataset_needs_a_number_of_steps() -> None:
    source = open_source(BATCHES, "data", 2).repeated()
    assert source.is_endless and not source.has_known_length
    check_ends(source, 3, "")
    message = message_of(ValueError, check_ends, source, None, "Use .take(n).")
    assert message == "`data` must be a finite dataset. Received: an endless one. Use .take(n)."


@pytest.mark.parametrize(
    ("data", "num_features", "error", "words"),
    [
        (VALUES, 3, ValueError, "(N, 3): this model was built with num_features=3. Received: shape (12, 2)."),
        ((VALUES, VALUES), 2, TypeError, "a tuple of 2 arrays (shape (12, 2), shape (12, 2)). A mixture has no labels"),
        (BATCHES, 3, ValueError, "batches of shape (B, 3). Received: elements of shape (None, 2)"),
        (BATCHES.unbatch(), 2, ValueError, "Received: elements of shape (2,). Use .batch(batch_size)"),
        (BATCHES.map(lambda rows: (rows, rows)), 2, TypeError, "map each element to its rows"),
        (BATCHES.map(tf.strings.as_string), 2, TypeError, "elements of type string"),
        (of_shape((None, None)), None, ValueError, "(None, None). Apply dataset.map(lambda rows: tf.ensure_shape"),
    ],
)
def test_other_data_is_refused(data: Any, num_features: int, error: type[Exception], words: str) -> None:
    message = message_of(error, open_source, data, "data", num_features)
    assert message.startswith("`data` must") and words in message


def test_datasets_of_unknown_shape_take_the_columns_of_the_model() -> None:
    for shape in (None, (None, None)):
        assert open_source(of_shape(shape), "x", 2).num_features == 2
    assert "known number of columns" in message_of(ValueError, open_source, of_shape(None), "x", None)


def test_tensors_and_datasets_of_1_tuples_are_rows() -> None:
    assert isinstance(open_source(tf.constant(VALUES), "x", 2), Rows)
    (first, *_) = open_source(BATCHES.map(lambda rows: (rows,)), "x", 2).blocks()
    np.testing.assert_array_equal(first.values, VALUES[:5])


def test_rows_are_opened_and_surveyed_without_tensorflow() -> None:
    code = (
        "import sys, numpy; from tfgmm.data.sources import open_source; from tfgmm.data.survey import survey_rows; "
        "survey_rows(open_source(numpy.ones((2, 2)), 'x', 2), None, 0); print('tensorflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "False"
