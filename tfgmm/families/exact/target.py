"""The exact log posterior of a mixture, with the memberships summed out, and its gradient: many mixtures at a time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import numpy as np

from tfgmm.families.exact.coordinates import Coordinates, RowStatistics, row_statistics
from tfgmm.families.records import Drawn
from tfgmm.families.variational import VariationalPosterior
from tfgmm.mixture.integrands import Coefficients, with_masks
from tfgmm.mixture.parameters import coefficients_of
from tfgmm.mixture.row_groups import RowGroups
from tfgmm.mixture.statistics import RowSums, Statistics
from tfgmm.scoring import devices

# Mixtures whose products are computed together, since they share the features of a row; and numbers in their log
# joints, beyond which memory is given back after each call, and its pages are made anew: four times as slow.
_AT_A_TIME, _FEWEST_AT_A_TIME, _LOG_JOINTS, _ROWS_OF_CHUNK = 64, 4, 2**18, 16_384


class PassedRows(Protocol):
    """Rows that can be passed over again and again.

    Attributes:
        gap_columns: Columns in which some rows have no value.
    """

    gap_columns: tuple[int, ...]

    def groups(self) -> Iterable[RowGroups]:
        """Yields the rows, sorted, batch by batch, measured from the centre of the posterior."""


class Target:
    """The exact log posterior, given rows.

    Args:
        posterior: The family, with its priors and its centre.
        rows: The rows that the posterior was fitted to.
    """

    def __init__(self, posterior: VariationalPosterior, rows: PassedRows) -> None:
        self.posterior, self.rows = posterior, rows
        self.is_independent = posterior.form == "independent"
        self._masked = tuple(rows.gap_columns) if self.is_independent else ()

    def log_density(self, coordinates: Coordinates, phi: np.ndarray) -> np.ndarray:
        """Computes log p(rows, phi), (S,) float64 nats, -inf where it is no finite number.

        Args:
            coordinates: What phi means.
            phi: (S, P).
        """
        found, near = np.full(len(phi), -np.inf), coordinates.are_near(phi)
        if near.any():
            with np.errstate(all="ignore"):
                drawn = coordinates.drawn(phi[near])
                found[near] = self.log_likelihoods(drawn) + coordinates.log_prior(phi[near], drawn)
        return np.where(np.isfinite(found), found, -np.inf)

    def log_density_and_gradient(self, coordinates: Coordinates, phi: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Computes log p(rows, phi), (S,) nats, and its gradient, (S, P), 0 where the first is -inf."""
        found, gradients = np.full(len(phi), -np.inf), np.zeros(phi.shape)
        near = coordinates.are_near(phi)
        if near.any():
            with np.errstate(all="ignore"):
                drawn = coordinates.drawn(phi[near])
                log_likelihoods, sums = self.sums(drawn)
                found[near] = log_likelihoods + coordinates.log_prior(phi[near], drawn)
                gradients[near] = coordinates.row_gradient(phi[near], drawn, sums)
                gradients[near] += coordinates.prior_gradient(phi[near], drawn)
        is_finite = np.isfinite(found) & np.isfinite(gradients).all(axis=-1)
        return np.where(is_finite, found, -np.inf), np.where(is_finite[:, None], gradients, 0.0)

    def log_likelihoods(self, drawn: Drawn) -> np.ndarray:
        """Computes the log likelihood of all rows under each of S mixtures, (S,) nats; the rows are read once."""
        coefficients = self.coefficients(drawn)
        totals = np.zeros(len(drawn.log_weights))
        for groups in self.rows.groups():
            for part in _parts(drawn, groups):
                totals[part] += devices.log_likelihoods_of(groups, [values[part] for values in coefficients])[0]
        return totals

    def sums(self, drawn: Drawn) -> tuple[np.ndarray, RowStatistics]:
        """Sums what S mixtures say of the rows: log likelihoods (S,), and statistics at the mixtures themselves."""
        coefficients, total = self.coefficients(drawn), None
        for groups in self.rows.groups():
            parts = [groups.sums([values[part] for values in coefficients]) for part in _parts(drawn, groups)]
            total = added(total, joined(parts))
        if total is None:
            raise ValueError("`data` must have rows. Received: none. Pass those that the mixture was fitted to.")
        return total.log_likelihood, self.split(total.statistics)

    def split(self, statistics: Statistics) -> RowStatistics:
        """Takes apart sums over rows."""
        return row_statistics(statistics, self._masked, self.is_independent)

    def coefficients(self, drawn: Drawn) -> Coefficients:
        """Computes the coefficients of log joints of rows, (S, F, K) and (S, K), as the rows take them."""
        family: Any = self.posterior.components
        mixtures = self.posterior.mixtures_of(drawn)
        of_rows = mixtures.log_weights + family.row_corrections(mixtures.components)
        coefficients = coefficients_of(mixtures._replace(log_weights=of_rows))
        if not self._masked:
            return coefficients
        return with_masks(coefficients, family.gap_constants(mixtures.components, self._masked))


def added(one: RowSums | None, other: RowSums) -> RowSums:
    """Adds the sums over two sets of rows; None stands for no rows."""
    if one is None:
        return other
    statistics = Statistics(*(a + b for a, b in zip(one.statistics, other.statistics)))
    return RowSums(statistics, one.log_likelihood + other.log_likelihood, one.largest + other.largest)


def joined(parts: Sequence[RowSums]) -> RowSums:
    """Puts the sums of a few mixtures each together, which are over the same rows."""
    statistics = Statistics(*(np.concatenate(values) for values in zip(*(part.statistics for part in parts))))
    largest = np.concatenate([part.largest for part in parts])
    return RowSums(statistics, np.concatenate([part.log_likelihood for part in parts]), largest)


def _parts(drawn: Drawn, groups: RowGroups) -> list[slice]:
    """Cuts S draws into parts whose products are computed together: the more rows, the smaller."""
    num_draws, num_components = drawn.log_weights.shape
    rows = min(len(groups.block.values), _ROWS_OF_CHUNK)
    size = min(_AT_A_TIME, max(_FEWEST_AT_A_TIME, _LOG_JOINTS // (num_components * rows)))
    return [slice(first, first + size) for first in range(0, num_draws, size)]
