"""What speaks against calling a recommended fit certain, and what to take for groups instead."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tfgmm.fit.selection_names import are_same, full_name, has_shapes, listed, name

if TYPE_CHECKING:
    from tfgmm.fit.result import FitResult
    from tfgmm.fit.selection import Selection

FEW_ROWS = 30
_ERRORS = 3.0  # standard errors that a fit must be behind to be called so
_SAME = 0.1  # nats: bounds closer than this are one optimum
_FEWEST_STARTS = 4  # of fewer, one at the best says nothing
# Share of the rows that, between two components with both, would cost ICL as much: less is no overlap
_SHARED = 0.01
_SKEWED = 3.0  # times as far from the mean on one side as on the other


def doubts(selection: Selection, *, of_number: bool = True) -> list[str]:
    """Lists what speaks against calling the recommended fit certain, as parts of a sentence.

    Args:
        selection: The choice.
        of_number: Whether its number of components is called certain too, and not its shape alone.
    """
    at_an_end = _at_an_end(selection) if of_number else []
    of_fits = [
        *_by_chance(selection),
        *_stuck(selection),
        *_unfinished(selection),
        *_behind(selection),
        *lucky_start(selection),
    ]
    return [*at_an_end, *selection.column_doubts, *of_fits]


def _at_an_end(selection: Selection) -> list[str]:
    tried = [result.num_components for result in selection.of_shape(selection.covariance)]
    chosen = selection.num_components
    if len(tried) > 1 and chosen == tried[-1]:
        return [f"{chosen} is the largest number tried"]
    return [f"{chosen} is the smallest number tried"] if len(tried) > 1 and chosen == tried[0] > 1 else []


def within_error(selection: Selection) -> list[FitResult]:
    """Lists the other mixtures whose evidence differs from that of the recommended fit by no more than chance."""
    if selection.decided_by != "evidence":
        return []
    others = (selection.results[int(place)] for place in np.flatnonzero(selection.within_error(selection.best_place)))
    return [other for other in others if not are_same(other, selection.best)]


def _by_chance(selection: Selection) -> list[str]:
    near = within_error(selection)
    return [f"the evidence of {listed(selection, near)} is the same within its Monte-Carlo error"] if near else []


def stuck_fits(selection: Selection) -> list[tuple[FitResult, float]]:
    """Lists the fits whose bound lies below that of a smaller one with empty components, and by how many nats."""
    below = selection.table["below_nested"]
    return [(selection.results[int(place)], float(below[place])) for place in np.flatnonzero(below > 0.0)]


def _stuck(selection: Selection) -> list[str]:
    stuck = stuck_fits(selection)
    if not stuck:
        return []
    lie = "lies" if len(stuck) == 1 else "lie up to"
    fits = listed(selection, [result for result, _ in stuck])
    most = max(nats for _, nats in stuck)
    return [f"{fits} {lie} {most:.1f} nats below a smaller fit with empty components"]


def _unfinished(selection: Selection) -> list[str]:
    unfinished = [result for result in selection.results if not result.converged]
    return [f"{listed(selection, unfinished)} did not converge"] if unfinished else []


def is_behind(selection: Selection) -> bool:
    """Tells whether the recommended fit predicts held-out rows worse than the best, by more than three standard errors.

    The best of many fits is ahead by one error in pure noise; of a few rows no error says much.
    """
    row = selection.table[selection.best_place]
    has_rows = selection.num_held_out >= FEW_ROWS
    return bool(has_rows and row["behind"] > _ERRORS * np.nan_to_num(row["behind_error"]))


def _behind(selection: Selection) -> list[str]:
    if not is_behind(selection):
        return []
    row, better = selection.table[selection.best_place], selection.best_by["held_out"]
    return [
        f"held-out rows are predicted better by {name(selection, better)}, by {row['behind']:.2g} nats per row with a "
        f"standard error of {row['behind_error']:.1g}"
    ]


def lucky_start(selection: Selection) -> list[str]:
    """Says that a single start led to the recommended fit, as a part of a sentence; nothing where several did."""
    best = selection.best
    ends = np.array([restart.elbo for restart in best.restarts])
    if len(ends) < _FEWEST_STARTS:
        return []
    of_best = ends.max() if best.ranking is None else ends[best.ranking.place]
    if (np.abs(ends - of_best) < _SAME).sum() > 1:
        return []
    return [f"only 1 of {len(ends)} starts led to it"]


def on_groups(selection: Selection) -> list[str]:
    """Says what to do for groups, where components that overlap describe one together."""
    best, groups = selection.best, selection.best_by["icl"]
    chosen, apart = best.num_components, groups.num_components
    why = _why_fewer(best, groups)
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


def _why_fewer(best: FitResult, groups: FitResult) -> str:
    """Says why ICL names fewer components: half of what it takes off or more is for rows between them, or is not."""
    costs = best.icl - best.bic, groups.icl - groups.bic
    figures = (
        f"rows between components cost ICL {costs[0]:.1f} with {best.num_components} and {costs[1]:.1f} with "
        f"{groups.num_components}"
    )
    is_reason = costs[0] - costs[1] >= 0.5 * (best.icl - groups.icl)
    if is_reason and costs[0] > 2.0 * _SHARED * best.num_data * np.log(2.0):
        return (
            f"{figures}: some overlap, either groups that lie close together or several for one group that is no "
            f"Gaussian.{_skewed(best)}"
        )
    return f"its parameters cost more than they bring; {figures}."


def _skewed(best: FitResult) -> str:
    """Names the most skewed column of positive numbers; nothing where none is."""
    summary = best.data_summary
    if summary.minimum is None or summary.maximum is None:
        return ""
    below, above = np.subtract(summary.mean, summary.minimum), np.subtract(summary.maximum, summary.mean)
    has_logarithm = (np.array(summary.minimum) > 0.0) & (below > 0.0)
    times = np.where(has_logarithm, above / np.where(has_logarithm, below, 1.0), 0.0)
    column = int(np.argmax(times))
    if times[column] <= _SKEWED:
        return ""
    label = repr(summary.column_names[column] if summary.column_names else column)
    return f" Column {label} reaches {times[column]:.1f} times as far above its mean as below: try its logarithm."
