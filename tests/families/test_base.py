"""A method that remembers its last answer gives it for the same arguments alone, and never an old one."""

from __future__ import annotations

import gc

import numpy as np
import pytest
from random_posteriors import D, random_components, random_priors

from tfgmm.families.base import once_per_posterior
from tfgmm.families.functions import NUMPY
from tfgmm.families.variational import COMPONENTS
from tfgmm.mixture.priors import Priors
from tfgmm.mixture.priors_from_data import LOC_SCALE_GRID


class Counting:
    """A family with a method that notes each of its runs."""

    def __init__(self) -> None:
        self.runs: list[tuple[object, ...]] = []

    @once_per_posterior
    def answer(self, posterior: np.ndarray, *others: object) -> tuple[object, ...]:
        """Returns what it was called with."""
        self.runs.append((posterior, *others))
        return float(posterior[0]), *others


def test_the_last_answer_is_given_again_for_the_same_objects_alone() -> None:
    family, posterior, equal = Counting(), np.array([1.0]), np.array([1.0])
    assert family.answer(posterior) is family.answer(posterior)
    assert len(family.runs) == 1
    family.answer(equal)  # as large, but another
    family.answer(posterior)  # only the last one is kept
    assert len(family.runs) == 3
    other = Counting()
    assert other.answer(equal + 1.0) == (2.0,) and family.answer(posterior) == (1.0,)  # each family has its own
    assert len(family.runs) == 3 and len(other.runs) == 1


def test_other_arguments_after_the_posterior_have_answers_of_their_own() -> None:
    family, posterior, one, other = Counting(), np.array([1.0]), object(), object()
    calls = [(), (one,), (other,), (one, other), (one,), ()]
    assert [family.answer(posterior, *others) for others in calls] == [(1.0, *others) for others in calls]
    assert len(family.runs) == len(calls)


def test_a_new_posterior_in_the_place_of_a_freed_one_is_another() -> None:
    """Objects are told apart by where they are in memory: what was answered for must stay there."""
    family = Counting()
    for value in range(200):
        assert family.answer(np.array([float(value)])) == (float(value),)
        gc.collect(0)
    assert len(family.runs) == 200


def learned_components(covariance: str):
    """Returns components that learn their scale."""
    expected = random_priors(covariance).inverse_scale if covariance in ("full", "tied") else 1.7
    priors = Priors(scale_structure="both", expected_scale=expected, loc_scale_grid=LOC_SCALE_GRID)
    return COMPONENTS[covariance](3, D, priors)


@pytest.mark.parametrize("covariance", COMPONENTS)
def test_divergences_of_posteriors_in_turn_are_those_of_a_family_that_remembers_nothing(covariance: str) -> None:
    components, centres = learned_components(covariance), (np.zeros(D), np.full(D, 0.7))
    posteriors = [random_components(covariance, seed=seed)[1] for seed in range(2)]
    for first, second in ((0, 0), (1, 0), (1, 1), (0, 1), (0, 0)):
        posterior, centre = posteriors[first], centres[second]
        alone = learned_components(covariance)
        assert float(components.kl(posterior, centre)) == float(alone.kl(posterior, centre))
        found, expected = (family.expected_priors(posterior, centre) for family in (components, alone))
        for value, wanted in zip(found, expected):
            np.testing.assert_array_equal(value, wanted)


@pytest.mark.parametrize("covariance", ["full", "tied"])
def test_factors_made_with_other_functions_are_not_handed_on_as_those_of_numpy(covariance: str) -> None:
    doubled = NUMPY._replace(triangular_inverse=lambda matrices: 2.0 * NUMPY.triangular_inverse(matrices))
    components, posterior = learned_components(covariance), random_components(covariance)[1]
    expected = float(learned_components(covariance).kl(posterior, np.zeros(D)))
    plain = components.means(posterior)["whiteners"]
    np.testing.assert_array_equal(components.means(posterior, doubled)["whiteners"], 2.0 * plain)
    assert float(components.kl(posterior, np.zeros(D))) == expected
