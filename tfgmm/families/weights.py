"""Posteriors of the mixture weights: one small class per prior, and a table from name to class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfgmm.common.shapes import Tensor
from tfgmm.families.base import TrainedPosterior
from tfgmm.families.positive import SHAPE_RANGE, positive
from tfgmm.mixture.priors import Priors


class DirichletPosterior(NamedTuple):
    """q(theta) = Dirichlet(counts); `counts` is (K,) float64, positive."""

    counts: Tensor


class DirichletWeights(TrainedPosterior):
    """Weights theta ~ Dirichlet(c0) with posterior Dirichlet(counts).

    Args:
        num_components: Number of components, K.
        priors: Priors, whose `weight_concentration` is c0, one number or (K,).
    """

    name = "dirichlet"
    variable_names = ("log_counts",)

    def __init__(self, num_components: int, priors: Priors) -> None:
        self.num_components = num_components
        self.prior_counts = np.broadcast_to(np.asarray(priors.weight_concentration, np.float64), (num_components,))

    def values_of(self, posterior: DirichletPosterior) -> tuple[Tensor, ...]:
        """Computes the logarithms of counts."""
        return (tf.math.log(tf.cast(posterior.counts, tf.float64)),)

    def posterior_of(self, values: Sequence[Tensor]) -> DirichletPosterior:
        """Computes q(theta) from these numbers; differentiable."""
        return DirichletPosterior(positive(values[0], SHAPE_RANGE))

    def random_start(self, generator: np.random.Generator) -> DirichletPosterior:
        """Returns the start of an untouched model: the prior itself."""
        del generator  # same call as the components' random_start; the weights start without noise
        return DirichletPosterior(np.array(self.prior_counts))

    def expected_counts(self, posterior: DirichletPosterior) -> np.ndarray:
        """Computes the number of rows expected in each component, (K,) float64: counts beyond those of the prior."""
        return np.asarray(posterior.counts) - self.prior_counts

    def public(self, posterior: DirichletPosterior) -> dict[str, Tensor]:
        """Returns counts (K,) float64, as the model shows them."""
        return {"counts": posterior.counts}

    def log_mean(self, posterior: DirichletPosterior) -> Tensor:
        """Computes log E[theta], (..., K) float64."""
        return tf.math.log(posterior.counts) - tf.math.log(tf.reduce_sum(posterior.counts, axis=-1, keepdims=True))

    def expected_log(self, posterior: DirichletPosterior) -> Tensor:
        """Computes E[log theta] = digamma(counts) - digamma(sum of counts), (..., K) float64."""
        total = tf.reduce_sum(posterior.counts, axis=-1, keepdims=True)
        return tf.math.digamma(posterior.counts) - tf.math.digamma(total)

    def best_order(self, counts: Tensor) -> None:
        """Returns None: the order of the components changes nothing under a Dirichlet prior."""
        del counts

    def update(self, counts: Tensor) -> DirichletPosterior:
        """Computes the q that maximises the augmented bound: the prior plus the expected counts (K,) of the rows."""
        return DirichletPosterior(self.prior_counts + counts)

    def gamma_shapes(self, posterior: DirichletPosterior) -> Tensor:
        """Returns the shapes of the Gamma variables that `log_draws` needs, (K,) float64."""
        return posterior.counts

    def log_draws(self, log_gammas: Tensor) -> Tensor:
        """Computes log theta draws, (..., K), from log Gamma draws with these shapes; never -inf, however small counts.

        Gammas divided by their sum are Dirichlet; in log space no weight can underflow to an exact zero.
        """
        return log_gammas - tf.reduce_logsumexp(log_gammas, axis=-1, keepdims=True)

    def kl(self, posterior: DirichletPosterior) -> Tensor:
        """Computes KL(q(theta) || prior) in nats, (...) float64."""
        counts, prior = posterior.counts, tf.constant(self.prior_counts)
        total, prior_total = tf.reduce_sum(counts, axis=-1), tf.reduce_sum(prior)
        log_normalisers = tf.math.lgamma(total) - tf.math.lgamma(prior_total)
        log_normalisers += tf.reduce_sum(tf.math.lgamma(prior) - tf.math.lgamma(counts), axis=-1)
        return log_normalisers + tf.reduce_sum((counts - prior) * self.expected_log(posterior), axis=-1)

    def log_ratios(self, posterior: DirichletPosterior, log_weights: Tensor) -> Tensor:
        """Computes log q - log prior, (S,) float64, nats, of drawn weights whose logarithms are (S, K)."""
        counts, prior = posterior.counts, tf.constant(self.prior_counts)
        constants = [tf.math.lgamma(tf.reduce_sum(c)) - tf.reduce_sum(tf.math.lgamma(c)) for c in (counts, prior)]
        return tf.reduce_sum((counts - prior) * log_weights, axis=-1) + constants[0] - constants[1]


class StickPosterior(NamedTuple):
    """q(v_k) = Beta(taken_k, left_k) of the K - 1 breaks of a stick; `sticks` is (K - 1, 2) float64, positive."""

    sticks: Tensor


class StickBreakingWeights(TrainedPosterior):
    """Weights theta_k = v_k prod_{j<k} (1 - v_j) with v_k ~ Beta(1, gamma), the last taking what is left.

    A Dirichlet process cut off at K components: K is a maximum, and components that no row needs stay empty.

    Args:
        num_components: Number of components, K.
        priors: Priors, whose `stick_concentration` is gamma; a smaller one expects fewer components.

    Source: Blei and Jordan 2006, "Variational inference for Dirichlet process mixtures", section 3.
    """

    name = "stick_breaking"
    variable_names = ("log_sticks",)

    def __init__(self, num_components: int, priors: Priors) -> None:
        self.num_components = num_components
        self.concentration = float(priors.stick_concentration)

    def values_of(self, posterior: StickPosterior) -> tuple[Tensor, ...]:
        """Computes the logarithms of both shapes of every break."""
        return (tf.math.log(tf.cast(posterior.sticks, tf.float64)),)

    def posterior_of(self, values: Sequence[Tensor]) -> StickPosterior:
        """Computes q(v) from these numbers; differentiable."""
        return StickPosterior(positive(values[0], SHAPE_RANGE))

    def random_start(self, generator: np.random.Generator) -> StickPosterior:
        """Returns the start of an untouched model: the prior itself."""
        del generator
        return self.update(np.zeros(self.num_components))

    def expected_counts(self, posterior: StickPosterior) -> np.ndarray:
        """Computes the number of rows expected in each component, (K,) float64: breaks beyond those of the prior."""
        sticks = np.asarray(posterior.sticks)
        if not len(sticks):
            return np.full(1, np.inf)  # one component has all rows, however many
        return np.append(sticks[:, 0] - 1.0, sticks[-1, 1] - self.concentration)

    def public(self, posterior: StickPosterior) -> dict[str, Tensor]:
        """Returns sticks (K - 1, 2) float64, as the model shows them."""
        return {"sticks": posterior.sticks}

    def log_mean(self, posterior: StickPosterior) -> Tensor:
        """Computes log E[theta], (..., K) float64: the breaks are independent, so their means multiply."""
        total = tf.reduce_sum(posterior.sticks, axis=-1, keepdims=True)
        return _log_weights(tf.math.log(posterior.sticks) - tf.math.log(total))

    def expected_log(self, posterior: StickPosterior) -> Tensor:
        """Computes E[log theta_k] = E[log v_k] + sum_{j<k} E[log(1 - v_j)], (..., K) float64."""
        total = tf.reduce_sum(posterior.sticks, axis=-1, keepdims=True)
        return _log_weights(tf.math.digamma(posterior.sticks) - tf.math.digamma(total))

    def best_order(self, counts: Tensor) -> Tensor | None:
        """Finds the order of the components, (..., K) int, that the prior favours: largest first, or as they stand.

        The prior is not the same for every k. Given the counts, the bound with the best q(v) differs between two orders
        by their log evidence alone, so a new order that is not better is never taken, and the bound never falls.
        For gamma above 1, where the largest does not belong first, it is None: they stay as they stand.
        """
        if self.concentration > 1.0:
            return None
        sorted_order = tf.argsort(counts, direction="DESCENDING", stable=True)
        sorted_counts = tf.gather(counts, sorted_order, axis=-1, batch_dims=len(counts.shape) - 1)
        gain = self._log_evidence(sorted_counts) - self._log_evidence(counts)
        return tf.where(gain[..., None] > 0.0, sorted_order, tf.range(self.num_components))

    def _log_evidence(self, counts: Tensor) -> Tensor:
        taken, left = tf.unstack(self.update(counts).sticks, axis=-1)
        return tf.reduce_sum(tf.math.lgamma(taken) + tf.math.lgamma(left) - tf.math.lgamma(taken + left), axis=-1)

    def update(self, counts: Tensor) -> StickPosterior:
        """Computes the q that maximises the augmented bound: Beta(1 + N_k, gamma + sum_{j>k} N_j)."""
        counts = tf.cast(counts, tf.float64)
        after = tf.cumsum(counts, axis=-1, exclusive=True, reverse=True)
        return StickPosterior(tf.stack([1.0 + counts[..., :-1], self.concentration + after[..., :-1]], axis=-1))

    def gamma_shapes(self, posterior: StickPosterior) -> Tensor:
        """Returns the shapes of the Gamma variables that `log_draws` needs, (K - 1, 2) float64."""
        return posterior.sticks

    def log_draws(self, log_gammas: Tensor) -> Tensor:
        """Computes log theta draws, (..., K), from log Gamma draws with these shapes: two of them make a Beta."""
        return _log_weights(log_gammas - tf.reduce_logsumexp(log_gammas, axis=-1, keepdims=True))

    def kl(self, posterior: StickPosterior) -> Tensor:
        """Computes the sum of KL(Beta(taken, left) || Beta(1, gamma)) in nats, (...) float64."""
        prior = tf.constant([1.0, self.concentration], tf.float64)
        total, prior_total = tf.reduce_sum(posterior.sticks, axis=-1), tf.reduce_sum(prior)
        log_normalisers = tf.math.lgamma(total) - tf.math.lgamma(prior_total)
        log_normalisers += tf.reduce_sum(tf.math.lgamma(prior) - tf.math.lgamma(posterior.sticks), axis=-1)
        expected_logs = tf.math.digamma(posterior.sticks) - tf.math.digamma(total)[..., None]
        products = tf.reduce_sum((posterior.sticks - prior) * expected_logs, axis=[-2, -1])
        return tf.reduce_sum(log_normalisers, axis=-1) + products

    def log_ratios(self, posterior: StickPosterior, log_weights: Tensor) -> Tensor:
        """Computes log q - log prior, (S,) float64, nats, of drawn weights whose logarithms are (S, K)."""
        # What is left of the stick before each piece: log of the sum of this weight and all after it
        left = tf.math.cumulative_logsumexp(log_weights, axis=-1, reverse=True)
        breaks = tf.stack([log_weights[:, :-1] - left[:, :-1], left[:, 1:] - left[:, :-1]], axis=-1)
        prior = tf.constant([1.0, self.concentration], tf.float64)
        varying = tf.reduce_sum((posterior.sticks - prior) * breaks, axis=[-2, -1])
        normalisers = [
            tf.math.lgamma(tf.reduce_sum(shapes, axis=-1)) - tf.reduce_sum(tf.math.lgamma(shapes), axis=-1)
            for shapes in (posterior.sticks, prior)
        ]
        return varying + tf.reduce_sum(normalisers[0] - normalisers[1])


def _log_weights(log_parts: Tensor) -> Tensor:
    """Computes log theta, (..., K), from (..., K - 1, 2) logarithms of the parts taken and left at each break."""
    nothing = tf.zeros_like(tf.reduce_sum(log_parts[..., 0], axis=-1, keepdims=True))  # also where K is 1
    taken = tf.concat([log_parts[..., 0], nothing], axis=-1)
    before = tf.concat([nothing, tf.cumsum(log_parts[..., 1], axis=-1)], axis=-1)
    return taken + before


Weights = DirichletWeights | StickBreakingWeights

WEIGHTS: dict[str, type[Weights]] = {kind.name: kind for kind in (DirichletWeights, StickBreakingWeights)}
