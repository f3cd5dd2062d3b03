"""Simulated designs of two published rivals, and the first rival itself, written from its description.

Recalibrated variational Bayes (Liu and Li 2025, "Bend to mend: toward trustworthy variational Bayes with valid
uncertainty quantification", arXiv 2512.22655): the likelihood is raised to a power omega < 1, chosen so that intervals
from resamples of one half of the rows hold the estimate from the other half. Design: two round normals in the plane,
at (0, 0) and (2, 2), weights .65 and .35, 1,000 to 3,000 rows, 95 % intervals for the weight, 500 sets.

Optimized bootstrap (Marin, Loong and Westveld 2025, "BOB: Bayesian optimized bootstrap for approximate posterior
sampling in Gaussian mixture models", arXiv 2311.03644): each draw is a posterior mode of randomly weighted rows, the
weight of the prior tuned by Bayesian optimization. Design, as in the authors' published scripts, first of nine
settings: 50 rows of two normals with five columns, means 1 and 6 in three of them, covariances (-.5)^|i - j|, equal
weights, centred; 30 sets; sliced Wasserstein distance between predicted rows and those of the posterior given the
groups. Its refits are counted, not run.
"""

from __future__ import annotations

import time
from typing import NamedTuple

import numpy as np
from calibration import Mixtures, rows_of
from scipy.special import digamma, expit
from scipy.stats import beta as beta_distribution
from scipy.stats import invwishart

# Recalibrated variational Bayes: its weight, level, resamples of a step, largest number of steps, sweeps of a refit
WEIGHT, LEVEL, RESAMPLES, MOST_STEPS, MOST_SWEEPS = 0.65, 0.95, 500, 100, 200
# Coverage that counts as reached lies this much below the level; changes of counts below which sweeps end, rows
SHORT_OF_LEVEL, FEW_ROWS = 1e-3, 1e-3
# Optimized bootstrap, its defaults: trials of the optimizer, refits of a trial, draws
TRIALS, REFITS_OF_TRIAL, BOOTSTRAP_DRAWS = 100, 1_000, 20_000
BOOTSTRAP_REFITS = TRIALS * REFITS_OF_TRIAL + BOOTSTRAP_DRAWS


# --- Recalibrated variational Bayes -------------------------------------------------------------------------------


def recalibrated_rows(num_rows: int, seed: int) -> np.ndarray:
    """Returns the rows of the first design, (num_rows, 2)."""
    means = np.array([[[0.0, 0.0], [2.0, 2.0]]])
    truth = Mixtures(np.array([[WEIGHT, 1 - WEIGHT]]), means, np.tile(np.eye(2), (1, 2, 1, 1)))
    return rows_of(truth, num_rows, np.random.default_rng([seed, num_rows]))


class Recalibrated(NamedTuple):
    """Interval of the weight, the power omega, how often the model was refitted, and seconds."""

    low: float
    high: float
    omega: float
    refits: int
    seconds: float


def recalibrated(rows: np.ndarray, seed: int, resamples: int = RESAMPLES) -> Recalibrated:
    """Returns the sequential variant's answer: omega falls until intervals hold the other half's estimate."""
    rng, began = np.random.default_rng(seed), time.perf_counter()
    half, log_omega, refits = len(rows) // 2, 0.0, 0
    for step in range(MOST_STEPS):
        order = rng.permutation(len(rows))
        one, other = rows[order[:half]], rows[order[half:]]
        counts = rng.multinomial(len(other), np.full(len(other), 1 / len(other)), size=resamples)
        omega = float(np.exp(log_omega))
        estimate = _share(fractional_counts(one, np.ones((1, half)), omega))[0]
        low, high = intervals(fractional_counts(other, counts, omega))
        refits += resamples + 1
        coverage = float(np.mean((low < estimate) & (estimate < high)))
        if coverage > LEVEL - SHORT_OF_LEVEL:
            break
        log_omega += (coverage - LEVEL) * (step + 1) ** -0.51
    low, high = intervals(fractional_counts(rows, np.ones((1, len(rows))), omega))
    return Recalibrated(low[0], high[0], omega, refits + 1, time.perf_counter() - began)


