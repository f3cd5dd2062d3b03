"""What ends a pass over partitions of Dask, in words: tasks, clients, clusters; and rows where none may be."""

from __future__ import annotations

import warnings
from typing import Any

import dask.array as da
import dask.dataframe as dd
import distributed
import numpy as np
import pandas as pd
import pytest
from dask_clusters import started, three_clusters

import tfgmm
from tfgmm.data.carried.asked import CarriedColumns
from tfgmm.data.shards import dask_engine
from tfgmm.data.shards.chosen_columns import ShardColumns
from tfgmm.data.shards.dask_engine import DaskEngine
from tfgmm.data.shards.dask_parts import PartitionReader
from tfgmm.data.sources import open_source

PLAIN = ShardColumns(("a", "b"), CarriedColumns())

BESIDE: dict[str, tuple[str, Any, str]] = {
    "weights, an array": ("sample_weight", da.ones(6), r"Received: a Dask Array.*Pass sample_weight.compute\(\), in"),
    "weights, a column": (
        "sample_weight",
        dd.from_pandas(pd.Series(np.ones(6)), npartitions=2),
        r"Received: dask.Series. Nothing is computed in silence: pass sample_weight.compute\(\)",
    ),
    "noise, an array": (
        "noise",
        da.ones((6, 2)),
        "Received: a Dask Array, whose rows stay where they are. Pass noise.c",
    ),
    "noise, a frame": (
        "noise",
        dd.from_pandas(pd.DataFrame({"a": np.ones(6), "b": 1.0}), npartitions=2),
        "Received: a Dask DataFrame",
    ),
    "start": ("start", da.ones((2, 2)), "Received: a Dask Array"),
    "start, in a list": (
        "start",
        [da.ones(2), da.zeros(2)],
        r"Received: a list with dask.Array.*pass dask.compute\(\*start\)",
    ),
}


@pytest.mark.parametrize("kind", BESIDE)
def test_what_goes_with_rows_in_memory_is_not_computed(kind: str) -> None:
    argument, data, words = BESIDE[kind]
    table = pd.DataFrame(np.random.default_rng(0).normal(size=(6, 2)), columns=["a", "b"])
    with pytest.raises(TypeError, match=f"`{argument}` must be .*{words}"):
        tfgmm.fit_mixture(table, 2, **{argument: data})


@pytest.mark.parametrize("rows", [[da.ones(2)] * 6, [dd.from_pandas(pd.DataFrame({"a": [1.0]}), npartitions=1)] * 2])
def test_lists_of_rows_in_dask_are_not_computed(rows: Any) -> None:
    with pytest.raises(TypeError, match=r"`x` must be numbers in memory. Received: a list with dask..*compute\(\*x\)"):
        open_source(rows, "x", None)


def fit_in_a_task(table: pd.DataFrame, how: str) -> str:
    data = dd.from_pandas(table, npartitions=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if how == "worker_client":
            with distributed.worker_client():
                return str(tfgmm.fit_mixture(data, 2, restarts=1, max_sweeps=2).num_data)
        try:
            tfgmm.fit_mixture(data, 2, restarts=1)
        except ValueError as error:
            return str(error)
    return "no error"


@pytest.mark.parametrize("processes", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_fits_in_tasks_are_refused_and_those_that_free_their_worker_are_not(processes: bool) -> None:
    table = pd.DataFrame(three_clusters(100), columns=["a", "b", "c"])
    with started(1, processes=processes) as client, client.as_current():
        said = client.submit(fit_in_a_task, table, "as it is").result(timeout=30)
        assert "Received: a fit inside a task. Put the call below `with distributed.worker_client():`" in said
        if processes:
            assert client.submit(fit_in_a_task, table, "worker_client").result(timeout=60) == "100"


def test_a_cluster_without_workers_is_warned_of() -> None:
    class Client:
        def get_versions(self, packages: list[str]) -> dict[str, Any]:
            return {"client": {"packages": dict.fromkeys(packages, "1.0")}, "workers": {}}

    with pytest.warns(UserWarning, match="The Dask cluster has no workers: the fit waits until some have come."):
        dask_engine.check_versions(Client())


class Unwilling:
    """A client that fails at everything, also at cancelling."""

    def __init__(self, status: str, error: Exception) -> None:
        self.status, self.error = status, error

    def gather(self, futures: Any) -> Any:
        raise self.error

    def cancel(self, futures: Any) -> None:
        raise OSError("cancel")

    def compute(self, partitions: Any) -> Any:
        return []

    def submit(self, *arguments: Any, **options: Any) -> Any:
        return None

    def map(self, *arguments: Any, **options: Any) -> Any:
        class Future:
            status = "error" if isinstance(self.error, ZeroDivisionError) else "cancelled"

        return [Future()]


def engine_with(client: Unwilling) -> Any:
    engine: Any = DaskEngine.__new__(DaskEngine)
    engine._client, engine._data_name, engine._reader = client, "data", PartitionReader("data", PLAIN)
    engine._partitions, engine._held = [None], []
    return engine


@pytest.mark.parametrize(
    ("status", "error", "words"),
    [
        ("running", ZeroDivisionError("by zero"), "partition 0 of `data` could not.*ZeroDivisionError: by zero"),
        ("closed", ZeroDivisionError("closed"), "`data` must have an open Dask client until the fit ends. Received: a"),
        (
            "running",
            distributed.client.FutureCancelledError("key", "lost dependencies"),
            r"`data` must be there until the fit ends.*key cancelled for reason: lost dependencies\). It was made by",
        ),
    ],
)
def test_what_ends_a_pass_is_said_whatever_giving_back_says(status: str, error: Exception, words: str) -> None:
    with pytest.raises(RuntimeError, match=words):
        engine_with(Unwilling(status, error)).survey(print)


def test_giving_back_to_a_closed_client_is_no_error() -> None:
    for status in ("closed", "closing"):
        engine = engine_with(Unwilling(status, OSError()))
        engine._held = [1]
        engine.release()
        assert engine._held == []
    engine = engine_with(Unwilling("running", OSError()))
    engine._held = [1]
    with pytest.raises(OSError, match="cancel"):
        engine.release()


@pytest.mark.slow
def test_clients_that_close_in_mid_fit_are_said_to() -> None:
    class Closing(tfgmm.callbacks.FitWatcher):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            client.close()

    table = pd.DataFrame(three_clusters(100), columns=["a", "b", "c"])
    with started(1, processes=False) as client, client.as_current(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(
            RuntimeError, match="`data` must have an open Dask client until the fit ends. Received: a c"
        ):
            tfgmm.fit_mixture(dd.from_pandas(table, npartitions=2), 2, restarts=1, callbacks=[Closing()])


@pytest.mark.slow
def test_clusters_that_restart_in_mid_fit_are_said_to() -> None:
    class Restarting(tfgmm.callbacks.FitWatcher):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            client.restart()

    table = pd.DataFrame(three_clusters(100), columns=["a", "b", "c"])
    with started(1) as client, client.as_current(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(RuntimeError, match=r"was cancelled \(.*client.restart\(\) was called. Make the frame anew"):
            tfgmm.fit_mixture(dd.from_pandas(table, npartitions=2), 2, restarts=1, callbacks=[Restarting()])
