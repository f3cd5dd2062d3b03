"""`tfgmm report`: one HTML page about an exported mixture and its rows. Loads what it needs inside its functions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tfgmm.cli import carried, shared
from tfgmm.cli.shared import UsageError
from tfgmm.common.urls import without_secrets
from tfgmm.common.words import printable

if TYPE_CHECKING:
    from tfgmm.cli.carried import Carried
    from tfgmm.cli.display import Display
    from tfgmm.data.files.csv_format import CsvOptions
    from tfgmm.data.row_source import RowSource
    from tfgmm.export.reading import ExportedMixture

ENDINGS = (".html", ".htm")


def report(
    model: Annotated[Path, typer.Option(metavar="DIR", help=shared.MODEL_HELP)],
    data: Annotated[
        str,
        typer.Option(
            metavar="FILE",
            parser=shared.path,
            help="The rows it was fitted to: .csv, .parquet, .arrow, a folder or a URL.",
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="FILE", help="The page to write: .html.")],
    title: Annotated[str | None, typer.Option(help='The heading.  [default: "Mixture of K Gaussians"]')] = None,
    weights: Annotated[str | None, carried.WEIGHTS] = None,
    noise: Annotated[list[str] | None, carried.NOISE] = None,
    missing: Annotated[str | None, carried.MISSING] = None,
    drop_gaps: Annotated[bool, shared.DROP_GAPS] = False,
    delimiter: Annotated[str | None, shared.DELIMITER] = None,
    decimal: Annotated[str | None, shared.DECIMAL] = None,
    encoding: Annotated[str | None, shared.ENCODING] = None,
    skip_rows: Annotated[int | None, shared.SKIP_ROWS] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that is there.")] = False,
) -> None:
    """Write one HTML page about a mixture and its rows, for people who were not there.

    What to be careful about, the density, the components with 95 % intervals, how sure memberships are, and how to
    load and score; of rows with gaps, weights and noise how these were treated. No scripts, nothing from the network.
    Other rows than those of the fit are said to be others: give --weights and --noise as to the fit.

    Example: tfgmm report --model saved_models/old_faithful --data training/data/old_faithful.csv --out /tmp/geyser.html
    """
    with shared.errors_as_one_line(_words):
        shared.check_ending(out, ENDINGS)
        if title is not None and not title.strip():
            raise UsageError(f"`--title` must not be empty. Received: {title!r}. Write a heading, or leave it out.")
        shared.check_outside_exports(out)
        csv = shared.csv_options(delimiter, decimal, encoding, skip_rows)
        asked = carried.carried_of(data, weights, missing, drop_gaps, carried.noise_of_options(noise))
        line = _report(model, data, out, title, overwrite, csv, asked)
    typer.echo(printable(line))


def _words(text: str) -> str:
    return carried.in_our_words(text.replace("`result`", "`--model`"))


def _report(
    model: Path, data: str, out: Path, title: str | None, overwrite: bool, csv: CsvOptions, asked: Carried
) -> str:
    """Writes the page and says so in a line; what can be wrong is checked before anything is drawn."""
    from tfgmm.common import atomic_file

    mixture = shared.read_model(model)
    atomic_file.check_free(out, overwrite, shared.OUT)
    shared.say_format(shared.DATA, data, csv)
    with asked.opened(data, mixture, csv, as_in_a_fit=True) as rows:
        directory = shared.model_folder(model).absolute()
        shared.with_display(lambda progress: _write(mixture, rows, out, title, directory, overwrite, progress))
    return f"{out}: a page about {directory} and the rows of {without_secrets(data)}"


def _write(
    mixture: ExportedMixture,
    rows: RowSource,
    out: Path,
    title: str | None,
    directory: Path,
    overwrite: bool,
    progress: Display,
) -> None:
    from tfgmm.export.scorer import Scorer
    from tfgmm.report.page import write_page

    progress.phase("reading and drawing")
    write_page(Scorer(mixture), rows, out, title, directory, overwrite, shared.OUT)
