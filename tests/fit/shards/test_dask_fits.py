"""Fits to Dask's DataFrames and Arrays: by workers without TensorFlow, as in memory, and the same whoever dies."""

from __future__ import annotations

import os
import pathlib
import signal
import threading
import time
import warnings
from collections.abc import Iterator
from typing import Any, cast

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from dask import delayed
from dask_clusters import GatherWatch, loaded, noted, three_clusters, workers

import tfgmm
from tfgmm.data.carried.asked import CarriedColumns
from tfgmm.data.shards.chosen_columns import ShardColumns
from tfgmm.data.shards.rows import ShardRows
from tfgmm.fit.result import FitResult
from tfgmm.fit.shard_batches import released

NAMES = ["a", "b", "c"]
START = np.array([[1.0, 4.0, 0.0], [4.0, 1.0, 2.0], [-3.0, 0.0, 0.0]])


@pytest.fixture(autouse=True)
def small_parts() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".* partitions of ")
        yield


def frame_of(rows: np.ndarray, num_parts: int = 10) -> Any:
    """Makes a frame of partitions of different sizes, of which one is empty."""
    divisions = [0, 3, 4, *np.linspace(5000, len(rows) - 1, num_parts - 2).astype(int).tolist()]
    whole = dd.from_pandas(pd.DataFrame(rows, columns=NAMES), npartitions=1)
    frame = whole.repartition(divisions=divisions, force=True)
    return dd.concat([frame.partitions[:2], frame.partitions[:1].loc[-5:-3], frame.partitions[2:]])


def test_fit_is_that_in_memory_and_workers_load_no_tensorflow(dask_client: Any, tmp_path: pathlib.Path) -> None:
    rows = three_clusters(40_000)
    frame = frame_of(rows)
    assert frame.map_partitions(len).compute().min() == 0
    noted_frame = frame.map_partitions(noted, str(tmp_path), meta=frame._meta)
    options: dict[str, Any] = {"covariance": "full", "start": START, "tolerance": 1e-9}
    with pytest.MonkeyPatch.context() as patch:
        watch = GatherWatch(dask_client)
        patch.setattr(dask_client, "gather", watch)
        found = tfgmm.fit_mixture(noted_frame, 3, **options)
    known = tfgmm.fit_mixture(rows, 3, **options)
    np.testing.assert_allclose(found.elbo, known.elbo, rtol=1e-9)
    np.testing.assert_allclose(found.log_likelihood, known.log_likelihood, rtol=1e-9)
    np.testing.assert_allclose(found.locs, known.locs, rtol=1e-6, atol=1e-7)
    assert (found.column_names, found.data_summary.fingerprint) == (tuple(NAMES), known.data_summary.fingerprint)
    # Where the work was done: never here, and no frame came
    assert 1 <= len(os.listdir(tmp_path)) <= 2 and str(os.getpid()) not in os.listdir(tmp_path)
    assert watch.largest < rows.nbytes / 4
    heavy = dask_client.run(loaded, "tensorflow", "keras", "sklearn", "tfgmm.model", "tfgmm.fit", "tfgmm.families")
    assert [*heavy.values()] == [[], []]
    of_array = tfgmm.fit_mixture(da.from_array(rows, chunks=(9_000, 2)), 3, **options)
    np.testing.assert_allclose(of_array.elbo, known.elbo, rtol=1e-9)
    assert of_array.column_names is None


@pytest.mark.slow
def test_weights_gaps_and_noise_by_column(dask_client: Any) -> None:
    rows = three_clusters(3000)
    rng = np.random.default_rng(1)
    table = pd.DataFrame(rows, columns=NAMES).assign(
        n=rng.integers(0, 3, len(rows)), a_err=rng.uniform(0, 0.5, len(rows))
    )
    table.loc[rng.random(len(rows)) < 0.1, "b"] = np.nan
    options: dict[str, Any] = {"start": START, "sample_weight": "n", "noise": {"a": "a_err"}, "max_sweeps": 20}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of gaps, and of sweeps that are few
        found = tfgmm.fit_mixture(dd.from_pandas(table, npartitions=3), 3, **options)
        known = tfgmm.fit_mixture(table, 3, **options)
    np.testing.assert_allclose(found.elbo, known.elbo, rtol=1e-9)
    assert found.num_data == known.num_data


def test_rows_that_are_refused_are_named(dask_client: Any) -> None:
    table = pd.DataFrame(three_clusters(300), columns=NAMES)
    table.loc[[150, 151, 290], "b"] = np.nan
    frame = dd.from_pandas(table, npartitions=3)
    expected = (
        r"`data` must hold finite numbers. Received: 2 values that are NaN or infinite, the first in row 50 of "
        r"partition 1, column 'b' \(rows count from 0\).*Partitions with such rows: 1 and 2."
    )
    with pytest.raises(ValueError, match=expected):
        tfgmm.fit_mixture(frame, 2, missing="refuse")
    text = frame.map_partitions(with_text, meta=frame._meta)
    with pytest.raises(TypeError, match=r"`data` must have columns of numbers. Received: column 'c' \(text\) in part"):
        tfgmm.fit_mixture(text, 2)
    with pytest.raises(
        ValueError, match="`data` must have at least one row and one column. Received: no rows in 3 part"
    ):
        tfgmm.fit_mixture(frame[frame.a > 1e9], 2)


