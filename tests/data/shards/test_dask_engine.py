"""Dask's DataFrames and Arrays as rows in parts: what their schema says, how partitions are read, what fails."""

from __future__ import annotations

import decimal
import functools
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import dask.array as da
import dask.dataframe as dd
import distributed
import numpy as np
import pandas as pd
import pytest

from tfgmm.data.blocks import RowBlock
from tfgmm.data.carried.asked import CarriedColumns
from tfgmm.data.shards import dask_engine
from tfgmm.data.shards.chosen_columns import ShardColumns
from tfgmm.data.shards.dask_engine import DaskEngine
from tfgmm.data.shards.dask_parts import PartitionReader
from tfgmm.data.shards.eights import added
from tfgmm.data.sources import open_source

PLAIN = ShardColumns(("a", "b"), CarriedColumns())


def schema_of(frame: pd.DataFrame) -> dict[str, str]:
    schema = DaskEngine.schema(dd.from_pandas(frame, npartitions=1), "data")
    return dict(zip(schema.names, schema.contents))


def test_schema_tells_numbers_from_all_else() -> None:
    numbers = {
        "float": np.zeros(2, np.float32),
        "whole": [1, 2],
        "flag": [True, False],
        "nullable": pd.array([1, None], "Int64"),
        "arrow": pd.array([1.5, None], pd.ArrowDtype(__import__("pyarrow").float32())),
        "grades": pd.Categorical([1, 2]),
    }
    assert set(schema_of(pd.DataFrame(numbers)).values()) == {""}
    others = {
        "words": ["x", "y"],
        "kinds": pd.Categorical(["x", "y"]),
        "when": pd.to_datetime(["2020-01-01", "2020-01-02"]),
        "complex": [1j, 2j],
    }
    found = schema_of(pd.DataFrame(others))
    assert (found["words"], found["kinds"], found["complex"]) == ("text", "categorical", "complex128")
    assert found["when"].startswith("datetime64")
    with_objects = dd.from_pandas(pd.DataFrame({"a": [1.0]}), npartitions=1).assign(b=decimal.Decimal(1))
    assert DaskEngine.schema(with_objects, "data").contents == ("", "objects of any kind")
    unknown = dd.from_pandas(pd.DataFrame({"a": [1, 2]}), npartitions=1).astype("category")
    assert DaskEngine.schema(unknown, "data").contents == ("categorical",)


def test_schema_of_arrays_has_no_names() -> None:
    schema = DaskEngine.schema(da.zeros((4, 2)), "data")
    assert (schema.names, schema.contents, schema.is_named) == (("0", "1"), ("", ""), False)
    unnamed = DaskEngine.schema(dd.from_pandas(pd.DataFrame(np.zeros((4, 2))), npartitions=1), "data")
    assert not unnamed.is_named
    with pytest.raises(ValueError, match=r"`data` must have shape \(N, D\). Received: a Dask Array with 1 axes"):
        DaskEngine.schema(da.zeros(4), "data")
    with pytest.raises(TypeError, match="`data` must hold real numbers.*dtype complex128"):
        DaskEngine.schema(da.zeros((4, 2), dtype=complex), "data")
    of_masks = da.ma.masked_equal(da.zeros((4, 2)), 0)
    with pytest.raises(TypeError, match="Received: MaskedArray"):
        DaskEngine.schema(of_masks, "data")


def read(partition: Any, columns: ShardColumns = PLAIN) -> list[RowBlock]:
    return list(PartitionReader("data", columns).blocks(3, partition))


def test_partitions_are_read_as_numbers() -> None:
    frame = pd.DataFrame({"a": pd.array([1, None, 3], "Int64"), "b": pd.Categorical([10, 20, 10])})
    [block] = read(frame)
    np.testing.assert_array_equal(block.values, [[1.0, 10.0], [np.nan, 20.0], [3.0, 10.0]])
    [single] = read(pd.DataFrame({"a": np.float32([1.5]), "b": np.float32([2.5])}))
    assert single.values.dtype == np.float32
    assert read(frame[:0]) == []
    blocks = read(np.zeros((70_000, 2)))
    assert [len(block.values) for block in blocks] == [65_536, 70_000 - 65_536]
    carried = ShardColumns(("a",), CarriedColumns("w", {"a": "e"}))
    [block] = read(pd.DataFrame({"a": [1, 2], "w": [3, 4], "e": [0.5, 0.25]}), carried)
    assert block.weights is not None and block.noise is not None
    assert (block.values.tolist(), block.weights.tolist(), block.noise.tolist()) == (
        [[1], [2]],
        [3, 4],
        [[0.5], [0.25]],
    )


