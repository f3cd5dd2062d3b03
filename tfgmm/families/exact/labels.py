"""One labelling of the components: where the posterior is the same in every order, draws stay in that of the mode."""

from __future__ import annotations

import math

import numpy as np

from tfgmm.families.exact.coordinates import Coordinates
from tfgmm.families.records import Drawn
from tfgmm.families.variational import VariationalPosterior
from tfgmm.posterior.assignment import cheapest

# Numbers in one table of costs
_MEMORY = 2**22


class Labels:
    """The order in which the components of a draw are nearest to those of a reference.

    Components are near in locations and in logarithms of their widths, each in units of its spread in the posterior.
    Whatever the units, exactly one order of each draw is its own, so that the posterior of one labelling has 1 / K! of
    all probability.

    Args:
        coordinates: Coordinates around the reference.
        near: Draws near it, whose spread is the unit.
    """

    def __init__(self, coordinates: Coordinates, near: Drawn) -> None:
        self.is_symmetric = is_symmetric(coordinates.posterior)
        self._posterior = coordinates.posterior
        self._pivot = self._features(coordinates.drawn(np.zeros((1, coordinates.num_coordinates))))[0]
        spread = self._features(near).std(axis=0)
        self._units = np.where(spread > 0.0, spread, 1.0)

    @property
    def log_num_orders(self) -> float:
        """Logarithm of the number of labellings that are equally probable."""
        return math.lgamma(len(self._pivot) + 1) if self.is_symmetric else 0.0

    def orders(self, drawn: Drawn) -> np.ndarray:
        """Finds the order of the components of each draw, (S, K) int."""
        num_components = len(self._pivot)
        own = np.arange(num_components)
        if not self.is_symmetric or num_components == 1:
            return np.broadcast_to(own, drawn.log_weights.shape)
        features, size = self._features(drawn), max(1, _MEMORY // num_components**2)
        parts = [features[first : first + size] for first in range(0, len(features), size)]
        return np.concatenate([cheapest(self._costs(part)) for part in parts])

    def _costs(self, features: np.ndarray) -> np.ndarray:
        """Computes squared distances in units of the spread, (S, j, k), of component j from the k-th of the reference.

        Those from the middle of the reference are products: arrays of (S, K, K, F) would not fit in memory.
        """
        middle, scales = self._pivot.mean(axis=0), self._units**-2.0
        away, pivot = features - middle, self._pivot - middle
        crossed = away @ (pivot * scales).T
        return np.square(away) @ scales.T - 2.0 * crossed + (np.square(pivot) * scales).sum(axis=-1)

    def are_own(self, drawn: Drawn) -> np.ndarray:
        """Tells which draws have the order of the reference, (S,) bool."""
        return np.asarray((self.orders(drawn) == np.arange(len(self._pivot))).all(axis=-1))

    def numbers(self, drawn: Drawn) -> np.ndarray:
        """Lists what can be told of each draw, (S, F): logarithms of weights and widths, and locations."""
        log_weights = drawn.log_weights[:, :-1] if drawn.log_weights.shape[1] > 1 else drawn.log_weights[:, :0]
        return np.concatenate([log_weights, self._features(drawn).reshape(len(log_weights), -1)], axis=1)

    def _features(self, drawn: Drawn) -> np.ndarray:
        """Lists what components are told apart by, (S, K, F)."""
        mixtures = self._posterior.mixtures_of(drawn)
        locs = np.asarray(mixtures.components["locs"])
        scales = np.broadcast_to(mixtures.form.covariances(mixtures.components)[0], locs.shape)
        return np.concatenate([locs, np.log(scales)], axis=-1)


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
