"""Fits as plain numbers: all of a fit comes back, and nothing but records of ours."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import pickletools

import numpy as np
import pytest

import tfgmm
from tfgmm.fit.estimator.kept import plain, restored
from tfgmm.mixture.registry import COVARIANCES

GENERATOR = np.random.default_rng(14)
ROWS = GENERATOR.normal(np.repeat([[-3.0, 0.0], [3.0, 1.0]], 30, axis=0))


def leaves(value):
    """Yields the types of all that a plain value is made of."""
    yield type(value)
    for entry in value.values() if isinstance(value, dict) else value if isinstance(value, (tuple, list)) else ():
        yield from leaves(entry)


def assert_same(one, other):
    assert type(one) is type(other)
    if isinstance(one, np.ndarray):
        np.testing.assert_array_equal(one, other)
    elif dataclasses.is_dataclass(one) or hasattr(one, "_fields"):
        for name in getattr(one, "_fields", None) or [field.name for field in dataclasses.fields(one)]:
            if name != "variational":
                assert_same(getattr(one, name), getattr(other, name))
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other)
        for pair in zip(one, other):
            assert_same(*pair)
    elif isinstance(one, dict):
        assert_same(list(one.items()), list(other.items()))
    else:
        assert one == other or (one != one and other != other)


def test_moves_of_a_fit_come_back():
    places = np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 10.0], [10.0, 10.0]])
    rows = places[np.arange(200) % 4] + 0.3 * np.random.default_rng(0).standard_normal((200, 2))
    groups = np.arange(200) % 4
    stuck = np.where(groups == 1, 0, np.where((groups == 3) & (rows[:, 0] > 10.0), 1, groups))
    result = tfgmm.fit_mixture(rows, 4, start=stuck, moves=True)
    assert len(result.moves) == 1
    assert_same(restored(plain(result)), result)
    assert restored(plain(result)).moves == result.moves


@pytest.mark.parametrize(
    ("shape", "weights"), [*((shape, "dirichlet") for shape in COVARIANCES), ("full", "stick_breaking")]
)
def test_a_fit_comes_back_whole(shape, weights):
    rows = np.where(GENERATOR.random(ROWS.shape) < [0.1, 0.0], np.nan, ROWS)
    with pytest.warns(UserWarning, match="values are missing"):
        result = tfgmm.fit_mixture(rows, 2, covariance=shape, weights=weights, restarts=1)
    again = restored(plain(result))
    assert_same(again, result)
    for name, values in result.variational.public().items():
        np.testing.assert_array_equal(again.variational.public()[name], values)
    assert again.variational.gap_columns == result.variational.gap_columns
    np.testing.assert_array_equal(again.draws(50, seed=3).locs, result.draws(50, seed=3).locs)
    np.testing.assert_array_equal(again.log_prob(ROWS), result.log_prob(ROWS))
    allowed = {dict, tuple, list, str, int, float, bool, type(None), np.ndarray, np.float64}
    assert set(leaves(plain(result))) <= allowed


@pytest.mark.filterwarnings("ignore:standard deviations may be", "ignore:no posterior")
def test_draws_rankings_and_choices_come_back_too():
    selection = tfgmm.fit_mixture(ROWS, [1, 2], restarts=4, posterior="laplace", criteria_at="mode")
    again = restored(plain(selection))
    assert_same(again, selection)
    assert str(again) == str(selection) and again.best.exact.record == selection.best.exact.record


def test_pickles_and_copies_hold_numbers_and_the_choice_once():
    fitted = tfgmm.BayesianGaussianMixture([1, 2], covariance_type="diag", n_init=1).fit(ROWS)
    for again in (pickle.loads(pickle.dumps(fitted)), copy.deepcopy(fitted)):
        assert again.result_ is again.selection_.best
        assert_same(again.result_, fitted.result_)
    names = {argument for code, argument, _ in pickletools.genops(pickle.dumps(fitted)) if isinstance(argument, str)}
    assert [name for name in names if name.startswith("tfgmm.")] == [type(fitted).__module__]


def test_unknown_records_are_refused():
    with pytest.raises(ValueError, match=r"`state` must hold records of this version: .*. Received: 'Other'. Load it"):
        restored({"class": "Other"})
