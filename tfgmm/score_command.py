"""`tfgmm score`: a file of rows scored with an exported mixture. Loads what it needs inside its functions."""

from __future__ import annotations

import contextlib
import enum
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tfgmm import artefact, commands
from tfgmm.commands import UsageError

if TYPE_CHECKING:
    from tfgmm.exported import ExportedMixture
    from tfgmm.score_file import Engine
    from tfgmm.scored_input import ScoredInput

# What NumPy took on two cores, seconds: per row, and per row and number that describes a component's precision
_SECONDS_PER_ROW, _SECONDS_PER_NUMBER = 5e-7, {"precisions": 3.5e-9, "whiteners": 6e-10}
# Both engines were equally fast there, and NumPy needs a fifth of the memory and does not load for 5 s. TensorFlow uses
# more cores better, which pays for long work.
_LONG_WORK = 30.0  # seconds


class EngineName(enum.StrEnum):
    """What computes the scores; auto is NumPy unless the work is long."""

    AUTO = "auto"
    NUMPY = "numpy"
    TENSORFLOW = "tensorflow"


def score(
    model: Annotated[Path, typer.Option(metavar="DIR", help=commands.MODEL_HELP)],
    source: Annotated[Path, typer.Option("--in", metavar="FILE", help="Rows: .csv, .parquet, .pq, .arrow, .feather.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="What to write; the kind by its ending.")],
    columns: Annotated[
        str, typer.Option(help="Of log_prob, assignment, responsibilities and outlier, with commas between.")
    ] = "log_prob,assignment",
    keep: Annotated[bool, typer.Option("--keep", help="Carry the columns of the input along.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that is there.")] = False,
    engine: Annotated[EngineName, typer.Option(help="auto: TensorFlow for long work only.")] = EngineName.AUTO,
) -> None:
    """Score the rows of a file, of any size, into another.

    log_prob: log density, nats. assignment: the most probable component. responsibilities: the probability of each
    component. outlier: the share of the mixture that is less likely than the row; 0 for an outlier.

    Columns are matched by name, in any order; others are not looked at. A row with NaN or an infinite value, or an
    empty cell, gets NaN and assignment -1.

    Example: tfgmm score --model saved_models/old_faithful --in training/data/old_faithful.csv --out /tmp/scored.csv
    """
    with commands.told():
        names = _column_names(columns)
        _check_paths(source, out)
        commands.check_outside_exports(out)
        line = _scored(model, source, out, names, keep, overwrite, engine)
    typer.echo(artefact.printable(line))


def _column_names(text: str) -> list[str]:
    from tfgmm.score_file import COLUMNS

    names = [name.strip() for name in text.split(",")]
    wanted = f"`--columns` must be some of {','.join(COLUMNS)}"
    unknown = [name for name in names if name not in COLUMNS]
    if unknown:
        raise UsageError(f"{wanted}. Received: {unknown[0]!r}. Write names with commas between, without spaces.")
    if len(set(names)) < len(names):
        raise UsageError(f"{wanted}, each once. Received: {text}. Leave out what is there twice.")
    return names


def _check_paths(source: Path, out: Path) -> None:
    """Returns nothing; UsageError for the same file twice, and for an ending that says no kind of file."""
    from tfgmm.files.kinds import KINDS

    commands.check_ending(out, KINDS)
    same = source.resolve() == out.resolve()
    with contextlib.suppress(OSError):
        same = same or source.samefile(out)
    if same:
        raise UsageError(f"`--out` must be another file than `--in`. Received: {out} for both. Choose another name.")


def _scored(
    model: Path, source: Path, out: Path, names: list[str], keep: bool, overwrite: bool, engine: EngineName
) -> str:
    """Returns the line that says what was done."""
    from tfgmm.outliers import check_table
    from tfgmm.score_file import score_file
    from tfgmm.scored_input import ScoredInput
    from tfgmm.scored_output import check_output

    found = commands.read_model(model)
    if "outlier" in names:
        check_table(found.outlier_table)
    rows = ScoredInput(str(source), found.column_names, len(found.centre), keep)
    check_output(out, overwrite)
    chosen = _engine(found, engine, _num_rows(rows, source))
    with _progress(rows.num_rows) as progress:
        counts = score_file(found, rows, out, names, chosen, overwrite=overwrite, progress=progress)
    bad = f", {counts.num_bad:,} of them not finite (NaN, assignment -1)"
    return f"{out}: {counts.num_rows:,} rows scored{bad if counts.num_bad else ', all of them finite'}"


def _num_rows(rows: ScoredInput, source: Path) -> float:
    """Returns the number of rows of a file; of one that must be read to be counted, about."""
    return source.stat().st_size / (8 * rows.num_columns) if rows.num_rows is None else rows.num_rows


def _engine(found: ExportedMixture, name: EngineName, num_rows: float) -> Engine:
    """Returns what computes the scores of so many rows, unless one was named."""
    if name is EngineName.NUMPY or (name is EngineName.AUTO and _numpy_seconds(found, num_rows) < _LONG_WORK):
        from tfgmm.numpy_scores import NumpyScorer

        return NumpyScorer(found)
    return commands.with_tensorflow(lambda _: _tensorflow_engine(found))


def _tensorflow_engine(found: ExportedMixture) -> Engine:
    from tfgmm.serve import Scorer

    return Scorer(found)


def _numpy_seconds(found: ExportedMixture, num_rows: float) -> float:
    """Returns about how long NumPy takes."""
    [(part, values)] = [(part, values) for part, values in found.components.items() if part != "locs"]
    numbers = len(found.log_weights) * values[0].size  # tied ones go through for each component
    return num_rows * (_SECONDS_PER_ROW + numbers * _SECONDS_PER_NUMBER[part])


@contextlib.contextmanager
def _progress(num_rows: int | None) -> Iterator[Callable[[int], None]]:
    """Yields a function that moves a bar by so many rows; no bar where standard error is not a terminal."""
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
