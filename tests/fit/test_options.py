"""The options of a fit: the defaults of the public signature, and that what is out of range is refused when made."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

import numpy as np
import pytest

import tfgmm
from tfgmm.families.variational import COMPONENTS
from tfgmm.families.weights import WEIGHTS
from tfgmm.fit.options import FitOptions
from tfgmm.mixture.registry import COVARIANCES, WEIGHT_PRIORS


def test_fields_and_defaults_are_those_of_fit_mixture() -> None:
    parameters = inspect.signature(tfgmm.fit_mixture).parameters.values()
    arguments = {parameter.name: parameter.default for parameter in parameters}
    for name in ("data", "num_components", "callbacks", "sample_weight", "noise", "missing"):  # what rows carry
        del arguments[name]
    assert arguments == {field.name: field.default for field in dataclasses.fields(FitOptions)}


def test_choices_are_those_of_the_model() -> None:
    assert list(COMPONENTS) == list(COVARIANCES) and list(WEIGHTS) == list(WEIGHT_PRIORS)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("covariance", "round"),
        ("weights", "equal"),
        ("restarts", 0),
        ("seed", -1),
        ("batch_size", 0),
        ("max_sweeps", 1.5),
        ("tolerance", 0.0),
        ("tolerance", True),
        ("polish_steps", -1),
    ],
)
def test_what_is_out_of_range_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"`{name}` must be .* Received: {value!r}\. "):
        FitOptions(**{name: value})


def test_whole_numbers_of_numpy_become_plain_ones() -> None:
    found = FitOptions(restarts=np.int64(3), seed=np.int32(5), batch_size=np.int64(7))
    assert [type(value) for value in (found.restarts, found.seed, found.batch_size)] == [int, int, int]


def test_what_is_for_one_number_of_components_does_not_suit_any() -> None:
    FitOptions(start="random").check_suits_any_number()
    with pytest.raises(ValueError, match="`start` must be"):
        FitOptions(start=[[0.0], [1.0]]).check_suits_any_number()
    priors = tfgmm.Priors(weight_concentration=(1.0, 2.0))
    with pytest.raises(ValueError, match="`priors.weight_concentration` must be one number"):
        FitOptions(priors=priors).check_suits_any_number()
