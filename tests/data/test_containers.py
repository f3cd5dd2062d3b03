"""The rows and columns that come in, in whatever container, are those that are fitted; or words name the conversion."""

from __future__ import annotations

import array
import collections
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse
from tables_of_rows import FRAME, NAMES, TABLE, VALUES, message_of

from tfgmm.data.sources import open_source

MASK = np.array([[False, True], [False, False], [True, False]])
WITH_GAPS = np.where(MASK, np.nan, VALUES)


def xarray() -> Any:
    return pytest.importorskip("xarray")


def torch() -> Any:
    return pytest.importorskip("torch")


def tensorflow() -> Any:
    return pytest.importorskip("tensorflow")


class WithArray:
    """Offers its numbers in NumPy's way alone."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return VALUES


class WithStream:
    """Offers its columns in Arrow's way alone."""

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        return TABLE.__arrow_c_stream__()


class ArrayWithLongStream(WithArray):
    """An array whose stream has a row for each number, and an attribute for each coordinate, as xarray's have."""

    shape, ndim = VALUES.shape, 2

    def __init__(self) -> None:
        self.columns = NAMES

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        return pa.table({"values": VALUES.ravel()}).__arrow_c_stream__()


class Lazy(WithArray):
    """What is worked out when NumPy asks, as Dask's collections are."""

    shape, columns = VALUES.shape, NAMES

    def __dask_graph__(self) -> Any:
        return {}


class FrameWithoutStream(WithArray):
    """A frame whose names nobody would see."""

    columns = NAMES


class DistributedFrame:
    """As Spark's."""

    columns = NAMES

    def collect(self) -> Any:
        return []

    def toPandas(self) -> Any:
        return FRAME


def xarray_with_names() -> Any:
    return xarray().DataArray(VALUES, dims=("row", "columns"), coords={"columns": list(NAMES)})


# Container -> function that makes it; its numbers are VALUES
ARRAYS: dict[str, Callable[[], Any]] = {
    "array": lambda: VALUES,
    "by columns": lambda: np.asfortranarray(VALUES),
    "read-only": lambda: np.broadcast_to(VALUES, VALUES.shape),
    "list": VALUES.tolist,
    "tuple of tuples": lambda: tuple(map(tuple, VALUES)),
    "list of arrays": lambda: list(VALUES),
    "list of named tuples": lambda: [collections.namedtuple("Row", NAMES)(*row) for row in VALUES],
    "matrix": lambda: VALUES.view(np.matrix),
    "masked, no cell": lambda: np.ma.masked_array(VALUES),
    "tuple of one": lambda: (VALUES,),
    "__array__": WithArray,
    "__array__ and a long stream": ArrayWithLongStream,
    "tf.Tensor": lambda: tensorflow().constant(VALUES),
    "tf.Variable": lambda: tensorflow().Variable(VALUES),
    "keras.Variable": lambda: pytest.importorskip("keras").Variable(VALUES, dtype="float64"),
    "torch": lambda: torch().tensor(VALUES),
    "jax": lambda: pytest.importorskip("jax.numpy").asarray(VALUES),
    "xarray": lambda: xarray().DataArray(VALUES, dims=("row", "column")),
    "xarray with names": xarray_with_names,
    "xarray variable": lambda: xarray().Variable(("row", "column"), VALUES),
    "frame without names": lambda: pd.DataFrame(VALUES),
}
TABLES: dict[str, Callable[[], Any]] = {
    "pandas": lambda: FRAME,
    "pandas nullable": FRAME.convert_dtypes,
    "pandas sparse": lambda: FRAME.astype(pd.SparseDtype(float, 0.0)),
    "polars": lambda: pl.DataFrame(dict(zip(NAMES, VALUES.T, strict=True))),
    "narwhals": lambda: pytest.importorskip("narwhals").from_native(FRAME),
    "pyarrow table": lambda: TABLE,
    "record batch": lambda: TABLE.to_batches()[0],
    "record batch reader": lambda: TABLE.to_reader(),
    "stream": WithStream,
}
GAPS: dict[str, Callable[[], Any]] = {
    "masked": lambda: np.ma.masked_array(VALUES, MASK),
    "masked float32": lambda: np.ma.masked_array(VALUES.astype(np.float32), MASK),
    "list of masked rows": lambda: list(np.ma.masked_array(VALUES, MASK)),
    "pandas NA": lambda: FRAME.convert_dtypes().mask(MASK),
    "polars null": lambda: pl.DataFrame(
        {n: [None if np.isnan(v) else v for v in c] for n, c in zip(NAMES, WITH_GAPS.T)}
    ),
}


