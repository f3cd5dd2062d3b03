"""Work on rows shared out among the cores: threads in NumPy, whose matrix library is held to one thread meanwhile."""

from __future__ import annotations

import collections
import contextlib
import contextvars
import functools
import math
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any, TypeVar

import numpy as np  # loads the library
from threadpoolctl import ThreadpoolController

Memory = TypeVar("Memory")
Result = TypeVar("Result")
Item = TypeVar("Item")

# Rows times numbers per row of a share: with fewer, another thread waits longer than it computes
_LEAST_NUMBERS = 2**19
# A power of two, as all numbers of shares are: they divide evenly among 2, 4, 8 and 16 cores. More cores stay idle.
_MOST_SHARES = 16
# Numbers in the temporaries of one chunk of rows: more spill out of the processor's cache.
_CHUNK_NUMBERS = 2**20
# What a thread keeps of the memory it works in: bytes of one buffer, and buffers
_MOST_KEPT, _MOST_BUFFERS = 2**24, 8
_HAS_ONE_CORE = contextvars.ContextVar("has_one_core", default=False)


def shared_out(
    function: Callable[[Memory, Sequence[slice]], Result],
    num_rows: int,
    numbers_per_row: int,
    memory: Callable[[int], Memory],
) -> Iterator[Result]:
    """Yields what `function(memory, chunks)` gives for each share of the rows, in their order.

    Where shares end depends on the rows alone, so that sums over them are the same on any number of cores. As many
    cores are used as the matrix library has threads: OMP_NUM_THREADS and `threadpoolctl.threadpool_limits` set both.
    When the caller leaves, as with Ctrl-C, shares that were not begun are never computed.

    Args:
        function: Function to call in threads with the chunks of one share, at least one, in the order of the rows.
        num_rows: N.
        numbers_per_row: Numbers that `function` computes for a row; they decide how large chunks are.
        memory: Function from a number of rows to what `function` may overwrite with a chunk of up to as many rows.
            Shares that are worked on at the same time have one each.
    """
    most = min(_MOST_SHARES, num_rows, num_rows * numbers_per_row // _LEAST_NUMBERS)
    num_shares = 2 ** (max(1, most).bit_length() - 1)
    ends = [num_rows * share // num_shares for share in range(num_shares + 1)]
    size = max(1, min(-(-num_rows // num_shares), chunk_size(numbers_per_row)))
    spare: list[Memory] = []  # left by shares that have ended

    def of_share(start: int, stop: int) -> Result:
        chunks = slices(start, stop, size)
        try:
            mine = spare.pop()  # one step: to ask first whether there is any would be two
        except IndexError:
            mine = memory(size)
        result = function(mine, chunks)
        spare.append(mine)
        return result

    yield from _in_threads(of_share, list(zip(ends, ends[1:])), min(num_shares, num_cores()))


def _in_threads(
    function: Callable[[int, int], Result], shares: Sequence[tuple[int, int]], num_threads: int
) -> Iterator[Result]:
    """Yields what the function gives for each share, in their order, from `num_threads` threads."""
    with one_thread_each():  # also of a single share: a product is rounded by how many threads share it
        if num_threads == 1:
            yield from (function(*share) for share in shares)
            return
        pool, remaining = ThreadPoolExecutor(num_threads), iter(shares)
        try:
            # No more at a time than keep all threads at work: results that wait for a slow one take memory
            begun = collections.deque(_begun(pool, function, share) for share in islice(remaining, num_threads + 1))
            while begun:
                result = begun.popleft()()
                begun.extend(_begun(pool, function, share) for share in islice(remaining, 1))
                yield result
        finally:
            pool.shutdown(cancel_futures=True)


def _begun(pool: ThreadPoolExecutor, function: Callable[..., Result], share: tuple[Any, ...]) -> Callable[[], Result]:
    """Begins a share; returns the function that waits for its result, or that computes it where no thread starts.

    No thread starts when the interpreter is about to end, or has as many threads as it may.
    """
    try:
        return pool.submit(function, *share).result
    except RuntimeError:
        return functools.partial(function, *share)


def read_ahead(items: Iterable[Item]) -> Iterator[Item]:
    """Yields the items, each of which a thread beside has begun to make while the one before was worked on.

    Example:

    >>> list(read_ahead(number**2 for number in range(4)))
    [0, 1, 4, 9]
    """
    iterator, end = iter(items), object()
    with ThreadPoolExecutor(1) as pool:
        following: Callable[[], Any] = _begun(pool, next, (iterator, end))
        while (item := following()) is not end:
            following = _begun(pool, next, (iterator, end))
            yield item


def slices(start: int, stop: int, size: int) -> list[slice]:
    """Cuts the rows from `start` to `stop` into slices of at most `size`; no rows are one empty slice.

    Example:

    >>> slices(0, 5, 3), slices(2, 2, 3)
    ([slice(0, 3, None), slice(3, 5, None)], [slice(2, 2, None)])
    """
    return [slice(first, min(first + size, stop)) for first in range(start, max(stop, start + 1), size)]


def chunk_size(numbers_per_row: int) -> int:
    """Computes the number of rows in a chunk: as many as keep its temporaries in the cache.

    Example:

    >>> chunk_size(4), chunk_size(64), chunk_size(100_000)
    (16384, 16384, 256)
    """
    return min(16_384, max(256, _CHUNK_NUMBERS // numbers_per_row))


def num_cores() -> int:
    """Counts the threads that the matrix library would take, or the processors where it does not say."""
    return 1 if _HAS_ONE_CORE.get() else _THREADS.number()


@contextlib.contextmanager
def one_core() -> Iterator[None]:
    """Keeps the work of this thread on one core within a `with` block, where others share the cores out.

    The arrays of `work_array` are used again in the next block.
    """
    if not _HAS_ONE_CORE.get():
        _WORK.taken = 0
    before = _HAS_ONE_CORE.set(True)
    try:
        with one_thread_each():
            yield
    finally:
        _HAS_ONE_CORE.reset(before)


def work_array(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Makes an array to be overwritten; within `one_core` of memory that this thread has had before.

    Where memory that is freed goes back to the system at once, as Dask tells its workers, fresh pages cost more than
    the sums over a block of rows.
    """
    if not _HAS_ONE_CORE.get():
        return np.empty(shape, dtype)
    return _WORK.array(shape, np.dtype(dtype))


class _WorkMemory(threading.local):
    """Memory that stays with its thread.

    Attributes:
        taken: Buffers that are in use since the `with` block began.
    """

    def __init__(self) -> None:
        self.taken = 0
        self._buffers: list[np.ndarray] = []

    def array(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """Takes the next buffer as an array."""
        size = math.prod(shape) * dtype.itemsize
        if size > _MOST_KEPT or self.taken >= _MOST_BUFFERS:
            return np.empty(shape, dtype)
        if self.taken == len(self._buffers):
            self._buffers.append(np.empty(size, np.uint8))
        elif self._buffers[self.taken].nbytes < size:
            self._buffers[self.taken] = np.empty(size, np.uint8)
        self.taken += 1
        return self._buffers[self.taken - 1][:size].view(dtype).reshape(shape)


def one_thread_each() -> contextlib.AbstractContextManager[None]:
    """Makes matrix products take one thread, in the whole process, within a `with` block."""
    return _THREADS.held_to_one()


class _MatrixThreads:
    """The threads of the library behind NumPy's products: how many there are, and how to hold it to one.

    The limit holds for the whole process: where callers overlap, the first sets it and the last takes it back. Limits
    that others set meanwhile, and take back later, are not seen.
    """

    def __init__(self) -> None:
        self.libraries = ThreadpoolController().select(user_api="blas")
        self._limits = contextlib.ExitStack()
        self._number = 1  # before it was held
        self._begin()
        if hasattr(os, "register_at_fork"):  # Windows has none
            os.register_at_fork(after_in_child=self._begin)

    def _begin(self) -> None:
        """Forgets holders, which a child of this process does not have."""
        self._lock, self._holders = threading.Lock(), set[object]()
        self._limits.close()

    def number(self) -> int:
        """Counts the threads that the library has when nobody holds it."""
        with self._lock:
            return self._number if self._holders else self._current()

    def _current(self) -> int:
        threads = [library.num_threads for library in self.libraries.lib_controllers if library.num_threads]
        return max(threads) if threads else _num_processors()

    @contextlib.contextmanager
    def held_to_one(self) -> Iterator[None]:
        """Holds products to one thread while any thread of this process is inside."""
        holder = object()
        try:
            with self._lock:
                if not self._holders:
                    self._number = self._current()
                    self._limits.enter_context(self.libraries.limit(limits=1))
                self._holders.add(holder)
            yield
        finally:  # correct wherever Ctrl-C came
            with self._lock:
                self._holders.discard(holder)
                if not self._holders:
                    self._limits.close()


def _num_processors() -> int:
    """Counts the processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_WORK = _WorkMemory()
_THREADS = _MatrixThreads()  # one in a process; made here, so that threads cannot each make one
