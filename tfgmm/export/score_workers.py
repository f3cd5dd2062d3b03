"""Files worked on by several processes, each one file at a time: begun, watched, stopped together. No TensorFlow.

Processes are spawned: a fork would leave locks of Arrow's threads shut for ever. The first failure, Ctrl-C and the end
of the parent, however it comes, stop all of them.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import multiprocessing
import os
import pathlib
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from tfgmm.common.threads import num_cores

File = TypeVar("File")
File_in = TypeVar("File_in", contravariant=True)
Answer = TypeVar("Answer")
Answer_out = TypeVar("Answer_out", covariant=True)

_SECONDS = 0.1  # between two looks at how far they are


class Task(Protocol, Generic[File_in, Answer_out]):
    """Function that works on one file."""

    def __call__(self, file: File_in, progress: Callable[[int], None], /) -> Answer_out:
        """Works on a file, and tells `progress` of rows; what that raises ends the work."""


Begin = Callable[[pathlib.Path], Task[File, Answer]]


class Failed(Exception):
    """Carries what went wrong with a file past those who would take it for a failure of their own.

    Args:
        error: What went wrong.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class _Stopped(Exception):
    """Ends the work of one process because another has failed, or because the parent is told to stop."""


class _Shared(NamedTuple):
    """What the processes share: whether to stop, and how many rows are done."""

    stop: Any
    num_rows: Any


def on_workers(
    begin: Begin[File, Answer],
    folder: pathlib.Path,
    files: Sequence[File],
    num_workers: int,
    progress: Callable[[int], None],
) -> list[Answer]:
    """Works on files, and lists the answers in their order.

    Args:
        begin: Function from `folder` to what works on a file. Several processes call it once each, so that it and the
            files must be possible to pickle.
        folder: Where files go.
        files: The files, begun in this order.
        num_workers: Processes; with 1, or one file, this process does the work, on all cores.
        progress: Function that is called with a number of rows that were done.

    Raises:
        Failed: A file cannot be worked on, or a process was killed.
    """
    num_workers = min(num_workers, len(files))
    if num_workers > 1:
        return _in_processes(begin, folder, files, num_workers, progress)
    try:
        work = begin(folder)
        return [work(file, progress) for file in files]
    except Exception as error:
        raise Failed(error) from error


def _in_processes(
    begin: Begin[File, Answer],
    folder: pathlib.Path,
    files: Sequence[File],
    num_workers: int,
    progress: Callable[[int], None],
) -> list[Answer]:
    context = multiprocessing.get_context("spawn")
    shared = _Shared(context.Event(), context.Value("q", 0))
    start = (begin, folder, shared, max(1, num_cores() // num_workers))
    pool = ProcessPoolExecutor(num_workers, context, _start, start)
    try:
        with _interrupts_held_back():
            futures = [pool.submit(_work_on, file) for file in files]
        _wait(futures, shared, progress)
        return [future.result() for future in futures]
    except BrokenProcessPool as error:
        raise Failed(
            ChildProcessError(
                "`--workers` must be processes that end by themselves. Received: one that was killed, as the system "
                "does where memory runs out. Take fewer workers."
            )
        ) from error
    finally:
        shared.stop.set()
        pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Holds back Ctrl-C while processes are begun, which inherit that: for ever, as they are told by the parent.

    The parent has it afterwards.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _wait(futures: Sequence[Future[Answer]], shared: _Shared, progress: Callable[[int], None]) -> None:
    """Waits for all files: Raises Failed with the first failure in the order of the files, of those known by then."""
    told, left = 0, set(futures)
    while left:
        done, left = concurrent.futures.wait(left, _SECONDS, FIRST_EXCEPTION)
        num_rows = shared.num_rows.value
        progress(num_rows - told)
        told = num_rows
        for future in futures if any(future.exception() for future in done) else ():
            error = future.exception() if future.done() else None
            if isinstance(error, BrokenProcessPool):
                raise error
            if isinstance(error, Exception):
                raise Failed(error)


class _Process:
    """What a worker keeps between two files."""

    work: Task[Any, Any]
    shared: _Shared
    limits: Any


def _start(begin: Begin[Any, Any], folder: pathlib.Path, shared: _Shared, num_threads: int) -> None:
    """Prepares a worker: its share of the cores, and its end with that of its parent."""
    import pyarrow as pa
    from threadpoolctl import threadpool_limits

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all: the parent tells the others
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _Process.limits = threadpool_limits(num_threads, "blas")
    pa.set_cpu_count(num_threads)
    _Process.work, _Process.shared = begin(folder), shared


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work_on(file: Any) -> Any:
    """Works on a file in a worker; a file may be handed over before the work is stopped, and begun after."""
    shared = _Process.shared

    def progress(num_rows: int) -> None:
        if shared.stop.is_set():
            raise _Stopped
        with shared.num_rows.get_lock():
            shared.num_rows.value += num_rows

    progress(0)
    return _Process.work(file, progress)
