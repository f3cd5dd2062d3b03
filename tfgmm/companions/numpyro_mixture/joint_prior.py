"""Priors that are no product over NumPyro's sites: those that learn their scale, and those of whole matrices.

The model has flat sites then, and one factor with the log density that is computed here.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tfgmm.companions.numpyro_mixture.densities import Array, Parameters
from tfgmm.families import COMPONENTS, Arithmetic, LocationScales, log_normalisers
from tfgmm.mixture.priors import Priors

import jax  # isort: skip  after `model`, whose error says how to install it
import jax.numpy as jnp  # isort: skip

# Gradients go through the eigenvalues alone, so that equal ones do no harm
JAX = Arithmetic(jnp.log, jax.scipy.special.logsumexp, jnp.stack, jnp.linalg.eigh)


class JointPrior:
    """The log density of locations, scales and correlations under priors that are no product over the sites.

    Args:
        priors: Priors in data units.
        covariance: "diag" or "full".
        num_components: Number of components, K.
        num_features: Number of columns, D.

    Raises:
        ValueError: The priors do not suit the covariance.
    """

    def __init__(self, priors: Priors, covariance: str, num_components: int, num_features: int) -> None:
        components: Any = COMPONENTS[covariance](num_components, num_features, priors)
        self._components, self._is_correlated = components, covariance == "full"
        root = components.prior_loc_cholesky if self._is_correlated else np.diag(components.loc_scale)
        self._whitener, self._locs = np.linalg.inv(root), components.learned_locs
        if self._locs is None and self._is_correlated:  # one value of lambda, which is 1
            log_determinant = 2.0 * float(np.log(np.diag(root)).sum())
            self._locs = LocationScales(log_determinant, num_components, num_features, np.ones(1))
        self.has_locs = self._locs is not None
        self.has_precisions = components.learned is not None or self._is_correlated

    def log_density(self, parameters: Parameters) -> Array:
        """Computes log p, nats, of what is in here: of locs, and of scales and Cholesky factors of correlations."""
        total = jnp.zeros(())
        if self.has_locs:
            away = (parameters.locs - self._components.loc_mean) @ self._whitener.T
            total += self._locs.log_density_of(jnp.square(away).sum(), JAX)
        if self.has_precisions:
            total += self._of_matrices(parameters) if self._is_correlated else self._of_columns(parameters.scales)
        return total

    def _of_columns(self, scales: Array) -> Array:
        log_scales = jnp.log(scales)
        # |d tau / d scale| = 2 scale^-3
        log_jacobian = scales.size * math.log(2.0) - 3.0 * log_scales.sum()
        return self._components.learned.log_density_of(scales**-2.0, -2.0 * log_scales, JAX) + log_jacobian

    def _of_matrices(self, parameters: Parameters) -> Array:
        """Computes log p of the precision matrices, in terms of scales s and Cholesky factors of correlations.

        T = diag(s) L is the Cholesky factor of a covariance. |d Lambda / d Sigma| = det(Sigma)^-(D + 1),
        |d Sigma / d T| = 2^D prod_i T_ii^(D + 1 - i), and row i of T is s_i times a unit vector, in polar coordinates
        s_i^(i - 1) / L_ii: together 2^D prod_i s_i^i T_ii^-(D + i + 2).
        """
        log_scales, num_features = jnp.log(parameters.scales), parameters.scales.shape[-1]
        factors = parameters.scales[..., None] if parameters.scale_tril is None else parameters.scale_tril
        log_diagonals = jnp.log(jnp.diagonal(factors, axis1=-2, axis2=-1))
        number = np.arange(1.0, num_features + 1.0)
        powers = number * log_scales - (num_features + 2.0 + number) * log_diagonals
        log_jacobian = log_scales.size * math.log(2.0) + powers.sum()
        identity = jnp.broadcast_to(jnp.eye(num_features, dtype=factors.dtype), factors.shape)
        whiteners = jax.scipy.linalg.solve_triangular(factors, identity, lower=True)
        log_determinants = -log_diagonals.sum(axis=-1)
        if self._components.learned is None:
            return self._of_wisharts(whiteners, log_determinants) + log_jacobian
        return self._components.learned.log_density_of(whiteners, log_determinants, JAX) + log_jacobian

    def _of_wisharts(self, whiteners: Array, log_determinants: Array) -> Array:
        """Computes the sum of log Wishart(U'U | degrees, inverse_scale) (Bishop 2006, B.78)."""
        degrees, root = self._components.prior_degrees, self._components.prior_scale_cholesky
        log_normaliser = float(log_normalisers(np.array([degrees]), root[None])[0])
        traces = jnp.square(whiteners @ root).sum(axis=(-2, -1))
        each = (degrees - root.shape[-1] - 1.0) * log_determinants - 0.5 * traces - log_normaliser
        return each.sum()
