"""Parts of a stream: opened one after the other, their rows faded by age, and all of them summarised."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfgmm.data.blocks import RowBlock, together
from tfgmm.data.row_source import RowSource
from tfgmm.data.sources import open_source
from tfgmm.data.summary import DataSummary, SummaryAccumulator
from tfgmm.data.survey import finite_blocks
from tfgmm.fit.opened import check_length

# Rows that later ones have faded below this share of a row are left out
_FAINTEST = 1e-9
_KEPT = ("num_parts", "num_rows", "num_empty", "num_weightless", "_weights_name")


@dataclasses.dataclass(frozen=True, eq=False)
class Part:
    """Rows that came together.

    Args:
        rows: All of them, data units, with weights or without.
        column_names: D names; None where they had none.
        num_empty, num_weightless: Rows without any value, and rows of weight 0, that were left out.
        weights_name: Name of the column of weights, "" where it has none; None where rows have no weights.
    """

    rows: RowBlock
    column_names: tuple[str, ...] | None
    num_empty: int
    num_weightless: int
    weights_name: str | None

    @property
    def total_weight(self) -> float:
        """How many rows they are, as often as each counts."""
        return float(len(self.rows.values) if self.rows.weights is None else self.rows.weights.sum())

    @property
    def gap_columns(self) -> tuple[int, ...]:
        """Numbers of the columns in which some of the rows have no value."""
        return tuple(np.flatnonzero(np.isnan(self.rows.values).any(axis=0)).tolist())


def opened_part(
    data: Any,
    name: str,
    num_features: int | None,
    column_names: tuple[str, ...] | None,
    sample_weight: Any,
    missing: str,
) -> Part:
    """Opens a part, of any kind of rows that `fit_mixture` takes and that fit into memory, and reads it whole.

    Args:
        data, sample_weight, missing: As in `fit_mixture`.
        name: What the caller's argument for the rows is called in error messages.
        num_features: D of the parts before; None for the first.
        column_names: Names of their columns, or None: named columns are put in that order.

    Raises:
        ValueError, TypeError: As in `open_source`; values are not finite; no row says anything.
    """
    opened = {"sample_weight": sample_weight, "missing": missing}
    source: RowSource = open_source(data, name, num_features, column_names, **opened)
    check_length(source)
    rows = as_one(list(finite_blocks(source)))
    return Part(rows, source.column_names, source.num_empty, source.num_weightless, source.weights_name)


def as_one(blocks: Sequence[RowBlock]) -> RowBlock:
    """Puts blocks, one or more, behind each other; where only some have weights, the rows of others count once."""
    if len(blocks) == 1:
        return blocks[0]
    if any(block.weights is not None for block in blocks):
        blocks = [block._replace(weights=_weights_of(block)) for block in blocks]
    return together(blocks)


def faded(rows: RowBlock, factor: float) -> RowBlock:
    """Weighs rows by their age, in rows that came after each: a row counts for `factor` of what the next one counts.

    Rows of which next to nothing is left are left out.

    Args:
        rows: Rows in the order in which they came. One of weight 2 is two rows, one after the other.
        factor: Forgetting factor, above 0 and at most 1.

    Example:

    >>> faded(RowBlock(np.zeros((3, 1))), 0.5).weights.tolist()
    [0.25, 0.5, 1.0]
    """
    if factor == 1.0:
        return rows
    weights = _weights_of(rows)
    ages = np.cumsum(weights[::-1])[::-1] - weights
    # What a row of weight w leaves is 1 + f + ... + f^(w - 1)
    present = np.expm1(weights * math.log(factor)) / (factor - 1.0) * factor**ages
    return rows._replace(weights=present).part(present > _FAINTEST)


def _weights_of(rows: RowBlock) -> np.ndarray:
    return np.ones(len(rows.values)) if rows.weights is None else rows.weights


class PartsSeen:
    """What is known of the rows of all parts so far, but for their sums.

    Args:
        name: What the caller's argument for the rows is called in error messages.
        column_names: D names; None where the rows had none.
        missing: As in `fit_mixture`.
    """

    def __init__(self, name: str, column_names: tuple[str, ...] | None, missing: str) -> None:
        self._words: dict[str, Any] = {"name": name, "column_names": column_names, "missing": missing}
        self._accumulator = SummaryAccumulator(**self._words)
        self._weights_name: str | None = None
        self.num_parts, self.num_rows, self.num_empty, self.num_weightless = 0, 0, 0, 0

    @classmethod
    def after(cls, summary: DataSummary, name: str, missing: str) -> PartsSeen:
        """Goes on from the summary of rows that came at once; arguments as the class has them."""
        seen = cls(name, summary.column_names, missing)
        seen._accumulator = SummaryAccumulator.after(summary, name=name, missing=missing)
        seen._weights_name = summary.weights_name
        seen.num_parts, seen.num_rows = 1, summary.num_rows or int(summary.num_data)
        seen.num_empty, seen.num_weightless = summary.num_empty, summary.num_weightless
        return seen

    def kept(self) -> dict[str, Any]:
        """Writes what it holds as arrays and numbers, from which `go_on` goes on."""
        return {"accumulator": self._accumulator.kept(), **{name: getattr(self, name) for name in _KEPT}}

    def go_on(self, kept: Mapping[str, Any]) -> None:
        """Takes what `kept` wrote for its own."""
        self._accumulator = SummaryAccumulator.going_on(kept["accumulator"], **self._words)
        for name in _KEPT:
            setattr(self, name, kept[name])

    def add(self, part: Part) -> None:
        """Takes one more part into account."""
        self._accumulator.update(part.rows)
        self.num_empty, self.num_weightless = self.num_empty + part.num_empty, self.num_weightless + part.num_weightless
        self.num_parts, self.num_rows = self.num_parts + 1, self.num_rows + len(part.rows.values)
        self._weights_name = part.weights_name if self._weights_name is None else self._weights_name

    def summary(self, num_data: float, centre: np.ndarray, spread: Sequence[float]) -> DataSummary:
        """Summarises the rows of all parts, each as it came: range, means and spreads know no forgetting.

        Args:
            num_data: N, the rows that the mixture remembers.
            centre: (D,) data units, what it measures rows from.
            spread: (D,) widths of the columns that a few far rows cannot widen, data units.
        """
        summary = self._accumulator.result()
        has_other_weight = num_data != self.num_rows
        return dataclasses.replace(
            summary,
            num_data=int(num_data) if float(num_data).is_integer() else num_data,
            num_rows=self.num_rows if has_other_weight or self._weights_name is not None else 0,
            centre=tuple(centre.tolist()),
            spread=tuple(spread),
            num_empty=self.num_empty,
            num_weightless=self.num_weightless,
            weights_name=self._weights_name,
        )