def with_text(part: pd.DataFrame) -> pd.DataFrame:
    return part.assign(c="x")


def same_bytes(one: FitResult, other: FitResult) -> bool:
    """Tells whether two fits are the same to the last digit."""
    ones, others = (
        [fit.locs, fit.plug_in().log_weights, fit.elbo, fit.history["elbo"], *fit.variational.values().components]
        for fit in (one, other)
    )
    return all(np.asarray(a).tobytes() == np.asarray(b).tobytes() for a, b in zip(ones, others))


def slowly(part: pd.DataFrame, seconds: float) -> pd.DataFrame:
    time.sleep(seconds)
    return part


@pytest.mark.slow
def test_same_bytes_with_1_2_and_4_workers() -> None:
    rows = three_clusters(60_000)
    fits = []
    for number in (1, 2, 4):
        with workers(number):
            fits.append(tfgmm.fit_mixture(frame_of(rows, 20), 3, covariance="full", restarts=2, seed=1, tolerance=1e-9))
    assert same_bytes(fits[0], fits[1]) and same_bytes(fits[0], fits[2])


@pytest.mark.slow
def test_same_bytes_when_workers_are_killed() -> None:
    rows = three_clusters(200_000)
    frame = frame_of(rows, 20).map_partitions(slowly, 0.02, meta=pd.DataFrame(rows[:0], columns=NAMES))
    options: dict[str, Any] = {"covariance": "full", "start": START, "tolerance": 1e-12, "max_sweeps": 30}
    rng = np.random.default_rng(0)
    with workers(2) as client, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the sweeps are few
        begun = time.perf_counter()
        known = tfgmm.fit_mixture(frame, 3, **options)
        seconds = time.perf_counter() - begun
        for _ in range(10):
            killed: list[int] = []
            timer = threading.Timer(float(rng.uniform(0.1, 0.95)) * seconds, kill_one, [client, rng, killed])
            timer.start()
            found = tfgmm.fit_mixture(frame, 3, **options)
            timer.join()
            assert killed and same_bytes(found, known)


def kill_one(client: Any, rng: np.random.Generator, killed: list[int]) -> None:
    [*numbers] = client.run(os.getpid).values()
    killed.append(int(rng.choice(numbers)))
    os.kill(killed[0], signal.SIGKILL)


def deadly(part: pd.DataFrame) -> pd.DataFrame:
    os._exit(1)


@pytest.mark.slow
def test_partitions_that_kill_workers_are_reported() -> None:
    frame = dd.from_pandas(pd.DataFrame(three_clusters(100), columns=NAMES), npartitions=2)
    with workers(2), pytest.raises(RuntimeError, match="several workers died.*Make the partitions smaller"):
        tfgmm.fit_mixture(frame.map_partitions(deadly, meta=frame._meta), 2)


def other_rows_each_time(part: pd.DataFrame) -> pd.DataFrame:
    return part + np.random.default_rng().normal(size=part.shape)


@pytest.mark.slow
def test_rows_that_change_are_refused(dask_client: Any) -> None:
    frame = dd.from_pandas(pd.DataFrame(three_clusters(300), columns=NAMES), npartitions=2)
    with pytest.raises(ValueError, match="`data` must give the same rows in the same order each time"):
        tfgmm.fit_mixture(frame.map_partitions(other_rows_each_time, meta=frame._meta), 2, restarts=1)


@pytest.mark.slow
def test_small_partitions_are_warned_of(dask_client: Any) -> None:
    frame = dd.from_pandas(pd.DataFrame(three_clusters(300), columns=NAMES), npartitions=2)
    expected = "`data` has 2 partitions of 0.0018 MB on average: the work of Dask.*16 to 128 MB"
    with pytest.warns(UserWarning, match=expected):
        tfgmm.fit_mixture(frame, 2, restarts=1)


def test_leaving_in_a_sweep_gives_everything_back(dask_client: Any) -> None:
    class Leaving(
        tfgmm.callbacks.SweepCallback if hasattr(tfgmm.callbacks, "SweepCallback") else tfgmm.callbacks.FitWatcher
    ):  # type: ignore[misc]
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            raise KeyboardInterrupt

    frame = dd.from_pandas(pd.DataFrame(three_clusters(300), columns=NAMES), npartitions=2)
    with pytest.raises(KeyboardInterrupt):
        tfgmm.fit_mixture(frame, 2, restarts=1, callbacks=[Leaving()])
    for _ in range(100):
        names = dask_client.run_on_scheduler(lambda dask_scheduler: [str(name) for name in dask_scheduler.tasks])
        if not any("tfgmm" in name for name in names):
            return
        time.sleep(0.05)
    raise AssertionError(f"still there: {names}")


