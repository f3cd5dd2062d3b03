"""Scores of rows as operations of a graph: exports hold them, and a GPU runs them; see `row_scores`."""

from __future__ import annotations

import functools
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tfgmm.common import threads
from tfgmm.common.shapes import Tensor
from tfgmm.data.blocks import RowBlock
from tfgmm.mixture.features import num_products
from tfgmm.mixture.parameters import FORMS, MixtureDensity
from tfgmm.mixture.registry import COVARIANCES, FormName
from tfgmm.mixture.row_scores import RowScores, Score
from tfgmm.scoring.graph.chunks import Features, float_values, log_joints, mapped_over_chunks, normalised
from tfgmm.scoring.graph.densities import GRAPH_FORMS, coefficients, graph_form_of

SCORE_SPECS: Mapping[Score, tuple[tuple[str, ...], tf.DType]] = {
    "log_prob": ((), tf.float32),
    "log_density": ((), tf.float64),
    "responsibilities": (("K",), tf.float32),
    "assignment": ((), tf.int64),
}


@functools.lru_cache(maxsize=64)
def compiled_score(form: FormName, score: Score, num_features: int, weights_shape: tuple[int, ...], dtype: str) -> Any:
    """Compiles the score of rows (B, D) as a graph, traced once per shape of mixture and type, for every B."""
    num_columns = num_features + num_products(FORMS[form].write_products, num_features)
    num_mixed = math.prod(weights_shape)
    signature = [
        tf.TensorSpec((None, num_features), dtype),
        tf.TensorSpec((num_features,), tf.float64),
        tf.TensorSpec((num_columns, num_mixed), tf.float64),
        tf.TensorSpec((num_mixed,), tf.float64),
    ]

    def of_rows(rows: Tensor, centre: Tensor, linear: Tensor, constants: Tensor) -> Tensor:
        factors = ScoreFactors(GRAPH_FORMS[form].features, centre, linear, constants, weights_shape)
        return scores(rows, factors, [score])[score]

    return tf.function(of_rows, autograph=False).get_concrete_function(*signature)


class ScoreFactors(NamedTuple):
    """What rows are scored with.

    features: Function that computes the features of centred rows; see `GraphForm.features`.
    centre: (D,) float64, data units; what rows are measured from.
    linear, constants: (D + P, M) and (M,) float64, nats; see `densities.coefficients`.
    weights_shape: (K,), or (S, K) for the average of S mixtures.
    """

    features: Features
    centre: Tensor
    linear: Tensor
    constants: Tensor
    weights_shape: tuple[int, ...]


def factors_of(mixture: MixtureDensity) -> ScoreFactors:
    """Computes what rows are scored with, as tensors, under one mixture or the average of S."""
    features = graph_form_of(mixture.covariance).features
    return ScoreFactors(features, mixture.centre, *coefficients(mixture), tuple(mixture.log_weights.shape))


class GraphScorer:
    """Scores blocks of rows by the operations that an export has; the same as `row_scores.RowScorer`, on a GPU.

    Args:
        mixture: The mixture, or S of them.
    """

    def __init__(self, mixture: MixtureDensity) -> None:
        self.centre = np.asarray(mixture.centre)
        self._form = COVARIANCES[mixture.covariance].form
        self._factors = factors_of(mixture)

    def scores(self, block: RowBlock, names: Collection[Score]) -> RowScores:
        """Computes scores of rows; see `row_scores.RowScorer.scores`."""
        rows = float_values(block)
        _, centre, linear, constants, weights_shape = self._factors
        sizes = rows.shape[1], weights_shape, rows.dtype.name
        values = tf.constant(rows)
        by_name: dict[str, np.ndarray] = {
            name: compiled_score(self._form, name, *sizes)(values, centre, linear, constants).numpy() for name in names
        }
        return RowScores(by_name, max(map(_num_bad, by_name.values()), default=0))


def _num_bad(scores: np.ndarray) -> int:
    is_bad = np.isnan(scores) if scores.dtype.kind == "f" else scores < 0
    return int(is_bad.any(axis=tuple(range(1, is_bad.ndim))).sum())


