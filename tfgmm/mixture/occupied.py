"""Which components of a mixture are occupied."""

from __future__ import annotations

import numpy as np

# Sums of memberships that are 1 except for rounding count as one row
_ROUNDING = 1e-9


def is_occupied(expected_counts: np.ndarray) -> np.ndarray:
    """Tells, per component, whether at least one row is expected in it, (K,) bool.

    Args:
        expected_counts: (K,) rows expected in each component.

    Example:

    >>> is_occupied(np.array([0.2, 1.0, 30.0])).tolist()
    [False, True, True]
    """
    return np.asarray(expected_counts) >= 1.0 - _ROUNDING
