"""Which columns of a file are numbers, and why the others are left out. No TensorFlow."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from tfgmm.data.files.csv_text import csv_words
from tfgmm.data.files.file_set import columns_of
from tfgmm.data.files.kinds import check_file, files_in, kind_of, not_numbers_error, words_if_not_numbers


class ColumnChoice(NamedTuple):
    """The columns of a file that are numbers, in its order, and for each of the others why it is none."""

    names: tuple[str, ...]
    left_out: Mapping[str, str]


def numeric_columns(name: str, path: str | os.PathLike[str]) -> ColumnChoice:
    """Returns the columns of a file of rows, or of the first file of a folder, that hold numbers or flags.

    Parquet and Arrow files say what their columns hold. Of CSV the first block of lines is looked at (256 KiB): text
    below it is found, and refused, when the rows are read.

    Args:
        name: what the caller's argument is called in error messages.
        path: of a CSV, Parquet or Arrow file, or of a folder of them.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is of an unknown kind, empty, or damaged; a folder has no tables.
        TypeError: no column is of numbers.

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
    return ColumnChoice(names, {label: said for label, said in words.items() if said})
