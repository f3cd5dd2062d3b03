"""Draws from the exact posterior by the cheapest method that is good enough, and what says how good it was."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Iterator

import numpy as np

from tfgmm.common.threads import one_thread_each
from tfgmm.families.exact.budget import Budget
from tfgmm.families.exact.coordinates import Coordinates
from tfgmm.families.exact.mode import NoModeError, find_mode
from tfgmm.families.exact.records import ExactDraws
from tfgmm.families.exact.target import PassedRows, Target
from tfgmm.families.exact.whitened import Tell, Whitened
from tfgmm.families.variational import VariationalPosterior
from tfgmm.posterior.record import AUTO, MEAN_FIELD, STOPPED, PosteriorRecord

# Free numbers of the mixture: with more, a matrix of the information takes more than 300 MB, of which up to eight are
# needed at a time, and a factor takes minutes
MOST_COORDINATES = 6_000
# Products of numbers in one of the few passes over the rows to the mode, for which "auto" may take a minute or two
_MOST_WORK = 1e12
_FEWEST_OF_MEAN_FIELD = 1_000
# k-hat from which chains are run too, where free numbers are more than these
_SURE, _MANY_TO_FIT = 0.5, 20
CHAINS_APART = (
    "Markov chains that start at these draws do not agree yet, so that parts of the posterior may be missing from them"
)
NOT_SURE = 'of so many free numbers a k-hat above 0.5 may hide parts of the posterior: posterior="mcmc" tells more'
_NAMES = {"importance": "importance sampling", "mcmc": "Markov chains"}
_NEARLY_ALL = 0.99  # share of draws in another order
# Effective draws per free number from which chains start, effective draws of some use, and r-hat of such chains
_ENOUGH_TO_START, _FEWEST_OF_USE, _ROUGHLY_AGREED = 5.0, 100.0, 1.5
_MANY = 1_000  # free numbers whose products gain from several threads
CHAINS_LEFT_OUT = "Markov chains were left out, which with_posterior(data) adds"


def num_coordinates(posterior: VariationalPosterior) -> int:
    """Counts P, the free numbers of the mixture that the exact posterior has."""
    return Coordinates.at_means(posterior).num_coordinates


def exact_draws(
    posterior: VariationalPosterior,
    rows: PassedRows,
    num_data: float,
    method: str = AUTO,
    seed: int = 0,
    tell: Tell = lambda what, number, count: None,
    least_kept: int = 0,
    walks: bool = True,
) -> ExactDraws:
    """Draws from the exact posterior near q; the same for the same seed.

    With 1,000 free numbers or more, the same to rounding on another number of cores: these share out large products.

    With "auto", the normal distribution at the mode comes first; where they are affordable, importance sampling next,
    and then Markov chains, until one of them is good enough. Where none is, the last that ran is kept, and the record
    says so. Ctrl-C keeps what there is: draws of q, as long as the mode is not reached. These are kept as well where
    the exact posterior is no finite number at the means of q; and, with "auto", where its mode would take minutes.

    Args:
        posterior: q, where it was fitted, with P free numbers, at most `MOST_COORDINATES`.
        rows: The rows that it was fitted to, measured from its centre.
        num_data: N, the sum of their weights.
        method: "laplace", "importance", "mcmc" or "auto".
        seed: Seed of the draws.
        tell: Function that is called before each step, with what it is, its number, and how many there may be.
        least_kept: Number of draws to keep at least.
        walks: Whether "auto" may go on to Markov chains, which take the longest by far.

    Source: Those of the methods stand in `information`, `adaptive_importance` and `chains`.
    """
    coordinates, target = Coordinates.at_means(posterior), Target(posterior, rows)
    # Threads that share small products wait for each other; rows are shared out among all cores in any case
    with one_thread_each() if coordinates.num_coordinates < _MANY else contextlib.nullcontext():
        most_work = _MOST_WORK if method == AUTO else math.inf
        try:
            mode = find_mode(target, coordinates, lambda number: tell("mode", number, 0), most_work=most_work)
        except NoModeError as why:
            return mean_field_draws(posterior, method, seed, why.note, least_kept)
        except KeyboardInterrupt:
            return mean_field_draws(posterior, method, seed, STOPPED, least_kept)
        budget = Budget(posterior, num_data, len(mode.root), method, least_kept, target.num_rows)
        return _climbed(Whitened(target, mode, budget, np.random.default_rng(seed), tell), method, walks)


def mean_field_draws(
    posterior: VariationalPosterior, method: str, seed: int, note: str, least_kept: int = 0
) -> ExactDraws:
    """Draws from q in place of the exact posterior that was asked for.

    Args:
        posterior: q.
        method: What was asked for.
        seed: Seed of the draws.
        note: Why there is no exact posterior, as a clause.
        least_kept: Number of draws to keep at least.
    """
    drawn = posterior.draw(max(least_kept, _FEWEST_OF_MEAN_FIELD), seed)
    return ExactDraws(drawn, PosteriorRecord(MEAN_FIELD, method, note=note))


def _climbed(whitened: Whitened, method: str, walks: bool) -> ExactDraws:
    """Goes from the cheapest method up to the first that is good enough, or to the one that was asked for."""
    best = whitened.normal()
    try:
        if method == "laplace" or (method == AUTO and not whitened.budget.can_adapt):
            best = whitened.checked(best)
        if not (method == "laplace" or (method == AUTO and best.record.is_trusted)):
            for found in _better(whitened, method, walks, best.record):
                best = _better_of(best, found, method)
    except KeyboardInterrupt:
        best = best._replace(record=dataclasses.replace(best.record, note=STOPPED))
    record = dataclasses.replace(best.record, asked=method)
    if record.method == "importance" and record.is_trusted and not record.note and not _is_enough(whitened, record):
        record = dataclasses.replace(record, note=NOT_SURE)
    return best._replace(record=record)


def _better(whitened: Whitened, method: str, walks: bool, laplace: PosteriorRecord) -> Iterator[ExactDraws]:
    """Yields the draws of the methods that were asked for or can be afforded, from the cheapest on."""
    budget, weighted, before = whitened.budget, None, None
    # Where nearly all draws stand in another order, none of the mode's labelling would be hit
    if method == "importance" or (budget.can_adapt and laplace.share_moved < _NEARLY_ALL):
        for weighted in whitened.stages():
            before = whitened.resampled(weighted) or before
            if before is not None:
                yield before
            if method == "mcmc" and weighted.size >= _ENOUGH_TO_START * whitened.num_coordinates:
                break
        if method == "importance" or (method == AUTO and before is not None and _is_enough(whitened, before.record)):
            return
    if method == "mcmc" or (budget.can_walk and walks):
        for found in whitened.walked(weighted):
            yield found if before is None else _with_evidence(found, before.record)
    elif budget.can_walk and before is not None:
        yield before._replace(record=dataclasses.replace(before.record, note=CHAINS_LEFT_OUT))


def _is_enough(whitened: Whitened, record: PosteriorRecord) -> bool:
    """Tells whether importance sampling needs no chains beside it.

    Of many numbers, proposals that were fitted to one mode have missed another with a k-hat of 0.6: chains from there
    tell.
    """
    is_sure = record.k_hat is not None and (record.k_hat < _SURE or whitened.num_coordinates <= _MANY_TO_FIT)
    return record.is_trusted and is_sure


def _better_of(best: ExactDraws, found: ExactDraws, method: str) -> ExactDraws:
    """Chooses between draws: a method that was asked for by name is kept, and else what is no worse."""
    if method == found.record.method or _worth(found.record) >= _worth(best.record):
        return found
    if best.record.is_trusted and found.record.method == "mcmc":
        return best._replace(record=dataclasses.replace(best.record, note=CHAINS_APART))
    if best.record.method != "laplace" or best.record.note:
        return best
    figures = ", ".join(found.record.figures())
    return best._replace(record=dataclasses.replace(best.record, note=f"{_NAMES[found.record.method]}: {figures}"))


def _worth(record: PosteriorRecord) -> int:
    """Ranks draws: what can be trusted; what covers most of the posterior; the mode; what hardly covers anything."""
    if record.is_trusted:
        return 3
    ess, is_wide = record.ess or 0.0, record.r_hat is not None and record.r_hat < _ROUGHLY_AGREED
    if record.method == "laplace":
        return 1
    return 2 if ess >= _FEWEST_OF_USE and (is_wide or (record.k_hat or math.inf) < 1.0) else 0


def _with_evidence(found: ExactDraws, before: PosteriorRecord) -> ExactDraws:
    """Keeps the evidence of the importance sampling before the chains, which give none, where it can be believed.

    Its draws may be too few for intervals, and yet weigh the posterior well enough.
    """
    if not before.has_evidence:
        return found
    record = dataclasses.replace(found.record, log_evidence=before.log_evidence, evidence_error=before.evidence_error)
    return found._replace(record=record)
