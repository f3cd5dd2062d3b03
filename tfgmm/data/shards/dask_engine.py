"""Dask's DataFrames and Arrays: partitions that stay with the workers, and functions that go to them."""

from __future__ import annotations

import concurrent.futures
import contextlib
import functools
import uuid
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from tfgmm.common.checks import is_instance_of
from tfgmm.common.extras import imported
from tfgmm.data.blocks import RowBlock
from tfgmm.data.containers import dtype_fix
from tfgmm.data.files.kinds import words_if_not_numbers
from tfgmm.data.shards.chosen_columns import Schema, ShardColumns
from tfgmm.data.shards.dask_parts import NUMBER_KINDS, PartitionReader, answer_of, blocks_of, same, sums_of
from tfgmm.data.shards.eights import EIGHT, added

_COMPARED = ("tfgmm", "numpy")  # what decides the bytes: the same on all workers


class DaskEngine:
    """The partitions of a Dask DataFrame, or the chunks of rows of a Dask Array.

    Nothing that a worker holds is lost with it: all of it are results of tasks, which Dask does again.

    Args:
        data: The frame or array.
        columns: The columns to read.
        name: What the caller's argument is called in error messages.

    Raises:
        ValueError: There is no client.
        RuntimeError: Workers have other versions of tfgmm or NumPy.
    """

    name = "Dask"

    def __init__(self, data: Any, columns: ShardColumns, name: str) -> None:
        self._client = client_of(name)
        check_versions(self._client)
        self._data_name = name
        self._reader = PartitionReader(name, columns)
        self._partitions: list[Any] = _delayed_partitions(data, columns)
        self._held: list[Any] = []

    @staticmethod
    def schema(data: Any, name: str) -> Schema:
        """Reads names and types of the columns, and no rows.

        Raises:
            TypeError: An array does not hold real numbers.
            ValueError: An array has not two axes.
        """
        if is_instance_of(data, "dask.array", "Array"):
            return _schema_of_array(data, name)
        labels = list(data.columns)
        is_named = labels != list(range(len(labels)))
        return Schema(tuple(map(str, labels)), tuple(map(_contents, data.dtypes)), is_named)

    def survey(self, function: Callable[[int, Iterator[RowBlock]], Any]) -> list[Any]:
        """Makes one pass over all partitions; lists the answers in their order."""
        with self._failures_named() as begun:
            answers = self._pass(answer_of, "survey", function)
            begun += answers
            return list(self._client.gather(answers))

    def hold(self, function: Callable[[int, Iterator[RowBlock]], Iterator[RowBlock]]) -> None:
        """Has the workers make the blocks of each partition, and keep them until `release`."""
        self.release()
        with self._failures_named():
            self._held = self._pass(blocks_of, "hold", function)

    def sums(self, function: Callable[[int, Iterator[RowBlock]], np.ndarray]) -> np.ndarray:
        """Adds an array of the held blocks of each partition: by eights in their order, and these by eights again."""
        numbers = range(len(self._held))
        with self._failures_named() as begun:
            sent = self._sent(function)
            sums = self._client.map(sums_of, numbers, self._held, function=sent, **_task("sums"))
            begun += [*self._held, *sums]
            while len(sums) > 1:
                groups = [sums[start : start + EIGHT] for start in range(0, len(sums), EIGHT)]
                sums = self._client.map(added, groups, **_task("add"))
            total: np.ndarray = self._client.gather(sums[0])
        return total

    def release(self) -> None:
        """Has the workers forget the blocks."""
        held, self._held = self._held, []
        self._forget(held)

    def _pass(self, task: Callable[..., Any], key: str, function: Callable[..., Any]) -> list[Any]:
        """Begins a task for each partition; a partition is given up as soon as its task is done."""
        numbers, partitions = range(len(self._partitions)), self._client.compute(self._partitions)
        sent = self._sent(functools.partial(task, reader=self._reader, function=function))
        futures: list[Any] = self._client.map(_called, numbers, partitions, task=sent, **_task(key))
        return futures

    def _sent(self, function: Callable[..., Any]) -> Any:
        """Sends a function, with all its numbers, once: workers fetch it from each other."""
        options = _task("function")
        return self._client.submit(same, function, **options | {"key": f"{options['key']}-{uuid.uuid4()}"})

    @contextlib.contextmanager
    def _failures_named(self) -> Iterator[list[Any]]:
        """Says in words which partition failed, and takes back what waits when the caller leaves.

        Yields:
            A list to put futures in: one for each partition, or several times as many.
        """
        begun: list[Any] = []
        try:
            yield begun
        except Exception as error:
            failed = [number % len(self._partitions) for number, future in enumerate(begun) if future.status == "error"]
            is_open = self._is_open
            self._forget(begun, is_failing=True)
            raise _failure(self._data_name, failed, error, is_open) from error
        except BaseException:  # Ctrl-C
            self._forget(begun, is_failing=True)
            raise

    @property
    def _is_open(self) -> bool:
        """Whether the client can still be asked for anything."""
        return self._client.status not in ("closed", "closing")

    def _forget(self, futures: Sequence[Any], is_failing: bool = False) -> None:
        """Has the workers forget results; those of a client that is closed are forgotten without a word.

        Args:
            futures: The results.
            is_failing: Whether an error is on its way, which matters more than one from here.
        """
        if not futures or not self._is_open:
            return
        try:
            self._client.cancel(list(futures))
        except Exception:
            if self._is_open and not is_failing:
                raise


def _called(number: int, partition: Any, task: Callable[..., Any]) -> Any:
    return task(number, partition)


