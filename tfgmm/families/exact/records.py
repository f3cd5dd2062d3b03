"""What draws from the exact posterior come back as."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tfgmm.families.records import Drawn
from tfgmm.posterior.record import PosteriorRecord


class ExactDraws(NamedTuple):
    """Draws of equal weight, and how they were made.

    drawn: S draws of parameters.
    record: How far to trust them.
    """

    drawn: Drawn
    record: PosteriorRecord

    @property
    def num_draws(self) -> int:
        """S."""
        return len(self.drawn.log_weights)

    def limited(self, most: int) -> ExactDraws:
        """Keeps so many draws at most."""
        return self if self.num_draws <= most else self._replace(drawn=picked(self.drawn, np.arange(most)))

    @property
    def num_numbers(self) -> int:
        """Numbers in one draw."""
        return sum(values[0].size for values in (self.drawn.log_weights, *self.drawn.components))

    def picked(self, num_draws: int, generator: np.random.Generator) -> Drawn:
        """Takes some of the draws by chance, each once; more than there are, each about as often as the others."""
        order = generator.permutation(self.num_draws)
        return picked(self.drawn, np.resize(order, num_draws))


def picked(drawn: Drawn, chosen: np.ndarray) -> Drawn:
    """Takes some of the draws."""
    return Drawn(drawn.log_weights[chosen], type(drawn.components)(*(values[chosen] for values in drawn.components)))


def shares_of_moved(orders: np.ndarray) -> tuple[float, tuple[float, ...]]:
    """Computes the share of draws in another order than their own, and the same of each component, from (S, K)."""
    are_moved = orders != np.arange(orders.shape[1])
    return float(are_moved.any(axis=1).mean()), tuple(are_moved.mean(axis=0).tolist())
