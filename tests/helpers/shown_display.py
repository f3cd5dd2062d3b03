"""A display for runs of the command line that keeps what it is shown."""

from __future__ import annotations


class Shown:
    """A display that keeps what it is shown, and a question whether to stop, answered when a phrase has been shown."""

    def __init__(self, stop_at: str = "never") -> None:
        self.words: list[str] = []
        self._stop_at = stop_at

    def phase(self, words: str) -> None:
        self.words.append(words)

    def share(self, done: float, words: str) -> None:
        assert 0.0 <= done <= 1.0
        self.words.append(words)

    note = phase

    def is_stopped(self) -> bool:
        return any(self._stop_at in words for words in self.words)
