"""Packages that come with an extra: imported when they are needed, with an error that says what to install."""

from __future__ import annotations

import importlib
from typing import Any

from tfgmm.common.forks import check_not_forked


def imported(module: str, name: str, *extras: str) -> Any:
    """Imports a module of a package that not everybody has installed, and returns it.

    Args:
        module: Name of the module, as Python calls it.
        name: Name of the package, as people call it.
        *extras: Extras of tfgmm, each of which brings the package.

    Raises:
        ModuleNotFoundError: It is not installed; the message says what to install.

    Example:

    >>> imported("nobody_has_this", "Nothing", "one", "other")
    Traceback (most recent call last):
    ModuleNotFoundError: Nothing is needed for this. Received: no module named 'nobody_has_this'. Install it: \
pip install "tfgmm[one]" or "tfgmm[other]"
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        choices = " or ".join(f'"tfgmm[{extra}]"' for extra in extras)
        raise ModuleNotFoundError(
            f"{name} is needed for this. Received: no module named {error.name!r}. Install it: pip install {choices}"
        ) from error


def check_tensorflow(purpose: str = "this") -> None:
    """Loads TensorFlow.

    Args:
        purpose: What needs it, for the error.

    Raises:
        ImportError: It cannot be loaded; of the same class, with a message that says what to install.
        RuntimeError: The process was forked after TensorFlow had been used.
    """
    check_not_forked(purpose)
    try:
        importlib.import_module("tensorflow")
    except ImportError as error:
        raise type(error)(
            f"TensorFlow must be installed for {purpose}. Received: {error}. Install it: pip install tensorflow"
        ) from error
