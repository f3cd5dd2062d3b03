"""Checks of plain arguments, each with an error that says which, what was received, and what to do."""

from __future__ import annotations

import sys
from collections.abc import Collection
from typing import Any

import numpy as np


def check_count(name: str, value: Any, least: int = 1) -> int:
    """Checks a count: Raises ValueError unless `value` is a whole number of at least `least`; returns it as an int.

    Example:

    >>> check_count("num_components", 0)
    Traceback (most recent call last):
        ...
    ValueError: `num_components` must be a whole number of at least 1. Received: 0. Choose a larger one.
    """
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise ValueError(
            f"`{name}` must be a whole number of at least {least}. Received: {value!r}. Choose a larger one."
            if isinstance(value, (int, np.integer)) and not isinstance(value, bool)
            else f"`{name}` must be a whole number of at least {least}. Received: {value!r}. Pass an int."
        )
    return int(value)


def check_columns(name: str, rows: Any, num_features: int) -> None:
    """Checks columns: Raises ValueError unless `rows`, a tensor whose shape may be known in part, can be (B, D).

    Wrong columns would broadcast into numbers that look right.
    """
    shape = rows.shape
    if shape.rank is not None and (shape.rank != 2 or shape[1] not in (None, num_features)):
        raise ValueError(
            f"`{name}` must have shape (B, {num_features}): this model was built with num_features={num_features}. "
            f"Received: shape {tuple(shape)}. Pass the training columns only."
        )


def check_choice(name: str, value: Any, choices: Collection[str]) -> str:
    """Checks a choice: Raises ValueError, which lists the choices, unless `value` is one of them; returns it."""
    if not isinstance(value, str) or value not in choices:
        names = ", ".join(repr(choice) for choice in choices)
        raise ValueError(f"`{name}` must be one of {names}. Received: {value!r}. Choose one of them.")
    return value


def check_seed(seed: Any, name: str = "seed") -> int:
    """Checks a seed: Raises ValueError unless it is a whole number from 0 to 2**63 - 1; returns it as an int."""
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or not 0 <= seed < 2**63:
        raise ValueError(f"`{name}` must be a whole number from 0 to 2**63 - 1. Received: {seed!r}. Try {name}=0.")
    return int(seed)


def is_instance_of(data: Any, package: str, class_name: str) -> bool:
    """Tells whether `data` is an instance of a class of a package, without importing the package.

    Args:
        data: Any object.
        package: Name of the package. Nothing can be of its classes before the package was imported.
        class_name: Name of the class inside the package, with dots where it lies deeper.

    Example:

    >>> is_instance_of(3, "a_package_that_is_not_imported", "deep.DataFrame")
    False
    """
    part: Any = sys.modules.get(package)
    for name in class_name.split("."):
        part = getattr(part, name, None)
    return isinstance(part, type) and isinstance(data, part)
