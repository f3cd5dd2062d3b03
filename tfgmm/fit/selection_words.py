"""A choice between fits as text: the table, and why one is recommended, in words.

Where one covariance shape was tried, a fit is called by its number of components alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tfgmm.common.words import counted, with_and
from tfgmm.fit.options import CRITERIA_AT
from tfgmm.mixture.odd_data import spreads_that_differ
from tfgmm.mixture.registry import WEIGHT_PRIORS, mixtures_of

if TYPE_CHECKING:
    from tfgmm.fit.result import FitResult
    from tfgmm.fit.selection import Selection

_FEW_ROWS = 30
_ERRORS = 3.0  # standard errors that a fit must be behind to be called so
_MOST_NAMED = 6  # fits in a sentence

_HEAD = f"{'K':>5} {'bound':>12} {'evidence':>12} {'share':>6}  {'held out (se)':<18} {'behind (paired se)':<18}"
_HEAD += f" {'log lik':>12} {'BIC':>12} {'ICL':>12} {'AIC':>12} {'occupied':>8}"


def has_shapes(selection: Selection) -> bool:
    """Tells whether several covariance shapes were tried."""
    return len(selection.shapes) > 1


def best_places(selection: Selection) -> list[int]:
    """Finds the place of the best fit of each shape by evidence, in the order of the shapes."""
    table = selection.table
    of_shapes = (np.flatnonzero(table["covariance"] == shape) for shape in selection.shapes)
    return [int(places[np.argmax(table["log_evidence"][places])]) for places in of_shapes]


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
        f"{of_shapes}, {first.weight_prior} weights, {first.num_data:,} rows x "
        f"{first.num_features} columns; held out: {selection.held_out_rows}; "
        f"likelihood, BIC, ICL and AIC at {CRITERIA_AT[first.criteria_at]}"
    )
    if len(shapes) == 1:
        return [head, _HEAD, *(_line(selection, place) for place in range(len(selection.results)))]
    of_each, of_best = titles(selection)
    width = max(map(len, shapes)) + 1
    found = [head, "", f"{of_each} (all {len(selection.results)} fits: selection.table):"]
    found += [f" {'shape':<{width}}{_HEAD[1:]}"]
    found += [
        _line(selection, place, f"{selection.results[place].covariance:<{width}}") for place in best_places(selection)
    ]
    of_number = places_of_best_shape(selection)
    if len(of_number) > 1:
        found += ["", f"{of_best}:", _HEAD, *(_line(selection, place) for place in of_number)]
    return found


def _line(selection: Selection, place: int, label: str = "") -> str:
    row = selection.table[place]
    mark = "*" if place == selection.best_place else " "
    held_out = f"{row['held_out']:.4f} ({row['held_out_error']:.4f})"
    behind = f"{row['behind']:.4f} ({row['behind_error']:.4f})" if row["behind"] else "best"
    return (
        f"{mark}{label}{row['num_components']:>4} {row['elbo']:>12.2f} {row['log_evidence']:>12.2f}"
        f" {row['share']:>6.2f}  {held_out:<18} {behind:<18} {row['log_likelihood']:>12.2f} {row['bic']:>12.1f}"
        f" {row['icl']:>12.1f} {row['aic']:>12.1f} {row['occupied']:>8}"
    )


# --- The reason ----------------------------------------------------------------------------------------------------


def sentences(selection: Selection) -> list[str]:
    """Says why that fit is recommended, what else is plausible, and which criteria disagree."""
    best = selection.best
    symmetric = WEIGHT_PRIORS[best.weight_prior].is_exchangeable
    words = [
        f"{full_name(selection, best)}: the estimate of the evidence, the bound"
        f"{' with all equal modes counted' if symmetric else ''}, is the largest of those tried, with a share of "
        f"{_share_of_best(selection):.2f}."
    ]
    words += [*_uncertainty(selection), _agreement(selection), *_on_held_out(selection), *_on_groups(selection)]
    words += _cautions(selection)
    if selection.occupied_posterior is not None:
        words.append(occupied_words(selection.occupied_posterior))
    return words


def name(selection: Selection, result: FitResult) -> str:
    """Names a fit within a sentence: "3", or "full with 3" where there are several shapes."""
    number = f"{result.num_components}"
    return f"{result.covariance} with {number}" if has_shapes(selection) else number


def full_name(selection: Selection, result: FitResult) -> str:
    """Names a fit: "3 components", or "full, 3 components" where there are several shapes."""
    words = f"{result.num_components} {'component' if result.num_components == 1 else 'components'}"
    return f"{result.covariance}, {words}" if has_shapes(selection) else words


def plausible_names(selection: Selection) -> str:
    """Names the plausible fits, such as "3 and 4", or "tied with 3 and 4; full with 2", likely shapes first."""
    if not has_shapes(selection):
        return with_and(selection.plausible)
    numbers: dict[str, list[int]] = {}
    for result in plausible_mixtures(selection):
        numbers.setdefault(result.covariance, []).append(result.num_components)
    return "; ".join(f"{shape} with {with_and(sorted(of_shape))}" for shape, of_shape in numbers.items())


def plausible_mixtures(selection: Selection) -> list[FitResult]:
    """Lists the plausible fits, largest share first; what has two names, as tied and full with one component, once."""
    fits = {(result.covariance, result.num_components): result for result in selection.results}
    chosen = [fits[pair] for pair in reversed(selection.plausible_fits)]
    return list(reversed({_mixtures(result): result for result in chosen}.values()))


def are_same(first: FitResult, second: FitResult) -> bool:
    """Tells whether two fits are of the same mixtures, whatever their shape is called."""
    return _mixtures(first) == _mixtures(second)


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


def _mixtures(result: FitResult) -> tuple[int, tuple[bool, bool, bool]]:
    number = result.num_components
    return number, mixtures_of(result.covariance, number, result.num_features)


def _share_of_best(selection: Selection) -> float:
    if not has_shapes(selection):
        return float(selection.table["share"][selection.best_place])
    is_same = [are_same(result, selection.best) for result in selection.results]
    return float(selection.table["share"][is_same].sum())


def _uncertainty(selection: Selection) -> list[str]:
    """Says what it takes to have 90 % of the shares, and what is not certain then."""
    fits, words = plausible_mixtures(selection), []
    if len(fits) > 1:
        unclear = _unclear(fits) if has_shapes(selection) else "the number is not certain"
        words.append(f"It takes {plausible_names(selection)} to have 90 % of the shares: {unclear}.")
    if len(fits) < len(selection.plausible_fits):
        one = "column" if selection.best.num_features == 1 else "component"
        words.append(f"With one {one} shapes fall together: mixtures that have several names are counted once here.")
    return words


def _unclear(fits: Sequence[FitResult]) -> str:
    if len({result.covariance for result in fits}) == 1:
        return "the shape is clear, the number is not"
    is_number_clear = len({result.num_components for result in fits}) == 1
    return "the number is clear, the shape is not" if is_number_clear else "neither shape nor number is certain"


def _agreement(selection: Selection) -> str:
    """Says which of BIC, ICL and AIC agree with the evidence."""
    others = {criterion.upper(): selection.best_by[criterion] for criterion in ("bic", "icl", "aic")}
    if all(result is selection.best for result in others.values()):
        return "BIC, ICL and AIC say the same."
    return ", ".join(f"{criterion} says {name(selection, result)}" for criterion, result in others.items()) + "."


def _on_held_out(selection: Selection) -> list[str]:
    num_rows = selection.held_out.shape[1]
    if not num_rows:
        return []
    best, near = (selection.best_by[criterion] for criterion in ("held_out", "one_error"))
    by, fewest = ("by", "has the fewest parameters") if has_shapes(selection) else ("with", "is the fewest")
    words = [f"Held-out rows are predicted best {by} {name(selection, best)}"]
    words[0] += "." if near is best else f"; {name(selection, near)} {fewest} within one standard error of that."
    if num_rows < _FEW_ROWS:
        words.append(f"{num_rows} held-out {'row says' if num_rows == 1 else 'rows say'} little.")
    return words


def _on_groups(selection: Selection) -> list[str]:
    """Says what to do for groups, where components that overlap describe one together."""
    best, groups = selection.best, selection.best_by["icl"]
    chosen, apart = best.num_components, groups.num_components
    why = (
        f"of {chosen} components some overlap, several for one group that is no Gaussian. A skewed column may want its "
        "logarithm."
    )
    if has_shapes(selection):
        return [_on_groups_and_shapes(selection, why)]
    if apart >= chosen:
        return []
    return [f"That is for the density; for groups that stand apart look at {apart} first, as ICL says: {why}"]


def _on_groups_and_shapes(selection: Selection, why: str) -> str:
    best, groups = selection.best, selection.best_by["icl"]
    answer = f"the best answer is {full_name(selection, groups)}, as ICL says"
    if are_same(groups, best):
        predicts = selection.best_by.get("held_out", best)
        if is_behind(selection):
            return (
                f"Groups and density disagree: for groups {answer}; a density for rows to come is better taken from "
                f"{full_name(selection, predicts)}."
            )
        return "Groups and density agree: ICL, which looks for groups that stand apart, says the same."
    if groups.num_components == best.num_components:
        return f"Groups and density agree on the number, but not on the shape: for groups {answer}."
    head = f"Groups and density disagree: {name(selection, best)} is for the density; for groups that stand apart"
    return f"{head} {answer}{f': {why}' if groups.num_components < best.num_components else '.'}"


def is_behind(selection: Selection) -> bool:
    """Tells whether the recommended fit predicts held-out rows worse than the best, by more than three standard errors.

    The best of many fits is ahead by one error in pure noise; of a few rows no error says much.
    """
    row = selection.table[selection.best_place]
    has_rows = selection.held_out.shape[1] >= _FEW_ROWS
    return bool(has_rows and row["behind"] > _ERRORS * np.nan_to_num(row["behind_error"]))


def _cautions(selection: Selection) -> list[str]:
    words = []
    chosen = selection.num_components
    tried = [result.num_components for result in selection.of_shape(selection.covariance)]
    if len(tried) > 1 and chosen == tried[-1]:
        words.append("It is the largest number tried: try more.")
    elif len(tried) > 1 and chosen == tried[0] > 1:
        words.append("It is the smallest number tried: try fewer.")
    if selection.best.num_occupied < chosen:
        words.append(f"Of these only {selection.best.num_occupied} have rows.")
    best = selection.best
    words += [f"T{sentence[1:]}." for sentence in spreads_that_differ(best.data_summary, best.priors, best.covariance)]
    unfinished = [result for result in selection.results if not result.converged]
    if unfinished:
        words.append(f"Not converged, and perhaps better than it looks: {_names(selection, unfinished)}.")
    return words


def _names(selection: Selection, fits: Sequence[FitResult]) -> str:
    if has_shapes(selection) and len(fits) > _MOST_NAMED:
        return f"{counted(len(fits), 'fit')} of {len(selection.results)}"
    return with_and([name(selection, result) for result in fits])