def test_partitions_that_are_not_what_dask_says_are_refused() -> None:
    for other in ({"b": [1.0]}, {"a": [1.0], "b": [1.0], "c": [1.0]}, {"a": [1.0], "c": [1.0]}):
        with pytest.raises(ValueError, match=r"Received: columns \[.*\] in partition 3"):
            read(pd.DataFrame(other))
    with pytest.raises(ValueError, match=r"Received: columns \['a', 'a'\] in partition 3"):
        read(pd.DataFrame([[1.0, 2.0]], columns=["a", "a"]))
    with pytest.raises(ValueError, match="Received: a NoneType in partition 3"):
        read(None)
    with pytest.raises(ValueError, match=r"Received: shape \(2, 3\) in partition 3"):
        read(np.zeros((2, 3)))
    with pytest.raises(TypeError, match=r"Received: column 'b' \(text\) in partition 3"):
        read(pd.DataFrame({"a": [1.0], "b": ["x"]}))


def test_columns_in_another_order_are_put_in_theirs() -> None:
    [block] = read(pd.DataFrame({"b": [1.0, 2.0], "a": [3.0, 4.0]}))
    assert block.values.tolist() == [[3.0, 1.0], [4.0, 2.0]]


def test_masked_cells_of_chunks_are_gaps() -> None:
    [block] = read(np.ma.MaskedArray([[1.0, 2.0], [3.0, 4.0]], mask=[[False, True], [False, False]]))
    assert not isinstance(block.values, np.ma.MaskedArray)
    np.testing.assert_array_equal(block.values, [[1.0, np.nan], [3.0, 4.0]])
    [whole] = read(np.ma.MaskedArray([[1, 2]], mask=[[True, False]]))
    np.testing.assert_array_equal(whole.values, [[np.nan, 2.0]])


@pytest.mark.parametrize("kind", ["complex128", "<U3", "object"])
def test_chunks_without_numbers_are_refused(kind: str) -> None:
    with pytest.raises(TypeError, match=f"must hold real numbers in every partition. Received: dtype {kind} in parti"):
        read(np.ones((2, 2)).astype(kind))


def test_without_a_client_nothing_is_done() -> None:
    data = dd.from_pandas(pd.DataFrame({"a": [1.0, 2.0]}), npartitions=1)
    with pytest.raises(ValueError, match=r"must come with a Dask client.*Received: no client. Start one before: from"):
        open_source(data, "data", None, may_be_shards=True)


def test_asynchronous_clients_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Asynchronous:
        asynchronous = True

    monkeypatch.setattr(distributed, "default_client", Asynchronous)
    with pytest.raises(ValueError, match="Received: an asynchronous one"):
        dask_engine.client_of("data")


@pytest.mark.parametrize(("there", "words"), [(None, "none on worker tcp://w"), ("0.0.1", "0.0.1 on worker tcp://w")])
def test_workers_with_other_versions_are_refused(there: str | None, words: str) -> None:
    class Client:
        def get_versions(self, packages: list[str]) -> dict[str, Any]:
            here = dict.fromkeys(packages, "1.0")
            return {"client": {"packages": here}, "workers": {"tcp://w": {"packages": here | {"tfgmm": there}}}}

    with pytest.raises(RuntimeError, match=f"tfgmm 1.0 must be installed on every worker, as here. Received: {words}"):
        dask_engine.check_versions(Client())


def test_sums_are_added_in_their_order() -> None:
    sums = [np.array([value]) for value in (1.0, 1e-16, 1e-16, -1.0)]
    assert added(sums).tolist() == [0.0]  # from the left: small ones are lost one by one
    assert sums[0].tolist() == [1.0]


# What is handed to workers


def counted_rows(number: int, blocks: Iterator[RowBlock]) -> tuple[int, int, list[str]]:
    return number, sum(len(block.values) for block in blocks), list(os.environ.get("OMP_NUM_THREADS", ""))


def as_they_are(number: int, blocks: Iterator[RowBlock]) -> Iterator[RowBlock]:
    return (block for block in blocks)


def sum_of_column(number: int, blocks: Iterator[RowBlock]) -> np.ndarray:
    return np.array([sum((float(block.values[:, 0].sum()) for block in blocks), 0.0)])


