"""Credible bands of densities and memberships: how far they vary over draws of the mixture from its posterior."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tfgmm.common import threads
from tfgmm.common.shapes import Tensor
from tfgmm.mixture.parameters import MixtureDensity
from tfgmm.scoring.graph.chunks import Answers, mapped_over_chunks, normalised
from tfgmm.scoring.graph.scores import factors_of, joints_of, rounded


def interval(rows: Tensor, mixtures: MixtureDensity, level: Tensor) -> Answers:
    """Computes the equal-tailed band of each row's log density and responsibilities over S mixtures.

    Args:
        rows: (B, D) of any float type, data units.
        mixtures: S mixtures, of arrays or tensors.
        level: Scalar, the share of the posterior within, from 0 (the median) to (S - 1) / (S + 1); limited to that
            range, and NaN counts as 0.

    Returns:
        Per row, float32: `log_prob_low` and `log_prob_high` (B,), nats; `responsibilities_low` and
        `responsibilities_high` (B, K). Rows with gaps have those of their other columns; NaN as in the scores.
    """
    factors = factors_of(mixtures)
    num_mixtures, num_components = factors.weights_shape
    figure = tf.TensorSpec((None,), tf.float32)
    line = tf.TensorSpec((None, num_components), tf.float32)

    def of_chunk(chunk: Tensor) -> tuple[Tensor, ...]:
        centred = rounded(chunk, factors.centre)
        joints, has_values = joints_of(centred, factors)
        log_densities, shares = normalised(tf.reshape(joints, (-1, num_components)))
        log_densities = tf.cast(tf.maximum(log_densities, tf.float32.min), tf.float32)
        log_densities = tf.reshape(log_densities, (-1, num_mixtures))
        shares = tf.transpose(tf.reshape(shares, (-1, num_mixtures, num_components)), [0, 2, 1])
        # Not `is_inf`, which the converter to LiteRT cannot write
        finite = tf.reduce_all(tf.math.is_finite(centred) | tf.math.is_nan(centred), axis=-1)
        low, high = quantiles(log_densities, level)
        shares_low, shares_high = quantiles(shares, level)
        figures = tuple(tf.where(finite & has_values, values, np.nan) for values in (low, high))
        return *figures, *(tf.where(finite[:, None], values, np.nan) for values in (shares_low, shares_high))

    size = threads.chunk_size(sum(factors.linear.shape))
    names = ("log_prob_low", "log_prob_high", "responsibilities_low", "responsibilities_high")
    return Answers(dict(zip(names, mapped_over_chunks(rows, of_chunk, size, [figure, figure, line, line]))), {})


def quantiles(values: Tensor, level: Tensor) -> tuple[Tensor, Tensor]:
    """Computes the ends of the equal-tailed interval that holds a share `level`, over the last axis of `values`.

    The j-th smallest of S draws is the quantile j / (S + 1), and quantiles between are interpolated: a further draw
    then falls inside with probability `level` whatever the distribution (type 6 of Hyndman and Fan 1996).
    """
    num_draws = values.shape[-1]
    ordered = tf.sort(values, axis=-1)
    level = tf.cast(level, tf.float32)
    # Limited to what S draws can tell, below too: a server cannot refuse it
    share = 0.5 - 0.5 * tf.maximum(tf.where(tf.math.is_nan(level), tf.zeros_like(level), level), 0.0)
    return _at(ordered, share * (num_draws + 1.0) - 1.0), _at(ordered, (1.0 - share) * (num_draws + 1.0) - 1.0)


def _at(ordered: Tensor, place: Tensor) -> Tensor:
    """Interpolates the entry at a place between 0 and the last."""
    last = ordered.shape[-1] - 1
    place = tf.clip_by_value(place, 0.0, float(last))
    below = tf.minimum(tf.cast(place, tf.int32), max(last - 1, 0))
    above = tf.minimum(below + 1, last)
    part = place - tf.cast(below, tf.float32)
    return (1.0 - part) * tf.gather(ordered, below, axis=-1) + part * tf.gather(ordered, above, axis=-1)
