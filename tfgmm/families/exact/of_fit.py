"""The exact posterior of a mixture that was fitted, given its rows once more."""

from __future__ import annotations

import warnings
from typing import Any

from tfgmm.common.progress import status_line
from tfgmm.families.exact.records import ExactDraws
from tfgmm.families.exact.rule import MOST_COORDINATES, exact_draws, mean_field_draws, num_coordinates
from tfgmm.families.exact.target import PassedRows
from tfgmm.families.exact.whitened import Tell
from tfgmm.families.training_rows import FittedTo, training_rows
from tfgmm.posterior.record import PosteriorRecord

_STEPS = {
    "mode": "looking for the mode of the exact posterior: pass {number} over the rows",
    "check": "weighing draws",
    "importance": "importance sampling: stage {number} of at most {count}",
    "mcmc": "Markov chains: {number:,} of at most {count:,} gradients",
}


def exact_posterior(
    fitted: FittedTo,
    data: Any,
    method: str,
    seed: int = 0,
    sample_weight: Any = None,
    noise: Any = None,
    tell: Tell | None = None,
    least_kept: int = 0,
    stacklevel: int = 1,
) -> ExactDraws:
    """Draws from the exact posterior of a fitted mixture; warns where they cannot be trusted.

    Args:
        fitted: The mixture.
        data, sample_weight, noise: The rows that it was fitted to, as the fit took them.
        method: "laplace", "importance", "mcmc" or "auto".
        seed: Seed of the draws.
        tell: As in `exact_draws`; None for a line on stderr.
        least_kept: Number of draws to keep at least.
        stacklevel: Whose line a warning names: 1 for that of the caller, 2 for that of its caller, and so on.

    Raises:
        ValueError: These are other rows than the mixture was fitted to.
    """
    rows = training_rows(data, fitted, sample_weight, noise)
    exact = drawn_from_rows(fitted, rows, method, seed, tell, least_kept)
    warn_of(exact.record, stacklevel=stacklevel + 1)
    return exact


def drawn_from_rows(
    fitted: FittedTo,
    rows: PassedRows,
    method: str,
    seed: int,
    tell: Tell | None = None,
    least_kept: int = 0,
    walks: bool = True,
) -> ExactDraws:
    """Draws from the exact posterior, given rows that were opened; from q where it has too many free numbers.

    Args:
        fitted: The mixture.
        rows: The rows that it was fitted to.
        method, seed, tell, least_kept: As in `exact_posterior`.
        walks: As in `exact_draws`.
    """
    size = num_coordinates(fitted.variational)
    if size > MOST_COORDINATES:
        note = f"{size:,} free numbers are more than the {MOST_COORDINATES:,} of which the exact posterior can be had"
        return mean_field_draws(fitted.variational, method, seed, note, least_kept)
    with status_line() as show:

        def shown(what: str, number: int, count: int) -> None:
            show(words_of_step(what, number, count))

        of_fit = fitted.variational, rows, float(fitted.num_data)
        return exact_draws(*of_fit, method, seed, tell or shown, least_kept, walks)


def words_of_step(what: str, number: int, count: int) -> str:
    """Says what `Tell` is told.

    Example:

    >>> words_of_step("importance", 2, 5)
    'importance sampling: stage 2 of at most 5'
    """
    return _STEPS[what].format(number=number, count=count)


def warn_of(record: PosteriorRecord, stacklevel: int) -> None:
    """Warns where draws cannot be trusted, or single components mean nothing.

    Args:
        record: What is known of the draws.
        stacklevel: As in `exact_posterior`.
    """
    for sentence in record.warnings():
        warnings.warn(f"{sentence}.", UserWarning, stacklevel=stacklevel + 1)
