"""The registry's rows are what the shapes mean, and the families have a class for each, in its order."""

from __future__ import annotations

import pytest

from tfgmm.families.variational import COMPONENTS
from tfgmm.families.weights import WEIGHTS
from tfgmm.mixture.priors import Priors
from tfgmm.mixture.registry import COVARIANCES, WEIGHT_PRIORS

K, D = 3, 4

# name: form, tied, spherical, and how many of three components have precisions of their own
BY_HAND = {
    "spherical": ("independent", False, True, 3),
    "diag": ("independent", False, False, 3),
    "tied_spherical": ("independent", True, True, 1),
    "tied_diag": ("independent", True, False, 1),
    "tied": ("correlated", True, False, 1),
    "full": ("correlated", False, False, 3),
}


def test_families_have_the_names_of_the_registry_in_its_order() -> None:
    assert list(COMPONENTS) == list(COVARIANCES) == list(BY_HAND)
    assert list(WEIGHTS) == list(WEIGHT_PRIORS) == ["dirichlet", "stick_breaking"]


@pytest.mark.parametrize("covariance", BY_HAND)
def test_row_says_what_the_shape_is(covariance: str) -> None:
    shape, (form, is_tied, is_spherical, num_precisions) = COVARIANCES[covariance], BY_HAND[covariance]
    assert (shape.form, shape.is_tied, shape.is_spherical) == (form, is_tied, is_spherical)
    assert shape.is_correlated == (form == "correlated")
    assert shape.num_precisions(K) == num_precisions and shape.num_precisions(1) == 1


@pytest.mark.parametrize("covariance", BY_HAND)
def test_class_is_what_the_row_says(covariance: str) -> None:
    """An attribute that a class has no use for is one that its shapes do not have."""
    shape, components = COVARIANCES[covariance], COMPONENTS[covariance](K, D, Priors())
    assert components.name == covariance and components.form == shape.form
    assert components.is_tied == shape.is_tied
    assert getattr(components, "is_spherical", False) == shape.is_spherical


def test_only_a_dirichlet_has_components_in_no_order_and_only_a_stick_leaves_some_empty() -> None:
    properties = {name: (prior.is_exchangeable, prior.is_maximum) for name, prior in WEIGHT_PRIORS.items()}
    assert properties == {"dirichlet": (True, False), "stick_breaking": (False, True)}


@pytest.mark.parametrize("table", [COVARIANCES, WEIGHT_PRIORS])
def test_words_tell_the_rows_apart(table: dict[str, object]) -> None:
    words = [row.words for row in table.values()]
    assert all(words) and len(set(words)) == len(words)
