"""Priors hold plain positive numbers and matrices, survive JSON exactly, and each of them matters."""

from __future__ import annotations

import dataclasses
import json
import re

import numpy as np
import pytest

from tfgmm.families.correlated import CorrelatedPosterior
from tfgmm.families.independent import IndependentPosterior
from tfgmm.families.variational import COMPONENTS
from tfgmm.families.weights import DirichletPosterior, DirichletWeights, StickBreakingWeights, StickPosterior
from tfgmm.mixture.priors import Priors

MATRICES = ["loc_covariance", "inverse_scale"]
SINGLE = ["stick_concentration", "degrees"]  # one number, never one per column
# These have tests beside what they do: families/test_learned_scales.py, families/test_row_variance.py
LEARNED = ["scale_structure", "expected_scale", "hyper_degrees", "degree_grid", "least_scale", "loc_scale_grid"]
ELSEWHERE = (*LEARNED, "row_variance")
FIELDS = [field.name for field in dataclasses.fields(Priors) if field.name not in (*MATRICES, *ELSEWHERE)]
POSITIVE = [name for name in FIELDS if name != "loc_mean"]
LISTS = [name for name in FIELDS if name not in SINGLE]


def message_of(error_type, function, *args, **kwargs):
    with pytest.raises(error_type) as caught:
        function(*args, **kwargs)
    message = str(caught.value)
    assert re.search(r"^`priors\.\w+` must .*Received: .*\. \S.*\.$", message, re.DOTALL), message
    return message


def test_defaults_are_the_documented_ones():
    assert Priors() == Priors(0.0, 1.0, 5.0, 5.0, 2.0, 1.0, 1.0, None, None, None)
    assert set(FIELDS) >= {*SINGLE, *LISTS} and len(FIELDS) == 8


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
    "value", ["wide", "3", ["1", "2"], 1j, [[1.0, 2.0]], np.ones((2, 2)), Ellipsis, [1.0, None]], ids=repr
)
def test_values_that_are_not_numbers_are_refused(name, value):
    assert name in message_of(TypeError, Priors, **{name: value})


@pytest.mark.parametrize("name", [name for name in FIELDS if name != "degrees"])
def test_none_is_refused_where_there_is_no_default_of_its_own(name):
    assert name in message_of(TypeError, Priors, **{name: None})
    assert Priors(degrees=None).degrees is None


@pytest.mark.parametrize("name", SINGLE)
def test_several_numbers_are_refused_where_one_is_meant(name):
    assert "must be one number" in message_of(ValueError, Priors, **{name: (1.5, 2.5)})


@pytest.mark.parametrize("name", MATRICES)
@pytest.mark.parametrize(
    ("error", "value"),
    [
        (TypeError, "3"),
        (TypeError, [["a"]]),
        (TypeError, [["2", "1"], ["1", "2"]]),
        (TypeError, [[True]]),
        (TypeError, [[1.0], [1.0, 2.0]]),
        (TypeError, [[1j]]),
        (ValueError, 3.0),
        (ValueError, [1.0, 2.0]),
        (ValueError, [[1.0, 2.0]]),
        (ValueError, np.zeros((0, 0))),
        (ValueError, np.ones((2, 2, 2))),
        (ValueError, [[1.0, 0.5], [0.4, 1.0]]),
        (ValueError, [[1.0, np.nan], [np.nan, 1.0]]),
        (ValueError, [[np.inf, 0.0], [0.0, 1.0]]),
        (ValueError, [[1.0, 0.0], [0.0, 0.0]]),
        (ValueError, [[1.0, 0.0], [0.0, -1.0]]),
        (ValueError, [[1.0, 2.0], [2.0, 1.0]]),
        (ValueError, [[1.0, 1.0], [1.0, 1.0]]),
        (ValueError, [[0.0]]),
    ],
    ids=repr,
)
def test_values_that_are_no_positive_definite_matrices_are_refused(name, error, value):
    assert name in message_of(error, Priors, **{name: value})


@pytest.mark.parametrize("name", MATRICES)
@pytest.mark.parametrize("scale", [1e-16, 1.0, 1e16])
def test_a_matrix_in_any_units_becomes_exactly_symmetric_tuples_of_floats(name, scale):
    matrix = np.outer([1.0, scale], [1.0, scale]) * [[2.0, 1.0], [1.0 + 1e-12, 3.0]]
    plain = getattr(Priors(**{name: matrix}), name)
    assert plain[0][1] == plain[1][0]
    assert all(type(number) is float for line in plain for number in line)
    np.testing.assert_allclose(plain, matrix, rtol=1e-12)
    priors = Priors(**{name: matrix.tolist()})
    assert priors == Priors(**{name: matrix}) and hash(priors) == hash(Priors(**{name: matrix}))


