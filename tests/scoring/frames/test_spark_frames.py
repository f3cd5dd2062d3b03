"""score_frame of Spark's frames: lazy, an exact schema, the same scores, and every other column as it was."""

from __future__ import annotations

import datetime
import decimal
import re
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from frames_to_score import ADDED, ALL, NAMES, result

import tfgmm

pytest.importorskip("pyspark", reason="wants pyspark")
pytestmark = pytest.mark.filterwarnings("ignore:PySpark does not yet fully support pandas")

NOON = datetime.datetime(2024, 2, 28, 12)
VALUES = np.random.default_rng(2).normal(size=(24, 2), scale=3.0)


def rows_of() -> list[tuple[Any, ...]]:
    """Makes rows with numbers of three types, with nulls, NaN and infinite values, and values of many other types."""
    rows = []
    for number, (width, height) in enumerate(VALUES.tolist()):
        wide = {2: None, 3: float("nan"), 4: float("inf")}.get(number, width)
        deep = None if number % 3 == 2 else decimal.Decimal(125 * number).scaleb(-3)
        high = round(height) if number != 2 else None
        others = (NOON, NOON.date(), b"raw", ["a", None], {"key": number}, (number,), number % 2 == 0)
        rows.append((f"row {number}", deep, wide, high, *others))
    return rows


SCHEMA = (
    "id string NOT NULL COMMENT 'a name', depth decimal(10,3), width double, height int, `when` timestamp_ntz, "
    "day date, raw binary, `list.of` array<string>, map map<string,bigint>, struct struct<inner:tinyint>, "
    "flag boolean NOT NULL"
)


@pytest.fixture(scope="module")
def frame(spark: Any) -> Any:
    return spark.createDataFrame(rows_of(), SCHEMA).repartition(3)


def expected() -> pd.DataFrame:
    """Scores the rows in memory, by their ids."""
    columns = {"id": 0, "depth": 1, "width": 2, "height": 3}
    frame = pd.DataFrame({name: [row[place] for row in rows_of()] for name, place in columns.items()})
    return tfgmm.score_frame(frame.astype(dict.fromkeys(NAMES, float)), result(), columns=ALL).set_index("id")


@pytest.mark.slow
def test_scores_are_those_of_the_rows_in_memory_and_other_columns_stay(spark: Any, frame: Any) -> None:
    """In batches of five rows, so that partitions have several."""
    spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", "5")
    try:
        scored = tfgmm.score_frame(frame, result(), columns=ALL)
        assert scored.schema.fields[: len(frame.columns)] == frame.schema.fields
        added = scored.schema.fields[len(frame.columns) :]
        kinds = {"float32": "float", "float64": "double", "int64": "bigint"}
        assert {field.name: field.dataType.simpleString() for field in added} == {
            name: kinds[dtype] for name, dtype in ADDED.items()
        }
        assert not any(field.nullable for field in added)
        found = scored.collect()
    finally:
        spark.conf.unset("spark.sql.execution.arrow.maxRecordsPerBatch")
    wanted = expected()
    assert len(found) == len(wanted)
    before = {row[0]: row for row in rows_of()}
    for row in found:
        kept = [tuple(value) if isinstance(value, tuple) else value for value in row[: len(frame.columns)]]
        assert repr(kept) == repr([*before[row.id]])  # as text, in which NaN equals NaN
        for name, dtype in ADDED.items():
            np.testing.assert_array_equal(np.asarray(row[name], dtype), wanted.loc[row.id, name], f"{row.id}, {name}")
    assert {row.id: row.assignment for row in found}["row 4"] == -1


@pytest.mark.slow
def test_workers_load_no_tensorflow(frame: Any) -> None:
    scored = tfgmm.score_frame(frame, result())
    assert scored.select("log_prob").mapInArrow(loaded_there, "name string").collect() == []


def loaded_there(batches: Iterator[Any]) -> Iterator[Any]:
    import pyarrow as pa

    for _ in batches:
        pass
    yield pa.RecordBatch.from_pydict({"name": [name for name in ("tensorflow", "keras") if name in sys.modules]})


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        (
            "id, width, height",
            ValueError,
            "Received: a table, without 'depth'; its columns are 'id', 'width'",
        ),
        ("id AS width, height, depth", TypeError, r"Received: column 'width' \(text\)\. Encode"),
        ("day AS width, height, depth", TypeError, r"Received: column 'width' \(date\)\. Encode"),
        ("*, 1 AS LOG_prob", ValueError, "Received: 'LOG_prob'. Rename them"),
        ("*, id", ValueError, "Received: 'id' more than once"),
        ("*, named_struct('interval', array(INTERVAL '2' YEAR)) AS wait", TypeError, r"Received: 'wait' \(struct<"),
        ("*, make_interval(1) AS wait", TypeError, r"Received: 'wait' \(interval\)"),
        ("*, INTERVAL '2' MONTH AS wait", TypeError, r"Received: 'wait' \(interval month\).*cast"),
    ],
)
@pytest.mark.slow
def test_frames_that_do_not_fit_are_refused_from_their_schema(
    frame: Any, change: str, kind: type[Exception], words: str
) -> None:
    changed = frame.selectExpr(*re.split(r", (?!array)", change))
    with pytest.raises(kind, match=words):
        tfgmm.score_frame(changed, result())


@pytest.mark.slow
def test_names_in_capitals_are_others_where_the_session_says_so(spark: Any, frame: Any) -> None:
    spark.conf.set("spark.sql.caseSensitive", "true")
    try:
        scored = tfgmm.score_frame(frame.selectExpr("*", "1 AS LOG_prob"), result())
        assert scored.columns[-3:] == ["LOG_prob", "log_prob", "assignment"]
        assert scored.count() == 24
    finally:
        spark.conf.unset("spark.sql.caseSensitive")


@pytest.mark.slow
def test_frame_without_rows_and_filters_on_scores(frame: Any) -> None:
    changed = frame.selectExpr("*", "named_struct('interval', 1) AS other", "INTERVAL '2' DAY AS wait")
    scored = tfgmm.score_frame(changed, result(), columns=["outlier"])
    assert tfgmm.score_frame(frame.filter("id = 'none'"), result(), columns=ALL).collect() == []
    wanted = expected()["outlier"]
    assert scored.filter("outlier < 0.3").count() == (wanted < 0.3).sum()


@pytest.mark.slow
def test_noise_and_numbers_beyond_float32(frame: Any) -> None:
    scored = tfgmm.score_frame(frame.selectExpr("*", "0.5D AS error"), result(), noise={"width": "error"}).collect()
    rows = pd.DataFrame(rows_of()).iloc[:, [2, 3, 1]].astype(float).to_numpy()
    wanted = result().log_prob(rows, noise=np.array([[0.5, 0.0, 0.0]] * len(rows)))
    places = [int(row.id.split()[1]) for row in scored]
    np.testing.assert_array_equal(np.float32([row.log_prob for row in scored]), wanted[places])
    from pyspark.errors import PythonException

    huge = frame.drop("width").selectExpr("*", "1e300D AS width").coalesce(1)
    with pytest.raises(PythonException, match=r"1e\+300 in row \d+ of partition 0, column 'width'"):
        tfgmm.score_frame(huge, result()).collect()
