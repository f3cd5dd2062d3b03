"""Dask's DataFrames and Arrays: partitions that stay with the workers, and functions that go to them."""

from __future__ import annotations

import contextlib
import functools
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from tfgmm.common.checks import is_instance_of
from tfgmm.common.extras import imported
from tfgmm.data.blocks import RowBlock
from tfgmm.data.containers import dtype_fix
from tfgmm.data.files.kinds import words_if_not_numbers
from tfgmm.data.shards.chosen_columns import Schema, ShardColumns
from tfgmm.data.shards.dask_parts import NUMBER_KINDS, PartitionReader, added, answer_of, blocks_of, same, sums_of

_TOGETHER = 8  # sums that one task adds
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

    @property
    def num_parts(self) -> int:
        """The number of partitions."""
        return len(self._partitions)

    def survey(self, function: Callable[[int, Iterator[RowBlock]], Any]) -> list[Any]:
        """Makes one pass over all partitions; lists the answers in their order."""
        answers = self._pass(answer_of, "survey", function)
        with self._failures_named(answers):
            return list(self._client.gather(answers))

    def hold(self, function: Callable[[int, Iterator[RowBlock]], Iterator[RowBlock]]) -> None:
        """Has the workers make the blocks of each partition, and keep them until `release`."""
        self.release()
        self._held = self._pass(blocks_of, "hold", function)

    def sums(self, function: Callable[[int, Iterator[RowBlock]], np.ndarray]) -> np.ndarray:
        """Adds an array of the held blocks of each partition: by eights in their order, and these by eights again."""
        numbers = range(len(self._held))
        sent = self._sent(function)
        sums = self._client.map(sums_of, numbers, self._held, function=sent, **_task("sums"))
        of_parts = sums
        with self._failures_named([*self._held, *of_parts]):
            while len(sums) > 1:
                groups = [sums[start : start + _TOGETHER] for start in range(0, len(sums), _TOGETHER)]
                sums = self._client.map(added, groups, **_task("add"))
            total: np.ndarray = self._client.gather(sums[0])
        return total

    def release(self) -> None:
        """Has the workers forget the blocks."""
        held, self._held = self._held, []
        if held:
            self._client.cancel(held)

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
    def _failures_named(self, futures: Sequence[Any]) -> Iterator[None]:
        """Says in words which partition failed, and takes back what waits when the caller leaves.

        Args:
            futures: One for each partition, or several times as many.
        """
        try:
            yield
        except Exception as error:
            failed = [number % self.num_parts for number, future in enumerate(futures) if future.status == "error"]
            self._client.cancel(list(futures))
            raise _failure(self._data_name, failed, error) from error
        except BaseException:  # Ctrl-C
            self._client.cancel(list(futures))
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
        ValueError: There is none, or one for asynchronous use.
    """
    distributed = imported("distributed", "Dask's distributed", "dask")
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


def check_versions(client: Any) -> None:
    """Checks that all workers have the versions of this process: Raises RuntimeError otherwise.

    Other versions may add in another order, and others of tfgmm may not know what they are sent.
    """
    found = client.get_versions(packages=list(_COMPARED))
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


def _failure(name: str, failed: Sequence[int], error: Exception) -> RuntimeError:
    """Makes the error for a pass that did not get to its end."""
    where = f"partition {failed[0]}" if failed else "the work on the partitions"
    if is_instance_of(error, "distributed", "KilledWorker"):
        return RuntimeError(
            f"`{name}` must be in partitions that workers have memory for. Received: {where}, at which several workers "
            "died one after the other. Make the partitions smaller, or give the workers more memory."
        )
    said = str(error).splitlines()[0].rstrip(".")[:300] if str(error) else "no words"
    look = f"Look at it alone: {name}.partitions[{failed[0]}].compute()." if failed else "Look at the cluster's log."
    return RuntimeError(f"{where} of `{name}` could not be worked on. Received: {type(error).__name__}: {said}. {look}")
