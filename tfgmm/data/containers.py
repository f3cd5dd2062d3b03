"""What people pass as rows and is none: refused with an error that names the conversion.

No package is imported for this: nothing can be of its classes before somebody else has imported it.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Set, ValuesView
from typing import Any

import numpy as np

from tfgmm.common.checks import is_instance_of
from tfgmm.common.words import counted
from tfgmm.data.shards.recognised import check_no_shards, kind_of_shards


def check_kind(name: str, data: Any) -> None:
    """Checks the kind of data: Raises TypeError, with the conversion, for what is no array, table or path."""
    if data is None:
        raise kind_error(name, data, "Pass the data.")
    check_no_shards(name, data)
    if isinstance(data, Mapping):
        raise kind_error(name, data, _fix_for_mapping(name, data))
    for package, class_name, fix in _CLASSES:
        if is_instance_of(data, package, class_name):
            raise kind_error(name, data, fix.format(name))
    for has, fix in _TRAITS:
        if has(data):
            raise kind_error(name, data, fix.format(name))


def check_in_memory(name: str, data: Any) -> None:
    """Checks what goes with rows in memory, as weights do: Raises TypeError where it, or a part of it, is elsewhere.

    Args:
        name: What the caller's argument is called in error messages.
        data: Data of any kind; of lists and tuples the parts are looked at too.
    """
    if isinstance(data, np.ndarray):
        return
    kind = kind_of_shards(data)
    if kind is not None:
        raise TypeError(
            f"`{name}` must be in memory, beside rows in memory. Received: {kind.words}, whose rows stay where they "
            f"are. Pass {kind.compute.format(name)}, in the order of the rows."
        )
    parts = data if isinstance(data, (list, tuple)) else [data]
    kinds = {kind for kind in {type(part) for part in parts} if hasattr(kind, "__dask_graph__")}
    lazy = next((part for part in parts if type(part) in kinds and _is_lazy(part)), None)
    if lazy is not None:
        package = f"{type(lazy).__module__.split('.')[0]}.{type(lazy).__qualname__}"
        received = package if lazy is data else f"a {type(data).__name__} with {package}"
        fix = f"{name}.compute()" if lazy is data else f"dask.compute(*{name})"
        raise TypeError(
            f"`{name}` must be numbers in memory. Received: {received}. Nothing is computed in silence: pass {fix}."
        )


def check_no_columns(name: str, data: Any, num_features: int | None) -> None:
    """Checks a list or tuple: Raises TypeError, with the conversion, where it seems to hold columns and not rows.

    A Series is refused whatever it holds: its names would be lost. Arrays seem to be columns where they are fewer than
    the numbers in each: a mixture is not fitted to fewer rows than columns.

    Args:
        name: What the caller's argument is called in error messages.
        data: Data of any kind.
        num_features: D of the model, which tells rows from columns; None where there is no model.
    """
    if not isinstance(data, (list, tuple)) or not len(data):
        return
    check_in_memory(name, data)
    for package, class_name, fix in _SERIES:
        if any(is_instance_of(part, package, class_name) for part in data[:_FIRST_FEW]):
            what = f"a {type(data).__name__} of {package}.{class_name}"
            raise kind_error(name, data, fix.format(name), what)
    lengths = [part.shape[0] if len(getattr(part, "shape", ())) == 1 else 0 for part in data[:_FIRST_FEW]]
    is_known = num_features is not None and lengths[0] == num_features
    if lengths[0] > len(data) and len(set(lengths)) == 1 and not is_known:
        what = f"a {type(data).__name__} of {counted(len(data), 'array')} with {lengths[0]} numbers each"
        fix = f"Pass numpy.column_stack({name}) if these are columns, numpy.stack({name}) if they are rows."
        raise kind_error(name, data, fix, what)


def kind_error(name: str, data: Any, fix: str, received: str | None = None) -> TypeError:
    """Makes the error for data of another kind, with the sentence that says how to convert it."""
    if received is None:
        received = "None" if data is None else f"{type(data).__module__.split('.')[0]}.{type(data).__qualname__}"
    kinds = "a 2-D array, a DataFrame, an Arrow table or the path of a CSV, Parquet or Arrow file or a folder of them"
    return TypeError(f"`{name}` must be {kinds}. Received: {received.removeprefix('builtins.')}. {fix}")


def is_arrow_table(data: Any) -> bool:
    """Tells whether data that offers an Arrow stream is a table by its own account.

    xarray's arrays offer one too, a long one: a row for each number. What has a shape and no columns is an array.
    """
    if not hasattr(data, "__arrow_c_stream__"):
        return False
    kind = type(data)  # an array may have a coordinate of any name as an attribute
    return hasattr(kind, "columns") or not (hasattr(kind, "shape") and hasattr(kind, "__array__"))


def _fix_for_mapping(name: str, data: Mapping[Any, Any]) -> str:
    if is_instance_of(data, "xarray", "Dataset"):
        return f"Pass {name}.to_dataframe()[[...]] with the names of its columns."
    if isinstance(data, dict):
        return f"Pass pandas.DataFrame({name})."
    first = next(iter(data), None)  # of a file of arrays, as NumPy and h5py open them
    return f"Pass pandas.DataFrame({name}) if it holds columns, or one of its arrays, as {name}[{first!r}]."


_FIRST_FEW = 100  # parts of a list that are looked at
# Columns by themselves, in a list: package, name inside it, what to do
_SERIES = (
    (
        "pandas",
        "Series",
        "Pass pandas.concat({0}, axis=1) if these are columns, pandas.DataFrame({0}) if they are rows.",
    ),
    ("polars", "Series", "Pass polars.DataFrame({0})."),
    ("pyarrow", "Array", "Pass pyarrow.table({0}, names=[...])."),
    ("pyarrow", "ChunkedArray", "Pass pyarrow.table({0}, names=[...])."),
)
# Batches that Python makes: package, name inside it
_LOADERS = (("torch", "utils.data.DataLoader"), ("torch", "utils.data.Dataset"), ("keras", "utils.PyDataset"))
_OF_BATCHES = (
    "Pass its rows as one array, or put a function that yields (B, D) batches of them into "
    "tf.data.Dataset.from_generator."
)
# Classes: package, name inside it, what to do
_CLASSES = (
    ("pandas", "Series", "Pass {0}.to_frame() if it is one column."),
    ("polars", "Series", "Pass {0}.to_frame() if it is one column."),
    ("dask.dataframe", "Series", "Pass {0}.to_frame() if it is one column."),
    ("polars", "LazyFrame", "Pass {0}.collect()."),
    ("pyarrow", "StructArray", "Pass pyarrow.Table.from_struct_array({0})."),
    ("pyarrow", "Array", "Pass a table and not a single column: pyarrow.table({{'name': {0}}})."),
    ("pyarrow", "ChunkedArray", "Pass a table and not a single column: pyarrow.table({{'name': {0}}})."),
    ("pyarrow", "Tensor", "Pass {0}.to_numpy()."),
    ("tensorflow", "RaggedTensor", "Pass {0}.to_tensor() if its rows have one length."),
    ("tensorflow", "SparseTensor", "Sparse data is not supported: pass tf.sparse.to_dense({0})."),
    *[(package, name, _OF_BATCHES) for package, name in _LOADERS],
)


def _is_lazy(data: Any) -> bool:
    """Tells whether data is one of Dask's, whose numbers are not worked out yet."""
    graph = getattr(type(data), "__dask_graph__", None)
    return graph is not None and data.__dask_graph__() is not None


