"""A fitted mixture as an MLflow model: the exported folder, byte for byte, behind a signature. No TensorFlow."""

from __future__ import annotations

import contextlib
import os
import pathlib
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tfgmm.common import atomic_folder, extras
from tfgmm.common.atomic_folder import Kind, path_of
from tfgmm.common.version import __version__
from tfgmm.export.folder import IntegrityError
from tfgmm.export.reading import ExportedMixture, read_export
from tfgmm.mlflow.pyfunc import NULLS, WANTED, available_columns

if TYPE_CHECKING:
    from tfgmm.model.gaussian_mixture import GaussianMixtureModel

LOADER = "tfgmm.mlflow"  # the module whose _load_pyfunc MLflow calls
_FOLDER = "mixture"  # the name of the export within the model
_MOST_EXAMPLES = 5
_MLFLOW_MODEL = Kind("an", "MLflow model", files_of=None)  # it does not list its files: none is replaced

# Types that MLflow knows, of the scores
_TYPES = {"log_prob": "float", "assignment": "long", "outlier": "float"}


def mlflow_package() -> Any:
    """Returns the module `mlflow`, its `pyfunc` loaded.

    Raises:
        ModuleNotFoundError: it is not installed.
    """
    with warnings.catch_warnings():
        # MLflow warns of type hints of its own classes while it loads
        warnings.filterwarnings("ignore", ".*Any type hint is inferred as AnyType", UserWarning)
        extras.imported("mlflow.pyfunc", "MLflow", "mlflow")
    return extras.imported("mlflow", "MLflow", "mlflow")


