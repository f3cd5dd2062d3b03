"""One line on a terminal that says what long work is at, and goes when it is done."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def status_line() -> Iterator[Callable[[str], None]]:
    """Yields a function that shows a sentence on stderr in place of the one before; elsewhere than on a terminal none.

    Example:

    >>> with status_line() as show:
    ...     show("half of it is done")
    """
    if not sys.stderr.isatty():
        yield lambda sentence: None
        return
    from rich.console import Console

    with Console(stderr=True).status("") as status:
        yield status.update
