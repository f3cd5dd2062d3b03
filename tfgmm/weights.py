"""Posteriors of the mixture weights: one small class per prior, and a table from name to class."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tfgmm.positive import SHAPE_RANGE, positive
from tfgmm.priors import Priors

Tensor = Any
AddWeight = Callable[..., Any]


class DirichletPosterior(NamedTuple):
    """q(theta) = Dirichlet(counts); `counts` is (K,) float64, positive."""

    counts: Tensor


class DirichletWeights:
    """Weights theta ~ Dirichlet(c0) with posterior Dirichlet(counts).

    Args:
        num_components: K.
        priors: its `weight_concentration` is c0, one number or (K,).
    """

    name = "dirichlet"

    def __init__(self, num_components: int, priors: Priors) -> None:
        self.num_components = num_components
        self.prior_counts = np.broadcast_to(np.asarray(priors.weight_concentration, np.float64), (num_components,))

    def create_variables(self, add_weight: AddWeight, start: DirichletPosterior) -> None:
        """Adds the trained variable, log counts (K,), at `start`."""
        self.log_counts = add_weight("log_counts", np.log(start.counts))

    def random_start(self, generator: np.random.Generator) -> DirichletPosterior:
        """Returns the start of an untouched model: the prior itself."""
        del generator  # same call as the components' random_start; the weights start without noise
        return DirichletPosterior(np.array(self.prior_counts))

    def posterior(self) -> DirichletPosterior:
        """Returns q(theta) as it stands, float64 and differentiable in the variable."""
        return DirichletPosterior(positive(self.log_counts, SHAPE_RANGE))

    def assign(self, posterior: DirichletPosterior) -> None:
        """Sets the variable so that `posterior()` returns `posterior`."""
        self.log_counts.assign(tf.math.log(tf.cast(posterior.counts, tf.float64)))

    def log_mean(self, posterior: DirichletPosterior) -> Tensor:
        """Returns log E[theta], (K,) float64."""
        return tf.math.log(posterior.counts) - tf.math.log(tf.reduce_sum(posterior.counts))

    def expected_log(self, posterior: DirichletPosterior) -> Tensor:
        """Returns E[log theta] = digamma(counts) - digamma(sum of counts), (K,) float64."""
        return tf.math.digamma(posterior.counts) - tf.math.digamma(tf.reduce_sum(posterior.counts))

    def update(self, counts: Tensor) -> DirichletPosterior:
        """Returns the q that maximises the augmented bound: the prior plus the expected counts (K,) of the rows."""
        return DirichletPosterior(self.prior_counts + counts)

    def gamma_shapes(self, posterior: DirichletPosterior) -> Tensor:
        """Returns the shapes of the Gamma variables that `log_draws` needs, (K,) float64."""
        return posterior.counts

    def log_draws(self, log_gammas: Tensor) -> Tensor:
        """Returns log theta draws, (..., K), from log Gamma draws of those shapes; never -inf, however small counts.

        Gammas divided by their sum are Dirichlet; in log space no weight can underflow to an exact zero.
        """
        return log_gammas - tf.reduce_logsumexp(log_gammas, axis=-1, keepdims=True)

    def kl(self, posterior: DirichletPosterior) -> Tensor:
        """Returns KL(q(theta) || prior) in nats, scalar float64."""
        counts, prior = posterior.counts, tf.constant(self.prior_counts)
        total, prior_total = tf.reduce_sum(counts), tf.reduce_sum(prior)
        log_normalisers = tf.math.lgamma(total) - tf.math.lgamma(prior_total)
        log_normalisers += tf.reduce_sum(tf.math.lgamma(prior) - tf.math.lgamma(counts))
        return log_normalisers + tf.reduce_sum((counts - prior) * self.expected_log(posterior))


WEIGHTS: dict[str, type[DirichletWeights]] = {DirichletWeights.name: DirichletWeights}
