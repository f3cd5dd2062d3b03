"""A fitted mixture as an MLflow model: the exported folder, byte for byte, with a signature. No TensorFlow."""

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
from tfgmm.export.reading import ExportedMixture, read_export
from tfgmm.mlflow.pyfunc import NULLS, WANTED, default_columns
from tfgmm.posterior.record import MEAN_FIELD, PosteriorRecord
from tfgmm.scoring.table_columns import feature_names, score_columns

if TYPE_CHECKING:
    from tfgmm.fit.result import FitResult
    from tfgmm.model.gaussian_mixture import GaussianMixtureModel

LOADER = "tfgmm.mlflow"  # the module whose _load_pyfunc MLflow calls
_FOLDER = "mixture"  # the name of the export within the model
_MOST_EXAMPLES = 5
_FIGURES = ("k_hat", "ess", "r_hat", "share_moved", "log_evidence", "evidence_error")
_MLFLOW_MODEL = Kind("an", "MLflow model", files_of=None)  # it does not list its files, so that none is replaced

# What MLflow calls the types of scores
_TYPES = {"float32": "float", "int64": "long"}


def mlflow_package() -> Any:
    """Imports the module `mlflow` and its `pyfunc`.

    Raises:
        ModuleNotFoundError: it is not installed.
    """
    with warnings.catch_warnings():
        # While it loads, MLflow warns about type hints of its own classes
        warnings.filterwarnings("ignore", ".*Any type hint is inferred as AnyType", UserWarning)
        extras.imported("mlflow.pyfunc", "MLflow", "mlflow")
    return extras.imported("mlflow", "MLflow", "mlflow")


