"""Log densities of rows, plain and with weights, gaps and measurement noise, as JAX takes gradients of them."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

Array = Any
_LOG_TWO_PI = math.log(2 * math.pi)


class Parameters(NamedTuple):
    """Weights (K,), locs (K, D) and scales (K, D); for full covariances their Cholesky factors (K, D, D) too."""

    weights: Array
    locs: Array
    scales: Array
    scale_tril: Array | None = None


class MaskedRows(NamedTuple):
    """n rows whose columns are independent within a component.

    Fields: values (n, D), 0 at gaps; masks (n, D), 1 where there is a value, 0 at gaps, or None; variances (n, D) of
    the measurement noise, or None; weights (n,), or None.
    """

    values: Array
    masks: Array | None = None
    variances: Array | None = None
    weights: Array | None = None


class RowGroup(NamedTuple):
    """n rows with values in the same d columns, which depend on each other within a component, or by their noise.

    Fields: columns (d,), their numbers; values (n, d); covariances (n, d, d) of the measurement noise, or None;
    weights (n,), or None.
    """

    columns: Array
    values: Array
    covariances: Array | None = None
    weights: Array | None = None


class ObservedRows(NamedTuple):
    """Rows with weights, gaps or measurement noise, as `MarginalModel` takes them; `observed_rows` makes one.

    Fields: parts, each `MaskedRows` or `RowGroup`; their order is not that of the data.
    """

    parts: tuple[MaskedRows | RowGroup, ...]


def observed_log_likelihood(parameters: Parameters, rows: ObservedRows, row_variance: Array | None) -> Array:
    """Computes the sum of weight x log density over all rows, nats: each in its observed columns, with its noise.

    Args:
        parameters: Parameters of the mixture.
        rows: Rows with what they carry.
        row_variance: Variance that each row adds, as in `MarginalMixture`, (D, D), or None. Of independent columns,
            only those with a value add it. Where columns depend on each other, a row adds the whole of it.
    """
    total = jnp.zeros(())
    for part in rows.parts:
        if isinstance(part, MaskedRows):
            of_components = _log_masked(parameters, part, row_variance)
        else:
            of_components = _log_grouped(parameters, part, row_variance)
        log_densities = summed_out(parameters.weights, of_components)
        total += log_densities.sum() if part.weights is None else part.weights @ log_densities
    return total


def summed_out(weights: Array, log_densities: Array) -> Array:
    """Computes the log density of a mixture, (n,), from that of each row under each component, (K, n)."""
    # The derivative of the logarithm at 0 is infinite, and multiplied by 0 later it would be NaN
    safe = jnp.where(weights > 0, weights, 1.0)
    log_joints = jnp.where(weights > 0, jnp.log(safe), -jnp.inf)[:, None] + log_densities
    highest = jax.lax.stop_gradient(log_joints.max(axis=0))
    return highest + jnp.log(jnp.exp(log_joints - highest).sum(axis=0))


def log_normal(parameters: Parameters, rows: Array) -> Array:
    """Computes the log density of rows (n, D) under each component, (K, n), nats."""
    locs, scales, scale_tril = parameters.locs, parameters.scales, parameters.scale_tril
    if scale_tril is not None:
        return _log_correlated(rows.T - locs[:, :, None], scale_tril)
    standard = (rows.T - locs[:, :, None]) * (1 / scales)[:, :, None]
    constants = -jnp.log(scales).sum(axis=-1) - 0.5 * locs.shape[-1] * _LOG_TWO_PI
    return constants[:, None] - 0.5 * jnp.square(standard).sum(axis=1)


def row_corrections(parameters: Parameters, row_variance: Array) -> Array:
    """Computes what the variance of each row takes from its log density under each component, (K,), nats."""
    if parameters.scale_tril is None:
        return -0.5 * _variance_ratios(parameters, row_variance).sum(axis=-1)
    root = jnp.broadcast_to(jnp.linalg.cholesky(row_variance), parameters.scale_tril.shape)
    whitened = jax.scipy.linalg.solve_triangular(parameters.scale_tril, root, lower=True)
    return -0.5 * jnp.square(whitened).sum(axis=(-2, -1))


def _variance_ratios(parameters: Parameters, row_variance: Array) -> Array:
    """Computes the variance that each row adds over the component's, column by column, (K, D)."""
    return jnp.diagonal(row_variance) / jnp.square(parameters.scales)


