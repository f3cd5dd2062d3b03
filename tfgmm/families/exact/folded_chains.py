"""Draws of chains, all in one labelling of the components, and how well the chains agree."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from tfgmm.families.exact.labels import Labels, reordered
from tfgmm.families.exact.records import ExactDraws, picked, shares_of_moved
from tfgmm.families.records import Drawn
from tfgmm.posterior.convergence import bulk_sizes, r_hats
from tfgmm.posterior.record import PosteriorRecord


class FoldedChains:
    """Collects batches of draws of C chains, each put into the labelling of the mode once.

    Args:
        labels: The labelling.
        num_kept: Draws to hand out at most.
        generator: Source of the choice among them.
    """

    def __init__(self, labels: Labels, num_kept: int, generator: np.random.Generator) -> None:
        self._labels, self._num_kept, self._generator = labels, num_kept, generator
        self._batches: list[Drawn] = []
        self._numbers: list[np.ndarray] = []
        self._orders: list[np.ndarray] = []
        self.length = 0  # draws of each chain

    def add(self, drawn_at: Callable[[np.ndarray], Drawn], xi: np.ndarray) -> None:
        """Adds draws of all chains.

        Args:
            drawn_at: Function from (S, P) to the parameters there.
            xi: (C, S, P).
        """
        drawn = drawn_at(xi.reshape(-1, xi.shape[2]))
        orders = self._labels.orders(drawn)
        folded = reordered(drawn, orders)
        self._batches.append(folded)
        self._numbers.append(self._labels.numbers(folded).reshape(*xi.shape[:2], -1))
        self._orders.append(orders)
        self.length += xi.shape[1]

    def draws(self) -> ExactDraws:
        """Takes some of all draws by chance, with r-hat and effective size of what is known of components."""
        numbers = np.concatenate(self._numbers, axis=1)
        num_draws = numbers.shape[0] * numbers.shape[1]
        share, moved = shares_of_moved(np.concatenate(self._orders))
        r_hat, ess = _agreement(numbers)
        record = PosteriorRecord("mcmc", r_hat=r_hat, ess=ess, share_moved=share, moved=moved)
        first, *others = self._batches
        log_weights = np.concatenate([batch.log_weights for batch in self._batches])
        of_components = zip(first.components, *(batch.components for batch in others))
        drawn = Drawn(log_weights, type(first.components)(*map(np.concatenate, of_components)))
        return ExactDraws(picked(drawn, self._generator.permutation(num_draws)[: self._num_kept]), record)


def _agreement(numbers: np.ndarray) -> tuple[float, float]:
    """Computes the largest r-hat and the smallest effective size of numbers (C, S, F) that vary.

    A number that has stayed where it was in some chain has no r-hat: its chains do not agree.
    """
    varying = numbers[:, :, np.ptp(numbers, axis=(0, 1)) > 0.0]
    if not varying.shape[2]:
        return math.inf, 0.0
    largest, smallest = float(np.max(r_hats(varying))), float(np.min(bulk_sizes(varying)))
    return (math.inf if math.isnan(largest) else largest), (0.0 if math.isnan(smallest) else smallest)
