"""Work on rows shared out to the cores: threads in NumPy, whose matrix library is held to one thread meanwhile."""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np

Share = TypeVar("Share")

# Rows times numbers per row below which another thread waits longer than it computes
_LEAST_NUMBERS = 2**18

# Numbers in the temporaries of one chunk of rows: more spill out of the processor's cache.
_CHUNK_NUMBERS = 2**20

_lock = threading.Lock()
_num_holders, _held = 0, contextlib.ExitStack()


def shared_out(function: Callable[[int, int], Share], num_rows: int, numbers_per_row: int) -> list[Share]:
    """Returns what `function(start, stop)` gives for each share of rows, in their order; one share per core.

    Few rows are one share. There are as many cores as the matrix library has threads: who sets OMP_NUM_THREADS, or
    `threadpoolctl.threadpool_limits`, sets both. Where a share ends, sums over it are rounded: results are the same
    for the same number of cores.

    Args:
        function: is called in threads, of rows from `start` up to `stop`.
        num_rows: N.
        numbers_per_row: that `function` works out.
    """
    most = max(1, num_rows * numbers_per_row // _LEAST_NUMBERS)
    num_shares = 1 if most == 1 else min(most, num_rows, num_cores())
    if num_shares == 1:
        return [function(0, num_rows)]
    ends = [num_rows * share // num_shares for share in range(num_shares + 1)]
    with one_thread_each(), ThreadPoolExecutor(num_shares - 1) as pool:
        others = [pool.submit(function, *share) for share in zip(ends[1:], ends[2:])]
        return [function(0, ends[1]), *(share.result() for share in others)]


def slices(start: int, stop: int, size: int) -> Iterator[slice]:
    """Yields slices of at most `size` rows, from `start` to `stop`.

    Example:

    >>> list(slices(0, 5, 3))
    [slice(0, 3, None), slice(3, 5, None)]
    """
    return (slice(first, min(first + size, stop)) for first in range(start, stop, size))


def chunk_size(numbers_per_row: int) -> int:
    """Returns the rows of a chunk: as many as keep its temporaries in the cache.

    Example:

    >>> chunk_size(4), chunk_size(64), chunk_size(100_000)
    (16384, 16384, 256)
    """
    return min(16_384, max(256, _CHUNK_NUMBERS // numbers_per_row))


def num_cores() -> int:
    """Returns the threads that the matrix library would take; the processors, where it cannot be asked."""
    threads = [library.num_threads for library in _matrix_libraries().lib_controllers]
    return max(threads) if threads else os.cpu_count() or 1


@contextlib.contextmanager
def one_thread_each() -> Iterator[None]:
    """Holds matrix products to one thread while any thread of this process is inside.

    The limit is the whole process's: of callers that overlap the first sets it, and the last takes it back.
    """
    global _num_holders
    with _lock:
        if _num_holders == 0:
            _held.enter_context(_matrix_libraries().limit(limits=1))
        _num_holders += 1
    try:
        yield
    finally:
        with _lock:
            _num_holders -= 1
            if _num_holders == 0:
                _held.close()


@functools.cache
def _matrix_libraries() -> Any:
    """Returns the controls of the libraries behind NumPy's products; looking for them takes ten milliseconds."""
    from threadpoolctl import ThreadpoolController

    np.zeros((1, 1)) @ np.zeros((1, 1))  # the library is loaded
    return ThreadpoolController().select(user_api="blas")
