"""A choice between fits as text: the table, and why one is recommended, in words.

Where one covariance shape was tried, a fit is called by its number of components alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tfgmm.common.words import counted
from tfgmm.fit.options import CRITERIA_AT
from tfgmm.fit.selection_doubts import FEW_ROWS, doubts, lucky_start, on_groups, stuck_fits, within_error
from tfgmm.fit.selection_names import (
    are_same,
    full_name,
    has_shapes,
    listed,
    name,
    plausible_mixtures,
    plausible_names,
)
from tfgmm.mixture.odd_data import spreads_that_differ
from tfgmm.mixture.registry import WEIGHT_PRIORS

if TYPE_CHECKING:
    from tfgmm.fit.result import FitResult
    from tfgmm.fit.selection import Selection

_HEAD = f"{'K':>5} {'bound':>12} {'evidence':>12} {'share':>6}  {'held out (se)':<18} {'behind (paired se)':<18}"
_HEAD += f" {'log lik':>12} {'BIC':>12} {'ICL':>12} {'AIC':>12} {'occupied':>8}"
# Beside the other estimate, where exact posteriors were asked for
_SAMPLED_HEAD = _HEAD.replace(
    f"{'evidence':>12} {'share':>6}", f"{'from bound':>12} {'evidence (se)':>19} {'share':>6}"
)


def best_places(selection: Selection) -> list[int]:
    """Finds the place of the best fit of each shape by evidence, in the order of the shapes."""
    table = selection.table
    of_shapes = (np.flatnonzero(table["covariance"] == shape) for shape in selection.shapes)
    return [int(places[np.argmax(table[selection.decided_by][places])]) for places in of_shapes]


def places_of_best_shape(selection: Selection) -> list[int]:
    """Finds the places of the fits of the recommended shape."""
    return [place for place, result in enumerate(selection.results) if result.covariance == selection.covariance]


def titles(selection: Selection) -> tuple[str, str]:
    """Writes what stands above the lines of the shapes, and above those of the recommended shape."""
    return "The best number of components of each shape", f"{selection.covariance}, by number of components"


# --- The table -----------------------------------------------------------------------------------------------------


def lines(selection: Selection) -> list[str]:
    """Writes the table as lines of text, the recommended one marked.

    Of several shapes sixty lines would be too many: the best of each shape, and then all of the recommended one.
    """
    first, shapes = selection.best, selection.shapes
    of_shapes = f"{first.covariance} covariances" if len(shapes) == 1 else f"{len(shapes)} shapes of covariances"
    head = (
        f"{of_shapes}, {first.weight_prior} weights, {counted(first.num_data, 'row')} x "
        f"{first.num_features} columns; held out: {selection.held_out_rows}; "
        f"likelihood, BIC, ICL and AIC at {CRITERIA_AT[first.criteria_at]}"
    )
    columns = _SAMPLED_HEAD if has_posteriors(selection) else _HEAD
    if len(shapes) == 1:
        return [head, columns, *(_line(selection, place) for place in range(len(selection.results)))]
    of_each, of_best = titles(selection)
    width = max(map(len, shapes)) + 1
    found = [head, "", f"{of_each} (all {len(selection.results)} fits: selection.table):"]
    found += [f" {'shape':<{width}}{columns[1:]}"]
    found += [
        _line(selection, place, f"{selection.results[place].covariance:<{width}}") for place in best_places(selection)
    ]
    of_number = places_of_best_shape(selection)
    if len(of_number) > 1:
        found += ["", f"{of_best}:", columns, *(_line(selection, place) for place in of_number)]
    return found


def _line(selection: Selection, place: int, label: str = "") -> str:
    row = selection.table[place]
    mark = "*" if place == selection.best_place else " "
    held_out = f"{row['held_out']:.4f} ({row['held_out_error']:.4f})"
    stuck = f"  stuck, {row['below_nested']:.1f} nats below a smaller one" if row["below_nested"] > 0.0 else ""
    sampled = f" {sampled_words(row):>19}" if has_posteriors(selection) else ""
    behind = f"{row['behind']:.4f} ({row['behind_error']:.4f})" if row["behind"] else "best"
    return (
        f"{mark}{label}{row['num_components']:>4} {row['elbo']:>12.2f} {row['log_evidence']:>12.2f}"
        f"{sampled} {row['share']:>6.2f}  {held_out:<18} {behind:<18} {row['log_likelihood']:>12.2f}"
        f" {row['bic']:>12.1f} {row['icl']:>12.1f} {row['aic']:>12.1f} {row['occupied']:>8}{stuck}"
    )


def has_posteriors(selection: Selection) -> bool:
    """Tells whether exact posteriors were asked for."""
    return any(result.exact is not None for result in selection.results)


def sampled_words(row: np.void) -> str:
    """Writes the evidence by importance sampling of a line of the table with its error; "-" where there is none.

    Example:

    >>> sampled_words(np.array([(-12.3, 0.012)], [("evidence", float), ("evidence_error", float)])[0])
    '-12.30 (0.01)'
    """
    return "-" if np.isnan(row["evidence"]) else f"{row['evidence']:.2f} ({max(row['evidence_error'], 0.01):.2f})"


# --- The reason ----------------------------------------------------------------------------------------------------


def sentences(selection: Selection) -> list[str]:
    """Says why that fit is recommended, what else is plausible, and which criteria disagree."""
    words = [
        f"{full_name(selection, selection.best)}: {_rule(selection)}, with a share of {_share_of_best(selection):.2f}.",
        *_on_sampling(selection),
        *_uncertainty(selection),
        _agreement(selection),
        *_on_held_out(selection),
        *on_groups(selection),
        *_cautions(selection),
    ]
    if selection.occupied_posterior is not None:
        words.append(occupied_words(selection.occupied_posterior))
    return words


def _rule(selection: Selection) -> str:
    """Says what makes a fit the recommended one."""
    symmetric = WEIGHT_PRIORS[selection.best.weight_prior].is_exchangeable
    if selection.decided_by == "log_evidence":
        counted_modes = " with all equal modes counted" if symmetric else ""
        return f"the estimate of the evidence, the bound{counted_modes}, is the largest of those tried"
    evidence = selection.table["evidence"]
    largest = int(np.argmax(evidence))
    if are_same(selection.results[largest], selection.best):
        return "the evidence, by importance sampling, is the largest of those tried"
    behind = evidence[largest] - evidence[selection.best_place]
    return (
        f"the evidence, by importance sampling, is {behind:.2f} nats below that of "
        f"{name(selection, selection.results[largest])}, which is no more than a factor of 3 or chance, and it has the "
        "fewest parameters of those so near"
    )


def _on_sampling(selection: Selection) -> list[str]:
    """Says why the bound decides where exact posteriors were asked for, or which difference is no more than chance."""
    if selection.decided_by == "evidence":
        near = within_error(selection)
        if not near:
            return []
        have = "has" if len(near) == 1 else "have"
        return [f"Within twice its Monte-Carlo error {listed(selection, near)} {have} the same: which leads is chance."]
    if not has_posteriors(selection):
        return []
    if not WEIGHT_PRIORS[selection.best.weight_prior].is_exchangeable:
        return ["Stick-breaking weights have no evidence by importance sampling, so that the bound decides."]
    places = np.flatnonzero(np.isnan(selection.table["evidence"]))
    without = listed(selection, [selection.results[place] for place in places])
    return [
        f"For {without} there is no evidence by importance sampling that can be trusted, so that the bound decides for "
        "all."
    ]


def occupied_words(occupied: np.ndarray) -> str:
    """Says how many components have rows, and how probably, as a sentence.

    Args:
        occupied: Probabilities, (K + 1,), as `FitResult.occupied_posterior` gives it.

    Example:

    >>> occupied_words(np.array([0.0, 0.0, 0.75, 0.25]))
    'Of at most 3 components so many have rows, with their probability: 2: 0.75, 3: 0.25.'
    """
    shares = ", ".join(f"{number}: {occupied[number]:.2f}" for number in np.flatnonzero(occupied >= 0.005))
    return f"Of at most {len(occupied) - 1} components so many have rows, with their probability: {shares}."


def _share_of_best(selection: Selection) -> float:
    if not has_shapes(selection):
        return float(selection.table["share"][selection.best_place])
    is_same = [are_same(result, selection.best) for result in selection.results]
    return float(selection.table["share"][is_same].sum())


def _uncertainty(selection: Selection) -> list[str]:
    """Says what it takes to have 90 % of the shares, and what is not certain then."""
    fits, words = plausible_mixtures(selection), []
    if len(fits) > 1:
        unclear = _unclear(selection, fits) if has_shapes(selection) else "the number is not certain"
        words.append(f"It takes {plausible_names(selection)} to have 90 % of the shares: {unclear}.")
    if len(fits) < len(selection.plausible_fits):
        one = "column" if selection.best.num_features == 1 else "component"
        words.append(f"With one {one} shapes fall together: mixtures that have several names are counted once here.")
    return words


def _unclear(selection: Selection, fits: Sequence[FitResult]) -> str:
    if len({result.covariance for result in fits}) == 1:
        is_certain = not doubts(selection, of_number=False)
        return f"the {'shape is clear, the number is not' if is_certain else 'number is not certain'}"
    if len({result.num_components for result in fits}) == 1:
        return f"the {'shape is not certain' if doubts(selection) else 'number is clear, the shape is not'}"
    return "neither shape nor number is certain"


def _agreement(selection: Selection) -> str:
    """Says which of BIC, ICL and AIC agree with the evidence."""
    others = {criterion.upper(): selection.best_by[criterion] for criterion in ("bic", "icl", "aic")}
    if all(result is selection.best for result in others.values()):
        return "BIC, ICL and AIC say the same."
    return ", ".join(f"{criterion} says {name(selection, result)}" for criterion, result in others.items()) + "."


def _on_held_out(selection: Selection) -> list[str]:
    num_rows = selection.num_held_out
    if not num_rows:
        return []
    best, near = (selection.best_by[criterion] for criterion in ("held_out", "one_error"))
    by, fewest = ("by", "has the fewest parameters") if has_shapes(selection) else ("with", "is the fewest")
    words = [f"Held-out rows are predicted best {by} {name(selection, best)}"]
    words[0] += "." if near is best else f"; {name(selection, near)} {fewest} within one standard error of that."
    if num_rows < FEW_ROWS:
        words.append(f"{num_rows:g} held-out {'row says' if num_rows == 1 else 'rows say'} little.")
    return words


def _about_columns(selection: Selection) -> list[str]:
    """Says what in the columns speaks against certainty."""
    if not selection.column_doubts:
        return []
    return [f"None of these shares is certain: {'; '.join(selection.column_doubts)}."]


def _cautions(selection: Selection) -> list[str]:
    words = _about_columns(selection)
    chosen = selection.num_components
    tried = [result.num_components for result in selection.of_shape(selection.covariance)]
    if len(tried) > 1 and chosen == tried[-1]:
        words.append("It is the largest number tried: try more.")
    elif len(tried) > 1 and chosen == tried[0] > 1:
        words.append("It is the smallest number tried: try fewer.")
    if selection.best.num_occupied < chosen:
        words.append(f"Of these only {selection.best.num_occupied} have rows.")
    words += [f"O{sentence[1:]}: more restarts may find a better one." for sentence in lucky_start(selection)]
    best = selection.best
    words += [f"T{sentence[1:]}." for sentence in spreads_that_differ(best.data_summary, best.priors, best.covariance)]
    words += [
        f"The fit of {name(selection, result)} is stuck: at its best it would not lie {nats:.1f} nats below a smaller "
        "one with empty components. No share is certain. Ask for more restarts."
        for result, nats in stuck_fits(selection)
    ]
    unfinished = [result for result in selection.results if not result.converged]
    if unfinished:
        words.append(f"Not converged, and perhaps better than it looks: {listed(selection, unfinished)}.")
    return words
