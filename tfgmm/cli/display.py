"""The progress line on the terminal while a command works, and Ctrl-C that asks before it stops. No TensorFlow."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol, TextIO

_WIDE = 100  # columns of a terminal in which a long bar leaves room for words


class Display(Protocol):
    """Writes what is being done."""

    def phase(self, words: str) -> None:
        """Says that something of unknown length goes on."""

    def share(self, done: float, words: str) -> None:
        """Says how far something is, from 0 to 1, and words about it."""

    def note(self, words: str) -> None:
        """Writes a line that stays."""


class _Plain:
    """For files, pipes and tests: lines that stay, and nothing that moves."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def phase(self, words: str) -> None:
        pass

    def share(self, done: float, words: str) -> None:
        pass

    def note(self, words: str) -> None:
        self._stream.write(f"{words}\n")
        self._stream.flush()


class _Clock:
    """The time since it was made, whenever it is written: rich's own stops with a task that is complete."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def __str__(self) -> str:
        minutes, seconds = divmod(int(time.monotonic() - self._began), 60)
        return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"


class _Moving:
    """For terminals: a spinner, a bar and the time, by rich, which draws ten times a second from its own thread."""

    def __init__(self, progress: Any) -> None:
        self._progress, self._clock = progress, _Clock()
        self._task = progress.add_task("", total=None, clock=self._clock)

    def phase(self, words: str) -> None:
        self._progress.remove_task(self._task)  # a task that has a length keeps it
        self._task = self._progress.add_task(words, total=None, clock=self._clock)

    def share(self, done: float, words: str) -> None:
        self._progress.update(self._task, description=words, total=1.0, completed=done)

    def note(self, words: str) -> None:
        self._progress.console.print(words, markup=False, highlight=False)


@contextlib.contextmanager
def display() -> Iterator[Display]:
    """Opens the display of the work on standard error: moving on a terminal, silent elsewhere.

    It writes to a descriptor of its own, and so is visible while `quiet.stderr_kept_back` holds back others' lines.
    """
    with _own_stderr() as stream:
        if not sys.stderr.isatty():
            yield _Plain(stream)
            return
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn
        from rich.table import Column

        # Plain text: a name from a file must not be taken for markup
        words = TextColumn("{task.description}", markup=False)
        # On a narrow terminal words are cut, not the clock
        clock = TextColumn("{task.fields[clock]}", table_column=Column(min_width=7, no_wrap=True))
        console = Console(file=stream)
        bar = BarColumn(bar_width=20 if console.width >= _WIDE else 8)
        # transient: what stays are our own lines
        with Progress(SpinnerColumn(), words, bar, clock, console=console, transient=True) as progress:
            yield _Moving(progress)


@contextlib.contextmanager
def _own_stderr() -> Iterator[TextIO]:
    try:
        descriptor = os.dup(sys.stderr.fileno())
    except (OSError, io.UnsupportedOperation):  # a stream in memory, as tests have it
        yield sys.stderr
        return
    with os.fdopen(descriptor, "w", encoding=sys.stderr.encoding, errors="replace") as stream:
        yield stream


@contextlib.contextmanager
def interrupts(notify: Callable[[], None]) -> Iterator[threading.Event]:
    """Yields an event that the first Ctrl-C sets, calling `notify`; the second raises KeyboardInterrupt as usual."""
    asked = threading.Event()
    is_ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN  # as a shell has it for work in the background
    if is_ignored or threading.current_thread() is not threading.main_thread():
        yield asked  # and only the main thread can be told of signals
        return

    def ask(number: int, frame: Any) -> None:
        signal.signal(signal.SIGINT, before)
        asked.set()
        notify()

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)
