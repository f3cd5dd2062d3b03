"""Log densities at known parameters: by the path that training and scoring take, and by SciPy."""

from __future__ import annotations

import numpy as np
from scipy import stats

from tfgmm.mixture.features import num_products
from tfgmm.mixture.log_joints import factors_of, write_features
from tfgmm.mixture.parameters import FORMS, coefficients_from


def features_of(form, rows, dtype=np.float64):
    """Returns the columns of rows and products of them, (B, D + P)."""
    rows = np.asarray(rows)
    write, num_features = FORMS[form].write_products, rows.shape[1]
    features = np.empty((num_features + num_products(write, num_features) + 1, len(rows)), dtype)
    write_features(write, rows.T, features)
    return features[:-1].T


def product(form, rows, parameters, dtype=np.float64):
    """Returns log Normal(row | k), (B, K): features times coefficients, by NumPy."""
    coefficients = coefficients_from(form, np.zeros(len(parameters["locs"])), parameters)
    factors = factors_of(coefficients, dtype)
    return features_of(form, rows, dtype) @ factors[:, :-1].T + factors[:, -1]


def loop_log_density(rows, locs, log_precisions):
    """Returns log densities (B, K) of independent columns, one scipy call per row and component, in float64."""
    rows, locs, log_precisions = (np.asarray(array, np.float64) for array in (rows, locs, log_precisions))
    densities = np.zeros((len(rows), len(locs)))
    for i, row in enumerate(rows):
        for k, (means, logs) in enumerate(zip(locs, log_precisions)):
            densities[i, k] = stats.norm.logpdf(row, means, np.exp(-0.5 * logs)).sum()
    return densities


def scipy_log_densities(rows, locs, covariances):
    """Returns (B, K), one call of SciPy per component; one (D, D) stands for all."""
    covariances = np.broadcast_to(covariances, (*locs.shape, locs.shape[1]))
    each = [stats.multivariate_normal(*pair).logpdf(rows) for pair in zip(locs, covariances)]
    return np.stack(each, axis=-1)


def narrow_components(width):
    """Returns 4 components of 16 columns, `width` wide in a range of 1, and the owners of 64 rows."""
    generator = np.random.default_rng(3)
    locs = generator.uniform(-0.5, 0.5, (4, 16))
    precisions = generator.uniform(0.5, 2.0, (4, 16)) / width**2
    return generator, locs, precisions, generator.integers(4, size=64)
