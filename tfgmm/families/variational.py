"""The families a component may belong to, by the name of their covariance shape."""

from __future__ import annotations

from tfgmm.families.correlated import CorrelatedComponents, FullComponents, TiedComponents
from tfgmm.families.independent import (
    DiagComponents,
    IndependentComponents,
    SphericalComponents,
    TiedDiagComponents,
    TiedSphericalComponents,
)

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
