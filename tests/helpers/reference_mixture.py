"""Coordinate ascent on the augmented bound in plain float64: slow, explicit, and made without tfgmm.

Written from the design's mathematics alone, to compare the package with. Letters: N rows, K components, D features.
Every shape is seen as a full one: component k has an expected precision matrix E[Lambda_k], an E[log det Lambda_k] and
a covariance of its location, so there is one rho, one bound and one plug-in density for all six.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from reference_formulas import (
    LOG_TWO_PI,
    Array,
    expected_log_det_wishart,
    kl_dirichlet,
    kl_gamma,
    kl_normal,
    kl_wishart,
)
from scipy.special import digamma, logsumexp, softmax
from scipy.stats import multivariate_normal

COVARIANCES = ("spherical", "diag", "tied_spherical", "tied_diag", "full", "tied")
WEIGHTS = ("dirichlet", "stick_breaking")


@dataclasses.dataclass
class Priors:
    """The priors in data units; a shape reads only its own fields, the rest may stay None."""

    loc_mean: Array  # (D,)
    # spherical, diag, tied_spherical, tied_diag
    loc_scale: Array | None = None  # (D,), standard deviations
    precision_shape: Array | None = None  # (1,), or (D,) for diag and tied_diag
    precision_rate: Array | None = None  # the same
    # full, tied
    loc_covariance: Array | None = None  # (D, D)
    degrees: float | None = None  # above D - 1
    inverse_scale: Array | None = None  # (D, D), W0^-1
    # weights
    weight_concentration: float = 1.0  # c0
    gamma: float = 1.0  # stick-breaking
    # spherical and tied_spherical are round in these units, (D,): column d has precision tau_k / unit_d^2
    unit: Array | float = 1.0


class Mixture:
    """One variational posterior; its state is plain float64 arrays that a test may set, and starts at the prior.

    locs (K, D); scales (K, D), or loc_covariances (K, D, D) for full and tied.
    alpha, beta (K or 1, D or 1), or degrees (K or 1,) and inverse_scales (K or 1, D, D), the W^-1.
    counts (K,), or sticks (K - 1, 2), the two parameters of each Beta.
    """

    def __init__(self, covariance: str, weights: str, priors: Priors, K: int) -> None:
        if covariance not in COVARIANCES or weights not in WEIGHTS:
            raise ValueError(f"Received: {covariance!r}, {weights!r}. Choose from {COVARIANCES} and {WEIGHTS}.")
        self.covariance, self.weights, self.priors, self.K = covariance, weights, priors, K
        self.D = len(priors.loc_mean)
        self.tied = covariance.startswith("tied")
        self.is_spherical = covariance.endswith("spherical")
        self.is_matrix = covariance in ("full", "tied")
        self.locs = np.tile(np.asarray(priors.loc_mean, np.float64), (K, 1))
        num_precisions = 1 if self.tied else K
        if self.is_matrix:
            self.loc_covariances = np.tile(np.asarray(priors.loc_covariance, np.float64), (K, 1, 1))
            self.degrees = np.full(num_precisions, float(priors.degrees))
            self.inverse_scales = np.tile(np.asarray(priors.inverse_scale, np.float64), (num_precisions, 1, 1))
        else:
            self.scales = np.tile(np.asarray(priors.loc_scale, np.float64), (K, 1))
            shape = (num_precisions, 1 if self.is_spherical else self.D)
            self.alpha = np.broadcast_to(np.asarray(priors.precision_shape, np.float64), shape).copy()
            self.beta = np.broadcast_to(np.asarray(priors.precision_rate, np.float64), shape).copy()
        if weights == "dirichlet":
            self.counts = np.full(K, float(priors.weight_concentration))
        else:
            self.sticks = np.tile(np.array([1.0, priors.gamma]), (K - 1, 1))

    def state_names(self) -> list[str]:
        """Returns the names of the arrays that make up the state."""
        precisions = ["loc_covariances", "degrees", "inverse_scales"] if self.is_matrix else ["scales", "alpha", "beta"]
        return ["locs", *precisions, "counts" if self.weights == "dirichlet" else "sticks"]

    # Expectations under q

    def loc_covariance(self, k: int) -> Array:
        """Returns the covariance (D, D) of component k's location."""
        return self.loc_covariances[k] if self.is_matrix else np.diag(self.scales[k] ** 2)

    def expected_precision(self, k: int) -> Array:
        """Returns E[Lambda_k] (D, D), in data units."""
        j = 0 if self.tied else k
        if self.is_matrix:
            return self.degrees[j] * np.linalg.inv(self.inverse_scales[j])
        unit = self.priors.unit if self.is_spherical else 1.0
        return np.diag(np.broadcast_to(self.alpha[j] / self.beta[j] / np.square(unit), (self.D,)))

    def expected_log_determinant(self, k: int) -> float:
        """Returns E[log det Lambda_k], in data units."""
        j = 0 if self.tied else k
        if self.is_matrix:
            return expected_log_det_wishart(self.degrees[j], self.inverse_scales[j])
        unit = self.priors.unit if self.is_spherical else 1.0
        per_column = digamma(self.alpha[j]) - np.log(self.beta[j]) - 2 * np.log(unit)
        return float(np.sum(np.broadcast_to(per_column, (self.D,))))

    def expected_log_weights(self) -> Array:
        """Returns E[log theta] (K,)."""
        if self.weights == "dirichlet":
            return digamma(self.counts) - digamma(np.sum(self.counts))
        log_weights, log_rest = np.zeros(self.K), 0.0
        for k, (first, second) in enumerate(self.sticks):
            log_weights[k] = log_rest + digamma(first) - digamma(first + second)
            log_rest += digamma(second) - digamma(first + second)
        log_weights[-1] = log_rest
        return log_weights

    def mean_weights(self) -> Array:
        """Returns E[theta] (K,)."""
        if self.weights == "dirichlet":
            return self.counts / np.sum(self.counts)
        means, rest = np.zeros(self.K), 1.0
        for k, (first, second) in enumerate(self.sticks):
            means[k] = rest * first / (first + second)
            rest *= second / (first + second)
        means[-1] = rest
        return means

    # Rows

    def rho(self, rows: Array) -> Array:
        """Returns E[log theta_k + log Normal(x_i | mu_k, Lambda_k^-1)] (N, K)."""
        log_weights = self.expected_log_weights()
        values = np.empty((len(rows), self.K))
        for k in range(self.K):
            precision = self.expected_precision(k)
            difference = rows - self.locs[k]
            distance = np.sum((difference @ precision) * difference, axis=1)
            spread = np.trace(precision @ self.loc_covariance(k))
            log_density = 0.5 * (self.expected_log_determinant(k) - self.D * LOG_TWO_PI - distance - spread)
            values[:, k] = log_weights[k] + log_density
        return values

    def responsibilities(self, rows: Array) -> Array:
        """Returns q(z_i = k) (N, K), the softmax of rho."""
        return softmax(self.rho(rows), axis=1)

    def plug_in_log_likelihood(self, rows: Array) -> float:
        """Returns the log likelihood of all rows at the posterior means of weights, locations and precisions."""
        log_joint = [
            np.log(weight) + multivariate_normal(self.locs[k], np.linalg.inv(self.expected_precision(k))).logpdf(rows)
            for k, weight in enumerate(self.mean_weights())
        ]
        return float(np.sum(logsumexp(np.reshape(log_joint, (self.K, len(rows))), axis=0)))

    # The bound

    def kl_locs(self) -> float:
        """Returns KL(q(mu) || p(mu)), summed over components."""
        priors = self.priors
        prior = priors.loc_covariance if self.is_matrix else np.diag(np.square(priors.loc_scale))
        return sum(kl_normal(self.locs[k], self.loc_covariance(k), priors.loc_mean, prior) for k in range(self.K))

    def kl_precisions(self) -> float:
        """Returns KL(q || p) of the precisions; a tied one counts once."""
        priors = self.priors
        if self.is_matrix:
            pairs = zip(self.degrees, self.inverse_scales, strict=True)
            return sum(kl_wishart(nu, matrix, priors.degrees, priors.inverse_scale) for nu, matrix in pairs)
        prior_shape = np.broadcast_to(priors.precision_shape, self.alpha.shape)
        prior_rate = np.broadcast_to(priors.precision_rate, self.alpha.shape)
        return sum(
            kl_gamma(self.alpha[at], self.beta[at], prior_shape[at], prior_rate[at])
            for at in np.ndindex(*self.alpha.shape)
        )

    def kl_weights(self) -> float:
        """Returns KL(q(theta) || p(theta)), or the sum of the sticks' KLs."""
        if self.weights == "dirichlet":
            return kl_dirichlet(self.counts, np.full(self.K, float(self.priors.weight_concentration)))
        return sum((kl_dirichlet(stick, np.array([1.0, self.priors.gamma])) for stick in self.sticks), 0.0)

    def elbo(self, rows: Array) -> float:
        """Returns L_A of the current state, all constants kept, in nats."""
        fit = float(np.sum(logsumexp(self.rho(rows), axis=1)))
        return fit - self.kl_locs() - self.kl_precisions() - self.kl_weights()

    # Coordinate ascent

    def update_weights(self, responsibilities: Array) -> None:
        """Sets q(theta) to its optimum for these responsibilities."""
        N_k = np.sum(responsibilities, axis=0)
        if self.weights == "dirichlet":
            self.counts = self.priors.weight_concentration + N_k
        else:
            for k in range(self.K - 1):
                self.sticks[k] = 1 + N_k[k], self.priors.gamma + np.sum(N_k[k + 1 :])

    def update_locs(self, rows: Array, responsibilities: Array) -> None:
        """Sets q(mu) to its optimum for these responsibilities and the current precisions."""
        priors = self.priors
        for k in range(self.K):
            precision = self.expected_precision(k)
            size, total = np.sum(responsibilities[:, k]), responsibilities[:, k] @ rows
            if self.is_matrix:
                prior_precision = np.linalg.inv(priors.loc_covariance)
                self.loc_covariances[k] = np.linalg.inv(prior_precision + size * precision)
                self.locs[k] = self.loc_covariances[k] @ (prior_precision @ priors.loc_mean + precision @ total)
            else:
                expected = np.diagonal(precision)
                variance = 1 / (1 / np.square(priors.loc_scale) + expected * size)
                self.locs[k] = variance * (priors.loc_mean / np.square(priors.loc_scale) + expected * total)
                self.scales[k] = np.sqrt(variance)

    def update_precisions(self, rows: Array, responsibilities: Array) -> None:
        """Sets q(tau) or q(Lambda) to its optimum for these responsibilities and the current locations."""
        priors = self.priors
        sizes = np.sum(responsibilities, axis=0)
        scatters = np.empty((self.K, self.D, self.D))  # E sum_i r_ik (x_i - mu_k) (x_i - mu_k)'
        for k in range(self.K):
            difference = rows - self.locs[k]
            scatters[k] = (responsibilities[:, k, None] * difference).T @ difference + sizes[k] * self.loc_covariance(k)
        if self.tied:
            sizes, scatters = np.sum(sizes, keepdims=True), np.sum(scatters, axis=0, keepdims=True)
        for j in range(len(sizes)):
            if self.is_matrix:
                self.degrees[j] = priors.degrees + sizes[j]
                self.inverse_scales[j] = priors.inverse_scale + scatters[j]
            elif self.is_spherical:
                self.alpha[j] = priors.precision_shape + self.D * sizes[j] / 2
                self.beta[j] = priors.precision_rate + np.sum(np.diagonal(scatters[j]) / np.square(priors.unit)) / 2
            else:
                self.alpha[j] = priors.precision_shape + sizes[j] / 2
                self.beta[j] = priors.precision_rate + np.diagonal(scatters[j]) / 2

    def global_step(self, rows: Array, responsibilities: Array) -> None:
        """Updates weights, locations and precisions, each in turn, for these responsibilities."""
        self.update_weights(responsibilities)
        self.update_locs(rows, responsibilities)
        self.update_precisions(rows, responsibilities)

    def sweep(self, rows: Array) -> None:
        """Makes one local step and one global step."""
        self.global_step(rows, self.responsibilities(rows))

    def fit(self, rows: Array, max_sweeps: int = 10_000, tolerance: float = 1e-11) -> int:
        """Returns the sweeps made, until no number of the state moves by more than `tolerance` (1 + its size).

        The state is watched, not the bound: near the end the bound moves by the square of what the state moves.
        Components are not re-ordered between sweeps.
        """
        for sweep in range(1, max_sweeps + 1):
            before = {name: getattr(self, name).copy() for name in self.state_names()}
            self.sweep(rows)
            moves = [np.abs(getattr(self, name) - old) / (1 + np.abs(old)) for name, old in before.items()]
            if max(np.max(move, initial=0.0) for move in moves) <= tolerance:
                return sweep
        return max_sweeps


