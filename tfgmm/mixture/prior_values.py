"""Values of priors in plain Python, so that they are hashable and survive JSON, and the checks of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

Number = float | tuple[float, ...]
Matrix = tuple[tuple[float, ...], ...]


def as_lists(value: Any) -> Any:
    """Turns tuples within each other into lists, as JSON holds them."""
    return [as_lists(item) for item in value] if isinstance(value, tuple) else value


def plain_matrix(name: str, value: Any) -> Matrix:
    """Turns `value` into a tuple of lines, made exactly symmetric, so that it is hashable and survives JSON."""
    try:
        matrix = np.asarray(value)
        is_numbers = matrix.dtype.kind in "fiu"
    except ValueError:  # lines of different lengths
        is_numbers = False
    if not is_numbers:
        raise TypeError(f"`priors.{name}` must be a matrix of numbers. Received: {value!r}. Give (D, D).")
    matrix = matrix.astype(np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not matrix.size:
        raise ValueError(f"`priors.{name}` must be a square matrix. Received: shape {matrix.shape}. Give (D, D).")
    scale = np.sqrt(np.abs(np.diag(matrix)))
    is_finite = np.isfinite(matrix).all()
    if not is_finite or (np.abs(matrix - matrix.T) > 1e-9 * np.outer(scale, scale)).any():
        raise ValueError(f"`priors.{name}` must be finite and symmetric. Received: {matrix.tolist()}. Check it.")
    matrix = 0.5 * (matrix + matrix.T)
    if (np.diag(matrix) <= 0).any() or np.linalg.eigvalsh(matrix / np.outer(scale, scale))[0] <= 0:
        raise ValueError(
            f"`priors.{name}` must be positive definite. Received: {matrix.tolist()}. Add to its diagonal."
        )
    return tuple(tuple(line) for line in matrix.tolist())


def plain_numbers(name: str, value: Any) -> Number:
    """Turns `value` into a Python float or a tuple of them, so that it is hashable and survives JSON."""
    plain = value.tolist() if hasattr(value, "tolist") else value
    items = list(plain) if isinstance(plain, Sequence) and not isinstance(plain, (str, bytes)) else [plain]
    if any(isinstance(item, bool) or not isinstance(item, (int, float)) for item in items):
        raise TypeError(
            f"`priors.{name}` must be a number or a flat list of numbers. Received: {value!r}. "
            "Give one number for all columns, or one per column."
        )
    numbers = tuple(float(item) for item in items)
    return numbers if isinstance(plain, Sequence) else numbers[0]


def check_range(name: str, value: Number, positive: bool) -> None:
    """Checks plain numbers: Raises ValueError unless there are some, all finite, and positive where they must be."""
    numbers = value if isinstance(value, tuple) else (value,)
    if not numbers:
        raise ValueError(f"`priors.{name}` must hold at least one number. Received: an empty list. Leave it out.")
    for number in numbers:
        if not math.isfinite(number) or (positive and number <= 0):
            wanted = "positive and finite" if positive else "finite"
            raise ValueError(
                f"`priors.{name}` must be {wanted}. Received: {number}. Choose a {wanted} number in data units."
            )


def check_size(name: str, value: Number | Matrix, needed: int, letter: str) -> None:
    """Checks the size of several numbers or of a matrix: Raises ValueError unless there are `needed`, a `letter`."""
    if not isinstance(value, tuple) or len(value) == needed:
        return
    if isinstance(value[0], tuple):
        raise ValueError(
            f"`priors.{name}` must have shape (D, D) = ({needed}, {needed}). "
            f"Received: shape ({len(value)}, {len(value)}). Give one line per column."
        )
    raise ValueError(
        f"`priors.{name}` must be one number or have shape ({letter},) = ({needed},). "
        f"Received: {len(value)} numbers. Give one number to use it everywhere."
    )
