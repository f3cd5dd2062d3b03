"""`tfgmm sample`: rows drawn from an exported mixture, into a file. Loads what it needs inside its functions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tfgmm.cli import carried, shared
from tfgmm.cli.shared import UsageError
from tfgmm.common.columns import column_labels
from tfgmm.common.words import printable

if TYPE_CHECKING:
    from tfgmm.cli.display import Display
    from tfgmm.export.reading import ExportedMixture

_BLOCK_NUMBERS = 2**22  # drawn at a time; memory stays at a few times their size


def sample(
    model: Annotated[Path, typer.Option(metavar="DIR", help=shared.MODEL_HELP)],
    num_rows: Annotated[int, typer.Option(metavar="N", help="How many rows to draw.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="What to write; the kind by its ending.")],
    seed: Annotated[int, typer.Option(help="Same seed, same rows.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that is there.")] = False,
) -> None:
    """Draw rows from a mixture at its posterior means, into a file of any size.

    Columns have the names of the rows that the mixture was fitted to, or column_0, column_1 and so on.

    Example: tfgmm sample --model saved_models/old_faithful --num-rows 1000 --out /tmp/geyser_rows.csv
    """
    with shared.errors_as_one_line():
        _check(num_rows, seed, out)
        shared.check_outside_exports(out)
        has_noise = _sample(model, num_rows, seed, out, overwrite)
    without = "; their values have no measurement noise" if has_noise else ""
    typer.echo(printable(f"{out}: {num_rows:,} rows drawn{without}"))


def _check(num_rows: int, seed: int, out: Path) -> None:
    """Checks the numbers and the ending of the file: raises UsageError unless they are in range and it is known."""
    from tfgmm.data.files.kinds import KINDS

    if num_rows < 1:
        raise UsageError(f"`--num-rows` must be at least 1. Received: {num_rows}. Ask for more rows.")
    if not 0 <= seed < 2**63:
        raise UsageError(f"`--seed` must be a whole number from 0 to {2**63 - 1}. Received: {seed}. Choose one.")
    shared.check_ending(out, KINDS)


def _sample(model: Path, num_rows: int, seed: int, out: Path, overwrite: bool) -> bool:
    """Draws and writes the rows, and tells whether those of the fit had noise that these have not."""
    from tfgmm.cli import display
    from tfgmm.common.atomic_file import check_free

    exported = shared.read_model(model)
    check_free(out, overwrite, shared.OUT)
    with display.display() as progress:
        progress.phase("drawing")
        _write(exported, num_rows, seed, out, overwrite, progress)
    return carried.had_noise(exported)


def _write(exported: ExportedMixture, num_rows: int, seed: int, out: Path, overwrite: bool, progress: Display) -> None:
    """Draws block by block, the first as `Scorer.sample` does with that seed."""
    import pyarrow as pa

    from tfgmm.data.table_writer import written_table
    from tfgmm.export.scorer import Scorer
    from tfgmm.mixture.sampling import sample_rows

    mixture = Scorer(exported).plug_in()
    num_features = len(exported.centre)
    names = column_labels(exported.column_names, num_features, "_")
    size = max(1, _BLOCK_NUMBERS // num_features)
    schema = pa.schema([(name, pa.float64()) for name in names])
    with written_table(out, schema, overwrite, shared.OUT) as write:
        for number, start in enumerate(range(0, num_rows, size)):
            rows = sample_rows(mixture, min(size, num_rows - start), seed, number)
            write([pa.array(column) for column in rows.T])
            progress.share(min(1.0, (start + size) / num_rows), f"{min(num_rows, start + size):,} of {num_rows:,} rows")
