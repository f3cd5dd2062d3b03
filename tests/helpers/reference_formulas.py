"""Expectations, KL divergences and log evidences in plain float64, written from their definitions, without tfgmm.

A KL is E_q[log q] - E_q[log p]: each family has one function, the expectation of a log density, and it is used twice.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import integrate
from scipy.special import betaln, digamma, gammaln, multigammaln

Array = NDArray[np.float64]
LOG_TWO_PI = math.log(2 * math.pi)


def log_det(matrix: Array) -> float:
    """Returns log det of one positive definite matrix."""
    sign, value = np.linalg.slogdet(matrix)
    if sign <= 0:
        raise ValueError(f"`matrix` must have a positive determinant. Received: {matrix.tolist()}.")
    return float(value)


# Normal


def expected_normal_log_density(loc: Array, covariance: Array, mean: Array, variance: Array) -> float:
    """Returns E[log Normal(mu | loc, covariance)] where mu has this mean (D,) and this covariance `variance` (D, D)."""
    second_moment = variance + np.outer(mean - loc, mean - loc)
    quadratic = np.trace(np.linalg.solve(covariance, second_moment))
    return float(-0.5 * (len(loc) * LOG_TWO_PI + log_det(covariance) + quadratic))


def kl_normal(loc: Array, covariance: Array, prior_loc: Array, prior_covariance: Array) -> float:
    """Returns KL(Normal(loc, covariance) || Normal(prior_loc, prior_covariance)) in D dimensions."""
    of_q = expected_normal_log_density(loc, covariance, loc, covariance)
    return of_q - expected_normal_log_density(prior_loc, prior_covariance, loc, covariance)


# Gamma, with shape and rate


def expected_log_gamma(shape: float, rate: float) -> float:
    """Returns E[log tau] under Gamma(shape, rate)."""
    return float(digamma(shape) - math.log(rate))


def expected_gamma_log_density(shape: float, rate: float, mean: float, mean_log: float) -> float:
    """Returns E[log Gamma(tau | shape, rate)] where tau has this mean, and log tau has the mean `mean_log`."""
    return float(shape * math.log(rate) - gammaln(shape) + (shape - 1) * mean_log - rate * mean)


def kl_gamma(shape: float, rate: float, prior_shape: float, prior_rate: float) -> float:
    """Returns KL(Gamma(shape, rate) || Gamma(prior_shape, prior_rate))."""
    moments = (shape / rate, expected_log_gamma(shape, rate))
    return expected_gamma_log_density(shape, rate, *moments) - expected_gamma_log_density(
        prior_shape, prior_rate, *moments
    )


# Wishart, with degrees of freedom nu and inverse scale W^-1


def expected_log_det_wishart(degrees: float, inverse_scale: Array) -> float:
    """Returns E[log det Lambda] under Wishart(degrees, W)."""
    dim = len(inverse_scale)
    sum_of_digammas = sum(digamma((degrees + 1 - i) / 2) for i in range(1, dim + 1))
    return float(sum_of_digammas + dim * math.log(2) - log_det(inverse_scale))


def expected_wishart_log_density(degrees: float, inverse_scale: Array, mean: Array, mean_log_det: float) -> float:
    """Returns E[log Wishart(Lambda | degrees, W)] where Lambda has this mean, and log det Lambda `mean_log_det`."""
    dim = len(inverse_scale)
    log_normalizer = degrees * dim / 2 * math.log(2) - degrees / 2 * log_det(inverse_scale)
    log_normalizer += multigammaln(degrees / 2, dim)
    return float((degrees - dim - 1) / 2 * mean_log_det - np.trace(inverse_scale @ mean) / 2 - log_normalizer)


def kl_wishart(degrees: float, inverse_scale: Array, prior_degrees: float, prior_inverse_scale: Array) -> float:
    """Returns KL(Wishart(degrees, W) || Wishart(prior_degrees, W0))."""
    moments = (degrees * np.linalg.inv(inverse_scale), expected_log_det_wishart(degrees, inverse_scale))
    of_q = expected_wishart_log_density(degrees, inverse_scale, *moments)
    return of_q - expected_wishart_log_density(prior_degrees, prior_inverse_scale, *moments)


# Dirichlet; a Beta is a Dirichlet of two


def expected_dirichlet_log_density(counts: Array, mean_logs: Array) -> float:
    """Returns E[log Dirichlet(theta | counts)] where log theta has the means `mean_logs` (K,)."""
    return float(gammaln(np.sum(counts)) - np.sum(gammaln(counts)) + np.sum((counts - 1) * mean_logs))


def kl_dirichlet(counts: Array, prior_counts: Array) -> float:
    """Returns KL(Dirichlet(counts) || Dirichlet(prior_counts)); of two Betas when both are pairs."""
    mean_logs = digamma(counts) - digamma(np.sum(counts))
    return expected_dirichlet_log_density(counts, mean_logs) - expected_dirichlet_log_density(prior_counts, mean_logs)


# The evidence of a few rows in one column: a sum over all assignments, with one quadrature for each


def log_probability_of_assignment(sizes: Sequence[int], weights: str, concentration: float) -> float:
    """Returns log p(z) of one assignment whose components hold `sizes` rows; the weights are integrated out."""
    num_components = len(sizes)
    if weights == "dirichlet":
        total = gammaln(num_components * concentration) - gammaln(num_components * concentration + sum(sizes))
        return float(total + sum(gammaln(concentration + size) - gammaln(concentration) for size in sizes))
    later = [sum(sizes[k + 1 :]) for k in range(num_components)]
    return float(
        sum(
            betaln(1 + sizes[k], concentration + later[k]) - betaln(1, concentration) for k in range(num_components - 1)
        )
    )


def _evidence_of_group(group: Array, loc: float, scale: float, shape: float, rate: float) -> float:
    """Returns p(rows of one component) with its own precision, integrated in closed form; mu by quadrature."""

    def integrand(mu: float) -> float:
        new_shape, new_rate = shape + len(group) / 2, rate + float(np.sum((group - mu) ** 2)) / 2
        log_value = shape * math.log(rate) - gammaln(shape) + gammaln(new_shape) - new_shape * math.log(new_rate)
        log_value += -0.5 * len(group) * LOG_TWO_PI
        log_value += -0.5 * LOG_TWO_PI - math.log(scale) - 0.5 * ((mu - loc) / scale) ** 2
        return math.exp(log_value)

    return integrate.quad(integrand, loc - 12 * scale, loc + 12 * scale, epsabs=0, epsrel=1e-11, limit=500)[0]


def _evidence_of_tied_groups(groups: Sequence[Array], loc: float, scale: float, shape: float, rate: float) -> float:
    """Returns p(rows of all components) with one precision, by quadrature; each mu integrated in closed form."""

    def integrand(tau: float) -> float:
        log_value = shape * math.log(rate) - gammaln(shape) + (shape - 1) * math.log(tau) - rate * tau
        for group in groups:
            covariance = np.eye(len(group)) / tau + scale**2
            difference = group - loc
            log_value -= 0.5 * (len(group) * LOG_TWO_PI + log_det(covariance)) if len(group) else 0.0
            log_value -= 0.5 * difference @ np.linalg.solve(covariance, difference)
        return math.exp(log_value)

    return integrate.quad(integrand, 0, np.inf, epsabs=0, epsrel=1e-11, limit=500)[0]


def log_evidence_by_quadrature(
    column: Array,
    num_components: int,
    *,
    loc: float,
    scale: float,
    shape: float,
    rate: float,
    weights: str,
    concentration: float,
    tied: bool,
) -> float:
    """Returns log p(rows) of a one-column mixture; `concentration` is c0 or, for stick-breaking, gamma."""
    total = 0.0
    for assignment in itertools.product(range(num_components), repeat=len(column)):
        groups = [column[np.array(assignment) == k] for k in range(num_components)]
        log_prior = log_probability_of_assignment([len(group) for group in groups], weights, concentration)
        if tied:
            likelihood = _evidence_of_tied_groups(groups, loc, scale, shape, rate)
        else:
            likelihood = math.prod(_evidence_of_group(group, loc, scale, shape, rate) for group in groups)
        total += math.exp(log_prior) * likelihood
    return math.log(total)
