"""What fits of a choice are called, and which of them are plausible.

Where one covariance shape was tried, a fit is called by its number of components alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tfgmm.common.words import counted, with_and
from tfgmm.mixture.registry import mixtures_of

if TYPE_CHECKING:
    from tfgmm.fit.result import FitResult
    from tfgmm.fit.selection import Selection

_MOST_NAMED = 6  # fits in a sentence


def has_shapes(selection: Selection) -> bool:
    """Tells whether several covariance shapes were tried."""
    return len(selection.shapes) > 1


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


def _mixtures(result: FitResult) -> tuple[int, tuple[bool, bool, bool]]:
    number = result.num_components
    return number, mixtures_of(result.covariance, number, result.num_features)


def listed(selection: Selection, fits: Sequence[FitResult]) -> str:
    """Lists fits within a sentence; counts them where they are many."""
    if has_shapes(selection) and len(fits) > _MOST_NAMED:
        return f"{counted(len(fits), 'fit')} of {len(selection.results)}"
    return with_and([name(selection, result) for result in fits])
