"""The letters that name tensor axes everywhere in tfgmm, and the one check of them.

| letter | meaning |
| --- | --- |
| N | rows in the whole data set |
| B | rows in this batch |
| K | components |
| D | features (columns) |
| S | posterior draws |
| C | chains |

The axis order is always (C, S, B, K, D[, D]); axes that are absent are left out.
"""

from __future__ import annotations

from typing import Any, TypeAlias

# TensorFlow, JAX and PyTorch carry no types for their tensors
Tensor: TypeAlias = Any


def check_shape(name: str, array: Any, letters: str, *, fix: str = "", **sizes: int) -> None:
    """Checks a shape: Raises ValueError unless `array` has the axes that `letters` names.

    Args:
        name: What the caller's argument is called; the error message begins with it.
        array: Anything with a `shape`.
        letters: One letter per axis, e.g. "KD".
        fix: Sentence that says what to do about it, put at the end of the message.
        **sizes: Sizes that letters must have, e.g. `D=2`. A letter without one may have any size, but the same one
            wherever it appears again.

    Raises:
        ValueError: The shape is another; the message names the argument, the shape needed, the shape received, and
            `fix`.

    Example:

    >>> import numpy as np
    >>> check_shape("locs", np.zeros((3, 2)), "KD", K=3)
    >>> check_shape("locs", np.zeros((3, 2)), "KD", D=4)
    Traceback (most recent call last):
        ...
    ValueError: `locs` must have shape (K, 4). Received: shape (3, 2).
    """
    received = tuple(array.shape)
    known = dict(sizes)
    matches = len(received) == len(letters) and all(
        known.setdefault(letter, size) == size for letter, size in zip(letters, received)
    )
    if matches:
        return
    wanted = [str(sizes.get(letter, letter)) for letter in letters]
    trailing = "," if len(wanted) == 1 else ""
    message = f"`{name}` must have shape ({', '.join(wanted)}{trailing}). Received: shape {received}."
    raise ValueError(f"{message} {fix}".rstrip())
