"""The journal of a fit: what its steps gave, remembered under their names, in memory and on the disk."""

from __future__ import annotations

import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self, TypeVar

from tfgmm.data.row_source import RowSource
from tfgmm.data.survey import Survey
from tfgmm.fit.callbacks import SweepCallback
from tfgmm.fit.checkpoint import stored
from tfgmm.fit.checkpoint.entries import Entry, entry_of, value_of
from tfgmm.fit.checkpoint.identity import check_same, of_fit, of_options
from tfgmm.fit.checkpoint.place import check_writable
from tfgmm.fit.options import FitOptions

# Seconds between two writings at least, and how many times as long as the last one took
_SECONDS, _TIMES = 0.5, 20.0

T = TypeVar("T")


class Journal:
    """What the steps of a fit gave. A fit is run from its beginning; what the journal has of it is not done again.

    It is written after every step, but at most twice a second, so seldom that writing takes a twentieth of the time,
    and at the end, whatever ends the fit.

    Args:
        path: The checkpoint; None: nothing is remembered.
        fit: What is fitted to what; see `identity.of_fit`.
        steps: What steps gave in earlier runs.
    """

    def __init__(
        self, path: pathlib.Path | None = None, fit: Mapping[str, Any] | None = None, steps: Mapping[str, Entry] = {}
    ) -> None:
        self._path, self._fit, self._steps, self._earlier = path, fit or {}, dict(steps), frozenset(steps)
        self._new: dict[str, Callable[[], Entry]] = {}  # since it was written
        self._next_time, self._is_broken, self._is_behind = 0.0, False, False
        self._seen: stored.Identity = None  # of the file that this journal has read or written

    @classmethod
    def opened(cls, path: pathlib.Path | None, fit: Mapping[str, Any], options: FitOptions) -> Self:
        """Goes on from a checkpoint, or begins one where there is none.

        Args:
            path: Path of the checkpoint; None for a journal that remembers nothing.
            fit: What is fitted to what; see `identity.of_fit`.
            options: Options of the fit, which know what the caller calls them.

        Raises:
            ValueError: The file is something else, or of another fit.
            OSError: The disk refuses.
        """
        if path is None:
            return cls()
        seen = stored.identity_of(path)
        before = stored.read(path) if path.is_file() else stored.Stored(fit, {})
        journal = cls(path, fit, before.steps)
        if before.steps:
            check_same(path, before.fit, fit, options)
            journal._seen = seen
        else:
            stored.write(path, stored.Stored(fit, {}))  # so that a place that cannot be written is known by now
            journal._seen = stored.identity_of(path)
        return journal

    @property
    def is_kept(self) -> bool:
        """Whether there is a checkpoint."""
        return self._path is not None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.write()

    def remembered(self, name: str, work: Callable[[], T], if_known: Callable[[], None] = lambda: None) -> T:
        """Returns what a step gave; does it where no earlier run has.

        Args:
            name: Name of the step; steps of one name give the same.
            work: The step.
            if_known: Called where an earlier run has done it.
        """
        if name in self._earlier:
            if_known()
            known: T = value_of(self._steps[name])
            return known
        result = work()
        self.put(name, lambda: entry_of(result))
        return result

    def earlier(self, name: str) -> Any:
        """Returns what a step gave in an earlier run; None where there was none."""
        return value_of(self._steps[name]) if name in self._earlier else None

    def put(self, name: str, make: Callable[[], Entry]) -> None:
        """Remembers what a step gave; `make` writes it down when it is time to."""
        if self._path is None:
            return
        self._new[name] = make
        if time.monotonic() >= self._next_time:
            self.write()

    def write(self) -> None:
        """Writes the checkpoint, where there is something new, unless the disk has refused before.

        Raises:
            OSError: The disk refuses; the checkpoint before is untouched.
            ValueError: Another fit has written it meanwhile; what that has written is untouched.
        """
        if self._path is None or not (self._new or self._is_behind) or self._is_broken:
            return
        began = time.monotonic()
        self._steps |= {name: make() for name, make in self._new.items()}
        self._is_behind = True  # until it is written: Ctrl-C may end the writing, and the end writes again
        self._new = {}
        try:
            self._check_own(self._path)
            stored.write(self._path, stored.Stored(self._fit, self._steps))
        except (OSError, ValueError):
            self._is_broken = True
            raise
        self._seen, self._is_behind = stored.identity_of(self._path), False
        now = time.monotonic()
        self._next_time = now + max(_SECONDS, _TIMES * (now - began))

    def _check_own(self, path: pathlib.Path) -> None:
        """Checks that the file to replace is of this fit; it is read only where somebody else has written it."""
        if stored.identity_of(path) in (None, self._seen) or stored.read(path).fit == self._fit:
            return
        raise ValueError(
            f"`checkpoint` must be the file of one fit. Received: {path}, which another fit has written meanwhile. "
            "Start again, with a file of its own for each fit."
        )


NO_JOURNAL = Journal()


def journal_of(
    options: FitOptions,
    numbers: int | Sequence[int],
    source: RowSource,
    survey: Survey,
    validation: RowSource | None,
) -> Journal:
    """Opens the journal of a fit; one that remembers nothing where no checkpoint was asked for. See `Journal.opened`.

    Args:
        options: Options of the fit.
        numbers: K, or several.
        source, survey: The rows, and their survey.
        validation: Rows to validate on, opened; or None.
    """
    if options.checkpoint is None:
        return NO_JOURNAL
    return Journal.opened(options.checkpoint, of_fit(options, numbers, source, survey, validation), options)


def check_before_work(
    options: FitOptions, numbers: int | Sequence[int] | None = None, callbacks: Sequence[Any] = ()
) -> None:
    """Checks the checkpoint that options name, where they name one, before the rows are looked at.

    Args:
        options: Options of the fit.
        numbers: K, or several; None where options or these are not final yet: only the file is checked.
        callbacks: Callbacks of the fit.

    Raises:
        ValueError: The file is no checkpoint, or of other options; a callback is one of Keras's.
        OSError: Nothing can be written there.
    """
    path = options.checkpoint
    if path is None:
        return
    for callback in callbacks:
        if not isinstance(callback, SweepCallback):
            raise ValueError(
                "`callbacks` must be tfgmm.callbacks.SweepCallback with `checkpoint`. Received: "
                f"{type(callback).__name__}, a callback of Keras's, whose loop cannot go on in mid-fit. Leave one of "
                "both out; or train a GaussianMixtureModel with keras.callbacks.BackupAndRestore."
            )
    check_writable(path)
    before = stored.read(path) if path.is_file() else None
    if before and before.steps and numbers is not None:
        check_same(path, before.fit, of_options(options, numbers), options)
