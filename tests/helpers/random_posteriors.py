"""Random posteriors of every covariance shape and weight prior, and their expectations in plain NumPy."""

from __future__ import annotations

import numpy as np
from scipy import stats

from tfgmm.families.correlated import CorrelatedPosterior
from tfgmm.families.independent import IndependentPosterior
from tfgmm.families.variational import COMPONENTS
from tfgmm.families.weights import WEIGHTS, DirichletPosterior, StickPosterior
from tfgmm.mixture.priors import Priors

K, D = 3, 4


def spd(generator, *shape):
    """Returns random symmetric positive definite matrices, eigenvalues from about 0.3 to 3."""
    roots = generator.normal(size=shape) / np.sqrt(shape[-1])
    return roots @ np.swapaxes(roots, -1, -2) + 0.3 * np.eye(shape[-1])


def column_scale(num_features):
    return np.linspace(0.5, 2.0, num_features)


def random_priors(covariance, num_features=D, seed=0):
    """Returns priors in which every number differs from its default and, where it may, between the columns."""
    generator = np.random.default_rng(100 + seed)
    per_column = tuple(generator.uniform(0.5, 2.0, num_features).tolist() for _ in range(3))
    is_spherical = covariance.endswith("spherical")
    return Priors(
        loc_mean=generator.normal(size=num_features),
        loc_scale=per_column[0],
        precision_shape=1.7 if is_spherical else per_column[1],
        precision_rate=0.6 if is_spherical else per_column[2],
        weight_concentration=1.3,
        stick_concentration=0.7,
        column_scale=column_scale(num_features),
        loc_covariance=spd(generator, num_features, num_features),
        degrees=num_features + 0.5,
        inverse_scale=spd(generator, num_features, num_features),
    )


def random_components(covariance, num_components=K, num_features=D, seed=0):
    """Returns components with random priors, and a random posterior, NumPy float64."""
    generator = np.random.default_rng(seed)
    components = COMPONENTS[covariance](num_components, num_features, random_priors(covariance, num_features, seed))
    locs = generator.normal(size=(num_components, num_features))
    if covariance in ("full", "tied"):
        num_precisions = components.num_precisions
        loc_cholesky = np.linalg.cholesky(0.2 * spd(generator, num_components, num_features, num_features))
        scale_cholesky = np.linalg.cholesky(5.0 * spd(generator, num_precisions, num_features, num_features))
        degrees = num_features + generator.uniform(2.0, 9.0, num_precisions)
        return components, CorrelatedPosterior(locs, loc_cholesky, degrees, scale_cholesky)
    scales = generator.uniform(0.2, 0.9, locs.shape)
    alpha, beta = generator.uniform(1.5, 9.0, (2, *components.precision_axes))
    return components, IndependentPosterior(locs, scales, alpha, beta)


def random_weights(kind, num_components=K, seed=0):
    """Returns weights and a random posterior, NumPy float64."""
    generator = np.random.default_rng(seed)
    weights = WEIGHTS[kind](num_components, random_priors("diag"))
    if kind == "dirichlet":
        return weights, DirichletPosterior(generator.uniform(0.4, 20.0, num_components))
    return weights, StickPosterior(generator.uniform(0.4, 20.0, (num_components - 1, 2)))


def units_of(components):
    """Returns what a column's precision is divided by, (D,): the squared column scale of spherical shapes."""
    num_features = components.shape[1]
    return np.square(column_scale(num_features)) if components.is_spherical else np.ones(num_features)


def mean_precision_matrices(components, posterior):
    """Returns E[Lambda_k], (K, D, D): nu W, or a diagonal of alpha / beta."""
    num_components, num_features = components.shape
    if isinstance(posterior, CorrelatedPosterior):
        roots = posterior.scale_cholesky
        means = posterior.degrees[:, None, None] * np.linalg.inv(roots @ np.swapaxes(roots, 1, 2))
        return np.broadcast_to(means, (num_components, num_features, num_features))
    means = np.broadcast_to(posterior.alpha / posterior.beta / units_of(components), components.shape)
    return means[:, :, None] * np.eye(num_features)


def draw_parameters(components, posterior, num_draws, generator):
    """Returns locations (n, K, D) and precision matrices (n, K, D, D) drawn from q by NumPy and SciPy."""
    num_components, num_features = components.shape
    noise = generator.normal(size=(num_draws, *components.shape))
    if isinstance(posterior, CorrelatedPosterior):
        locs = posterior.locs + np.einsum("kij,nkj->nki", posterior.loc_cholesky, noise)
        roots = posterior.scale_cholesky
        scales = np.linalg.inv(roots @ np.swapaxes(roots, 1, 2))
        of_each = [
            stats.wishart(nu, scale).rvs(num_draws, random_state=generator).reshape(num_draws, num_features, -1)
            for nu, scale in zip(posterior.degrees, scales)
        ]
        return locs, np.broadcast_to(np.stack(of_each, axis=1), (*locs.shape, num_features))
    locs = posterior.locs + posterior.scales * noise
    precisions = generator.gamma(posterior.alpha, 1.0 / posterior.beta, (num_draws, *posterior.alpha.shape))
    precisions = np.broadcast_to(precisions / units_of(components), locs.shape)
    return locs, precisions[..., None] * np.eye(num_features)


def normal_log_densities(row, locs, precisions):
    """Returns log Normal(row | loc, precision^-1) of locations (..., D) and precision matrices (..., D, D)."""
    away = row - locs
    squares = np.einsum("...i,...ij,...j->...", away, precisions, away)
    return 0.5 * (np.linalg.slogdet(precisions)[1] - squares - locs.shape[-1] * np.log(2 * np.pi))
