"""`tfgmm fit`: from a file of rows to a folder with the fitted mixture. Loads what it needs inside its functions."""

from __future__ import annotations

import contextlib
import shutil
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from tfgmm.cli import shared
from tfgmm.cli.run.option_words import in_our_words
from tfgmm.cli.shared import UsageError
from tfgmm.common.urls import without_secrets
from tfgmm.common.words import printable
from tfgmm.mixture.registry import WEIGHT_PRIORS

if TYPE_CHECKING:
    from tfgmm.cli.run.folder import Run
    from tfgmm.cli.run.rows import RowFacts
    from tfgmm.cli.run.settings import RunSettings

_LONGEST_SUMMARY = 40  # lines that are printed
_WIDEST = 100  # columns of a paragraph
_ENDING, _ENDING_CHOICE = "ending after this sweep", "ending, keeping the numbers of components that are complete"
_ENDING_SHAPES = "ending, keeping the fits that are complete"
_ENDING_POSTERIOR = "ending, with the draws from the posterior that there are"
_AGAIN = "Once more to leave at once, with nothing written."


def fit(
    out: Annotated[Path, typer.Option(metavar="DIR", help="The folder to make.")],
    data: Annotated[
        str | None,
        typer.Argument(
            metavar="DATA",
            parser=shared.path,
            help="Rows: .csv, .parquet, .pq, .arrow, .feather, a folder or a URL.",
        ),
    ] = None,
    components: Annotated[
        str | None,
        typer.Option(
            metavar="K", help="How many Gaussians; 1:10 (both included) or 2,4,8 to have one chosen.  [default: 1:10]"
        ),
    ] = None,
    covariance: Annotated[
        str | None,
        typer.Option(
            help="spherical, diag, full; tied_spherical, tied_diag, tied: one for all; full,tied or auto (all) to have "
            "one chosen.  [default: auto; diag beside --components]"
        ),
    ] = None,
    weight_prior: Annotated[
        str | None, typer.Option(help="dirichlet; or stick_breaking: K is a maximum.  [default: dirichlet]")
    ] = None,
    weights: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="How often each row counts: 2 is the row twice, 0 is no row.")
    ] = None,
    noise: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN=ERROR", help="Standard deviations of a column's noise; repeat."),
    ] = None,
    missing: Annotated[
        str | None, typer.Option(help="Of gaps: integrate them out, or refuse the file.  [default: integrate]")
    ] = None,
    columns: Annotated[
        str | None, typer.Option(help="Names with commas between.  [default: all columns of numbers]")
    ] = None,
    restarts: Annotated[int | None, typer.Option(help="Starts to try.  [default: 8, or 3 of many rows]")] = None,
    max_sweeps: Annotated[
        int | None, typer.Option(help="Sweeps at most, per start and over all rows.  [default: 200]")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Same seed, same result.  [default: 0]")] = None,
    validation: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            parser=shared.path,
            help="Further rows, whose bound is followed too; of a choice, the held-out rows.",
        ),
    ] = None,
    criteria_at: Annotated[
        str | None, typer.Option(help="BIC, ICL, AIC: mean, or mode for those of mclust.  [default: mean]")
    ] = None,
    posterior: Annotated[
        str | None,
        typer.Option(
            help="Of intervals and bands: mean_field, quick and too narrow; laplace, importance, mcmc; auto: the "
            "quickest of these that is good enough.  [default: auto]"
        ),
    ] = None,
    moves: Annotated[
        bool | None,
        typer.Option(help="Move components from where they are needed least.  [default: from 5 on]"),
    ] = None,
    drop_gaps: Annotated[bool, shared.DROP_GAPS] = False,
    delimiter: Annotated[str | None, shared.DELIMITER] = None,
    decimal: Annotated[str | None, shared.DECIMAL] = None,
    encoding: Annotated[str | None, shared.ENCODING] = None,
    skip_rows: Annotated[int | None, shared.SKIP_ROWS] = None,
    saved_model: Annotated[
        bool, typer.Option("--saved-model", help="Put a SavedModel into model/ too, for TensorFlow Serving and others.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier run.")] = False,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The config.json of an earlier run, to repeat it.")
    ] = None,
) -> None:
    """Fit a mixture to the rows of a file, of any size, and leave a folder with all that came of it.

    model/ is what all other commands take. report.html, figures/, history.csv and summary.txt show the fit;
    config.json repeats it: tfgmm fit --config DIR/config.json --out OTHER. Options given beside --config go before it.

    Several shapes and numbers of components are all fitted, and compared by evidence, held-out rows, BIC and ICL:
    selection.csv has a line for each, model/ is the recommended one. Without --components and --covariance all shapes
    are tried with 1 to 10 components.

    A gap, an empty cell or NA, is a value that is missing at random: what there is of its row counts. --weights names
    the column that says how often each row counts, --noise columns with the standard deviations of others:
    --noise flux=flux_err.

    Intervals and bands are those of the exact posterior where that can be had, and summary.txt says how good they
    are. --posterior mean_field takes those of the fit itself, which are too narrow where components overlap.

    Ctrl-C ends the fit after the sweep at hand and keeps the model as it stands, or of several fits the best of
    those that are complete; later, it keeps the draws from the posterior that there are. A second one leaves nothing.

    Example: tfgmm fit training/data/old_faithful.csv --components 2 --covariance full --out /tmp/geyser_run

    To have shape and number chosen: tfgmm fit training/data/old_faithful.csv --out /tmp/geyser_shapes

    To have the number chosen: tfgmm fit training/data/old_faithful.csv --components 1:4 --out /tmp/geyser_choice
    """
    with shared.errors_as_one_line(in_our_words):
        arguments = {
            "data": data,
            "num_components": components,
            "covariance": covariance,
            "weights": weight_prior,
            "sample_weight": weights,
            "noise": noise,
            "missing": missing,
            "columns": columns,
            "restarts": restarts,
            "max_sweeps": max_sweeps,
            "seed": seed,
            "validation": validation,
            "criteria_at": criteria_at,
            "posterior": posterior,
            "moves": moves,
            "drop_gaps": drop_gaps or None,
            "delimiter": delimiter,
            "decimal": decimal,
            "encoding": encoding,
            "skip_rows": skip_rows,
        }
        settings, earlier = _settings(config, arguments)
        shared.check_outside_exports(out)
        _fit(settings, out, overwrite, earlier, saved_model)


