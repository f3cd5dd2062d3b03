"""Elements of pipelines: what they are made of, read again, and refused; rows opened as Keras passes them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from tables_of_rows import message_of

from tfgmm.data.blocks import RowBlock
from tfgmm.data.readers import Rows
from tfgmm.model.batches import has_gaps, ordered_batches, split_rows, training_batches
from tfgmm.model.opened_rows import Carried, Columns, Validation, open_training
from tfgmm.model.row_elements import (
    BAD_WEIGHTS,
    INFINITE,
    NOT_FINITE,
    block_of,
    element_of,
    element_of_dataset,
    spec_of,
    total_weight,
)
from tfgmm.model.training_errors import check_num_data

VALUES = np.array([[1.0, np.nan], [2.0, 3.0], [np.nan, np.nan]], np.float32)
WEIGHTS = np.array([0.5, 0.0, 2.0])
CENTRE = np.zeros(2)
TABLE = pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": [4.0, 5.0, 7.0], "count": [1, 2, 3], "a_error": [0.1, 0.2, 0.3]})


def test_plain_rows_are_one_array_and_others_a_dict() -> None:
    plain = RowBlock(VALUES[1:2])
    assert element_of(plain, has_gaps=False) is plain.values
    assert block_of(tf.constant(plain.values)).weights is None
    noise = np.ones((3, 2, 2))
    element = element_of(RowBlock(VALUES, WEIGHTS, noise), has_gaps=True)
    assert {name: part.dtype for name, part in element.items()} == {
        "values": np.float32,
        "weights": np.float64,
        "noise": np.float32,
        "seen": bool,
    }
    np.testing.assert_array_equal(element["seen"], [[True, False], [True, True], [False, False]])
    block = block_of(tf.nest.map_structure(tf.constant, element))
    np.testing.assert_array_equal(block.values, VALUES[[0, 2]])  # the row of weight 0 is left out
    assert block.noise.shape == (2, 2, 2) and block.noise.dtype == np.float64
    assert (total_weight(block), total_weight(plain)) == (2.5, 1.0)


@pytest.mark.parametrize("noise", [None, np.ones((3, 2)), np.ones((3, 2, 2))])
@pytest.mark.parametrize("weights", [None, np.array([1.0, 2.0, 3.0])])
@pytest.mark.parametrize("values", [np.ones((3, 2)), VALUES])
def test_specs_describe_the_elements(values: Any, weights: Any, noise: Any) -> None:
    source = Rows(values, None, "x", weights=weights, noise=noise, missing="integrate")
    assert has_gaps(source) == (values is VALUES)
    [element] = ordered_batches(source, CENTRE, None)
    spec = spec_of(source, has_gaps=has_gaps(source))
    tf.nest.assert_same_structure(element, spec)
    for part, of_part in zip(tf.nest.flatten(element), tf.nest.flatten(spec)):
        assert of_part.is_compatible_with(part)


def test_parts_of_rows_are_shuffled_sliced_and_split_together() -> None:
    numbers = np.arange(1.0, 21.0)
    source = Rows(np.stack([numbers, -numbers], axis=1), weights=numbers, noise=np.stack([numbers] * 2, axis=1))
    batches = training_batches(source, CENTRE, 7, seed=0, shuffle=True, steps_per_epoch=None)
    seen = []
    for element in [*batches.dataset.take(3), *ordered_batches(source, CENTRE, 6)]:
        np.testing.assert_array_equal(element["values"][:, 0], element["weights"])
        np.testing.assert_array_equal(element["noise"][:, 1], element["weights"])
        seen += element["weights"].numpy().tolist()
    assert sorted(seen[:20]) == seen[20:] == numbers.tolist() and seen[:20] != seen[20:]
    head, tail = split_rows(source, 0.25)
    assert (head.weights.tolist(), tail.weights.tolist()) == (numbers[:15].tolist(), numbers[15:].tolist())
    assert tail.noise[:, 0].tolist() == numbers[15:].tolist()


def test_a_dataset_says_which_rows_count() -> None:
    element = element_of_dataset([tf.constant(VALUES), tf.constant([3, 0, 1])], CENTRE, may_have_gaps=True)
    assert element["weights"].numpy().tolist() == [3.0, 0.0, 0.0]  # nothing was seen of the last row
    element = element_of_dataset([tf.constant(VALUES)], CENTRE, may_have_gaps=True)
    assert element["weights"].numpy().tolist() == [1.0, 1.0, 0.0]
    element = element_of_dataset([tf.constant(VALUES[:2]), tf.constant([0, 3])], CENTRE, may_have_gaps=False)
    assert element["weights"].numpy().tolist() == [0.0, 3.0] and "seen" not in element
    assert element["values"].numpy().tolist() == [[0.0, 0.0], [2.0, 3.0]]


@pytest.mark.parametrize(
    ("rows", "weights", "may_have_gaps", "words"),
    [
        (VALUES, [1.0, 1.0, 1.0], False, NOT_FINITE),
        ([[np.inf, 1.0]], [1.0], True, INFINITE),
        ([[1.0, 1.0]], [-1.0], True, BAD_WEIGHTS),
        ([[1.0, 1.0]], [np.nan], False, BAD_WEIGHTS),
        ([[1.0, 1.0]], [np.inf], False, BAD_WEIGHTS),
        ([[1.0, 1.0]], [1.0, 1.0], False, BAD_WEIGHTS),
    ],
)
def test_a_dataset_that_holds_what_it_must_not_is_refused(
    rows: Any, weights: Any, may_have_gaps: bool, words: str
) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError, match=words):
        element_of_dataset([tf.constant(rows), tf.constant(weights)], CENTRE, may_have_gaps=may_have_gaps)


# --- Rows as Keras passes them -----------------------------------------------------------------------------------

ROWS = TABLE[["a", "b"]].to_numpy()


def opened(x: Any, carried: Carried, validation: Any) -> Any:
    return open_training(x, Columns(2, None), carried, Validation(validation, 0.0), None, None)


def test_validation_rows_bring_their_own_weights_and_noise() -> None:
    noise = np.full((3, 2), 0.5)
    for data in ((ROWS, None, [1, 2, 3], noise), (ROWS, None, np.array([1, 2, 3]), noise)):
        training, validation = opened(ROWS, Carried(noise=noise), data)
        assert not training.has_weights and validation.weights.tolist() == [1, 2, 3] and validation.noise_axes == 1
    for data in (ROWS, (ROWS,), (ROWS, None), (ROWS, None, None), (tf.constant(ROWS), None, None)):
        _, validation = opened(ROWS, Carried(sample_weight=[1, 2, 3]), data)
        assert not validation.has_weights
    assert opened(ROWS, Carried(), ([1.0, 2.0], [3.0, 4.0]))[1].num_data == 2  # a nested list of two rows
    pairs = tf.data.Dataset.from_tensor_slices((ROWS, [1.0, 2.0, 3.0])).batch(2)
    assert opened(ROWS, Carried(), pairs)[1].has_weights


def test_columns_by_name_hold_for_validation_rows_too() -> None:
    carried = Carried("count", {"a": "a_error"}, "integrate")
    training, validation = opened(TABLE, carried, TABLE[1:])
    assert training.column_names == validation.column_names == ("a", "b")
    assert validation.weights.tolist() == [2, 3] and validation.noise[:, 0].tolist() == [0.2, 0.3]
    assert validation.missing == "integrate"


def test_validation_rows_that_do_not_suit_are_refused() -> None:
    noise = np.full((3, 2), 0.5)
    message = message_of(TypeError, opened, ROWS, Carried(), (ROWS, np.array([0, 1, 1])))
    assert message.startswith("`validation_data` must be rows, or (rows, None, weights)") and "labels" in message
    message = message_of(ValueError, opened, ROWS, Carried(noise=noise), (ROWS, None, [1, 2, 3]))
    assert message.startswith("`validation_data` must have measurement noise")


@pytest.mark.parametrize(("given", "kept"), [(5, 5), (np.int64(5), 5), (5.0, 5), (np.float64(2.5), 2.5)])
def test_the_number_of_rows_may_be_a_sum_of_weights(given: Any, kept: float) -> None:
    assert check_num_data(given) == kept and type(check_num_data(given)) is type(kept)


@pytest.mark.parametrize("given", [0, 0.5, True, np.nan, np.inf, "many", -3])
def test_a_number_of_rows_is_finite_and_at_least_one(given: Any) -> None:
    message = message_of(ValueError, check_num_data, given)
    assert message.startswith("`num_data` must be a finite number of at least 1") and "Received: " in message
