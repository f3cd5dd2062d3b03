"""How well two components fit the rows of one, in its place: EM on a few hundred of its rows, all others held fixed."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

# Sweeps of 2-means from each start, and steps of EM after them
_MEANS_SWEEPS, _EM_STEPS = 3, 10
# Variances of halves are those of two more rows with a fiftieth of the component's
_MORE_ROWS, _MORE_SQUARES = 2.0, 0.04
# The first start, and random pairs
_NUM_STARTS = 3
_TINY = 1e-12
# Share of sums of squares that sums in float64 may be wrong by
_ROUNDING = 1e-11


class Crowds(NamedTuple):
    """Some rows of each of M components.

    whitened: (M, n, D) float64, measured from the location of the component, in widths of it.
    scaled: (M, n, D), the same where a component has correlations, in standard deviations per column.
    memberships: (M, n) of the rows in the component, above 0.
    weights: (M, n), how often each row counts; 0 for places without a row.
    """

    whitened: np.ndarray
    scaled: np.ndarray
    memberships: np.ndarray
    weights: np.ndarray


class Halves(NamedTuple):
    """Two components in place of each of M.

    gains: (M,) nats that these rows gain.
    memberships: (M, 2, n) of the rows in both.
    """

    gains: np.ndarray
    memberships: np.ndarray


class Widths(NamedTuple):
    """Which widths the two have beside those of the component: its own, one factor each, one per column, or a matrix.

    is_tied: Whether they have the same.
    is_spherical: Whether one factor serves all columns.
    is_matrix: Whether they have correlations of their own.
    """

    is_tied: bool
    is_spherical: bool
    is_matrix: bool


def halves_of(crowds: Crowds, widths: Widths, generator: np.random.Generator) -> Halves:
    """Puts two components in the place of one, for each of M, from three starts; the best is kept.

    Partial EM: rows have (1 - r) / r of the density of the component from all others, and keep it.

    Source: Ueda, Nakano, Ghahramani and Hinton 2000, "SMEM algorithm for mixture models", Neural Computation 12.

    Args:
        crowds: Rows of each of the M.
        widths: Which widths the two have.
        generator: Source of the random pairs.
    """
    own = crowds.weights * crowds.memberships
    parts = _divided(crowds.scaled, own, generator)
    features = _features(crowds.whitened, widths.is_matrix)
    log_old = -0.5 * np.square(crowds.whitened).sum(axis=-1)
    log_both = log_old - np.log(crowds.memberships)
    rest = np.where(crowds.memberships < 1.0, (1.0 - crowds.memberships) / crowds.memberships, 0.0)
    memberships = parts * crowds.memberships[:, None, None]  # (M, starts, 2, n)
    total = np.maximum(own.sum(axis=-1), _TINY)
    gains = np.zeros(parts.shape[:2])
    for _ in range(_EM_STEPS + 1):
        log_new = _log_densities(features, memberships * crowds.weights[:, None, None], total, widths)
        # In units of the density of the component: what it loses far out is held in range
        ratios = np.exp(np.minimum(log_new - log_old[:, None, None], 500.0))
        sums = rest[:, None] + ratios.sum(axis=2)
        memberships = ratios / np.maximum(sums, _TINY)[:, :, None]
        gained = np.log(np.maximum(sums, _TINY)) - (log_both - log_old)[:, None]
        gains = (crowds.weights[:, None] * gained).sum(axis=-1)
    best = gains.argmax(axis=1)
    rows = np.arange(len(best))
    return Halves(gains[rows, best], memberships[rows, best])


def _divided(values: np.ndarray, weights: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Divides the rows of each in two, in three ways, (M, 3, 2, n) of 0 and 1: 2-means from each of the starts."""
    total = np.maximum(weights.sum(axis=-1), _TINY)
    away = values - (weights[:, None] @ values) / total[:, None, None]
    pulled = away * weights[..., None]
    axes = np.linalg.eigh(pulled.swapaxes(1, 2) @ away)[1][..., -1:]
    first = (away @ axes)[..., 0] > 0.0
    is_second = np.stack([first, *(_near_a_pair(away, weights, generator) for _ in range(_NUM_STARTS - 1))], axis=1)
    squares = np.square(away).sum(axis=-1)
    for _ in range(_MEANS_SWEEPS):
        parts = np.stack([~is_second, is_second], axis=2) * weights[:, None, None]
        means = (parts.reshape(len(values), -1, values.shape[1]) @ away) / np.maximum(
            parts.sum(axis=-1), _TINY
        ).reshape(len(values), -1, 1)
        distances = squares[:, None] - 2.0 * means @ away.swapaxes(1, 2) + np.square(means).sum(axis=-1)[..., None]
        distances = distances.reshape(parts.shape)
        is_second = distances[:, :, 1] < distances[:, :, 0]
    return np.stack([~is_second, is_second], axis=2).astype(np.float64)


