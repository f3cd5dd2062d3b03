"""Which columns of a table are taken, by name: all numbers of a file, those asked for, those a model was fitted on."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tfgmm.common.words import quoted
from tfgmm.data.files.csv_text import csv_words
from tfgmm.data.files.file_set import columns_of
from tfgmm.data.files.kinds import check_file, files_in, kind_of, not_numbers_error, words_if_not_numbers


class ColumnChoice(NamedTuple):
    """The columns of a file that hold numbers, in its order, and for each of the others the reason it is left out."""

    names: tuple[str, ...]
    left_out: Mapping[str, str]


def numeric_columns(name: str, path: str | os.PathLike[str]) -> ColumnChoice:
    """Finds the columns of a file of rows, or of the first file of a folder, that hold numbers or flags.

    Parquet and Arrow files say what their columns hold. For CSV, the first block of lines (256 KiB) is looked at: text
    below it is found, and refused, when the rows are read.

    Args:
        name: What the caller's argument is called in error messages.
        path: Path of a CSV, Parquet or Arrow file, or of a folder of them.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is of an unknown kind, empty, or damaged; a folder has no tables.
        TypeError: No column holds numbers.

    Example:

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp(), "rows.csv")
    >>> _ = path.write_text("place,width,height\\nriver,1.5,2\\n")
    >>> choice = numeric_columns("data", path)
    >>> choice.names, choice.left_out["place"]
    (('width', 'height'), "text, for example 'river' in row 0")
    """
    path = os.fspath(path)
    file = files_in(name, path)[0] if os.path.isdir(path) else path
    check_file(name, file)
    types = columns_of(name, file)
    here = Counter(label for label, _ in types)
    words = {label: words_if_not_numbers(kind) for label, kind in types}
    once = [label for label in here if here[label] == 1 and label]
    if kind_of(file) == "CSV" and once:
        words |= csv_words(name, file, once)
    words |= {label: "a name that stands there more than once" for label in here if here[label] > 1}
    if "" in words:
        words[""] = "without a name"
    names = tuple(label for label in here if not words[label])
    if not names:
        raise not_numbers_error(name, words, f" in '{path}'")
    return ColumnChoice(names, {label: reason for label, reason in words.items() if reason})


def wanted_columns(
    name: str, path: str, names: Sequence[str], fitted: Sequence[str] | None, num_features: int
) -> list[str]:
    """Finds the names of the columns of a file that the model takes, in the model's order.

    Args:
        name: What the file is called in error messages.
        path: Path of the file.
        names: Names of its columns.
        fitted: Names of the columns that the model was fitted on; None for D columns without names.
        num_features: D.

    Raises:
        ValueError: The file lacks one of these columns; for a model without names, it does not have D columns.
    """
    if fitted is None:
        if len(names) == num_features:
            return list(names)
        raise ValueError(
            f"`{name}` must have {num_features} columns: the model was fitted on rows without column names. "
            f"Received: '{path}', with {len(names)}: {quoted(names)}. Leave the others out."
        )
    missing = [label for label in fitted if label not in names]
    if missing:
        raise ValueError(
            f"`{name}` must have the columns that the model was fitted on. Received: '{path}', without "
            f"{quoted(missing)}; its columns are {quoted(names)}. Rename them; their order does not matter."
        )
    return list(fitted)


def wanted_names(
    name: str,
    names: Sequence[str],
    origin: str,
    columns: Sequence[str] | None = None,
    fitted: Sequence[str] | None = None,
) -> tuple[str, ...]:
    """Finds the names of the columns of a table that are taken, in the order wanted; the table has each of them once.

    Args:
        name: What the caller's argument is called in error messages.
        names: Names of the table's columns.
        origin: " in 'iris.csv'" for a file, empty for a table in memory.
        columns: Names of the columns to keep; default all.
        fitted: Names of the columns that a model was fitted on: those taken must be these and no others, in any order.

    Raises:
        ValueError: A name is unknown, missing, empty, or appears more than once.
    """
    wanted = tuple(names if columns is None else columns)
    here = set(names)
    unknown = [label for label in dict.fromkeys(wanted) if label not in here]
    if unknown or columns is not None and not wanted:
        raise ValueError(
            f"`columns` must name columns of `{name}`. Received: {quoted(unknown)}{', not found' if unknown else ''}"
            f"{origin}. The columns there are: {quoted(names)}."
        )
    check_once(name, wanted, names, origin)
    if "" in wanted:
        fix = "If it is an index, leave it out: DataFrame.to_csv(..., index=False)."
        received = f"column {wanted.index('')} without a name"
        raise ValueError(f"`{name}` must have one name per column. Received: {received}{origin}. {fix}")
    return wanted if fitted is None else _fitted_order(name, wanted, origin, tuple(fitted))


def check_once(name: str, wanted: Sequence[str], names: Sequence[str], origin: str) -> None:
    """Checks names: Raises ValueError unless each name in `wanted` appears there once, and once in `names`.

    Args:
        name: What the caller's argument is called in error messages.
        wanted: Names of the columns that are taken.
        names: Names of all columns.
        origin: " in 'iris.csv'" for a file, empty for a table in memory.
    """
    times_wanted, times_there = Counter(wanted), Counter(names)
    repeated = [label for label in times_wanted if times_wanted[label] > 1 or times_there[label] > 1]
    if repeated:
        received = f"{quoted(repeated)} more than once{origin}"
        raise ValueError(f"`{name}` must have one name per column. Received: {received}. Rename them.")


def _fitted_order(name: str, wanted: tuple[str, ...], origin: str, fitted: tuple[str, ...]) -> tuple[str, ...]:
    here, known = set(wanted), set(fitted)
    missing = [label for label in fitted if label not in here]
    extra = [label for label in wanted if label not in known]
    if missing or extra:
        raise ValueError(
            f"`{name}` must have the columns that the model was fitted on: {quoted(fitted)}. "
            f"Received{origin}: missing: {quoted(missing)}; not expected: {quoted(extra)}. "
            "Rename columns or leave them out; their order does not matter."
        )
    return fitted
