"""The files behind stored rows: what is checked when they are opened, and blocks of their rows."""

from __future__ import annotations

import concurrent.futures
import functools
import math
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np

from tfgmm.common.words import quoted
from tfgmm.data.files import columnar
from tfgmm.data.files.csv_blocks import csv_file
from tfgmm.data.files.csv_format import GUESSED, CsvOptions
from tfgmm.data.files.csv_text import csv_batches, csv_names
from tfgmm.data.files.elsewhere import ParquetElsewhere
from tfgmm.data.files.filesystems import Place
from tfgmm.data.files.kinds import (
    check_file,
    decoded_type,
    file_error,
    kind_of,
    not_numbers_error,
    readable,
    words_if_not_numbers,
)
from tfgmm.data.files.streams import RowStream

_QUESTIONS_AT_ONCE = 8  # of files elsewhere
_SECONDS_BETWEEN_LOOKS = 1.0  # at a file elsewhere: each look goes there and back


Answer = TypeVar("Answer")


class Block(NamedTuple):
    """Where a block of rows is: `num_rows` rows from row `start` of the groups `first` to `last` - 1 of a file."""

    file: int
    first: int
    last: int
    start: int
    num_rows: int


def blocks_of(file: int, group_rows: Sequence[int], size: int) -> Iterator[list[Block]]:
    """Yields runs of blocks, each run read in sequence: small groups together in one block, a large one in several.

    Args:
        file: Number of the file.
        group_rows: Rows of each of its groups.
        size: Largest number of rows of a block.

    Example:

    >>> [[block.num_rows for block in run] for run in blocks_of(0, [3, 4, 25, 2], 10)]
    [[7], [10, 10, 5], [2]]
    """
    first = 0
    while first < len(group_rows):
        last, total = first + 1, group_rows[first]
        while last < len(group_rows) and total + group_rows[last] <= size:
            last, total = last + 1, total + group_rows[last]
        run = [Block(file, first, last, start, min(size, total - start)) for start in range(0, total, size)]
        if run:
            yield run
        first = last


