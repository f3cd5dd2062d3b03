"""An answer that is kept until what it was worked out from has changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np


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
