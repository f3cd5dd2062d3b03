"""`tfgmm score`: files of rows scored with an exported mixture. Loads what it needs inside its functions."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from tfgmm.cli import shared
from tfgmm.cli import sql as sql_option
from tfgmm.cli.shared import UsageError
from tfgmm.common.urls import without_secrets
from tfgmm.common.words import counted, printable

if TYPE_CHECKING:
    from tfgmm.data.files.csv_format import CsvOptions
    from tfgmm.export.reading import ExportedMixture
    from tfgmm.export.score_file import Counts


_IN = typer.Option(
    "--in",
    metavar="PATH",
    parser=shared.path,
    help="Rows: .csv, .parquet, .pq, .arrow, .feather, or a folder of these; or a URL.",
)
_OUT = typer.Option(metavar="PATH", help="File to write, its kind by its ending; a folder for a folder.")


def score(
    model: Annotated[Path, typer.Option(metavar="DIR", help=shared.MODEL_HELP)],
    source: Annotated[str | None, _IN] = None,
    out: Annotated[Path | None, _OUT] = None,
    columns: Annotated[
        str, typer.Option(help="Of log_prob, assignment, responsibilities, outlier and imputed, with commas between.")
    ] = "log_prob,assignment",
    noise: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN=ERROR", help="Standard deviations of a column's noise; repeat."),
    ] = None,
    workers: Annotated[
        int, typer.Option(metavar="N", min=1, help="Processes for the files of a folder, a file each at a time.")
    ] = 1,
    keep: Annotated[bool, typer.Option("--keep", help="Carry the columns of the input along.")] = False,
    delimiter: Annotated[str | None, shared.DELIMITER] = None,
    decimal: Annotated[str | None, shared.DECIMAL] = None,
    encoding: Annotated[str | None, shared.ENCODING] = None,
    skip_rows: Annotated[int | None, shared.SKIP_ROWS] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")] = False,
    sql: Annotated[bool, typer.Option("--sql", help="Print a SELECT that scores a table; no --in, no --out.")] = False,
    table: Annotated[str | None, typer.Option(metavar="NAME", help="Of that table.  [default: rows]")] = None,
    key: Annotated[str | None, typer.Option(metavar="NAMES", help="Columns that the SELECT carries along.")] = None,
) -> None:
    """Score the rows of a file, or of a folder of files, of any size, or print the SQL that scores a table.

    log_prob: log density, nats. assignment: the most probable component. responsibilities: the probability of each
    component. outlier: the share of the mixture that is less likely than the row; 0 for an outlier. imputed: the row
    with its gaps filled, a column imputed_NAME for each of the model's.

    Columns are matched by name, in any order; others are not looked at. A row with gaps, empty cells or NaN, is scored
    by the columns that it has. One without any value, or with an infinite one, gets NaN and assignment -1. --noise
    names columns with the standard deviations of others: --noise flux=flux_err. Scores are then those of what was
    measured; there is no outlier score of such rows.

    Of a folder, each file is scored into one of the same name in the folder --out, which is there when all are done.
    --workers takes several processes, which share the cores out; the files are the same for any number of them.

    --sql prints a SELECT for SQLite, DuckDB or PostgreSQL instead, with log_prob, assignment and responsibilities. It
    is NULL for a row with a gap. docs/parameters.md says more.

    Example: tfgmm score --model saved_models/old_faithful --in training/data/old_faithful.csv --out /tmp/scored.csv

    A folder: tfgmm score --model saved_models/old_faithful --in parts --out scored_parts --workers 4

    In a database: tfgmm score --model saved_models/old_faithful --sql --table geyser --key id
    """
    with shared.errors_as_one_line(_in_our_words):
        if sql:
            several = workers if workers > 1 else None
            of_files = (source, out, noise, several, keep, overwrite, delimiter, decimal, encoding, skip_rows)
            text = sql_option.select_text(model, table, columns, key, of_files)
        else:
            sql_option.check_no_sql(table, key)
            csv = shared.csv_options(delimiter, decimal, encoding, skip_rows)
            names, noises = _column_names(columns), _noises(noise, columns)
            asked = _Asked(names, keep, overwrite, csv, noises, workers)
            text = "\n".join(map(printable, _scored(model, *_check_paths(source, out, workers), asked)))
    typer.echo(text)


class _Asked(NamedTuple):
    """What is asked of the rows, in the words of the options."""

    columns: list[str]
    keep: bool
    overwrite: bool
    csv: CsvOptions
    noise: Mapping[str, str]
    workers: int


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
    from tfgmm.scoring.table_columns import COLUMNS

    names = [name.strip() for name in text.split(",")]
    wanted = f"`--columns` must be some of {','.join(COLUMNS)}"
    unknown = [name for name in names if name not in COLUMNS]
    if unknown:
        raise UsageError(f"{wanted}. Received: {unknown[0]!r}. Write names with commas between, without spaces.")
    if len(set(names)) < len(names):
        raise UsageError(f"{wanted}, each once. Received: {text}. Leave out what is there twice.")
    return names


def _check_paths(source: str | None, out: Path | None, workers: int) -> tuple[str, Path]:
    """Checks the paths: raises UsageError unless they are two files, or two folders, and `out` is outside exports."""
    from tfgmm.data.files.kinds import KINDS

    if source is None or out is None:
        received = "`--out` alone" if out else "`--in` alone" if source else "neither"
        fix = "Name the file with rows and the file to be, or pass --sql for a SELECT."
        raise UsageError(f"`--in` and `--out` must be given without --sql. Received: {received}. {fix}")
    here, is_folder = _local_path(source), _is_folder(source)
    if is_folder:
        _check_folders(here, out)
    else:
        shared.check_ending(out, KINDS)
        if workers > 1:
            wanted = "`--workers` must be 1 unless `--in` is a folder"
            fix = "Leave it out: one process scores a file on all cores."
            raise UsageError(f"{wanted}. Received: {workers}, with {without_secrets(source)}. {fix}")
    same = here is not None and here.resolve() == out.resolve()
    with contextlib.suppress(OSError):
        same = same or (here is not None and here.samefile(out))
    if same:
        noun = "folder" if is_folder else "file"
        raise UsageError(f"`--out` must be another {noun} than `--in`. Received: {out} for both. Choose another name.")
    shared.check_outside_exports(out)
    return source, out


def _local_path(source: str) -> Path | None:
    """Finds the path of rows on this machine; None where they are elsewhere."""
    from tfgmm.data.files.filesystems import place_of

    place = place_of("--in", source)
    return Path(place.path) if place.is_here else None


def _is_folder(source: str) -> bool:
    from tfgmm.data.files.filesystems import place_of
    from tfgmm.data.files.kinds import readable

    place = place_of("--in", source)
    with readable("--in", place):
        return place.look().is_folder


def _check_folders(source: Path | None, out: Path) -> None:
    """Checks a folder to be: raises UsageError where it has the name of a file, or one is inside the other."""
    from tfgmm.data.files.kinds import KINDS

    if out.suffix.lower() in KINDS:
        fix = f"Choose a name without {out.suffix}; each file is written under its own name there."
        raise UsageError(f"`--out` must be a folder where `--in` is one. Received: {out}. {fix}")
    if source is None:
        return
    here, there = source.resolve(), out.resolve()
    if here in there.parents or there in here.parents:
        fix = "Choose a place beside it."
        raise UsageError(f"`--out` must be neither inside `--in` nor around it. Received: {out}. {fix}")


def _scored(model: Path, source: str, out: Path, asked: _Asked) -> list[str]:
    """Scores the rows and says so in lines."""
    from tfgmm.mixture.outliers import check_table

    mixture = shared.read_model(model)
    if "outlier" in asked.columns:
        check_table(mixture.outlier_table)
    words = (_folder_scored if _is_folder(source) else _file_scored)(mixture, source, out, asked)
    return [f"{out}: {words}", *_on_noise(mixture, asked.noise)]


def _file_scored(mixture: ExportedMixture, source: str, out: Path, asked: _Asked) -> str:
    from tfgmm.common.atomic_file import check_free
    from tfgmm.data.pass_through import InputNames, ScoredInput
    from tfgmm.export.score_file import write_scores

    names, numbers = InputNames("--in", "--keep"), (mixture.column_names, len(mixture.centre))
    rows = ScoredInput(source, *numbers, asked.keep, names, asked.csv, asked.noise)
    check_free(out, asked.overwrite, shared.OUT)
    shared.say_format("--in", source, asked.csv)
    overwrite = asked.overwrite
    with _progress(rows.num_rows) as progress:
        counts = write_scores(
            mixture, rows, out, asked.columns, overwrite=overwrite, argument_names=shared.OUT, progress=progress
        )
    return _in_words(counts)


def _folder_scored(mixture: ExportedMixture, source: str, out: Path, asked: _Asked) -> str:
    from tfgmm.common.atomic_folder import check_target, path_of
    from tfgmm.data.pass_through import InputNames
    from tfgmm.export.score_folder import SCORED, FolderTask, open_folder, write_folder_scores

    names, target = InputNames("--in", "--keep"), path_of(out, shared.OUT.path)
    numbers = (mixture.column_names, len(mixture.centre))
    files = open_folder(source, *numbers, asked.keep, names, asked.csv, asked.noise)
    check_target(target, asked.overwrite, SCORED, shared.OUT)
    shared.say_format("--in", source, asked.csv)
    lengths = [file.source.num_rows for file in files]
    total = None if None in lengths else sum(length or 0 for length in lengths)
    task = FolderTask(mixture, tuple(asked.columns), target, shared.OUT)
    with _progress(total) as progress:
        counts = write_folder_scores(task, files, asked.workers, asked.overwrite, progress)
    return f"{counted(len(files), 'file')}, {_in_words(counts)}"


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
    >>> _in_words(Counts(1, 0, 0))
    '1 row scored, all of them finite'
    >>> _in_words(Counts(20, 3, 1))
    '20 rows scored, 3 of them with gaps, 1 of them without any value or with an infinite one (NaN, assignment -1)'
    """
    num_rows, num_incomplete, num_bad = counts
    parts = [f"{counted(num_rows, 'row')} scored"]
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
