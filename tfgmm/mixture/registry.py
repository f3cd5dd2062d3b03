"""The covariance shapes and the weight priors that a mixture may have: one row for each.

A new shape is a row here, and a class in `families` with its entry in `families.variational`; elsewhere shapes are
named in words only: docstrings, and the help of `--covariance`. A shape that these fields cannot tell from another
needs one field more, which `mixture.parameters` and the base classes of `families` read.
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

    @property
    def is_correlated(self) -> bool:
        """Whether a component has a precision matrix, and not a precision per column."""
        return self.form == "correlated"

    def num_precisions(self, num_components: int) -> int:
        """Counts the components that have precisions of their own: K, or 1 where they are tied."""
        return 1 if self.is_tied else num_components


class WeightPrior(NamedTuple):
    """The properties of one prior of the mixture weights.

    Args:
        is_exchangeable: Whether the order of the components changes nothing.
        is_maximum: Whether K is the most components that the rows may occupy, and not their number.
        words: The prior in words for people.
    """

    is_exchangeable: bool
    is_maximum: bool
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
    "dirichlet": WeightPrior(True, False, "the number of components is fixed"),
    "stick_breaking": WeightPrior(False, True, "the number of components is a maximum"),
}


def mixtures_of(covariance: str, num_components: int, num_features: int) -> tuple[bool, bool, bool]:
    """Tells apart sets of mixtures, whatever their shape is called: whether they are tied, spherical, correlated.

    One component has nobody to be tied to; one column is spherical and has no correlations.

    Example:

    >>> mixtures_of("full", 1, 2) == mixtures_of("tied", 1, 2), mixtures_of("full", 2, 2) == mixtures_of("tied", 2, 2)
    (True, False)
    """
    shape = COVARIANCES[covariance]
    is_plain = num_features == 1
    return shape.is_tied and num_components > 1, shape.is_spherical or is_plain, shape.is_correlated and not is_plain