def _task(key: str) -> dict[str, Any]:
    """Lists what Dask is told of tasks: each is done, whatever was done before; one that fails is not tried again."""
    return {"key": f"tfgmm-{key}", "pure": False, "retries": 0}


def client_of(name: str) -> Any:
    """Finds the client that Dask finds itself.

    Raises:
        ModuleNotFoundError: distributed is not installed.
        ValueError: There is none, or one for asynchronous use; or this is a task that keeps its worker busy.
    """
    distributed = imported("distributed", "Dask's distributed", "dask")
    if _is_in_task(distributed):
        raise ValueError(
            f"`{name}` must be fitted outside the tasks of its cluster, or the task waits for the worker that it keeps "
            "busy. Received: a fit inside a task. Put the call below `with distributed.worker_client():`, which frees "
            "the worker."
        )
    start = "Start one before: from distributed import Client; client = Client()."
    try:
        client = distributed.default_client()
    except ValueError:
        raise ValueError(
            f"`{name}` must come with a Dask client, whose workers do the work. Received: no client. {start}"
        ) from None
    if client.asynchronous:
        raise ValueError(
            f"`{name}` must come with a Dask client that waits for results. Received: an asynchronous one. {start}"
        )
    return client


def _is_in_task(distributed: Any) -> bool:
    """Tells whether this thread does a task, and has not left the worker's threads, as `secede` has it do."""
    task, thread = distributed.worker.thread_state, distributed.threadpoolexecutor.thread_state
    return hasattr(task, "key") and not getattr(task, "actor", False) and getattr(thread, "proceed", False)


def check_versions(client: Any) -> None:
    """Checks that all workers have the versions of this process: Raises RuntimeError otherwise.

    Other versions may add in another order, and others of tfgmm may not know what they are sent.

    Warns:
        UserWarning: There are no workers yet.
    """
    found = client.get_versions(packages=list(_COMPARED))
    if not found["workers"]:
        warnings.warn(
            "The Dask cluster has no workers: the fit waits until some have come.",
            UserWarning,
            stacklevel=6,  # the line that calls `fit_mixture`
        )
    here = found["client"]["packages"]
    for worker, versions in found["workers"].items():
        for package in _COMPARED:
            there = versions["packages"].get(package)
            if there != here.get(package):
                raise RuntimeError(
                    f"{package} {here.get(package)} must be installed on every worker, as here. "
                    f"Received: {'none' if there is None else there} on worker {worker}. "
                    "See docs/clusters.md for what workers need."
                )


def _schema_of_array(array: Any, name: str) -> Schema:
    if array.ndim != 2:
        raise ValueError(
            f"`{name}` must have shape (N, D). Received: a Dask Array with {array.ndim} axes. Reshape it before."
        )
    if array.dtype.kind not in NUMBER_KINDS or type(array._meta) is not np.ndarray:
        kind = f"dtype {array.dtype}" if type(array._meta) is np.ndarray else type(array._meta).__name__
        raise TypeError(
            f"`{name}` must hold real numbers in NumPy arrays. Received: {kind}. {dtype_fix(name, array.dtype)}"
        )
    names = tuple(map(str, range(array.shape[1])))
    return Schema(names, ("",) * len(names), is_named=False)


def _contents(kind: Any) -> str:
    """Says what a column of a pandas type holds; "" for numbers, and categories that are numbers."""
    if is_instance_of(kind, "pandas", "CategoricalDtype"):
        categories = kind.categories
        is_known = categories is not None and "__UNKNOWN_CATEGORIES__" not in categories
        return "" if is_known and _contents(categories.dtype) == "" else "categorical"
    if is_instance_of(kind, "pandas", "ArrowDtype"):
        return words_if_not_numbers(kind.pyarrow_dtype)
    if is_instance_of(kind, "pandas", "StringDtype"):
        return "text"
    is_object = isinstance(kind, np.dtype) and kind.kind == "O"
    return "" if getattr(kind, "kind", "O") in NUMBER_KINDS else "objects of any kind" if is_object else str(kind)


def _delayed_partitions(data: Any, columns: ShardColumns) -> list[Any]:
    """Lists the partitions, with only the columns that are read."""
    if is_instance_of(data, "dask.array", "Array"):
        return list(data.rechunk({1: -1}).to_delayed().ravel())
    labels = {str(label): label for label in data.columns}
    return list(data[[labels[label] for label in columns.to_read]].to_delayed())


def _failure(name: str, failed: Sequence[int], error: Exception, is_open: bool) -> RuntimeError:
    """Makes the error for a pass that did not get to its end."""
    if not is_open:
        return RuntimeError(
            f"`{name}` must have an open Dask client until the fit ends. Received: a client that was closed, or that "
            "has lost its scheduler. Start one, make the frame anew, and fit again."
        )
    where = f"partition {failed[0]}" if failed else "the work on the partitions"
    if is_instance_of(error, "distributed", "KilledWorker"):
        return RuntimeError(
            f"`{name}` must be in partitions that workers have memory for. Received: {where}, at which several workers "
            "died one after the other. Make the partitions smaller, or give the workers more memory."
        )
    said = str(error).splitlines()[0].rstrip(".")[:300] if str(error) else "no words"
    if isinstance(error, concurrent.futures.CancelledError):
        return RuntimeError(
            f"`{name}` must be there until the fit ends. Received: {where} was cancelled ({said}). It was made by "
            "another client, or scattered to a worker that died, or client.restart() was called. Make the frame anew "
            "with this client, from files for example, and fit again."
        )
    look = f"Look at it alone: {name}.partitions[{failed[0]}].compute()." if failed else "Look at the cluster's log."
    return RuntimeError(f"{where} of `{name}` could not be worked on. Received: {type(error).__name__}: {said}. {look}")
