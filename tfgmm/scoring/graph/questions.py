"""What only TensorFlow answers about rows: credible intervals, some columns alone, some columns given the others."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfgmm.common.shapes import Tensor
from tfgmm.data.blocks import RowBlock
from tfgmm.mixture.parameters import MixtureDensity
from tfgmm.scoring.graph import intervals, marginals
from tfgmm.scoring.graph.chunks import Answers, float_values

Question = Callable[[Tensor, MixtureDensity, Tensor], Answers]

QUESTIONS: dict[str, Question] = {
    "interval": intervals.interval,
    "marginal_log_prob": marginals.marginal_log_prob,
    "conditional": marginals.conditional,
    "expectation": marginals.expectation,
}


def ask(question: str, block: RowBlock, mixture: MixtureDensity, argument: np.ndarray) -> Answers:
    """Asks a question about rows, compiled once per shape of mixture for every number of rows.

    The answers are NumPy arrays.

    Args:
        question: Name in `QUESTIONS`.
        block: (B, D) rows of any real type, data units.
        mixture: The mixture, or S of them.
        argument: What the question takes last, `level` or `given`.
    """
    rows = float_values(block)
    names = tuple(mixture.components)
    numbers = mixture.centre, mixture.log_weights, argument, *mixture.components.values()
    inputs = [tf.constant(value) for value in (rows, *numbers)]
    answers = _compiled(QUESTIONS[question], mixture.covariance, names, _specs(inputs))(*inputs)
    return Answers(*({name: value.numpy() for name, value in part.items()} for part in answers))


def _specs(inputs: Sequence[Tensor]) -> tuple[tf.TensorSpec, ...]:
    rows, *others = (tf.TensorSpec(value.shape, value.dtype) for value in inputs)
    return tf.TensorSpec((None, rows.shape[1]), rows.dtype), *others


@functools.lru_cache(maxsize=64)
def _compiled(question: Question, covariance: str, names: tuple[str, ...], specs: tuple[tf.TensorSpec, ...]) -> Any:
    def of_rows(rows: Tensor, centre: Tensor, log_weights: Tensor, argument: Tensor, *components: Tensor) -> Answers:
        return question(rows, MixtureDensity(covariance, centre, log_weights, dict(zip(names, components))), argument)

    return tf.function(of_rows, autograph=False).get_concrete_function(*specs)
