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
from tfgmm.families.exact.labels import Labels, reordered
from tfgmm.families.exact.mode import Mode
from tfgmm.families.exact.prior_proposal import prior_proposal
from tfgmm.families.exact.records import ExactDraws, shares_of_moved
from tfgmm.families.exact.target import Target
from tfgmm.families.records import Drawn
from tfgmm.posterior.record import PosteriorRecord
from tfgmm.posterior.smoothing import FEWEST_RATIOS, effective_sample_size, smoothed_log_weights

# Called before each step with what it is, its number, and how many there may be (0: not known)
Tell = Callable[[str, int, int], None]

_FEW_STAGES = 3
_FLAT, _ON_ITS_WAY = "the posterior is flat at its mode", "the search for the mode stopped on its way"
_NEAR = 200  # draws whose spread is the unit in which components are near or far
_SOME = 1_000  # draws by which is told how often components stand in another order
_MOST_NOISE = 0.1  # of a relative variance that is told by few draws
# Paths of chains between which the limit of their cost is looked at, and batches of these before chains are judged
_PATHS_OF_A_BATCH, _FIRST_BATCHES = 10, 4


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
        self._generator, self._tell = generator, tell
        self._size = self.num_coordinates = len(mode.root)
        self._log_determinant = float(np.log(np.diag(mode.root)).sum())
        # Products with the inverse are NumPy's, whose threads we hold; SciPy's library has threads of its own
        self._inverse = solve_triangular(mode.root, np.eye(self._size), lower=True)
        self.labels = Labels(mode.coordinates, self.drawn(generator.standard_normal((_NEAR, self._size))))
        self._normal_draws = np.zeros((0, self._size))
        self._outside: list[np.ndarray] = []  # log densities of the draws of stages, whatever their labelling

    def drawn(self, xi: np.ndarray) -> Drawn:
        """Turns xi, (S, P), into parameters."""
        with np.errstate(all="ignore"):  # what is too far to be a number has no density either
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

    def normal(self) -> ExactDraws:
        """Draws from the normal distribution at the mode, in one labelling."""
        xi = self._generator.standard_normal((self.budget.num_kept, self._size))
        phi = self._phi(xi)
        near = self.mode.coordinates.are_near(phi)
        while not near.any():  # where the posterior is flat they are beyond all numbers to reckon with
            xi, phi = 0.5 * xi, 0.5 * phi
            near[:] = self.mode.coordinates.are_near(phi)
        if not near.all():
            xi, phi = (np.resize(values[near], values.shape) for values in (xi, phi))
        self._normal_draws, drawn = xi, self.mode.coordinates.drawn(phi)
        orders = self.labels.orders(drawn)
        share, moved = shares_of_moved(orders)
        note = "" if self.mode.is_exact and near.all() else _FLAT if self.mode.converged else _ON_ITS_WAY
        return ExactDraws(
            reordered(drawn, orders), PosteriorRecord("laplace", share_moved=share, moved=moved, note=note)
        )

    def checked(self, normal: ExactDraws) -> ExactDraws:
        """Weighs draws of the normal distribution: how many are effective, and how wrong its widths are."""
        self._tell("check", 1, 1)
        xi, record = self._normal_draws[: self.budget.num_checked], normal.record
        of_normal = -0.5 * (np.square(xi).sum(axis=1) + self._size * math.log(2.0 * math.pi))
        log_ratios = self.log_density(xi) - of_normal
        if self.labels.is_symmetric:
            evidence = self.mode.log_evidence + self.labels.log_num_orders
            record = dataclasses.replace(record, log_evidence=evidence)
        if not np.isfinite(log_ratios).any():
            return normal._replace(record=dataclasses.replace(record, efficiency=0.0))
        log_weights, k_hat = smoothed_log_weights(log_ratios)
        record = dataclasses.replace(
            record,
            k_hat=k_hat if len(xi) >= FEWEST_RATIOS else None,
            efficiency=effective_sample_size(log_weights) / len(xi),
            width_error=width_error(xi, log_ratios),
        )
        return normal._replace(record=record)

    # --- Importance sampling ---------------------------------------------------------------------------------------

    def stages(self) -> Iterator[Weighted]:
        """Yields weighted draws, stage after stage, within the labelling of the mode."""
        self._outside = []
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
        """Computes the log density, -inf outside the labelling of the mode where all are equally probable."""
        log_densities = self.log_density(xi)
        self._outside.append(log_densities)
        finite = np.flatnonzero(np.isfinite(log_densities))
        if not self.labels.is_symmetric or not len(finite):
            return log_densities
        own = np.full(len(xi), -np.inf)
        inside = finite[self.labels.are_own(self.drawn(xi[finite]))]
        own[inside] = log_densities[inside]
        return own

    def resampled(self, weighted: Weighted) -> ExactDraws | None:
        """Draws from weighted draws by their weights, in one labelling; None where none has a weight."""
        if weighted.size == 0.0:
            return None
        drawn = self.drawn(weighted.xi[self._chosen(weighted.log_weights, self.budget.num_kept)])
        orders = self.labels.orders(drawn)  # all are in place where that was asked of them
        share, moved = shares_of_moved(orders) if not self.labels.is_symmetric else self._moved(weighted)
        record = PosteriorRecord(
            "importance",
            k_hat=weighted.k_hat,
            ess=min(weighted.size, float(len(orders))),
            share_moved=share,
            moved=moved,
        )
        if self.labels.is_symmetric and math.isfinite(weighted.log_evidence):
            evidence = weighted.log_evidence + self.labels.log_num_orders
            record = dataclasses.replace(record, log_evidence=evidence, evidence_error=weighted.evidence_error)
        return ExactDraws(reordered(drawn, orders), record)

    def _chosen(self, log_weights: np.ndarray, num_chosen: int) -> np.ndarray:
        """Chooses draws by their weights, each as often as its weight says, give or take one."""
        ends = np.cumsum(np.exp(log_weights - log_weights.max()))
        marks = (np.arange(num_chosen) + self._generator.random()) / num_chosen * ends[-1]
        chosen = np.minimum(np.searchsorted(ends, marks, "right"), len(ends) - 1)
        return self._generator.permutation(chosen)

    def _moved(self, weighted: Weighted) -> tuple[float, tuple[float, ...]]:
        """Estimates the share of the posterior, as far as it was drawn from, that is in another labelling."""
        log_ratios = np.concatenate(self._outside) - weighted.log_drawn
        some = self._chosen(log_ratios, _SOME)
        return shares_of_moved(self.labels.orders(self.drawn(weighted.xi[some])))

    # --- Markov chains ---------------------------------------------------------------------------------------------

    def walked(self, weighted: Weighted | None) -> Iterator[ExactDraws]:
        """Yields draws of chains after ever more paths, until they can be trusted or have cost enough."""
        centre, root = self._shape(weighted)
        found_starts = self._starts(weighted)
        if found_starts is None:
            return
        starts = solve_triangular(root, (found_starts - centre).T, lower=True).T
        most, num_gradients = self.budget.most_gradients, 0

        def of_standard(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            nonlocal num_gradients
            num_gradients += 1
            found, gradients = self.log_density_and_gradient(centre + values @ root.T)
            return found, gradients @ root

        folded, due = FoldedChains(self.labels, self.budget.num_kept, self._generator), _FIRST_BATCHES
        steps = chains(
            of_standard,
            starts,
            self._generator,
            num_kept=_PATHS_OF_A_BATCH,
            tell=lambda num_paths: self._tell("mcmc", min(num_gradients, most), most),
        )
        for number, walked in enumerate(steps, 1):
            folded.add(self.drawn, centre + walked.xi[:, folded.length :] @ root.T)
            is_last = num_gradients >= most
            if number < due and not is_last:
                continue
            due *= 2  # what judges them looks at all draws again
            found = folded.draws()
            yield found
            if found.record.is_trusted or is_last:
                return

    def _starts(self, weighted: Weighted | None) -> np.ndarray | None:
        """Chooses different draws to start chains from, the more probable the more often; None where none is found."""
        if weighted is not None and np.isfinite(weighted.log_weights).sum() >= NUM_CHAINS:
            noisy = weighted.log_weights + self._generator.gumbel(size=len(weighted.log_weights))
            return weighted.xi[np.argsort(-noisy)[:NUM_CHAINS]]
        for radius in 0.5 ** np.arange(1, 8):
            xi = radius * self._generator.standard_normal((2 * NUM_CHAINS, self._size))
            finite = np.flatnonzero(np.isfinite(self.log_density(xi)))
            if len(finite) >= NUM_CHAINS:
                return xi[finite[:NUM_CHAINS]]
        return None

    def _shape(self, weighted: Weighted | None) -> tuple[np.ndarray, np.ndarray]:
        """Estimates mean and Cholesky factor of the covariance of xi from weighted draws, where they tell."""
        if weighted is None or weighted.size < 5.0 * self._size:
            return np.zeros(self._size), np.eye(self._size)
        weights = np.exp(weighted.log_weights)
        centre = weights @ weighted.xi
        away = (weighted.xi - centre) * np.sqrt(weights)[:, None]
        share = self._size / (self._size + weighted.size)
        return centre, np.linalg.cholesky((1.0 - share) * (away.T @ away) + share * np.eye(self._size))


def width_error(xi: np.ndarray, log_ratios: np.ndarray) -> float | None:
    """Estimates how wrong the standard deviations of a normal distribution are, relative to them, to first order.

    exp(log ratio) changes the mean of a coordinate by cov(log ratio, xi), and its variance by cov(log ratio, xi^2).
    Chance alone makes these differ from 0 by a known amount, and what 5 % of the coordinates exceed counts beyond
    twice that. A mean that is off by as many standard deviations counts half.

    Args:
        xi: Draws of the standard normal distribution, (S, P).
        log_ratios: Log density of the target minus that of the normal distribution, (S,); -inf where there is none.

    Returns:
        The error; None where the draws are too few to tell it to a tenth.
    """
    finite = np.isfinite(log_ratios)
    centred = np.where(finite, log_ratios, log_ratios[finite].min())
    centred = centred - centred.mean()
    noise = float(centred.std()) / math.sqrt(len(xi))
    if noise * math.sqrt(2.0) > _MOST_NOISE:
        return None
    variances, means = centred @ (np.square(xi) - 1.0) / len(xi), centred @ xi / len(xi)
    of_widths = 0.5 * (np.quantile(np.abs(variances), 0.95) - 2.0 * math.sqrt(2.0) * noise)
    of_means = 0.5 * (np.quantile(np.abs(means), 0.95) - 2.0 * noise)
    return max(0.0, float(of_widths), float(of_means))
