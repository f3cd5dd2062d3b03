"""The folder that `tfgmm fit` leaves behind: the model, its history, figures, summary and settings; whole or not there.

model/         the export; for all other commands; with a SavedModel where it was asked for
figures/       the density, where the restarts ended, and the criteria of a choice
history.csv    a line per sweep over all rows
selection.csv  of a choice between shapes or numbers of components: a line per fit, with all criteria
summary.txt    the choice and the fit as text
report.html    the same for other readers
config.json    the settings, and which files are ours; written last
"""

from __future__ import annotations

import csv
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from tfgmm.cli.run.posterior_words import posterior_in_our_words
from tfgmm.cli.run.rows import NOTHING_SAID, RowFacts
from tfgmm.cli.run.settings import CONFIG, RunSettings, config_text, read_config
from tfgmm.common import atomic_folder
from tfgmm.common.atomic_folder import Kind, path_of
from tfgmm.common.unfinished import IN_PYTHON, ArgumentNames
from tfgmm.export.folder import CARD, Place, file_sizes, read_card
from tfgmm.fit.selection_words import occupied_words

if TYPE_CHECKING:
    import numpy as np

    from tfgmm.data.survey import Survey
    from tfgmm.fit.result import FitResult
    from tfgmm.fit.selection import Selection
    from tfgmm.report.pictures import Picture
    from tfgmm.report.subject import Fitted

MODEL, FIGURES, HISTORY, SUMMARY, REPORT = "model", "figures", "history.csv", "summary.txt", "report.html"
SELECTION = "selection.csv"


class Run(NamedTuple):
    """A fit, and what its folder says of it.

    Args:
        settings: What was asked for.
        result: What came out.
        occupied: Number of occupied components after each sweep over all rows.
        survey: Survey of the rows: the page and the pictures are about them, and they need not be read again.
        notes: Lines that the user should read: warnings, and why the run was stopped.
        selection: Fits of several shapes or numbers of components, of which `result` is the best; or None.
        occupied_posterior: `FitResult.occupied_posterior`, or None.
        rows: What is said of the rows: columns left out, rows dropped.
    """

    settings: RunSettings
    result: FitResult
    occupied: Sequence[int]
    survey: Survey
    notes: Sequence[str]
    selection: Selection | None = None
    occupied_posterior: np.ndarray | None = None
    rows: RowFacts = NOTHING_SAID


def check_out(folder: pathlib.Path, overwrite: bool, names: ArgumentNames = IN_PYTHON) -> None:
    """Checks that `folder` is free, or holds an earlier run that may be replaced, and can be written.

    Raises:
        FileExistsError: It is not free.
        OSError: The disk refuses, which should be known before hours of fitting.
    """
    target = path_of(folder, names.path)
    atomic_folder.check_target(target, overwrite, RUN, names)
    atomic_folder.check_writable(target, names)


def write_run(
    run: Run, folder: pathlib.Path, overwrite: bool, names: ArgumentNames = IN_PYTHON, saved_model: bool = False
) -> tuple[str, ...]:
    """Writes the run into `folder`, which is there once it is complete, and returns the paths of the files in it.

    Args:
        run: The run.
        folder: The folder to be.
        overwrite: Whether an earlier run there is replaced.
        names: What messages call the arguments.
        saved_model: Whether model/ holds a SavedModel beside the numbers.

    Raises:
        FileExistsError: Something is there that may not be replaced.
        OSError: The disk refuses; what was there is there still.
    """
    from tfgmm.export.saved_model import export_model
    from tfgmm.report.subject import fitted_of

    target = path_of(folder, names.path)
    with atomic_folder.written_whole(target, overwrite, RUN, names) as temporary:
        export_model(run.result, temporary / MODEL, saved_model=saved_model)
        _write_history(run, temporary / HISTORY)
        if run.selection is not None:
            _write_selection(run.selection, temporary / SELECTION)
        fitted = fitted_of(run.result)
        pictures, failures = _write_figures(run, fitted, temporary / FIGURES)
        (temporary / REPORT).write_text(_report(run, fitted, pictures, folder), encoding="utf-8")
        choice = [] if run.selection is None else [f"{run.selection}\n"]
        notes = dict.fromkeys((*run.rows.notes(), *run.notes, *failures))
        text = "\n".join([*choice, fit_text(run), *(f"Note: {note}" for note in notes)])
        (temporary / SUMMARY).write_text(text + "\n", encoding="utf-8")
        files = (*file_sizes(Place(temporary)), CONFIG)
        versions = read_card(Place(temporary / MODEL))["versions"]
        record = run.rows.as_record()
        config = config_text(run.settings, files, versions, fingerprint_of_rows(run.result), record)
        (temporary / CONFIG).write_text(config, encoding="utf-8")
    return files


