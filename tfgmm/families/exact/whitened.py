"""The exact posterior in coordinates in which it is about standard normal, and each way to draw from it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator

import numpy as np
from scipy.linalg import solve_triangular

from tfgmm.families.exact.adaptive_importance import Weighted, adaptive_importance, stages
from tfgmm.families.exact.budget import NUM_CHAINS, Budget
from tfgmm.families.exact.chains import chains
from tfgmm.families.exact.folded_chains import FoldedChains
from tfgmm.families.exact.labels import Labels
from tfgmm.families.exact.mode import Mode
from tfgmm.families.exact.prior_proposal import prior_proposal
from tfgmm.families.exact.records import ExactDraws
from tfgmm.families.exact.target import Target
from tfgmm.families.records import Drawn
from tfgmm.posterior.record import PosteriorRecord
from tfgmm.posterior.smoothing import FEWEST_RATIOS, effective_sample_size, smoothed_log_weights

# Called before each step with what it is, its number, and how many there may be (0: not known)
Tell = Callable[[str, int, int], None]

_FEW_STAGES = 3
_NEAR = 200  # draws whose spread is the unit in which components are near or far


class Whitened:
    """The exact posterior in xi, with phi = L'^-1 xi around the mode: about standard normal.

    Args:
        target: The exact posterior.
        mode: Its mode.
        budget: What can be afforded.
        generator: Source of all draws.
        tell: Function that is called before each step.
    """

    def __init__(self, target: Target, mode: Mode, budget: Budget, generator: np.random.Generator, tell: Tell) -> None:
        self.target, self.mode, self.budget = target, mode, budget
        self._generator, self._tell, self._size = generator, tell, len(mode.root)
        self._log_determinant = float(np.log(np.diag(mode.root)).sum())
        # Products with the inverse are NumPy's, whose threads we hold; SciPy's library has threads of its own
        self._inverse = solve_triangular(mode.root, np.eye(self._size), lower=True)
        self.labels = Labels(mode.coordinates, self.drawn(generator.standard_normal((_NEAR, self._size))))
        self._outside = np.zeros(0)  # log densities of all draws of the stages, in any order of their components

    def drawn(self, xi: np.ndarray) -> Drawn:
        """Turns xi, (S, P), into parameters."""
        return self.mode.coordinates.drawn(self._phi(xi))

    def _phi(self, xi: np.ndarray) -> np.ndarray:
        return np.asarray(xi @ self._inverse)

    def log_density(self, xi: np.ndarray) -> np.ndarray:
        """Computes the exact log posterior density of xi, (S,) nats, rows included."""
        return self.target.log_density(self.mode.coordinates, self._phi(xi)) - self._log_determinant

    def log_density_and_gradient(self, xi: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Computes the same with its gradient, (S,) and (S, P)."""
        found, gradients = self.target.log_density_and_gradient(self.mode.coordinates, self._phi(xi))
        return found - self._log_determinant, gradients @ self._inverse.T

    # --- The normal distribution at the mode -----------------------------------------------------------------------

    def normal_draws(self) -> np.ndarray:
        """Draws xi from the normal distribution at the mode, as many as are kept."""
        return self._generator.standard_normal((self.budget.num_kept, self._size))

    def checked(self, record: PosteriorRecord, xi: np.ndarray) -> PosteriorRecord:
        """Weighs draws of the normal distribution: how many of them are effective, and k-hat where they are many."""
        self._tell("check", 1, 1)
        xi = xi[: self.budget.num_checked]
        of_normal = -0.5 * (np.square(xi).sum(axis=1) + self._size * math.log(2.0 * math.pi))
        log_ratios = self.log_density(xi) - of_normal
        if self.labels.is_symmetric:
            evidence = self.mode.log_evidence + self.labels.log_num_orders
            record = dataclasses.replace(record, log_evidence=evidence)
        if not np.isfinite(log_ratios).any():
            return dataclasses.replace(record, efficiency=0.0)
        log_weights, k_hat = smoothed_log_weights(log_ratios)
        efficiency = effective_sample_size(log_weights) / len(xi)
        return dataclasses.replace(record, k_hat=k_hat if len(xi) >= FEWEST_RATIOS else None, efficiency=efficiency)

    # --- Importance sampling ---------------------------------------------------------------------------------------

    def stages(self) -> Iterator[Weighted]:
        """Yields weighted draws, stage after stage, within the labelling of the mode."""
        self._outside = np.zeros(0)
        yield from stages(
            self._own_log_density,
            self._size,
            self._generator,
            num_draws=self.budget.stage_draws,
            max_stages=self.budget.num_stages,
            extra=prior_proposal(self.mode.coordinates, self.mode.root, self.budget.num_data, self.target.rows),
            tell=lambda number, count: self._tell("importance", number, count),
        )

    def few_stages(self, num_draws: int) -> Weighted:
        """Draws in a few stages, within the labelling of the mode: enough for the evidence."""
        size, generator = self._size, self._generator
        return adaptive_importance(self._own_log_density, size, generator, num_draws=num_draws, max_stages=_FEW_STAGES)

    def _own_log_density(self, xi: np.ndarray) -> np.ndarray:
        log_densities = self.log_density(xi)
        self._outside = np.append(self._outside, log_densities)
        finite = np.flatnonzero(np.isfinite(log_densities))
        own = self.labels.are_own(self.drawn(xi[finite])) if len(finite) else np.zeros(0, bool)
        return np.where(np.isin(np.arange(len(xi)), finite[own]), log_densities, -np.inf)

    def resampled(self, weighted: Weighted) -> ExactDraws:
        """Draws from weighted draws by their weights, each as often as its weight says, give or take one."""
        record = PosteriorRecord("importance", k_hat=weighted.k_hat, ess=weighted.size)
        if self.labels.is_symmetric and math.isfinite(weighted.log_evidence):
            record = dataclasses.replace(
                record,
                log_evidence=weighted.log_evidence + self.labels.log_num_orders,
                evidence_error=weighted.evidence_error,
                share_moved=self._share_moved(weighted),
            )
        if weighted.size == 0.0:
            return ExactDraws(self.drawn(weighted.xi[: self.budget.num_kept]), record)
        ends, num_kept = np.cumsum(np.exp(weighted.log_weights)), self.budget.num_kept
        marks = (np.arange(num_kept) + self._generator.random()) / num_kept * ends[-1]
        chosen = np.minimum(np.searchsorted(ends, marks, "right"), len(ends) - 1)
        return ExactDraws(self.drawn(weighted.xi[self._generator.permutation(chosen)]), record)

    def _share_moved(self, weighted: Weighted) -> float:
        """Computes the share of the posterior, as far as it was drawn from, that is in another labelling."""
        log_ratios = self._outside - weighted.log_drawn
        is_own = np.isfinite(weighted.log_ratios)
        total = np.logaddexp.reduce(log_ratios)
        return float(np.exp(np.logaddexp.reduce(log_ratios[~is_own]) - total)) if (~is_own).any() else 0.0

    # --- Markov chains ---------------------------------------------------------------------------------------------

    def walked(self, weighted: Weighted | None) -> Iterator[ExactDraws]:
        """Yields draws of chains after each batch of paths, until they can be trusted or have cost enough."""
        centre, root = self._shape(weighted)
        starts = solve_triangular(root, (self._starts(weighted) - centre).T, lower=True).T

        def of_standard(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            found, gradients = self.log_density_and_gradient(centre + values @ root.T)
            return found, gradients @ root

        folded = FoldedChains(self.labels, self.budget.num_kept, self._generator)
        for walked in chains(of_standard, starts, self._generator):
            self._tell("mcmc", walked.num_gradients, self.budget.most_gradients)
            folded.add(self.drawn, centre + walked.xi[:, folded.length :] @ root.T)
            found = folded.draws()
            yield found
            if found.record.is_trusted or walked.num_gradients >= self.budget.most_gradients:
                return

    def _starts(self, weighted: Weighted | None) -> np.ndarray:
        """Chooses different draws to start chains from, the more probable the more often."""
        if weighted is None or np.isfinite(weighted.log_weights).sum() < NUM_CHAINS:
            return 0.5 * self._generator.standard_normal((NUM_CHAINS, self._size))
        noisy = weighted.log_weights + self._generator.gumbel(size=len(weighted.log_weights))
        return weighted.xi[np.argsort(-noisy)[:NUM_CHAINS]]

    def _shape(self, weighted: Weighted | None) -> tuple[np.ndarray, np.ndarray]:
        """Estimates mean and Cholesky factor of the covariance of xi from weighted draws, where they tell."""
        if weighted is None or weighted.size < 5.0 * self._size:
            return np.zeros(self._size), np.eye(self._size)
        weights = np.exp(weighted.log_weights)
        centre = weights @ weighted.xi
        away = (weighted.xi - centre) * np.sqrt(weights)[:, None]
        share = self._size / (self._size + weighted.size)
        return centre, np.linalg.cholesky((1.0 - share) * (away.T @ away) + share * np.eye(self._size))
