"""Rounds of swaps: several at a time, kept where the bound rises, taken back where it does not."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from tfgmm.families.variational import VariationalPosterior
from tfgmm.fit.moves.swaps import Prospect, Swap, chosen_swaps, prospect_at, swapped
from tfgmm.fit.restarts import Restart, Stage, ascend
from tfgmm.mixture.filled import with_gaps_filled

SHARES = (0.7, 0.15)
_SWEEPS = 20
_LEAST_GAIN = 1e-6
_MOST_FAILURES = 8


class Moving:
    def __init__(self, q: VariationalPosterior, restart: Restart, stage: Stage, seed: int) -> None:
        self.q, self.stage, self.seed = q, dataclasses.replace(stage, max_sweeps=min(_SWEEPS, stage.max_sweeps)), seed
        self.restart = restart
        values = stage.rows.values
        self.filled = values
        if np.isnan(values).any():
            spread = np.nanstd(values.astype(np.float64), axis=0)
            self.filled = with_gaps_filled(values.astype(np.float64), np.where(spread > 0, spread, 1.0)).astype(np.float32)
        self.share, self.most, self.failures = 0, max(1, q.num_components // 4), 0
        self.barred: set[Swap] = set()
        self.swaps: list[Swap] = []
        self.tried: list[Swap] = []
        self.elbos = [restart.elbos]
        self.log = []
        self.prospect = self._look(restart)

    def _look(self, restart: Restart) -> Prospect:
        return prospect_at(self.q, restart.values, self.stage.rows, self.filled, self.stage.centre, self.seed)

    def trial(self):
        """Numbers behind q after the next swaps; None where there are none left."""
        if self.failures == _MOST_FAILURES:
            return None
        while self.share < len(SHARES):
            self.tried = chosen_swaps(self.prospect, SHARES[self.share], self.most, self.barred, len(self.filled))
            if self.tried:
                return swapped(self.q, self.prospect, self.tried, self.stage.centre)
            self.share, self.most = self.share + 1, max(1, self.q.num_components // 4)
        return None

    def judge(self, trial: Restart) -> None:
        least = _LEAST_GAIN * self.stage.rows.num_data
        self.log.append((SHARES[self.share], len(self.tried), trial.num_sweeps, round((trial.elbo - self.prospect.elbo)/self.stage.rows.num_data,5)))
        if trial.elbo > self.prospect.elbo + least:
            self.elbos.append(trial.elbos[trial.elbos > self.prospect.elbo])
            self.swaps += self.tried
            self.restart = trial
            self.barred, self.failures, self.most = set(), 0, max(1, self.q.num_components // 4)
            self.prospect = self._look(trial)
            return
        self.failures += 1
        if len(self.tried) == 1:
            self.barred.add(self.tried[0])
        self.most = max(1, len(self.tried) // 4)

    def ended(self) -> Restart:
        return dataclasses.replace(self.restart, elbos=np.concatenate(self.elbos), elbo=self.prospect.elbo)


def moved(q: VariationalPosterior, several: Sequence[tuple[Restart, Stage]], seed: int = 0) -> list[Restart]:
    moving = [Moving(q, restart, stage, seed) for restart, stage in several]
    while trials := [(one, trial) for one in moving if (trial := one.trial()) is not None]:
        for (one, _), restart in zip(trials, ascend(q, [(trial, one.stage) for one, trial in trials])):
            one.judge(restart)
    return [one.ended() for one in moving], moving