def _is_frame_without_arrow(data: Any) -> bool:
    kind = type(data)
    has_names = hasattr(kind, "columns") and not hasattr(data, "__arrow_c_stream__")
    return has_names and not is_instance_of(data, "pandas", "DataFrame")


def _has(name: str) -> Callable[[Any], bool]:
    return lambda data: hasattr(type(data), name)


# What tells other kinds apart, the first that is true, and what to do
_TRAITS: tuple[tuple[Callable[[Any], bool], str], ...] = (
    (_is_lazy, "Nothing is computed in silence: pass {0}.compute()."),
    (_has("toarray"), "Sparse data is not supported: pass {0}.toarray()."),
    (_has("toPandas"), "Pass {0}.toPandas()."),
    (_has("collect"), "Pass {0}.collect()."),
    (
        _is_frame_without_arrow,
        "Its column names would be lost: pass it as a pandas DataFrame, for example {0}.to_pandas().",
    ),
    (lambda data: isinstance(data, io.IOBase), "Pass the path of the file, or pandas.read_csv({0})."),
    (lambda data: isinstance(data, (bytes, bytearray)), "Pass numpy.frombuffer({0}).reshape(-1, D)."),
    (lambda data: isinstance(data, Set), "It has no order: pass a list of rows."),
    (lambda data: isinstance(data, ValuesView), "Pass numpy.column_stack(list({0})) if these are columns."),
    (lambda data: isinstance(data, Iterator) and not hasattr(data, "__arrow_c_stream__"), "Pass list({0})."),
)


def array_error(name: str, data: Any, error: Exception) -> TypeError:
    """Makes the error for what NumPy cannot take, with what its package said and the conversion."""
    said = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
    fix = f"Pass its values as a NumPy array, for example {name}.detach().to_dense().double().cpu().numpy()"
    is_torch = is_instance_of(data, "torch", "Tensor")
    return TypeError(
        f"`{name}` must be an array that NumPy can take. Received: {type(data).__module__.split('.')[0]}."
        f"{type(data).__qualname__} ({said}). " + (f"{fix}." if is_torch else "Pass its values as a NumPy array.")
    )


def dtype_fix(name: str, dtype: np.dtype, first: Any = None) -> str:
    """Says what to do with an array that holds no real numbers.

    Args:
        name: What the caller's argument is called.
        dtype: Its type.
        first: What a list of rows begins with.
    """
    if dtype.names:
        return f"Pass pandas.DataFrame({name}), whose columns are its fields."
    if isinstance(first, Mapping):
        return f"Pass pandas.DataFrame({name})."
    if dtype.kind == "c":
        return f"Pass the real and imaginary parts as columns: numpy.hstack([{name}.real, {name}.imag])."
    if dtype.kind in "mM":
        return "Turn times into numbers first, for example hours since a fixed moment."
    if dtype.kind == "V":  # short floats of other packages
        return f"Pass {name}.astype('float32')."
    return f"Encode text as numbers, or pass {name}.astype('float64') if all its values are numbers."