def save_model(
    model: GaussianMixtureModel | str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    pip_requirements: Sequence[str] | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> pathlib.Path:
    """Returns the path of the folder written: an MLflow model that `mlflow models serve` and batch jobs score with.

    It holds the export that `tfgmm.export_model` writes, its model card and checksums with it, which are checked when
    the model is loaded; a signature, which MLflow holds every request to; an example of a request (component means, no
    rows of the data); and no pickle. Scores come from NumPy: a server loads no TensorFlow.

    Args:
        model: a fitted `GaussianMixtureModel`, or the path of an exported folder.
        path: the folder to make. It is written beside it and renamed: complete, or not there.
        pip_requirements: what a server installs that makes its own environment; default this version of tfgmm.
        metadata: entries of your own for the model's file MLmodel, beside ours: sizes, covariance, bound.

    Raises:
        ModuleNotFoundError: MLflow is not installed.
        TypeError, ValueError: `model` is something else, or its parameters are not finite.
        FileNotFoundError, NotADirectoryError, IntegrityError: `model` is a path, of no complete, unchanged export.
        FileExistsError: `path` holds something. OSError: the disk refuses.

    Example:

    >>> import mlflow, tempfile
    >>> model = tfgmm.GaussianMixtureModel(2, 1, seed=0)
    >>> folder = save_model(model, tempfile.mkdtemp() + "/model")
    >>> list(mlflow.pyfunc.load_model(str(folder)).predict(np.array([[0.5]])))
    ['log_prob', 'assignment', 'responsibility_0', 'responsibility_1', 'outlier']
    """
    mlflow = mlflow_package()
    target = path_of(path)
    atomic_folder.check_target(target, overwrite=False, kind=_MLFLOW_MODEL)
    with _contents(model, pip_requirements, metadata) as contents:
        with atomic_folder.written_whole(target, overwrite=False, kind=_MLFLOW_MODEL) as folder:
            mlflow.pyfunc.save_model(path=folder, **contents)
    return pathlib.Path(path)


def log_model(
    model: GaussianMixtureModel | str | os.PathLike[str],
    name: str = "model",
    *,
    registered_model_name: str | None = None,
    pip_requirements: Sequence[str] | None = None,
    metadata: Mapping[str, Any] | None = None,
    **passed_on: Any,
) -> Any:
    """Returns MLflow's `ModelInfo` of a mixture logged to the active run, or to a new one; see `save_model`.

    Args:
        model, pip_requirements, metadata: as in `save_model`.
        name: of the model within the run.
        registered_model_name: register it under this name too, as its next version.
        passed_on: further arguments of `mlflow.pyfunc.log_model`, such as `tags` and `step`.

    Raises:
        ModuleNotFoundError, TypeError, ValueError, OSError, IntegrityError: as `save_model`.

    Example: see docs/serving.md.
    """
    mlflow = mlflow_package()
    with _contents(model, pip_requirements, metadata) as contents:
        return mlflow.pyfunc.log_model(name=name, registered_model_name=registered_model_name, **contents, **passed_on)


@contextlib.contextmanager
def _contents(
    model: Any, pip_requirements: Sequence[str] | None, metadata: Mapping[str, Any] | None
) -> Iterator[dict[str, Any]]:
    """Yields the arguments of `mlflow.pyfunc.save_model`; what they point to is there as long as the block lasts."""
    with _exported(model) as (folder, found):
        yield {
            "loader_module": LOADER,
            "data_path": os.fspath(folder),
            "signature": signature_of(found),
            "input_example": input_example_of(found),
            # Without a list MLflow would load the model in another process to see what it imports
            "pip_requirements": list(pip_requirements or [f"tfgmm[mlflow]=={__version__}"]),
            "metadata": {"tfgmm": _told(found.card), **(metadata or {})},
        }


@contextlib.contextmanager
def _exported(model: Any) -> Iterator[tuple[pathlib.Path, ExportedMixture]]:
    """Yields an exported folder, checked, and the mixture in it; of a model one that is gone after the block."""
    if isinstance(model, (str, os.PathLike)):
        try:
            found = read_export(model)
        except (OSError, IntegrityError) as error:
            raise type(error)(str(error).replace("`path`", "`model`", 1)) from error
        yield path_of(model), found
        return
    from tfgmm.export.saved_model import export_model

    with tempfile.TemporaryDirectory() as place:
        folder = export_model(model, pathlib.Path(place) / _FOLDER)
        yield folder, read_export(folder)


def _told(card: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what a registry should show of a model card, without the names of a thousand columns."""
    model = {name: value for name, value in card["model"].items() if name != "column_names"}
    training = {name: card["training"].get(name) for name in ("num_data", "elbo_nats", "seed")}
    return {"format_version": card["format_version"], **model, **training}


def signature_of(found: ExportedMixture) -> Any:
    """Returns the `ModelSignature` of a mixture: doubles by name, or a tensor (B, D); scores; and the parameters."""
    mlflow_package()
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema, TensorSpec

    names, available = found.column_names, available_columns(found)
    if names:
        inputs = [ColSpec("double", name) for name in names]
    else:
        inputs = [TensorSpec(np.dtype(np.float64), (-1, len(found.centre)))]
    outputs = []
    for name in available:
        if name == "responsibilities":
            outputs += [ColSpec("float", f"responsibility_{k}") for k in range(len(found.log_weights))]
        else:
            outputs.append(ColSpec(_TYPES[name], name))
    params = [ParamSpec(WANTED, "string", available, (-1,)), ParamSpec(NULLS, "boolean", False)]
    return ModelSignature(Schema(inputs), Schema(outputs), ParamSchema(params))


def input_example_of(found: ExportedMixture) -> Any:
    """Returns rows that a mixture can score, (at most 5, D), no row of its data: the means of the heaviest components.

    A DataFrame where the columns have names, else an array; float64, data units.
    """
    import pandas as pd

    heaviest = np.argsort(-found.log_weights, kind="stable")[:_MOST_EXAMPLES]
    means = found.components["locs"][heaviest] + found.centre
    return pd.DataFrame(means, columns=list(found.column_names)) if found.column_names else means
