"""Spark DataFrames as rows in parts."""

from __future__ import annotations

import decimal
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import spark_sessions

from tfgmm.data.carried.asked import Asked
from tfgmm.data.shards import spark_engine
from tfgmm.data.shards.chosen_columns import chosen_columns
from tfgmm.data.shards.spark_engine import SparkEngine

ODD_NAME = "a.b `c`"


def engine_of(frame: Any, weights: str | None = None, noise: Mapping[str, str] | None = None) -> SparkEngine:
    asked = Asked(weights, noise, "integrate")
    return SparkEngine(frame, chosen_columns("data", SparkEngine.schema(frame, "data"), asked), "data")


def by_eights(arrays: list[np.ndarray]) -> np.ndarray:
    """Adds in the order that is promised, written out for up to 64 arrays."""
    eights = [sum(arrays[start + 1 : start + 8], arrays[start]) for start in range(0, len(arrays), 8)]
    return sum(eights[1:], eights[0])


@pytest.fixture(scope="module")
def mixed(spark: Any) -> tuple[Any, list[list[Any]]]:
    """A frame of four partitions, the third of them empty, and its rows as Python has them."""
    amounts = [None if i % 7 == 0 else decimal.Decimal(i) / 8 for i in range(40)]
    rows = [[i, 0.1 * i, amounts[i], None if i == 5 else i % 2 == 0, i * 2**40] for i in range(40)]
    frame = spark.createDataFrame(rows, "a smallint, x double, amount decimal(12,3), flag boolean, large bigint")
    places = frame.selectExpr("*", "IF(a < 10, 0, IF(a < 20, 1, 3)) AS place")
    parts = places.repartitionById(4, places.place).drop("place")
    return parts.toDF(ODD_NAME, "x", "amount", "flag", "X"), rows


def test_parts_are_those_of_the_frame_in_its_order(mixed: tuple[Any, list[list[Any]]]) -> None:
    frame, rows = mixed
    engine = engine_of(frame, "X", {"x": "amount"})
    assert engine.num_parts == 4

    answers = engine.survey(spark_sessions.facts)

    assert [number for number, *_ in answers] == [0, 1, 2, 3]
    assert [len(blocks) for _, _, blocks, _ in answers] == [1, 1, 0, 1]
    assert not any(has_tensorflow for *_, has_tensorflow in answers)
    expected = np.array(rows, dtype=np.float64)
    for (_, _, (block,), _), part in zip([answers[0], answers[1], answers[3]], np.split(expected, [10, 20])):
        np.testing.assert_array_equal(block.values, part[:, [0, 1, 3]])
        np.testing.assert_array_equal(block.weights, part[:, 4])
        np.testing.assert_array_equal(block.noise[:, 1], part[:, 2])
        assert not block.noise[:, [0, 2]].any() and block.values.dtype == np.float64


def test_held_blocks_are_added_by_eights(spark: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    frame = spark.range(0, 1000, 1, 9).selectExpr("CAST(sin(id) AS float) AS x")
    engine = engine_of(frame)
    parts = [blocks[0] for _, _, blocks, _ in engine.survey(spark_sessions.facts)]
    assert parts[0].values.dtype == np.float32

    engine.hold(spark_sessions.doubled)
    total = engine.sums(spark_sessions.inverse_cubes)

    held = [list(spark_sessions.doubled(number, iter([part]))) for number, part in enumerate(parts)]
    expected = by_eights([spark_sessions.inverse_cubes(number, iter(part)) for number, part in enumerate(held)])
    assert total.tobytes() == expected.tobytes()
    assert total.tobytes() == engine.sums(spark_sessions.Killing(tmp_path, 7)).tobytes()
    assert (tmp_path / "killed").exists()
    monkeypatch.setattr(spark_engine, "_MOST_BYTES", 0)  # nothing is small enough
    assert total.tobytes() == engine.sums(spark_sessions.inverse_cubes).tobytes()
    engine.release()
    engine.release()
    with pytest.raises(RuntimeError, match="must be held before sums are taken"):
        engine.sums(spark_sessions.inverse_cubes)


def test_columns_are_judged_by_their_types(spark: Any) -> None:
    kinds = "string, timestamp, date, array<double>, struct<a:int>, binary, decimal(5,1), tinyint, varchar(3), void"
    frame = spark.sql("SELECT " + ", ".join(f"CAST(NULL AS {kind}) AS c{i}" for i, kind in enumerate(kinds.split(", "))))
    schema = SparkEngine.schema(frame, "data")
    words = ("text", "timestamp", "date", "array<double>", "struct<a:int>", "binary", "", "", "text", "")
    assert schema.contents == words and schema.names == tuple(f"c{i}" for i in range(10)) and schema.is_named


def test_a_stream_is_refused(spark: Any) -> None:
    frame = spark.readStream.format("rate").load()
    with pytest.raises(TypeError, match="`rows` must have an end. Received: a streaming DataFrame of Spark. Write it"):
        SparkEngine.schema(frame, "rows")
