"""`tfgmm demo`: from rows to a picture, by the very commands that a user would type. Loads nothing by itself."""

from __future__ import annotations

import filecmp
import os
import shlex
import shutil
from pathlib import Path
from typing import Annotated

import typer

from tfgmm.cli import shared
from tfgmm.common.words import printable

ROWS = Path(__file__).parent / "example_data" / "old_faithful.csv"


def demo(
    context: typer.Context,
    out: Annotated[Path, typer.Option(metavar="DIR", help="The folder to make.")] = Path("tfgmm_demo"),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier demo.")] = False,
) -> None:
    """Fit, score and draw 272 eruptions of a geyser: what tfgmm does, in under a minute, without a file of yours.

    Each step is a command, shown before it is run.

    Example: tfgmm demo --out /tmp/tfgmm_demo
    """
    rows, run, scored, picture = (out / name for name in (ROWS.name, "run", "scored.csv", "density.png"))
    more = ["tfgmm", "sample", "--model", str(run), "--num-rows", "1000", "--out", str(out / "new_rows.csv")]
    with shared.errors_as_one_line():
        shared.check_outside_exports(out)
        _prepare(out, overwrite)
    _say("Old Faithful, a geyser: how long 272 eruptions were, and how long the wait for the next one (minutes).")
    again = ["--overwrite"] if overwrite else []
    steps = {
        "Fit two Gaussians to the rows": ["fit", rows, "--components", 2, "--covariance", "full", "--out", run],
        "Score every row: log density, component, and how far out it is": [
            *("score", "--model", run, "--in", rows, "--out", scored),
            *("--columns", "log_prob,assignment,outlier", "--keep"),
        ],
        "Draw the density, with the rows": ["plot", "--model", run, "--data", rows, "--out", picture],
    }
    for number, (words, step) in enumerate(steps.items(), 1):
        _say("", f"{number}. {words}:", f"$ {shlex.join(['tfgmm', *map(str, step)])}", "")
        _run(context, [*map(str, step), *again])
    _say(
        "",
        "Look at:",
        f"  {picture}",
        f"  {run / 'report.html'} in a browser: the fit on one page",
        f"  {scored}: rows with an `outlier` near 0 do not belong",
        "Next:",
        f"  $ {shlex.join(more)}",
        "  $ tfgmm fit YOUR_FILE.csv --components 3 --out YOUR_FOLDER",
        "  $ tfgmm --help",
    )


def _prepare(out: Path, overwrite: bool) -> None:
    """Makes the folder, with the rows in it.

    Raises:
        FileExistsError: Something stands there that may not be replaced.
        OSError: The disk refuses.
    """
    from tfgmm.common.atomic_file import written_whole

    if os.path.lexists(out) and (out.is_symlink() or not out.is_dir()):
        raise FileExistsError(
            f"`--out` must be a new folder. Received: {out}, which is no folder. Choose another place."
        )
    if out.is_dir() and os.listdir(out):
        is_demo = (out / ROWS.name).is_file() and filecmp.cmp(ROWS, out / ROWS.name, shallow=False)
        what = "an earlier demo" if is_demo else "other files"
        fix = "Pass --overwrite to replace it, or choose another place." if is_demo else "Choose another place."
        if not (is_demo and overwrite):
            raise FileExistsError(f"`--out` must be a new folder. Received: {out}, which holds {what}. {fix}")
    with written_whole(out / ROWS.name, overwrite, shared.OUT) as temporary:
        shutil.copyfile(ROWS, temporary)


def _run(context: typer.Context, words: list[str]) -> None:
    """Runs a command of ours as the shell would; leaves with its exit code where it fails."""
    code = context.find_root().command.main(words, prog_name="tfgmm", standalone_mode=False)
    if code:
        raise typer.Exit(code)


def _say(*lines: str) -> None:
    for line in lines:
        typer.echo(printable(line))
