"""How well mixtures predict rows that they were not fitted to: cross-validation on the rows that restarts look at."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple, cast

import numpy as np

from tfgmm.data.blocks import RowBlock
from tfgmm.data.survey import Survey
from tfgmm.families.variational import VariationalPosterior
from tfgmm.fit.restarts import Restart, Stage
from tfgmm.fit.screening import Candidates, candidates
from tfgmm.mixture.virtual_copies import are_few, are_whole
from tfgmm.scoring.devices import block_scorer

_NUM_FOLDS = 5
NUM_STARTS, _NUM_CONTENDERS, _MOST_FAILURES = 4, 1, 1
# Nats per row: all starts go on until gains fall below the first, the best one until below the second
_TOLERANCES = (1e-3, 1e-5)


@dataclasses.dataclass(frozen=True, eq=False)
class Folds:
    """Which rows of a sample are held out, and in which fit.

    Args:
        numbers: Fold of each entry, (E,) int; -1 for rows that are in every fit.
        num_folds: Number of fits; 0 where there are too few rows.
        description: The same in words.
        rows: Row of the sample of each entry, (E,) int, ascending. A row of weight 3 is three rows, which may be in
            several folds: then it has several entries.
        weights: How often each entry counts, (E,); None: once.
    """

    numbers: np.ndarray
    num_folds: int
    description: str
    rows: np.ndarray
    weights: np.ndarray | None = None

    def entries(self, is_chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Takes rows and weights of the entries where `is_chosen`, (E,) bool."""
        return self.rows[is_chosen], None if self.weights is None else self.weights[is_chosen]

    def block(self, block: RowBlock, is_chosen: np.ndarray) -> RowBlock:
        """Takes the rows of the entries where `is_chosen` out of those of the sample."""
        rows, weights = self.entries(is_chosen)
        return block.part(rows)._replace(weights=weights)

    @property
    def held_out_weights(self) -> np.ndarray | None:
        """How often each held-out entry counts; None: once."""
        return self.entries(self.numbers >= 0)[1]


def folds_of(survey: Survey, seed: int) -> Folds:
    """Assigns all rows to five folds; where the sample is not all rows, a fifth of the sample is held out once.

    Example:

    >>> from tfgmm.data.readers import Rows
    >>> from tfgmm.data.survey import survey_rows
    >>> rows = Rows(np.arange(5.0)[:, None])
    >>> sorted(folds_of(survey_rows(rows, None, seed=0), seed=0).numbers.tolist())
    [0, 1, 2, 3, 4]
    """
    num_rows, rows, weights = len(survey.sample), np.arange(len(survey.sample)), survey.weights
    if survey.is_sample:
        numbers = np.where(np.random.default_rng(seed).permutation(num_rows) % _NUM_FOLDS == 0, 0, -1)
        num_held_out = int(np.sum(numbers == 0))
        words = f"{num_held_out:,} rows of a sample of {num_rows:,}, held out from fits to the rest of the sample"
        # Rows of a sample stand for themselves here, and not for the others too
        return Folds(numbers, 1, words, rows, None if weights is None else weights * (num_rows / weights.sum()))
    num_copies = num_rows if weights is None or not are_whole(weights) else int(weights.sum())
    if num_copies < 2:
        return Folds(np.full(num_rows, -1), 0, "none: one row cannot be held out", rows, weights)
    num_folds = min(_NUM_FOLDS, num_copies)
    words = "each row in turn" if num_folds == num_copies else f"{num_folds}-fold cross-validation"
    description = f"{words}, {num_copies:,} rows"
    if num_copies == num_rows:
        shuffled = np.random.default_rng(seed).permutation(num_rows)
        return Folds(shuffled % num_folds, num_folds, description, rows, weights)
    counts = _counts_in_folds(cast("np.ndarray", weights), num_folds, seed)
    rows, numbers = np.nonzero(counts)
    return Folds(numbers, num_folds, description, rows, counts[rows, numbers].astype(np.float64))


def _counts_in_folds(weights: np.ndarray, num_folds: int, seed: int) -> np.ndarray:
    """Deals the copies that whole weights stand for to folds, (n, F) counts, as the rows themselves would be dealt."""
    generator, counts = np.random.default_rng(seed), weights.astype(np.int64)
    if not are_few(counts):
        return generator.multinomial(counts, np.full(num_folds, 1.0 / num_folds))
    numbers = generator.permutation(int(counts.sum())) % num_folds
    owners = np.repeat(np.arange(len(counts)), counts)
    dealt = np.bincount(owners * num_folds + numbers, minlength=len(counts) * num_folds)
    return dealt.reshape(len(counts), num_folds)


class OfFold(NamedTuple):
    """Candidates for the starts of a fit without one fold, and the stages that the best of them go through."""

    candidates: Candidates
    stages: Sequence[Stage]


def candidates_of_folds(
    q: VariationalPosterior, seed: int, spread: np.ndarray, folds: Folds, stage: Stage, start: str
) -> list[OfFold]:
    """Draws starts of the fit without each fold, among its own rows.

    So nothing of the held-out rows is in these fits except the centre and the spread that the priors are made of.

    Args:
        q: Untouched posterior, with priors and centre from the data.
        seed: Seed of the starts.
        spread: (D,) widths that count as equal.
        folds: Folds of the rows of the stage.
        stage: The last stage of restarts on the sample.
        start: "auto", "k-means++" or "random".
    """
    found = []
    for fold in range(folds.num_folds):
        stages = stages_of_fold(stage, folds, fold)
        found.append(OfFold(candidates(q, stages[0], spread, start, seed, NUM_STARTS, is_thorough=False), stages))
    return found


def stages_of_fold(stage: Stage, folds: Folds, fold: int) -> list[Stage]:
    """Lists the stages of a fit without one fold: coarsely, then the best start more finely."""
    coarse, fine = (max(stage.tolerance, least) for least in _TOLERANCES)
    rows = stage.rows.subset(*folds.entries(folds.numbers != fold))
    first = dataclasses.replace(
        stage, rows=rows, tolerance=coarse, patience=1, num_starts=None, moves=None, is_sample=False
    )
    moves = (
        None if stage.moves is None else stage.moves._replace(num_starts=_NUM_CONTENDERS, most_failures=_MOST_FAILURES)
    )
    return [first, dataclasses.replace(first, tolerance=fine, num_starts=_NUM_CONTENDERS, moves=moves)]


def held_out_log_densities(
    q: VariationalPosterior, survey: Survey, folds: Folds, restarts: Sequence[Sequence[Restart]]
) -> np.ndarray:
    """Computes the log density of each held-out row at the posterior means of the fit without it, float64, nats.

    Args:
        q: Family of the posteriors, with the centre of the rows.
        survey: Survey whose sample has the rows.
        folds: Folds of that sample.
        restarts: Where the starts of each fold ended, best first.
    """
    log_densities = np.full(len(folds.numbers), np.nan)
    for fold, (best, *_) in enumerate(restarts):
        is_held_out = folds.numbers == fold
        mixture = q.plug_in(q.factors_of(best.values))
        rows = folds.block(survey.rows, is_held_out)
        log_densities[is_held_out] = block_scorer(mixture).scores(rows, ["log_density"]).by_name["log_density"]
    return log_densities[folds.numbers >= 0]
