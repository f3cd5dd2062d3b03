"""What is kept until the numbers that it belongs to have changed: answers that take long, and draws of a fit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tfgmm.families.exact.records import ExactDraws
from tfgmm.families.variational import VariationalPosterior


class Kept:
    """The last answer to a question that takes long, and the arrays that it depends on.

    Example:

    >>> kept = Kept()
    >>> kept.answer([np.zeros(2)], lambda: "long"), kept.answer([np.zeros(2)], lambda: "not asked")
    ('long', 'long')
    >>> kept.answer([np.ones(2)], lambda: "anew")
    'anew'
    """

    def __init__(self) -> None:
        self._last: tuple[tuple[np.ndarray, ...], Any] | None = None  # in one piece: threads never see half of it

    def answer(self, numbers: Sequence[np.ndarray], ask: Callable[[], Any]) -> Any:
        """Returns what `ask` returned for the same numbers, or asks it.

        Args:
            numbers: Arrays that the answer depends on.
            ask: Works the answer out.
        """
        last = self._last
        if last is None or not all(map(np.array_equal, last[0], numbers)):
            last = tuple(np.array(value) for value in numbers), ask()
            self._last = last
        return last[1]


class CarriedDraws:
    """Draws from the exact posterior near q, and where q stood.

    Args:
        exact: The draws.
        posterior: q, from which they were looked for; its numbers are copied.
    """

    def __init__(self, exact: ExactDraws, posterior: VariationalPosterior) -> None:
        self.exact = exact
        self._numbers = tuple(np.array(value) for value in _numbers_of(posterior))

    def are_of(self, posterior: VariationalPosterior) -> bool:
        """Tells whether q is where it was; each of its numbers is compared, as whoever moves it need not say so."""
        return all(map(np.array_equal, self._numbers, _numbers_of(posterior)))


def _numbers_of(posterior: VariationalPosterior) -> tuple[np.ndarray, ...]:
    return posterior.centre, *posterior.values().flat
