"""The rows of a run: which columns and rows of its files are used, and what the run says of those that are not."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from tfgmm.cli.run.settings import RunSettings
from tfgmm.common.urls import without_secrets
from tfgmm.common.words import counted, printable, quoted, with_and
from tfgmm.data.counters import suspicious_columns
from tfgmm.data.files.csv_format import CsvOptions

if TYPE_CHECKING:
    import numpy as np

    from tfgmm.data.files.stored import StoredRows
    from tfgmm.data.readers import Rows

    StoredOrNot: TypeAlias = Rows | StoredRows


_MOST_COLUMNS = 3  # named in a note


@dataclasses.dataclass(frozen=True)
class RowFacts:
    """What a run says of its rows beside their numbers.

    Args:
        left_out: For each column that is left out, the reason.
        suspicious: For each column that is used but looks like an id, a code or a date, the reason.
        num_dropped: Rows with a gap that were left out.
        num_read: Rows of the file, those included.
        gaps: Gaps in each column that has some, in those.
        num_dropped_validation: Rows with a gap that were left out of those for validation.
        read_as: How a CSV file was read, in words, where it is not plain; else "".
    """

    left_out: Mapping[str, str] = dataclasses.field(default_factory=dict)
    suspicious: Mapping[str, str] = dataclasses.field(default_factory=dict)
    num_dropped: int = 0
    num_read: int = 0
    gaps: Mapping[str, int] = dataclasses.field(default_factory=dict)
    num_dropped_validation: int = 0
    read_as: str = ""

    def notes(self) -> list[str]:
        """Writes what a reader of the run must know of the rows, in sentences."""
        notes = [f"The file was read with {self.read_as}."] if self.read_as else []
        if self.left_out:
            notes.append(f"Columns left out: {named(self.left_out)}.")
        return [*map(printable, notes), *self.dropped()]

    def dropped(self) -> list[str]:
        """Says how many rows were left out for a gap; nothing where none was."""
        notes, why = [], "dropped for a gap or an infinite value"
        if self.num_dropped:
            percent = 100.0 * self.num_dropped / self.num_read
            share = f"{percent:.0f} %" if percent >= 10.0 else f"{percent:.2g} %"
            of_all = f"of {counted(self.num_read, 'row')} ({share})"
            columns = sorted(self.gaps, key=lambda label: -self.gaps[label])[:_MOST_COLUMNS]
            places = with_and([f"{label!r} ({self.gaps[label]:,})" for label in columns])
            where = f"most of these in {places}" if len(columns) < len(self.gaps) else f"in {places}"
            words = f"{self.num_dropped:,} {of_all} {_were(self.num_dropped)} {why}, {where}: the fit is to the others."
            notes.append(printable(words))
        if self.num_dropped_validation:
            number = self.num_dropped_validation
            notes.append(f"Of the rows for validation {number:,} {_were(number)} {why}.")
        return notes

    def cautions(self) -> list[str]:
        """Writes what may make the fit worthless: columns that look like ids, codes or dates."""
        if not self.suspicious:
            return []
        is_used = "is used as a measurement" if len(self.suspicious) == 1 else "are used as measurements"
        words = (
            f"{named(self.suspicious)} {is_used}. Numbers that only name rows, dates or kinds make groups too. "
            "Such groups mean nothing: choose the columns with --columns."
        )
        return [printable(words)]

    def as_record(self) -> dict[str, Any]:
        """Lists the facts as config.json keeps them."""
        return dataclasses.asdict(self)

    def of_rows(self, rows: StoredOrNot, validation: StoredOrNot | None, sample: np.ndarray | None) -> RowFacts:
        """Adds what reading them has told.

        Args:
            rows: Rows of the fit, after a pass over them.
            validation: Rows for validation, after a pass over them, or None.
            sample: Rows that are looked at for ids, codes and dates; None where the columns were named.
        """
        suspicious = self.suspicious if sample is None else suspicious_columns(rows.column_names or (), sample)
        return dataclasses.replace(
            self,
            suspicious=suspicious,
            num_dropped=rows.num_dropped,
            gaps={label: count for label, count in zip(rows.column_names or (), rows.dropped_gaps) if count},
            num_read=rows.num_dropped + rows.num_data + rows.num_weightless + rows.num_empty,
            num_dropped_validation=0 if validation is None else validation.num_dropped,
        )


NOTHING_SAID = RowFacts()


def _were(number: int) -> str:
    return "was" if number == 1 else "were"


def named(columns: Mapping[str, str]) -> str:
    """Writes names of columns, each with its reason.

    Example:

    >>> named({"id": "a counter", "place": "text"})
    "'id' (a counter), 'place' (text)"
    """
    return ", ".join(f"{label!r} ({words})" for label, words in columns.items())


def csv_options(settings: RunSettings) -> CsvOptions:
    """Collects what the settings say of how CSV files are written."""
    return CsvOptions(**{field.name: getattr(settings, field.name) for field in dataclasses.fields(CsvOptions)})


def with_columns(settings: RunSettings, earlier: Mapping[str, Any]) -> tuple[RunSettings, RowFacts, bool]:
    """Adds to the settings the names of the columns that are used, where it is not said.

    Args:
        settings: Settings of the run.
        earlier: What config.json of an earlier run of the same columns keeps of its rows; else empty.

    Returns:
        The settings; what is known of the rows so far; and whether the columns were chosen here.
    """
    from tfgmm.data.columns import numeric_columns

    read_as = _read_as(settings)
    if settings.columns is not None:
        return settings, RowFacts(earlier.get("left_out", {}), earlier.get("suspicious", {}), read_as=read_as), False
    carried = [settings.sample_weight, *(settings.noise or {}).values()]
    beside = tuple(name for name in carried if name is not None)
    names, left_out = numeric_columns("data", settings.data, csv_options(settings), beside)
    return dataclasses.replace(settings, columns=list(names)), RowFacts(left_out, read_as=read_as), True


def _read_as(settings: RunSettings) -> str:
    from tfgmm.data.files.opening import words_of_format

    return words_of_format("data", settings.data, csv_options(settings))


def columns_line(settings: RunSettings, left_out: Mapping[str, str]) -> str:
    """Writes the line that says which columns are used."""
    others = f"; left out: {named(left_out)}" if left_out else ""
    return f"{without_secrets(settings.data)}: columns {quoted(settings.columns or [])}{others}"


@contextlib.contextmanager
def opened(settings: RunSettings) -> Iterator[tuple[StoredOrNot, StoredOrNot | None]]:
    """Opens the rows to fit, and those for validation or None."""
    from tfgmm.data.readers import open_rows

    with contextlib.ExitStack() as stack:

        def open_one(path: str, name: str) -> StoredOrNot:
            csv, drop_gaps = csv_options(settings), settings.drop_gaps
            read: dict[str, Any] = {"columns": settings.columns, "csv": csv, "drop_gaps": drop_gaps}
            read |= {"sample_weight": settings.sample_weight, "noise": settings.noise, "missing": settings.missing}
            rows = open_rows(path, name=name, **read)
            return stack.enter_context(contextlib.closing(rows))

        rows = open_one(settings.data, "data")
        yield rows, None if settings.validation is None else open_one(settings.validation, "validation_data")