def _near_a_pair(values: np.ndarray, weights: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Divides rows by which of two is nearer: one at random, and one that is likelier the farther it is, (M, n)."""
    numbers = np.arange(len(values))
    one = values[numbers, _drawn(weights, generator)][:, None]
    of_one = np.square(values - one).sum(axis=-1)
    other = values[numbers, _drawn(weights * of_one, generator)][:, None]
    return np.square(values - other).sum(axis=-1) < of_one


def _drawn(weights: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Draws an entry of each line of weights (M, n), (M,) int."""
    sums = np.cumsum(weights, axis=-1)
    thresholds = generator.random((len(weights), 1)) * sums[:, -1:]
    return np.minimum((sums <= thresholds).sum(axis=-1), weights.shape[1] - 1)


def _features(values: np.ndarray, is_matrix: bool) -> np.ndarray:
    """Writes columns and their squares, or all their products, (M, n, D + P)."""
    if not is_matrix:
        return np.concatenate([values, np.square(values)], axis=-1)
    products = values[..., :, None] * values[..., None, :]
    return np.concatenate([values, products.reshape(*values.shape[:2], -1)], axis=-1)


def _log_densities(features: np.ndarray, weights: np.ndarray, total: np.ndarray, widths: Widths) -> np.ndarray:
    """Computes log joints of halves that have these weights of the rows, (M, starts, 2, n).

    Without the constant of D, which the density of the component has too.
    """
    shape = weights.shape
    flat = weights.reshape(len(weights), -1, shape[-1])
    counts, sums = flat.sum(axis=-1), flat @ features
    num_products = features.shape[-1]
    if widths.is_matrix:
        num_features = round((-1.0 + np.sqrt(1.0 + 4.0 * num_products)) / 2.0)
        coefficients = _of_matrices(counts, sums, num_features)
    else:
        num_features = num_products // 2
        coefficients = _of_columns(counts, sums, num_features, widths)
    linear, constants = coefficients
    log_weights = np.log(np.maximum(counts, _TINY) / total[:, None])
    return (linear @ features.swapaxes(1, 2) + (constants + log_weights)[..., None]).reshape(shape)


def _of_columns(
    counts: np.ndarray, sums: np.ndarray, num_features: int, widths: Widths
) -> tuple[np.ndarray, np.ndarray]:
    """Computes coefficients of log densities with a width per column, (M, J, 2 D) and (M, J)."""
    means = sums[..., :num_features] / np.maximum(counts, _TINY)[..., None]
    squares = np.maximum(sums[..., num_features:] - counts[..., None] * np.square(means), 0.0)
    variances = (squares + _MORE_SQUARES) / (counts + _MORE_ROWS)[..., None]
    if widths.is_tied:
        variances = np.ones_like(variances)
    elif widths.is_spherical:
        variances = np.broadcast_to(variances.mean(axis=-1, keepdims=True), variances.shape)
    linear = np.concatenate([means / variances, -0.5 / variances], axis=-1)
    return linear, -0.5 * (np.square(means) / variances + np.log(variances)).sum(axis=-1)


def _of_matrices(counts: np.ndarray, sums: np.ndarray, num_features: int) -> tuple[np.ndarray, np.ndarray]:
    """Computes coefficients of log densities with a covariance matrix, (M, J, D + D^2) and (M, J)."""
    means = sums[..., :num_features] / np.maximum(counts, _TINY)[..., None]
    squares = sums[..., num_features:].reshape(*means.shape, num_features)
    # What rows far away leave of the others' squares is rounding: no matrix may be singular by it
    rounding = _ROUNDING * np.trace(squares, axis1=-2, axis2=-1)
    squares = squares - counts[..., None, None] * means[..., :, None] * means[..., None, :]
    squares = squares + np.maximum(_MORE_SQUARES, rounding)[..., None, None] * np.eye(num_features)
    covariances = squares / (counts + _MORE_ROWS)[..., None, None]
    precisions = np.linalg.inv(covariances)
    of_means = (precisions @ means[..., None])[..., 0]
    linear = np.concatenate([of_means, -0.5 * precisions.reshape(*means.shape[:-1], -1)], axis=-1)
    return linear, -0.5 * ((of_means * means).sum(axis=-1) + np.linalg.slogdet(covariances)[1])