class FileSet:
    """Files of one kind with the same columns of numbers, and their size and time of change when they were opened.

    Args:
        name: What the caller's argument is called in error messages.
        places: The files.
        column_names: D names, in the order wanted.
        same_names: Whether the files must have the same columns, including those that are not wanted.
        csv: How CSV files are written.

    Raises:
        ValueError: A file is damaged, or lacks a column, or has other columns than the first.
        TypeError: A column does not hold numbers.
    """

    def __init__(
        self,
        name: str,
        places: Sequence[Place],
        column_names: Sequence[str],
        *,
        same_names: bool,
        csv: CsvOptions = GUESSED,
    ) -> None:
        self.places = tuple(places)
        self.column_names = tuple(column_names)
        self.name = name
        self._csv = csv
        _of_all(functools.partial(check_file, name), places)
        self._stamps = _of_all(functools.partial(_stamp, name), places)
        self._looked = [-math.inf] * len(places)
        self.is_sequential = any(columnar.is_sequential(place) for place in places)
        self.dtype = self._compare(same_names)

    def _compare(self, same_names: bool) -> np.dtype:
        """Checks that every file has the columns wanted, and numbers in them; returns the dtype of the rows."""
        all_float32 = True
        first: tuple[str, ...] = ()
        for place, types in zip(self.places, self._columns(), strict=True):
            names = tuple(label for label, _ in types)
            first = first or names
            self._check_names(place, names, first if same_names else self.column_names)
            type_of = dict(types)
            words = {label: words_if_not_numbers(type_of[label]) for label in self.column_names}
            if any(words.values()):
                raise not_numbers_error(self.name, words, f" in '{place}'")
            all_float32 = all_float32 and all(
                str(decoded_type(type_of[label])) == "float" for label in self.column_names
            )
        return np.dtype(np.float32 if all_float32 else np.float64)

    def _columns(self) -> list[list[tuple[str, Any]]]:
        """Reads the columns of each file; CSV one by one: Python's reader has one longest cell for all threads."""

        def of_one(place: Place) -> list[tuple[str, Any]]:
            return columns_of(self.name, place, self._csv)

        is_csv = any(kind_of(place.label) == "CSV" for place in self.places)
        return list(map(of_one, self.places)) if is_csv else _of_all(of_one, self.places)

    def _check_names(self, place: Place, names: tuple[str, ...], wanted: tuple[str, ...]) -> None:
        missing = [label for label in wanted if label not in names]
        repeated = [label for label in self.column_names if names.count(label) > 1]
        more = [label for label in names if label not in wanted] if wanted is not self.column_names else []
        if missing or repeated or more:
            faults = {"without": missing, "more than once with": repeated, "unlike the first file with": more}
            received = "; ".join(f"{words} column {quoted(labels)}" for words, labels in faults.items() if labels)
            raise ValueError(
                f"`{self.name}` must be files with the same columns. Received: '{place}', {received}. "
                "Write the files with the same columns, or choose those that all of them have: columns=[...]."
            )

    def groups(self) -> list[tuple[list[int], bool]]:
        """Counts, for files that are not sequential, the rows of each group, and says if any row can be read alone."""
        return _of_all(self._groups, self.places)

    def _groups(self, place: Place) -> tuple[list[int], bool]:
        num_rows = columnar.group_rows(self.name, place, self.column_names[0])
        return num_rows, columnar.is_in_place(self.name, place)

    def opened_elsewhere(self, file: int) -> ParquetElsewhere | None:
        """Opens a file of another filesystem for several goes; None for other files, and other kinds."""
        return columnar.opened_elsewhere(self.name, self.places[file])

    def stream(self, file: int, groups: range | None = None, opened: ParquetElsewhere | None = None) -> RowStream:
        """Opens the rows of a file, or of some of its groups, at their start; `opened` is as `opened_elsewhere`."""
        place, names = self.places[file], self.column_names
        if kind_of(place.label) == "CSV":
            return RowStream(csv_batches(csv_file(self.name, place, self._csv), names), names, self.dtype)
        return RowStream(columnar.batches(self.name, place, names, groups, opened), names, self.dtype)

    def all_rows(self, file: int, size: int) -> Generator[np.ndarray]:
        """Yields all rows of a file, (n, D) with n <= `size`; the file must not change meanwhile."""
        self.look_again()
        self.check_unchanged(file)
        stream = self.stream(file)
        while len(rows := self.read(file, stream, size)):
            yield rows
        self.look_again()
        self.check_unchanged(file)

    def read(self, file: int, stream: RowStream, num_rows: int) -> np.ndarray:
        """Reads the next rows of a file; of one elsewhere that fails, its having changed is said first."""
        try:
            return stream.read(num_rows)
        except (OSError, ValueError):
            if not self.places[file].is_here:
                self.look_again()
                self.check_unchanged(file)
            raise

    def check_unchanged(self, file: int) -> None:
        """Checks that a file is still the one that was opened; one elsewhere is looked at once a second at most.

        Raises:
            ValueError: Its size or its time of change differs, or it is gone.
        """
        place = self.places[file]
        if not place.is_here and time.monotonic() - self._looked[file] < _SECONDS_BETWEEN_LOOKS:
            return
        if _stamp(self.name, place) != self._stamps[file]:
            cause = "which was replaced or changed while its rows were being used"
            raise file_error(self.name, place, cause, "Leave the file as it is until the end, or start again.")
        self._looked[file] = time.monotonic()

    def look_again(self) -> None:
        """Lets the next check of each file look at it, however short ago it was looked at."""
        self._looked = [-math.inf] * len(self.places)

    def shortened(self, file: int) -> ValueError:
        """Makes the error that a file has fewer rows than it says."""
        return file_error(self.name, self.places[file], "which is damaged (rows are missing)", "Write the file again.")


