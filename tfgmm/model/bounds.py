"""What is maximised: lower bounds on the log evidence, as pure functions of rows, weights and components."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from tfgmm.common import threads
from tfgmm.mixture.statistics import Statistics

Tensor = Any

# Two chunks at a time: one product leaves a core idle at its ends, the next one fills it.
_CHUNKS_AT_A_TIME = 2


class RowSums(NamedTuple):
    """What a pass over rows adds up, float64.

    statistics: expected sufficient statistics.
    log_likelihood: the sum of logsumexp_k of the log joints, nats.
    largest: the sum of max_k of the log joints, nats: the log likelihood of the rows together with the most probable
        component of each.
    """

    statistics: Statistics
    log_likelihood: Tensor
    largest: Tensor


def log_joint(components: Any, rows: Tensor, log_weights: Tensor, draws: Any) -> Tensor:
    """Returns log theta_k + log Normal(row | component k), nats: (B, K), or (S, B, K) for shared draws.

    Args:
        components: a class of `tfgmm.families`.
        rows: (B, D) float32, measured from the centre.
        log_weights: (K,), (B, K) or (S, 1, K).
        draws: component parameters with the same leading axes.
    """
    return log_weights + components.log_density(rows, draws)


def marginal_log_likelihoods(components: Any, rows: Tensor, log_weights: Tensor, draws: Any) -> Tensor:
    """Returns an unbiased estimate of E_q[log sum_k theta_k Normal(row_i | component k)] per row, nats: (B,).

    The likelihood part of the marginal bound: L_M = sum over rows of this - KL(q || prior). Draws shared by the
    batch, leading axes (S, 1), are averaged; draws per row, leading axis (B,), give one estimate each.
    """
    log_likelihoods = tf.reduce_logsumexp(log_joint(components, rows, log_weights, draws), axis=-1)
    return tf.reduce_mean(log_likelihoods, axis=0) if log_likelihoods.shape.rank == 2 else log_likelihoods


def log_joints(features: Sequence[Tensor], coefficients: Tensor, constants: Tensor) -> Tensor:
    """Returns features @ coefficients + constants, (B, M), in the type of the features.

    Args:
        features: pieces (B, ...) side by side, D + P columns in all; see `components.features`.
        coefficients: (D + P, M). constants: (M,).
    """
    parts = tf.split(coefficients, [piece.shape[1] for piece in features])
    return tf.add_n([tf.matmul(piece, part) for piece, part in zip(features, parts)]) + constants


def expected_coefficients(weights: Any, components: Any, posteriors: tuple[Any, Any]) -> tuple[Tensor, Tensor]:
    """Returns (D + P, K) and (K,) float64 such that rho = features @ the first + the second, nats.

    rho_ik = E[log theta_k] + E[log Normal(row_i | component k)] (Bishop 2006, 10.46).

    Args:
        weights, components: what the posteriors belong to.
        posteriors: q of the weights and q of the components.
    """
    of_weights, of_components = posteriors
    coefficients, constants = components.coefficients(components.means(of_components))
    return coefficients, constants + components.corrections(of_components) + weights.expected_log(of_weights)


def normalised(log_joints: Tensor) -> tuple[Tensor, Tensor]:
    """Returns logsumexp_k, (B,) float64, and softmax_k, (B, K) float32, of log joints (B, K) of any float type.

    The largest is subtracted before the rest becomes float32: what is lost is below 1e-7 nats.
    """
    largest = tf.reduce_max(log_joints, axis=1, keepdims=True)
    shares = tf.exp(tf.cast(log_joints - largest, tf.float32))
    totals = tf.reduce_sum(shares, axis=1, keepdims=True)
    return (tf.cast(largest, tf.float64) + tf.cast(tf.math.log(totals), tf.float64))[:, 0], shares / totals


def local_step(
    weights: Any, components: Any, rows: Tensor, posteriors: tuple[Any, Any] | None = None
) -> tuple[Tensor, Tensor]:
    """Returns logsumexp_k rho_ik, (B,) float64, and responsibilities softmax_k rho_ik, (B, K) float32.

    The likelihood part of the augmented bound: L_A = sum over rows of the first - KL(q || prior);
    L_A <= L_M <= log evidence (Bishop 2006, 10.46 to 10.49).

    Args:
        weights, components: with their variables; rows (B, D) float32, measured from the centre.
        posteriors: q of the weights and of the components, where the caller has them at hand.
    """
    posteriors = posteriors or (weights.posterior(), components.posterior())
    coefficients, constants = expected_coefficients(weights, components, posteriors)
    return normalised(log_joints(components.features(tf.cast(rows, tf.float64)), coefficients, constants))


def sums_over_rows(components: Any, rows: Tensor, coefficients: Tensor, constants: Tensor) -> RowSums:
    """Returns the expected sufficient statistics of rows (B, D) and the sums of logsumexp_k and of max_k of rho_ik.

    Rows go through in chunks: two matrix products per piece of features, nothing of size B x K is kept.

    Args:
        components: a class of `tfgmm.families`.
        rows: (B, D) float32, measured from the centre.
        coefficients, constants: as `expected_coefficients` gives them.

    Products are float64, and err by 1e-3 nats at most for components down to 1e-6 of the range of the rows.
    """
    num_features = rows.shape[1]

    def of_chunk(chunk: Tensor) -> tuple[Tensor, ...]:
        features = components.features(tf.cast(chunk, tf.float64))
        joints = log_joints(features, coefficients, constants)
        log_likelihoods, shares = normalised(joints)
        weights = tf.cast(shares, tf.float64)
        sums = tf.concat([tf.matmul(weights, piece, transpose_a=True) for piece in features], axis=1)
        largest = tf.reduce_max(joints, axis=1, keepdims=True)  # `normalised` needs it anyway
        return tf.reduce_sum(weights, axis=0), sums, tf.reduce_sum(log_likelihoods), tf.reduce_sum(largest)

    num_columns, num_components = coefficients.shape
    zeros: tuple[Tensor, ...] = (
        tf.zeros(num_components, tf.float64),
        tf.zeros((num_components, num_columns), tf.float64),
    )
    size = threads.chunk_size(num_columns + num_components)
    zeros += (tf.zeros((), tf.float64),) * 2
    counts, sums, log_likelihood, largest = summed_over_chunks(rows, of_chunk, zeros, size)
    return RowSums(Statistics(counts, sums[:, :num_features], sums[:, num_features:]), log_likelihood, largest)


def summed_over_chunks(
    rows: Tensor, function: Callable[[Tensor], tuple[Tensor, ...]], zeros: tuple[Tensor, ...], size: int
) -> tuple[Tensor, ...]:
    """Returns the sums, over chunks of at most `size` rows, of what `function` gives; `zeros` where there is no row."""
    num_rows = tf.shape(rows)[0]
    # As many chunks as go at a time, or a multiple, all of one size: a last small one would leave a core idle
    num_rounds = (num_rows + _CHUNKS_AT_A_TIME * size - 1) // (_CHUNKS_AT_A_TIME * size)
    num_chunks = tf.maximum(1, _CHUNKS_AT_A_TIME * num_rounds)
    even = (num_rows + num_chunks - 1) // num_chunks

    def add(start: Tensor, *sums: Tensor) -> tuple[Tensor, ...]:
        added = function(rows[start : start + even])
        return start + even, *(total + value for total, value in zip(sums, added))

    start = tf.constant(0)
    at_a_time = _CHUNKS_AT_A_TIME
    return tf.while_loop(lambda start, *_: start < num_rows, add, (start, *zeros), parallel_iterations=at_a_time)[1:]


def mapped_over_chunks(
    rows: Tensor, function: Callable[[Tensor], tuple[Tensor, ...]], size: int, specs: Sequence[tf.TensorSpec]
) -> tuple[Tensor, ...]:
    """Returns what `function` gives for chunks of `size` rows, one below the other; `specs` describe one chunk's."""
    num_rows = tf.shape(rows)[0]
    num_chunks = tf.maximum(1, (num_rows + size - 1) // size)
    pieces = [tf.TensorArray(s.dtype, num_chunks, infer_shape=False, element_shape=s.shape) for s in specs]

    def write(index: Tensor, pieces: Sequence[Any]) -> tuple[Tensor, list[Any]]:
        found = function(rows[index * size : (index + 1) * size])
        return index + 1, [array.write(index, values) for array, values in zip(pieces, found)]

    start = (tf.constant(0), pieces)
    pieces = tf.while_loop(lambda index, _: index < num_chunks, write, start, parallel_iterations=_CHUNKS_AT_A_TIME)[1]
    return tuple(tf.ensure_shape(array.concat(), spec.shape) for array, spec in zip(pieces, specs))


def kl_to_prior(weights: Any, components: Any, centre: Tensor, posteriors: tuple[Any, Any] | None = None) -> Tensor:
    """Returns KL(q || prior) over weights, locations and precisions, nats, scalar float64.

    Args:
        weights, components: with their variables and priors.
        centre: (D,) float64, data units.
        posteriors: q of the weights and of the components, where the caller has them at hand.
    """
    of_weights, of_components = posteriors or (weights.posterior(), components.posterior())
    return weights.kl(of_weights) + components.kl(of_components, centre)
