"""The maximum of the likelihood near a fit, found by EM: where BIC and AIC are evaluated elsewhere.

The likelihood of a mixture has no maximum where a component closes in on rows that are alike: it grows without end. So
no variance gets below a floor, the same for all shapes: 1e-7 squared spreads, or the rounding of its column. Nothing is
added to what rows are seen to vary, as `row_variance` of the priors does for the posterior.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, cast

import numpy as np

from tfgmm.fit.plateau import Plateau
from tfgmm.fit.sweep_batches import Batches
from tfgmm.mixture.features import matrices_of_products
from tfgmm.mixture.integrands import with_integrals
from tfgmm.mixture.parameters import LOCS, MixtureDensity, coefficients_of
from tfgmm.mixture.registry import COVARIANCES
from tfgmm.mixture.statistics import RowSums, Statistics, added, split_masks

_TOLERANCE, MOST_SWEEPS = 1e-9, 1_000  # nats per row
_LEAST_ROWS = 1e-8  # a component with fewer stays where it is


class Maximum(NamedTuple):
    """The mixture of the largest likelihood near a fit.

    mixture: Its parameters.
    log_likelihood: Log likelihood of all rows, nats.
    complete_log_likelihood: That of all rows together with the most probable component of each, nats.
    at_floor: Where components are as narrow as the floor allows, (K, D) bool: it decides their width there.
    """

    mixture: MixtureDensity
    log_likelihood: float
    complete_log_likelihood: float
    at_floor: np.ndarray


def maximum_near(
    mixture: MixtureDensity, batches: Batches, floor: np.ndarray, units: np.ndarray, most_sweeps: int = MOST_SWEEPS
) -> Maximum:
    """Follows EM from a mixture until the likelihood has stopped rising (Dempster, Laird and Rubin 1977).

    Args:
        mixture: The mixture to begin with.
        batches: All rows, measured from its centre.
        floor: (D,) variances that no component is below, squared data units.
        units: (D,) widths that count as equal for the spherical shapes, data units.
        most_sweeps: Largest number of steps of EM.
    """
    at_floor = np.zeros(mixture.components[LOCS].shape, bool)
    sums, weight = _sums(mixture, batches)
    plateau = Plateau(_TOLERANCE, 2, weight)
    for _ in range(most_sweeps):
        if plateau.is_reached(float(sums.log_likelihood)):
            break
        mixture, at_floor = _maximised(mixture, sums.statistics, floor, units, batches.gap_columns)
        sums, _ = _sums(mixture, batches)
    return Maximum(mixture, float(sums.log_likelihood), float(sums.largest), at_floor)


def _sums(mixture: MixtureDensity, batches: Batches) -> tuple[RowSums, float]:
    statistics, log_likelihood, largest, weight = None, 0.0, 0.0, 0.0
    coefficients = coefficients_of(mixture)
    if mixture.form.name == "independent" and batches.gap_columns:
        coefficients = with_integrals(coefficients, len(mixture.centre), batches.gap_columns)
    for sums, more in batches.sums(coefficients):
        statistics = added(statistics, sums.statistics)
        log_likelihood, largest = log_likelihood + float(sums.log_likelihood), largest + float(sums.largest)
        weight += more
    return RowSums(cast("Statistics", statistics), log_likelihood, largest), weight  # there are rows


def _maximised(
    mixture: MixtureDensity, statistics: Statistics, floor: np.ndarray, units: np.ndarray, gap_columns: Sequence[int]
) -> tuple[MixtureDensity, np.ndarray]:
    """Computes the mixture of the largest likelihood given the memberships, and where it is at the floor."""
    is_independent = mixture.form.name == "independent"
    counts = np.asarray(statistics.counts)
    observed, second = split_masks(statistics, gap_columns if is_independent else ())
    has_rows = observed > _LEAST_ROWS
    divisors = np.where(has_rows, observed, 1.0)
    locs = np.where(has_rows, statistics.first / divisors, mixture.components[LOCS])
    log_weights = np.log(np.maximum(counts, 1e-300) / counts.sum())
    second = second / (divisors if is_independent else divisors[:, :1])
    maximise = _precisions if is_independent else _whiteners
    new, at_floor = maximise(mixture, _Moments(np.where(has_rows, observed, 0.0), locs, second), floor, units)
    shape, name = COVARIANCES[mixture.covariance], mixture.form.precision_name
    if not shape.is_tied:
        keep: np.ndarray = np.any(has_rows, axis=1, keepdims=True) if shape.is_spherical else has_rows
        new = np.where(keep if is_independent else keep[:, :1, None], new, mixture.components[name])
        at_floor = at_floor & has_rows
    return mixture._replace(log_weights=log_weights, components={LOCS: locs, name: new}), at_floor


class _Moments(NamedTuple):
    """Rows of each component with a value, (K, D), and means of their values, (K, D), and of products, (K, P)."""

    observed: np.ndarray
    locs: np.ndarray
    second: np.ndarray


def _precisions(
    mixture: MixtureDensity, moments: _Moments, floor: np.ndarray, units: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Computes precisions, (K, D), and where variances are at the floor, (K, D) bool; rows alike for tied shapes."""
    observed, locs, second = moments
    shape = COVARIANCES[mixture.covariance]
    variances = second - np.square(locs)
    if shape.is_tied:
        variances = np.broadcast_to((observed * variances).sum(axis=0) / observed.sum(axis=0), locs.shape)
        observed = np.broadcast_to(observed.sum(axis=0), locs.shape)
    if shape.is_spherical:
        in_units = floor / np.square(units)
        sums = (observed * variances / np.square(units)).sum(axis=1, keepdims=True)
        variances = sums / np.maximum(observed.sum(axis=1, keepdims=True), _LEAST_ROWS) * np.square(units)
        at_floor = (variances <= in_units.max() * np.square(units)) & (in_units == in_units.max())
        return 1.0 / np.maximum(variances, in_units.max() * np.square(units)), at_floor
    return 1.0 / np.maximum(variances, floor), variances <= floor


def _whiteners(
    mixture: MixtureDensity, moments: _Moments, floor: np.ndarray, units: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Computes whiteners U of precisions U' U, (K, D, D) or (1, D, D), and what is at the floor, (K, D) bool."""
    counts, locs, second = moments.observed[:, 0], moments.locs, moments.second  # all columns count alike
    del units  # no shape with matrices is spherical
    matrices = matrices_of_products(second, locs.shape[1]) - locs[:, :, None] * locs[:, None, :]
    if COVARIANCES[mixture.covariance].is_tied:
        matrices = np.tensordot(counts / counts.sum(), matrices, 1)[None]
    scale = np.sqrt(floor)
    sizes, vectors = np.linalg.eigh(matrices / (scale[:, None] * scale))
    is_raised: np.ndarray = np.any(sizes <= 1.0, axis=-1)
    columns = np.abs(vectors).argmax(axis=-2)  # the one that each direction is nearest to
    at_floor = ((columns[..., None] == np.arange(len(floor))) & (sizes <= 1.0)[..., None]).any(axis=-2)
    raised = (vectors * np.maximum(sizes, 1.0)[:, None, :]) @ np.swapaxes(vectors, -1, -2)
    matrices = np.where(is_raised[:, None, None], raised * (scale[:, None] * scale), matrices)
    return np.linalg.inv(np.linalg.cholesky(matrices)), np.broadcast_to(at_floor, locs.shape)
