"""Priors hold plain positive numbers, survive JSON exactly, and each of them matters."""

from __future__ import annotations

import dataclasses
import json
import re

import numpy as np
import pytest
import tensorflow as tf

from tfgmm.components import DiagComponents, IndependentPosterior
from tfgmm.priors import Priors
from tfgmm.weights import DirichletPosterior, DirichletWeights

FIELDS = [field.name for field in dataclasses.fields(Priors)]
POSITIVE = [name for name in FIELDS if name != "loc_mean"]


def message_of(error_type, function, *args, **kwargs):
    with pytest.raises(error_type) as caught:
        function(*args, **kwargs)
    message = str(caught.value)
    assert re.search(r"^`priors\.\w+` must .*Received: .*\. \S.*\.$", message, re.DOTALL), message
    return message


def test_defaults_are_the_documented_ones():
    assert Priors() == Priors(0.0, 1.0, 5.0, 5.0, 2.0)


@pytest.mark.parametrize("name", POSITIVE)
@pytest.mark.parametrize("value", [0, -1.0, -1e-300, (1.0, 0.0), np.array([1.0, -2.0])])
def test_values_that_are_not_positive_are_refused(name, value):
    message = message_of(ValueError, Priors, **{name: value})
    assert name in message and "positive and finite" in message


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), (1.0, float("nan")), np.float32("inf")])
def test_values_that_are_not_finite_are_refused(name, value):
    assert name in message_of(ValueError, Priors, **{name: value})


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("value", [(), [], np.zeros(0)])
def test_empty_values_are_refused(name, value):
    assert "at least one number" in message_of(ValueError, Priors, **{name: value})


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize(
    "value", [None, "wide", "3", ["1", "2"], 1j, [[1.0, 2.0]], np.ones((2, 2)), Ellipsis, [1.0, None]], ids=repr
)
def test_values_that_are_not_numbers_are_refused(name, value):
    assert name in message_of(TypeError, Priors, **{name: value})


@pytest.mark.parametrize(
    "value",
    [(1.0, 2.5), [1, 2.5], np.array([1.0, 2.5]), np.array([1.0, 2.5], np.float32), tf.constant([1.0, 2.5]).numpy()],
    ids=lambda value: type(value).__name__,
)
def test_one_number_per_column_becomes_a_tuple_of_floats(value):
    priors = Priors(loc_scale=value)
    assert priors.loc_scale == (1.0, 2.5) and all(type(number) is float for number in priors.loc_scale)
    assert priors == Priors(loc_scale=(1.0, 2.5)) and hash(priors) == hash(Priors(loc_scale=(1.0, 2.5)))


@pytest.mark.parametrize("value", [3, 3.0, np.float32(3.0), np.array(3.0), np.int64(3)], ids=lambda v: type(v).__name__)
def test_one_number_becomes_a_float(value):
    assert Priors(loc_scale=value).loc_scale == 3.0 and type(Priors(loc_scale=value).loc_scale) is float


def test_priors_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Priors().loc_mean = 1.0


def test_a_round_trip_through_json_is_exact():
    priors = Priors((0.1, 1e-300, -1 / 3), 2**0.5, (1e300, 5e-324, 0.2), np.pi, (0.7, 0.1 + 0.2))
    again = Priors.from_dict(json.loads(json.dumps(priors.to_dict())))
    assert again == priors and hash(again) == hash(priors)


@pytest.mark.parametrize("name", FIELDS)
def test_sizes_are_checked_per_column_and_per_component(name):
    num_components, num_features = 3, 2
    length, letter = (3, "K") if name == "weight_concentration" else (2, "D")
    Priors().check_sizes(num_components, num_features)
    Priors(**{name: (1.0,) * length}).check_sizes(num_components, num_features)
    for wrong in (1, 4):
        message = message_of(ValueError, Priors(**{name: (1.0,) * wrong}).check_sizes, num_components, num_features)
        assert name in message and f"({letter},) = ({length},)" in message and f"Received: {wrong} numbers" in message


def kl_under(**changes):
    priors = Priors(**changes)
    ones = tf.ones((2, 3), tf.float64)
    components, weights = DiagComponents(2, 3, priors), DirichletWeights(2, priors)
    return float(
        components.kl(IndependentPosterior(ones, 0.5 * ones, 7.0 * ones, 3.0 * ones), tf.zeros(3, tf.float64))
        + weights.kl(DirichletPosterior(tf.constant([3.0, 4.0], tf.float64)))
    )


@pytest.mark.parametrize("name", FIELDS)
def test_every_prior_changes_the_kl_and_a_tuple_of_equal_numbers_is_the_number(name):
    length = 2 if name == "weight_concentration" else 3
    assert abs(kl_under(**{name: 1.7}) - kl_under()) > 1e-3
    assert kl_under(**{name: 1.7}) == kl_under(**{name: (1.7,) * length})
    assert abs(kl_under(**{name: (1.7,) * (length - 1) + (2.9,)}) - kl_under(**{name: 1.7})) > 1e-3
