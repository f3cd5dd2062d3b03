"""When a fit stops: the bound has stopped rising."""

from __future__ import annotations

import math
from collections.abc import Sequence

PATIENCE = 2  # gains too small that must follow each other


class Plateau:
    """The stopping rule of all fits: `patience` gains of the bound, one after the other, that are too small.

    Args:
        tolerance: A gain of the bound below it counts as none, nats per row.
        patience: Number of such gains that must follow each other.
        num_data: Number of rows, N.

    Example:

    >>> plateau = Plateau(tolerance=0.1, patience=2, num_data=10)
    >>> [plateau.is_reached(elbo) for elbo in (-50.0, -49.5, -49.4)]
    [False, False, True]
    """

    def __init__(self, tolerance: float, patience: int, num_data: float) -> None:
        self._least_gain = tolerance * num_data
        self._patience = patience
        self._last_elbo, self._num_flat = -math.inf, 0

    def is_reached(self, elbo: float) -> bool:
        """Takes in the bound of one more sweep, nats, and tells whether it has stopped rising."""
        is_flat = elbo - self._last_elbo < self._least_gain  # never where it is not a number
        self._last_elbo, self._num_flat = elbo, self._num_flat + 1 if is_flat else 0
        return self.is_flat

    @property
    def is_flat(self) -> bool:
        """Whether the bound has stopped rising."""
        return self._num_flat >= self._patience

    @property
    def state(self) -> list[float]:
        """The last bound, nats, and the number of gains, up to it, that were too small."""
        return [self._last_elbo, self._num_flat]

    @state.setter
    def state(self, state: Sequence[float]) -> None:
        self._last_elbo, self._num_flat = float(state[0]), int(state[1])
