"""Rows in parts on several processes or machines: surveyed, held and summed where they are, and never collected."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import numpy as np

from tfgmm.common.words import counted
from tfgmm.data.blocks import RowBlock
from tfgmm.data.carried.asked import Asked
from tfgmm.data.errors import no_rows_left_error, too_large_error
from tfgmm.data.sampling import RowSample
from tfgmm.data.shards.chosen_columns import ShardColumns, chosen_columns
from tfgmm.data.shards.engine import Engine
from tfgmm.data.shards.merged import (
    Counts,
    check_parts,
    merged_counts,
    merged_sample,
    merged_seal,
    merged_summary,
    too_few_from,
)
from tfgmm.data.shards.part import SEAL_ROWS, PartFacts, ShardRules, held_part, sample_part, survey_part
from tfgmm.data.shards.recognised import Kind, stays_error
from tfgmm.data.summary import DataSummary, with_facts_of
from tfgmm.data.survey_record import Survey

_FEW_BYTES = 10**6  # of float32 in a part: with fewer, the engine's own work takes longer than the sums


class ShardRows:
    """Rows in parts, which an engine works through where they are.

    Args:
        engine: What the parts are reached by.
        columns: The columns that it reads.
        name: What the caller's argument is called in error messages.
        missing: "refuse" where a NaN is an error, "integrate" where it is a gap.

    Attributes: Those of a `tfgmm.data.row_source.RowSource`.
    """

    origin: str | None = None
    is_in_memory = False
    has_own_batches = False
    has_known_length = True  # it ends, and the survey counts the rows
    is_endless = False

    def __init__(self, engine: Engine, columns: ShardColumns, name: str, missing: str = "refuse") -> None:
        self.name, self.missing = name, missing
        self._engine, self._carried = engine, columns.carried
        self._rules = ShardRules(name, columns.column_names, missing, columns.carried)
        self._num_to_read = len(columns.to_read)
        self.column_names = columns.column_names
        self.num_features = len(columns.names)
        self.weights_name = columns.carried.weights
        self.noise_columns = columns.carried.noise_columns(columns.names)
        self._counts: Counts | None = None
        self._seal = np.zeros(SEAL_ROWS)
        self._surveyed: tuple[int, Survey] | None = None  # with its seed
        self._held: np.ndarray | None = None  # the centre

    @property
    def engine_name(self) -> str:
        """What users call the engine."""
        return self._engine.name

    @property
    def num_data(self) -> int | None:
        """The number of rows that are used; None before the survey."""
        return None if self._counts is None else self._counts.num_used

    @property
    def has_weights(self) -> bool:
        """Whether rows have weights."""
        return self.weights_name is not None

    @property
    def noise_axes(self) -> int:
        """0 where there is no measurement noise, 1 for standard deviations."""
        return 1 if self.noise_columns else 0

    @property
    def num_empty(self) -> int:
        """Rows without any value that the survey left out."""
        return 0 if self._counts is None else self._counts.num_empty

    @property
    def num_weightless(self) -> int:
        """Rows of weight 0 that the survey left out."""
        return 0 if self._counts is None else self._counts.num_weightless

    def survey(self, seed: int, stacklevel: int = 4) -> Survey:
        """Summarises all rows and draws a sample of them, exactly uniform without weights; as `survey_rows` does.

        It takes one pass, and another where a few parts have most of the rows; the same survey again takes none.

        Args:
            seed: Seed of the sample.
            stacklevel: How far above this the line is that calls `fit_mixture`, for warnings; this itself is 1.

        Raises:
            TypeError, ValueError: A part has rows that are refused; there are no rows.
        """
        if self._surveyed is None or self._surveyed[0] != seed:
            self._surveyed = seed, self._new_survey(seed, stacklevel + 2)
        return self._surveyed[1]

    def _new_survey(self, seed: int, stacklevel: int) -> Survey:
        facts = self._engine.survey(functools.partial(survey_part, self._rules, seed, self._num_to_read))
        check_parts(facts)
        self._counts, self._seal = merged_counts(facts), merged_seal(facts)
        self._check_some_rows(len(facts))
        accumulator = merged_summary(facts, self._rules)
        sample = self._whole_sample(facts, seed).block(accumulator.num_data)
        summary = with_facts_of(accumulator.result(sample), self)
        self._check_within_float32(summary)
        self._warn_of_small_parts(len(facts), stacklevel)
        return Survey(summary, *sample)

    def _whole_sample(self, facts: list[PartFacts], seed: int) -> RowSample:
        """Draws the sample of all rows; parts that gave too few are asked once more."""
        sample = merged_sample(facts, seed)
        asked = too_few_from(facts, sample)
        if not asked:
            return sample
        again = self._engine.survey(functools.partial(sample_part, self._rules, seed, asked))
        seals = [one.seal for one in again if one is not None]
        if not np.array_equal(seals, [one.seal for one in facts if one.number in asked]):
            raise self._changed_error()
        return merged_sample([more or one for one, more in zip(facts, again, strict=True)], seed)

    def _check_some_rows(self, num_parts: int) -> None:
        if self.num_data:
            return
        if self.num_empty or self.num_weightless:
            raise no_rows_left_error(self.name, self.num_weightless, self.num_empty)
        raise ValueError(
            f"`{self.name}` must have at least one row and one column. Received: no rows in "
            f"{counted(num_parts, 'partition')}. Check the filter or selection that made it."
        )

    def _check_within_float32(self, summary: DataSummary) -> None:
        """Checks that float32 holds all values, measured from the centre: Raises ValueError otherwise."""
        limits, middle = np.array([summary.minimum, summary.maximum], np.float64), np.array(summary.centre)
        with np.errstate(over="ignore"):
            largest = np.abs(limits - middle).max(axis=0)
        if (largest > np.finfo(np.float32).max).any():
            column = int(np.argmax(largest))
            received = f"values up to {np.abs(limits).max(axis=0)[column]:.3g}"
            raise too_large_error(self.name, received, self.column_names, column)

    def _warn_of_small_parts(self, num_parts: int, stacklevel: int) -> None:
        num_bytes = 4 * self._num_to_read * (self.num_data or 0) / max(1, num_parts)
        if num_parts > 1 and num_bytes < _FEW_BYTES:
            warnings.warn(
                f"`{self.name}` has {num_parts} partitions of {num_bytes / 1e6:.2g} MB on average: the work of "
                f"{self._engine.name} for each takes longer than the sums over its rows. "
                "Make fewer and larger partitions: 16 to 128 MB each are best.",
                UserWarning,
                stacklevel=stacklevel,
            )

    def hold(self, centre: np.ndarray) -> None:
        """Has the engine keep the rows, measured from a centre, (D,) float64 in data units, for sums over them."""
        if self._held is not None and np.array_equal(self._held, centre):
            return
        self._held = np.array(centre)  # the engine itself gives back blocks of before, and keeps what it has read
        self._engine.hold(functools.partial(held_part, self._rules, self._held))

    def sums(self, function: Callable[[int, Iterator[RowBlock]], np.ndarray]) -> np.ndarray:
        """Adds what a function makes of each part that is held, (F,) float64.

        Args:
            function: Function of the number of a part and its held blocks; its array ends with the seal of the part.

        Raises:
            ValueError: A part was made again, with other rows or in another order.
        """
        totals = self._engine.sums(function)
        if not np.array_equal(totals[-SEAL_ROWS:], self._seal):
            raise self._changed_error()
        return totals[:-SEAL_ROWS]

    def _changed_error(self) -> ValueError:
        return ValueError(
            f"`{self.name}` must give the same rows in the same order each time that it is read. Received: other rows "
            "in a partition that was read again. Write it to Parquet first, and pass what reads that."
        )

    def release(self) -> None:
        """Has the engine give back what it keeps."""
        self._held = None
        self._engine.release()

    def close(self) -> None:
        """Gives back what the engine keeps."""
        self.release()

    def blocks(self) -> Iterator[RowBlock]:
        """Refuses: Raises TypeError, as the rows stay where they are."""
        return self._refuse()

    def place(self, row: int) -> str:
        """Names a row in words for an error message: by its number."""
        return str(row)

    def _refuse(self) -> NoReturn:
        raise stays_error(self.name, f"rows of {self._engine.name}")


def open_shards(
    kind: Kind,
    data: Any,
    name: str,
    asked: Asked,
    column_names: tuple[str, ...] | None = None,
    num_features: int | None = None,
) -> ShardRows:
    """Opens rows in parts; only their schema is looked at.

    Args:
        kind: Their kind.
        data: The rows.
        name: What the caller's argument is called in error messages.
        asked: What rows carry.
        column_names: Names of the columns of values, in the order wanted; default all.
        num_features: D where it is known.

    Raises:
        TypeError, ValueError: A column does not hold numbers, or is not there; the engine is not ready.
    """
    engine_class = kind.engine_class()
    columns = chosen_columns(name, engine_class.schema(data, name), asked, column_names, num_features)
    return ShardRows(engine_class(data, columns, name), columns, name, asked.missing)
