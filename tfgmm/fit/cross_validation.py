"""How well mixtures predict rows that they were not fitted to: cross-validation on the rows that restarts look at."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from tfgmm.data import sources as door
from tfgmm.fit import restarts as search
from tfgmm.model.gaussian_mixture import GaussianMixtureModel
from tfgmm.scoring.scores import score_data

_NUM_FOLDS = 5
_NUM_STARTS, _NUM_CONTENDERS = 4, 1
# Nats per row: all starts climb to gains of the first, the best one to the second
_TOLERANCES = (1e-3, 1e-5)


@dataclasses.dataclass(frozen=True, eq=False)
class Folds:
    """Which rows of a sample are held out, and in which fit.

    Args:
        numbers: (n,) int: the fold of each row; -1 for rows that are in every fit.
        num_folds: fits in all; 0 where there are too few rows.
        description: the same in words.
    """

    numbers: np.ndarray
    num_folds: int
    description: str


def folds_of(survey: door.Survey, seed: int) -> Folds:
    """Returns five folds of all rows; where the sample is not all rows, a fifth of the sample is held out once.

    Example:

    >>> from tfgmm.data.readers import Rows
    >>> rows = Rows(np.arange(5.0)[:, None])
    >>> sorted(folds_of(door.survey(rows, "data", None, seed=0), seed=0).numbers.tolist())
    [0, 1, 2, 3, 4]
    """
    num_rows, num_data = len(survey.sample), survey.summary.num_data
    shuffled = np.random.default_rng(seed).permutation(num_rows)
    if num_rows < num_data:
        numbers = np.where(shuffled % _NUM_FOLDS == 0, 0, -1)
        held = int(np.sum(numbers == 0))
        words = f"{held:,} rows of a sample of {num_rows:,}, held out from fits to the rest of the sample"
        return Folds(numbers, 1, words)
    if num_rows < 2:
        return Folds(np.full(num_rows, -1), 0, "none: one row cannot be held out")
    num_folds = min(_NUM_FOLDS, num_rows)
    words = "each row in turn" if num_folds == num_rows else f"{num_folds}-fold cross-validation"
    return Folds(shuffled % num_folds, num_folds, f"{words}, {num_rows:,} rows")


def held_out_log_densities(
    model: GaussianMixtureModel,
    survey: door.Survey,
    folds: Folds,
    hill: search.Hill,
    start: str,
    tell: Callable[[int, int], None] = lambda number, count: None,
) -> np.ndarray:
    """Returns the log density of each held-out row at the posterior means of a fit without it, float64, nats.

    The fits have starts of their own among their own rows, so that nothing of the held-out rows is in them except the
    centre and the spread that the priors are made of. The model stays as it is.

    Args:
        model: untouched, with priors and centre from the data.
        survey: its sample has the rows.
        folds: of that sample.
        hill: the sample as restarts climb on it.
        start: "k-means++" or "random".
        tell: called with the number of fits, up to their count, and with their count. They go on side by side: the
            number is one more than there are starts that have arrived, as a share of all starts.
    """

    def tell_of_starts(number: int, count: int) -> None:
        if (number - 1) % _NUM_STARTS == 0:
            tell((number - 1) // _NUM_STARTS + 1, count // _NUM_STARTS)

    searches = [_search_without(model, survey, folds.numbers != fold, hill, start) for fold in range(folds.num_folds)]
    restarts = search.best_first(model.natural_gradient, searches, tell_of_starts) if searches else []
    found = np.full(len(survey.sample), np.nan)
    for fold, (best, *_) in enumerate(restarts):
        is_held = folds.numbers == fold
        mixture = model.posterior.plug_in(model.posterior.factors_of(best.values))
        found[is_held] = score_data(mixture, survey.sample[is_held], "log_density")
    return found[folds.numbers >= 0]


def _search_without(
    model: GaussianMixtureModel, survey: door.Survey, is_kept: np.ndarray, hill: search.Hill, start: str
) -> search.Search:
    """Returns a few restarts on the rows that are kept."""
    seeds = [(model.seed + number) % 2**63 for number in range(_NUM_STARTS)]
    starts = model.posterior.start_values(survey.sample[is_kept], np.array(survey.summary.spread), start, seeds)
    coarse, fine = (max(hill.tolerance, least) for least in _TOLERANCES)
    rows = hill.rows.kept(is_kept)
    kept = dataclasses.replace(hill, rows=rows, tolerance=coarse, patience=1, num_climbers=None)
    return search.Search(starts, [kept, dataclasses.replace(kept, tolerance=fine, num_climbers=_NUM_CONTENDERS)])
