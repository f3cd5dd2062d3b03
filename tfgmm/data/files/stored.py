"""Rows that stay in their files: read block by block, in an order that a seed and an epoch determine."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Sequence
from types import TracebackType

import numpy as np

from tfgmm.data.blocks import RowBlock, has_gap, num_gaps, rows_per_block
from tfgmm.data.carried.asked import Asked
from tfgmm.data.carried.cleaning import Cleaning, LeftOut
from tfgmm.data.errors import gap_in_every_row_error
from tfgmm.data.files.file_set import Block, BlockReader, FileSet, blocks_of
from tfgmm.data.files.streams import RowCache, rebatched
from tfgmm.data.sampling import BLOCK_ORDER, random_numbers, row_order


class StoredRows:
    """Rows in one file or a folder of files, in the data's units, read on demand; memory is that of a few blocks.

    CSV files, and Arrow files in the streaming format or on another filesystem, are only read from their start. Their
    first pass writes the rows to a temporary file, which later passes read: it needs 8 bytes a number on the disk of
    the system's folder for temporary files (TMPDIR says where), has no name there, and is gone when this object is
    closed or collected, or the process ends. `num_data` makes that pass if it has not been made.

    A file that changes after it was opened here is refused by the next read. Damage within the numbers of a Parquet
    file that has no checksums is not noticed: it reads as other numbers.

    Args:
        files: Files of one kind with the columns wanted; `open_stored` looks at them and makes this.
        origin: Path that the caller passed, for error messages.
        drop_gaps: Whether rows with a gap or an infinite value are left out. The first pass writes the rows that are
            kept to a temporary file, whatever the kind of the files.
        asked: What rows carry; the last columns of `files` are those of weights and noise.

    Attributes: Those of a `tfgmm.data.sources.RowSource`, and
        dtype: float32 when every column of every file is, else float64.
        is_sequential: Whether the first pass must be in the order of the files, and writes the temporary file.
        num_dropped: Rows that the first pass left out.
        dropped_gaps: Gaps in each column of those; () where none is left out.

    Example:

    >>> import pathlib, tempfile
    >>> from tfgmm.data.files.opening import open_stored
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "rows.csv")
    ...     _ = path.write_text("eruptions,waiting\\n3.6,79\\n1.8,54\\n")
    ...     with open_stored("x", [str(path)], ["waiting"]) as rows:
    ...         [block.values.tolist() for block in rows.blocks()], rows.num_data
    ([[[79.0], [54.0]]], 2)
    """

    is_in_memory = False
    is_endless = False
    has_known_length = True
    has_own_batches = False

    def __init__(self, files: FileSet, origin: str, drop_gaps: bool = False, asked: Asked | None = None) -> None:
        asked = asked or Asked()
        self._carried, self._left_out = asked.columns, LeftOut()
        names = files.column_names[: len(files.column_names) - len(self._carried.names)]
        self._clean = (
            None if asked.is_plain else Cleaning(files.name, names, asked.missing, asked.are_scored, self._carried)
        )
        self.missing = asked.missing
        self.weights_name = self._carried.weights
        self.noise_columns = self._carried.noise_columns(names)
        self.column_names: tuple[str, ...] | None = names
        self.num_features = len(names)
        self.dtype = files.dtype
        self.name = files.name
        self.origin: str | None = origin
        self.is_sequential = files.is_sequential or drop_gaps
        self.num_dropped = 0
        self.dropped_gaps: tuple[int, ...] = ()
        self._drop_gaps = drop_gaps
        self._files = files
        self._num_columns = len(files.column_names)
        self._size = rows_per_block(self._num_columns)
        self._cache: RowCache | None = None
        self._file_rows: list[int] = []
        self._blocks: list[Block] = []
        # Blocks that are read one after the other whatever the order: the pieces of one group.
        self._runs: list[range] = []
        if not self.is_sequential:
            self._plan()

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
        """Rows without any value that the latest pass over `blocks` left out."""
        return self._left_out.num_empty

    @property
    def num_weightless(self) -> int:
        """Rows of weight 0 that the latest pass over `blocks` left out."""
        return self._left_out.num_weightless

    def __enter__(self) -> StoredRows:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Deletes the temporary file; reading writes it again."""
        if self._cache is not None:
            self._cache.close()
            self._cache = None

    @property
    def num_data(self) -> int:
        """N, the number of rows; for files that can only be read from their start, the first use reads them all."""
        self._make_first_pass()
        return sum(self._file_rows)

    def place(self, row: int) -> str:
        """Names a row, counted from 0 over all files, for an error message: by its number in its file, and the file."""
        starts = np.cumsum([0, *self._file_rows])[: len(self._files.places)]
        file = int(np.searchsorted(starts, row, side="right")) - 1
        return f"{row - int(starts[file])} of '{self._files.places[file]}'"

    def blocks(self) -> Iterator[RowBlock]:
        """Yields the blocks in the order of the files, each (n, D) of `dtype`, in the data's units.

        A block has 65,536 rows at most, fewer when D is above 128.

        Raises:
            ValueError: A file was changed since it was opened, or is damaged; lines of a CSV file differ in length.
            TypeError: A CSV file has a column that does not hold numbers.
        """
        if self._clean is None:
            return map(RowBlock, self._values())
        return self._clean_blocks(self._clean)

    def take_as_checked(self) -> None:
        """Takes it as known, after a pass over all rows, that none lacks a value: later passes do not look for it.

        Rows with weights or noise are looked at all the same.
        """
        if not self._carried.names and not self.num_empty:
            self._clean = None

    def _clean_blocks(self, clean: Cleaning) -> Iterator[RowBlock]:
        """Yields the blocks, without the rows that say nothing, which are counted."""
        self._left_out, start = LeftOut(), 0
        left_out = self._left_out
        for rows in self._values():
            place = functools.partial(self._place_after, start)
            start += len(rows)
            block = self._carried.split(rows, clean.column_names or ())
            del rows
            yield clean(block, place, left_out)

    def _place_after(self, start: int, row: int) -> str:
        return self.place(start + row)

    def _values(self, order: Sequence[int] | np.ndarray | None = None) -> Iterator[np.ndarray]:
        """Yields the blocks with these indices, by default all in the order of the files, (n, D) each."""
        if order is None and self.is_sequential and self._cache is None:
            yield from self._first_pass()
            return
        self._make_first_pass()
        self._files.look_again()
        with contextlib.closing(BlockReader(self._files, in_order=order is None)) as reader:
            for index in range(len(self._blocks)) if order is None else order:
                block = self._blocks[index]
                yield self._cached(block) if self.is_sequential else reader.read(block)

    def block_order(self, seed: int, epoch: int) -> np.ndarray:
        """Draws the order of the blocks in one pass, one index each, int64: a pure function of (seed, epoch).

        Row groups of Parquet, and record batches of compressed Arrow files, come in a random order, but the pieces
        of a large one come in sequence: to reach a row within a group everything before it must be decoded. Files whose
        row groups have about 100,000 rows are shuffled best.
        """
        self._make_first_pass()
        runs = random_numbers(seed, BLOCK_ORDER, epoch).permutation(len(self._runs))
        return np.array([block for run in runs for block in self._runs[run]], dtype=np.int64)

    def batches(
        self, batch_size: int, *, seed: int = 0, epoch: int = 0, shuffle: bool = False, skip: int = 0
    ) -> Iterator[RowBlock]:
        """Yields the rows of one pass in batches, (B, D) of `dtype`, in the data's units; the last may be short.

        Where rows that say nothing are left out, any batch may be short, or even empty: there are as many batches, of
        the same rows of the files, as if these rows were there.

        Args:
            batch_size: B.
            seed: Seed of the order.
            epoch: Pass over the data, from 0, which the order depends on.
            shuffle: Whether blocks, and the rows within each, come in a random order, a pure function of (seed, epoch).
            skip: Batches at the start of the pass to leave out; blocks that they cover are not read.
        """
        self._make_first_pass()
        order = self.block_order(seed, epoch) if shuffle else np.arange(len(self._blocks))
        ends = np.cumsum([self._blocks[index].num_rows for index in order.tolist()])
        first = int(np.searchsorted(ends, skip * batch_size, side="right"))
        surplus = skip * batch_size - (int(ends[first - 1]) if first else 0)
        rows = self._rows_in_order(order[first:], seed, epoch, shuffle, surplus)
        if self._clean is None:
            return map(RowBlock, rebatched(rows, batch_size))
        return map(functools.partial(self._clean_batch, self._clean), rebatched(rows, batch_size))

    def _clean_batch(self, clean: Cleaning, rows: np.ndarray) -> RowBlock:
        return clean(self._carried.split(rows, clean.column_names or ()), _place_in_batch)

    def _rows_in_order(
        self, order: np.ndarray, seed: int, epoch: int, shuffle: bool, surplus: int
    ) -> Iterator[np.ndarray]:
        """Yields the blocks in this order, their rows shuffled or not, the first `surplus` rows left out.

        No variable refers to what was yielded: a block that waits here would be held beside the next one.
        """
        blocks = self._values(order)
        for index in order.tolist():
            if shuffle:
                chosen = row_order(seed, epoch, index, self._blocks[index].num_rows)[surplus:]
                yield next(blocks).take(chosen, axis=0)
            else:
                yield next(blocks)[surplus:]
            surplus = 0

    def _plan(self) -> None:
        for file, (num_rows, in_place) in enumerate(self._files.groups()):
            self._file_rows.append(sum(num_rows))
            for run in blocks_of(file, num_rows, self._size):
                indices = range(len(self._blocks), len(self._blocks) + len(run))
                self._blocks += run
                self._runs += [range(index, index + 1) for index in indices] if in_place else [indices]

    def _cached(self, block: Block) -> np.ndarray:
        """Reads a block of the temporary file, which holds the rows of all files; the files must not have changed."""
        if self._cache is None:
            raise RuntimeError("the temporary file was closed while its rows were being read")
        starts = np.cumsum([0, *self._file_rows])
        first, last = np.searchsorted(starts, [block.start, block.start + block.num_rows - 1], side="right") - 1
        for file in range(first, last + 1):
            self._files.check_unchanged(file)
        return self._cache.read(block.start, block.num_rows)

    def _make_first_pass(self) -> None:
        if self.is_sequential and self._cache is None:
            for _ in self._first_pass():
                pass

    def _first_pass(self) -> Iterator[np.ndarray]:
        """Yields the rows while they are written to the temporary file, which is used once all of them are there."""
        cache = RowCache(self._num_columns, self.dtype)
        self._file_rows = file_rows = []
        self.num_dropped, gaps = 0, np.zeros(self.num_features, np.int64)
        try:
            for file in range(len(self._files.places)):
                start = cache.num_rows
                for rows in self._files.all_rows(file, self._size):
                    kept = self._without_gaps(rows) if self._drop_gaps else rows
                    self.num_dropped += len(rows) - len(kept)
                    if len(kept) < len(rows):
                        gaps += num_gaps(rows[:, : self.num_features])
                    if len(kept):
                        cache.append(kept)
                        yield kept
                file_rows.append(cache.num_rows - start)
            if self.num_dropped and not cache.num_rows:
                raise gap_in_every_row_error(self.name, self.num_dropped)
            starts = range(0, cache.num_rows, self._size)
            self._blocks = [Block(0, 0, 0, start, min(self._size, cache.num_rows - start)) for start in starts]
            self._runs = [range(index, index + 1) for index in range(len(starts))]
            self._cache, self._file_rows = cache, file_rows
            self.dropped_gaps = tuple(gaps.tolist()) if self._drop_gaps else ()
        finally:
            if self._cache is not cache:
                cache.close()

    def _without_gaps(self, rows: np.ndarray) -> np.ndarray:
        kept: np.ndarray = rows[~has_gap(self._carried.split(rows, self.column_names or ()))]
        return kept


def _place_in_batch(row: int) -> str:
    return f"{row} of a batch"