@pytest.mark.parametrize("kind", [*ARRAYS, *TABLES])
def test_the_rows_and_columns_that_come_in_are_read(kind: str) -> None:
    rows = open_source((ARRAYS | TABLES)[kind](), "x", None)
    np.testing.assert_allclose(rows.values, VALUES, rtol=1e-6)  # JAX's are float32
    assert rows.values.shape == VALUES.shape and rows.column_names == (NAMES if kind in TABLES else None)


@pytest.mark.parametrize("kind", GAPS)
def test_masked_cells_are_gaps(kind: str) -> None:
    np.testing.assert_allclose(open_source(GAPS[kind](), "x", None).values, WITH_GAPS, rtol=1e-6)


def rec_array() -> Any:
    return FRAME.to_records(index=False)


# Container -> function that makes it, and what the error says to do
REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "dict of columns": (lambda: dict(zip(NAMES, VALUES.T)), "pandas.DataFrame(x)"),
    "list of dicts": (lambda: FRAME.to_dict("records"), "pandas.DataFrame(x)"),
    "structured": (lambda: np.array([(1.0, 2.0)], [("a", float), ("b", float)]), "pandas.DataFrame(x)"),
    "records": (rec_array, "pandas.DataFrame(x)"),
    "generator": (lambda: (row for row in VALUES), "list(x)"),
    "map": (lambda: map(list, VALUES), "list(x)"),
    "zip": (lambda: zip(*VALUES.T), "list(x)"),
    "set": (lambda: {(1.0, 2.0)}, "a list of rows"),
    "values of a dict": (lambda: dict(zip(NAMES, VALUES.T)).values(), "numpy.column_stack(list(x))"),
    "bytes": (VALUES.tobytes, "numpy.frombuffer(x)"),
    "open file": (lambda: io.StringIO("a,b\n1,2\n"), "pandas.read_csv(x)"),
    "buffer": (lambda: array.array("d", [1.0, 2.0]), "numpy.asarray"),
    "pandas series": (lambda: FRAME["waiting"], "x.to_frame()"),
    "pandas index": (lambda: pd.Index([1.0, 2.0]), "np.asarray(x)[:, None]"),
    "polars series": (lambda: pl.Series([1.0]), "x.to_frame()"),
    "polars lazy": (lambda: pl.LazyFrame({"a": [1.0]}), "x.collect()"),
    "narwhals lazy": (lambda: pytest.importorskip("narwhals").from_native(pl.LazyFrame({"a": [1.0]})), "x.collect()"),
    "pyarrow array": (lambda: pa.array([1.0]), "pyarrow.table({'name': x})"),
    "pyarrow chunks": (lambda: TABLE.column(0), "pyarrow.table({'name': x})"),
    "pyarrow struct": (lambda: pa.array([{"a": 1.0}]), "pyarrow.Table.from_struct_array(x)"),
    "pyarrow tensor": (lambda: pa.Tensor.from_numpy(VALUES), "x.to_numpy()"),
    "sparse matrix": (lambda: scipy.sparse.csr_matrix(VALUES), "x.toarray()"),
    "sparse array": (lambda: scipy.sparse.coo_array(VALUES), "x.toarray()"),
    "xarray dataset": (lambda: xarray().Dataset({"a": ("row", VALUES[:, 0])}), "x.to_dataframe()"),
    "xarray column": (lambda: xarray().DataArray(VALUES[:, 0], dims=("row",)), "np.asarray(x)[:, None]"),
    "xarray cube": (lambda: xarray().DataArray(VALUES[None]), "one row per observation"),
    "ragged": (lambda: tensorflow().ragged.constant(VALUES.tolist()), "x.to_tensor()"),
    "tf sparse": (lambda: tensorflow().sparse.from_dense(VALUES), "tf.sparse.to_dense(x)"),
    "torch with gradient": (lambda: torch().tensor(VALUES, requires_grad=True), "x.detach()"),
    "torch bfloat16": (lambda: torch().tensor(VALUES).bfloat16(), ".double().cpu().numpy()"),
    "torch sparse": (lambda: torch().tensor(VALUES).to_sparse(), ".to_dense()"),
    "jax bfloat16": (lambda: pytest.importorskip("jax.numpy").ones((3, 2), "bfloat16"), "x.astype('float32')"),
    "not worked out": (Lazy, "x.compute()"),
    "names but no stream": (FrameWithoutStream, "x.to_pandas()"),
    "distributed": (DistributedFrame, "x.toPandas()"),
    "rows and labels": (lambda: (VALUES, VALUES[:, 0], VALUES[:, 0]), "rows only"),
    "rows and labels as series": (lambda: (FRAME, FRAME["waiting"], None), "rows only"),
    "list of pandas columns": (
        lambda: [FRAME[name] for name in NAMES],
        "pandas.concat(x, axis=1) if these are columns",
    ),
    "tuple of pandas columns": (lambda: tuple(FRAME[name] for name in NAMES), "a tuple of pandas.Series"),
    "list of pandas rows": (lambda: [row for _, row in FRAME.iterrows()], "pandas.DataFrame(x) if they are rows"),
    "list of polars columns": (lambda: [pl.Series(name, FRAME[name]) for name in NAMES], "polars.DataFrame(x)"),
    "list of pyarrow columns": (lambda: [pa.array(column) for column in VALUES.T], "pyarrow.table(x, names=[...])"),
    "list of pyarrow chunks": (lambda: list(TABLE.columns), "pyarrow.table(x, names=[...])"),
    "list of column arrays": (
        lambda: list(VALUES.T),
        "a list of 2 arrays with 3 numbers each. Pass numpy.column_stack(x)",
    ),
    "tuple of column arrays": (lambda: tuple(VALUES.T), "numpy.column_stack(x) if these are columns"),
    "number": (lambda: 3.0, "numpy.asarray"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_the_rest_is_refused_in_words_that_name_the_conversion(kind: str) -> None:
    make, conversion = REFUSED[kind]
    message = message_of((TypeError, ValueError), open_source, make(), "x", None)
    assert message.startswith("`x` must ") and conversion in message.rpartition("Received: ")[2], message


def test_the_conversion_of_columns_gives_their_numbers_and_names() -> None:
    series = [FRAME[name] for name in NAMES]
    for table in (pd.concat(series, axis=1), pd.DataFrame([row for _, row in FRAME.iterrows()])):
        assert open_source(table, "x", None).column_names == NAMES
    by_polars = open_source(pl.DataFrame([pl.Series(name, FRAME[name]) for name in NAMES]), "x", None)
    by_arrow = open_source(pa.table(list(TABLE.columns), names=list(NAMES)), "x", None)
    for rows in (by_polars, by_arrow):
        assert rows.column_names == NAMES and rows.values.tolist() == VALUES.tolist()


def test_fewer_arrays_than_numbers_are_rows_where_the_model_has_as_many_columns() -> None:
    assert open_source(list(VALUES[:1]), "x", 2).values.tolist() == VALUES[:1].tolist()
    assert open_source(list(VALUES[:1]), "x", 2, NAMES).column_names == NAMES
    assert open_source(VALUES.T.tolist(), "x", None).values.shape == (2, 3)  # lists of numbers are rows


def test_files_of_arrays_name_the_arrays_in_them(tmp_path: Any) -> None:
    np.savez(tmp_path / "m.npz", rows=VALUES)
    with np.load(tmp_path / "m.npz") as file:
        assert "x['rows']" in message_of(TypeError, open_source, file, "x", None)


@pytest.mark.parametrize("kind", ["torch with gradient", "torch bfloat16", "torch sparse"])
def test_the_conversion_of_tensors_gives_their_numbers(kind: str) -> None:
    tensor = REFUSED[kind][0]()
    rows = open_source(tensor.detach().to_dense().double().cpu().numpy(), "x", None)
    np.testing.assert_allclose(rows.values, VALUES, rtol=1e-2)
