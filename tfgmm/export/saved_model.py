"""A fitted mixture as a folder: numbers and card, and a SavedModel where one is wanted; complete or not there.

TensorFlow is loaded for a SavedModel alone.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tfgmm.common import atomic_folder
from tfgmm.common.atomic_folder import path_of
from tfgmm.common.extras import check_tensorflow
from tfgmm.common.unfinished import IN_PYTHON, ArgumentNames
from tfgmm.export import folder
from tfgmm.export.numbers import Numbers, numbers_of, write_numbers

if TYPE_CHECKING:
    from tfgmm.fit.result import FitResult
    from tfgmm.model.gaussian_mixture import GaussianMixtureModel


def export_model(
    model: GaussianMixtureModel | FitResult,
    path: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    column_units: Sequence[str] | None = None,
    saved_model: bool = True,
) -> pathlib.Path:
    """Writes the mixture at its posterior means into a folder, to be scored anywhere.

    The folder holds a SavedModel, `parameters.npz` and `model_card.json` (docs/export.md describes them field by
    field). It is written beside `path` and then renamed: it is complete, or not there. The SavedModel has the
    signatures `serving_default`, `log_prob`, `responsibilities`, `assignment`, `outlier` and `predictive_log_prob`,
    which take `x`, float32 (B, D), data units; `interval`, which also takes `level`; `marginal_log_prob` and
    `conditional`, which also take `given`, bool (D,); and `sample`, which takes `num_samples` and `seed`.

    Draws from the posterior are stored too: from the exact one where a result carries it (`fit_mixture(..., posterior=
    "auto")`, `FitResult.with_posterior`). The card says which it is and how good the draws are; bands and the
    predictive density come from them.

    Args:
        model: Fitted `GaussianMixtureModel`, or what `fit_mixture` returns.
        path: Path of the folder.
        overwrite: Whether an earlier export at `path` is replaced.
        column_units: D units of the columns for the card, e.g. ("minutes", "km/s").
        saved_model: Whether the SavedModel is written. Without it the folder holds the numbers and the card, which is
            all that `load_scorer` and the command line read, and no TensorFlow is loaded; `tfgmm export` adds the
            SavedModel later.

    Returns:
        `path`, as a `pathlib.Path`.

    Raises:
        TypeError: `model` is something else, or `path` is not a path.
        ValueError: a parameter of the model is not finite; not one word per column.
        FileExistsError: `path` holds an export and `overwrite` is False, or holds something else: only a folder with
            the files of an export and no others is ever replaced.
        OSError: the disk refuses. Nothing is left half written, and an earlier export is unchanged.

    Example:

    >>> import tempfile
    >>> model = tfgmm.GaussianMixtureModel(2, 1, seed=0)
    >>> folder = export_model(model, tempfile.mkdtemp() + "/mixture")
    >>> tfgmm.load_scorer(folder).log_prob([[0.5]]) == model.log_prob([[0.5]])
    array([ True])
    """
    fitted: Any = model  # what is asked of it is what `Exportable` lists
    if not all(hasattr(fitted, name) for name in ("plug_in", "weight_prior", "data_summary")):
        raise TypeError(
            "`model` must be a tfgmm.GaussianMixtureModel or what tfgmm.fit_mixture returns. "
            f"Received: {type(model).__name__}. Pass the fitted model."
        )
    target, units = path_of(path), _checked_units(column_units, fitted.num_features)
    write_export(numbers_of(fitted, units), target, overwrite, saved_model)
    return pathlib.Path(path)


def write_export(
    numbers: Numbers, target: pathlib.Path, overwrite: bool, saved_model: bool, names: ArgumentNames = IN_PYTHON
) -> None:
    """Writes the folder of an export from its numbers alone.

    Args:
        numbers: What the folder is to hold; with the table of outliers and draws where there is a SavedModel.
        target: The folder to be.
        overwrite: Whether an earlier export at `target` is replaced.
        saved_model: Whether a SavedModel is written.
        names: What messages call the arguments.

    Raises:
        FileExistsError, OSError: As `export_model`.
    """
    with atomic_folder.written_whole(target, overwrite, folder.EXPORT, names) as place:
        if not saved_model:
            write_numbers(numbers, place)
            return
        check_tensorflow("a SavedModel")
        from tfgmm.export import served

        served.save(served.ServedMixture(numbers.mixture, numbers.arrays), place)
        write_numbers(numbers, place, (*served.PACKAGES, np))


def served_mixture(model: GaussianMixtureModel | FitResult) -> Any:
    """Makes the functions of the SavedModel of `model`, one for every signature."""
    from tfgmm.export import served

    fitted: Any = model
    numbers = numbers_of(fitted, None)
    return served.ServedMixture(numbers.mixture, numbers.arrays)


def _checked_units(units: Any, num_features: int) -> list[str] | None:
    if units is None:
        return None
    is_list = isinstance(units, Sequence) and not isinstance(units, str)
    if not is_list or len(units) != num_features or not all(isinstance(unit, str) for unit in units):
        raise ValueError(
            f"`column_units` must be {num_features} words, one per column. Received: {units!r}. "
            'Use "" for a column without a unit.'
        )
    return list(units)