@pytest.mark.slow
def test_passes_and_held_blocks(dask_client: Any) -> None:
    values = np.random.default_rng(0).lognormal(0.0, 20.0, (300, 1))  # sums depend on their order
    chunks = (3,) * 100
    engine = DaskEngine(da.from_array(values, chunks=(chunks, (1,))), ShardColumns(("0",), CarriedColumns()), "data")
    answers = engine.survey(counted_rows)
    assert [answer[:2] for answer in answers] == [(number, 3) for number in range(100)]
    engine.hold(as_they_are)
    total = engine.sums(sum_of_column)
    level = [float(values[3 * part : 3 * part + 3, 0].sum()) for part in range(100)]
    while len(level) > 1:
        level = [functools.reduce(lambda a, b: a + b, level[start : start + 8]) for start in range(0, len(level), 8)]
    assert total.tolist() == level
    names = dask_client.run_on_scheduler(lambda dask_scheduler: [*dask_scheduler.tasks])
    assert {"tfgmm-hold"} <= {name[:10] for name in map(str, names)}
    engine.release()
    engine.release()
    wait_until(lambda: not left(dask_client))


def left(client: Any) -> list[str]:
    names = client.run_on_scheduler(lambda dask_scheduler: [str(name) for name in dask_scheduler.tasks])
    return [name for name in names if "tfgmm" in name]


def wait_until(is_true: Callable[[], bool]) -> None:
    for _ in range(100):
        if is_true():
            return
        time.sleep(0.05)
    raise AssertionError("it did not come true in 5 seconds")


def failing(number: int, blocks: Iterator[RowBlock]) -> int:
    if number == 2:
        raise OSError("the disk is\nfull.")
    return number


def test_a_partition_that_fails_is_named(dask_client: Any) -> None:
    data = dd.from_pandas(pd.DataFrame({"a": np.arange(8.0), "b": 1.0}), npartitions=4)
    engine = DaskEngine(data, PLAIN, "data")
    expected = (
        r"partition 2 of `data` could not be worked on. Received: OSError: the disk is. Look at it alone: data.par"
    )
    with pytest.raises(RuntimeError, match=expected):
        engine.survey(failing)
    wait_until(lambda: not left(dask_client))


def test_columns_are_chosen_from_the_schema(dask_client: Any) -> None:
    frame = pd.DataFrame({"t": ["x", "y"], "b": [1.0, 2.0], "a": [3, 4], "n": [5, 6]})
    data = dd.from_pandas(frame, npartitions=1)
    source = open_source(data[["a", "b"]], "data", None, ("b", "a"), may_be_shards=True)
    assert (source.column_names, source.num_features) == (("b", "a"), 2)
    carried: dict[str, Any] = {"sample_weight": "n", "may_be_shards": True}
    source = open_source(data[["a", "b", "n"]], "data", None, **carried)
    assert (source.column_names, source.weights_name) == (("a", "b"), "n")
    with pytest.raises(TypeError, match=r"column 't' \(text\). Encode.*select the others: data\[\['b', 'a', 'n'\]\]"):
        open_source(data, "data", None, may_be_shards=True)
    with pytest.raises(ValueError, match="`sample_weight` must name a column of `data`. Received: 'm', not found"):
        open_source(data, "data", None, sample_weight="m", may_be_shards=True)
    with pytest.raises(TypeError, match=r"`sample_weight` must have columns of numbers. Received: column 't' \(text\)"):
        open_source(data[["a", "t"]], "data", None, sample_weight="t", may_be_shards=True)
    with pytest.raises(TypeError, match="`sample_weight` must be the name of a column.*Received: an array"):
        open_source(data[["a"]], "data", None, sample_weight=np.ones(2), may_be_shards=True)
    with pytest.raises(ValueError, match="must be an array for data without column names"):
        open_source(da.zeros((3, 2)), "data", None, sample_weight="n", may_be_shards=True)
    with pytest.raises(ValueError, match="`data` must have the columns that the model was fitted on"):
        open_source(data[["a"]], "data", None, ("b",), may_be_shards=True)
    with pytest.raises(ValueError, match="`data` must have 3 columns of values. Received: 2"):
        open_source(da.zeros((3, 2)), "data", 3, may_be_shards=True)


def test_other_doors_never_collect() -> None:
    data = dd.from_pandas(pd.DataFrame({"a": [1.0, 2.0]}), npartitions=1)
    words = (
        r"`data` must be rows in memory or in files here. Received: a Dask DataFrame.*fit_mixture.*score_frame.*compute"
    )
    with pytest.raises(TypeError, match=words):
        open_source(data, "data", None)
    with pytest.raises(TypeError, match=r"Received: a Dask Array, whose rows stay"):
        open_source(da.zeros((3, 2)), "data", None)
    with pytest.raises(TypeError, match=r"data.to_frame\(\)"):
        open_source(data["a"], "data", None, may_be_shards=True)
