"""A proposal for components that may have no rows, or one: these from their prior, all else from about the mode.

What no row says anything of is distributed as in the prior, which has far heavier tails than anything near the mode:
mu is anywhere, while its precision may be large. And what has one row may be as narrow as the prior lets it be. Ratios
to a proposal without such tails have no variance.
"""

from __future__ import annotations

import itertools

import numpy as np
from scipy.linalg import cho_solve, solve_triangular

from tfgmm.common.threads import slices
from tfgmm.families.exact.coordinates import Coordinates
from tfgmm.families.exact.proposals import Cloud, log_average, shared_out
from tfgmm.families.exact.single_priors import SinglePriors
from tfgmm.families.exact.target import PassedRows

# Components with more rows cannot be thought to have none
_MOST_ROWS = 15.0
# With more of them, not all sets are tried: each by itself, and all together
_MOST_IN_SETS = 3
_DEGREES = 5.0
# Numbers in the temporaries of some points: with more they spill out of the cache; and the most points
_CHUNK_NUMBERS, _MOST_POINTS = 2**20, 500


class PriorProposal:
    """Sets of components from their priors, and all other numbers from a t distribution at the mode, in xi.

    Args:
        coordinates: Coordinates around the mode.
        root: L, lower triangular, of the information L L' there; phi = L'^-1 xi.
        sets: The sets of components, each as probable.
        rows: (n, D) complete rows, measured from the centre.
    """

    def __init__(
        self, coordinates: Coordinates, root: np.ndarray, sets: list[tuple[int, ...]], rows: np.ndarray
    ) -> None:
        self._coordinates, self._root, self._sets = coordinates, root, sets
        self._chosen = sorted(set().union(*sets))  # the components that are in any of the sets
        self._priors, size = SinglePriors(coordinates, rows), len(root)
        covariance = cho_solve((root, True), np.eye(size))
        self._rests = [
            np.setdiff1d(np.arange(size), np.concatenate([self._priors.places(k) for k in chosen])) for chosen in sets
        ]
        self._clouds = [
            Cloud(np.zeros(len(rest)), np.linalg.cholesky(covariance[np.ix_(rest, rest)]), _DEGREES)
            for rest in self._rests
        ]
        self._shares = np.full(len(sets), 1.0 / len(sets))
        self._log_determinant = float(np.log(np.diag(root)).sum())

    def draw(self, num_draws: int, generator: np.random.Generator) -> np.ndarray:
        """Draws xi, (num_draws, P) float64."""
        parts, counts = [], shared_out(num_draws, self._shares, generator)
        for chosen, rest, cloud, count in zip(self._sets, self._rests, self._clouds, counts):
            phi = np.zeros((count, len(self._root)))
            phi[:, rest] = cloud.draw(int(count), generator)
            self._priors.draw_into(phi, chosen, generator)
            parts.append(phi)
        return np.concatenate(parts) @ self._root

    def log_density(self, points: np.ndarray) -> np.ndarray:
        """Computes the log density of xi, (S, P) to (S,) nats; some points at a time."""
        if not len(points):
            return np.zeros(0)
        num_points = max(1, _CHUNK_NUMBERS // (len(self._chosen) * self._priors.numbers_per_component))
        parts = slices(0, len(points), min(num_points, _MOST_POINTS))
        return np.concatenate([self._log_density(points[part]) for part in parts])

    def _log_density(self, points: np.ndarray) -> np.ndarray:
        phi = np.asarray(solve_triangular(self._root, points.T, lower=True, trans="T").T)
        with np.errstate(all="ignore"):
            of_each = self._priors.log_densities(phi, self._coordinates.drawn(phi), self._chosen)
            parts = [
                cloud.log_density(phi[:, rest]) + of_each[:, np.searchsorted(self._chosen, chosen)].sum(axis=1)
                for chosen, rest, cloud in zip(self._sets, self._rests, self._clouds)
            ]
        values = np.stack(parts)
        found = log_average(np.where(np.isfinite(values), values, -np.inf), self._shares)
        return np.asarray(found - self._log_determinant)


def prior_proposal(
    coordinates: Coordinates, root: np.ndarray, num_data: float, rows: PassedRows
) -> PriorProposal | None:
    """Makes the proposal for components with few rows; None where all have many.

    Args:
        coordinates: Coordinates around the mode.
        root: L of the information there.
        num_data: N.
        rows: All rows.
    """
    few = np.flatnonzero(np.exp(coordinates.log_weights) * num_data < _MOST_ROWS).tolist()
    if not few:
        return None
    lengths = range(1, len(few) + 1) if len(few) <= _MOST_IN_SETS else (1, len(few))
    sets = [chosen for length in lengths for chosen in itertools.combinations(few, length)]
    return PriorProposal(coordinates, root, sets, some_rows(rows))


def some_rows(rows: PassedRows, most: int = 64) -> np.ndarray:
    """Takes some of the complete rows, (n, D) float64, evenly from all batches; n may be 0.

    Every so many-th of them, a power of two: from half of `most` to all of them, where there are as many.
    """
    kept: list[np.ndarray] = []
    stride, num_seen = 1, 0
    for groups in rows.groups():
        values = groups.block.values
        complete = np.flatnonzero(~np.isnan(values).any(axis=1))
        while len(kept) + len(complete[-num_seen % stride :: stride]) > most:
            kept, stride = kept[::2], 2 * stride
        kept += list(values[complete[-num_seen % stride :: stride]].astype(np.float64))
        num_seen += len(complete)
    return np.stack(kept) if kept else np.zeros((0, values.shape[1]))