def _log_correlated(differences: Array, scale_tril: Array) -> Array:
    """Computes the log density, (K, n), of differences (K, d, n) under Normal(0, scale_tril scale_tril')."""
    identity = jnp.broadcast_to(jnp.eye(scale_tril.shape[-1], dtype=scale_tril.dtype), scale_tril.shape)
    # Small inverses and one product: for many rows that is faster than a triangular solve
    standard = jax.scipy.linalg.solve_triangular(scale_tril, identity, lower=True) @ differences
    log_scales = jnp.log(jnp.diagonal(scale_tril, axis1=-2, axis2=-1)).sum(axis=-1)
    constants = -log_scales - 0.5 * scale_tril.shape[-1] * _LOG_TWO_PI
    return constants[:, None] - 0.5 * jnp.square(standard).sum(axis=1)


def _log_masked(parameters: Parameters, rows: MaskedRows, row_variance: Array | None) -> Array:
    """Computes the log density of the observed columns of each row under each component, (K, n)."""
    if rows.masks is None and rows.variances is None:
        log_densities = log_normal(parameters, rows.values)
        return (
            log_densities
            if row_variance is None
            else log_densities + row_corrections(parameters, row_variance)[:, None]
        )
    variances = jnp.square(parameters.scales)[:, None, :]
    if rows.variances is not None:
        variances = variances + rows.variances
    squares = jnp.square(rows.values - parameters.locs[:, None, :])
    cells = -0.5 * (jnp.log(variances) + _LOG_TWO_PI + squares / variances)
    if row_variance is not None:
        cells -= 0.5 * _variance_ratios(parameters, row_variance)[:, None, :]
    return (cells if rows.masks is None else cells * rows.masks).sum(axis=-1)


def _log_grouped(parameters: Parameters, rows: RowGroup, row_variance: Array | None) -> Array:
    """Computes the log density of the observed columns of the rows of one group under each component, (K, n)."""
    chosen = rows.columns
    if parameters.scale_tril is None:
        matrices = jnp.square(jnp.asarray(parameters.scales)[:, chosen])[:, :, None] * jnp.eye(len(chosen))
    else:
        factors = jnp.asarray(parameters.scale_tril)[:, chosen]
        matrices = factors @ factors.swapaxes(-1, -2)
    differences = rows.values - jnp.asarray(parameters.locs)[:, None, chosen]
    if rows.covariances is None:
        log_densities = _log_correlated(differences.swapaxes(1, 2), jnp.linalg.cholesky(matrices))
    else:
        log_densities = _log_one_by_one(differences, jnp.linalg.cholesky(matrices[:, None] + rows.covariances))
    if row_variance is None:
        return log_densities
    if parameters.scale_tril is None:
        return log_densities - 0.5 * _variance_ratios(parameters, row_variance)[:, chosen].sum(axis=-1)[:, None]
    return log_densities + row_corrections(parameters, row_variance)[:, None]


def _log_one_by_one(differences: Array, scale_tril: Array) -> Array:
    """Computes the log density, (K, n), of differences (K, n, d), each under the Cholesky factor of its own."""
    standard = jax.scipy.linalg.solve_triangular(scale_tril, differences[..., None], lower=True)[..., 0]
    log_scales = jnp.log(jnp.diagonal(scale_tril, axis1=-2, axis2=-1)).sum(axis=-1)
    constants = -log_scales - 0.5 * differences.shape[-1] * _LOG_TWO_PI
    return constants - 0.5 * jnp.square(standard).sum(axis=-1)
