"""The shapes a component may have: two families of small classes, and a table from name to class."""

from tfgmm.components.correlated import (
    CorrelatedComponents,
    CorrelatedDraws,
    CorrelatedPosterior,
    FullComponents,
    TiedComponents,
)
from tfgmm.components.independent import (
    DiagComponents,
    IndependentComponents,
    IndependentDraws,
    IndependentPosterior,
    SphericalComponents,
    TiedDiagComponents,
    TiedSphericalComponents,
)
from tfgmm.components.statistics import Statistics

Components = IndependentComponents | CorrelatedComponents

COMPONENTS: dict[str, type[Components]] = {
    kind.name: kind
    for kind in (
        SphericalComponents,
        DiagComponents,
        TiedSphericalComponents,
        TiedDiagComponents,
        TiedComponents,
        FullComponents,
    )
}

__all__ = [
    "COMPONENTS",
    "Components",
    "CorrelatedComponents",
    "CorrelatedDraws",
    "CorrelatedPosterior",
    "DiagComponents",
    "FullComponents",
    "IndependentComponents",
    "IndependentDraws",
    "IndependentPosterior",
    "SphericalComponents",
    "Statistics",
    "TiedComponents",
    "TiedDiagComponents",
    "TiedSphericalComponents",
]
