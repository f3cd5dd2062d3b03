"""Marginal and conditional densities of a mixture: of some columns alone, and of the others given them.

Which columns are given is a mask, so that one graph with fixed shapes serves every choice. All K-sized algebra is in
float64. Source: Bishop 2006, 2.81, 2.82 and 2.98; the weights of the conditional mixture are the responsibilities.
"""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

from tfgmm.common import threads
from tfgmm.common.shapes import Tensor
from tfgmm.mixture.parameters import MixtureDensity
from tfgmm.scoring.graph.chunks import Answers, log_joints, mapped_over_chunks, normalised
from tfgmm.scoring.graph.densities import coefficients, graph_form_of, where_given
from tfgmm.scoring.graph.scores import rounded


def marginal_log_prob(rows: Tensor, mixture: MixtureDensity, given: Tensor) -> Answers:
    """Computes the log density of the given columns of each row; about 0 where none is given.

    Args:
        rows: (B, D) of any float type, data units; what is not given may be anything, NaN too.
        mixture: One mixture, of arrays or tensors.
        given: (D,) bool, whether each column is given.

    Returns:
        Per row: `log_prob` (B,) float32, nats; NaN where a given column is not finite.
    """
    features, factors = graph_form_of(mixture.covariance).features, _marginal_factors(mixture, given)

    def of_chunk(chunk: Tensor) -> tuple[Tensor]:
        centred = rounded(chunk, mixture.centre)
        log_densities = normalised(log_joints(features(where_given(centred, given)), *factors))[0]
        return (_float32(log_densities, _is_finite(centred, given)),)

    size = threads.chunk_size(sum(factors[0].shape))
    (log_densities,) = mapped_over_chunks(rows, of_chunk, size, [tf.TensorSpec((None,), tf.float32)])
    return Answers({"log_prob": log_densities}, {})


def conditional(rows: Tensor, mixture: MixtureDensity, given: Tensor) -> Answers:
    """Computes the mixture over the columns that are not given, for each row, given the others.

    Args: As `marginal_log_prob`.

    Returns:
        Per row:
        `weights` (B, K) float32: probability of each component given the known columns.
        `means` (B, K, D) float64, data units: mean of each component; given columns as they are.
        `expectation` (B, D) float64, data units: weights and means combined.
        `log_prob` (B,) float32, nats: conditional log density of the other columns; NaN where they are unknown.
        Once: `scales` (K, D) of each component, for correlated columns also `covariances` (K, D, D), float64; 0 where
        a column is given.
    """
    num_components, num_features = mixture.components["locs"].shape
    form, of_given, of_all = graph_form_of(mixture.covariance), _marginal_factors(mixture, given), coefficients(mixture)
    slopes, spread = form.regression(mixture.components, given)
    locs = tf.convert_to_tensor(mixture.components["locs"])
    offsets = where_given(locs, ~given)
    if slopes is not None:
        offsets -= tf.linalg.matvec(slopes, where_given(locs, given))

    def of_chunk(chunk: Tensor) -> tuple[Tensor, ...]:
        centred = rounded(chunk, mixture.centre)
        known, is_known = where_given(centred, given), _is_finite(centred, given)
        whole = where_given(tf.cast(chunk, tf.float64), given)
        log_given, weights = normalised(log_joints(form.features(known), *of_given))
        log_all = normalised(log_joints(form.features(centred), *of_all))[0]
        means = known[:, None, :] + offsets
        if slopes is not None:
            means += tf.einsum("bd,ked->bke", known, slopes)
        unknown = tf.where(is_known, tf.constant(0.0, tf.float64), np.nan)
        expected = tf.einsum("bk,bkd->bd", tf.cast(weights, tf.float64), means)
        return (
            tf.where(is_known[:, None], weights, np.nan),
            tf.where(given, whole[:, None, :], means + mixture.centre) + unknown[:, None, None],
            tf.where(given, whole, expected + mixture.centre) + unknown[:, None],
            _float32(log_all - log_given, _is_finite(centred, tf.ones_like(given))),
        )

    specs = [
        tf.TensorSpec((None, num_components), tf.float32),
        tf.TensorSpec((None, num_components, num_features), tf.float64),
        tf.TensorSpec((None, num_features), tf.float64),
        tf.TensorSpec((None,), tf.float32),
    ]
    size = threads.chunk_size(sum(of_all[0].shape) + num_components * num_features)
    names = ("weights", "means", "expectation", "log_prob")
    return Answers(dict(zip(names, mapped_over_chunks(rows, of_chunk, size, specs))), spread)


def expectation(rows: Tensor, mixture: MixtureDensity, given: Tensor) -> Answers:
    """Computes the means of the other columns given some, and nothing else.

    Args: As `marginal_log_prob`.

    Returns:
        Per row: `expectation` (B, D) float64, data units.
    """
    # Chunks of our own: the (B, K, D) means of all rows then never exist together
    size = threads.chunk_size(math.prod(mixture.components["locs"].shape))

    def of_chunk(chunk: Tensor) -> tuple[Tensor]:
        return (conditional(chunk, mixture, given).per_row["expectation"],)

    spec = tf.TensorSpec((None, rows.shape[1]), tf.float64)
    return Answers({"expectation": mapped_over_chunks(rows, of_chunk, size, [spec])[0]}, {})


def _marginal_factors(mixture: MixtureDensity, given: Tensor) -> tuple[Tensor, Tensor]:
    """Computes what the features of masked rows are multiplied with to get log joints of the given columns.

    Columns that are not given become standard normal ones where every row is 0; their constant is taken off again.
    """
    form = graph_form_of(mixture.covariance)
    linear, constants = form.coefficients(form.masked(mixture.components, given), are_means=True)
    num_others = tf.reduce_sum(tf.cast(~given, tf.float64))
    return linear, constants + mixture.log_weights + 0.5 * num_others * math.log(2.0 * math.pi)


def _float32(log_densities: Tensor, is_known: Tensor) -> Tensor:
    return tf.where(is_known, tf.cast(tf.maximum(log_densities, tf.float32.min), tf.float32), np.nan)


def _is_finite(centred: Tensor, needed: Tensor) -> Tensor:
    return tf.reduce_all(tf.math.is_finite(centred) | ~needed, axis=-1)