def column_scales(rows: Array) -> Array:
    """Returns min(sd, 3 IQR / 1.349) of each column (D,): sd when the IQR is 0, 1 when the column is constant."""
    scales = np.ones(rows.shape[1])
    for d, column in enumerate(rows.T):
        sd = np.std(column)
        upper, lower = np.percentile(column, [75, 25])
        if sd > 1e-13 * np.max(np.abs(column)):
            scales[d] = min(sd, 3 * (upper - lower) / 1.349) if upper > lower else sd
    return scales


def floored_correlations(rows: Array) -> Array:
    """Returns the correlation matrix (D, D), its eigenvalues at least max(1e-10, 0.1 min(1, D / N))."""
    num_rows, dim = rows.shape
    standard = rows - np.mean(rows, axis=0)
    deviations = np.std(rows, axis=0)
    constant = deviations <= 1e-13 * np.max(np.abs(rows), axis=0)
    standard = np.where(constant, 0.0, standard / np.where(constant, 1.0, deviations))
    correlations = standard.T @ standard / num_rows
    np.fill_diagonal(correlations, 1.0)
    values, vectors = np.linalg.eigh(correlations)
    return (vectors * np.maximum(values, max(1e-10, 0.1 * min(1, dim / num_rows)))) @ vectors.T
