"""`tfgmm score`: a file of rows scored with an exported mixture. Loads what it needs inside its functions."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tfgmm.cli import shared
from tfgmm.cli import sql as sql_option
from tfgmm.cli.shared import UsageError
from tfgmm.common.urls import is_url
from tfgmm.common.words import printable

if TYPE_CHECKING:
    from tfgmm.data.files.csv_format import CsvOptions
    from tfgmm.export.reading import ExportedMixture
    from tfgmm.export.score_file import Counts


def score(
    model: Annotated[Path, typer.Option(metavar="DIR", help=shared.MODEL_HELP)],
    source: Annotated[
        str | None,
        typer.Option(
            "--in", metavar="FILE", parser=shared.path, help="Rows: .csv, .parquet, .pq, .arrow, .feather; or a URL."
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="What to write; the kind by its ending.")] = None,
    columns: Annotated[
        str, typer.Option(help="Of log_prob, assignment, responsibilities, outlier and imputed, with commas between.")
    ] = "log_prob,assignment",
    noise: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN=ERROR", help="Standard deviations of a column's noise; repeat."),
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Carry the columns of the input along.")] = False,
    delimiter: Annotated[str | None, shared.DELIMITER] = None,
    decimal: Annotated[str | None, shared.DECIMAL] = None,
    encoding: Annotated[str | None, shared.ENCODING] = None,
    skip_rows: Annotated[int | None, shared.SKIP_ROWS] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that is there.")] = False,
    sql: Annotated[bool, typer.Option("--sql", help="Print a SELECT that scores a table; no --in, no --out.")] = False,
    table: Annotated[str | None, typer.Option(metavar="NAME", help="Of that table.  [default: rows]")] = None,
    key: Annotated[str | None, typer.Option(metavar="NAMES", help="Columns that the SELECT carries along.")] = None,
) -> None:
    """Score the rows of a file, of any size, into another, or print the SQL that scores a table.

    log_prob: log density, nats. assignment: the most probable component. responsibilities: the probability of each
    component. outlier: the share of the mixture that is less likely than the row; 0 for an outlier. imputed: the row
    with its gaps filled, a column imputed_NAME for each of the model's.

    Columns are matched by name, in any order; others are not looked at. A row with gaps, empty cells or NaN, is scored
    by the columns that it has. One without any value, or with an infinite one, gets NaN and assignment -1. --noise
    names columns with the standard deviations of others: --noise flux=flux_err. Scores are then those of what was
    measured; there is no outlier score of such rows.

    --sql prints a SELECT for SQLite, DuckDB or PostgreSQL instead, with log_prob, assignment and responsibilities. It
    is NULL for a row with a gap. docs/parameters.md says more.

    Example: tfgmm score --model saved_models/old_faithful --in training/data/old_faithful.csv --out /tmp/scored.csv

    In a database: tfgmm score --model saved_models/old_faithful --sql --table geyser --key id
    """
    with shared.errors_as_one_line(_in_our_words):
        if sql:
            of_files = (source, out, noise, keep, overwrite, delimiter, decimal, encoding, skip_rows)
            text = sql_option.select_text(model, table, columns, key, of_files)
        else:
            sql_option.check_no_sql(table, key)
            csv = shared.csv_options(delimiter, decimal, encoding, skip_rows)
            names, noises = _column_names(columns), _noises(noise, columns)
            paths = _check_paths(source, out)
            text = "\n".join(map(printable, _scored(model, *paths, names, keep, overwrite, csv, noises)))
    typer.echo(text)


def _in_our_words(text: str) -> str:
    """Rewrites what a function says of its arguments in the words of the command line."""
    return text.replace("`noise`", "`--noise`")


def _noises(pairs: list[str] | None, columns: str) -> dict[str, str]:
    """Reads the columns of standard deviations: raises UsageError where one is no pair, or with outlier scores."""
    from tfgmm.cli.run.parsed import noise_of

    try:
        noises = noise_of(pairs or [])
    except ValueError as error:
        raise UsageError(str(error)) from None
    if noises and "outlier" in _column_names(columns):
        fix = "Leave out outlier, or the noise; log_prob takes it."
        raise UsageError(f"`--columns` must be without outlier where there is --noise. Received: {columns}. {fix}")
    return noises


def _column_names(text: str) -> list[str]:
    from tfgmm.export.score_file import COLUMNS

    names = [name.strip() for name in text.split(",")]
    wanted = f"`--columns` must be some of {','.join(COLUMNS)}"
    unknown = [name for name in names if name not in COLUMNS]
    if unknown:
        raise UsageError(f"{wanted}. Received: {unknown[0]!r}. Write names with commas between, without spaces.")
    if len(set(names)) < len(names):
        raise UsageError(f"{wanted}, each once. Received: {text}. Leave out what is there twice.")
    return names


def _check_paths(source: str | None, out: Path | None) -> tuple[str, Path]:
    """Checks the paths: raises UsageError unless they are two files, `out` outside exports and with a known ending."""
    from tfgmm.data.files.kinds import KINDS

    if source is None or out is None:
        received = "`--out` alone" if out else "`--in` alone" if source else "neither"
        fix = "Name the file with rows and the file to be, or pass --sql for a SELECT."
        raise UsageError(f"`--in` and `--out` must be given without --sql. Received: {received}. {fix}")
    shared.check_ending(out, KINDS)
    same = not is_url(source) and Path(source).resolve() == out.resolve()
    with contextlib.suppress(OSError):
        same = same or Path(source).samefile(out)
    if same:
        raise UsageError(f"`--out` must be another file than `--in`. Received: {out} for both. Choose another name.")
    shared.check_outside_exports(out)
    return source, out


def _scored(
    model: Path,
    source: str,
    out: Path,
    names: list[str],
    keep: bool,
    overwrite: bool,
    csv: CsvOptions,
    noise: Mapping[str, str],
) -> list[str]:
    """Scores the rows and says so in lines."""
    from tfgmm.common.atomic_file import check_free
    from tfgmm.data.pass_through import InputNames, ScoredInput
    from tfgmm.export.score_file import write_scores
    from tfgmm.mixture.outliers import check_table

    mixture = shared.read_model(model)
    if "outlier" in names:
        check_table(mixture.outlier_table)
    names_here = InputNames("--in", "--keep")
    rows = ScoredInput(source, mixture.column_names, len(mixture.centre), keep, names_here, csv, noise)
    check_free(out, overwrite, shared.OUT)
    shared.say_format("--in", source, csv)
    with _progress(rows.num_rows) as progress:
        counts = write_scores(
            mixture, rows, out, names, overwrite=overwrite, argument_names=shared.OUT, progress=progress
        )
    return [f"{out}: {_in_words(counts)}", *_on_noise(mixture, noise)]


def _on_noise(mixture: ExportedMixture, noise: Mapping[str, str]) -> list[str]:
    """Says that rows were scored as if they had no noise, where the mixture was fitted to rows with noise."""
    summary = mixture.card["training"].get("data_summary") or {}
    if noise or not summary.get("noise_columns"):
        return []
    errors = zip(mixture.column_names or (), summary["noise_columns"])
    options = " ".join(f"--noise {column}={error}" for column, error in errors if error) or "--noise COLUMN=ERROR"
    words = "The mixture is that of values without measurement noise, and these rows were scored as if they had none"
    return [f"Note: {words}. Pass {options} to score measured rows."]


def _in_words(counts: Counts) -> str:
    """Says how many rows were scored, and how many of them were not as the model's.

    Example:

    >>> from tfgmm.export.score_file import Counts
    >>> _in_words(Counts(20, 0, 0))
    '20 rows scored, all of them finite'
    >>> _in_words(Counts(20, 3, 1))
    '20 rows scored, 3 of them with gaps, 1 of them without any value or with an infinite one (NaN, assignment -1)'
    """
    num_rows, num_incomplete, num_bad = counts
    parts = [f"{num_rows:,} rows scored"]
    if num_incomplete:
        parts.append(f"{num_incomplete:,} of them with gaps")
    if num_bad:
        parts.append(f"{num_bad:,} of them without any value or with an infinite one (NaN, assignment -1)")
    return ", ".join(parts if len(parts) > 1 else [*parts, "all of them finite"])


@contextlib.contextmanager
def _progress(num_rows: int | None) -> Iterator[Callable[[int], None]]:
    """Yields a function that moves a bar by a number of rows; no bar where standard error is not a terminal."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("scoring"),
        BarColumn(bar_width=30),
        TextColumn("{task.completed:,.0f} rows"),
        TimeRemainingColumn(compact=True, elapsed_when_finished=True),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("scoring", total=num_rows)
        yield lambda added: bar.advance(task, added)
