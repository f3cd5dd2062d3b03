"""The folder that `tfgmm fit` leaves behind: the model, its history, figures, summary and settings; whole or not there.

model/        the export; for tfgmm score, sample, info and verify
figures/      the density, and where the restarts ended
history.csv   a line per sweep over all rows
summary.txt   the fit as text
config.json   the settings, and which files are ours; written last
"""

from __future__ import annotations

import csv
import os
import pathlib
import platform
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from tfgmm import __version__, artefact
from tfgmm.run_settings import CONFIG, RunSettings, config_text, read_config

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure

    from tfgmm.fit_result import FitResult

MODEL, FIGURES, HISTORY, SUMMARY, REPORT = "model", "figures", "history.csv", "summary.txt", "report.html"

_NUM_DRAWS = 200  # in pictures: a mean over them is smooth


class Run(NamedTuple):
    """A fit, and what is told of it in its folder.

    Args:
        settings: what was asked for.
        result: what came out.
        occupied: the number of occupied components after each sweep over all rows.
        sample: (n, D) rows, data units, for the pictures.
        notes: lines that the user should read: warnings, and why the run was stopped.
    """

    settings: RunSettings
    result: FitResult
    occupied: Sequence[int]
    sample: np.ndarray
    notes: Sequence[str]


def check_out(folder: pathlib.Path, overwrite: bool) -> None:
    """Returns nothing when `folder` is free, or holds an earlier run that may be replaced.

    Raises:
        FileExistsError: it is not.
    """
    artefact.check_target(artefact.path_of(folder), overwrite, RUN)


def write_run(run: Run, folder: pathlib.Path, overwrite: bool) -> tuple[str, ...]:
    """Returns the files written, by their paths in `folder`, which stands when all of them are complete.

    Raises:
        FileExistsError: something stands there that may not be replaced.
        OSError: the disk refuses; what stood there stands there still.
    """
    from tfgmm.export import export_model

    with artefact.written_whole(artefact.path_of(folder), overwrite, RUN) as temporary:
        export_model(run.result.model, temporary / MODEL)
        _write_history(run, temporary / HISTORY)
        failures = _write_figures(run, temporary / FIGURES)
        (temporary / REPORT).write_text(_report(run, folder), encoding="utf-8")
        text = "\n".join([run.result.summary(), *(f"Note: {note}" for note in (*run.notes, *failures))])
        (temporary / SUMMARY).write_text(text + "\n", encoding="utf-8")
        files = (*artefact.file_sizes(temporary), CONFIG)
        (temporary / CONFIG).write_text(config_text(run.settings, files, _versions()), encoding="utf-8")
    return files


def _report(run: Run, folder: pathlib.Path) -> str:
    """Returns the page about the fit; of more rows than were kept for pictures, it reads the file once more."""
    from tfgmm.report import page_of

    data = run.sample if len(run.sample) == run.result.num_data else run.settings.data
    return page_of(run.result, data, artefact.path_of(folder) / MODEL)


def _listed_in_config(folder: pathlib.Path) -> list[str]:
    return list(read_config(folder / CONFIG)["files"])


RUN = artefact.Kind("a run", lambda target: artefact.why_foreign(target, _listed_in_config, "a run"))


def _versions() -> dict[str, str]:
    import keras
    import numpy as np
    import tensorflow as tf

    packages = {package.__name__: package.__version__ for package in (tf, keras, np)}
    return {"tfgmm": __version__, "python": platform.python_version(), **packages}


def _write_history(run: Run, path: pathlib.Path) -> None:
    """Writes a line per sweep: what Keras logs of it, in nats, and the occupied components."""
    history = run.result.history
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["sweep", *history, "occupied"])
        sweeps = zip(*history.values(), run.occupied, strict=True)
        writer.writerows([number, *map(float, logs), occupied] for number, (*logs, occupied) in enumerate(sweeps, 1))


def _write_figures(run: Run, folder: pathlib.Path) -> list[str]:
    """Returns a line for every picture that could not be drawn: a fit is not thrown away for that."""
    os.mkdir(folder)
    failures = []
    for name, draw in _pictures(run):
        try:
            draw().savefig(folder / name, dpi=150, bbox_inches="tight")
        except (ValueError, ArithmeticError) as error:
            failures.append(f"{FIGURES}/{name} could not be drawn ({error})")
    return failures


def _pictures(run: Run) -> Iterator[tuple[str, Callable[[], Figure]]]:
    """Yields the name of every picture, and what draws it."""
    yield ("density.png" if run.sample.shape[1] < 3 else "pairs.png"), lambda: _density(run)
    if len(run.result.restarts) > 1:
        yield "restarts.png", lambda: _restarts(run)


def _density(run: Run) -> Figure:
    from tfgmm import mixture_pictures

    model = run.result.model
    num_shown = min(model.num_features, mixture_pictures.MOST_COLUMNS)
    names = model.column_names or [f"column {index}" for index in range(model.num_features)]
    kind = mixture_pictures.KINDS[mixture_pictures.default_kind(num_shown)]
    shown = mixture_pictures.Pictured(model, lambda: model.draws(_NUM_DRAWS, seed=0), run.sample, names)
    return kind.draw(shown, range(num_shown))


def _restarts(run: Run) -> Figure:
    from matplotlib.figure import Figure

    from tfgmm import plot

    figure = Figure((7.0, 5.4), layout="constrained")  # that no window shows, wherever the command runs
    plot.restarts(run.result.restarts, ax=figure.add_subplot())
    return figure
