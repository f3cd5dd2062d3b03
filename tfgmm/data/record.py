"""What a model keeps of the data that it was fitted on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any

import numpy as np

# Fields about gaps, weights and noise
_CARRIED = ("num_rows", "gaps", "num_incomplete", "num_empty", "num_weightless", "weights_name", "noise_columns")


@dataclass(frozen=True)
class DataSummary:
    """What the model keeps of the data it was fitted on; survives JSON exactly.

    Args:
        num_data: N, the number of rows; with weights their sum, a float where it is not whole.
        num_features: D, the number of columns.
        mean: D means, in the data's units.
        scale: D standard deviations (divided by N), in the data's units, all positive; 1.0 for a constant column.
        column_names: D names, or None when the data had none.
        minimum: D smallest values, in the data's units; None in a summary saved by an older version.
        maximum: D largest values, likewise.
        centre: D centres that a few far rows cannot move, in the data's units: `mean`, but the median of a sample
            where `spread` is below `scale`. Default: `mean`.
        spread: D spreads that a few far rows cannot widen, in the data's units: `scale`, but at most 3 IQR / 1.349 of
            a sample (three times what the quartiles of a normal distribution say). Default: `scale`.
        fingerprint: 16 hexadecimal digits that distinguish these rows from others, whatever their order; None in a
            summary saved by an older version; see `fingerprint.sum_of_hashes`.
        num_rows: Rows that were used, where they have weights; 0, the default: as many as `num_data`.
        gaps: D counts of rows without a value in the column; () where every row has all values.
        num_incomplete: Rows that lack some values, and were used.
        num_empty: Rows that lack all values, and were left out.
        num_weightless: Rows of weight 0, which were left out.
        weights_name: Name of the column of weights, "" where they had none; None where rows have no weights.
        noise_columns: D names of the columns of standard deviations, "" where a column has none or they had no names;
            () where there is no measurement noise.

    Raises:
        ValueError: A size is not positive, or a field does not have one entry per column.

    Example:

    >>> summary = DataSummary(num_data=2, num_features=1, mean=(3.0,), scale=(0.5,), column_names=("waiting",))
    >>> DataSummary.from_dict(summary.to_dict()) == summary
    True
    """

    num_data: float
    num_features: int
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    column_names: tuple[str, ...] | None = None
    minimum: tuple[float, ...] | None = None
    maximum: tuple[float, ...] | None = None
    centre: tuple[float, ...] = ()
    spread: tuple[float, ...] = ()
    fingerprint: str | None = None
    num_rows: int = 0
    gaps: tuple[int, ...] = ()
    num_incomplete: int = 0
    num_empty: int = 0
    num_weightless: int = 0
    weights_name: str | None = None
    noise_columns: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for field, instead in (("centre", self.mean), ("spread", self.scale)):
            object.__setattr__(self, field, getattr(self, field) or instead)
        if self.num_data <= 0 or self.num_features < 1:
            received = f"num_data={self.num_data}, num_features={self.num_features}"
            raise ValueError(f"`num_data` and `num_features` must be positive. Received: {received}. Pass rows.")
        may_be_empty = ("gaps", "noise_columns")
        for field in ("mean", "scale", "column_names", "minimum", "maximum", "centre", "spread", *may_be_empty):
            entries = getattr(self, field)
            if field in may_be_empty and entries == ():
                continue
            if entries is not None and len(entries) != self.num_features:
                wanted = f"`{field}` must have num_features={self.num_features} entries"
                raise ValueError(f"{wanted}. Received: {len(entries)}. Give one per column.")

    @property
    def gap_columns(self) -> tuple[int, ...]:
        """Numbers of the columns in which some rows have no value."""
        return tuple(column for column, count in enumerate(self.gaps) if count)

    @property
    def varies(self) -> np.ndarray:
        """(D,) bool: whether a column has several values, so that `scale` and `spread` say how wide it is."""
        if self.minimum is None or self.maximum is None:
            return np.ones(self.num_features, bool)
        # No standard deviation is above half the range: one that is stands for a constant column
        varies: np.ndarray = np.subtract(self.maximum, self.minimum) >= np.array(self.scale)
        return varies

    def to_dict(self) -> dict[str, Any]:
        """Turns the fields into JSON types: lists, Python floats and ints, strings, None.

        What plain rows have not is left out: earlier versions read their summaries, and know no such fields.
        """
        values = asdict(self)
        absent = [
            field.name for field in fields(self) if field.name in _CARRIED and values[field.name] == field.default
        ]
        return {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in values.items()
            if key not in absent
        }

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> DataSummary:
        """Restores the summary that `to_dict` was called on.

        Args:
            saved: Fields, as `to_dict` or JSON gives them; those that older versions did not write may be missing.

        Raises:
            ValueError: A field is missing or unknown.
        """
        known = {field.name for field in fields(cls)}
        needed = {field.name for field in fields(cls) if field.default is MISSING} | {"column_names"}
        if not needed <= set(saved) <= known:
            fix = "Pass what DataSummary.to_dict gave."
            raise ValueError(f"`saved` must have the fields {sorted(needed)}. Received: {sorted(saved)}. {fix}")
        values: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in saved.items()}
        return cls(**values)
