"""A fit in words: its sizes and criteria, and a table of its components with their intervals."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from tfgmm.common.columns import column_labels
from tfgmm.common.words import counted
from tfgmm.data.row_words import sentences_on_rows
from tfgmm.families.fitted import FittedMixture
from tfgmm.fit.moves.words import sentences_on_moves
from tfgmm.fit.options import CRITERIA_AT
from tfgmm.mixture.hidden_values import sentences_on_hidden, sentences_on_unseen
from tfgmm.posterior.record import MEAN_FIELD

if TYPE_CHECKING:
    from tfgmm.posterior.draws import Draws

_NUM_DRAWS, _MOST_NUMBERS = 1_000, 2**24
_SUMMED_OVER_PARTS = (
    "bound, log likelihood, AIC and BIC count each of these parts at the mixture of its time: this one may score its "
    "rows otherwise"
)
_LONGEST_TABLE = 200  # lines; more than that nobody reads


def summary_of(result: Any) -> str:
    """Writes sizes, bound and criteria, restarts, and a table of the components, as lines of text.

    Intervals hold 95 % of draws from the posterior, 1,000 of them (fewer for large matrices), seed 0. Components stand
    by weight, largest first, with their numbers in the model.
    """
    bounds = ", ".join(f"{restart.elbo:.1f}" for restart in result.restarts)
    head = [
        f"Mixture of {counted(result.num_components, 'Gaussian')} ({result.covariance}, {result.weight_prior} "
        f"weights), {counted(result.num_data, 'row')} x {counted(result.num_features, 'column')}",
        f"bound {result.elbo:.2f} nats   log likelihood {result.log_likelihood:.2f}   "
        f"{result.num_parameters} parameters   AIC {result.aic:.1f}   BIC {result.bic:.1f}",
        f"{_ending(result)}; {result.num_occupied} of {counted(result.num_components, 'component')} occupied",
        f"restarts, bound of each: {bounds}",
        *([result.ranking.sentence([restart.elbo for restart in result.restarts])] if result.ranking else []),
        *sentences_on_moves(result.moves),
        f"log likelihood, AIC and BIC at {CRITERIA_AT[result.criteria_at]}",
        *([_SUMMED_OVER_PARTS] if result.is_summed_over_parts else []),
        *sentences_on_rows(result.data_summary),
        *_on_hidden_values(result),
    ]
    draws = interval_draws(result)
    head += [*(draws.posterior.sentences() if draws.posterior else ()), ""]
    lines = list(_table(draws, result.column_names))
    more = [f"... and {len(lines) - _LONGEST_TABLE} more lines"] if len(lines) > _LONGEST_TABLE else []
    return "\n".join([*head, *lines[:_LONGEST_TABLE], *more])


def sentences_on_checkpoint(result: Any) -> list[str]:
    """Says from which sweep a fit went on; nothing where it began anew. The fit itself is the same either way."""
    earlier, sweeps = result.num_earlier_sweeps, len(result.history["elbo"])
    if not earlier:
        return []
    rest = "nothing was left" if earlier == sweeps else f"went on from sweep {earlier + 1} of {sweeps}"
    return [f"its checkpoint had {counted(earlier, 'sweep')} over all rows: {rest}"]


def _ending(result: Any) -> str:
    if result.num_parts > 1:
        parts = f"rows came in {counted(result.num_parts, 'part')}"
        if result.is_summed_over_parts:
            return f"{parts}; those since the last fit of all rows added their sums as the mixture then stood"
        return f"{parts}; all so far were fitted together{', and converged' if result.converged else ''}"
    sweeps = counted(len(result.history["elbo"]), "sweep")
    return f"{'converged' if result.converged else 'NOT converged'} after {sweeps} over all rows"


def _on_hidden_values(result: Any) -> list[str]:
    """Says where noise or gaps make intervals of q too narrow; those of the exact posterior count what is seen."""
    if result.stored_record().method != MEAN_FIELD:
        return []
    on_noise = sentences_on_hidden(result.hidden_by_noise, result.column_names)
    return [*on_noise, *sentences_on_unseen(result.data_summary, result.covariance)]


def interval_draws(model: FittedMixture) -> Draws:
    """Draws what intervals are read from: 1,000 draws, fewer for large matrices and where fewer are carried."""
    # Draws of covariance matrices take D times the memory of their diagonals
    numbers = model.num_components * model.num_features**2
    num_draws = max(100, min(_NUM_DRAWS, _MOST_NUMBERS // numbers))
    return model.draws(num_draws if model.exact is None else min(num_draws, model.exact.num_draws), seed=0)


def _table(draws: Draws, column_names: tuple[str, ...] | None) -> Iterator[str]:
    """Yields a line per component and column: median and interval of weight, location and standard deviation."""
    names = column_labels(column_names, draws.num_features)
    width = max(len("column"), *(len(name) for name in names))
    yield f"{'component':>9}  {'weight':<22}  {'column':<{width}}  {'mean':<30}  standard deviation"
    for k in np.argsort(-draws.weights[0].mean(axis=0)):
        weight = _with_interval(draws.weights[0, :, k], ".3f")
        for index, name in enumerate(names):
            first = f"{k:>9}  {weight:<22}" if index == 0 else " " * 33
            loc = _with_interval(draws.locs[0, :, k, index], ".5g")
            scale = _with_interval(draws.scales[0, :, k, index], ".4g")
            yield f"{first}  {name:<{width}}  {loc:<30}  {scale}"


def _with_interval(values: np.ndarray, form: str) -> str:
    low, high = np.quantile(values, [0.025, 0.975])
    return f"{np.median(values):{form}} [{low:{form}}, {high:{form}}]"
