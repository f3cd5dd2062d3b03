"""Mixtures of every covariance shape with random parameters, and the scores of rows under them by SciPy alone."""

from __future__ import annotations

import numpy as np
from log_densities import scipy_log_densities
from scipy import special

from tfgmm.mixture.parameters import MixtureDensity


def any_mixture(covariance: str, num_components: int, num_features: int, seed: int = 0) -> MixtureDensity:
    """Returns a mixture whose components overlap, K in the range of a few standard deviations, centre not at 0."""
    generator = np.random.default_rng(seed)
    num_precisions = 1 if covariance.startswith("tied") else num_components
    if covariance in ("full", "tied"):
        # small beside the diagonal: SciPy's way by way of covariances loses no digits then
        whiteners = np.tril(generator.normal(size=(num_precisions, num_features, num_features))) / num_features
        whiteners[:, range(num_features), range(num_features)] = generator.uniform(0.5, 2.0, num_features)
        shapes = {"whiteners": whiteners}
    else:
        widths = 1 if covariance.endswith("spherical") else num_features
        precisions = generator.uniform(0.3, 3.0, (num_precisions, widths))
        shapes = {"precisions": np.broadcast_to(precisions, (num_components, num_features)).copy()}
    locs = generator.normal(size=(num_components, num_features))
    log_weights = np.log(generator.dirichlet(np.full(num_components, 3.0)))
    return MixtureDensity(covariance, generator.normal(size=num_features), log_weights, {"locs": locs, **shapes})


def scipy_scores(mixture: MixtureDensity, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns log densities (N,) and responsibilities (N, K), float64."""
    locs = np.asarray(mixture.centre) + mixture.components["locs"]
    if "whiteners" in mixture.components:
        whiteners = mixture.components["whiteners"]
        covariances = np.linalg.inv(np.swapaxes(whiteners, 1, 2) @ whiteners)
    else:
        covariances = np.stack([np.diag(1.0 / values) for values in mixture.components["precisions"]])
    joints = mixture.log_weights + scipy_log_densities(rows, locs, covariances).reshape(len(rows), -1)
    return special.logsumexp(joints, axis=1), special.softmax(joints, axis=1)