class BlockReader:
    """A reader of blocks of files that are not sequential; it keeps its place, so that the next block costs no search.

    Args:
        files: Files to read from.
        in_order: Whether all blocks are read in their order: of a file elsewhere, several groups then come at once.
    """

    def __init__(self, files: FileSet, in_order: bool = False) -> None:
        self._files, self._in_order = files, in_order
        self._place: tuple[int, int, int] | None = None  # file, first group, row within the groups
        self._stream: RowStream | None = None
        self._goes_on, self._last = False, 0  # whether the stream has all later groups; the group behind the block read
        self._opened: tuple[int, ParquetElsewhere | None] | None = None  # number of a file elsewhere

    def read(self, block: Block) -> np.ndarray:
        """Reads a block, (n, D) of the files' dtype.

        Raises:
            ValueError: The file was changed since it was opened, or is damaged.
        """
        self._files.check_unchanged(block.file)
        stream = self._stream_before(block)
        self._place = None  # until the rows are there
        rows = self._files.read(block.file, stream, block.num_rows)
        if len(rows) < block.num_rows:
            raise self._files.shortened(block.file)
        self._place = (block.file, block.first, block.start + block.num_rows)
        self._last = block.last
        columnar.release_memory()
        return rows

    def close(self) -> None:
        """Closes the files that are open."""
        self._close_stream()
        if self._opened is not None and self._opened[1] is not None:
            self._opened[1].close()
        self._opened = None

    def _close_stream(self) -> None:
        if self._stream is not None:
            self._stream.close()
        self._stream = self._place = None
        columnar.release_memory()

    def _position(self, block: Block) -> tuple[int, int, int] | None:
        """Says where the stream is, counted from the first group of a block where it goes on to that one by itself."""
        at = self._place
        goes_on = self._goes_on and at is not None and (at[0], self._last, 0) == (block.file, block.first, block.start)
        return (block.file, block.first, 0) if goes_on else at

    def _stream_before(self, block: Block) -> RowStream:
        at = self._position(block)
        if self._stream is None or at is None or at[:2] != (block.file, block.first) or at[2] > block.start:
            self._close_stream()
            if self._opened is None or self._opened[0] != block.file:
                self.close()
                self._opened = block.file, self._files.opened_elsewhere(block.file)
            table = self._opened[1]
            self._goes_on = self._in_order and table is not None
            last = table.num_groups if self._goes_on and table is not None else block.last
            self._stream = self._files.stream(block.file, range(block.first, last), table)
            at = (block.file, block.first, 0)
        self._stream.skip(block.start - at[2])
        return self._stream


def columns_of(name: str, place: Place, csv: CsvOptions = GUESSED) -> list[tuple[str, Any]]:
    """Reads the names and Arrow types of a file's columns; CSV states no types: float64.

    Raises:
        ValueError: The file is damaged.
    """
    if kind_of(place.label) == "CSV":
        import pyarrow as pa

        return [(label, pa.float64()) for label in csv_names(csv_file(name, place, csv))]
    schema = columnar.schema_of(name, place)
    return [(field.name, field.type) for field in schema]


def _of_all(function: Callable[[Place], Answer], places: Sequence[Place]) -> list[Answer]:
    """Asks something of each file: of many elsewhere several at once, since each question goes there and back.

    Filesystems of fsspec are not asked so: not all of them bear it.
    """
    if len(places) < 2 or places[0].is_here or places[0].is_of_fsspec:
        return [function(place) for place in places]
    pool = concurrent.futures.ThreadPoolExecutor(_QUESTIONS_AT_ONCE)
    try:
        return list(pool.map(function, places))
    finally:
        pool.shutdown(cancel_futures=True)


def _stamp(name: str, place: Place) -> tuple[Any, ...] | None:
    with readable(name, place):
        return place.stamp()
