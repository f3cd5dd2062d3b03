"""What an engine does that holds rows in parts, on several processes or machines."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol, TypeVar

import numpy as np

from tfgmm.data.blocks import RowBlock

Answer = TypeVar("Answer")


class Engine(Protocol):
    """Rows in parts, which are numbered from 0 in the order of the frame.

    Functions run where the rows are, once per part and perhaps again after a worker died. They take the number of the
    part and its rows, block by block: values (n, D) in data units, NaN where there is none, weights and noise as asked.
    They can be pickled, and hand facts about bad rows back instead of raising.
    """

    @property
    def name(self) -> str:
        """What users call it."""

    def survey(self, function: Callable[[int, Iterator[RowBlock]], Answer]) -> list[Answer]:
        """Makes one pass over all parts; lists the answers in the order of the parts."""

    def hold(self, function: Callable[[int, Iterator[RowBlock]], Iterator[RowBlock]]) -> None:
        """Makes blocks of each part for `sums`, and keeps them until `release`, or until others are held."""

    def sums(self, function: Callable[[int, Iterator[RowBlock]], np.ndarray]) -> np.ndarray:
        """Adds an array, (F,) float64, of the held blocks of each part.

        By eights in the order of parts, and these by eights again. The order does not depend on the number of workers,
        nor on which of them fail: same bytes.
        """

    def release(self) -> None:
        """Gives back what is held. Once is enough; twice does no harm."""