def intervals(concentrations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the ends (B,) of intervals for the weight of the first component from concentrations (B, 2)."""
    tail = (1 - LEVEL) / 2
    low, high = (beta_distribution.ppf(share, *concentrations.T) for share in (tail, 1 - tail))
    return low, high


def _share(concentrations: np.ndarray) -> np.ndarray:
    return concentrations[:, 0] / concentrations.sum(axis=1)


def fractional_counts(rows: np.ndarray, counts: np.ndarray, omega: float) -> np.ndarray:
    """Returns concentrations of the weights, (B, 2), of mean-field fits with the likelihood to the power omega.

    Two components with full covariances under Normal-Wishart priors, as the authors choose them: Dirichlet(1 / 2),
    centre of the rows with the weight of one row, D + 2 degrees. The first component is the one nearer to (0, 0).

    Args:
        rows: Rows, (n, D).
        counts: How often each row counts in each of B resamples, (B, n).
        omega: Power of the likelihood.
    """
    shape = counts.shape[0], 2, rows.shape[1], rows.shape[1]
    features = np.concatenate([np.ones((len(rows), 1)), rows, _products(rows)], axis=1)
    totals = counts @ features
    memberships, sizes = _starting_groups(rows) * counts, np.zeros(len(counts))
    for _ in range(MOST_SWEEPS):
        first = memberships @ features
        before, sizes = sizes, first[:, 0]
        if np.abs(sizes - before).max() < FEW_ROWS:
            break
        coefficients = _coefficients(omega * np.stack([first, totals - first], axis=1), rows, shape)
        memberships = expit((coefficients[:, 0] - coefficients[:, 1]) @ features.T) * counts
    return 0.5 + omega * np.stack([sizes, totals[:, 0] - sizes], axis=1)


def _products(rows: np.ndarray) -> np.ndarray:
    return (rows[:, :, None] * rows[:, None]).reshape(len(rows), -1)


def _starting_groups(rows: np.ndarray) -> np.ndarray:
    from sklearn.cluster import KMeans

    found = KMeans(2, n_init=5, random_state=0).fit(rows)
    first = int(np.argmin(np.square(found.cluster_centers_).sum(axis=1)))
    return (found.labels_ == first).astype(float)


def _coefficients(sums: np.ndarray, rows: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Returns coefficients (B, 2, 1 + D + D D) of a row's expected log joint from sums of its features."""
    num_features = shape[-1]
    sizes, firsts = sums[..., 0], sums[..., 1 : 1 + num_features]
    seconds = sums[..., 1 + num_features :].reshape(shape)
    centre, scale = rows.mean(axis=0), np.cov(rows.T)
    betas, degrees, concentrations = 1 + sizes, num_features + 2 + sizes, 0.5 + sizes
    locs = (centre + firsts) / betas[..., None]
    scatter = seconds + np.outer(centre, centre) - betas[..., None, None] * locs[..., None] * locs[..., None, :]
    inverse = np.linalg.inv(scale) + scatter
    precisions = degrees[..., None, None] * np.linalg.inv(inverse)
    places = np.arange(num_features)
    log_det = digamma((degrees[..., None] - places) / 2).sum(axis=-1) + num_features * np.log(2)
    log_det = log_det - np.linalg.slogdet(inverse)[1]
    log_weights = digamma(concentrations) - digamma(concentrations.sum(axis=-1, keepdims=True))
    linear = np.einsum("bkij,bkj->bki", precisions, locs)
    constant = log_weights + log_det / 2 - num_features / betas / 2 - np.sum(linear * locs, axis=-1) / 2
    return np.concatenate([constant[..., None], linear, -precisions.reshape(*sums.shape[:2], -1) / 2], axis=-1)


# --- Optimized bootstrap ------------------------------------------------------------------------------------------


class Design(NamedTuple):
    """A set of the second design: centred rows (50, 5), the group of each, the mixture that they come from."""

    rows: np.ndarray
    groups: np.ndarray
    truth: Mixtures


def bootstrap_design(seed: int, num_rows: int = 50, num_features: int = 5) -> Design:
    """Returns the rows of the first setting; the truth is moved as the rows are."""
    rng = np.random.default_rng([seed, num_rows])
    filled = int(np.ceil(0.6 * num_features))
    locs = np.outer([1.0, 6.0], np.arange(num_features) < filled)
    places = np.arange(num_features)
    covariance = (-0.5) ** np.abs(places[:, None] - places)
    groups = rng.integers(0, 2, num_rows)
    noise = rng.standard_normal((num_rows, num_features)) @ np.linalg.cholesky(covariance).T
    rows = locs[groups] + noise
    centre = rows.mean(axis=0)
    truth = Mixtures(np.full((1, 2), 0.5), (locs - centre)[None], np.tile(covariance, (1, 2, 1, 1)))
    return Design(rows - centre, groups, truth)


class ConjugatePrior(NamedTuple):
    """The second rival's prior: locs around 0 with the weight of `weight` rows, inverse Wishart (I, degrees)."""

    weight: float
    degrees: float
    concentration: float = 1.1


def bootstrap_prior(num_rows: int, num_features: int) -> ConjugatePrior:
    """Returns the prior that the scripts fall back on where their cross-validation fails."""
    weight = 4.5 * num_features / num_rows
    return ConjugatePrior(weight, weight + num_features + 1)


def given_groups(design: Design, prior: ConjugatePrior, num_draws: int, seed: int) -> Mixtures:
    """Draws from the posterior when the groups are known, the authors' target: conjugate, in closed form."""
    rng = np.random.default_rng(seed)
    num_features = design.rows.shape[1]
    sizes = np.bincount(design.groups, minlength=2)
    weights = rng.dirichlet(prior.concentration + sizes, num_draws)
    locs, covariances = [], []
    for group, size in enumerate(sizes):
        rows = design.rows[design.groups == group]
        total, centre = prior.weight + size, rows.sum(axis=0) / (prior.weight + size)
        scale = np.eye(num_features) + rows.T @ rows - total * np.outer(centre, centre)
        drawn = invwishart(prior.degrees + size, scale).rvs(num_draws, random_state=rng)
        noise = rng.standard_normal((num_draws, num_features)) / np.sqrt(total)
        locs.append(centre + np.einsum("sij,sj->si", np.linalg.cholesky(drawn), noise))
        covariances.append(drawn)
    return Mixtures(weights, np.stack(locs, axis=1), np.stack(covariances, axis=1))


def predicted(mixtures: Mixtures, seed: int) -> np.ndarray:
    """Draws one row of each mixture, (S, D)."""
    rng = np.random.default_rng(seed)
    ends = np.cumsum(mixtures.weights, axis=1)
    chosen = np.minimum((rng.random((len(ends), 1)) > ends).sum(axis=1), ends.shape[1] - 1)
    index = np.arange(len(ends)), chosen
    noise = rng.standard_normal(mixtures.locs[index].shape)
    return mixtures.locs[index] + np.einsum("sij,sj->si", np.linalg.cholesky(mixtures.covariances[index]), noise)


def sliced_distance(rows: np.ndarray, others: np.ndarray, num_slices: int = 100, seed: int = 0) -> float:
    """Returns the sliced Wasserstein distance of order 2 between as many rows and others, (S, D) each."""
    directions = np.random.default_rng(seed).standard_normal((rows.shape[1], num_slices))
    directions /= np.linalg.norm(directions, axis=0)
    gaps = np.sort(rows @ directions, axis=0) - np.sort(others @ directions, axis=0)
    return float(np.sqrt(np.mean(np.square(gaps))))
