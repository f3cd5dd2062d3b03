"""What is said of an alignment that cannot be trusted: why components could as well be swapped, and what to do."""

from __future__ import annotations

from typing import NamedTuple

from tfgmm.common.words import beside

_BY_ROWS = 'method="responsibilities" with rows'


class Means(NamedTuple):
    """By what the components of draws were told apart, and what to try where that fails.

    Args:
        by: What told them apart: "by their order in column 0".
        others: What else to try.
        instead: What to do where places and widths would tell the components apart; "" where these were used.
    """

    by: str
    others: str
    instead: str = ""


def by_places(has_correlations: bool) -> Means:
    """Makes the words for components that are matched by all that describes them."""
    what = "places, widths and correlations" if has_correlations else "places and widths"
    return Means(f"by their {what}", _BY_ROWS)


def by_rows(num_rows: int) -> Means:
    """Makes the words for components that are matched by the rows that belong to them."""
    return Means("by the rows that belong to them", f'method="pivot", more rows than these {num_rows:,}')


def by_order(feature: int, column_names: tuple[str, ...] | None) -> Means:
    """Makes the words for components that are ordered by one column."""
    column = f"column {feature if column_names is None else repr(column_names[feature])}"
    return Means(f'by method="order" in {column}', _BY_ROWS, 'use method="pivot", or order by another column')


def by_own_pivot() -> Means:
    """Makes the words for components that are matched with locations of the caller's."""
    return Means("by `pivot`", _BY_ROWS, "leave `pivot` out, or pass locations that lie near one component each")


def doubt_sentences(means: Means, share: float, limit: float, by_places: tuple[float, str] | None = None) -> str:
    """Says that components could as well be swapped.

    Args:
        means: By what they were told apart.
        share: Share of draws in which that is so.
        limit: Probability of a swap above which it is so, and share of draws above which it is told.
        by_places: The share where places and widths tell them apart, and the words for these; None where these did.

    Example:

    >>> means = by_order(1, ("width", "height"))
    >>> print(doubt_sentences(means, 0.5, 0.05, (0.0, "by their places and widths")))
    in 50 % of the draws two components cannot be told apart by method="order" in column 'height': swapping them has \
a probability above 5 % there, so that numbers of single components mean little. They can be told apart by their \
places and widths: use method="pivot", or order by another column.
    """
    where = f"in {_percent(share, limit)} % of the draws two components"
    swapped = (
        f"swapping them has a probability above {100.0 * limit:.0f} % there, so that numbers of single components "
        "mean little"
    )
    others = f"{means.others}, look at the density, or ask for fewer components"
    if by_places is None:
        return f"{where} are too alike to be told apart {means.by}: {swapped}. Try {others}."
    share_by_places, places = by_places
    fix = f"They can be told apart {places}: {means.instead}."
    if share_by_places > limit:
        fix = f"Nor can they {places}, in {_percent(share_by_places, limit)} % of the draws: try {others}."
    return f"{where} cannot be told apart {means.by}: {swapped}. {fix}"


def _percent(share: float, limit: float) -> str:
    return beside(100.0 * share, 100.0 * limit)
