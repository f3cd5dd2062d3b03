"""Rounds of moves: several swaps at a time, kept where the bound rises, taken back where it does not."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from tfgmm.common.threads import one_thread_each
from tfgmm.families.variational import Values, VariationalPosterior
from tfgmm.fit.moves.divisions import FilledRows
from tfgmm.fit.moves.swaps import Prospect, Swap, chosen_swaps, prospect_at, swapped
from tfgmm.fit.restarts import Move, MoveRule, Restart, Stage, ascend

# Shares of the loss that a gain must be above: first where neighbours hardly overlap, then where they adapt
_SHARES = (0.7, 0.15)
# Share of the components that may go at a time, and what is left of it after a failure
_SHARE_AT_A_TIME, _SHARE_AFTER_FAILURE = 0.25, 0.25
# Moves that a restart tries at most: so many small gains that more of them would not pay
_MOST_TRIALS = 50
# Sweeps after a move, and the gain that it must bring: nats per row, and nats
_NUM_SWEEPS, _LEAST_GAINS = 20, (1e-6, 0.1)
# Restarts are at one optimum if their bounds differ by less than so many nats per row, and losses by less than a share
_ALIKE, _ALIKE_LOSSES = 1e-3, 0.05


def moved(q: VariationalPosterior, several: Sequence[tuple[Restart, Stage]]) -> list[Restart]:
    """Moves components of each restart as long as its bound rises, side by side; bounds never fall.

    k-means++ seldom finds all of many clusters: some cluster holds two components, and some component two clusters.

    Args:
        q: Family of the posteriors.
        several: Where starts ended, with the stage that has their rows and the rule of their moves.
    """
    with one_thread_each():  # products of components are rounded alike on any number of cores
        moving = [_Moving(q, restart, stage) for restart, stage in several]
        while trials := [(one, values) for one in _different(moving) if (values := one.next_trial()) is not None]:
            ends = ascend(q, [(values, one.stage) for one, values in trials])
            for (one, _), end in zip(trials, ends):
                one.take(end)
    return [one.end() for one in moving]


def _different(moving: Sequence[_Moving]) -> list[_Moving]:
    """Leaves out those that are where one before them is: they would try the same."""
    found: list[_Moving] = []
    for one in moving:
        if not any(one.is_where(other) for other in found):
            found.append(one)
    return found


class _Moving:
    """A restart that tries moves.

    Args:
        q: Family of the posteriors.
        restart: Where it is.
        stage: Its rows, and the rule of its moves.
    """

    def __init__(self, q: VariationalPosterior, restart: Restart, stage: Stage) -> None:
        self.stage = dataclasses.replace(stage, max_sweeps=min(_NUM_SWEEPS, stage.max_sweeps))
        self._rule = stage.moves or MoveRule(1, 0)
        self._q, self._restart, self._number = q, restart, restart.number
        self._rows = FilledRows.of(stage.rows.block)
        self._elbos, self._moves = [restart.elbos], list(restart.moves)
        self._most = self._most_at_a_time = max(1, int(_SHARE_AT_A_TIME * q.num_components))
        self._round, self._num_failures = 0, 0
        per_row = max(_LEAST_GAINS[0], stage.tolerance if stage.is_sample else 0.0)
        self._least_gain = max(per_row * stage.rows.num_data, _LEAST_GAINS[1])
        self._barred, self._has_births = set[Swap](), True
        self._num_left = _MOST_TRIALS
        self._tried: list[Swap] = []
        self._prospect = self._look(restart.values)

    def _look(self, values: Values) -> Prospect:
        return prospect_at(self._q, values, self.stage, self._rows, self._rule.seed)

    def is_where(self, other: _Moving) -> bool:
        """Tells whether another restart over the same rows has come to the same optimum, as far as both have come."""
        one, two = self._prospect, other._prospect
        if self.stage.rows is not other.stage.rows or abs(one.elbo - two.elbo) > _ALIKE * self.stage.rows.num_data:
            return False
        losses = np.sort(one.losses), np.sort(two.losses)
        return bool(np.allclose(*losses, rtol=_ALIKE_LOSSES, atol=0.1))

    def next_trial(self) -> Values | None:
        """Makes the next swaps and says where q stands then; None where there are none left to try."""
        while min(self._num_left, self._rule.most_failures - self._num_failures) > 0 and self._round < len(_SHARES):
            self._tried = chosen_swaps(self._prospect, _SHARES[self._round], self._most, self._barred, self._has_births)
            if self._tried:
                self._num_left -= 1
                self.stage = dataclasses.replace(self.stage, goal=self._prospect.elbo + self._gain_asked)
                return swapped(self._q, self._prospect, self._tried, self.stage.centre)
            self._round, self._most = self._round + 1, self._most_at_a_time
        return None

    @property
    def _gain_asked(self) -> float:
        """What the swaps that are tried must bring, nats."""
        return self._least_gain + self._prospect.gain_by_chance(self._tried)

    def take(self, end: Restart) -> None:
        """Goes on from where sweeps after a move ended, if the bound is higher there; else takes the move back."""
        gain = end.elbo - self._prospect.elbo
        if gain > self._gain_asked and math.isfinite(end.elbo):
            deleted, divided = zip(*self._tried)
            self._moves.append(Move(deleted, divided, gain, sum(map(len, self._elbos))))
            self._elbos.append(end.elbos[end.elbos > self._prospect.elbo])
            self._restart, self._prospect = end, self._look(end.values)
            self._barred, self._num_failures, self._most = set(), 0, self._most_at_a_time
            self._has_births = True
            return
        self._num_failures += 1
        if len(self._tried) == 1:
            [only] = self._tried
            self._barred.add(only)
            self._has_births &= not self._prospect.is_empty[only.deleted]  # that gained most of all
        self._most = max(1, int(_SHARE_AFTER_FAILURE * len(self._tried)))

    def end(self) -> Restart:
        """Returns where the restart is, with all its moves."""
        elbos, first = np.concatenate(self._elbos), self._number
        moves = tuple(self._moves)
        return dataclasses.replace(self._restart, elbo=self._prospect.elbo, elbos=elbos, moves=moves, number=first)
