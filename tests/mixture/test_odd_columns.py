"""Each kind of odd column gives its one sentence, with its numbers, and ordinary columns give none."""

from __future__ import annotations

import numpy as np
import pytest

from tfgmm.data.summary import summarise
from tfgmm.mixture.odd_columns import doubtful_columns, odd_columns
from tfgmm.mixture.registry import COVARIANCES

GENERATOR = np.random.default_rng(0)
ROWS = GENERATOR.normal(size=(500, 2))
INDEX = np.arange(500)
AGES = np.rint(GENERATOR.normal(45.0, 12.0, 500))


def sentences(*columns, covariance="full"):
    rows = np.column_stack(columns)
    return list(odd_columns(rows, summarise(rows), covariance, lambda column: repr("abcdefgh"[column])))


def doubtful(*columns):
    rows = np.column_stack(columns)
    return doubtful_columns(rows, summarise(rows))


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_ordinary_columns_give_none(covariance):
    assert sentences(ROWS, np.round(ROWS[:, 0] ** 2, 1), AGES, covariance=covariance) == []
    assert sentences(ROWS, np.full(500, 3.0), covariance=covariance) == []  # which has a sentence of its own
    assert doubtful(ROWS, AGES) == []


def test_few_values():
    expected = (
        "columns 'c' (3 values) and 'd' (2 values) have few different values: a mixture of Gaussians is the wrong tool "
        "for them, and components may tell values apart instead of groups of rows. Fit without them, and compare"
    )
    assert sentences(ROWS, INDEX % 3, INDEX % 2) == [expected]
    assert doubtful(ROWS, INDEX % 3, INDEX % 2) == [2, 3]
    [sentence] = sentences(INDEX % 3)
    assert sentence.startswith("column 'a' (3 values) has few different values")
    assert sentence.endswith("of rows. A model of counts or of categories suits such a table")


def test_steps_as_wide_as_the_column():
    counts = np.minimum(GENERATOR.poisson(1.2, 500), 30.0)
    counts[:8] = [9, 10, 11, 12, 13, 14, 15, 16]  # more than ten values
    [sentence] = sentences(ROWS, counts)
    assert sentence.startswith("column 'c' (steps of 1) has few different values") and doubtful(ROWS, counts) == [2]


def test_a_value_repeated_again_and_again():
    rain = np.where(INDEX < 150, 0.0, GENERATOR.gamma(3.0, 2.0, 500))
    expected = (
        "one value is repeated far more often than others: 0 in 30 % of the rows in column 'c'. Components may "
        "describe it alone instead of groups of rows: such a value may stand for something else, as zeros for what was "
        "not measured"
    )
    assert sentences(ROWS, rain) == [expected]
    assert doubtful(ROWS, rain) == [2]
    [both] = sentences(rain, np.where(INDEX > 440, 99.5, ROWS[:, 0]))
    assert "0 in 30 % of the rows in column 'a' and 99.5 in 11.8 % of the rows in column 'b'" in both
    assert "describe one of them alone" in both


def test_heaps_wide_enough_to_matter():
    heaped = np.where(INDEX % 5 < 2, 5 * np.rint(AGES / 5), AGES)
    share = 100 * (heaped % 5 == 0).mean()
    assert sentences(ROWS, heaped) == [
        f"{share:.0f} % of the values of column 'c' are multiples of 5, where 20 % would be by chance: they are taken "
        "as rounded to that, and components as no narrower"
    ]
    assert doubtful(ROWS, heaped) == []
    fine = np.where(INDEX % 5 < 2, np.round(ROWS[:, 0], 1), ROWS[:, 0])
    assert sentences(fine) == []


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_columns_that_follow_from_each_other(covariance):
    expected = (
        "columns 'a', 'b' and 'c' follow from each other, up to the rounding of their values: 1 of them can be left "
        "out, for it tells nothing new"
    )
    is_correlated = covariance in ("full", "tied")
    counted = "" if is_correlated else f', and covariance="{covariance}" counts that again'
    assert sentences(ROWS, np.round(ROWS.sum(axis=1), 2), covariance=covariance) == [expected + counted]
    [two] = sentences(ROWS[:, 0], 2.54 * ROWS[:, 0], 1.0 - ROWS[:, 0])
    assert "2 of them can be left out, for they tell nothing new" in two


def test_of_many_columns_the_first_are_named():
    [sentence] = sentences(*[INDEX % 3 == 0] * 8, ROWS)[:1]
    assert "'f' (2 values) and 2 more have few" in sentence
