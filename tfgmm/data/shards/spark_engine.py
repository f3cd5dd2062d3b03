"""Spark DataFrames as rows in parts, by DataFrame calls alone: Spark Connect knows no others."""

from __future__ import annotations

import contextlib
import functools
import pickle
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np

from tfgmm.data.blocks import RowBlock
from tfgmm.data.shards import spark_part
from tfgmm.data.shards.chosen_columns import Schema, ShardColumns
from tfgmm.data.shards.eights import EIGHT, added_by_eights
from tfgmm.data.shards.spark_faults import SessionEndedError, check_versions, told_in_words

Answer = TypeVar("Answer")

# Bytes of sums that are brought to the driver at once; more are added by eights on the workers first
_MOST_BYTES = 2**28
_NUMBERS = ("tinyint", "smallint", "int", "bigint", "float", "double", "boolean", "void")
_TEXT = ("string", "char", "varchar")


class SparkEngine:
    """Rows of a Spark DataFrame, which stay where they are; see `Engine`.

    Spark works the frame out once and keeps its numbers until blocks are made of them. Worked out again, the same
    frame may have other partitions, in another order: after a join, a sort or a sample it does.

    Args:
        frame: `pyspark.sql.DataFrame`, of a classic session or of Spark Connect.
        columns: The columns to read.
        name: What the caller's argument is called in error messages.
    """

    name = "Spark"

    def __init__(self, frame: Any, columns: ShardColumns, name: str) -> None:
        kinds = dict(frame.dtypes)
        is_short = all(kinds[label] == "float" for label in columns.to_read)
        self._layout = spark_part.RowLayout(columns, "float32" if is_short else "float64")
        self._frame = _as_floats(frame, columns.to_read, self._layout.labels, "float" if is_short else "double")
        self._argument = name
        self._num_parts = 1  # known after the survey
        self._rows: Any = None  # frames that Spark keeps: of the rows, and of the blocks that are held
        self._blocks: Any = None

    @staticmethod
    def schema(frame: Any, name: str) -> Schema:
        """Says what the columns hold, without any work of Spark's.

        Raises:
            TypeError: The frame is a stream.
        """
        if frame.isStreaming:
            raise TypeError(
                f"`{name}` must have an end. Received: a streaming DataFrame of Spark. Write it to Parquet, and read "
                "what is there."
            )
        return Schema(tuple(frame.columns), tuple(_words_if_not_numbers(kind) for _, kind in frame.dtypes))

    def survey(self, function: Callable[[int, Iterator[RowBlock]], Answer]) -> list[Answer]:
        """Makes one pass over all parts; lists the answers in the order of the parts."""
        with self._words():
            work = functools.partial(spark_part.of_rows, function, self._layout.columns)
            answers = _collected(self._read().mapInArrow(work, spark_part.ANSWERS))
        for number, (versions, _) in enumerate(answers):
            check_versions(number, versions, spark_part.versions())
        self._num_parts = max(1, len(answers))
        return [answer for _, answer in answers] or [function(0, iter(()))]  # of no partition at all

    def hold(self, function: Callable[[int, Iterator[RowBlock]], Iterator[RowBlock]]) -> None:
        """Has the blocks that the function makes of each part kept, in memory, and on Spark's disks where it is full.

        They are made when the first sums are taken: a pass less.
        """
        self._give_back("_blocks")
        with self._words():
            work = functools.partial(spark_part.made_of_rows, function, self._layout.columns)
            self._blocks = self._read().mapInArrow(work, spark_part.BLOCKS).persist()

    def sums(self, function: Callable[[int, Iterator[RowBlock]], np.ndarray]) -> np.ndarray:
        """Adds an array, (F,) float64, of the held blocks of each part, by eights in the order of the parts."""
        if self._blocks is None:
            raise RuntimeError("rows must be held before sums are taken. Received: none. Call `hold` first.")
        with self._words():
            work = functools.partial(spark_part.of_blocks, function)
            rows = self._blocks.mapInArrow(work, spark_part.ANSWERS)
            num_rows, num_bytes = self._num_parts, len(pickle.dumps(function))  # about as many come back as go out
            while num_rows > 1 and num_rows * num_bytes > _MOST_BYTES:
                rows, num_rows = _by_eights(rows), -(-num_rows // EIGHT)
            answers = _collected(rows)
        self._give_back("_rows")  # all blocks are made
        return added_by_eights(answers)

    def release(self) -> None:
        """Gives back what is held. Once is enough; twice does no harm."""
        try:
            self._give_back("_rows")
        finally:
            self._give_back("_blocks")

    def _read(self) -> Any:
        """Makes the frame of the rows as blocks, which Spark keeps."""
        if self._rows is None:
            self._rows = self._frame.mapInArrow(functools.partial(spark_part.read, self._layout), spark_part.BLOCKS)
            self._rows.persist()
        return self._rows

    def _give_back(self, which: str) -> None:
        kept = getattr(self, which)
        setattr(self, which, None)
        if kept is not None:
            with contextlib.suppress(SessionEndedError), self._words():  # Spark forgets all with the session
                kept.unpersist()

    def _words(self) -> Any:
        return told_in_words(self._argument)


def _words_if_not_numbers(kind: str) -> str:
    """Says in words what a column of one of Spark's types holds; "" when it holds numbers."""
    plain = kind.partition("(")[0]
    if plain in _NUMBERS or plain == "decimal":
        return ""
    return "text" if plain in _TEXT else kind


def _as_floats(frame: Any, names: tuple[str, ...], labels: tuple[str, ...], kind: str) -> Any:
    """Selects columns by their names, letter by letter: Spark itself takes "a" for "A", and dots for something else."""
    places = {name: f"place{index}" for index, name in enumerate(frame.columns)}
    wanted = [f"CAST({places[name]} AS {kind}) AS {label}" for name, label in zip(names, labels, strict=True)]
    return frame.toDF(*places.values()).selectExpr(*wanted)


def _by_eights(rows: Any) -> Any:
    """Has workers add the arrays of each eight partitions that follow each other."""
    numbered = rows.selectExpr(f"CAST(number DIV {EIGHT} AS int) AS eight", "number", "answer")
    return numbered.groupBy("eight").applyInArrow(spark_part.of_eight, spark_part.ANSWERS)


def _collected(rows: Any) -> list[Any]:
    """Brings answers to the driver, in the order of their numbers."""
    return [pickle.loads(answer) for _, answer in sorted((number, bytes(answer)) for number, answer in rows.collect())]
