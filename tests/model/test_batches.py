"""Pipelines of centred rows: the same rows from every kind, sizes of batches, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from tables_of_rows import message_of

from tfgmm.data.readers import Rows
from tfgmm.data.sources import open_source
from tfgmm.model.batches import ordered_batches, split_rows, training_batches
from tfgmm.model.row_elements import NOT_FINITE

VALUES = np.random.default_rng(0).normal(1e6, 1.0, (50, 2))
CENTRE = VALUES.mean(axis=0)
CENTRED = (VALUES - CENTRE).astype(np.float32)


def test_batches_in_order_are_the_centred_rows_of_every_kind() -> None:
    dataset = open_source(tf.data.Dataset.from_tensor_slices(VALUES).batch(15), "x", 2)
    for source, sizes in ((Rows(VALUES), [20, 20, 10]), (dataset, [15, 15, 15, 5])):
        batches = [rows.numpy() for rows in ordered_batches(source, CENTRE, 20)]
        assert [len(rows) for rows in batches] == sizes
        np.testing.assert_array_equal(np.concatenate(batches), CENTRED)
    (whole,) = ordered_batches(Rows(VALUES), CENTRE, None)
    assert len(whole) == 50


def test_training_batches_of_rows_in_memory_are_endless_and_shuffled_by_pass() -> None:
    order = {"seed": 1, "shuffle": True, "steps_per_epoch": None}
    batches = training_batches(Rows(VALUES), CENTRE, 20, **order)
    assert (batches.num_batches, batches.steps_per_epoch, batches.batch_size) == (3, 3, 20)
    taken = [rows.numpy() for rows in batches.dataset.take(6)]
    passes = [np.concatenate(taken[:3]), np.concatenate(taken[3:])]
    for rows in passes:
        np.testing.assert_array_equal(np.sort(rows, axis=0), np.sort(CENTRED, axis=0))
    assert not np.array_equal(*passes)
    resumed = training_batches(Rows(VALUES), CENTRE, 20, **order, initial_epoch=1)
    np.testing.assert_array_equal(np.concatenate([rows.numpy() for rows in resumed.dataset.take(3)]), passes[1])


def test_training_batches_of_a_dataset_are_its_own() -> None:
    dataset = tf.data.Dataset.from_tensor_slices(VALUES).batch(15)
    options = {"seed": 1, "shuffle": True}
    batches = training_batches(open_source(dataset, "x", 2), CENTRE, 20, steps_per_epoch=None, **options)
    assert (batches.num_batches, batches.steps_per_epoch, batches.batch_size) == (4, 4, None)
    assert training_batches(open_source(dataset, "x", 2), CENTRE, 20, steps_per_epoch=2, **options).num_batches == 2
    assert training_batches(open_source(dataset, "x", 2), CENTRE, 20, steps_per_epoch=9, **options).num_batches == 4
    unknown = open_source(dataset.filter(lambda rows: True), "x", 2)
    assert training_batches(unknown, CENTRE, 20, steps_per_epoch=None, **options).num_batches is None


def test_rows_that_are_not_finite_or_not_there_are_refused() -> None:
    bad = np.where(np.arange(50)[:, None] == 7, np.nan, VALUES)
    message = message_of(ValueError, ordered_batches, Rows(bad, None, "validation_data"), CENTRE, 20)
    assert message.startswith("`validation_data` must hold finite numbers") and "row 7" in message
    stream = open_source(tf.data.Dataset.from_tensor_slices(bad).batch(15), "x", 2)
    with pytest.raises(tf.errors.InvalidArgumentError, match=NOT_FINITE):
        list(ordered_batches(stream, CENTRE, None))
    nothing = open_source(tf.data.Dataset.from_tensor_slices(VALUES).take(0).batch(5), "data", 2)
    assert "`data` must hold at least one batch" in message_of(ValueError, ordered_batches, nothing, CENTRE, None)


def test_rows_beyond_float32_are_refused_by_the_name_of_the_argument() -> None:
    far = Rows(np.where(np.arange(50)[:, None] == 7, 1e39, VALUES), None, "data")
    for make in (ordered_batches, lambda *given: training_batches(*given, seed=0, shuffle=False, steps_per_epoch=None)):
        message = message_of(ValueError, make, far, CENTRE, 20)
        assert message.startswith("`data` must hold numbers within 3.4e38") and "row 7" in message


def test_the_last_rows_are_split_off_with_names() -> None:
    head, tail = split_rows(Rows(VALUES, ("a", "b"), "x"), 0.3)
    np.testing.assert_array_equal(head.values, VALUES[:35])
    np.testing.assert_array_equal(tail.values, VALUES[35:])
    assert tail.column_names == ("a", "b")
    for share in (1.0, 0.99, -0.1):
        assert "`validation_split` must be between 0 and 1" in message_of(ValueError, split_rows, Rows(VALUES), share)
