"""The labels of columns, also of those without names."""

from __future__ import annotations

from collections.abc import Sequence


def column_labels(names: Sequence[str] | None, num_features: int, separator: str = " ") -> tuple[str, ...]:
    """Labels every column by its name, else by its place, counted from 0.

    Args:
        names: D names; None, or an empty sequence, where the columns have none.
        num_features: D.
        separator: What stands between "column" and the place.

    Example:

    >>> column_labels(("width", "height"), 2), column_labels(None, 2)
    (('width', 'height'), ('column 0', 'column 1'))
    """
    return tuple(names or (f"column{separator}{place}" for place in range(num_features)))
