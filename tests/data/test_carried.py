"""Rows carry weights, noise and gaps from every kind of source: whole weights are repeated rows, weight 0 is no row."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from tables_of_rows import write_ipc

from tfgmm.data.files.stored import StoredRows
from tfgmm.data.readers import Rows, open_rows, read_rows
from tfgmm.data.sources import open_source
from tfgmm.data.summary import DataSummary, summarise
from tfgmm.data.survey import check_finite, survey_rows

RANDOM = np.random.default_rng(20)
N = 400
VALUES = RANDOM.normal([0.0, 1e6, -3.0], [1.0, 2.0, 0.1], (N, 3)).round(4)
VALUES[:4, 0] = 1e5  # rows far away, so that centre and spread are quartiles
VALUES[RANDOM.random((N, 3)) < 0.1] = np.nan
VALUES[[5, 250]] = np.nan  # rows without any value
WEIGHTS = RANDOM.integers(0, 4, N).astype(np.float64)
WEIGHTS[[5, 6]] = 2.0, 0.0
SPREADS = RANDOM.random((N, 2)).round(3)
SPREADS[9, 0] = np.inf
VALUES[9, 1] = 7.0  # which infinite noise makes a gap
FRAME = pd.DataFrame(VALUES, columns=["a", "b", "c"]).assign(
    word="x", count=WEIGHTS.astype(int), b_error=SPREADS[:, 0], c_error=SPREADS[:, 1]
)
COLUMNS = ["a", "b", "c"]
NAMED = {"sample_weight": "count", "noise": {"b": "b_error", "c": "c_error"}}
NOISE = np.column_stack([np.zeros(N), SPREADS])


def table(folder: pathlib.Path, **options: Any) -> Any:
    return open_rows(FRAME, columns=COLUMNS, **NAMED, **options)


def array(folder: pathlib.Path, **options: Any) -> Any:
    return open_source(VALUES, "x", 3, sample_weight=WEIGHTS, noise=NOISE, **options)


def of_file(folder: pathlib.Path, suffix: str, **options: Any) -> Any:
    WRITERS[suffix](FRAME, folder / f"one{suffix}")
    return open_rows(folder / f"one{suffix}", columns=COLUMNS, **NAMED, **options)


def of_folder(folder: pathlib.Path, suffix: str, **options: Any) -> Any:
    for number, part in enumerate((FRAME[:150], FRAME[150:151], FRAME[151:])):
        WRITERS[suffix](part, folder / f"{number}{suffix}")
    return open_rows(folder, columns=COLUMNS, **NAMED, **options)


WRITERS: dict[str, Callable[[pd.DataFrame, pathlib.Path], Any]] = {
    ".csv": lambda frame, path: frame.to_csv(path, index=False),
    ".parquet": lambda frame, path: pq.write_table(pa.Table.from_pandas(frame), path, row_group_size=37),
    ".arrow": lambda frame, path: write_ipc(pa.Table.from_pandas(frame, preserve_index=False), path),
}
KINDS = {
    "array": array,
    "pandas": table,
    "polars": lambda folder, **options: open_rows(pl.DataFrame(FRAME), columns=COLUMNS, **NAMED, **options),
    **{f"file{suffix}": functools.partial(of_file, suffix=suffix) for suffix in WRITERS},
    **{f"folder{suffix}": functools.partial(of_folder, suffix=suffix) for suffix in WRITERS},
}
INTEGRATE = {"missing": "integrate"}


def repeated() -> Rows:
    """Builds the same rows without weights: each as often as its weight says."""
    times = WEIGHTS.astype(int)
    rows = open_source(np.repeat(VALUES, times, 0), "x", 3, noise=np.repeat(NOISE, times, 0), **INTEGRATE)
    assert isinstance(rows, Rows)
    return rows


def assert_same_figures(one: DataSummary, other: DataSummary) -> None:
    assert one.num_data == other.num_data and one.fingerprint == other.fingerprint
    for field in ("mean", "scale", "minimum", "maximum", "centre", "spread"):
        np.testing.assert_allclose(getattr(one, field), getattr(other, field), rtol=1e-12, err_msg=field)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_every_kind_are_surveyed_as_their_repetitions(kind: str, tmp_path: pathlib.Path) -> None:
    source = KINDS[kind](tmp_path, **INTEGRATE)
    survey, expected = survey_rows(source, None, 0), survey_rows(repeated(), None, 0)
    summary = survey.summary
    assert_same_figures(summary, expected.summary)
    assert summary.spread[0] < summary.scale[0]  # by quartiles
    kept = (WEIGHTS > 0) & ~np.isnan(VALUES).all(axis=1)
    gaps = np.isnan(VALUES)[kept]
    assert summary.num_rows == kept.sum() and summary.num_weightless == (WEIGHTS == 0).sum()
    assert summary.num_empty == (np.isnan(VALUES).all(axis=1) & (WEIGHTS > 0)).sum() > 0
    assert np.array_equal(summary.gaps, gaps.sum(axis=0) + [0, int(WEIGHTS[9] > 0), 0])
    assert isinstance(summary.num_data, int) and summary.num_data == WEIGHTS[kept].sum()
    assert survey.weights is not None and survey.weights.sum() == summary.num_data
    named = kind != "array"
    assert (summary.weights_name, summary.noise_columns) == (
        ("count", ("", "b_error", "c_error")) if named else ("", ("", "", ""))
    )
    assert source.column_names == (tuple(COLUMNS) if named else None) and source.num_features == 3
    source.close()


@pytest.mark.parametrize("kind", KINDS)
def test_blocks_carry_weights_and_noise_beside_the_rows_that_say_something(kind: str, tmp_path: pathlib.Path) -> None:
    source = KINDS[kind](tmp_path, **INTEGRATE)
    values, weights, noise = (np.concatenate(part) for part in zip(*source.blocks(), strict=True))
    kept = (WEIGHTS > 0) & ~np.isnan(VALUES).all(axis=1)
    expected = np.where(np.isinf(NOISE), np.nan, VALUES)[kept]
    np.testing.assert_array_equal(values, expected)
    np.testing.assert_array_equal(weights, WEIGHTS[kept])
    np.testing.assert_array_equal(noise, np.where(np.isnan(expected), 0.0, NOISE[kept]))
    assert (source.has_weights, source.noise_axes, source.missing) == (True, 1, "integrate")
    source.close()


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_batches_of_files_carry_the_same_rows_in_any_order(suffix: str, tmp_path: pathlib.Path) -> None:
    with of_folder(tmp_path, suffix, **INTEGRATE) as source:
        assert isinstance(source, StoredRows)
        expected = [np.concatenate(part) for part in zip(*source.blocks(), strict=True)]
        for size, shuffle in ((1, False), (33, True), (1000, True)):
            batches = list(source.batches(size, seed=1, epoch=2, shuffle=shuffle))
            assert len(batches) == -(-N // size)  # short ones and empty ones among them
            rest = list(source.batches(size, seed=1, epoch=2, shuffle=shuffle, skip=1))
            assert [len(batch.values) for batch in rest] == [len(batch.values) for batch in batches[1:]]
            found = [np.concatenate(part) for part in zip(*batches, strict=True)]
            lines = [np.column_stack([v, w, n]) for v, w, n in (found, expected)]
            one, other = (line[np.lexsort(np.nan_to_num(line, nan=-9.9).T)] for line in lines)
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("batch", [1, 7, 400])
@pytest.mark.parametrize("form", ["pair", "with None"])
def test_datasets_of_rows_and_weights_are_surveyed_as_repetitions(batch: int, form: str) -> None:
    parts = (VALUES, WEIGHTS) if form == "pair" else (VALUES, None, WEIGHTS)
    source = open_source(tf.data.Dataset.from_tensor_slices(parts).batch(batch), "x", 3, **INTEGRATE)
    expected = survey_rows(open_source(np.repeat(VALUES, WEIGHTS.astype(int), 0), "x", 3, **INTEGRATE), None, 0)
    survey = survey_rows(source, None, 0)
    assert_same_figures(survey.summary, expected.summary)
    assert survey.summary.num_weightless == (WEIGHTS == 0).sum() and survey.summary.weights_name == ""
    again = survey_rows(source, None, 0)  # counts begin anew
    assert again.summary == survey.summary
    rows = open_source(tf.data.Dataset.from_tensor_slices((VALUES[:, :1], None)).batch(9), "x", 1)
    assert not rows.has_weights


@pytest.mark.parametrize("sizes", [[1] * 20, [3, 50, 100], []])
def test_blocks_of_any_size_give_one_summary(sizes: list[int]) -> None:
    rows = repeated()
    whole = survey_rows(rows, None, 0)

    class Cut(Rows):
        def blocks(self) -> Any:
            ends = [0, *np.cumsum(sizes, dtype=int), len(rows.values)]
            return (next(rows.part(slice(*pair)).blocks()) for pair in zip(ends, ends[1:], strict=False))

    cut = survey_rows(Cut(rows.values, noise=rows.noise, missing="integrate"), None, 0)
    assert_same_figures(whole.summary, cut.summary)
    assert whole.summary.gaps == cut.summary.gaps and whole.summary.num_incomplete == cut.summary.num_incomplete


PAIRS: dict[str, Callable[[], Any]] = {
    "with None": lambda: (VALUES, None, WEIGHTS),
    "list": lambda: (VALUES, None, WEIGHTS.tolist()),
    "lists": lambda: (VALUES.tolist(), None, WEIGHTS.tolist()),
    "frame and series": lambda: (FRAME[COLUMNS], None, FRAME["count"]),
    "polars": lambda: (pl.DataFrame(VALUES), None, pl.Series(WEIGHTS)),
    "tensors": lambda: (tf.constant(VALUES), None, tf.constant(WEIGHTS)),
}
ARRAYS: dict[str, Callable[[], Any]] = {
    "int": lambda: WEIGHTS.astype(np.int8),
    "float32": lambda: WEIGHTS.astype(np.float32),
    "list": WEIGHTS.tolist,
    "pandas": lambda: pd.Series(WEIGHTS, index=range(N, 0, -1)),
    "nullable": lambda: pd.Series(WEIGHTS).astype("Int64"),
    "polars": lambda: pl.Series(WEIGHTS),
    "arrow": lambda: pa.array(WEIGHTS),
    "chunks": lambda: pa.chunked_array([WEIGHTS[:9], WEIGHTS[9:]]),
    "every other": lambda: np.repeat(WEIGHTS, 2)[::2],
}


@pytest.mark.parametrize("kind", [*PAIRS, *ARRAYS])
def test_weights_come_as_an_argument_or_in_a_tuple_as_keras_passes_them(kind: str) -> None:
    expected = open_source(VALUES, "x", 3, sample_weight=WEIGHTS, **INTEGRATE)
    if kind in PAIRS:
        source = open_source(PAIRS[kind](), "x", 3, **INTEGRATE)
    else:
        source = open_source(VALUES, "x", 3, sample_weight=ARRAYS[kind](), **INTEGRATE)
    assert isinstance(source, Rows) and isinstance(expected, Rows)
    np.testing.assert_array_equal(source.weights, expected.weights)
    np.testing.assert_array_equal(source.values, expected.values)
    assert source.weights is not None and source.weights.dtype == np.float64


def test_a_tuple_of_rows_and_none_is_rows_alone() -> None:
    for data in ((VALUES[:, :1], None), (VALUES[:, :1], None, None)):
        assert not open_source(data, "x", 1).has_weights


def test_noise_in_arrays_follows_the_columns_to_their_places() -> None:
    full = np.einsum("ni,nj->nij", NOISE, NOISE)
    frame, options = FRAME[COLUMNS], {"noise": NOISE, **INTEGRATE}
    plain = read_rows(VALUES, **options)
    for order in (["c", "a", "b"], COLUMNS):
        places = [COLUMNS.index(label) for label in order]
        turned = read_rows(frame, column_names=order, **options)
        np.testing.assert_array_equal(turned.values, plain.values[:, places])
        np.testing.assert_array_equal(turned.noise, plain.noise[:, places])
        table = pd.DataFrame(NOISE, columns=COLUMNS)[order[::-1]]  # by name, whatever its order
        np.testing.assert_array_equal(
            read_rows(frame, column_names=order, noise=table, **INTEGRATE).noise, turned.noise
        )
        matrices = read_rows(frame, column_names=order, noise=full, **INTEGRATE)
        assert matrices.noise is not None and turned.noise is not None and matrices.noise_axes == 2
        diagonal = np.diagonal(matrices.noise, axis1=1, axis2=2)
        np.testing.assert_allclose(diagonal, turned.noise**2, rtol=1e-15)
        chosen = read_rows(frame, columns=order[:2], noise=NOISE[:, places[:2]], **INTEGRATE)
        np.testing.assert_array_equal(
            chosen.values, read_rows(frame[order[:2]], **INTEGRATE, noise=NOISE[:, places[:2]]).values
        )


def test_infinite_variances_make_gaps_and_gaps_have_no_covariance() -> None:
    values = np.array([[1.0, 2.0], [3.0, np.nan], [5.0, 6.0]])
    noise = np.array([[[1.0, 0.5], [0.5, 2.0]], [[1.0, 9.0], [9.0, np.nan]], [[np.inf, np.nan], [np.nan, 4.0]]])
    rows = read_rows(values, noise=noise, missing="integrate")
    np.testing.assert_array_equal(rows.values, [[1.0, 2.0], [3.0, np.nan], [np.nan, 6.0]])
    expected = [noise[0], [[1.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 4.0]]]
    np.testing.assert_array_equal(rows.noise, expected)
    whole = read_rows(np.array([[1, 2], [3, 4]]), noise=[[np.inf, 0.0], [0.1, np.inf]], missing="integrate")
    np.testing.assert_array_equal(whole.values, [[np.nan, 2.0], [3.0, np.nan]])  # of whole numbers too
    singular = np.array([[[1.0, 2.0], [2.0, 4.0]]], np.float32)  # singular and rounded is allowed
    noise_of_one = read_rows([[1.0, 2.0]], noise=singular + np.float32([[0, 1e-6], [0, 0]])).noise
    assert noise_of_one is not None
    np.testing.assert_array_equal(noise_of_one, noise_of_one.swapaxes(1, 2))


def test_weights_that_are_not_whole_have_a_float_for_n_and_a_fingerprint_of_their_own() -> None:
    values = VALUES[:50, :1]
    values = np.nan_to_num(values)
    halves = summarise(values, weights=np.full(50, 0.5))
    plain = summarise(values)
    assert (halves.num_data, halves.num_rows, plain.num_rows) == (25, 50, 0)
    np.testing.assert_allclose([halves.mean, halves.scale], [plain.mean, plain.scale], rtol=1e-13)
    np.testing.assert_allclose(halves.centre, plain.centre, rtol=1e-13)
    odd = np.linspace(0.1, 1.3, 50)
    weighted = summarise(values, weights=odd)
    assert weighted.num_data == pytest.approx(odd.sum(), rel=1e-14) and isinstance(weighted.num_data, float)
    mean = np.average(values, axis=0, weights=odd)
    np.testing.assert_allclose(weighted.mean, mean, rtol=1e-13)
    np.testing.assert_allclose(
        weighted.scale, np.sqrt(np.average((values - mean) ** 2, axis=0, weights=odd)), rtol=1e-12
    )
    assert len({halves.fingerprint, plain.fingerprint, weighted.fingerprint}) == 3
    tiny = summarise(values, weights=np.full(50, 1e-3))  # N below 1 is a number of rows too
    assert tiny.num_data == pytest.approx(0.05) and DataSummary.from_dict(tiny.to_dict()) == tiny


def test_noise_and_gaps_tell_rows_apart_in_the_fingerprint() -> None:
    values = np.array([[1.0, np.nan], [2.0, 3.0]])
    other_nan = values.copy()
    other_nan[0, 1] = -np.nan
    noise = np.array([[0.1, 0.0], [0.2, 0.3]])

    def fingerprint(values: Any, **options: Any) -> str | None:
        return summarise(read_rows(values, missing="integrate", **options)).fingerprint

    assert fingerprint(values) == fingerprint(other_nan) == fingerprint(values[::-1])
    assert fingerprint(values, noise=noise) == fingerprint(values[::-1], noise=noise[::-1])
    others = {fingerprint(np.nan_to_num(values)), fingerprint(values, noise=noise), fingerprint(values)}
    assert len(others | {fingerprint(values, noise=noise[:, ::-1] + [[0, 0], [0.0, 0.1]])}) == 4


def test_rows_are_split_with_all_that_they_carry() -> None:
    rows = array(pathlib.Path(), **INTEGRATE)
    head, tail = rows.part(slice(0, 100)), rows.part(slice(100, None))
    for field in ("values", "weights", "noise"):
        together = np.concatenate([getattr(head, field), getattr(tail, field)])
        np.testing.assert_array_equal(together, getattr(rows, field))
    assert head.missing == "integrate" and head.num_weightless == rows.num_weightless


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_whole_files_and_rows_without_gaps_carry_them_too(suffix: str, tmp_path: pathlib.Path) -> None:
    expected = array(tmp_path, **INTEGRATE)
    of_folder(tmp_path, suffix, **INTEGRATE).close()
    rows = read_rows(tmp_path, columns=COLUMNS, **NAMED, **INTEGRATE)
    for field in ("values", "weights", "noise"):
        np.testing.assert_array_equal(getattr(rows, field), getattr(expected, field))
    assert (rows.num_empty, rows.num_weightless) == (expected.num_empty, expected.num_weightless)
    whole = np.isfinite(VALUES).all(axis=1) & np.isfinite(NOISE).all(axis=1)
    for dropped in (table(tmp_path, drop_gaps=True), open_rows(tmp_path, columns=COLUMNS, **NAMED, drop_gaps=True)):
        summary = survey_rows(dropped, None, 0).summary
        kept = whole & (WEIGHTS > 0)
        assert summary.num_rows == kept.sum() and summary.num_data == WEIGHTS[kept].sum()
        assert dropped.num_dropped == (~whole).sum() and summary.gaps == ()
        dropped.close()


def test_columns_by_name_are_none_of_the_values(tmp_path: pathlib.Path) -> None:
    frame = FRAME.drop(columns="word")
    frame.to_csv(tmp_path / "x.csv", index=False)
    for data in (frame, tmp_path / "x.csv"):
        assert open_source(data, "x", None, **NAMED, **INTEGRATE).column_names == ("a", "b", "c")  # type: ignore[arg-type]
        rows = open_source(data, "x", None, sample_weight="count", missing="integrate", noise={"a": "b_error"})
        assert rows.column_names == ("a", "b", "c", "c_error") and rows.noise_columns == ("b_error", "", "", "")
    same = read_rows(frame, columns=["a", "b"], noise={"a": "b_error", "b": "b_error"}, **INTEGRATE)
    assert same.noise is not None  # one column of noise may serve two
    np.testing.assert_array_equal(same.noise[:3, 0] > 0, ~np.isnan(same.values[:3, 0]))


def test_rows_to_be_scored_are_all_there_whatever_they_hold() -> None:
    values = np.array([[np.nan, np.nan], [np.inf, 1.0], [1.0, 2.0]])
    noise = np.array([[1.0, np.nan], [0.0, 0.0], [np.inf, 0.5]])
    source = open_source(values, "x", 2, allow_empty=True, noise=noise, missing="integrate")
    (block,) = source.blocks()
    np.testing.assert_array_equal(block.values, [[np.nan, np.nan], [np.inf, 1.0], [np.nan, 2.0]])
    np.testing.assert_array_equal(block.noise, [[0.0, 0.0], [0.0, 0.0], [0.0, 0.5]])


def test_rows_without_weights_noise_and_gaps_are_the_array_itself() -> None:
    values = np.arange(6.0).reshape(3, 2)
    for missing in ("refuse", "integrate"):
        source = open_source(values, "x", 2, missing=missing)
        assert isinstance(source, Rows) and source.values is values
        summary = survey_rows(source, None, 0).summary
        assert (summary.num_rows, summary.gaps, summary.num_incomplete, summary.weights_name) == (0, (), 0, None)
        assert summary == survey_rows(Rows(values), None, 0).summary
    check_finite(open_source(VALUES, "x", 3, **INTEGRATE))


CSV = "a,b\n1.5,2\n,3\nNA,4\nnull,5\n?,6\nNaN,7\n-,8\n9.5,\n"
GAPS = np.array([[1.5, 2], [np.nan, 3], [np.nan, 4], [np.nan, 5], [np.nan, 6], [np.nan, 7], [np.nan, 8], [9.5, np.nan]])
NULLS = [[None if np.isnan(value) else float(value) for value in column] for column in GAPS.T]


def nulls(kind: str, folder: pathlib.Path) -> Any:
    arrow = pa.table({"a": pa.array(NULLS[0]), "b": pa.array(NULLS[1])})
    (folder / "x.csv").write_text(CSV)
    pq.write_table(arrow, folder / "x.parquet")
    frame = pd.DataFrame(GAPS, columns=["a", "b"])
    return {
        "array": GAPS,
        "float32": GAPS.astype(np.float32),
        "masked": np.ma.masked_invalid(GAPS),
        "pandas NaN": frame,
        "pandas NA": frame.astype("Float64"),
        "polars": pl.DataFrame({"a": NULLS[0], "b": NULLS[1]}),
        "arrow": arrow,
        "parquet": folder / "x.parquet",
        "csv": folder / "x.csv",
    }[kind]


@pytest.mark.parametrize(
    "kind", ["array", "float32", "masked", "pandas NaN", "pandas NA", "polars", "arrow", "parquet", "csv"]
)
def test_nulls_of_every_kind_are_the_same_gaps(kind: str, tmp_path: pathlib.Path) -> None:
    source = open_source(nulls(kind, tmp_path), "x", 2, missing="integrate")
    (block,) = source.blocks()
    np.testing.assert_array_equal(block.values, GAPS)
    summary = survey_rows(source, None, 0).summary
    assert (summary.gaps, summary.num_incomplete, summary.gap_columns) == ((6, 1), 7, (0, 1))
    assert summary.fingerprint == survey_rows(read_rows(GAPS, missing="integrate"), None, 0).summary.fingerprint


def test_what_a_summary_says_of_gaps_and_noise_is_said_of_every_column() -> None:
    plain = summarise(VALUES[:1, :1])
    for field, entries in (("gaps", (1, 2)), ("noise_columns", ("a", "b"))):
        with pytest.raises(ValueError, match=f"`{field}` must have num_features=1 entries. Received: 2. Give one"):
            dataclasses.replace(plain, **{field: entries})
