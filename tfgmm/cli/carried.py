"""What commands take with a file of rows that is shown or judged: weights, noise and gaps. Loads nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

from tfgmm.cli import shared
from tfgmm.cli.shared import UsageError

if TYPE_CHECKING:
    from tfgmm.data.files.csv_format import CsvOptions
    from tfgmm.data.row_source import RowSource
    from tfgmm.data.summary import DataSummary
    from tfgmm.export.reading import ExportedMixture

WEIGHTS = typer.Option(metavar="COLUMN", help="How often each row counts: 2 is the row twice, 0 is no row.")
NOISE = typer.Option(metavar="COLUMN=ERROR", help="Standard deviations of a column's noise; repeat.")
MISSING = typer.Option(help="Of gaps: integrate, or refuse such rows.  [default: integrate]")

_CHOICES = ("integrate", "refuse")

# What functions call the arguments, and what the command line calls them
_WORDS = {
    "`sample_weight`": "`--weights`",
    "`noise`": "`--noise`",
    'pass missing="integrate"': "leave out --missing refuse",
    "`data`": f"`{shared.DATA}`",
}


class Carried(NamedTuple):
    """What is asked for of the rows beside their values.

    Args:
        weights: Column of weights, or None.
        missing: "integrate" or "refuse".
        drop_gaps: Whether rows with a gap or an infinite value are left out.
        noise: Columns of standard deviations, by the columns that they belong to.
    """

    weights: str | None = None
    missing: str = "integrate"
    drop_gaps: bool = False
    noise: Mapping[str, str] | None = None

    @contextlib.contextmanager
    def opened(
        self, data: str, mixture: ExportedMixture, csv: CsvOptions, as_in_a_fit: bool = False
    ) -> Iterator[RowSource]:
        """Yields the rows of a file in the columns of a mixture, with what they carry.

        Args:
            data: Path or URL of the file.
            mixture: The mixture.
            csv: How CSV files are written.
            as_in_a_fit: Whether infinite values are refused too; they are where gaps are, or where there are weights.

        Raises:
            OSError, ValueError, TypeError: As `matching.opened`.
        """
        from tfgmm.data import matching
        from tfgmm.data.survey import check_finite

        are_scored = not as_in_a_fit and self.missing == "integrate" and self.weights is None
        asked: dict[str, Any] = {"sample_weight": self.weights, "noise": self.noise, "are_scored": are_scored}
        place = data, mixture.column_names, len(mixture.centre), shared.DATA, csv
        with matching.opened(*place, self.drop_gaps, self.missing, **asked) as rows:
            if self.missing == "refuse":
                check_finite(rows)
            yield rows


NOTHING_ASKED = Carried()


def carried_of(
    data: str | None,
    weights: str | None,
    missing: str | None,
    drop_gaps: bool,
    noise: Mapping[str, str] | None = None,
) -> Carried:
    """Collects what is asked for of the rows.

    Raises:
        UsageError: Something is asked for of no rows, or `missing` is unknown.
    """
    asked = {"weights": weights, "missing": missing, "drop-gaps": drop_gaps or None, "noise": noise}
    for name, value in asked.items():
        if data is None and value is not None:
            raise UsageError(f"`--{name}` is about rows. Received: no `--data`. Name a file of rows, or leave it out.")
    if missing not in (None, *_CHOICES):
        fix = "Choose one, or leave it out."
        raise UsageError(f"`--missing` must be {' or '.join(_CHOICES)}. Received: {missing}. {fix}")
    return Carried(weights, missing or "integrate", drop_gaps, noise)


def noise_of_options(pairs: list[str] | None) -> dict[str, str] | None:
    """Reads the columns of standard deviations that `--noise` names; None where it was not given.

    Raises:
        UsageError: One is no pair.
    """
    from tfgmm.cli.run.parsed import noise_of

    try:
        return noise_of(pairs) if pairs else None
    except ValueError as error:
        raise UsageError(str(error)) from None


def summary_of(card: Mapping[str, Any]) -> DataSummary | None:
    """Reads the summary of the rows of a fit from a model card; None where it has none."""
    from tfgmm.data.summary import DataSummary

    summary = card["training"].get("data_summary")  # as `read_export` has checked it
    return DataSummary.from_dict(summary) if isinstance(summary, Mapping) else None


def had_noise(mixture: ExportedMixture) -> bool:
    """Tells whether a mixture was fitted to rows with measurement noise, so that it is one of values without it."""
    summary = summary_of(mixture.card)
    return summary is not None and bool(summary.noise_columns)


def in_our_words(text: str) -> str:
    """Rewrites what functions say of their arguments in the words of the command line."""
    for name, option in _WORDS.items():
        text = text.replace(name, option)
    return shared.with_drop_gaps(text)