class _Earlier(NamedTuple):
    """What an earlier run says of the same rows: their fingerprint, where it is known, and what was left out."""

    fingerprint: str | None
    rows: Mapping[str, Any]


def _settings(config: Path | None, arguments: Mapping[str, Any]) -> tuple[RunSettings, _Earlier]:
    """Collects what is asked for, and what an earlier run says of the same rows."""
    from tfgmm.cli.run.parsed import covariance_of, noise_of, num_components_of
    from tfgmm.cli.run.settings import fingerprint_of, read_config, rows_of, settings_from

    content = {"settings": {}} if config is None else read_config(config)
    try:
        components, columns, covariance = (arguments[name] for name in ("num_components", "columns", "covariance"))
        noise = arguments["noise"]
        parsed = {
            "noise": noise_of(noise) if noise else None,
            **_weights_and_prior(arguments),
            "covariance": None if covariance is None else covariance_of(covariance),
            "num_components": None if components is None else num_components_of(components),
            "columns": None if columns is None else _names(columns),
        }
        settings = settings_from(content["settings"], {**arguments, **parsed})
        return settings, _Earlier(fingerprint_of(content, settings), rows_of(content, settings))
    except (ValueError, TypeError) as error:
        raise UsageError(str(error)) from None


def _weights_and_prior(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Tells a column of weights from the prior of the mixture's, which --weights meant in earlier versions."""
    column, prior = arguments["sample_weight"], arguments["weights"]
    if column in WEIGHT_PRIORS and prior is None:
        words = f"--weights {column} is taken for the prior: write --weight-prior {column}. --weights names a column."
        typer.echo(f"Note: {words}", err=True)
        return {"sample_weight": None, "weights": column}
    return {"sample_weight": column, "weights": prior}


def _names(text: str) -> list[str]:
    """Splits names with commas between; one that has a comma itself stands in quotation marks.

    Raises:
        ValueError: One is there twice.
    """
    names = shared.split_names(text)
    if len(set(names)) < len(names):
        fix = "Leave out what is there twice."
        raise ValueError(f"`columns` must be names of columns, each once. Received: {text}. {fix}")
    return names


def _fit(settings: RunSettings, out: Path, overwrite: bool, earlier: _Earlier, saved_model: bool) -> None:
    """Fits and writes the run; all that can be wrong is checked first. TensorFlow is loaded for a SavedModel alone."""
    from tfgmm.cli import display
    from tfgmm.cli.run.folder import check_out, write_run
    from tfgmm.cli.run.rows import opened
    from tfgmm.common import quiet

    check_out(out, overwrite, shared.OUT)
    settings, facts, names_are_ours = _with_columns(settings, earlier.rows)
    with display.display() as progress, opened(settings) as (rows, validation):
        words = _ENDING_CHOICE if settings.is_choice else _ENDING
        if settings.is_choice_of_shapes:
            words = _ENDING_SHAPES

        def notify() -> None:
            progress.note(f"Ctrl-C: {words}. {_AGAIN}")

        def load() -> None:
            if saved_model:
                progress.phase("loading TensorFlow")
                quiet.load_tensorflow("`--saved-model`")

        done: list[tuple[Run, tuple[str, ...]]] = []

        def work() -> None:
            from tfgmm.cli.run.fit import run_fit

            nonlocal words

            def at_posterior() -> None:
                nonlocal words
                words = _ENDING_POSTERIOR

            with display.interrupts(notify) as asked:
                steps = load, at_posterior
                run = run_fit(settings, rows, validation, progress, asked.is_set, facts, names_are_ours, *steps)
                run = run._replace(notes=_notes(run, earlier.fingerprint))
                words = "the fit is done, and is being written"
                progress.phase("writing")
                done.append((run, write_run(run, out, overwrite, shared.OUT, saved_model)))

        with _after_all_is_written(done, out):
            shared.quietly(work)
            for note in done[0][0].notes:
                progress.note(printable(f"Note: {note}"))
    _print_fit(*done[0], out)


@contextlib.contextmanager
def _after_all_is_written(done: Sequence[Any], out: Path) -> Iterator[None]:
    """Says of a Ctrl-C that comes when the run is complete what is there."""
    try:
        yield
    except KeyboardInterrupt:
        if not done:
            raise
        typer.echo(printable(f"Ctrl-C came when all was written: {out} is complete."), err=True)


def _notes(run: Run, fingerprint: str | None) -> list[str]:
    """Collects what the user should read, in the words of the command line; also that the rows are others by now."""
    from tfgmm.cli.run.folder import fingerprint_of_rows

    notes = [in_our_words(note) for note in run.notes]
    now = fingerprint_of_rows(run.result)
    if fingerprint not in (None, now):
        place = without_secrets(run.settings.data)
        notes.append(
            f"{place} holds other rows than in the earlier run (fingerprint {fingerprint}, now {now}): "
            "this run is of those that it holds now"
        )
    return notes


def _with_columns(settings: RunSettings, earlier: Mapping[str, Any]) -> tuple[RunSettings, RowFacts, bool]:
    """Finds the columns that are used, as `with_columns` does, and prints them, and how the file is read."""
    from tfgmm.cli.run.rows import columns_line, csv_options, with_columns

    settings, facts, names_are_ours = with_columns(settings, earlier)
    for name, path in (("data", settings.data), ("validation_data", settings.validation)):
        if path is not None:
            shared.say_format(name, path, csv_options(settings))
    if names_are_ours:
        typer.echo(printable(columns_line(settings, facts.left_out)))
    return settings, facts, names_are_ours


def _print_fit(run: Run, files: tuple[str, ...], out: Path) -> None:
    """Prints the fit, without a table that is too long to read, the choice, and what was written."""
    from tfgmm.cli.run.folder import fit_text
    from tfgmm.report.choice import console_lines

    lines = fit_text(run).split("\n")
    if len(lines) > _LONGEST_SUMMARY:
        lines = [*lines[: lines.index("")], "the components: see summary.txt"]
    if run.selection is not None:
        width = min(shutil.get_terminal_size().columns, _WIDEST)
        lines += ["", *console_lines(run.selection), "", *textwrap.wrap(run.selection.reason, width)]
    inside = sorted({f"{name.partition('/')[0]}/" if "/" in name else name for name in files})
    for line in (*lines, "", f"{out}: {', '.join(inside)}"):
        typer.echo(printable(line))
