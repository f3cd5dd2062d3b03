"""One HTML page about a fit, for people who were not there: it needs nothing but a browser, and asks no network."""

from __future__ import annotations

import os
import pathlib
from typing import TYPE_CHECKING, Any

from tfgmm import __version__, whole_file
from tfgmm.artefact import printable

if TYPE_CHECKING:
    from tfgmm.data import Survey
    from tfgmm.fit_result import FitResult
    from tfgmm.report_choice import Choice


def write_report(
    result: FitResult,
    data: Any,
    path: str | os.PathLike[str],
    *,
    title: str | None = None,
    model_path: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
) -> pathlib.Path:
    """Returns the path of the page written: one HTML file about a fit, with its pictures inside.

    What was fitted on what, what to be careful about, the density, the components with 95 % intervals in data units,
    how sure the memberships are, restarts and sweeps, and how to load and score. It holds no scripts, asks for nothing
    outside itself, and suits a phone, a dark screen and paper. Memberships and pictures are those of at most 20,000
    rows; tables end after 1,000 lines and say so. The page is written beside `path`, then renamed.

    Args:
        result: what `tfgmm.fit_mixture` returned.
        data: (N, D) the rows it was fitted on, of any kind that `fit_mixture` takes; other rows are said to be others.
        path: the file to make. Folders on the way to it are made.
        title: the heading; default "Mixture of K Gaussians".
        model_path: where the model is: a folder that `tfgmm.export_model` made, or a .keras file. The page then shows
            how to load it from there.
        overwrite: replace a file at `path`; without it, it is kept.

    Raises:
        TypeError: `result` is no `FitResult`, or a path or the title is something else.
        ValueError: rows with other columns, or an empty title.
        FileExistsError: `path` is there and `overwrite` is False, or is a folder.
        FileNotFoundError: there is no model at `model_path`.
        OSError: the disk refuses.

    Example:

    >>> import tempfile
    >>> rows = np.random.default_rng(0).normal([[-3.0, 0.0]] * 50 + [[3.0, 1.0]] * 50, 0.5)
    >>> result = tfgmm.fit_mixture(rows, 2, restarts=2, seed=1)
    >>> write_report(result, rows, tempfile.mkdtemp() + "/report.html").name
    'report.html'
    """
    _check_result(result)
    target = _path_of("path", path)
    whole_file.check_free(target, overwrite)
    heading = _title_of(title, result)
    model_at = None if model_path is None else _model_at(model_path)
    page = _page(result, _survey_of(result, data), heading, model_at)
    with whole_file.written_whole(target, overwrite) as temporary:
        temporary.write_text(page, encoding="utf-8", newline="\n")
    return target


def page_of(result: FitResult, data: Any, model_path: pathlib.Path, choice: Choice | None = None) -> str:
    """Returns the page as text; `model_path` is where the model will be. Args, Raises: as `write_report`.

    `choice` is what the page says of the number of components, if there was a question.
    """
    return _page(result, _survey_of(result, data), _title_of(None, result), model_path, choice)


def _page(
    result: FitResult, survey: Survey, title: str, model_path: pathlib.Path | None, choice: Choice | None = None
) -> str:
    """Returns the page as text."""
    import jinja2

    from tfgmm import report_cautions, report_facts, report_pictures

    responsibilities = result.model.responsibilities(survey.sample)
    names = report_facts.column_names(result)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("tfgmm"),
        autoescape=True,  # names of columns and paths are strangers' words
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html").render(
        title=title,
        version=__version__,
        cautions=report_cautions.cautions(result, survey, responsibilities),
        density=report_pictures.density_picture(result, survey.sample, names),
        restarts=report_pictures.restarts_picture(result),
        sweeps=report_pictures.sweeps_picture(result),
        python_lines=report_facts.python_lines(model_path),
        shell_line=report_facts.shell_line(model_path),
        choice=choice,
        **report_facts.context(result, survey, responsibilities),
    )


def _survey_of(result: FitResult, data: Any) -> Survey:
    """Returns summary and sample of the rows, their columns in the model's order."""
    from tfgmm import data as door

    model = result.model
    source = door.open_source(data, "data", model.num_features, model.column_names)
    return door.survey(source, "data", result.num_data, seed=0)


def _check_result(result: Any) -> None:
    from tfgmm.fit_result import FitResult

    if not isinstance(result, FitResult):
        raise TypeError(
            f"`result` must be a tfgmm.FitResult. Received: {type(result).__name__}. "
            "Pass what tfgmm.fit_mixture returns."
        )


def _path_of(name: str, path: Any) -> pathlib.Path:
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"`{name}` must be a path. Received: {type(path).__name__}. Pass the name of a file.")
    return pathlib.Path(os.fsdecode(path))


def _title_of(title: Any, result: FitResult) -> str:
    if title is None:
        number = result.model.num_components
        return f"Mixture of {number:,} Gaussian{'s' if number > 1 else ''}"
    if not isinstance(title, str):
        raise TypeError(f"`title` must be a string. Received: {type(title).__name__}. Pass a heading, or leave it out.")
    if not title.strip():
        raise ValueError(f"`title` must not be empty. Received: {title!r}. Pass a heading, or leave it out.")
    return printable(title)


def _model_at(model_path: Any) -> pathlib.Path:
    """Returns the path of a model that a reader can load: the page must not send anyone to nothing."""
    path = _path_of("model_path", model_path)
    is_model = (path / "model_card.json").is_file() if path.is_dir() else path.is_file() and path.suffix == ".keras"
    if not is_model:
        raise FileNotFoundError(
            f"`model_path` must be a folder that tfgmm.export_model made, or a .keras file. Received: {str(path)!r}. "
            "Save the model first, or leave model_path out."
        )
    return path
