"""`tfgmm plot`: a picture of an exported mixture over rows, into a file. Loads what it needs inside its functions."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tfgmm.cli import carried, shared
from tfgmm.cli.run.posterior_words import posterior_in_our_words
from tfgmm.cli.shared import UsageError
from tfgmm.common.columns import column_labels
from tfgmm.common.words import printable

if TYPE_CHECKING:
    from tfgmm.cli.carried import Carried
    from tfgmm.cli.display import Display
    from tfgmm.data.files.csv_format import CsvOptions
    from tfgmm.data.matching import Sample
    from tfgmm.export.reading import ExportedMixture
    from tfgmm.plot.kinds import Kind
    from tfgmm.posterior.record import PosteriorRecord

ENDINGS = (".png", ".svg", ".pdf")

_WITH_DRAWS = ("column", "check")  # kinds that show how sure the mixture is
_DOTS = 150  # of a PNG, per inch


class KindName(enum.StrEnum):
    """What is drawn; auto is a density, by the number of columns."""

    AUTO = "auto"
    DENSITY = "density"
    COLUMN = "column"
    PAIRS = "pairs"
    RESPONSIBILITIES = "responsibilities"
    CHECK = "check"


def plot(
    model: Annotated[Path, typer.Option(metavar="DIR", help=shared.MODEL_HELP)],
    out: Annotated[Path, typer.Option(metavar="FILE", help="What to write: .png, .svg or .pdf.")],
    data: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", parser=shared.path, help="Rows to show: .csv, .parquet, .arrow, a folder or a URL."
        ),
    ] = None,
    kind: Annotated[KindName, typer.Option(help="What to draw.")] = KindName.AUTO,
    columns: Annotated[
        str | None, typer.Option(help="Names with commas between, or numbers from 0.  [default: the first ones]")
    ] = None,
    weights: Annotated[str | None, carried.WEIGHTS] = None,
    missing: Annotated[str | None, carried.MISSING] = None,
    drop_gaps: Annotated[bool, shared.DROP_GAPS] = False,
    delimiter: Annotated[str | None, shared.DELIMITER] = None,
    decimal: Annotated[str | None, shared.DECIMAL] = None,
    encoding: Annotated[str | None, shared.ENCODING] = None,
    skip_rows: Annotated[int | None, shared.SKIP_ROWS] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that is there.")] = False,
) -> None:
    """Draw a mixture, and rows of a file with it.

    density: that of two columns, with the components. column: the density of one column, with the band in which it
    lies. pairs: up to ten columns, each and by pairs. responsibilities: the rows by component, pale where unsure.
    check: one column of the rows beside what the mixture predicts. auto: column, density or pairs, by the number of
    columns.

    At most 20,000 rows are looked at, chosen at random, always the same. A row with a gap is shown where it has
    values. Weights count in bars; a dot is a row. A row with an infinite value is left out; beside --weights it is
    refused.

    Example: tfgmm plot --model saved_models/old_faithful --data training/data/old_faithful.csv --out /tmp/geyser.png
    """
    with shared.errors_as_one_line(carried.in_our_words):
        shared.check_ending(out, ENDINGS)
        shared.check_outside_exports(out)
        csv = shared.csv_options(delimiter, decimal, encoding, skip_rows)
        asked = carried.carried_of(data, weights, missing, drop_gaps)
        line = _plot(model, data, out, kind, columns, overwrite, csv, asked)
    typer.echo(printable(line))


def _plot(
    model: Path,
    data: str | None,
    out: Path,
    name: KindName,
    columns: str | None,
    overwrite: bool,
    csv: CsvOptions,
    asked: Carried,
) -> str:
    """Draws the picture and says so in a line; what can be wrong is checked before the rows are read."""
    from tfgmm.common import atomic_file
    from tfgmm.common.words import quoted
    from tfgmm.data import matching
    from tfgmm.plot.kinds import KINDS, default_kind

    mixture = shared.read_model(model)
    num_features = len(mixture.centre)
    names = column_labels(mixture.column_names, num_features)
    chosen = None if columns is None else chosen_columns(columns, names)
    key = default_kind(num_features if chosen is None else len(chosen)) if name is KindName.AUTO else name.value
    places = _fitting(key, KINDS[key], chosen, num_features, data)
    atomic_file.check_free(out, overwrite, shared.OUT)
    sample = None
    if data is not None:
        shared.say_format(shared.DATA, data, csv)
        with asked.opened(data, mixture, csv) as rows:
            sample = matching.sample_of(rows)
    shared.with_display(lambda progress: _draw(mixture, sample, KINDS[key], places, out, overwrite, progress))
    drawn = _of_draws(mixture.posterior) if key in _WITH_DRAWS else ""
    return f"{out}: {KINDS[key].words} {quoted([names[place] for place in places])}{_of_rows(sample)}{drawn}"


def chosen_columns(text: str, names: Sequence[str]) -> list[int]:
    """Finds the places of the columns that `--columns` names; one with a comma itself stands in quotation marks.

    Raises:
        ValueError: One is unknown.
        UsageError: One is named twice, or there is none.

    Example:

    >>> chosen_columns("waiting, 0", ["eruptions", "waiting"])
    [1, 0]
    """
    from tfgmm.common.words import quoted

    words = shared.split_names(text)
    numbers = {str(index): index for index in range(len(names))}
    known = numbers | {name: index for index, name in enumerate(names)}
    unknown = [word for word in words if word not in known]
    wanted = f"`--columns` must be names of columns, or numbers from 0 to {len(names) - 1}"
    if not words:
        raise UsageError(f"{wanted}. Received: nothing. Leave it out for the first.")
    if unknown:
        raise ValueError(f"{wanted}. Received: {unknown[0]!r}. The mixture's columns are {quoted(names)}.")
    places = [known[word] for word in words]
    if len(set(places)) < len(places):
        raise UsageError(f"{wanted}, each once. Received: {text}. Leave out what is there twice.")
    return places


def _fitting(key: str, kind: Kind, chosen: list[int] | None, num_features: int, data: str | None) -> list[int]:
    """Chooses the places of the columns that are drawn.

    Raises:
        UsageError: The kind takes another number of columns, or rows that are not given.
    """
    from tfgmm.plot.kinds import MOST_COLUMNS

    if kind.needs_rows and data is None:
        raise UsageError(f"`--data` must be given for --kind {key}. Received: nothing. Name a file of rows.")
    places = list(range(min(num_features, kind.most, MOST_COLUMNS))) if chosen is None else chosen
    if not kind.fewest <= len(places) <= kind.most:
        wanted = f"{kind.fewest}" if kind.fewest == kind.most else f"{kind.fewest} to {kind.most}"
        name = "column" if kind.most == 1 else "columns"
        fix = "Choose others with --columns, or another --kind."
        raise UsageError(f"`--columns` must be {wanted} {name} for --kind {key}. Received: {len(places)}. {fix}")
    return places


def _draw(
    mixture: ExportedMixture,
    sample: Sample | None,
    kind: Kind,
    places: Sequence[int],
    out: Path,
    overwrite: bool,
    progress: Display,
) -> None:
    from tfgmm.common import atomic_file
    from tfgmm.export.scorer import Scorer
    from tfgmm.plot.kinds import Pictured, plain_style
    from tfgmm.plot.letters import letters_for

    progress.phase("drawing")
    scorer = Scorer(mixture)
    names = column_labels(mixture.column_names, len(mixture.centre))
    rows, weights = (None, None) if sample is None else (sample.rows, sample.weights)
    ending = out.suffix.lower()[1:]
    undated = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}, "pdf": {"CreationDate": None}}
    with plain_style():
        has_noise = carried.had_noise(mixture)
        pictured = Pictured(scorer, scorer.draws, rows, names, weights=weights, has_noise=has_noise)
        figure = kind.draw(pictured, places)
        with letters_for(ending, figure), atomic_file.written_whole(out, overwrite, shared.OUT) as temporary:
            # The same mixture and rows give the same bytes
            figure.savefig(temporary, format=ending, dpi=_DOTS, facecolor="white", metadata=undated[ending])


def _of_draws(record: PosteriorRecord) -> str:
    """Writes the end of the line: from which posterior the band is; notes say where it cannot be trusted."""
    from tfgmm.posterior.record import METHODS

    for sentence in record.warnings():
        typer.echo(printable(f"Note: {posterior_in_our_words(sentence)}"), err=True)
    return f"; band of {METHODS[record.method]}"


def _of_rows(sample: Sample | None) -> str:
    """Writes the end of the line: how many rows are shown, and how many are left out."""
    if sample is None:
        return "; without rows"
    num_good = sample.num_rows - sample.num_bad
    drawn = f"{len(sample.rows):,} of {num_good:,}" if len(sample.rows) < num_good else f"{num_good:,}"
    gaps = f", {sample.num_incomplete:,} with gaps" if sample.num_incomplete else ""
    weighted = "" if sample.weights is None else ", weighted"
    what = "without values or infinite" if sample.gaps else "not finite"
    bad = f"; {sample.num_bad:,} {what}, left out" if sample.num_bad else ""
    return f"; {drawn} row{'s' if num_good != 1 else ''}{weighted}{gaps}{bad}"
