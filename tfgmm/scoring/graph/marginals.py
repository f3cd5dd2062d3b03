"""Marginal and conditional densities of a mixture: of some columns alone, and of the others given them.

Which columns are given is a mask, so that one graph with fixed shapes serves every choice. All K-sized algebra is in
float64. Source: Bishop 2006, 2.81, 2.82 and 2.98; the weights of the conditional mixture are the responsibilities.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tfgmm.common import threads
from tfgmm.families import wishart
from tfgmm.model import bounds
from tfgmm.scoring.graph.scores import rounded
from tfgmm.scoring.scores import MixtureDensity

Tensor = Any


def marginal_log_prob(components: Any, rows: Tensor, mixture: MixtureDensity, given: Tensor) -> Tensor:
    """Returns the log density of the given columns of each row, (B,) float32, nats; 0, about, where none is given.

    Args:
        components: a class of `tfgmm.families`.
        rows: (B, D) of any float type, data units; what is not given may be anything, NaN too.
        mixture: its arrays, or tensors.
        given: (D,) bool.
    """
    factors = _marginal_factors(components, mixture, given)

    def of_chunk(chunk: Tensor) -> tuple[Tensor]:
        centred = rounded(chunk, mixture.centre)
        log_densities = bounds.normalised(_log_joints(components, _known(centred, given), factors))[0]
        return (_float32(log_densities, _is_finite(centred, given)),)

    size = threads.chunk_size(sum(factors[0].shape))
    return bounds.mapped_over_chunks(rows, of_chunk, size, [tf.TensorSpec((None,), tf.float32)])[0]


def conditional(components: Any, rows: Tensor, mixture: MixtureDensity, given: Tensor) -> dict[str, Tensor]:
    """Returns the mixture over the columns that are not given, for each row, given the others.

    Args: as `marginal_log_prob`.

    Returns:
        `weights` (B, K) float32: the probability of each component given those columns.
        `means` (B, K, D) float64, data units: of each component; given columns as they are.
        `expectation` (B, D) float64, data units: weights and means combined.
        `log_prob` (B,) float32, nats: the conditional log density of the other columns; NaN where they are unknown.
        `scales` (K, D), and of correlated columns `covariances` (K, D, D), float64: of each component, the same
        for every row; 0 where a column is given.
    """
    num_components, num_features = mixture.components["locs"].shape
    of_given = _marginal_factors(components, mixture, given)
    linear, constants = components.coefficients(mixture.components)
    of_all = linear, constants + mixture.log_weights
    slopes, spread = _regression(mixture.components, given)
    locs = tf.convert_to_tensor(mixture.components["locs"])
    offsets = _known(locs, ~given)
    if slopes is not None:
        offsets -= tf.linalg.matvec(slopes, _known(locs, given))

    def of_chunk(chunk: Tensor) -> tuple[Tensor, ...]:
        centred = rounded(chunk, mixture.centre)
        known, is_known = _known(centred, given), _is_finite(centred, given)
        whole = _known(tf.cast(chunk, tf.float64), given)
        log_given, weights = bounds.normalised(_log_joints(components, known, of_given))
        log_all = bounds.normalised(_log_joints(components, rounded(chunk, mixture.centre), of_all))[0]
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
    size = threads.chunk_size(sum(linear.shape) + num_components * num_features)
    found = bounds.mapped_over_chunks(rows, of_chunk, size, specs)
    return dict(zip(("weights", "means", "expectation", "log_prob"), found)) | spread


def _marginal_factors(components: Any, mixture: MixtureDensity, given: Tensor) -> tuple[Tensor, Tensor]:
    """Returns what the features of masked rows are multiplied with to be log joints of the given columns.

    Columns that are not given become standard normal ones at which every row is 0; their constant is taken off again.
    """
    linear, constants = components.coefficients(_masked(mixture.components, given))
    num_others = tf.reduce_sum(tf.cast(~given, tf.float64))
    return linear, constants + mixture.log_weights + 0.5 * num_others * math.log(2.0 * math.pi)


def _masked(parameters: Mapping[str, Any], given: Tensor) -> dict[str, Tensor]:
    locs = _known(parameters["locs"], given)
    if "precisions" in parameters:
        return {"locs": locs, "precisions": tf.where(given, parameters["precisions"], 1.0)}
    covariances = _covariances(parameters["whiteners"])
    both = given[:, None] & given
    factor = tf.linalg.cholesky(tf.where(both, covariances, tf.eye(given.shape[0], dtype=tf.float64)))
    return {"locs": locs, "whiteners": wishart.inverse(factor)}


def _regression(parameters: Mapping[str, Any], given: Tensor) -> tuple[Tensor | None, dict[str, Tensor]]:
    """Returns the slopes (K, D, D) of the other columns on the given ones, None where columns are independent.

    And, by name, the standard deviations and covariances that are left, 0 where a column is given.
    """
    shape = parameters["locs"].shape
    if "precisions" in parameters:
        return None, {"scales": _known(tf.math.rsqrt(tf.convert_to_tensor(parameters["precisions"])), ~given)}
    covariances = _covariances(parameters["whiteners"])
    whiteners = _known(_masked(parameters, given)["whiteners"], given[:, None] & given)
    whitened = tf.matmul(_known(covariances, ~given[:, None] & given), whiteners, transpose_b=True)
    slopes = tf.matmul(whitened, whiteners)
    left = covariances - tf.matmul(whitened, whitened, transpose_b=True)
    others = _known(left, ~given[:, None] & ~given)
    slopes, others = (tf.broadcast_to(values, (*shape, shape[1])) for values in (slopes, others))
    return slopes, {"scales": tf.sqrt(tf.linalg.diag_part(others)), "covariances": others}


def _covariances(whiteners: Tensor) -> Tensor:
    inverses = wishart.inverse(whiteners)
    return tf.matmul(inverses, inverses, transpose_b=True)


def _known(values: Tensor, given: Tensor) -> Tensor:
    """Returns the values, 0 where they are not given."""
    return tf.where(given, values, tf.zeros_like(values))


def _log_joints(components: Any, centred: Tensor, factors: tuple[Tensor, Tensor]) -> Tensor:
    return bounds.log_joints(components.features(centred), *factors)


def _float32(log_densities: Tensor, is_known: Tensor) -> Tensor:
    return tf.where(is_known, tf.cast(tf.maximum(log_densities, tf.float32.min), tf.float32), np.nan)


def _is_finite(centred: Tensor, needed: Tensor) -> Tensor:
    return tf.reduce_all(tf.math.is_finite(centred) | ~needed, axis=-1)
