"""The SavedModel of a mixture: its signatures as operations of TensorFlow, written into the folder of an export."""

from __future__ import annotations

import errno
import functools
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfgmm.common.shapes import Tensor
from tfgmm.export.signatures import SIGNATURES
from tfgmm.mixture import outliers
from tfgmm.mixture.parameters import MixtureDensity
from tfgmm.mixture.row_scores import Score
from tfgmm.scoring.graph import intervals, marginals
from tfgmm.scoring.graph import scores as graph_scores
from tfgmm.scoring.graph.densities import of_draws
from tfgmm.scoring.graph.sampling import sample_rows

PACKAGES = (tf, keras)  # whose versions the card of an export with a graph has


def save(module: ServedMixture, place: pathlib.Path) -> None:
    """Writes the SavedModel into a folder.

    Raises:
        OSError: The disk refuses, which TensorFlow reports in its own way.
    """
    try:
        tf.saved_model.save(module, str(place), signatures=module.signatures())
    except tf.errors.ResourceExhaustedError as error:
        raise OSError(errno.ENOSPC, error.message) from error
    except tf.errors.OpError as error:
        raise OSError(errno.EIO, error.message) from error


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
            answer = _of_checked_inputs(getattr(answers, name), inputs)
            setattr(self, name, tf.function(answer, input_signature=inputs, autograph=False))

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


def _of_checked_inputs(answer: Callable[..., dict[str, Tensor]], specs: Sequence[tf.TensorSpec]) -> Any:
    """Makes the same function with a check of the shapes of its inputs, as an operation of the graph.

    A server compares no shapes with those of the signature, and one column would stand in for all of them.
    """

    @functools.wraps(answer)
    def checked(*inputs: Tensor) -> dict[str, Tensor]:
        return answer(*(tf.ensure_shape(value, spec.shape) for value, spec in zip(inputs, specs)))

    return checked


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
        # Of complete rows only: a graph has one table, and each choice of columns would need another
        complete_only = self._factors._replace(gaps=None)
        log_densities = graph_scores.scores(x, complete_only, ["log_density"])["log_density"]
        return {"outlier": graph_scores.tail_probabilities(self._outlier_table, log_densities)}

    def predictive_log_prob(self, x: Tensor) -> dict[str, Tensor]:
        # Draws are computed in the graph, from a tenth of the numbers
        factors = graph_scores.factors_of(of_draws(self._mixture, self._drawn))
        return {"predictive_log_prob": graph_scores.scores(x, factors, ["log_prob"])["log_prob"]}

    def interval(self, x: Tensor, level: Tensor) -> dict[str, Tensor]:
        return intervals.interval(x, of_draws(self._mixture, self._drawn), level).per_row

    def marginal_log_prob(self, x: Tensor, given: Tensor) -> dict[str, Tensor]:
        answer = marginals.marginal_log_prob(x, self._mixture, given)
        return {"marginal_log_prob": answer.per_row["log_prob"]}

    def conditional(self, x: Tensor, given: Tensor) -> dict[str, Tensor]:
        answer = marginals.conditional(x, self._mixture, given)
        return {name: tf.cast(values, tf.float32) for name, values in (answer.per_row | answer.once).items()}

    def impute(self, x: Tensor) -> dict[str, Tensor]:
        return {"imputed": graph_scores.imputed(x, self._mixture, self._factors)}

    def sample(self, num_samples: Tensor, seed: Tensor) -> dict[str, Tensor]:
        rows = sample_rows(self._mixture, num_samples, tf.stack([seed, tf.zeros_like(seed)]))
        return {"x": tf.cast(rows, tf.float32)}

    def _scores(self, x: Tensor, *names: Score) -> dict[str, Tensor]:
        return graph_scores.scores(x, self._factors, names)


def _as_tensors(mixture: MixtureDensity) -> MixtureDensity:
    return mixture._replace(
        centre=tf.constant(mixture.centre),
        log_weights=tf.constant(mixture.log_weights),
        components={name: tf.constant(values) for name, values in mixture.components.items()},
    )
