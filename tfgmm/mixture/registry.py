"""The covariance shapes and the weight priors that a mixture may have: one row for each.

A new shape is a row here and a class in `families`; no other file names a shape.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

FormName = Literal["independent", "correlated"]


class CovarianceShape(NamedTuple):
    """The properties of one covariance shape.

    Args:
        form: Form that its parameters are written in: "independent" columns, a precision each, or "correlated" ones, a
            precision matrix; see `tfgmm.mixture.parameters`.
        is_tied: Whether all components share their precisions.
        is_spherical: Whether all columns share theirs.
        words: The shape in words for people.
    """

    form: FormName
    is_tied: bool
    is_spherical: bool
    words: str


class WeightPrior(NamedTuple):
    """The properties of one prior of the mixture weights.

    Args:
        is_exchangeable: Whether the order of the components changes nothing.
        words: The prior in words for people.
    """

    is_exchangeable: bool
    words: str


COVARIANCES: Mapping[str, CovarianceShape] = {
    "spherical": CovarianceShape("independent", False, True, "one width per component, the same in all directions"),
    "diag": CovarianceShape("independent", False, False, "one width per component and column, no correlations"),
    "tied_spherical": CovarianceShape("independent", True, True, "one width for all components"),
    "tied_diag": CovarianceShape("independent", True, False, "one width per column, the same in all components"),
    "tied": CovarianceShape("correlated", True, False, "widths and correlations, the same in all components"),
    "full": CovarianceShape("correlated", False, False, "widths and correlations of each component by itself"),
}

WEIGHT_PRIORS: Mapping[str, WeightPrior] = {
    "dirichlet": WeightPrior(True, "the number of components is fixed"),
    "stick_breaking": WeightPrior(False, "the number of components is a maximum"),
}
