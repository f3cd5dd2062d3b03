"""A fitted mixture as a folder: SavedModel, parameters and model card, whole or not there."""

from __future__ import annotations

import datetime
import errno
import json
import os
import pathlib
import platform
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfgmm.common.version import __version__
from tfgmm.export import folder as artefact
from tfgmm.export import reading
from tfgmm.mixture import outliers
from tfgmm.mixture.parameters import MixtureDensity
from tfgmm.model.gaussian_mixture import GaussianMixtureModel
from tfgmm.scoring.graph import intervals, marginals
from tfgmm.scoring.graph import scores as graph_scores
from tfgmm.scoring.graph.densities import of_draws
from tfgmm.scoring.graph.sampling import sample_rows
from tfgmm.scoring.scores import outlier_table

Tensor = Any


def export_model(
    model: GaussianMixtureModel,
    path: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    column_units: Sequence[str] | None = None,
) -> pathlib.Path:
    """Returns the path of the folder written: the mixture at its posterior means, to be scored anywhere.

    The folder holds a SavedModel, `parameters.npz` and `model_card.json` (docs/export.md describes them field by
    field). It is written beside `path` and renamed: complete, or not there. The SavedModel's signatures take `x`
    float32 (B, D), data units: `serving_default`, `log_prob`, `responsibilities`, `assignment`, `outlier`,
    `predictive_log_prob`; `interval` also `level`; `marginal_log_prob` and `conditional` also `given`, bool (D,);
    `sample` takes `num_samples` and `seed`.

    Args:
        model: a fitted `GaussianMixtureModel`.
        path: the folder to make.
        overwrite: replace an earlier export at `path`; without it, it is kept.
        column_units: D words for the card, e.g. ("minutes", "km/s"): what the columns are measured in.

    Raises:
        TypeError: `model` is something else, or `path` is not a path.
        ValueError: a parameter of the model is not finite; not one word per column.
        FileExistsError: `path` holds an export and `overwrite` is False, or holds something else: only a folder with
            the files of an export and no others is ever replaced.
        OSError: the disk refuses. Nothing is left half written, and an earlier export stands as it stood.

    Example:

    >>> import tempfile
    >>> model = tfgmm.GaussianMixtureModel(2, 1, seed=0)
    >>> folder = export_model(model, tempfile.mkdtemp() + "/mixture")
    >>> tfgmm.load_scorer(folder).log_prob([[0.5]]) == model.log_prob([[0.5]])
    array([ True])
    """
    if not isinstance(model, GaussianMixtureModel):
        raise TypeError(
            f"`model` must be a tfgmm.GaussianMixtureModel. Received: {type(model).__name__}. Pass the fitted model."
        )
    target, units = artefact.path_of(path), _checked_units(column_units, model.num_features)
    mixture = model.plug_in()
    numbers = parameters(mixture)
    fault = artefact.fault_in(numbers)
    if not fault:
        numbers |= {outliers.TABLE: outlier_table(mixture), **model.posterior.draws_to_store(mixture)}
        fault = reading.fault_in(numbers)
    if fault:
        raise ValueError(
            f"`model` must have finite parameters. Received: {fault}. "
            "Train it again with a lower learning rate; nothing was written."
        )
    with artefact.written_whole(target, overwrite) as folder:
        _save(ServedMixture(mixture, numbers), folder)
        np.savez(folder / artefact.PARAMETERS, allow_pickle=False, **numbers)
        card = model_card(model, numbers, units) | {"files": artefact.checksums(folder)}
        (folder / artefact.CARD).write_text(json.dumps(card, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    return pathlib.Path(path)


def _save(module: ServedMixture, folder: pathlib.Path) -> None:
    """Writes the SavedModel; a refusal of the disk, which TensorFlow reports in its own way, becomes an OSError."""
    try:
        tf.saved_model.save(module, str(folder), signatures=module.signatures())
    except tf.errors.ResourceExhaustedError as error:
        raise OSError(errno.ENOSPC, error.message) from error
    except tf.errors.OpError as error:
        raise OSError(errno.EIO, error.message) from error


def parameters(mixture: MixtureDensity) -> dict[str, np.ndarray]:
    """Returns the arrays of parameters.npz: centre (D,), weights (K,), and the components', from the centre."""
    return {
        "centre": np.ascontiguousarray(mixture.centre),
        "weights": np.exp(mixture.log_weights),
        **{name: np.ascontiguousarray(value) for name, value in mixture.components.items()},
    }


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


def model_card(
    model: GaussianMixtureModel, numbers: dict[str, np.ndarray], column_units: list[str] | None = None
) -> dict[str, Any]:
    """Returns what the numbers are and where they come from, as plain JSON values; docs/export.md says which."""
    summary = model.data_summary
    return {
        "format": artefact.FORMAT,
        "format_version": artefact.FORMAT_VERSION,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "model": {
            "num_components": model.num_components,
            "num_features": model.num_features,
            "covariance": model.covariance,
            "weights": model.weight_prior,
            "column_names": list(model.column_names) if model.column_names else None,
            "column_units": column_units,
        },
        "priors": model.priors.to_dict(),
        "training": {
            "num_data": model.num_data or None,
            "elbo_nats": model.elbo,
            "seed": model.seed,
            "data_summary": summary.to_dict() if summary else None,
        },
        "parameters": {
            name: {"shape": list(values.shape), "dtype": values.dtype.name} for name, values in numbers.items()
        },
        "versions": {
            "tfgmm": __version__,
            "python": platform.python_version(),
            **{package.__name__: package.__version__ for package in (tf, keras, np)},
        },
    }


class ServedMixture(tf.Module):
    """The functions of a SavedModel: a mixture's parameters as constants, plain operations that any server runs.

    Args:
        mixture: at the posterior means.
        numbers: all that parameters.npz holds.
    """

    def __init__(self, mixture: MixtureDensity, numbers: Mapping[str, np.ndarray]) -> None:
        super().__init__()
        num_features = len(mixture.centre)
        rows = tf.TensorSpec((None, num_features), tf.float32, name="x")
        given = tf.TensorSpec((num_features,), tf.bool, name="given")
        level = tf.TensorSpec((), tf.float32, name="level")
        whole = tf.TensorSpec((), tf.int64)
        # Constants outside of the functions stand in the file once, whoever uses them
        mixture = _as_tensors(mixture)
        factors = graph_scores.factors_of(mixture)
        drawn = {name: tf.constant(values) for name, values in numbers.items() if name.startswith("drawn_")}
        table = numbers[outliers.TABLE]

        def scores(x: Tensor, *names: graph_scores.Score) -> dict[str, Tensor]:
            return {name: graph_scores.scores(x, factors, name) for name in names}

        def factors_of_draws() -> graph_scores.ScoreFactors:
            # Worked out in the graph, from a tenth of the numbers
            return graph_scores.factors_of(of_draws(mixture, drawn))

        def predictive_log_prob(x: Tensor) -> dict[str, Tensor]:
            return {"predictive_log_prob": graph_scores.scores(x, factors_of_draws(), "log_prob")}

        def interval(x: Tensor, level: Tensor) -> dict[str, Tensor]:
            return intervals.band(x, factors_of_draws(), level)

        def outlier(x: Tensor) -> dict[str, Tensor]:
            return {"outlier": graph_scores.tail_probabilities(table, scores(x, "log_density")["log_density"])}

        def marginal_log_prob(x: Tensor, given: Tensor) -> dict[str, Tensor]:
            return {"marginal_log_prob": marginals.marginal_log_prob(x, mixture, given)}

        def conditional(x: Tensor, given: Tensor) -> dict[str, Tensor]:
            answer = marginals.conditional(x, mixture, given)
            return {name: tf.cast(values, tf.float32) for name, values in (answer.per_row | answer.once).items()}

        def sample(num_samples: Tensor, seed: Tensor) -> dict[str, Tensor]:
            drawn_rows = sample_rows(mixture, num_samples, tf.stack([seed, tf.zeros_like(seed)]))
            return {"x": tf.cast(drawn_rows, tf.float32)}

        def log_prob(x: Tensor) -> dict[str, Tensor]:
            return scores(x, "log_prob")

        def responsibilities(x: Tensor) -> dict[str, Tensor]:
            return scores(x, "responsibilities")

        def assignment(x: Tensor) -> dict[str, Tensor]:
            return scores(x, "assignment")

        def serving_default(x: Tensor) -> dict[str, Tensor]:
            return scores(x, "log_prob", "responsibilities", "assignment")

        inputs: dict[Callable[..., dict[str, Tensor]], list[tf.TensorSpec]] = {
            serving_default: [rows],
            log_prob: [rows],
            responsibilities: [rows],
            assignment: [rows],
            outlier: [rows],
            predictive_log_prob: [rows],
            interval: [rows, level],
            marginal_log_prob: [rows, given],
            conditional: [rows, given],
            sample: [whole, whole],
        }
        for function, specs in inputs.items():
            setattr(self, function.__name__, tf.function(function, input_signature=specs))
        self._names = tuple(function.__name__ for function in inputs)

    def signatures(self) -> dict[str, Any]:
        """Returns the named functions of the SavedModel."""
        return {name: getattr(self, name) for name in self._names}


def _as_tensors(mixture: MixtureDensity) -> MixtureDensity:
    return mixture._replace(
        centre=tf.constant(mixture.centre),
        log_weights=tf.constant(mixture.log_weights),
        components={name: tf.constant(values) for name, values in mixture.components.items()},
    )
