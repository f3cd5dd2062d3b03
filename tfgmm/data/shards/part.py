"""What is done with one part of the rows where it is. Loads NumPy, and no TensorFlow.

Bad rows are handed back as facts: an exception would be tried again by the engine, and buried in its traceback.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from tfgmm.data.accumulator import SummaryAccumulator
from tfgmm.data.blocks import RowBlock, rows_per_block, together
from tfgmm.data.carried.asked import CarriedColumns
from tfgmm.data.carried.cleaning import Cleaning, LeftOut
from tfgmm.data.sampling import SAMPLE_ROWS, RowSample
from tfgmm.data.summary import centre as centre_rows

SEAL_ROWS = 4
# Rows for the sample of all: each part gives as many as its share, half as many again, and these
_MORE = 200
_SAMPLE_BYTES = 2**26  # with less than that, every part gives as many rows as the sample of all has
_SEAL_OF_OTHERS = np.full(SEAL_ROWS, -1.0)  # of no rows


class ShardRules(NamedTuple):
    """What is asked of the rows of every part.

    Args:
        name: What the caller's argument is called in error messages.
        column_names: D names, or None.
        missing: "refuse" where a NaN is an error, "integrate" where it is a gap.
        carried: The columns of weights and noise.
    """

    name: str
    column_names: tuple[str, ...] | None
    missing: str
    carried: CarriedColumns

    @property
    def cleaning(self) -> Cleaning | None:
        """What checks and cleans blocks; None where they come as they are, and the summary finds what is not finite."""
        if self.missing == "refuse" and not self.carried.names:
            return None
        return Cleaning(self.name, self.column_names, self.missing, carried=self.carried)

    def place_in(self, number: int) -> Callable[[int], str]:
        """Makes the function that names a row of a part in words."""
        return lambda row: f"{row} of partition {number}"


class Fault(NamedTuple):
    """What is wrong with the rows of a part.

    Args:
        words: The message of the error.
        is_kind: Whether it is about the kind of the rows, a TypeError, and not about their values.
    """

    words: str
    is_kind: bool = False


class PartFacts(NamedTuple):
    """What one pass over a part tells.

    Args:
        number: Number of the part.
        kept: Summary of its rows, as `SummaryAccumulator.kept` writes it.
        priorities, rows: What its sample would be; see `RowSample.candidates`.
        num_used: Rows that the sample was drawn from.
        num_empty, num_weightless: Rows without any value, and of weight 0, that were left out.
        seal: (4,) whole numbers made of all rows in their order, as `held_part` makes them again.
        fault: What is wrong; None: nothing.
    """

    number: int
    kept: Mapping[str, Any]
    priorities: np.ndarray
    rows: RowBlock
    num_used: int
    num_empty: int
    num_weightless: int
    seal: np.ndarray
    fault: Fault | None = None


def rows_to_sample(number: int, numbers_per_row: int) -> int:
    """Chooses how many rows a part gives to the sample of all at first.

    How many parts there are is not known in a part, only that there are those before it. So the first parts give more
    than they have to, and all of them together little more than if it were known.

    Args:
        number: Number of the part.
        numbers_per_row: Numbers of a row, with what it carries.

    Example:

    >>> rows_to_sample(9, 8), rows_to_sample(999, 8)
    (20000, 230)
    """
    num_parts = number + 1  # or more
    if num_parts * SAMPLE_ROWS * numbers_per_row * 8 <= _SAMPLE_BYTES:
        return SAMPLE_ROWS
    return min(SAMPLE_ROWS, int(1.5 * SAMPLE_ROWS / num_parts) + _MORE)


def survey_part(
    rules: ShardRules, seed: int, numbers_per_row: int, number: int, blocks: Iterable[RowBlock]
) -> PartFacts:
    """Summarises the rows of a part and draws a sample of them.

    Args:
        rules: What is asked of the rows.
        seed: Seed of the sample.
        numbers_per_row: Numbers of a row, with what it carries.
        number: Number of the part.
        blocks: Its rows.
    """
    return _facts(rules, seed, rows_to_sample(number, numbers_per_row), number, blocks)


def sample_part(
    rules: ShardRules, seed: int, asked: frozenset[int], number: int, blocks: Iterable[RowBlock]
) -> PartFacts | None:
    """Surveys a part once more, for a larger sample; None for a part that is not asked."""
    return _facts(rules, seed, SAMPLE_ROWS, number, blocks) if number in asked else None


def _facts(rules: ShardRules, seed: int, most: int, number: int, blocks: Iterable[RowBlock]) -> PartFacts:
    """Makes the facts of a part, with a sample of `most` rows."""
    place, left_out, clean = rules.place_in(number), LeftOut(), rules.cleaning
    accumulator = SummaryAccumulator(
        name=rules.name,
        column_names=rules.column_names,
        place=place,
        missing=rules.missing,
    )
    sample, seal, fault = RowSample(most, seed, number), _Seal(number), None
    start, num_used, following = 0, 0, iter(blocks)
    try:
        for block in following:
            seal.update(block)
            cleaned = block if clean is None else clean(block, _after(start, place), left_out)
            accumulator.update(cleaned, later=(later.values for later in following))
            sample.update(cleaned)
            start, num_used = start + len(block.values), num_used + len(cleaned.values)
    except (ValueError, TypeError) as error:  # which the driver raises
        fault = Fault(str(error), isinstance(error, TypeError))
    priorities, rows = sample.candidates()
    counts = num_used, left_out.num_empty, left_out.num_weightless
    return PartFacts(number, accumulator.kept(), priorities, rows, *counts, seal.numbers(), fault)


def held_part(rules: ShardRules, centre: np.ndarray, number: int, blocks: Iterable[RowBlock]) -> Iterator[RowBlock]:
    """Makes the blocks of a part that sweeps work through, and behind them one with the seal of its rows.

    Args:
        rules: What is asked of the rows, which were surveyed.
        centre: (D,) float64, data units; what rows are measured from.
        number: Number of the part.
        blocks: Its rows.

    Yields:
        float32 values, measured from the centre, with float64 weights and noise: 65,536 rows at a time, fewer where D
        is above 128, and at last 4 rows that are none: see `rows_and_seal`.
    """
    seal, is_same = _Seal(number), True
    try:
        yield from _of_one_size(_cleaned(rules, centre, number, blocks, seal), rows_per_block(len(centre)))
    except (ValueError, TypeError):  # rows that the survey did not see, and would have refused
        is_same = False
    yield _seal_block(seal.numbers() if is_same else _SEAL_OF_OTHERS, rules, len(centre))


def _cleaned(
    rules: ShardRules, centre: np.ndarray, number: int, blocks: Iterable[RowBlock], seal: _Seal
) -> Iterator[RowBlock]:
    """Yields blocks that were cleaned and centred, and are sealed on the way."""
    place, clean = rules.place_in(number), rules.cleaning
    for block in blocks:
        seal.update(block)
        block = block if clean is None else clean(block, place)
        if len(block.values):
            yield block._replace(values=centre_rows(block.values, centre, name=rules.name))


def _of_one_size(blocks: Iterable[RowBlock], size: int) -> Iterator[RowBlock]:
    """Yields rows in blocks of one size; the last may be short. So sums do not depend on how an engine cuts them."""
    waiting: list[RowBlock] = []
    num_rows = 0
    for block in blocks:
        waiting.append(block)
        num_rows += len(block.values)
        while num_rows >= size:
            whole = waiting[0] if len(waiting) == 1 else together(waiting)
            yield whole if num_rows == size else whole.part(slice(0, size))
            num_rows -= size
            waiting = [whole.part(slice(size, None))] if num_rows else []
    if num_rows:
        yield waiting[0] if len(waiting) == 1 else together(waiting)


def _seal_block(numbers: np.ndarray, rules: ShardRules, num_features: int) -> RowBlock:
    """Writes a seal as rows, so that engines keep it as they keep rows."""
    values = np.zeros((SEAL_ROWS, num_features), np.float32)
    values[:, 0] = numbers
    weights = None if rules.carried.weights is None else np.ones(SEAL_ROWS)
    return RowBlock(values, weights, np.zeros((SEAL_ROWS, num_features)) if rules.carried.noise else None)


def rows_and_seal(blocks: Iterable[RowBlock]) -> Iterator[RowBlock | np.ndarray]:
    """Yields the blocks of rows that `held_part` made, and at last the seal, (4,) float64."""
    last = None
    for block in blocks:
        if last is not None:
            yield last
        last = block
    if last is None:
        raise RuntimeError("a part was held without its seal")
    yield last.values[:, 0].astype(np.float64)


class _Seal:
    """Numbers made of all rows of a part in their order: other rows, or another order, have others.

    Args:
        number: Number of the part.
    """

    def __init__(self, number: int) -> None:
        self._digest = hashlib.blake2b(digest_size=2 * SEAL_ROWS, person=number.to_bytes(8, "little"))

    def update(self, block: RowBlock) -> None:
        """Takes more rows into account, whatever blocks they come in."""
        columns = [np.asarray(block.values, np.float64)]
        columns += [part.reshape(len(part), -1) for part in block[1:] if part is not None]
        rows = columns[0] if len(columns) == 1 else np.concatenate(columns, axis=1)
        self._digest.update(np.ascontiguousarray(rows).data)

    def numbers(self) -> np.ndarray:
        """Returns (4,) float64: whole numbers below 2^16, which float32 holds and sums of which are exact."""
        return np.frombuffer(self._digest.digest(), "<u2").astype(np.float64)


def _after(start: int, place: Callable[[int], str]) -> Callable[[int], str]:
    return lambda row: place(start + row)
