"""What processes do with files in tests of `tfgmm score --workers`: they import this file, which is light."""

from __future__ import annotations

import os
import pathlib
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

from tfgmm.common.threads import num_cores


def squares(folder: pathlib.Path) -> Callable[[int, Callable[[int], None]], Any]:
    def work(number: int, progress: Callable[[int], None]) -> tuple[int, int, int, list[str]]:
        progress(number)
        time.sleep(0.02)  # so that both have some
        loaded = [name for name in ("tensorflow", "keras", "scipy", "pandas", "sklearn") if name in sys.modules]
        return number**2, os.getpid(), num_cores(), loaded

    return work


def refuses(folder: pathlib.Path) -> Callable[[int, Callable[[int], None]], Any]:
    def work(number: int, progress: Callable[[int], None]) -> None:
        if number == 1:
            raise TypeError(f"file {number} holds text")
        (folder / str(number)).touch()
        until = time.monotonic() + 60.0  # far longer than the test may take: it must be stopped
        while number and time.monotonic() < until:
            progress(1)
            time.sleep(0.01)

    return work


def dies(folder: pathlib.Path) -> Callable[[int, Callable[[int], None]], Any]:
    def work(number: int, progress: Callable[[int], None]) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    return work
