"""Draws from the exact posterior by the cheapest method that is good enough, and what says how good it was."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.linalg import solve_triangular

from tfgmm.common.checks import check_choice
from tfgmm.families.exact.adaptive_importance import Weighted, stages
from tfgmm.families.exact.chains import Chains, chains
from tfgmm.families.exact.coordinates import Coordinates
from tfgmm.families.exact.labels import Labels, reordered
from tfgmm.families.exact.mode import Mode, find_mode
from tfgmm.families.exact.target import PassedRows, Target
from tfgmm.families.records import Drawn
from tfgmm.families.variational import VariationalPosterior
from tfgmm.posterior.record import AUTO, FEWEST_EFFECTIVE, LARGEST_K_HAT, LARGEST_R_HAT, METHODS, PosteriorRecord
from tfgmm.posterior.smoothing import FEWEST_RATIOS, smoothed_log_weights

# Called before each step with what it is, its number, and how many there may be
Tell = Callable[[str, int, int], None]

# Free numbers of the mixture: with more, the information takes more than 300 MB, and its factor minutes
MOST_COORDINATES = 6_000
# More cannot be adapted to with 10,000 draws
_MOST_ADAPTED = 200
# Joints of rows, components and draws, each with the columns of its features over 8; about 10 ns each on two cores
_STAGE_WORK, _CHECK_WORK, _CHAIN_WORK = 4e8, 6e7, 1.2e9
_NUM_DRAWS, _FEWEST_DRAWS, _CHECK_DRAWS, _LEAST_CHECK = 2_000, 1_000, 256, 16
_NUM_CHAINS, _PATH_COST, _MOST_BATCHES = 64, 8.0, 10
# Draws that are kept, and numbers in them
_MOST_KEPT, _MOST_NUMBERS = 4_000, 2**24


class ExactDraws(NamedTuple):
    """Draws of equal weight, and how they were made.

    drawn: S draws of parameters.
    record: How far to trust them.
    """

    drawn: Drawn
    record: PosteriorRecord


def check_method(method: str) -> str:
    """Checks the name of a posterior, and hands it on.

    Raises:
        ValueError: There is no such.
    """
    return check_choice("posterior", method, [*METHODS, AUTO])


def exact_draws(
    posterior: VariationalPosterior,
    rows: PassedRows,
    num_data: float,
    method: str = AUTO,
    seed: int = 0,
    tell: Tell = lambda what, number, count: None,
) -> ExactDraws | None:
    """Draws from the exact posterior near q; the same for the same seed. None where it has too many free numbers.

    Args:
        posterior: q, where it was fitted.
        rows: The rows that it was fitted to, measured from its centre.
        num_data: N, the sum of their weights.
        method: "laplace", "importance", "mcmc", or "auto" for the first of these that is good enough.
        seed: Seed of the draws.
        tell: Function that is called before each step.
    """
    coordinates = Coordinates.at_means(posterior)
    if coordinates.num_coordinates > MOST_COORDINATES:
        return None
    target = Target(posterior, rows)
    mode = find_mode(target, coordinates, lambda number: tell("mode", number, 0))
    return _Ladder(target, mode, num_data, method, np.random.default_rng(seed), tell).climbed()


class _Ladder:
    """The methods one after the other, from the cheapest; Ctrl-C ends with what there is."""

    def __init__(
        self, target: Target, mode: Mode, num_data: float, method: str, generator: np.random.Generator, tell: Tell
    ) -> None:
        self._target, self._mode, self._asked, self._generator, self._tell = target, mode, method, generator, tell
        self._size = len(mode.root)
        posterior = target.posterior
        num_columns = posterior.num_features * (1 if posterior.form == "independent" else posterior.num_features)
        self._work = num_data * posterior.num_components * (1.0 + num_columns / 4.0)
        near = self._drawn(generator.standard_normal((200, self._size)))
        self._labels = Labels(mode.coordinates, near)

    def climbed(self) -> ExactDraws:
        """Goes up as far as the method says, or as is needed."""
        laplace = self._laplace()
        if self._asked == "laplace" or (self._asked == AUTO and self._is_check_enough(laplace)):
            return laplace
        best, weighted = laplace, None
        try:
            if self._asked != "mcmc" or self._can_adapt():
                for weighted in self._stages():
                    best = self._resampled(weighted)
            if self._asked == "importance" or (self._asked == AUTO and best.record.is_exact):
                return best
            if self._asked == AUTO and not self._can_walk():
                return self._not_good_enough(laplace, best)
            for walked in self._chains(weighted):
                best = walked
                if best.record.is_exact:
                    return best
        except KeyboardInterrupt:
            return best._replace(record=dataclasses.replace(best.record, note="it was stopped before it was done"))
        return best if self._asked == "mcmc" else self._not_good_enough(laplace, best)

    # --- The normal distribution at the mode -----------------------------------------------------------------------

    def _drawn(self, xi: np.ndarray) -> Drawn:
        return self._mode.coordinates.drawn(self._phi(xi))

    def _phi(self, xi: np.ndarray) -> np.ndarray:
        """Turns whitened coordinates, (S, P), into coordinates around the mode."""
        return np.asarray(solve_triangular(self._mode.root, xi.T, lower=True, trans="T").T)

    def _laplace(self) -> ExactDraws:
        """Draws from the normal distribution at the mode; some are weighed by the exact posterior."""
        xi = self._generator.standard_normal((self._num_kept(), self._size))
        drawn = self._drawn(xi)
        record = PosteriorRecord("laplace", self._asked, share_moved=1.0 - float(self._labels.are_own(drawn).mean()))
        if not self._mode.is_exact:
            record = dataclasses.replace(record, note="the mode is flat")
        if self._asked in ("importance", "mcmc") or (self._asked == AUTO and self._can_adapt()):
            return ExactDraws(drawn, record)
        return ExactDraws(drawn, self._checked(record, xi[: self._num_checked()]))

    def _checked(self, record: PosteriorRecord, xi: np.ndarray) -> PosteriorRecord:
        """Weighs draws of the normal distribution: k-hat where they are many, else how much the ratios vary."""
        self._tell("check", 1, 1)
        log_densities = self._target.log_density(self._mode.coordinates, self._phi(xi))
        # d phi = d xi / det L
        of_normal = -0.5 * (np.square(xi).sum(axis=1) + self._size * math.log(2.0 * math.pi))
        log_ratios = log_densities - of_normal - np.log(np.diag(self._mode.root)).sum()
        if not np.isfinite(log_ratios).any():
            return dataclasses.replace(record, variance=math.inf)
        evidence = self._mode.log_evidence + self._labels.log_num_orders if self._labels.is_symmetric else None
        if len(xi) < FEWEST_RATIOS:
            return dataclasses.replace(record, variance=float(log_ratios.var(ddof=1)), log_evidence=evidence)
        log_weights, k_hat = smoothed_log_weights(log_ratios)
        return dataclasses.replace(record, k_hat=k_hat, log_evidence=evidence)

    def _num_checked(self) -> int:
        return int(min(_CHECK_DRAWS, max(_LEAST_CHECK, _CHECK_WORK // self._work)))

    def _num_kept(self) -> int:
        posterior = self._target.posterior
        columns = posterior.num_features ** (1 if posterior.form == "independent" else 2)
        return max(200, min(_MOST_KEPT, _MOST_NUMBERS // (posterior.num_components * columns)))

    def _is_check_enough(self, laplace: ExactDraws) -> bool:
        """Tells whether the normal distribution is all that is affordable, and good enough."""
        return not self._can_adapt() and laplace.record.is_trusted

    # --- Importance sampling ---------------------------------------------------------------------------------------

    def _num_drawn(self) -> int:
        """Chooses the draws of a stage: as many as can be afforded, or all that are useful where they were asked for."""
        if self._asked == "importance":
            return _NUM_DRAWS
        return int(min(_NUM_DRAWS, _STAGE_WORK // self._work))

    def _can_adapt(self) -> bool:
        return self._size <= _MOST_ADAPTED and self._num_drawn() >= _FEWEST_DRAWS

    def _stages(self) -> object:
        """Yields weighted draws, stage after stage."""
        max_stages = 5 if self._size <= _MOST_ADAPTED else 1
        return stages(
            self._log_density,
            self._size,
            self._generator,
            num_draws=self._num_drawn(),
            max_stages=max_stages,
            tell=lambda number, count: self._tell("importance", number, count),
        )

    def _log_density(self, xi: np.ndarray) -> np.ndarray:
        """Computes the log density of whitened coordinates, (S,), within the labelling of the mode."""
        phi = self._phi(xi)
        log_densities = self._target.log_density(self._mode.coordinates, phi)
        if not self._labels.is_symmetric:
            return log_densities
        finite = np.isfinite(log_densities)
        log_densities[finite] = np.where(
            self._labels.are_own(self._mode.coordinates.drawn(phi[finite])), log_densities[finite], -np.inf
        )
        return log_densities - np.log(np.diag(self._mode.root)).sum()
