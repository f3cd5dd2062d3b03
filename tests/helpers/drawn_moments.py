"""What draws of component parameters average to, for draws of any library."""

from __future__ import annotations

import numpy as np
from random_posteriors import mean_precision_matrices, units_of
from scipy import special, stats

from tfgmm.families.correlated import CorrelatedPosterior

STICKS = [
    np.array([[2.0, 3.0]]),
    np.array([[0.4, 7.0], [30.0, 0.9], [5.0, 5.0]]),
    np.array([[2e4, 5e4], [1.0, 3e4], [200.0, 1.0]]),
]


def assert_moments_of_q(components, posterior, parameters, log_determinants=None, rtol=1e-9):
    """Checks means and covariances of locations and precisions, and that the two are independent.

    Args:
        components, posterior: q.
        parameters: n draws by name, as `parameters_of` has them.
        log_determinants: (n, K or 1) of the drawn whiteners; None for independent columns.
        rtol: How exactly they are those of the drawn matrices.
    """
    num_components, num_features = components.shape
    locs = parameters["locs"]
    away = locs - posterior.locs
    if isinstance(posterior, CorrelatedPosterior):
        precisions = np.swapaxes(parameters["whiteners"], -1, -2) @ parameters["whiteners"]
        logs = 2.0 * np.asarray(log_determinants, np.float64)
        np.testing.assert_allclose(np.linalg.slogdet(precisions)[1], logs, rtol=rtol, atol=rtol)
        arguments = (posterior.degrees[:, None] + 1 - np.arange(1, num_features + 1)) / 2
        roots = np.diagonal(posterior.scale_cholesky, axis1=1, axis2=2)
        expected_log = special.digamma(arguments).sum(axis=1)
        expected_log = expected_log + num_features * np.log(2) - 2 * np.log(roots).sum(axis=1)
        loc_covariances = posterior.loc_cholesky @ np.swapaxes(posterior.loc_cholesky, 1, 2)
        mean = mean_precision_matrices(components, posterior)[: len(posterior.degrees)]
    else:
        precisions = parameters["precisions"]
        mean = np.diagonal(mean_precision_matrices(components, posterior), axis1=1, axis2=2)
        logs = np.log(precisions).sum(axis=-1)
        log_means = special.digamma(posterior.alpha) - np.log(posterior.beta) - np.log(units_of(components))
        expected_log = np.broadcast_to(log_means, components.shape).sum(axis=1)
        loc_covariances = posterior.scales[:, :, None] ** 2 * np.eye(num_features)
    for values, expected in (
        (precisions, mean),
        (logs, expected_log),
        (locs, posterior.locs),
        (away[..., :, None] * away[..., None, :], loc_covariances),
        (away * logs[..., None] - away * expected_log[..., None], 0.0),  # independent
    ):
        assert_mean(values, expected)


def assert_variances_of_the_wishart(components, posterior, whiteners):
    """Checks Var(Lambda_ij) = nu (W_ij^2 + W_ii W_jj): Bartlett's off-diagonal counts here."""
    precisions = np.swapaxes(whiteners, -1, -2) @ whiteners
    scales = mean_precision_matrices(components, posterior) / posterior.degrees[:, None, None]
    diagonals = np.diagonal(scales, axis1=1, axis2=2)
    expected = posterior.degrees[:, None, None] * (scales**2 + diagonals[:, :, None] * diagonals[:, None, :])
    assert_mean((precisions - precisions.mean(axis=0)) ** 2, expected)


def assert_moments_of_sticks(log_weights, sticks, rounding=0.0):
    """Checks E[theta_k] and E[theta_k^2] of (n, K) log weights: products of moments of independent Betas, SciPy's."""
    draws = np.exp(log_weights.astype(np.float64))
    np.testing.assert_allclose(draws.sum(axis=1), 1.0, atol=20 * np.finfo(log_weights.dtype).eps)
    for power in (1, 2):
        taken = np.array([stats.beta(*stick).moment(power) for stick in sticks])
        left = np.array([stats.beta(*stick[::-1]).moment(power) for stick in sticks])
        assert_mean(draws**power, np.append(taken, 1.0) * np.cumprod(np.append(1.0, left)), rounding)


def assert_mean(values, expected, rounding=0.0):
    """Checks a mean over the first axis, within five of its standard errors and a part `rounding` of itself."""
    errors = values.std(axis=0) / np.sqrt(len(values))
    assert (np.abs(values.mean(axis=0) - expected) < 5 * errors + rounding * np.abs(expected)).all()