@pytest.mark.slow
def test_validation_rows_where_they_are(dask_client: Any) -> None:
    rows, others = three_clusters(2000), three_clusters(500, seed=1)
    frame = dd.from_pandas(pd.DataFrame(rows, columns=NAMES), npartitions=2)
    held_out = dd.from_pandas(pd.DataFrame(others, columns=NAMES), npartitions=2)[["c", "a", "b"]]
    table, more = pd.DataFrame(rows, columns=NAMES), pd.DataFrame(others, columns=NAMES)

    def losses(data: Any, validation: Any) -> Any:
        return tfgmm.fit_mixture(data, 3, start=START, validation_data=validation).history["val_loss"]

    known = losses(rows, others)
    for data, validation in ((frame, held_out), (frame, more), (table, held_out)):
        np.testing.assert_allclose(losses(data, validation), known, rtol=1e-9)
    with pytest.raises(ValueError, match="`validation_data` must be rows in memory or in files where several fits"):
        tfgmm.fit_mixture(frame, [2, 3], validation_data=held_out)


def test_releasing_asks_all_and_does_not_hide_what_ended_the_fit() -> None:
    asked: list[str] = []

    class Engine:
        name = "Dask"

        def release(self) -> None:
            asked.append("release")
            raise OSError("gone")

    columns = ShardColumns(("a",), CarriedColumns())
    both: Any = [ShardRows(cast("Any", Engine()), columns, name) for name in ("data", "validation_data")]
    with pytest.raises(ZeroDivisionError), released(*both, None):
        raise ZeroDivisionError
    assert len(asked) == 2
    with pytest.raises(OSError, match="gone"), released(*both):
        pass
    assert len(asked) == 4


def passes(folder: pathlib.Path, num_parts: int) -> float:
    """Counts how often all partitions were read since the last count."""
    files = list(folder.glob("*"))
    number = sum(len(file.read_text().splitlines()) for file in files)
    for file in files:
        file.unlink()
    return number / num_parts


@pytest.mark.slow
def test_validation_rows_are_surveyed_once_and_a_finished_checkpoint_holds_nothing(
    dask_client: Any, tmp_path: pathlib.Path
) -> None:
    table = pd.DataFrame(three_clusters(300), columns=NAMES)
    folders = [tmp_path / "data", tmp_path / "validation"]
    for folder in folders:
        folder.mkdir()
    data, validation = (
        dd.from_pandas(table, npartitions=2).map_partitions(noted, str(folder), meta=table[:0]) for folder in folders
    )
    options: dict[str, Any] = {"start": START, "checkpoint": tmp_path / "fit.ck", "validation_data": validation}
    first = tfgmm.fit_mixture(data, 3, **options)
    assert [passes(folder, 2) for folder in folders] == [2.0, 2.0]  # survey and hold
    again = tfgmm.fit_mixture(data, 3, **options)
    assert [passes(folder, 2) for folder in folders] == [1.0, 1.0]
    assert same_bytes(first, again) and first.history == again.history


@pytest.mark.slow
def test_small_partitions_are_warned_of_at_the_line_that_fits(dask_client: Any) -> None:
    frame = dd.from_pandas(pd.DataFrame(three_clusters(300), columns=NAMES), npartitions=2)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        tfgmm.fit_mixture(frame, 2, start=START[:2], validation_data=frame)
    about_parts = [one for one in caught if "2 partitions of" in str(one.message)]
    assert [str(one.message).split()[0] for one in about_parts] == ["`data`", "`validation_data`"]
    assert [one.filename for one in about_parts] == [__file__] * 2


@pytest.mark.slow
def test_masked_chunks_and_columns_in_another_order_are_those_in_memory(dask_client: Any) -> None:
    rows = three_clusters(300)
    masked = da.from_array(rows, chunks=(100, 3)).map_blocks(
        np.ma.masked_greater, 5.0, meta=np.empty((0, 0)), dtype=float
    )
    table = pd.DataFrame(rows, columns=NAMES)
    parts = [delayed(part) for part in (table[:100], table[100:][["c", "a", "b"]])]
    mixed = dd.from_delayed(parts, meta=table[:0], verify_meta=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of gaps
        pairs = [(masked, np.where(rows > 5.0, np.nan, rows)), (mixed, rows)]
        for data, known in pairs:
            found, expected = (tfgmm.fit_mixture(one, 3, start=START) for one in (data, known))
            np.testing.assert_allclose(found.elbo, expected.elbo, rtol=1e-9)
            np.testing.assert_allclose(found.locs, expected.locs, rtol=1e-6, atol=1e-7)
