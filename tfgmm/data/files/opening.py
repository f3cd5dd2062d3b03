"""Files and folders opened by their path: which columns they have, and their rows, in whole columns or on demand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from tfgmm.data.carried.asked import Asked
from tfgmm.data.files import columnar
from tfgmm.data.files.csv_blocks import csv_file
from tfgmm.data.files.csv_cells import Column
from tfgmm.data.files.csv_format import GUESSED, CsvOptions, csv_format
from tfgmm.data.files.csv_text import csv_columns
from tfgmm.data.files.file_set import FileSet, columns_of
from tfgmm.data.files.filesystems import Place, place_of
from tfgmm.data.files.kinds import KINDS, check_file, files_in, kind_of, readable
from tfgmm.data.files.stored import StoredRows

_LARGE_BYTES = 2**25
_UNPACKED = 4  # times as large as compressed, a file of numbers is


@dataclass(frozen=True, eq=False)
class TableFiles:
    """A file, or a folder of files of one kind, whose columns are known and read on demand.

    Args:
        name: What the caller's argument is called in error messages.
        place: The file or folder that the caller named.
        places: The file, or all files of the folder.
        column_names: Names of the columns of the first file, in its order; duplicates are possible.
        csv: How CSV files are written.
    """

    name: str
    place: Place
    places: tuple[Place, ...]
    column_names: tuple[str, ...]
    csv: CsvOptions = GUESSED

    named: ClassVar[bool] = True

    @property
    def path(self) -> str:
        """Path or URL that the caller passed, as messages show it."""
        return str(self.place)

    @property
    def paths(self) -> tuple[str, ...]:
        """Paths or URLs of the files, as messages show them."""
        return tuple(map(str, self.places))

    @property
    def origin(self) -> str:
        """Words that say where the table is, for error messages."""
        return f" in '{self.path}'"

    @property
    def is_folder(self) -> bool:
        """Whether the path is that of a folder."""
        return self.places != (self.place,)

    def columns(self, wanted: Sequence[str]) -> list[Column]:
        """Reads whole columns of a file by name.

        Raises:
            ValueError: The file is damaged; for CSV, lines have different lengths, or the text is not UTF-8.
        """
        if kind_of(self.place.label) == "CSV":
            return csv_columns(csv_file(self.name, self.place, self.csv), wanted)
        return columnar.whole_columns(self.name, self.place, wanted)

    def stored(
        self, wanted: Sequence[str], *, same_names: bool, drop_gaps: bool = False, asked: Asked | None = None
    ) -> StoredRows:
        """Opens the rows to be read on demand; arguments and errors as in `open_stored`."""
        names = wanted if asked is None else (*wanted, *asked.columns.names)
        files = FileSet(self.name, self.places, names, same_names=same_names, csv=self.csv)
        return StoredRows(files, self.path, drop_gaps, asked)


def open_files(name: str, path: str | Place, csv: CsvOptions = GUESSED) -> TableFiles:
    """Opens a file of rows, or a folder of files.

    Args:
        name: What the caller's argument is called in error messages.
        path: Path or URL of a CSV, Parquet or Arrow file, or of a folder of files of one kind.
        csv: How CSV files are written.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is of an unknown kind, empty, or cannot be read; a folder has no tables, or tables of
            two kinds; a URL cannot be opened.
        OSError: The filesystem of a URL cannot be reached.
    """
    place = place_of(name, path)
    with readable(name, place):
        is_folder = place.look().is_folder
    places = files_in(name, place) if is_folder else (place,)
    check_file(name, places[0])
    return TableFiles(name, place, places, tuple(label for label, _ in columns_of(name, places[0], csv)), csv)


def words_of_format(name: str, path: str, csv: CsvOptions = GUESSED) -> str:
    """Says how a CSV file, or the first one of a folder, is written where it is not as usual; "" for other files.

    Raises:
        As `open_files`.
    """
    files = open_files(name, path, csv)
    first = files.places[0]
    return csv_format(name, first, csv).words if kind_of(first.label) == "CSV" else ""


def open_stored(
    name: str, paths: Sequence[str], column_names: Sequence[str], *, origin: str | None = None, same_names: bool = True
) -> StoredRows:
    """Opens the rows of files of one kind, one file after the other, to be read on demand.

    Args:
        name: What the caller's argument is called in error messages.
        paths: Paths or URLs of the files.
        column_names: Names of the columns wanted, in this order.
        origin: Path that the caller passed, for error messages; default the first file.
        same_names: Whether the files must have the same columns, including those that are not wanted.

    Raises:
        ValueError: A file is empty or damaged, or lacks a column.
        TypeError: A column does not hold numbers.
    """
    files = FileSet(name, [place_of(name, path) for path in paths], column_names, same_names=same_names)
    return StoredRows(files, str(files.places[0]) if origin is None else origin)


def is_large(name: str, path: str | Place, column_names: Sequence[str]) -> bool:
    """Tells whether the numbers of a file, in float64, take more than 32 MiB.

    For CSV: whether the file does, or will when it is unpacked.

    Args:
        name: What the caller's argument is called in error messages.
        path: Path of the file.
        column_names: Names of the columns wanted.

    Raises:
        ValueError: The file is damaged.
    """
    place = place_of(name, path)
    if kind_of(place.label) == "CSV" or columnar.is_sequential(place) or not column_names:
        factor = 1 if place.label.lower().endswith(tuple(KINDS)) else _UNPACKED
        with readable(name, place):
            size = place.look().size
        return size is None or factor * size > _LARGE_BYTES
    num_rows = sum(columnar.group_rows(name, place, column_names[0]))
    return num_rows * len(column_names) * 8 > _LARGE_BYTES
