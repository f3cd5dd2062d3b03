"""Scores of rows as operations of a graph: what exports hold, and what a GPU works through; see `row_scores`."""

from __future__ import annotations

import functools
import math
from typing import Any, Literal

import numpy as np
import tensorflow as tf

from tfgmm.common import threads
from tfgmm.families.variational import COMPONENTS
from tfgmm.mixture.features import num_products
from tfgmm.model import bounds

Tensor = Any
Score = Literal["log_prob", "log_density", "responsibilities", "assignment"]


@functools.lru_cache(maxsize=64)
def compiled_score(covariance: str, score: Score, num_features: int, weights_shape: tuple[int, ...], dtype: str) -> Any:
    """Returns the score of rows (B, D) as a graph, traced once per shape of mixture and type, for every B."""
    components = COMPONENTS[covariance]
    num_columns = num_features + num_products(components.write_products, num_features)
    num_mixed = math.prod(weights_shape)
    signature = [
        tf.TensorSpec((None, num_features), dtype),
        tf.TensorSpec((num_features,), tf.float64),
        tf.TensorSpec((num_columns, num_mixed), tf.float64),
        tf.TensorSpec((num_mixed,), tf.float64),
    ]

    def of_rows(rows: Tensor, centre: Tensor, linear: Tensor, constants: Tensor) -> Tensor:
        return scores(components, rows, centre, linear, constants, score, weights_shape)

    return tf.function(of_rows, autograph=False).get_concrete_function(*signature)


def scores(
    components: Any,
    rows: Tensor,
    centre: Tensor,
    linear: Tensor,
    constants: Tensor,
    score: Score,
    weights_shape: tuple[int, ...],
) -> Tensor:
    """Returns the score of rows (B, D), data units, any float type, chunk after chunk.

    Args:
        components: a class of `tfgmm.families`.
        centre: (D,) float64, data units.
        linear, constants: see `density.coefficients`.
        score: which; see `density.score_data`.
        weights_shape: (K,), or (S, K) for the average of S mixtures.
    """
    num_components = weights_shape[-1]
    spec = {
        "log_prob": tf.TensorSpec((None,), tf.float32),
        "log_density": tf.TensorSpec((None,), tf.float64),
        "responsibilities": tf.TensorSpec((None, num_components), tf.float32),
        "assignment": tf.TensorSpec((None,), tf.int64),
    }[score]

    def of_chunk(chunk: Tensor) -> tuple[Tensor]:
        log_joints = bounds.log_joints(components.features(rounded(chunk, centre)), linear, constants)
        if len(weights_shape) == 2:
            log_joints = tf.reshape(log_joints, (-1, *weights_shape))
        return (SCORES[score](log_joints),)

    (found,) = bounds.mapped_over_chunks(rows, of_chunk, threads.chunk_size(sum(linear.shape)), [spec])
    return found


def rounded(rows: Tensor, centre: Tensor) -> Tensor:
    """Returns rows (B, D), data units, measured from the centre in float64, with the rounding of training."""
    return tf.cast(tf.cast(tf.cast(rows, tf.float64) - centre, tf.float32), tf.float64)


# A feature of a row that is not finite leaves no log joint finite: so the scores below need not look at the rows again.


def log_prob(log_joints: Tensor) -> Tensor:
    """Returns the log density of each row, nats, (B,) float32, from log joints (B, K) or (B, S, K) float64.

    With S mixtures it is the log of their average density (log-mean-exp), which integrates to 1 as they do.
    """
    num_mixtures = 1 if log_joints.shape.rank == 2 else log_joints.shape[1]
    flat = tf.reshape(log_joints, (-1, num_mixtures * log_joints.shape[-1]))
    log_densities = bounds.normalised(flat)[0] - math.log(num_mixtures)
    held = tf.cast(tf.maximum(log_densities, tf.float32.min), tf.float32)
    return tf.where(tf.math.is_finite(log_densities), held, np.nan)


def log_density(log_joints: Tensor) -> Tensor:
    """Returns the log density of each row as `log_prob` does, but (B,) float64, all digits kept, however low."""
    num_mixtures = 1 if log_joints.shape.rank == 2 else log_joints.shape[1]
    flat = tf.reshape(log_joints, (-1, num_mixtures * log_joints.shape[-1]))
    log_densities = tf.reduce_logsumexp(flat, axis=1) - math.log(num_mixtures)
    return tf.where(tf.math.is_finite(log_densities), log_densities, tf.constant(np.nan, tf.float64))


def responsibilities(log_joints: Tensor) -> Tensor:
    """Returns the probability of each component given the row, (B, K) float32, from log joints (B, K)."""
    return bounds.normalised(log_joints)[1]  # NaN where log joints are not finite


def assignment(log_joints: Tensor) -> Tensor:
    """Returns the most probable component, (B,) int64 from log joints (B, K); -1 for rows that are not finite."""
    is_finite = tf.math.is_finite(tf.reduce_max(log_joints, axis=-1))
    return tf.where(is_finite, tf.argmax(log_joints, axis=-1), tf.constant(-1, tf.int64))


SCORES = {
    "log_prob": log_prob,
    "log_density": log_density,
    "responsibilities": responsibilities,
    "assignment": assignment,
}


def tail_probabilities(table: np.ndarray, log_densities: Tensor) -> Tensor:
    """Returns `outliers.tail_probabilities` as operations of a graph: (B,) float32 from (B,) float64."""
    levels, quantiles = (tf.constant(line) for line in table)
    last = tf.constant(table.shape[1] - 1)
    at = tf.clip_by_value(tf.searchsorted(quantiles, log_densities), 1, last)
    low, high = tf.gather(quantiles, at - 1), tf.gather(quantiles, at)
    widths = tf.where(high > low, high - low, tf.ones_like(low))
    parts = tf.clip_by_value((log_densities - low) / widths, 0.0, 1.0)
    shares = tf.gather(levels, at - 1) + parts * (tf.gather(levels, at) - tf.gather(levels, at - 1))
    return tf.cast(tf.where(tf.math.is_nan(log_densities), log_densities, shares), tf.float32)
