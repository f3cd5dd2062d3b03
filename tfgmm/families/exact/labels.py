"""One labelling of the components: where the posterior is the same in every order, draws stay in that of the mode."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from tfgmm.families.exact.coordinates import Coordinates
from tfgmm.families.records import Drawn
from tfgmm.families.variational import VariationalPosterior
from tfgmm.posterior.assignment import cheapest

# Numbers in one table of costs, and shares of draws between which their spread is measured
_MEMORY, _MIDDLE = 2**22, (0.16, 0.84)


# Beyond it squares overflow: draws so far away have no density to speak of
_FARTHEST = 1e150


class Labels:
    """The order in which the components of a draw are nearest to those of a reference.

    Components are near in locations and in logarithms of their widths, each in units of its spread in the posterior.
    Whatever the units, exactly one order of each draw is its own, so that where all orders are equally probable the
    posterior of one labelling has 1 / K! of all probability.

    Args:
        coordinates: Coordinates around the reference.
        near: Draws near it, whose spread is the unit.
    """

    def __init__(self, coordinates: Coordinates, near: Drawn) -> None:
        self.is_symmetric = is_symmetric(coordinates.posterior)
        self._posterior = coordinates.posterior
        self._pivot = self._features(coordinates.drawn(np.zeros((1, coordinates.num_coordinates))))[0]
        low, high = np.quantile(self._features(near), _MIDDLE, axis=0)
        spread = 0.5 * (high - low)
        self._units = np.where((spread > 0.0) & (spread < _FARTHEST), spread, 1.0)

    @property
    def log_num_orders(self) -> float:
        """Logarithm of the number of labellings that are equally probable."""
        return math.lgamma(len(self._pivot) + 1) if self.is_symmetric else 0.0

    def orders(self, drawn: Drawn) -> np.ndarray:
        """Finds the order of the components of each draw, (S, K) int."""
        return np.concatenate([cheapest(costs) for costs in self._parts_of_costs(drawn)])

    def are_own(self, drawn: Drawn) -> np.ndarray:
        """Tells which draws have the order of the reference, (S,) bool."""
        return np.concatenate([_have_own_order(costs) for costs in self._parts_of_costs(drawn)])

    def numbers(self, drawn: Drawn) -> np.ndarray:
        """Lists what can be told of each draw, (S, F): logarithms of weights and widths, and locations."""
        log_weights = drawn.log_weights[:, :-1] if drawn.log_weights.shape[1] > 1 else drawn.log_weights[:, :0]
        return np.concatenate([log_weights, self._features(drawn).reshape(len(log_weights), -1)], axis=1)

    def _features(self, drawn: Drawn) -> np.ndarray:
        """Lists what components are told apart by, (S, K, F)."""
        with np.errstate(all="ignore"):
            mixtures = self._posterior.mixtures_of(drawn)
            locs = np.asarray(mixtures.components["locs"])
            scales = np.broadcast_to(mixtures.form.covariances(mixtures.components)[0], locs.shape)
            features = np.concatenate([locs, np.log(scales)], axis=-1)
        return np.clip(np.nan_to_num(features, nan=_FARTHEST), -_FARTHEST, _FARTHEST)

    def _parts_of_costs(self, drawn: Drawn) -> Iterator[np.ndarray]:
        """Yields squared distances in units of the spread, (B, j, k), of component j from the k-th of the reference.

        Those from the middle of the reference are products: arrays of (S, K, K, F) would not fit in memory.
        """
        features, size = self._features(drawn), max(1, _MEMORY // len(self._pivot) ** 2)
        middle, scales = self._pivot.mean(axis=0), self._units**-2.0
        pivot = self._pivot - middle
        for first in range(0, len(features), size):
            away = features[first : first + size] - middle
            with np.errstate(all="ignore"):
                costs = np.square(away) @ scales.T - 2.0 * (away @ (pivot * scales).T)
            costs += (np.square(pivot) * scales).sum(axis=-1)
            yield np.nan_to_num(costs, nan=_FARTHEST, posinf=_FARTHEST, neginf=-_FARTHEST)


def _have_own_order(costs: np.ndarray) -> np.ndarray:
    """Tells where no order is cheaper than the own one, (B,) bool, of costs (B, K, K).

    Most draws are told by pairs: two components that had better be swapped. The assignment problem tells the rest.
    """
    own = np.diagonal(costs, axis1=1, axis2=2)
    pairs = costs + np.swapaxes(costs, 1, 2)
    are_own: np.ndarray = (own[:, :, None] + own[:, None] <= pairs).all(axis=(1, 2))
    left = np.flatnonzero(are_own)
    are_own[left] = (cheapest(costs[left]) == np.arange(costs.shape[1])).all(axis=1)
    return are_own


def is_symmetric(posterior: VariationalPosterior) -> bool:
    """Tells whether the prior is the same for every order of the components."""
    counts = getattr(posterior.weights, "prior_counts", None)
    return counts is not None and bool((counts == counts[0]).all())


def reordered(drawn: Drawn, orders: np.ndarray) -> Drawn:
    """Puts the components of draws into other orders, (S, K); what components share stays."""

    def moved(values: np.ndarray) -> np.ndarray:
        if values.shape[1] == 1 < orders.shape[1]:
            return values
        return np.take_along_axis(values, orders.reshape(*orders.shape, *([1] * (values.ndim - 2))), axis=1)

    return Drawn(moved(drawn.log_weights), type(drawn.components)(*map(moved, drawn.components)))
