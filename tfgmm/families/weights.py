"""Posteriors of the mixture weights: one small class per prior, and a table from name to class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import digamma, gammaln

from tfgmm.common.shapes import Tensor
from tfgmm.families.base import Family
from tfgmm.families.functions import NUMPY, SHAPE_RANGE, Functions
from tfgmm.mixture.priors import Priors


class DirichletPosterior(NamedTuple):
    """q(theta) = Dirichlet(counts); `counts` is (K,) float64, positive."""

    counts: Tensor


class DirichletWeights(Family):
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

    def values_of(self, posterior: DirichletPosterior) -> tuple[np.ndarray, ...]:
        """Computes the logarithms of counts."""
        return (np.log(posterior.counts),)

    def posterior_of(self, values: Sequence[Tensor], functions: Functions = NUMPY) -> DirichletPosterior:
        """Computes q(theta) from these numbers."""
        return DirichletPosterior(functions.positive(values[0], SHAPE_RANGE))

    def random_start(self, generator: np.random.Generator) -> DirichletPosterior:
        """Copies the prior, the start of an untouched model."""
        del generator  # same call as the components' random_start; the weights start without noise
        return DirichletPosterior(np.array(self.prior_counts))

    def expected_counts(self, posterior: DirichletPosterior) -> np.ndarray:
        """Computes the number of rows expected in each component, (K,) float64: counts beyond those of the prior."""
        return np.asarray(posterior.counts) - self.prior_counts

    def public(self, posterior: DirichletPosterior) -> dict[str, np.ndarray]:
        """Lists counts (K,) float64, as the model shows them."""
        return {"counts": posterior.counts}

    def log_mean(self, posterior: DirichletPosterior, functions: Functions = NUMPY) -> Tensor:
        """Computes log E[theta], (..., K) float64."""
        total = functions.sum(posterior.counts, -1, keepdims=True)
        return functions.log(posterior.counts) - functions.log(total)

    def expected_log(self, posterior: DirichletPosterior) -> np.ndarray:
        """Computes E[log theta] = digamma(counts) - digamma(sum of counts), (..., K) float64."""
        return digamma(posterior.counts) - digamma(posterior.counts.sum(axis=-1, keepdims=True))

    def best_order(self, counts: np.ndarray) -> None:
        """Finds nothing to reorder: the order of the components changes nothing under a Dirichlet prior."""
        del counts

    def update(self, counts: np.ndarray) -> DirichletPosterior:
        """Computes the q that maximises the augmented bound: the prior plus the expected counts (K,) of the rows."""
        return DirichletPosterior(self.prior_counts + counts)

    def gamma_shapes(self, posterior: DirichletPosterior) -> Tensor:
        """Hands on the shapes of the Gamma variables that `log_draws` needs, (K,) float64."""
        return posterior.counts

    def log_draws(self, log_gammas: Tensor, functions: Functions = NUMPY) -> Tensor:
        """Computes log theta draws, (..., K), from log Gamma draws with these shapes; never -inf, however small counts.

        Gammas divided by their sum are Dirichlet; in log space no weight can underflow to an exact zero.
        """
        return log_gammas - functions.logsumexp(log_gammas, -1, keepdims=True)

    def kl(self, posterior: DirichletPosterior) -> np.ndarray:
        """Computes KL(q(theta) || prior) in nats, (...) float64."""
        counts, prior = posterior.counts, self.prior_counts
        log_normalisers = gammaln(counts.sum(axis=-1)) - gammaln(prior.sum())
        log_normalisers += (gammaln(prior) - gammaln(counts)).sum(axis=-1)
        return log_normalisers + ((counts - prior) * self.expected_log(posterior)).sum(axis=-1)

    def log_ratios(self, posterior: DirichletPosterior, log_weights: np.ndarray) -> np.ndarray:
        """Computes log q - log prior, (S,) float64, nats, of drawn weights whose logarithms are (S, K)."""
        counts, prior = posterior.counts, self.prior_counts
        constants = [gammaln(c.sum()) - gammaln(c).sum() for c in (counts, prior)]
        return ((counts - prior) * log_weights).sum(axis=-1) + constants[0] - constants[1]

    def log_prior(self, log_weights: np.ndarray) -> np.ndarray:
        """Computes the log prior density of weights whose logarithms are (S, K), (S,) nats."""
        prior = self.prior_counts
        return ((prior - 1.0) * log_weights).sum(axis=-1) + gammaln(prior.sum()) - gammaln(prior).sum()

    def log_prior_gradient(self, log_weights: np.ndarray) -> np.ndarray:
        """Computes the gradient of log (prior density x product of weights), (S, K), in logarithms of ratios.

        The product is the Jacobian of weights in these coordinates: theta_k = exp(eta_k) / sum_j exp(eta_j).
        """
        return self.prior_counts - self.prior_counts.sum() * np.exp(log_weights)


class StickPosterior(NamedTuple):
    """q(v_k) = Beta(taken_k, left_k) of the K - 1 breaks of a stick; `sticks` is (K - 1, 2) float64, positive."""

    sticks: Tensor


class StickBreakingWeights(Family):
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

    def values_of(self, posterior: StickPosterior) -> tuple[np.ndarray, ...]:
        """Computes the logarithms of both shapes of every break."""
        return (np.log(posterior.sticks),)

    def posterior_of(self, values: Sequence[Tensor], functions: Functions = NUMPY) -> StickPosterior:
        """Computes q(v) from these numbers."""
        return StickPosterior(functions.positive(values[0], SHAPE_RANGE))

    def random_start(self, generator: np.random.Generator) -> StickPosterior:
        """Copies the prior, the start of an untouched model."""
        del generator
        return self.update(np.zeros(self.num_components))

    def expected_counts(self, posterior: StickPosterior) -> np.ndarray:
        """Computes the number of rows expected in each component, (K,) float64: breaks beyond those of the prior."""
        sticks = np.asarray(posterior.sticks)
        if not len(sticks):
            return np.full(1, np.inf)  # one component has all rows, however many
        return np.append(sticks[:, 0] - 1.0, sticks[-1, 1] - self.concentration)

    def public(self, posterior: StickPosterior) -> dict[str, np.ndarray]:
        """Lists sticks (K - 1, 2) float64, as the model shows them."""
        return {"sticks": posterior.sticks}

    def log_mean(self, posterior: StickPosterior, functions: Functions = NUMPY) -> Tensor:
        """Computes log E[theta], (..., K) float64: the breaks are independent, so their means multiply."""
        total = functions.sum(posterior.sticks, -1, keepdims=True)
        return _log_weights(functions.log(posterior.sticks) - functions.log(total))

    def expected_log(self, posterior: StickPosterior) -> np.ndarray:
        """Computes E[log theta_k] = E[log v_k] + sum_{j<k} E[log(1 - v_j)], (..., K) float64."""
        return _log_weights(digamma(posterior.sticks) - digamma(posterior.sticks.sum(axis=-1, keepdims=True)))

    def best_order(self, counts: np.ndarray) -> np.ndarray | None:
        """Finds the order of the components, (..., K) int, that the prior favours: largest first, or as they stand.

        The prior is not the same for every k. Given the counts, the bound with the best q(v) differs between two orders
        by their log evidence alone, so a new order that is not better is never taken, and the bound never falls.
        For gamma above 1, where the largest does not belong first, it is None: they stay as they stand.
        """
        if self.concentration > 1.0:
            return None
        sorted_order = np.argsort(-counts, axis=-1, kind="stable")
        gain = self._log_evidence(np.take_along_axis(counts, sorted_order, axis=-1)) - self._log_evidence(counts)
        return np.where(gain[..., None] > 0.0, sorted_order, np.arange(self.num_components))

    def _log_evidence(self, counts: np.ndarray) -> np.ndarray:
        taken, left = np.moveaxis(self.update(counts).sticks, -1, 0)
        return (gammaln(taken) + gammaln(left) - gammaln(taken + left)).sum(axis=-1)

    def update(self, counts: np.ndarray) -> StickPosterior:
        """Computes the q that maximises the augmented bound: Beta(1 + N_k, gamma + sum_{j>k} N_j)."""
        following = np.cumsum(counts[..., :0:-1], axis=-1)[..., ::-1]
        return StickPosterior(np.stack([1.0 + counts[..., :-1], self.concentration + following], axis=-1))

    def gamma_shapes(self, posterior: StickPosterior) -> Tensor:
        """Hands on the shapes of the Gamma variables that `log_draws` needs, (K - 1, 2) float64."""
        return posterior.sticks

    def log_draws(self, log_gammas: Tensor, functions: Functions = NUMPY) -> Tensor:
        """Computes log theta draws, (..., K), from log Gamma draws with these shapes: two of them make a Beta."""
        return _log_weights(log_gammas - functions.logsumexp(log_gammas, -1, keepdims=True))

    def kl(self, posterior: StickPosterior) -> np.ndarray:
        """Computes the sum of KL(Beta(taken, left) || Beta(1, gamma)) in nats, (...) float64."""
        sticks, prior = posterior.sticks, np.array([1.0, self.concentration])
        total = sticks.sum(axis=-1)
        log_normalisers = gammaln(total) - gammaln(prior.sum()) + (gammaln(prior) - gammaln(sticks)).sum(axis=-1)
        expected_logs = digamma(sticks) - digamma(total)[..., None]
        return log_normalisers.sum(axis=-1) + ((sticks - prior) * expected_logs).sum(axis=(-2, -1))

    def log_ratios(self, posterior: StickPosterior, log_weights: np.ndarray) -> np.ndarray:
        """Computes log q - log prior, (S,) float64, nats, of drawn weights whose logarithms are (S, K)."""
        left = _log_left(log_weights)
        breaks = np.stack([log_weights[:, :-1] - left[:, :-1], left[:, 1:] - left[:, :-1]], axis=-1)
        prior = np.array([1.0, self.concentration])
        varying = ((posterior.sticks - prior) * breaks).sum(axis=(-2, -1))
        normalisers = [
            gammaln(shapes.sum(axis=-1)) - gammaln(shapes).sum(axis=-1) for shapes in (posterior.sticks, prior)
        ]
        return varying + (normalisers[0] - normalisers[1]).sum()

    def log_prior(self, log_weights: np.ndarray) -> np.ndarray:
        """Computes the log prior density of weights whose logarithms are (S, K), (S,) nats.

        |d theta / d v| is the product over the breaks of what was left of the stick before each.
        """
        left, gamma = _log_left(log_weights), self.concentration
        breaks = (self.num_components - 1) * np.log(gamma) + (gamma - 1.0) * log_weights[..., -1]
        return breaks - left[..., :-1].sum(axis=-1)

    def log_prior_gradient(self, log_weights: np.ndarray) -> np.ndarray:
        """Computes the gradient of log (prior density x product of weights); see `DirichletWeights`."""
        weights, num_components = np.exp(log_weights), self.num_components
        powers = np.append(np.ones(num_components - 1), self.concentration)
        # d log(left before k) / d eta_j is theta_j / left for j >= k, minus theta_j
        reciprocals = np.exp(-_log_left(log_weights)[..., :-1])
        reached = np.cumsum(reciprocals, axis=-1)
        shares = np.concatenate([reached, reached[..., -1:]], axis=-1) if num_components > 1 else np.ones_like(weights)
        return powers - powers.sum() * weights - weights * (shares - max(num_components - 1, 1))


def _log_left(log_weights: np.ndarray) -> np.ndarray:
    """Computes the logarithm of what is left of the stick before each piece, (..., K): of all weights from it on."""
    return np.logaddexp.accumulate(log_weights[..., ::-1], axis=-1)[..., ::-1]


def _log_weights(log_parts: Tensor) -> Tensor:
    """Computes log theta, (..., K), from (..., K - 1, 2) logarithms of the parts taken and left at each break."""
    num_breaks, dtype = log_parts.shape[-2], getattr(log_parts.dtype, "as_numpy_dtype", log_parts.dtype)
    of_its_own = np.eye(num_breaks, num_breaks + 1, dtype=dtype)  # what a break takes is its component's
    of_later = np.tri(num_breaks + 1, num_breaks, k=-1, dtype=dtype).T  # what it leaves is for those after it
    # As products, which make no array of (..., K - 1, K)
    return (log_parts[..., None, :, 0] @ of_its_own + log_parts[..., None, :, 1] @ of_later)[..., 0, :]


Weights = DirichletWeights | StickBreakingWeights

WEIGHTS: dict[str, type[Weights]] = {kind.name: kind for kind in (DirichletWeights, StickBreakingWeights)}