def scores(rows: Tensor, factors: ScoreFactors, names: Sequence[Score]) -> dict[str, Tensor]:
    """Computes scores of rows (B, D), data units, any float type, chunk after chunk, all from the same log joints."""
    features, centre, linear, constants, weights_shape = factors
    specs = [
        tf.TensorSpec((None, *(weights_shape[-1] for _ in axes)), dtype)
        for axes, dtype in (SCORE_SPECS[name] for name in names)
    ]

    def of_chunk(chunk: Tensor) -> tuple[Tensor, ...]:
        joints = log_joints(features(rounded(chunk, centre)), linear, constants)
        if len(weights_shape) == 2:
            joints = tf.reshape(joints, (-1, *weights_shape))
        return tuple(SCORES[name](joints) for name in names)

    size = threads.chunk_size(sum(linear.shape))
    return {str(name): values for name, values in zip(names, mapped_over_chunks(rows, of_chunk, size, specs))}


def rounded(rows: Tensor, centre: Tensor) -> Tensor:
    """Measures rows (B, D), data units, from the centre in float64, with the rounding of training."""
    return tf.cast(tf.cast(tf.cast(rows, tf.float64) - centre, tf.float32), tf.float64)


# A row that is not finite has no finite log joint, so the scores below need not look at the rows again.


def log_prob(joints: Tensor) -> Tensor:
    """Computes the log density of each row, nats, (B,) float32, from log joints (B, K) or (B, S, K) float64.

    For S mixtures, the log of their average density (log-mean-exp), which integrates to 1 as they do.
    """
    num_mixtures = 1 if joints.shape.rank == 2 else joints.shape[1]
    flat = tf.reshape(joints, (-1, num_mixtures * joints.shape[-1]))
    log_densities = normalised(flat)[0] - math.log(num_mixtures)
    limited = tf.cast(tf.maximum(log_densities, tf.float32.min), tf.float32)
    return tf.where(tf.math.is_finite(log_densities), limited, np.nan)


def log_density(joints: Tensor) -> Tensor:
    """Computes the log density of each row as `log_prob` does, but in float64, (B,), with all digits however low."""
    num_mixtures = 1 if joints.shape.rank == 2 else joints.shape[1]
    flat = tf.reshape(joints, (-1, num_mixtures * joints.shape[-1]))
    log_densities = tf.reduce_logsumexp(flat, axis=1) - math.log(num_mixtures)
    return tf.where(tf.math.is_finite(log_densities), log_densities, tf.constant(np.nan, tf.float64))


def responsibilities(joints: Tensor) -> Tensor:
    """Computes the probability of each component given the row, (B, K) float32, from log joints (B, K)."""
    return normalised(joints)[1]  # NaN where log joints are not finite


def assignment(joints: Tensor) -> Tensor:
    """Finds the most probable component, (B,) int64 from log joints (B, K); -1 for rows that are not finite."""
    is_finite = tf.math.is_finite(tf.reduce_max(joints, axis=-1))
    return tf.where(is_finite, tf.argmax(joints, axis=-1), tf.constant(-1, tf.int64))


SCORES = {
    "log_prob": log_prob,
    "log_density": log_density,
    "responsibilities": responsibilities,
    "assignment": assignment,
}


def tail_probabilities(table: np.ndarray, log_densities: Tensor) -> Tensor:
    """Computes `outliers.tail_probabilities` as operations of a graph: (B,) float32 from (B,) float64."""
    levels, quantiles = (tf.constant(line) for line in table)
    last = tf.constant(table.shape[1] - 1)
    at = tf.clip_by_value(tf.searchsorted(quantiles, log_densities), 1, last)
    low, high = tf.gather(quantiles, at - 1), tf.gather(quantiles, at)
    widths = tf.where(high > low, high - low, tf.ones_like(low))
    parts = tf.clip_by_value((log_densities - low) / widths, 0.0, 1.0)
    shares = tf.gather(levels, at - 1) + parts * (tf.gather(levels, at) - tf.gather(levels, at - 1))
    return tf.cast(tf.where(tf.math.is_nan(log_densities), log_densities, shares), tf.float32)
