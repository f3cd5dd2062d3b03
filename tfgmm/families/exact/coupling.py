"""How a prior that learns its scale couples components: second derivatives in the few sums that it looks at.

Such a prior is a function of T = sum log det Lambda_k, of S = sum Lambda_k, and of R, the sum of squares of the
locations. Its gradient there is known: E[nu0] / 2, -E[Psi] / 2 and -E[lambda] / 2. Differences of these few numbers
give the second derivatives, whatever the number of components.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tfgmm.families.learned_scales import ColumnScales, LocationScales, MatrixScales

_STEP = 1e-5


def of_locations(learned: LocationScales, squares: float) -> float:
    """Computes the second derivative of the log prior of the locations in R."""
    step = _STEP * max(squares, 1e-3)
    before, after = learned.given(np.array([squares - step, squares + step]))[1]
    return float(-0.5 * (after - before) / (2.0 * step))


def of_columns(learned: ColumnScales, total: np.ndarray, logarithm: float) -> np.ndarray:
    """Computes second derivatives in T and S_d, (1 + P, 1 + P).

    Args:
        learned: The prior of P precisions per component.
        total: S, (P,).
        logarithm: T.
    """

    def gradient(points: np.ndarray) -> np.ndarray:
        found = learned.given(points[:, 1:], points[:, 0])
        return np.concatenate([0.5 * found.degrees[:, None], -0.5 * found.inverse_scale], axis=1)

    return _differences(gradient, np.append(logarithm, total), np.append(1.0, total))


def of_matrices(learned: MatrixScales, total: np.ndarray, logarithm: float) -> np.ndarray:
    """Computes second derivatives in T and in the entries of S, i <= j by rows, (1 + D (D + 1) / 2,) twice.

    Args:
        learned: The prior of the precision matrices.
        total: S, (D, D).
        logarithm: T.
    """
    size = len(total)
    rows, columns = np.triu_indices(size)
    times = np.where(rows == columns, 0.5, 1.0)  # an entry off the diagonal stands twice

    def gradient(points: np.ndarray) -> np.ndarray:
        matrices = np.zeros((len(points), size, size))
        matrices[:, rows, columns] = matrices[:, columns, rows] = points[:, 1:]
        found = learned.given(matrices, points[:, 0])
        return np.concatenate([0.5 * found.degrees[:, None], -times * found.inverse_scale[:, rows, columns]], axis=1)

    scales = np.sqrt(np.outer(np.diag(total), np.diag(total)))[rows, columns]
    return _differences(gradient, np.append(logarithm, total[rows, columns]), np.append(1.0, scales))


def _differences(gradient: Callable[[np.ndarray], np.ndarray], point: np.ndarray, scales: Any) -> np.ndarray:
    """Computes the symmetric derivative of a gradient, (m, m), by central differences in units of `scales` (m,)."""
    steps = _STEP * scales
    before, after = gradient(point - np.diag(steps)), gradient(point + np.diag(steps))
    derivatives = (after - before) / (2.0 * steps[:, None])
    return 0.5 * (derivatives + derivatives.T)
