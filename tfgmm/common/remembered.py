"""What was computed from arrays seen last, kept by their numbers."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    import numpy as np

Result = TypeVar("Result")


class Remembered(Generic[Result]):
    """Computes a function of arrays once for those seen last, whose digests are the keys.

    Threads may share it. An array that it gives is read-only, since others are given the same one.

    Args:
        compute: Function of one array or several, of which some may be None.
        most: Number of results to keep.

    Example:

    >>> import numpy as np
    >>> total = Remembered(np.sum, most=2)
    >>> float(total(np.array([1.0, 2.0])))
    3.0
    """

    def __init__(self, compute: Callable[..., Result], most: int) -> None:
        self._compute, self._most = compute, most
        self._lock = threading.Lock()
        self._results: dict[tuple[Any, ...], Result] = {}

    def __call__(self, *arrays: np.ndarray | None) -> Result:
        """Gives the function of the arrays, from memory or computed."""
        import numpy as np  # `import tfgmm` loads none

        key = tuple(None if array is None else _key_of(array) for array in arrays)
        with self._lock:
            if key in self._results:
                return self._results[key]
        result = self._compute(*arrays)  # not under the lock: other arrays need not wait for it
        if isinstance(result, np.ndarray):
            result.setflags(write=False)
        with self._lock:
            while len(self._results) >= self._most:
                self._results.pop(next(iter(self._results)))  # the oldest
            self._results[key] = result
        return result


def _key_of(array: np.ndarray) -> tuple[Any, ...]:
    import numpy as np

    return array.shape, array.dtype.str, hashlib.blake2b(np.ascontiguousarray(array).data).digest()
