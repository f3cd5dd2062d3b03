"""The marginal bound: expected log likelihoods of rows under parameters drawn from q."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfgmm.common.shapes import Tensor
from tfgmm.families.variational import Components


def log_joint(components: Components, rows: Tensor, log_weights: Tensor, draws: Any) -> Tensor:
    """Computes log theta_k + log Normal(row | component k), nats: (B, K), or (S, B, K) for shared draws.

    Args:
        components: The components that the draws are of.
        rows: (B, D) float32, measured from the centre.
        log_weights: (K,), (B, K) or (S, 1, K).
        draws: Drawn component parameters, with the same leading axes.
    """
    return log_weights + components.log_density(rows, draws)


def marginal_log_likelihoods(components: Components, rows: Tensor, log_weights: Tensor, draws: Any) -> Tensor:
    """Computes an unbiased estimate of E_q[log sum_k theta_k Normal(row_i | component k)] per row, nats: (B,).

    The likelihood part of the marginal bound: L_M = sum over rows of this - KL(q || prior). Draws shared by the
    batch, leading axes (S, 1), are averaged; draws per row, leading axis (B,), give one estimate each.
    """
    log_likelihoods = tf.reduce_logsumexp(log_joint(components, rows, log_weights, draws), axis=-1)
    return tf.reduce_mean(log_likelihoods, axis=0) if log_likelihoods.shape.rank == 2 else log_likelihoods
