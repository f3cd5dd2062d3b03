"""`tfgmm score`: a file of rows scored with an exported mixture. Loads what it needs inside its functions."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tfgmm.cli import shared
from tfgmm.cli.shared import UsageError
from tfgmm.common.words import printable

if TYPE_CHECKING:
    from tfgmm.data.files.csv_format import CsvOptions


def score(
    model: Annotated[Path, typer.Option(metavar="DIR", help=shared.MODEL_HELP)],
    source: Annotated[Path, typer.Option("--in", metavar="FILE", help="Rows: .csv, .parquet, .pq, .arrow, .feather.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="What to write; the kind by its ending.")],
    columns: Annotated[
        str, typer.Option(help="Of log_prob, assignment, responsibilities and outlier, with commas between.")
    ] = "log_prob,assignment",
    keep: Annotated[bool, typer.Option("--keep", help="Carry the columns of the input along.")] = False,
    delimiter: Annotated[str | None, shared.DELIMITER] = None,
    decimal: Annotated[str | None, shared.DECIMAL] = None,
    encoding: Annotated[str | None, shared.ENCODING] = None,
    skip_rows: Annotated[int | None, shared.SKIP_ROWS] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that is there.")] = False,
) -> None:
    """Score the rows of a file, of any size, into another.

    log_prob: log density, nats. assignment: the most probable component. responsibilities: the probability of each
    component. outlier: the share of the mixture that is less likely than the row; 0 for an outlier.

    Columns are matched by name, in any order; others are not looked at. A row with NaN or an infinite value, or an
    empty cell, gets NaN and assignment -1.

    Example: tfgmm score --model saved_models/old_faithful --in training/data/old_faithful.csv --out /tmp/scored.csv
    """
    with shared.errors_as_one_line():
        csv = shared.csv_options(delimiter, decimal, encoding, skip_rows)
        names = _column_names(columns)
        _check_paths(source, out)
        shared.check_outside_exports(out)
        line = _scored(model, source, out, names, keep, overwrite, csv)
    typer.echo(printable(line))


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


def _check_paths(source: Path, out: Path) -> None:
    """Checks the paths: raises UsageError unless they are two files and the ending of `out` is known."""
    from tfgmm.data.files.kinds import KINDS

    shared.check_ending(out, KINDS)
    same = source.resolve() == out.resolve()
    with contextlib.suppress(OSError):
        same = same or source.samefile(out)
    if same:
        raise UsageError(f"`--out` must be another file than `--in`. Received: {out} for both. Choose another name.")


def _scored(
    model: Path, source: Path, out: Path, names: list[str], keep: bool, overwrite: bool, csv: CsvOptions
) -> str:
    """Scores the rows and says so in a line."""
    from tfgmm.common.atomic_file import check_free
    from tfgmm.data.pass_through import InputNames, ScoredInput
    from tfgmm.export.score_file import write_scores
    from tfgmm.mixture.outliers import check_table

    mixture = shared.read_model(model)
    if "outlier" in names:
        check_table(mixture.outlier_table)
    names_here = InputNames("--in", "--keep")
    rows = ScoredInput(str(source), mixture.column_names, len(mixture.centre), keep, names_here, csv)
    check_free(out, overwrite, shared.OUT)
    shared.say_format("--in", source, csv)
    with _progress(rows.num_rows) as progress:
        counts = write_scores(
            mixture, rows, out, names, overwrite=overwrite, argument_names=shared.OUT, progress=progress
        )
    bad = f", {counts.num_bad:,} of them not finite (NaN, assignment -1)"
    return f"{out}: {counts.num_rows:,} rows scored{bad if counts.num_bad else ', all of them finite'}"


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
