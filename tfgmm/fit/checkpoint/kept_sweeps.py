"""The sweeps over all rows of one fit, as a journal has them: after each, all that the next one needs."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from tfgmm.families.records import Values
from tfgmm.fit.callbacks import SweepCallback
from tfgmm.fit.checkpoint.entries import Entry, entry_of
from tfgmm.fit.checkpoint.journal import Journal
from tfgmm.mixture.statistics import Statistics


class SoFar(NamedTuple):
    """Where sweeps stand.

    values: Numbers behind q.
    sums: Statistics that the last sweep moved q by.
    history: Logs by name, a number per sweep.
    states: What callbacks keep, as JSON; see `states_of`.
    is_ended: Whether a callback made the last sweep the last for good.
    """

    values: Values
    sums: Statistics | None
    history: Mapping[str, list[float]]
    states: str
    is_ended: bool


class KeptSweeps:
    """The sweeps of one fit.

    Args:
        journal: Where they are kept.
        name: Name of the step, which tells the start of the sweeps apart from others.

    Attributes:
        num_earlier: How many sweeps an earlier run has taken.
    """

    def __init__(self, journal: Journal, name: str) -> None:
        self._journal, self._name = journal, name
        self.num_earlier = 0

    @property
    def is_kept(self) -> bool:
        """Whether there is a checkpoint."""
        return self._journal.is_kept

    def so_far(self) -> SoFar | None:
        """Returns where the sweeps of an earlier run ended; None where there were none."""
        kept = self._journal.earlier(self._name)
        if kept is None:
            return None
        values, sums, history, *rest = kept
        self.num_earlier = len(history["elbo"])
        return SoFar(values, sums, {name: of_name.tolist() for name, of_name in history.items()}, *rest)

    def keep(self, so_far: SoFar) -> None:
        """Keeps where the sweeps stand after one more."""
        if self.is_kept:
            history = {name: list(of_name) for name, of_name in so_far.history.items()}  # which will grow
            self._journal.put(self._name, functools.partial(_entry, so_far._replace(history=history)))


def _entry(so_far: SoFar) -> Entry:
    values, sums, history, *rest = so_far
    return entry_of((values, sums, {name: np.array(of_name) for name, of_name in history.items()}, *rest))


NOT_KEPT = KeptSweeps(Journal(), "")


def states_of(callbacks: Sequence[SweepCallback]) -> str:
    """Writes as JSON what callbacks need to go on from here, by their classes, in their order.

    Raises:
        TypeError: One of them keeps something that JSON has not.
    """
    states = []
    for callback in callbacks:
        name, state = type(callback).__name__, callback.kept_state()
        try:
            states.append(json.dumps([name, state]))
        except (TypeError, ValueError) as error:
            raise TypeError(
                f"`kept_state` of {name} must return numbers, text, lists and dictionaries. Received: {error}. Leave "
                "out what the fit does not need to go on."
            ) from error
    return f"[{','.join(states)}]"


def restore_states(callbacks: Sequence[SweepCallback], states: str) -> None:
    """Gives callbacks back what those of their class kept, in their order; a callback of a new class gets nothing."""
    known = json.loads(states)
    for callback in callbacks:
        name = type(callback).__name__
        place = next((place for place, (of_class, _) in enumerate(known) if of_class == name), None)
        if place is not None:
            callback.restore_state(known.pop(place)[1])
