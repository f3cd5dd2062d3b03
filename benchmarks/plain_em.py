"""EM for rows with weights, gaps and Gaussian noise in plain loops: a judge that is slow and easy to read.

Bovy, Hogg and Roweis 2011, "Extreme deconvolution", Annals of Applied Statistics 5, equations 16 and 17, row by row and
component by component. A gap is a row of the identity left out of their projection matrix.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp


class Mixture(NamedTuple):
    """Weights (K,), means (K, D) and covariances (K, D, D)."""

    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray


class Run(NamedTuple):
    """Where EM ended: the mixture, and the log likelihood before each step and at the end, nats."""

    mixture: Mixture
    log_likelihoods: list[float]


def fit(
    rows: np.ndarray,
    start: Mixture,
    *,
    noise: np.ndarray | None = None,
    weights: np.ndarray | None = None,
    max_steps: int = 100,
    tolerance: float = 1e-5,
) -> Run:
    """Returns the mixture that EM finds from a start.

    Args:
        rows: (N, D), NaN at gaps.
        start: Mixture to begin with.
        noise: Covariances of the noise of each row, (N, D, D); None for none.
        weights: How often each row counts, (N,); None for once.
        max_steps: Largest number of steps.
        tolerance: Nats, for all rows; a smaller gain ends the run.
    """
    noise = np.zeros((*rows.shape, rows.shape[1])) if noise is None else noise
    weights = np.ones(len(rows)) if weights is None else weights
    mixture, log_likelihoods = start, [-np.inf]
    for _ in range(max_steps):
        moved, before = step(rows, mixture, noise, weights)
        log_likelihoods.append(before)
        if log_likelihoods[-1] - log_likelihoods[-2] < tolerance:
            return Run(mixture, log_likelihoods[1:])
        mixture = moved
    return Run(mixture, [*log_likelihoods[1:], log_likelihood(rows, mixture, noise, weights)])


def log_likelihood(rows: np.ndarray, mixture: Mixture, noise: np.ndarray, weights: np.ndarray) -> float:
    """Returns the sum of weight x log density of the observed columns of each row with its noise, nats."""
    return float(sum(w * logsumexp(_log_joints(row, mixture, s)) for row, s, w in zip(rows, noise, weights)))


def step(rows: np.ndarray, mixture: Mixture, noise: np.ndarray, weights: np.ndarray) -> tuple[Mixture, float]:
    """Returns the mixture after one step of EM, and the log likelihood before it, nats."""
    total, counts = 0.0, np.zeros(len(mixture.weights))
    first, second = np.zeros_like(mixture.means), np.zeros_like(mixture.covariances)
    for row, row_noise, weight in zip(rows, noise, weights):
        log_joints = _log_joints(row, mixture, row_noise)
        log_density = logsumexp(log_joints)
        total += weight * log_density
        shares = weight * np.exp(log_joints - log_density)
        for k, share in enumerate(shares):
            expected, spread = _true_values(row, mixture.means[k], mixture.covariances[k], row_noise)
            counts[k] += share
            first[k] += share * expected
            second[k] += share * (np.outer(expected, expected) + spread)
    means = first / counts[:, None]
    covariances = second / counts[:, None, None] - means[:, :, None] * means[:, None, :]
    return Mixture(counts / counts.sum(), means, covariances), float(total)


def _log_joints(row: np.ndarray, mixture: Mixture, noise: np.ndarray) -> np.ndarray:
    """Returns the log of weight x density of a row's observed columns under each component, (K,), nats."""
    seen = np.flatnonzero(~np.isnan(row))
    log_joints = np.empty(len(mixture.weights))
    for k, (weight, mean, covariance) in enumerate(zip(*mixture)):
        total = (covariance + noise)[np.ix_(seen, seen)]
        away = row[seen] - mean[seen]
        square = away @ np.linalg.solve(total, away)
        log_determinant = np.linalg.slogdet(total)[1]
        log_joints[k] = np.log(weight) - 0.5 * (square + log_determinant + len(seen) * np.log(2 * np.pi))
    return log_joints


def _true_values(
    row: np.ndarray, mean: np.ndarray, covariance: np.ndarray, noise: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns mean (D,) and covariance (D, D) of the true values behind a row, given the component it is from."""
    seen = np.flatnonzero(~np.isnan(row))
    total = (covariance + noise)[np.ix_(seen, seen)]
    gain = np.linalg.solve(total, covariance[seen]).T
    return mean + gain @ (row[seen] - mean[seen]), covariance - gain @ covariance[seen]
