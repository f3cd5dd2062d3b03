"""KL divergences of q from its prior in TensorFlow, float64.

Those of Normals, Gammas, Dirichlets and Betas are TensorFlow Probability's, which are right over the whole range of the
package (`docs/tfp.md` has the figures). It has none for the Wishart: that one is
`tfgmm.families.wishart.kl_to_prior`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfgmm.common.shapes import Tensor
from tfgmm.families import wishart
from tfgmm.model.gradients import learned_divergences
from tfgmm.model.gradients.functions import TENSORFLOW

if TYPE_CHECKING:
    from tfgmm.families.correlated import CorrelatedComponents, CorrelatedPosterior
    from tfgmm.families.independent import IndependentComponents, IndependentPosterior
    from tfgmm.families.variational import Factors, VariationalPosterior
    from tfgmm.families.weights import DirichletPosterior, DirichletWeights, StickBreakingWeights, StickPosterior

tfd = tfp.distributions


def kl(q: VariationalPosterior, factors: Factors, centre: Tensor) -> Tensor:
    """Computes KL(q || prior) over weights, locations and precisions, nats, scalar float64; differentiable.

    Args:
        q: Family of the posterior, which has the priors.
        factors: q, as tensors.
        centre: (D,) float64, data units; what its locations are measured from.
    """
    of_weights = _OF_WEIGHTS[q.weights.name](q.weights, factors.weights)
    return of_weights + _OF_COMPONENTS[q.form](q.components, factors.components, centre)


def _of_dirichlet(weights: DirichletWeights, posterior: DirichletPosterior) -> Tensor:
    if weights.num_components == 1:  # the weight is 1, and TensorFlow Probability refuses such a Dirichlet
        return 0.0 * tf.reduce_sum(posterior.counts, axis=-1)
    return tfd.kl_divergence(tfd.Dirichlet(posterior.counts), tfd.Dirichlet(weights.prior_counts))


def _of_sticks(weights: StickBreakingWeights, posterior: StickPosterior) -> Tensor:
    taken, left = posterior.sticks[..., 0], posterior.sticks[..., 1]
    prior = tfd.Beta(np.float64(1.0), np.float64(weights.concentration))
    return tf.reduce_sum(tfd.kl_divergence(tfd.Beta(taken, left), prior), axis=-1)


def _of_independent(components: IndependentComponents, posterior: IndependentPosterior, centre: Tensor) -> Tensor:
    learned = learned_divergences.of_independent(components, posterior, centre)
    # Measured from the prior mean: TensorFlow Probability divides by the scale before it subtracts
    away = posterior.locs - (components.loc_mean - centre)
    prior = tfd.Normal(np.float64(0.0), components.loc_scale)
    of_locs = tfd.kl_divergence(tfd.Normal(away, posterior.scales), prior)
    prior = tfd.Gamma(components.precision_shape, rate=components.precision_rate)
    of_precisions = tfd.kl_divergence(tfd.Gamma(posterior.alpha, rate=posterior.beta), prior)
    fixed = tf.reduce_sum(of_locs, axis=[-2, -1]), tf.reduce_sum(of_precisions, axis=[-2, -1])
    return tf.add_n([own if of_learned is None else of_learned for own, of_learned in zip(fixed, learned)])


def _of_correlated(components: CorrelatedComponents, posterior: CorrelatedPosterior, centre: Tensor) -> Tensor:
    learned = learned_divergences.of_correlated(components, posterior, centre)
    away = posterior.locs - (components.loc_mean - centre)
    prior = tfd.MultivariateNormalTriL(np.zeros_like(components.loc_mean), components.prior_loc_cholesky)
    of_locs = tfd.kl_divergence(tfd.MultivariateNormalTriL(away, posterior.loc_cholesky), prior)
    of_prior = components.prior_degrees, components.prior_scale_cholesky
    of_precisions = wishart.kl_to_prior(posterior.degrees, posterior.scale_cholesky, *of_prior, TENSORFLOW)
    fixed = tf.reduce_sum(of_locs, axis=-1), of_precisions
    return tf.add_n([own if of_learned is None else of_learned for own, of_learned in zip(fixed, learned)])


_OF_WEIGHTS: Mapping[str, Callable[..., Any]] = {"dirichlet": _of_dirichlet, "stick_breaking": _of_sticks}
_OF_COMPONENTS: Mapping[str, Callable[..., Any]] = {"independent": _of_independent, "correlated": _of_correlated}
