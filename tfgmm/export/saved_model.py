"""A fitted mixture as a folder: SavedModel, parameters and model card, complete or not there."""

from __future__ import annotations

import datetime
import errno
import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfgmm.common import atomic_folder
from tfgmm.common.atomic_folder import path_of
from tfgmm.common.shapes import Tensor
from tfgmm.common.version import versions
from tfgmm.export import folder, parameters
from tfgmm.export.signatures import SIGNATURES
from tfgmm.mixture import outliers
from tfgmm.mixture.parameters import MixtureDensity
from tfgmm.mixture.row_scores import Score
from tfgmm.model.gaussian_mixture import GaussianMixtureModel
from tfgmm.scoring.graph import intervals, marginals
from tfgmm.scoring.graph import scores as graph_scores
from tfgmm.scoring.graph.densities import of_draws
from tfgmm.scoring.graph.sampling import sample_rows
from tfgmm.scoring.scores import outlier_table


def export_model(
    model: GaussianMixtureModel,
    path: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    column_units: Sequence[str] | None = None,
) -> pathlib.Path:
    """Writes the mixture at its posterior means into a folder, to be scored anywhere.

    The folder holds a SavedModel, `parameters.npz` and `model_card.json` (docs/export.md describes them field by
    field). It is written beside `path` and then renamed: it is complete, or not there. The SavedModel has the
    signatures `serving_default`, `log_prob`, `responsibilities`, `assignment`, `outlier` and `predictive_log_prob`,
    which take `x`, float32 (B, D), data units; `interval`, which also takes `level`; `marginal_log_prob` and
    `conditional`, which also take `given`, bool (D,); and `sample`, which takes `num_samples` and `seed`.

    Args:
        model: Fitted `GaussianMixtureModel`.
        path: Path of the folder.
        overwrite: Whether an earlier export at `path` is replaced.
        column_units: D units of the columns for the card, e.g. ("minutes", "km/s").

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
    if not isinstance(model, GaussianMixtureModel):
        raise TypeError(
            f"`model` must be a tfgmm.GaussianMixtureModel. Received: {type(model).__name__}. Pass the fitted model."
        )
    target, units = path_of(path), _checked_units(column_units, model.num_features)
    mixture = model.plug_in()
    numbers = parameters.arrays_of(mixture)
    parameters.check_finite(numbers)  # before numbers that cannot be drawn from are drawn from
    numbers |= {outliers.TABLE: outlier_table(mixture), **model.posterior.draws_to_store(mixture)}
    parameters.check_finite(numbers)
    with atomic_folder.written_whole(target, overwrite, folder.EXPORT) as place:
        _save(ServedMixture(mixture, numbers), place)
        np.savez(place / folder.PARAMETERS, allow_pickle=False, **numbers)
        card = model_card(model, numbers, units) | {"files": folder.checksums(place)}
        (place / folder.CARD).write_text(json.dumps(card, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    return pathlib.Path(path)


def _save(module: ServedMixture, place: pathlib.Path) -> None:
    """Writes the SavedModel, and raises OSError where the disk refuses, which TensorFlow reports in its own way."""
    try:
        tf.saved_model.save(module, str(place), signatures=module.signatures())
    except tf.errors.ResourceExhaustedError as error:
        raise OSError(errno.ENOSPC, error.message) from error
    except tf.errors.OpError as error:
        raise OSError(errno.EIO, error.message) from error


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
    """Describes what the numbers are and where they come from, in plain JSON values; docs/export.md lists them."""
    summary = model.data_summary
    return {
        "format": folder.FORMAT,
        "format_version": folder.FORMAT_VERSION,
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
        "versions": versions(tf, keras, np),
    }


class ServedMixture(tf.Module):
    """The functions of a SavedModel: a mixture's parameters as constants, plain operations that any server runs.

    Args:
        mixture: The mixture at the posterior means.
        numbers: All arrays of parameters.npz.
    """

    def __init__(self, mixture: MixtureDensity, numbers: Mapping[str, np.ndarray]) -> None:
        super().__init__()
        specs = _input_specs(len(mixture.centre))
        answers = _Answers(mixture, numbers)
        for name, signature in SIGNATURES.items():
            inputs = [specs[label] for label in signature.inputs]
            setattr(self, name, tf.function(getattr(answers, name), input_signature=inputs, autograph=False))

    def signatures(self) -> dict[str, Any]:
        """Returns the named functions of the SavedModel."""
        return {name: getattr(self, name) for name in SIGNATURES}


def _input_specs(num_features: int) -> dict[str, tf.TensorSpec]:
    """Lists the specifications of the inputs of all signatures, by name."""
    return {
        "x": tf.TensorSpec((None, num_features), tf.float32, name="x"),
        "given": tf.TensorSpec((num_features,), tf.bool, name="given"),
        "level": tf.TensorSpec((), tf.float32, name="level"),
        "num_samples": tf.TensorSpec((), tf.int64),
        "seed": tf.TensorSpec((), tf.int64),
    }


class _Answers:
    """What each signature gives, as operations of TensorFlow: one method for each, with its name and its inputs.

    It is no tf.Module, which would save what it holds a second time.
    """

    def __init__(self, mixture: MixtureDensity, numbers: Mapping[str, np.ndarray]) -> None:
        # Constants made outside of the functions are in the file once, however many use them
        self._mixture = _as_tensors(mixture)
        self._factors = graph_scores.factors_of(self._mixture)
        self._drawn = {name: tf.constant(values) for name, values in numbers.items() if name.startswith("drawn_")}
        self._outlier_table = numbers[outliers.TABLE]

    def serving_default(self, x: Tensor) -> dict[str, Tensor]:
        return self._scores(x, "log_prob", "responsibilities", "assignment")

    def log_prob(self, x: Tensor) -> dict[str, Tensor]:
        return self._scores(x, "log_prob")

    def responsibilities(self, x: Tensor) -> dict[str, Tensor]:
        return self._scores(x, "responsibilities")

    def assignment(self, x: Tensor) -> dict[str, Tensor]:
        return self._scores(x, "assignment")

    def outlier(self, x: Tensor) -> dict[str, Tensor]:
        log_densities = self._scores(x, "log_density")["log_density"]
        return {"outlier": graph_scores.tail_probabilities(self._outlier_table, log_densities)}

    def predictive_log_prob(self, x: Tensor) -> dict[str, Tensor]:
        # Draws are computed in the graph, from a tenth of the numbers
        factors = graph_scores.factors_of(of_draws(self._mixture, self._drawn))
        return {"predictive_log_prob": graph_scores.scores(x, factors, "log_prob")}

    def interval(self, x: Tensor, level: Tensor) -> dict[str, Tensor]:
        return intervals.interval(x, of_draws(self._mixture, self._drawn), level).per_row

    def marginal_log_prob(self, x: Tensor, given: Tensor) -> dict[str, Tensor]:
        answer = marginals.marginal_log_prob(x, self._mixture, given)
        return {"marginal_log_prob": answer.per_row["log_prob"]}

    def conditional(self, x: Tensor, given: Tensor) -> dict[str, Tensor]:
        answer = marginals.conditional(x, self._mixture, given)
        return {name: tf.cast(values, tf.float32) for name, values in (answer.per_row | answer.once).items()}

    def sample(self, num_samples: Tensor, seed: Tensor) -> dict[str, Tensor]:
        rows = sample_rows(self._mixture, num_samples, tf.stack([seed, tf.zeros_like(seed)]))
        return {"x": tf.cast(rows, tf.float32)}

    def _scores(self, x: Tensor, *names: Score) -> dict[str, Tensor]:
        return {name: graph_scores.scores(x, self._factors, name) for name in names}


def _as_tensors(mixture: MixtureDensity) -> MixtureDensity:
    return mixture._replace(
        centre=tf.constant(mixture.centre),
        log_weights=tf.constant(mixture.log_weights),
        components={name: tf.constant(values) for name, values in mixture.components.items()},
    )