@pytest.mark.parametrize(
    "value",
    [(1.0, 2.5), [1, 2.5], np.array([1.0, 2.5]), np.array([1.0, 2.5], np.float32), np.float16([1.0, 2.5])],
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
    priors = Priors((0.1, 1e-300, -1 / 3), 2**0.5, (1e300, 5e-324, 0.2), np.pi, (0.7, 0.1 + 0.2), 1 / 3, (0.1, 1e-9))
    priors = dataclasses.replace(priors, degrees=7 / 3, loc_covariance=[[0.1, 0.01], [0.01, 1 / 3]])
    again = Priors.from_dict(json.loads(json.dumps(priors.to_dict())))
    assert again == priors and hash(again) == hash(priors)


@pytest.mark.parametrize("name", LISTS)
def test_sizes_are_checked_per_column_and_per_component(name):
    num_components, num_features = 3, 2
    length, letter = (3, "K") if name == "weight_concentration" else (2, "D")
    Priors().check_sizes(num_components, num_features)
    Priors(**{name: (1.0,) * length}).check_sizes(num_components, num_features)
    for wrong in (1, 4):
        message = message_of(ValueError, Priors(**{name: (1.0,) * wrong}).check_sizes, num_components, num_features)
        assert name in message and f"({letter},) = ({length},)" in message and f"Received: {wrong} numbers" in message


@pytest.mark.parametrize("name", MATRICES)
def test_sizes_of_matrices_are_checked(name):
    Priors(**{name: np.eye(2)}).check_sizes(3, 2)
    message = message_of(ValueError, Priors(**{name: np.eye(3)}).check_sizes, 3, 2)
    assert name in message and "(D, D) = (2, 2)" in message and "Received: shape (3, 3)" in message


def test_degrees_must_be_above_the_columns_minus_one():
    Priors(degrees=1.01).check_sizes(3, 2)
    assert "above D - 1 = 1" in message_of(ValueError, Priors(degrees=1.0).check_sizes, 3, 2)


@pytest.mark.parametrize("name", ["precision_shape", "precision_rate"])
@pytest.mark.parametrize("covariance", ["spherical", "tied_spherical"])
def test_a_shared_precision_takes_one_number(name, covariance):
    message = message_of(ValueError, COMPONENTS[covariance], 2, 3, Priors(**{name: (1.0, 1.0, 2.0)}))
    assert name in message and "column_scale" in message
    assert COMPONENTS[covariance](2, 3, Priors(**{name: (1.5, 1.5, 1.5)})).precision_rate.shape == (1,)


def kl_under(covariance="diag", weights="dirichlet", **changes):
    """Returns KL(q || prior) of some q over 2 components of 3 columns."""
    priors, ones, matrices = Priors(**changes), np.ones((2, 3)), np.tile(np.eye(3), (2, 1, 1))
    components = COMPONENTS[covariance](2, 3, priors)
    if covariance == "full":
        posterior = CorrelatedPosterior(ones, 0.5 * matrices, 7.0 * ones[:, 0], 2.0 * matrices)
    else:
        precisions = ones[:, : components.precision_axes[1]]
        posterior = IndependentPosterior(ones, 0.5 * ones, 7.0 * precisions, 3.0 * precisions)
    kl = components.kl(posterior, np.zeros(3))
    if weights == "dirichlet":
        return float(kl + DirichletWeights(2, priors).kl(DirichletPosterior(np.array([3.0, 4.0]))))
    return float(kl + StickBreakingWeights(2, priors).kl(StickPosterior(np.array([[3.0, 4.0]]))))


@pytest.mark.parametrize("name", [name for name in LISTS if name != "column_scale"])
def test_every_prior_changes_the_kl_and_a_tuple_of_equal_numbers_is_the_number(name):
    length = 2 if name == "weight_concentration" else 3
    assert abs(kl_under(**{name: 1.7}) - kl_under()) > 1e-3
    assert kl_under(**{name: 1.7}) == kl_under(**{name: (1.7,) * length})
    assert abs(kl_under(**{name: (1.7,) * (length - 1) + (2.9,)}) - kl_under(**{name: 1.7})) > 1e-3


@pytest.mark.parametrize(
    "change", [{"degrees": 6.5}, *({name: 1.7 * np.eye(3)} for name in MATRICES)], ids=lambda change: next(iter(change))
)
def test_priors_of_matrices_change_the_kl_of_matrices_alone(change):
    assert abs(kl_under("full", **change) - kl_under("full")) > 1e-3
    assert kl_under(**change) == kl_under()


def test_the_concentration_of_sticks_changes_the_kl_of_sticks_alone():
    assert abs(kl_under(weights="sticks", stick_concentration=1.7) - kl_under(weights="sticks")) > 1e-3
    assert kl_under(stick_concentration=1.7) == kl_under()


def test_column_scale_is_the_unit_of_a_shared_precision():
    """It changes no KL, which has no unit, but what a precision of 2 means in each column."""
    scale, ones = np.array([1.0, 10.0, 0.1]), np.ones((2, 1))
    for covariance, expected in (("spherical", 2.0 / scale**2), ("diag", np.full(3, 2.0))):
        components = COMPONENTS[covariance](2, 3, Priors(column_scale=tuple(scale)))
        posterior = IndependentPosterior(np.zeros((2, 3)), np.ones((2, 3)), 4 * ones, 2 * ones)
        np.testing.assert_allclose(components.means(posterior)["precisions"], np.tile(expected, (2, 1)), rtol=1e-14)


def test_matrices_have_the_documented_defaults():
    priors = Priors(loc_scale=(2.0, 3.0), precision_shape=(1.0, 2.0), precision_rate=(0.5, 4.0))
    covariance, degrees, inverse_scale = priors.matrices(2)
    np.testing.assert_array_equal(covariance, [[4.0, 0.0], [0.0, 9.0]])
    np.testing.assert_array_equal(inverse_scale, [[1.0, 0.0], [0.0, 8.0]])
    assert degrees == 2 * 1.5 + 2 - 1
