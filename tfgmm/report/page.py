"""One HTML page about a fit, for people who were not there: it needs nothing but a browser, and asks no network."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import types
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from tfgmm.common import atomic_file
from tfgmm.common.unfinished import IN_PYTHON, ArgumentNames
from tfgmm.common.version import __version__
from tfgmm.common.words import printable
from tfgmm.report import subject

if TYPE_CHECKING:
    from tfgmm.data.survey import Survey
    from tfgmm.export.scorer import Scorer
    from tfgmm.fit.result import FitResult
    from tfgmm.fit.selection import Selection
    from tfgmm.model.gaussian_mixture import GaussianMixtureModel
    from tfgmm.report.choice import Choice
    from tfgmm.report.pictures import Picture
    from tfgmm.report.subject import Fitted


class RowNotes(NamedTuple):
    """What a page says of the rows beside their numbers: what was left out, and what to be careful about."""

    notes: tuple[str, ...] = ()
    cautions: tuple[str, ...] = ()


NO_NOTES = RowNotes()
NOTHING_CARRIED: Mapping[str, Any] = types.MappingProxyType({})


def write_report(
    result: FitResult | Selection | GaussianMixtureModel | Scorer,
    data: Any,
    path: str | os.PathLike[str],
    *,
    title: str | None = None,
    model_path: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    sample_weight: Any = None,
    noise: Any = None,
    missing: str = "integrate",
) -> pathlib.Path:
    """Writes a page about a fit, one HTML file with its pictures inside, and returns its path.

    What was fitted on what, what to be careful about, the density, the components with 95 % intervals in data units
    and how good these are, how sure the memberships are, restarts and sweeps, and how to load and score; of rows with
    gaps, weights and noise how these were treated. It holds no scripts, asks for nothing outside itself, and suits a
    phone, a dark screen and paper. Memberships and pictures are those of at most 20,000
    rows; tables end after 1,000 lines and say so. The page is written beside `path`, then renamed.

    Args:
        result: What `tfgmm.fit_mixture` or `tfgmm.load_scorer` returned, or a fitted model. Only the first knows
            restarts, sweeps and criteria; for the others the page says that they are not recorded. For a `Selection`
            the page is about the recommended fit, and why it is recommended.
        data: The rows it was fitted on, (N, D), of any kind that `fit_mixture` takes; the page says so if they are
            others.
        path: The file to make. Folders on the way to it are made.
        title: Heading; default "Mixture of K Gaussians".
        model_path: Where the model is: a folder that `tfgmm.export_model` made, or a .keras file. The page then shows
            how to load it from there.
        overwrite: Whether a file at `path` may be replaced.
        sample_weight, noise, missing: Weights, measurement noise and gaps of the rows, as `fit_mixture` takes them.

    Raises:
        TypeError: `result` is none of these, or a path or the title is something else.
        ValueError: Rows with other columns; weights or noise that are none; gaps where missing="refuse"; an empty
            title; a mixture that was not fitted; an export of an earlier version, without draws from the posterior.
        FileExistsError: `path` is there and `overwrite` is False, or is a folder.
        FileNotFoundError: There is no model at `model_path`.
        OSError: The disk refuses.

    Example:

    >>> import tempfile
    >>> rows = np.random.default_rng(0).normal([[-3.0, 0.0]] * 50 + [[3.0, 1.0]] * 50, 0.5)
    >>> result = tfgmm.fit_mixture(rows, 2, restarts=2, seed=1)
    >>> write_report(result, rows, tempfile.mkdtemp() + "/report.html").name
    'report.html'
    """
    carried = {"sample_weight": sample_weight, "noise": noise, "missing": missing}
    return write_page(result, data, path, title, model_path, overwrite, carried=carried)


def write_page(
    result: FitResult | Selection | GaussianMixtureModel | Scorer,
    data: Any,
    path: str | os.PathLike[str],
    title: str | None,
    model_path: str | os.PathLike[str] | None,
    overwrite: bool,
    names: ArgumentNames = IN_PYTHON,
    carried: Mapping[str, Any] = NOTHING_CARRIED,
) -> pathlib.Path:
    """Does what `write_report` says; errors about the file to make call its arguments by `names`.

    `carried` has the arguments that say what rows carry; none for rows that were opened with them.
    """
    from tfgmm.report.pictures import pictures_of

    fitted, choice, selection = _parts_of(result)
    target = _path_of(names.path, path)
    atomic_file.check_free(target, overwrite, names)
    heading = _title_of(title, fitted)
    model_at = None if model_path is None else _model_at(model_path)
    survey = _survey_of(fitted, data, carried)
    pictures = pictures_of(fitted, survey, selection)
    page = _page(fitted, survey, heading, model_at, choice, pictures)
    with atomic_file.written_whole(target, overwrite, names) as temporary:
        temporary.write_text(page, encoding="utf-8", newline="\n")
    return target


def page_of(
    fitted: Fitted,
    survey: Survey,
    model_path: pathlib.Path,
    choice: Choice | None,
    pictures: Mapping[str, Picture],
    row_notes: RowNotes = NO_NOTES,
) -> str:
    """Writes the page as text.

    Args:
        fitted: The mixture, see `subject.fitted_of`.
        survey: Survey of the rows that were fitted.
        model_path: Where the model will be.
        choice: What the page says of the number of components, or None where that was no question.
        pictures: Pictures by name, as `pictures.drawings` has them; the page goes without those that are not there.
        row_notes: What the page says of the rows beside their numbers.
    """
    return _page(fitted, survey, _title_of(None, fitted), model_path, choice, pictures, row_notes)


def _parts_of(result: Any) -> tuple[Fitted, Choice | None, Selection | None]:
    """Collects what a report is about; what it says of the number of components, if that was a question; the choice."""
    from tfgmm.fit.selection import Selection

    if not isinstance(result, Selection):
        return subject.fitted_of(result), None, None
    from tfgmm.report.choice import choice_of

    best = dataclasses.replace(subject.fitted_of(result.best), exporting="result.best.model")
    return best, choice_of(result, result.occupied_posterior), result


def _page(
    fitted: Fitted,
    survey: Survey,
    title: str,
    model_path: pathlib.Path | None,
    choice: Choice | None,
    pictures: Mapping[str, Picture],
    row_notes: RowNotes = NO_NOTES,
) -> str:
    """Writes the page as text."""
    import jinja2

    from tfgmm.report import cautions, facts, row_facts

    noise = {} if survey.noise is None else {"noise": survey.noise}
    responsibilities = fitted.mixture.responsibilities(survey.sample, **noise)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("tfgmm.report"),
        autoescape=True,  # names of columns and paths are untrusted input
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html").render(
        title=title,
        version=__version__,
        cautions=[*row_notes.cautions, *cautions.cautions(fitted, survey, responsibilities)],
        row_notes=[*row_notes.notes, *row_facts.notes(survey.summary)],
        pictures=pictures,
        python_lines=facts.python_lines(model_path, fitted.exporting, fitted.has_gaps, fitted.has_noise),
        shell_line=facts.shell_line(model_path),
        choice=choice,
        **facts.context(fitted, survey, responsibilities),
    )


def _survey_of(fitted: Fitted, data: Any, carried: Mapping[str, Any]) -> Survey:
    """Surveys the rows, their columns in the mixture's order."""
    from tfgmm.data.sources import open_source
    from tfgmm.data.survey import survey_rows

    source = open_source(data, "data", fitted.num_features, fitted.mixture.column_names, **carried)
    return survey_rows(source, fitted.num_data, seed=0)


def _path_of(name: str, path: Any) -> pathlib.Path:
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"`{name}` must be a path. Received: {type(path).__name__}. Pass the name of a file.")
    return pathlib.Path(os.fsdecode(path))


def _title_of(title: Any, fitted: Fitted) -> str:
    if title is None:
        number = fitted.num_components
        return f"Mixture of {number:,} Gaussian{'s' if number > 1 else ''}"
    if not isinstance(title, str):
        raise TypeError(f"`title` must be a string. Received: {type(title).__name__}. Pass a heading, or leave it out.")
    if not title.strip():
        raise ValueError(f"`title` must not be empty. Received: {title!r}. Pass a heading, or leave it out.")
    return printable(title)


def _model_at(model_path: Any) -> pathlib.Path:
    """Checks that there is a model at the path which the page tells its readers to load."""
    path = _path_of("model_path", model_path)
    is_model = (path / "model_card.json").is_file() if path.is_dir() else path.is_file() and path.suffix == ".keras"
    if not is_model:
        raise FileNotFoundError(
            f"`model_path` must be a folder that tfgmm.export_model made, or a .keras file. Received: {str(path)!r}. "
            "Save the model first, or leave model_path out."
        )
    return path
