"""What is maximised: lower bounds on the log evidence, as pure functions of rows, weights and components."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfgmm.common.shapes import Tensor
from tfgmm.scoring.graph.chunks import log_joints, normalised
from tfgmm.scoring.graph.densities import GRAPH_FORMS


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


def expected_coefficients(weights: Any, components: Any, posteriors: tuple[Any, Any]) -> tuple[Tensor, Tensor]:
    """Returns (D + P, K) and (K,) float64 such that rho = features @ the first + the second, nats.

    rho_ik = E[log theta_k] + E[log Normal(row_i | component k)] (Bishop 2006, 10.46).

    Args:
        weights, components: what the posteriors belong to.
        posteriors: q of the weights and q of the components.
    """
    of_weights, of_components = posteriors
    coefficients, constants = GRAPH_FORMS[components.form].coefficients(components.means(of_components))
    return coefficients, constants + components.corrections(of_components) + weights.expected_log(of_weights)


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
    return normalised(
        log_joints(GRAPH_FORMS[components.form].features(tf.cast(rows, tf.float64)), coefficients, constants)
    )


def kl_to_prior(weights: Any, components: Any, centre: Tensor, posteriors: tuple[Any, Any] | None = None) -> Tensor:
    """Returns KL(q || prior) over weights, locations and precisions, nats, scalar float64.

    Args:
        weights, components: with their variables and priors.
        centre: (D,) float64, data units.
        posteriors: q of the weights and of the components, where the caller has them at hand.
    """
    of_weights, of_components = posteriors or (weights.posterior(), components.posterior())
    return weights.kl(of_weights) + components.kl(of_components, centre)
