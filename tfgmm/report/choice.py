"""What a report and the console say of a choice of shape and number: the tables, the reason, how sure it is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tfgmm.common.words import with_and
from tfgmm.fit import selection_doubts, selection_names, selection_words
from tfgmm.fit.options import CRITERIA_AT
from tfgmm.fit.selection_words import occupied_words
from tfgmm.mixture.registry import WEIGHT_PRIORS

if TYPE_CHECKING:
    from tfgmm.fit.selection import Selection

HEAD = ("components", "evidence", "share", "held out behind", "BIC", "ICL", "have rows")
SHAPE = "shape"
_LEAST_SHARE = 0.005  # that two decimals show

_ABOUT_THE_TABLE = (
    "Evidence: how probable the rows are under all mixtures of {so}, as a logarithm in nats, {estimated}. "
    "Share: the probability of each {line}, if all that were tried were equally probable before; it depends on the "
    "priors, so read it as an order of magnitude. Held out behind: how much worse than by the best {line} rows are "
    "predicted that the fit did not see, nats per row, with the standard error of the difference. Smaller is better "
    "for that, BIC and ICL, which are taken at {at}."
)
_ESTIMATED = {"log_evidence": "estimated from below", "evidence": "by importance sampling, with its standard error"}
_ABOUT_OCCUPIED = (
    "From draws of the posterior{}: in each, every row is given to a component, and those with a row are counted. "
    "A component with a single stray row counts."
)


class Table(NamedTuple):
    """A table of criteria.

    Args:
        lines: Cells as text, a line per fit.
        recommended: Index of the line that is recommended; None where it is not in this table.
        head: Words above the columns.
        title: What the lines are; nothing where that is clear.
        num_names: Columns at the left that say which fit it is.
        is_long: Whether it is folded away until a reader opens it.
    """

    lines: Sequence[Sequence[str]]
    recommended: int | None
    head: Sequence[str] = HEAD
    title: str = ""
    num_names: int = 1
    is_long: bool = False


class Choice(NamedTuple):
    """The section "How many components" of a report.

    Args:
        paragraphs: Whole sentences.
        tables: Tables of criteria; without one there was no choice.
        notes: Small print below.
        occupied: Numbers of components that have rows, with their probabilities, as text.
        about_occupied: Small print above them.
        title: Heading of the section.
    """

    paragraphs: Sequence[str]
    tables: Sequence[Table] = ()
    notes: Sequence[str] = ()
    occupied: Sequence[tuple[str, str]] = ()
    about_occupied: str = ""
    title: str = "How many components"


def choice_of(selection: Selection | None, occupied: np.ndarray | None) -> Choice | None:
    """Writes what a report says of the number of components; None where nothing was asked.

    Args:
        selection: Choice among several fits; None for one.
        occupied: Posterior of the number of components that have rows, (K + 1,), or None.
    """
    counted = [] if occupied is None else occupied_shares(occupied)
    about = _ABOUT_OCCUPIED.format("" if selection is None else " with the most components")
    if selection is None:
        return None if occupied is None else Choice([occupied_words(occupied)], occupied=counted, about_occupied=about)
    has_shapes = selection_names.has_shapes(selection)
    so, line = ("that shape and so many components", "fit") if has_shapes else ("so many components", "number")
    names = {"so": so, "line": line, "at": CRITERIA_AT[selection.best.criteria_at]}
    about_table = _ABOUT_THE_TABLE.format(**names, estimated=_ESTIMATED[selection.decided_by])
    return Choice(
        paragraphs=[f"{_tried(selection)} {how_sure(selection)}", selection.reason],
        tables=_tables(selection) if has_shapes else [Table(lines(selection), selection.best_place)],
        notes=[about_table, f"Held out: {selection.held_out_rows}."],
        occupied=counted,
        about_occupied=about,
        title="Which shape, and how many components" if has_shapes else "How many components",
    )


def _tried(selection: Selection) -> str:
    """Says what was tried, and what is recommended."""
    numbers = sorted({result.num_components for result in selection.results})
    if not selection_names.has_shapes(selection):
        were = "was" if len(numbers) == 1 else "were"
        return f"{_range(numbers)} {were} tried; {selection.num_components} is recommended."
    name = selection_names.full_name(selection, selection.best)
    with_numbers = _range(numbers).replace("The numbers", "the numbers")
    return (
        f"{len(selection.shapes)} shapes were tried ({', '.join(selection.shapes)}), with {with_numbers} as number of "
        f"components; {name} is recommended."
    )


def _tables(selection: Selection) -> list[Table]:
    """Writes the tables of several shapes: the best fit of each, all of the recommended one, and all there are."""
    of_shapes, of_best = selection_words.titles(selection)
    all_lines, best = lines(selection), selection.best_place
    named = [(result.covariance, *line) for result, line in zip(selection.results, all_lines, strict=True)]
    found = [_table(named, selection_words.best_places(selection), best, of_shapes)]
    of_number = selection_words.places_of_best_shape(selection)
    if len(of_number) > 1:
        found.append(_table(all_lines, of_number, best, of_best))
        found.append(_table(named, range(len(named)), best, f"All {len(named)} fits")._replace(is_long=True))
    return found


def _table(cells: Sequence[Sequence[str]], places: Sequence[int], best: int, title: str) -> Table:
    """Writes a table of the fits at some places, with or without the shape in front."""
    recommended = places.index(best) if best in places else None
    num_names = 1 + len(cells[0]) - len(HEAD)
    head = HEAD if num_names == 1 else (SHAPE, *HEAD)
    return Table([cells[place] for place in places], recommended, head, title, num_names)


def lines(selection: Selection) -> list[tuple[str, ...]]:
    """Writes a line per fit as text, in the order of `HEAD`."""
    is_sampled = selection.decided_by == "evidence"
    return [
        (
            f"{row['num_components']}",
            f"{selection_words.sampled_words(row) if is_sampled else format(row['log_evidence'], '.1f')}"
            f"{', stuck' if row['below_nested'] > 0.0 else ''}",
            f"{row['share']:.2f}",
            _behind(row["behind"], row["behind_error"]),
            f"{row['bic']:.1f}",
            f"{row['icl']:.1f}",
            f"{row['occupied']}",
        )
        for row in selection.table
    ]


def _behind(behind: float, error: float) -> str:
    """Writes how far a number is behind the best on held-out rows, with two digits of the standard error, if any."""
    if np.isnan(behind):
        return "-"
    if not behind > 0.0:
        return "best"
    decimals = 3 if not error > 0.0 else max(3, 1 - math.floor(math.log10(error)))
    return f"{behind:.{decimals}f}{'' if np.isnan(error) else f' ({error:.{decimals}f})'}"


def console_lines(selection: Selection) -> list[str]:
    """Writes the tables as lines of text that fit a terminal of 80 columns, the recommended fit marked by a star."""
    if not selection_names.has_shapes(selection):
        return _aligned(Table(lines(selection), selection.best_place))
    found: list[str] = []
    for table in _tables(selection):
        if not table.is_long:  # selection.csv has all
            found += [*([""] if found else []), f"{table.title}:", *_aligned(_narrow(table))]
    return found


def _narrow(table: Table) -> Table:
    """Leaves out the last column where a shape takes the room, and writes K: a terminal may have 80 columns."""
    if table.num_names == 1:
        return table
    return table._replace(head=(SHAPE, "K", *table.head[2:-1]), lines=[line[:-1] for line in table.lines])


def _aligned(table: Table) -> list[str]:
    """Writes a table as lines of text, names of shapes to the left and numbers to the right."""
    starred = [
        (f"*{first}" if place == table.recommended else first, *others)
        for place, (first, *others) in enumerate(table.lines)
    ]
    cells = [tuple(table.head), *starred]
    widths = [max(len(line[index]) for line in cells) for index in range(len(table.head))]
    return ["  ".join(cell.rjust(width) for cell, width in zip(line, widths)) for line in cells]


def how_sure(selection: Selection) -> str:
    """Says how far the recommendation can be trusted, in plain words."""
    if len(selection.results) == 1:
        return "With nothing beside it, that says nothing."
    names = selection_names.plausible_names(selection)
    if len(selection_names.plausible_mixtures(selection)) > 1:
        return f"The rows do not settle it: {names} are all plausible.{_maximum(selection)}"
    doubts = selection_doubts.doubts(selection)
    if doubts:
        return f"None of the others tried is nearly as probable, but that is not certain: {'; '.join(doubts)}."
    if selection.choices["icl"] < selection.num_components:
        return (
            "As a density none of the others is nearly as probable; as groups that stand apart fewer may be right: "
            f"ICL says {selection.choices['icl']}."
        )
    return "The rows are clear about it: none of the others is nearly as probable."


def _maximum(selection: Selection) -> str:
    """Says that numbers of components are maxima, where they are, and how many of the recommended one have rows."""
    best = selection.best
    if not WEIGHT_PRIORS[best.weight_prior].is_maximum:
        return ""
    return (
        f" Each number is a maximum: {best.num_occupied} of {best.num_components} have rows with the recommended one."
    )


def occupied_shares(occupied: np.ndarray) -> list[tuple[str, str]]:
    """Writes the numbers of components that have rows, and their probabilities, as text; those near 0 are left out.

    Example:

    >>> occupied_shares(np.array([0.0, 0.0, 0.75, 0.25]))
    [('2', '0.75'), ('3', '0.25')]
    """
    return [(f"{number}", f"{occupied[number]:.2f}") for number in np.flatnonzero(occupied >= _LEAST_SHARE)]


def _range(tried: Sequence[int]) -> str:
    """Writes numbers as text, those that follow each other as a range."""
    is_range = len(tried) > 2 and tried[-1] - tried[0] == len(tried) - 1
    return f"The numbers from {tried[0]} to {tried[-1]}" if is_range else with_and(tried)
