"""What rows carry beside their values, as it is asked for: weights and noise, in arrays or in columns by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from tfgmm.data.blocks import RowBlock

MISSING = ("refuse", "integrate")


class Asked(NamedTuple):
    """What was asked for beside the rows themselves.

    Args:
        sample_weight: Weights, (N,) of any kind, or the name of their column.
        noise: Standard deviations (N, D), covariances (N, D, D), or {column: column of its standard deviation}.
        missing: "refuse" or "integrate".
        are_scored: Whether the rows are to be scored: none is left out then, and no value is refused.
        weights_part: What the weights were taken from where they are part of the rows' argument: "x[1]"; else "".
        may_be_gaps: Whether there may be no row with a value: then none is left.
    """

    sample_weight: Any = None
    noise: Any = None
    missing: str = "refuse"
    are_scored: bool = False
    weights_part: str = ""
    may_be_gaps: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether rows are taken as they are, without weights, noise and gaps."""
        return self.sample_weight is None and self.noise is None and self.missing == "refuse"

    @property
    def columns(self) -> CarriedColumns:
        """The columns that are asked for by name.

        Raises:
            TypeError: A name is no text.
        """
        weights = self.sample_weight if isinstance(self.sample_weight, str) else None
        noise = dict(self.noise) if isinstance(self.noise, Mapping) else {}
        odd = next((label for pair in noise.items() for label in pair if not isinstance(label, str)), None)
        if odd is not None:
            raise TypeError(
                "`noise` must map names of columns to names of the columns of their standard deviations. "
                f"Received: {type(odd).__name__} as one of them. Pass noise={{'flux': 'flux_error'}}, for example."
            )
        return CarriedColumns(weights, noise)


@dataclass(frozen=True)
class CarriedColumns:
    """Columns of a table that hold weights and noise.

    Args:
        weights: Name of the column of weights, or None.
        noise: For columns of values, the name of the column of their standard deviations.
    """

    weights: str | None = None
    noise: Mapping[str, str] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """E names of these columns, each once, in the order that `split` takes them in."""
        return tuple(dict.fromkeys([*([] if self.weights is None else [self.weights]), *self.noise.values()]))

    def noise_columns(self, column_names: Sequence[str]) -> tuple[str, ...]:
        """Lists for D columns of values the names of the columns of noise, "" where one has none; () without noise."""
        return tuple(self.noise.get(label, "") for label in column_names) if self.noise else ()

    def split(self, rows: np.ndarray, column_names: Sequence[str]) -> RowBlock:
        """Splits rows (n, D + E), the columns of values first, into values, weights and noise."""
        if not self.names:
            return RowBlock(rows)
        num_values = len(column_names)
        return self.block(np.ascontiguousarray(rows[:, :num_values]), rows[:, num_values:], column_names)

    def block(self, values: np.ndarray, beside: np.ndarray, column_names: Sequence[str]) -> RowBlock:
        """Puts values (n, D) and the E columns beside them, in the order of `names`, together."""
        weights = None if self.weights is None else beside[:, 0].astype(np.float64)
        return RowBlock(values, weights, self._noise_of(beside, column_names))

    def _noise_of(self, beside: np.ndarray, column_names: Sequence[str]) -> np.ndarray | None:
        if not self.noise:
            return None
        noise, names = np.zeros((len(beside), len(column_names))), self.names
        for index, label in enumerate(self.noise_columns(column_names)):
            if label:
                noise[:, index] = beside[:, names.index(label)]
        return noise


def pair_words(part: str) -> str:
    """Says behind an error about weights what was taken for them, where they have no argument of their own."""
    return f" `{part}` was taken for weights: pass the rows alone if it holds labels." if part else ""
