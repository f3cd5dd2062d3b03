"""What a report and the console say of the choice of a number of components: the table, the reason, how sure it is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tfgmm.common.words import with_and
from tfgmm.fit.selection import occupied_words
from tfgmm.mixture.registry import WEIGHT_PRIORS

if TYPE_CHECKING:
    from tfgmm.fit.selection import Selection

HEAD = ("components", "evidence", "share", "held out behind", "BIC", "ICL", "have rows")
_LEAST_SHARE = 0.005  # that two decimals show

_ABOUT_THE_TABLE = (
    "Evidence: how probable the rows are under all mixtures of so many components, as a logarithm in nats, estimated "
    "from below. Share: the probability of each number, if all that were tried were equally probable before; it "
    "depends on the priors, so read it as an order of magnitude. Held out behind: how much worse than by the best "
    "number rows are predicted that the fit did not see, nats per row, with the standard error of the difference. "
    "Smaller is better for that, BIC and ICL."
)
_ABOUT_OCCUPIED = (
    "From draws of the posterior{}: in each, every row is given to a component, and those with a row are counted. "
    "A component with a single stray row counts."
)


class Choice(NamedTuple):
    """The section "How many components" of a report.

    Args:
        paragraphs: Whole sentences.
        head, lines: The table, a line per number tried; without lines there was no choice.
        recommended: Index of the line that is recommended.
        notes: Small print below.
        occupied: Numbers of components that have rows, with their probabilities, as text.
        about_occupied: Small print above them.
    """

    paragraphs: Sequence[str]
    head: Sequence[str] = ()
    lines: Sequence[Sequence[str]] = ()
    recommended: int = 0
    notes: Sequence[str] = ()
    occupied: Sequence[tuple[str, str]] = ()
    about_occupied: str = ""


def choice_of(selection: Selection | None, occupied: np.ndarray | None) -> Choice | None:
    """Writes what a report says of the number of components; None where nothing was asked.

    Args:
        selection: Choice among several numbers; None for one number.
        occupied: Posterior of the number of components that have rows, (K + 1,), or None.
    """
    counted = [] if occupied is None else occupied_shares(occupied)
    about = _ABOUT_OCCUPIED.format("" if selection is None else " with the most components")
    if selection is None:
        return None if occupied is None else Choice([occupied_words(occupied)], occupied=counted, about_occupied=about)
    tried = selection.table["num_components"].tolist()
    head = f"{_range(tried)} {'was' if len(tried) == 1 else 'were'} tried; {selection.num_components} is recommended."
    return Choice(
        paragraphs=[f"{head} {how_sure(selection)}", selection.reason],
        head=HEAD,
        lines=lines(selection),
        recommended=tried.index(selection.num_components),
        notes=[_ABOUT_THE_TABLE, f"Held out: {selection.held_out_rows}."],
        occupied=counted,
        about_occupied=about,
    )


def lines(selection: Selection) -> list[tuple[str, ...]]:
    """Writes a line per number of components as text, in the order of `HEAD`."""
    return [
        (
            f"{row['num_components']}",
            f"{row['log_evidence']:.1f}",
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
    """Writes the table as lines of text that fit a terminal of 80 columns, the recommended number marked by a star."""
    recommended = str(selection.num_components)
    starred = [(f"*{first}" if first == recommended else first, *others) for first, *others in lines(selection)]
    cells = [HEAD, *starred]
    widths = [max(len(line[index]) for line in cells) for index in range(len(HEAD))]
    return ["  ".join(cell.rjust(width) for cell, width in zip(line, widths)) for line in cells]


def how_sure(selection: Selection) -> str:
    """Says how far the recommendation can be trusted, in plain words."""
    plausible = selection.plausible
    if len(selection.results) == 1:
        return "With nothing beside it, that says nothing."
    if len(plausible) == 1 and selection.choices["icl"] < selection.num_components:
        return "As a density none of the others is nearly as probable; as groups that stand apart fewer may be right."
    if len(plausible) == 1:
        return "The rows are clear about it: none of the others is nearly as probable."
    maximum = " Each is a maximum: components without rows stay empty, at next to no cost."
    is_maximum = WEIGHT_PRIORS[selection.best.weight_prior].is_maximum
    return f"The rows do not settle it: {with_and(plausible)} are all plausible.{maximum if is_maximum else ''}"


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
