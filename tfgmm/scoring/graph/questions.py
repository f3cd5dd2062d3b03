"""What only TensorFlow answers about rows: credible intervals, some columns alone, some columns given the others."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tfgmm.common import threads
from tfgmm.common.shapes import Tensor
from tfgmm.data.blocks import RowBlock
from tfgmm.mixture.parameters import MixtureDensity
from tfgmm.scoring.graph import intervals, marginals
from tfgmm.scoring.graph.chunks import float_values, mapped_over_chunks
from tfgmm.scoring.graph.scores import factors_of


class Answers(NamedTuple):
    """Arrays by name: with one entry per row, and the same for every row."""

    per_row: dict[str, Any]
    once: dict[str, Any]


Question = Callable[[Tensor, MixtureDensity, Tensor], Answers]


def interval(rows: Tensor, mixtures: MixtureDensity, level: Tensor) -> Answers:
    """Computes the band of each row's log density and responsibilities over S mixtures; see `intervals.band`."""
    return Answers(intervals.band(rows, factors_of(mixtures), level), {})


def marginal_log_prob(rows: Tensor, mixture: MixtureDensity, given: Tensor) -> Answers:
    """Computes the log density of the given columns alone; see `marginals.marginal_log_prob`."""
    return Answers({"log_prob": marginals.marginal_log_prob(rows, mixture, given)}, {})


def conditional(rows: Tensor, mixture: MixtureDensity, given: Tensor) -> Answers:
    """Computes the mixture over the other columns given some; see `marginals.conditional`."""
    return Answers(*marginals.conditional(rows, mixture, given))


def expectation(rows: Tensor, mixture: MixtureDensity, given: Tensor) -> Answers:
    """Computes the means of the other columns given some, (B, D) float64, data units, and nothing else."""
    # Chunks of our own: the (B, K, D) means of all rows then never exist together
    size = threads.chunk_size(math.prod(mixture.components["locs"].shape))

    def of_chunk(chunk: Tensor) -> tuple[Tensor]:
        return (marginals.conditional(chunk, mixture, given).per_row["expectation"],)

    spec = tf.TensorSpec((None, rows.shape[1]), tf.float64)
    return Answers({"expectation": mapped_over_chunks(rows, of_chunk, size, [spec])[0]}, {})


def ask(question: Question, block: RowBlock, mixture: MixtureDensity, argument: np.ndarray) -> Answers:
    """Asks a question about rows, compiled once per shape of mixture for every number of rows.

    The answers are NumPy arrays.

    Args:
        question: One of the functions above.
        block: (B, D) rows of any real type, data units.
        mixture: The mixture, or S of them.
        argument: What the question takes last, `level` or `given`.
    """
    rows = float_values(block)
    names = tuple(mixture.components)
    numbers = mixture.centre, mixture.log_weights, argument, *mixture.components.values()
    inputs = [tf.constant(value) for value in (rows, *numbers)]
    answers = _compiled(question, mixture.covariance, names, _specs(inputs))(*inputs)
    return Answers(*({name: value.numpy() for name, value in part.items()} for part in answers))


def _specs(inputs: Sequence[Tensor]) -> tuple[tf.TensorSpec, ...]:
    rows, *others = (tf.TensorSpec(value.shape, value.dtype) for value in inputs)
    return tf.TensorSpec((None, rows.shape[1]), rows.dtype), *others


@functools.lru_cache(maxsize=64)
def _compiled(question: Question, covariance: str, names: tuple[str, ...], specs: tuple[tf.TensorSpec, ...]) -> Any:
    def of_rows(rows: Tensor, centre: Tensor, log_weights: Tensor, argument: Tensor, *components: Tensor) -> Answers:
        return question(rows, MixtureDensity(covariance, centre, log_weights, dict(zip(names, components))), argument)

    return tf.function(of_rows, autograph=False).get_concrete_function(*specs)