def save_model(
    model: FitResult | GaussianMixtureModel | str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    pip_requirements: Sequence[str] | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> pathlib.Path:
    """Writes an MLflow model into a folder, for `mlflow models serve` and batch jobs to score with.

    The folder holds the export that `tfgmm.export_model` writes, with its model card and with checksums, which are
    checked when the model is loaded; a signature, which MLflow checks every request against; an example of a request
    (component means, no rows of the data); and no pickle. Scores come from NumPy: a server loads no TensorFlow.

    Args:
        model: A `FitResult`, a fitted `GaussianMixtureModel`, or the path of an exported folder.
        path: Path of the folder. It is written beside `path` and then renamed: it is complete, or not there.
        pip_requirements: Packages for a server that makes its own environment; default this version of tfgmm.
        metadata: Entries of your own for the model's file MLmodel, beside ours: sizes, covariance, bound.

    Returns:
        `path`, as a `pathlib.Path`.

    Raises:
        ModuleNotFoundError: MLflow is not installed.
        TypeError, ValueError: `model` is something else, or its parameters are not finite.
        FileNotFoundError, NotADirectoryError, IntegrityError: `model` is a path, but of no complete, unchanged export.
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
    with _exported(model) as (exported, export):
        contents = _contents(exported, export, pip_requirements, metadata)
        with atomic_folder.written_whole(target, overwrite=False, kind=_MLFLOW_MODEL) as folder:
            mlflow.pyfunc.save_model(path=folder, **contents)
    return pathlib.Path(path)


def log_model(
    model: FitResult | GaussianMixtureModel | str | os.PathLike[str],
    name: str = "model",
    *,
    registered_model_name: str | None = None,
    pip_requirements: Sequence[str] | None = None,
    metadata: Mapping[str, Any] | None = None,
    **passed_on: Any,
) -> Any:
    """Logs an MLflow model of a mixture to the active run, or to a new one; see `save_model`.

    The tags `posterior` and `posterior_asked` of the run say what its intervals come from, such as "importance" and
    "auto"; of an exact posterior the metrics k_hat, ess, r_hat, share_moved, log_evidence and evidence_error say how
    good they are, as far as they are known.

    Args:
        model: A `FitResult`, a fitted `GaussianMixtureModel`, or the path of an exported folder.
        name: Name of the model within the run.
        registered_model_name: Name in the registry, where the model becomes the next version; None registers nothing.
        pip_requirements: Packages for a server, see `save_model`.
        metadata: Entries of your own, see `save_model`.
        passed_on: Further arguments of `mlflow.pyfunc.log_model`, such as `tags` and `step`.

    Returns:
        MLflow's `ModelInfo` of the logged model.

    Raises:
        ModuleNotFoundError, TypeError, ValueError, OSError, IntegrityError: as `save_model`.

    Example: see docs/serving.md.
    """
    mlflow = mlflow_package()
    with _exported(model) as (folder, export):
        contents = _contents(folder, export, pip_requirements, metadata)
        options = {"name": name, "registered_model_name": registered_model_name, **passed_on}
        logged = mlflow.pyfunc.log_model(**contents, **options)
    if logged.run_id is not None:
        _log_posterior(logged.run_id, export.posterior)
    return logged


def _log_posterior(run_id: str, record: PosteriorRecord) -> None:
    """Writes to a run how the draws of its model were made, and how good they are."""
    client = mlflow_package().MlflowClient()
    for name, word in (("posterior", record.method), ("posterior_asked", record.asked)):
        client.set_tag(run_id, name, word)
    figures = {} if record.method == MEAN_FIELD else record.to_dict()
    for name in _FIGURES:
        if figures.get(name) is not None:
            client.log_metric(run_id, name, figures[name])


def _contents(
    folder: pathlib.Path,
    export: ExportedMixture,
    pip_requirements: Sequence[str] | None,
    metadata: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Lists the arguments of `mlflow.pyfunc.save_model` for the export in a folder."""
    return {
        "loader_module": LOADER,
        "data_path": os.fspath(folder),
        "signature": signature_of(export),
        "input_example": input_example_of(export),
        # Without a list MLflow would load the model in another process to see what it imports
        "pip_requirements": list(pip_requirements or [f"tfgmm[mlflow]=={__version__}"]),
        "metadata": {"tfgmm": _registry_entries(export), **(metadata or {})},
    }


@contextlib.contextmanager
def _exported(model: Any) -> Iterator[tuple[pathlib.Path, ExportedMixture]]:
    """Yields an exported folder, checked, and the mixture in it. For a model, the folder is gone after the block."""
    if isinstance(model, (str, os.PathLike)):
        yield path_of(model, "model"), read_export(model, "model")
        return
    from tfgmm.export.saved_model import export_model

    with tempfile.TemporaryDirectory() as place:
        folder = export_model(model, pathlib.Path(place) / _FOLDER)
        yield folder, read_export(folder)


def _registry_entries(export: ExportedMixture) -> dict[str, Any]:
    """Picks what a registry should show of a model card: not the names of a thousand columns."""
    card = export.card
    model = {name: value for name, value in card["model"].items() if name != "column_names"}
    training = {name: card["training"].get(name) for name in ("num_data", "elbo_nats", "seed")}
    return {"format_version": card["format_version"], **model, **training, "posterior": export.posterior.method}


def signature_of(export: ExportedMixture) -> Any:
    """Builds the `ModelSignature` of a mixture: doubles by name, or a tensor (B, D); scores; and the parameters."""
    mlflow_package()
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema, TensorSpec

    names, default = export.column_names, default_columns(export)
    if names:
        inputs = [ColSpec("double", name) for name in names]
    else:
        inputs = [TensorSpec(np.dtype(np.float64), (-1, len(export.centre)))]
    dtypes = score_columns(default, len(export.log_weights), feature_names(export.column_names, len(export.centre)))
    outputs = [ColSpec(_TYPES[dtype], name) for name, dtype in dtypes.items()]
    params = [ParamSpec(WANTED, "string", default, (-1,)), ParamSpec(NULLS, "boolean", False)]
    return ModelSignature(Schema(inputs), Schema(outputs), ParamSchema(params))


def input_example_of(export: ExportedMixture) -> Any:
    """Picks rows that a mixture can score, up to 5, none of them from its data: the means of the heaviest components.

    They are a DataFrame where the columns have names, else an array (up to 5, D); float64, data units.
    """
    import pandas as pd

    heaviest = np.argsort(-export.log_weights, kind="stable")[:_MOST_EXAMPLES]
    means = export.components["locs"][heaviest] + export.centre
    return pd.DataFrame(means, columns=list(export.column_names)) if export.column_names else means
