"""Each oddity of the data gives its one sentence, and ordinary rows give none."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable

import numpy as np
import pytest

from tfgmm.data.summary import summarise
from tfgmm.mixture.odd_columns import odd_columns
from tfgmm.mixture.odd_data import oddities, spreads_that_differ, warn_of_odd_data
from tfgmm.mixture.priors import Priors
from tfgmm.mixture.registry import COVARIANCES

PRIORS = Priors()  # for columns of mean 0 and standard deviation 1
ROWS = np.random.default_rng(0).normal(size=(200, 2))


def sentences(
    rows: np.ndarray, num_components: int = 2, covariance: str = "diag", priors: Priors = PRIORS
) -> list[str]:
    """Returns what `oddities` says but for what `odd_columns` says, which has tests of its own."""
    summary = summarise(rows)
    of_columns = set(odd_columns(rows, summary, str))
    return [one for one in oddities(rows, summary, priors, num_components, covariance) if one not in of_columns]


def with_value(column: int, value: float, num_rows: int) -> np.ndarray:
    rows = ROWS.copy()
    rows[:num_rows, column] = value
    return rows


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_ordinary_rows_give_none(covariance: str) -> None:
    assert sentences(ROWS, 5, covariance) == []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_odd_data(ROWS, summarise(ROWS), PRIORS, 5, covariance)


# --- Constant columns


def test_constant_columns_are_named_and_nothing_is_said_of_priors_for_them() -> None:
    rows = np.column_stack([np.full(200, 1e6), ROWS, np.full(200, 7.0)])
    assert sentences(rows) == ["columns 0, 3 have one value only: they tell no components apart"]
    named = dataclasses.replace(summarise(rows[:, 2:]), column_names=("a", "b"))
    found = list(oddities(rows[:, 2:], named, PRIORS, 2, "diag"))
    assert found == ["column 'b' has one value only: it tells no components apart"]


def test_column_whose_rare_value_the_sample_missed_is_not_constant() -> None:
    rows = with_value(1, 0.5, 190)
    summary = summarise(rows)
    summary = dataclasses.replace(summary, spread=summary.scale)
    suiting = Priors(precision_rate=(5.0, 0.05))
    assert list(oddities(rows[:190], summary, suiting, 2, "diag")) == []
    older = dataclasses.replace(summary, minimum=None, maximum=None)  # the sample is all there is to go by
    [sentence] = oddities(rows[:190], older, suiting, 2, "diag")
    assert sentence.startswith("column 1 has one value only")


# --- Rows


def test_copies_of_fewer_rows_than_components() -> None:
    rows = np.repeat([[-1.0, 0.9], [1.0, -0.9]], 50, axis=0)
    assert sentences(rows, 3) == ["2 distinct rows for 3 components: they tell no more than 2 apart"]
    assert sentences(rows, 2) == []


def test_copies_in_the_first_rows_alone_are_no_oddity() -> None:
    """As where data is sorted: other rows follow."""
    rows = np.concatenate([np.repeat(ROWS[:1], 5_000, axis=0), np.repeat(ROWS[1:4], 2_000, axis=0)])
    assert sentences(rows, 4) == []
    assert sentences(rows, 5) == ["4 distinct rows for 5 components: they tell no more than 4 apart"]


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_no_more_rows_than_columns_for_a_matrix(covariance: str) -> None:
    rows = np.random.default_rng(1).normal(size=(4, 4))
    expected = (
        "4 rows tell little of a covariance matrix of 4 columns: the prior decides most of it. "
        'the shape "diag" needs fewer rows'
    )
    assert sentences(rows, 2, covariance) == ([expected] if covariance in ("full", "tied") else [])
    assert sentences(np.concatenate([rows, -rows[:1]]), 2, covariance) == []


def test_few_far_rows() -> None:
    expected = (
        "2 of 200 rows are more than 100 spreads from the centre, in column 1 up to 2.5e+04: they can take "
        "components of their own, or widen one, and all where widths are tied. Drop them, or ask for one component more"
    )
    assert sentences(with_value(1, -2.5e4, 2)) == [expected]


def test_many_far_rows_are_clusters_of_their_own() -> None:
    assert sentences(with_value(1, -2.5e4, 3)) == []


def test_distinct_rows_of_a_sample_are_said_to_be_those_of_a_sample() -> None:
    rows = np.repeat(ROWS[:2], 50, axis=0)
    summary = dataclasses.replace(summarise(rows), num_data=100_000)
    [sentence] = [one for one in oddities(rows, summary, PRIORS, 3, "diag") if "distinct rows" in one]
    assert sentence == "2 distinct rows in a sample of 100 for 3 components: they tell no more than 2 apart"
    assert not [one for one in sentences(rows, 2) if "distinct rows" in one]


def test_a_single_far_row_is_one() -> None:
    [sentence] = sentences(with_value(1, 2.5e4, 1))
    assert sentence.startswith("1 of 200 rows is more than 100 spreads from the centre")
    assert sentences(with_value(1, 20.0, 1)) == []


# --- Priors


@pytest.mark.parametrize(
    ("rows", "priors", "column"),
    [
        (ROWS + [0.0, 6.5], PRIORS, 1),
        (ROWS * [6.5, 1.0], PRIORS, 0),
        (ROWS / [1.0, 3.0], PRIORS, 1),
        (ROWS / 1.5, PRIORS, 0),
        (ROWS, Priors(loc_mean=(0.0, -6.5)), 1),
        (ROWS, Priors(loc_scale=(1.0, 1.0 / 6.5)), 1),
        (ROWS, Priors(precision_rate=(5.0 * 3.0**2, 5.0)), 0),
        (ROWS, Priors(column_scale=(1.0, 3.0)), 1),
    ],
    ids=["far", "wide", "narrow", "all narrow", "prior mean", "prior spread", "prior width", "unit"],
)
def test_priors_that_decide_are_told_with_what_they_expect(rows: np.ndarray, priors: Priors, column: int) -> None:
    mean, scale = rows.mean(axis=0)[column], rows.std(axis=0)[column]
    [sentence] = sentences(rows, priors=priors)
    assert sentence.startswith(
        f"the priors do not suit the data: column {column} has mean {mean:.3g} and standard deviation {scale:.3g}, but "
        "they expect components within "
    )
    assert sentence.endswith(
        " wide, and 200 rows for 2 components do not outweigh that. Take them from the data, "
        "priors=tfgmm.Priors.from_data(x), or state them in the units of the columns"
    )


@pytest.mark.parametrize("covariance", COVARIANCES)
@pytest.mark.parametrize("change", [lambda rows: rows + 6.5, lambda rows: rows * 6.5, lambda rows: rows / 1.5])
def test_priors_that_decide_are_told_for_every_shape(change: Callable[..., np.ndarray], covariance: str) -> None:
    rows = change(ROWS)
    [sentence] = sentences(rows, 2, covariance)
    assert sentence.startswith("the priors do not suit the data: column 0")
    assert ("from_data(x)" if covariance == "diag" else f'from_data(x, "{covariance}")') in sentence
    learned = Priors.from_data(rows, covariance)
    assert sentences(rows, 2, covariance, learned) == []
    elsewhere = Priors.from_data(rows + 1e6, covariance)
    assert len(sentences(rows, 2, covariance, elsewhere)) == 1


@pytest.mark.parametrize(
    "rows",
    [ROWS + 5.5, ROWS * 5.0, ROWS / 1.2, ROWS / [1.0, 2.3]],
    ids=["far", "wide", "narrow", "one narrow"],
)
def test_priors_less_far_off_suit(rows: np.ndarray) -> None:
    assert sentences(rows) == []


# --- One width for all columns


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_columns_of_other_units_are_told_to_a_sphere_alone(covariance: str) -> None:
    summary = summarise(ROWS * [1.0, 30.0])
    found = list(spreads_that_differ(summary, PRIORS, covariance))
    if not COVARIANCES[covariance].is_spherical:
        assert found == []
        return
    times = summary.spread[1] / summary.spread[0]
    assert [sentence.split(",")[0] for sentence in found] == [
        f"the spread of column 1 is {times:.3g} times that of column 0"
    ]
    assert list(spreads_that_differ(summary, Priors(column_scale=(1.0, 30.0)), covariance)) == []
    assert list(spreads_that_differ(summarise(ROWS * [1.0, 9.0]), PRIORS, covariance)) == []


@pytest.mark.parametrize("unit", [1e-6, 1e6])
def test_a_constant_column_has_no_units(unit: float) -> None:
    summary = summarise(np.column_stack([unit * ROWS, np.full(200, 7.0)]))
    assert list(spreads_that_differ(summary, PRIORS, "spherical")) == []
    constant = summarise(np.full((5, 2), 7.0))
    assert list(spreads_that_differ(constant, Priors(column_scale=(1.0, 30.0)), "spherical")) == []


# --- Warnings


def test_every_oddity_is_one_warning_at_the_callers_line() -> None:
    rows = np.column_stack([np.repeat([1.0, -1.0], 50), np.full(100, 7.0)])
    summary = summarise(rows)
    with pytest.warns(UserWarning) as caught:
        warn_of_odd_data(rows, summary, PRIORS, 3, stacklevel=2)
    expected = list(oddities(rows, summary, PRIORS, 3, "diag"))
    assert [str(warning.message) for warning in caught] == [f"{sentence}." for sentence in expected]
    assert [*odd_columns(rows, summary, str)][0] in expected
    assert len(caught) == 3 and {warning.filename for warning in caught} == {__file__}