def fit_text(run: Run) -> str:
    """Writes the fit as text; the number of components that have rows, where it was counted and no choice says it."""
    words = posterior_in_our_words(run.result.summary())
    if run.selection is None and run.occupied_posterior is not None:
        words += f"\n\n{occupied_words(run.occupied_posterior)}"
    return words


def fingerprint_of_rows(result: FitResult) -> str | None:
    """Looks up the fingerprint of the rows that were fitted, as the card of the export has it."""
    return None if result.data_summary is None else result.data_summary.fingerprint


def _report(run: Run, fitted: Fitted, pictures: Mapping[str, Picture], folder: pathlib.Path) -> str:
    """Writes the page about the fit, with its pictures."""
    from tfgmm.report.choice import choice_of
    from tfgmm.report.page import RowNotes, page_of

    choice = choice_of(run.selection, run.occupied_posterior)
    notes = RowNotes(tuple(run.rows.notes()), tuple(run.rows.cautions()))
    return page_of(fitted, run.survey, path_of(folder) / MODEL, choice, pictures, notes)


def _files_in_config(folder: pathlib.Path) -> list[str]:
    """Reads the files of a run from its config.json; of its model, which `tfgmm export` may replace, from its card."""
    files = list(read_config(folder / CONFIG)["files"])
    if (folder / MODEL / CARD).is_file():
        files += [f"{MODEL}/{name}" for name in read_card(Place(folder / MODEL))["files"]]
    return files


RUN = Kind("a", "run", _files_in_config)


def _write_history(run: Run, path: pathlib.Path) -> None:
    """Writes a line per sweep: what Keras logs of it, in nats, and the occupied components."""
    history = run.result.history
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["sweep", *history, "occupied"])
        sweeps = zip(*history.values(), run.occupied, strict=True)
        writer.writerows([number, *map(float, logs), occupied] for number, (*logs, occupied) in enumerate(sweeps, 1))


def _write_selection(selection: Selection, path: pathlib.Path) -> None:
    """Writes a line per fit: the columns of `Selection.table`, and whether it is recommended."""
    table = selection.table
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*(table.dtype.names or ()), "recommended"])
        for place, line in enumerate(table.tolist()):
            # nothing where nothing was measured: not all programs read "nan"
            cells = ["" if value != value else value for value in line]
            writer.writerow([*cells, int(place == selection.best_place)])


def _write_figures(run: Run, fitted: Fitted, folder: pathlib.Path) -> tuple[dict[str, Picture], list[str]]:
    """Draws each picture once, for a file and for the page; a fit is not thrown away for one that cannot be drawn.

    Returns:
        Pictures for the page by name, and a line for each that could not be drawn.
    """
    from tfgmm.plot.kinds import plain_style
    from tfgmm.report.pictures import drawings

    os.mkdir(folder)
    files, pictures, failures = _figure_files(run), {}, []
    for name, draw in drawings(fitted, run.survey, run.selection):
        try:
            with plain_style():
                drawing = draw()
                # One figure, laid out once: programs and letters take PNG, while the page holds an SVG where that is
                # small, which stays sharp on any screen; where it holds a PNG, that has the bytes of the file
                if name in files:
                    (folder / files[name]).write_bytes(drawing.png)
                pictures[name] = drawing.picture
        except (ValueError, ArithmeticError) as error:
            what = f"{FIGURES}/{files[name]}" if name in files else f"the picture {name} of {REPORT}"
            failures.append(f"{what} could not be drawn ({error})")
    return pictures, failures


def _figure_files(run: Run) -> dict[str, str]:
    """Names the files of the pictures that are kept beside the page."""
    files = {
        "density": "density.png" if run.survey.sample.shape[1] < 3 else "pairs.png",
        "num_components": "num_components.png",
    }
    return files if len(run.result.restarts) < 2 else {**files, "restarts": "restarts.png"}
