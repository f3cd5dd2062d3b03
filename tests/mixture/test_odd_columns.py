"""Each kind of odd column gives its one sentence, with its numbers, and ordinary columns give none."""

from __future__ import annotations

import numpy as np
import pytest

from tfgmm.data.summary import summarise
from tfgmm.mixture.odd_columns import column_doubts, odd_columns
from tfgmm.mixture.registry import COVARIANCES

GENERATOR = np.random.default_rng(0)
ROWS = GENERATOR.normal(size=(500, 2))
INDEX = np.arange(500)
AGES = np.rint(GENERATOR.normal(45.0, 12.0, 500))
HEAPED = np.where(INDEX % 5 < 2, 5 * np.rint(AGES / 5), AGES)
RAIN = np.where(INDEX < 150, 0.0, GENERATOR.gamma(3.0, 2.0, 500))
COUNTS = np.where(INDEX < 8, 9.0 + INDEX, np.minimum(GENERATOR.poisson(1.2, 500), 8.0))  # more than ten values
TOTAL = np.round(ROWS.sum(axis=1), 2)
HEAD = "components may tell values apart instead of groups of rows"


def name(column):
    return repr("abcdefghij"[column])


def sentences(*columns):
    rows = np.column_stack(columns)
    return list(odd_columns(rows, summarise(rows), name))


def doubts(*columns, covariance="full", widths=None):
    rows = np.column_stack(columns)
    summary = summarise(rows)
    return column_doubts(rows, summary, covariance, np.array([summary.scale] if widths is None else widths), name)


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_ordinary_columns_give_none(covariance):
    columns = ROWS, np.round(ROWS[:, 0] ** 2, 1), AGES
    assert sentences(*columns) == [] and doubts(*columns, covariance=covariance) == ()
    assert sentences(ROWS, np.full(500, 3.0)) == []  # which has a sentence of its own
    assert doubts(ROWS, np.full(500, 3.0)) == ()


def test_few_values():
    expected = (
        "columns 'c' (3 values) and 'd' (2 values) have few different values: a mixture of Gaussians is the wrong tool "
        "for them, and components may tell values apart instead of groups of rows. Fit without them, and compare"
    )
    assert sentences(ROWS, INDEX % 3, INDEX % 2) == [expected]
    assert doubts(ROWS, INDEX % 3, INDEX % 2) == (f"{HEAD} (column 'c' has 3 values; column 'd' has 2 values)",)
    [sentence] = sentences(INDEX % 3)
    assert sentence.startswith("column 'a' (3 values) has few different values")
    assert sentence.endswith("of rows. A model of counts or of categories suits such a table")


def test_values_that_are_far_apart_beside_the_spread():
    spread = COUNTS.std()
    assert sentences(ROWS, COUNTS) == [
        f"values are far apart in column 'c' by 1, beside a spread of {spread:.2g}: they are taken as rounded to that, "
        "and components may still tell values apart instead of groups of rows"
    ]
    of_column = f"the values of column 'c' are 1 apart, beside a spread of {spread:.2g}"
    assert doubts(ROWS, COUNTS) == (f"{HEAD} ({of_column})",)
    assert sentences(np.arange(12.0)) == [] and doubts(np.arange(12.0)) == ()  # none of which is repeated
    fives = 5 * np.rint(AGES / 5)
    assert "in column 'c' by 5, beside a spread of 12" in sentences(ROWS, fives)[0] and doubts(ROWS, fives) != ()


def test_a_value_repeated_again_and_again():
    expected = (
        "some values are repeated far more often than those beside them: 0 in 30 % of the rows in column 'c'. "
        "Components may describe one of them alone instead of groups of rows: such a value may stand for something "
        "else, as zeros for what was not measured"
    )
    assert sentences(ROWS, RAIN) == [expected]
    assert doubts(ROWS, RAIN) == (f"{HEAD} (0 in 30 % of the rows in column 'c')",)
    [both] = sentences(RAIN, np.where(INDEX > 440, 99.5, np.where(INDEX < 50, -1.0, ROWS[:, 0])))
    assert "0 in 30 % of the rows in column 'a' and -1 in 10 % and 99.5 in 11.8 % of the rows in column 'b'" in both


def test_heaps_wide_enough_to_matter():
    share = 100 * (HEAPED % 5 == 0).mean()
    assert sentences(ROWS, HEAPED) == [
        f"{share:.0f} % of the values of column 'c' are multiples of 5, where 20 % would be by chance: those beyond it "
        "are taken as rounded to that"
    ]
    assert doubts(ROWS, HEAPED) == (f"{HEAD} (many values of column 'c' are multiples of 5)",)
    fine = np.where(INDEX % 5 < 2, np.round(ROWS[:, 0], 1), ROWS[:, 0])
    assert sentences(fine) == [] and doubts(fine) == ()


def test_a_component_of_one_or_two_values():
    widths = [[1.0, 1.0, 5.0], [1.0, 1.0, 0.6]]
    assert doubts(ROWS, AGES, widths=widths) == (
        f"{HEAD} (a component is 0.6 wide in column 'c', whose values are 1 apart)",
    )
    assert doubts(ROWS, AGES, widths=[[1.0, 1.0, 0.8]]) == ()


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_columns_that_follow_from_each_other(covariance):
    assert sentences(ROWS, TOTAL) == [
        "columns 'a', 'b' and 'c' follow from each other, as far as the rounding of their values tells: 1 of them can "
        "be left out"
    ]
    twice = f"columns 'a', 'b' and 'c' follow from each other, and the shape \"{covariance}\" counts the same twice"
    is_correlated = covariance in ("full", "tied")
    assert doubts(ROWS, TOTAL, covariance=covariance) == (() if is_correlated else (twice,))
    [two] = sentences(ROWS[:, 0], 2.54 * ROWS[:, 0], 1.0 - ROWS[:, 0])
    assert "2 of them can be left out" in two


def test_rows_that_do_not_follow():
    total = np.where(INDEX < 3, TOTAL + 9.0, TOTAL)
    assert "follow from each other in all but 3 rows or so, as far" in sentences(ROWS, total)[0]
    assert doubts(ROWS, total) == (
        "columns 'a', 'b' and 'c' follow from each other in all but 3 rows or so, which may take components of their "
        "own",
    )


def test_of_many_columns_the_first_are_named():
    flags = [GENERATOR.integers(0, 2, 500) for _ in range(8)]
    [sentence] = sentences(*flags, ROWS)[:1]
    assert "'f' (2 values) and 2 more have few" in sentence
    assert doubts(*flags, ROWS)[0].endswith("column 'f' has 2 values; and more)")
