"""What is done with one part: bad rows are handed back as facts, and every part is sealed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from array_engine import rows_in_parts

from tfgmm.data.blocks import RowBlock
from tfgmm.data.carried.asked import CarriedColumns
from tfgmm.data.shards.part import ShardRules, held_part, rows_and_seal, rows_to_sample, survey_part

PLAIN = ShardRules("data", ("a", "b"), "refuse", CarriedColumns())
GAPS = PLAIN._replace(missing="integrate")


def blocks_of(rows: np.ndarray, size: int = 4) -> Any:
    return (RowBlock(rows[start : start + size]) for start in range(0, len(rows), size))


def with_bad(places: Sequence[tuple[int, int]], value: float = np.nan) -> np.ndarray:
    rows = np.arange(20.0).reshape(10, 2)
    for place in places:
        rows[place] = value
    return rows


@pytest.mark.parametrize(
    ("rules", "rows", "expected"),
    [
        (PLAIN, with_bad([(5, 1), (9, 0)]), "2 values that are NaN.*the first in row 5 of partition 7, column 'b'"),
        (GAPS, with_bad([(6, 0)], np.inf), "1 infinite value, the first in row 6 of partition 7, column 'a'"),
        (PLAIN, with_bad([(6, 0)], 1e300), "within 3.4e38.*Received: values up to 1e\\+300, column 'a'"),
    ],
)
def test_bad_values_are_facts(rules: ShardRules, rows: np.ndarray, expected: str) -> None:
    fault = survey_part(rules, 0, 2, 7, blocks_of(rows)).fault
    assert fault is not None and not fault.is_kind
    with pytest.raises(ValueError, match=expected):
        raise ValueError(fault.words)


def test_bad_weights_and_noise_are_facts() -> None:
    carried = CarriedColumns("n", {"a": "e"})
    rules = PLAIN._replace(carried=carried)
    rows = np.column_stack([with_bad([]), np.ones(10), np.full(10, 0.5)])
    for column, label in ((2, "n"), (3, "e")):
        bad = rows.copy()
        bad[3, column] = -1.0
        fault = survey_part(rules, 0, 3, 0, [carried.split(bad, ("a", "b"))]).fault
        assert fault is not None and f"-1 in row 3 of partition 0, column '{label}'" in fault.words


def test_parts_of_another_kind_are_facts() -> None:
    def failing() -> Any:
        yield RowBlock(np.zeros((1, 2)))
        raise TypeError("no numbers")

    fault = survey_part(PLAIN, 0, 2, 0, failing()).fault
    assert fault is not None and fault.is_kind and fault.words == "no numbers"


def seal_of(rows: np.ndarray, number: int = 0, rules: ShardRules = PLAIN, size: int = 4) -> list[float]:
    *_, seal = rows_and_seal(held_part(rules, np.zeros(2), number, blocks_of(rows, size)))
    assert isinstance(seal, np.ndarray)
    return seal.tolist()


@pytest.mark.parametrize(
    "change",
    [lambda rows: rows + 1e-12, lambda rows: rows[::-1], lambda rows: rows[1:], lambda rows: rows[:, ::-1]],
)
def test_seals_tell_other_rows_and_other_orders(change: Callable[[np.ndarray], np.ndarray]) -> None:
    rows = with_bad([])
    known = survey_part(PLAIN, 0, 2, 0, blocks_of(rows)).seal.tolist()
    assert seal_of(rows) == seal_of(rows, size=3) == seal_of(rows.astype(np.float32)) == known
    assert all(0 <= number < 2**16 and number == int(number) for number in known)
    assert seal_of(change(rows)) != known
    assert seal_of(rows, number=1) != known


def test_rows_that_turned_bad_have_another_seal() -> None:
    assert seal_of(with_bad([(3, 0)], np.inf), rules=GAPS) == [-1.0] * 4


def test_held_rows_lack_those_that_say_nothing() -> None:
    rows = with_bad([(2, 0), (2, 1), (5, 0)])
    *blocks, _ = rows_and_seal(held_part(GAPS, np.array([1.0, 2.0]), 0, blocks_of(rows)))
    held = np.concatenate([block.values for block in blocks if isinstance(block, RowBlock)])
    np.testing.assert_array_equal(held, np.delete(rows - [1.0, 2.0], 2, axis=0).astype(np.float32))


def test_parts_without_a_seal_are_noticed() -> None:
    with pytest.raises(RuntimeError, match="without its seal"):
        list(rows_and_seal([]))


def test_few_bytes_are_sampled_in_full() -> None:
    assert rows_to_sample(0, 10**6) == 20_000
    assert rows_to_sample(51, 8) == 20_000 > rows_to_sample(52, 8)
    assert rows_to_sample(10**6, 8) == 200


def test_all_parts_together_give_little_more_than_twice_what_they_would_if_their_number_were_known() -> None:
    """30,000 rows, and 200 from each part, would do."""
    assert sum(rows_to_sample(number, 2**10) for number in range(1000)) < 2.1 * (30_000 + 1000 * 200)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([np.zeros((0, 2))] * 3, "must have at least one row and one column. Received: no rows in 3 partitions"),
        ([np.full((4, 2), np.nan)] * 2, "must have rows with a value.*only 8 rows without any value"),
        ([np.array([[np.nan, 1.0]])] * 2, "must have values in every column.*column 'a'"),
        (
            [np.array([[-3e38, 0.0]]), np.array([[3e38, 0.0], [-3e38, 0.0]])],
            "within 3.4e38.*values up to 3e\\+38, column 'a'",
        ),
    ],
)
def test_rows_that_cannot_be_fitted_are_refused(parts: list[np.ndarray], expected: str) -> None:
    rows, _ = rows_in_parts(parts, ["a", "b"])
    with pytest.raises(ValueError, match=expected):
        rows.survey(0)
