"""Which columns of a table are taken, by name: all numbers of a file, those asked for, those a model was fitted on."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from tfgmm.common.words import counted, quoted
from tfgmm.data.blocks import rows_per_block
from tfgmm.data.counters import COUNTER, watched
from tfgmm.data.files.csv_blocks import CsvFile, csv_file
from tfgmm.data.files.csv_cells import OddCells
from tfgmm.data.files.csv_format import GUESSED, CsvOptions
from tfgmm.data.files.csv_text import ONLY_GAPS, csv_contents, line_of
from tfgmm.data.files.file_set import FileSet, columns_of
from tfgmm.data.files.kinds import kind_of, not_numbers_error, words_if_not_numbers
from tfgmm.data.files.opening import TableFiles, open_files


class ColumnChoice(NamedTuple):
    """The columns of a file that are used, in its order, and for each of the others the reason it is left out."""

    names: tuple[str, ...]
    left_out: Mapping[str, str]


def numeric_columns(
    name: str, path: str | os.PathLike[str], csv: CsvOptions = GUESSED, leave_out: Collection[str] = ()
) -> ColumnChoice:
    """Finds the columns of a file of rows, or of a folder of files, that hold measurements: numbers or flags.

    Text, columns of gaps alone, and counters (see `CounterWatch`) are left out. Parquet and Arrow files say what their
    columns hold. For CSV, the first block of lines (256 KiB) is looked at: text below it is found, and refused, when
    the rows are read.

    Args:
        name: What the caller's argument is called in error messages.
        path: Path or URL of a CSV, Parquet or Arrow file, or of a folder of them.
        csv: How CSV files are written.
        leave_out: Names of columns that are no values, those of weights and noise: nothing is said of them.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is of an unknown kind, empty, or damaged; a folder has no tables.
        TypeError: No column holds numbers; or one holds numbers but for some cells, which are named.

    Example:

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp(), "rows.csv")
    >>> _ = path.write_text("place,width,height\\nriver,1.5,2\\n")
    >>> choice = numeric_columns("data", path)
    >>> choice.names, choice.left_out["place"]
    (('width', 'height'), "text, for example 'river' in row 0")
    """
    files = open_files(name, os.fspath(path), csv)
    words = _words_of(files, leave_out)
    numbers = [label for label, content in words.items() if not content]
    if not numbers:
        raise not_numbers_error(name, words, files.origin)
    words |= _no_measurements(files, numbers)
    names = tuple(label for label, content in words.items() if not content)
    if not names:
        raise _no_measurements_error(files, words)
    return ColumnChoice(names, {label: reason for label, reason in words.items() if reason})


def _no_measurements_error(files: TableFiles, words: Mapping[str, str]) -> TypeError:
    """Makes the error that each column is text, holds only gaps or counts the rows."""
    left_out = "; ".join(f"column {label!r} ({reason})" for label, reason in words.items())
    counters = [label for label, reason in words.items() if reason.startswith(COUNTER)]
    fix = "Give a file with numbers in it."
    if counters:
        fix = f"Name a column to have it used all the same: columns=[{quoted(counters)}]."
    return TypeError(f"`{files.name}` must have a column of measurements. Received: {left_out}{files.origin}. {fix}")


def _words_of(files: TableFiles, leave_out: Collection[str]) -> dict[str, str]:
    """Says what each column of the first file holds, but those that are left out, "" for numbers.

    Raises:
        TypeError: A column holds numbers but for some cells.
    """
    first = files.places[0]
    types = [(label, kind) for label, kind in columns_of(files.name, first, files.csv) if label not in leave_out]
    here = Counter(label for label, _ in types)
    words = {label: words_if_not_numbers(kind) for label, kind in types}
    once = [label for label in here if here[label] == 1 and label]
    if kind_of(first.label) == "CSV" and once:
        file = csv_file(files.name, first, files.csv)
        contents = csv_contents(file, once)
        _check_no_mistakes(file, contents)
        words |= {label: content if isinstance(content, str) else content.words for label, content in contents.items()}
    words |= {label: "a name that stands there more than once" for label in here if here[label] > 1}
    if "" in words:
        words[""] = "without a name"
    return words


def _check_no_mistakes(file: CsvFile, contents: Mapping[str, OddCells | str]) -> None:
    """Checks text columns: Raises TypeError where nearly all cells of one are numbers, and names a cell that is not."""
    faults = []
    for label, content in contents.items():
        if isinstance(content, OddCells) and content.are_mistakes and content.row is not None:
            line = line_of(file, content.row)
            beside = f"beside {counted(content.num_numbers, 'number')}"
            faults.append(f"column {label!r} ('{content.cell:.50}' in row {content.row}, line {line}, {beside})")
    if faults:
        good = [label for label, content in contents.items() if content == ""]
        leave_out = f", or name the columns that are used: columns=[{quoted(good)}]" if good else ""
        raise TypeError(
            f"`{file.name}` must have columns of numbers. Received: {', '.join(faults)} in '{file.place}'. Mend such "
            f"cells (a gap is an empty cell or NA){leave_out}."
        )


def _no_measurements(files: TableFiles, names: Sequence[str]) -> dict[str, str]:
    """Says which columns of numbers hold only gaps or count the rows, in every file; most are done in one block."""
    left = list(names)
    found: list[dict[str, str]] = []
    for place in files.places:
        for first_block in (True, False):
            rows = FileSet(files.name, [place], left, same_names=False, csv=files.csv)
            blocks = rows.all_rows(0, rows_per_block(len(left)))
            with contextlib.closing(blocks):
                watch = watched(left, itertools.islice(blocks, 1) if first_block else blocks)
            left = watch.undecided
            if not left:
                return {}
        found.append({**watch.counters(), **dict.fromkeys(watch.only_gaps(), ONLY_GAPS)})
    return {label: reason for label, reason in found[0].items() if all(label in other for other in found)}


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
