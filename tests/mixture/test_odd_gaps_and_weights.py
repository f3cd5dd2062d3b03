"""What is said of gaps and weights is said where it is true, and nowhere else; other sentences count them rightly."""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np
import pytest
from plain_summaries import plain_summary

from tfgmm.mixture.column_values import values_of
from tfgmm.mixture.odd_columns import column_doubts, odd_columns
from tfgmm.mixture.odd_data import doubts_of_columns, oddities, warn_of_odd_data, warn_of_pulls
from tfgmm.mixture.odd_gaps_and_weights import odd_weights
from tfgmm.mixture.parameters import MixtureDensity
from tfgmm.mixture.priors import Priors
from tfgmm.mixture.registry import COVARIANCES

PRIORS = Priors()  # for columns of mean 0 and standard deviation 1
GENERATOR = np.random.default_rng(0)
ROWS = GENERATOR.normal(size=(400, 2))
WIDE = GENERATOR.normal(size=(1_200, 10))
each_covariance = pytest.mark.parametrize("covariance", COVARIANCES)


def with_gaps(rows, share, seed=1, columns=None):
    gaps = np.random.default_rng(seed).random(rows.shape) < share
    gaps[:, [column for column in range(rows.shape[1]) if columns is not None and column not in columns]] = False
    gaps[gaps.all(axis=1), 0] = False
    return np.where(gaps, np.nan, rows)


def sentences(rows, weights=None, num_components=2, covariance="diag", priors=PRIORS, **changes):
    whole = weights if weights is None else np.ceil(weights)
    summary = dataclasses.replace(plain_summary(rows, whole), **changes)
    if weights is not None and not changes:
        total = float(weights.sum())
        summary = dataclasses.replace(summary, num_data=int(total) if total.is_integer() else total)
    return list(oddities(rows, summary, priors, num_components, covariance, weights))


# --- Gaps


@each_covariance
def test_ordinary_gaps_and_weights_give_none(covariance):
    rows, weights = with_gaps(ROWS, 0.3), GENERATOR.integers(1, 4, 400).astype(float)
    assert sentences(rows, None, 3, covariance) == []
    assert sentences(rows, weights, 3, covariance) == []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_odd_data(rows, plain_summary(rows, weights), PRIORS, 3, covariance, weights=weights)


@each_covariance
def test_many_patterns_of_gaps_are_told_to_matrices(covariance):
    rows = with_gaps(WIDE, 0.3)
    number = len({tuple(row) for row in np.isnan(rows).tolist() if any(row)})
    assert number > 300
    expected = [
        f"the gaps of 1,200 rows form {number} different patterns: components with correlations work out matrices for "
        "each of them, and a fit can take many times as long as without gaps. "
        'the shape "diag" needs no matrices'
    ]
    assert sentences(rows, None, 2, covariance) == (expected if COVARIANCES[covariance].is_correlated else [])


def test_patterns_are_many_beside_the_rows():
    rows = with_gaps(WIDE, 0.3, columns=range(5))  # at most 31 patterns
    assert sentences(rows, covariance="full") == []
    rows = with_gaps(WIDE, 0.3, columns=range(6))  # at most 63, for 1,200 rows of ten columns: 60 are not many
    is_gap = np.isnan(rows)
    patterns = np.unique(is_gap[is_gap.any(axis=1)], axis=0)
    assert 60 < len(patterns) <= 63
    assert len(sentences(rows, covariance="full")) == 1
    assert sentences(np.concatenate([rows, WIDE]), covariance="full") == []
    [of_sample] = sentences(rows, covariance="full", num_data=100_000)
    assert of_sample.startswith(f"the gaps of 1,200 rows of a sample form {len(patterns)} different patterns")


def test_columns_with_few_values_are_named_with_their_share():
    rows = ROWS.copy()
    rows[: 4 * 51, 1] = np.nan
    expected = (
        "column 1 (51 %) has no value in more than half of the rows: components and their widths there rest on the "
        "others, and on the priors. Fit without it, and compare"
    )
    assert sentences(rows) == [expected]
    rows = ROWS.copy()
    rows[:200, 1] = np.nan  # half is no more than half
    assert sentences(rows) == []
    weights = np.repeat([3.0, 1.0], 200)
    [weighted] = sentences(rows, weights)
    assert weighted.startswith("column 1 (75 %) has no value")
    assert sentences(rows, weights[::-1]) == []


def test_several_columns_with_few_values():
    rows = WIDE.copy()
    for column in range(1, 9):
        rows[: 700 + 10 * column, column] = np.nan
    summary = dataclasses.replace(plain_summary(rows), column_names=tuple("abcdefghij"))
    [sentence] = oddities(rows, summary, PRIORS, 2, "diag")
    assert sentence.startswith(
        "columns 'b' (59.2 %), 'c' (60 %), 'd' (60.8 %), 'e' (61.7 %), 'f' (62.5 %), 'g' (63.3 %) and 2 more have no "
        "value in more than half of the rows"
    )
    assert sentence.endswith("Fit without them, and compare")


def test_columns_that_no_row_has_together_are_named():
    rows = WIDE[:, :4].copy()
    rows[::2, :2] = rows[1::2, 2:] = np.nan
    apart = (
        "the columns 0 and 2; 0 and 3; 1 and 2; 1 and 3 have values together in no row: what a component says of how "
        "they go together is the prior's, and not the rows'"
    )
    assert sentences(rows) == sentences(rows, covariance="full") == [apart]
    rows[:4] = WIDE[:4, :4]
    assert "have values together in at most 4 rows" in sentences(rows)[0]
    rows[:5] = WIDE[:5, :4]
    assert sentences(rows) == []
    assert not any("together" in one for one in sentences(with_gaps(ROWS[:9], 0.4))), "of few rows no pair has many"


# --- Weights


def test_weights_that_are_a_column_too():
    rows = np.column_stack([ROWS[:, 0], GENERATOR.integers(1, 30, 400).astype(float)])
    said = sentences(rows, rows[:, 1])
    assert any("the weights are also column 1, which counts as a measurement" in one for one in said)
    assert not any("also column" in one for one in sentences(rows, rows[::-1, 1]))


def test_large_whole_weights_are_whole():
    summary = dataclasses.replace(plain_summary(ROWS), num_data=4e17, num_rows=400)
    assert list(odd_weights(ROWS, summary, np.full(400, 1e15), 2, str)) == []


def test_weights_that_differ_widely():
    def of_weights(first, num_rows=400, num_components=2):
        said = sentences(ROWS[:num_rows], np.append(first, np.ones(num_rows - 1)), num_components)
        return [sentence for sentence in said if "weight" in sentence]

    num_equal = 699.0**2 / (300.0**2 + 399.0)
    assert of_weights(300.0) == [
        f"weights differ widely: 400 rows count like {num_equal:.2g} of equal weight, and components may describe "
        "single rows. Check the largest weights"
    ]
    assert len(of_weights(200.0)) == 1  # 8.9 rows
    assert of_weights(150.0) == [] and len(of_weights(150.0, num_components=3)) == 1  # 13
    assert of_weights(300.0, num_rows=9) == []  # there are few rows whatever they weigh
    assert of_weights(3.0, num_rows=12) == []  # 9.8: nearly equal


def test_weights_that_are_not_whole_numbers():
    weights = np.where(np.arange(400) % 2, 1.0, 0.75)
    expected = (
        "weights are not whole numbers: their sum, 350, is the number of rows to priors and BIC. Scale them so that "
        "it is the number of rows that they are worth"
    )
    assert sentences(ROWS, weights) == [expected]
    assert sentences(ROWS, 4.0 * weights) == []
    # Weights of a sample are not whole, and say nothing of those of all rows
    assert sentences(ROWS, weights, num_data=100_000, num_rows=50_000) == []
    [of_all] = sentences(ROWS, weights, num_data=100_000.25, num_rows=50_000)
    assert of_all.startswith("weights are not whole numbers: their sum, 100000,")


def test_weights_that_are_no_counts_repeat_no_value():
    weights = np.ones(400)
    weights[0] = 30.0
    [repeated] = sentences(ROWS, weights)
    assert repeated.startswith("some values are repeated far more often than those beside them")
    [of_weights] = sentences(ROWS, 0.9 * weights)
    assert of_weights.startswith("weights are not whole numbers")


# --- What is said anyway


def test_whole_weights_are_repeated_rows_to_all_sentences():
    rows = np.column_stack([ROWS, np.arange(400) % 3.0, 7.0 * np.ones(400)])
    rows[1, 0] = 2.5e4
    rows = with_gaps(rows, 0.1)
    rows[:, 3] = 7.0
    weights = np.random.default_rng(3).integers(1, 4, 400).astype(float)
    repeated = np.repeat(rows, weights.astype(int), axis=0)
    for covariance in ("diag", "full"):
        said = sentences(rows, weights, 500, covariance, PRIORS)
        assert len(said) >= 3 and any(f"of {len(repeated)} rows" in sentence for sentence in said)
        assert said == sentences(repeated, None, 500, covariance, PRIORS)


def test_far_rows_are_counted_by_their_weights():
    rows, weights = ROWS.copy(), np.ones(400)
    rows[:3, 1], rows[0, 0] = -2.5e4, np.nan
    start = "3 of 400 rows are more than 100 spreads from the centre, in column 1 up to 2.5e+04"
    assert sentences(rows)[0].startswith(start)
    weights[0] = 2.0
    assert sentences(rows, weights)[0].startswith("4 of 401 rows are")
    weights[0] = 5.0  # more than one in a hundred
    assert [one for one in sentences(rows, weights) if "spreads from" in one] == []
    [far, _] = sentences(rows, 0.75 * np.ones(400))
    assert far.startswith(start)
    shares = np.where(np.arange(400) < 3, 7.5, 0.75)  # not more rows, but a larger share
    assert [one for one in sentences(rows, shares) if "spreads from" in one] == []


def test_constant_columns_of_rows_with_gaps():
    rows = with_gaps(np.column_stack([ROWS, np.full(400, 7.0)]), 0.2)
    [sentence] = sentences(rows)
    assert sentence == "column 2 has one value only: it tells no components apart"
    assert sentences(rows, minimum=None, maximum=None)[0] == sentence
    assert sentences(with_gaps(ROWS, 0.2), minimum=None, maximum=None) == []


def test_few_distinct_rows_with_gaps_and_weights():
    rows = np.array([[0.0, np.nan], [0.0, 1.0], [2.0, -1.0]])
    summary = plain_summary(rows, np.array([3.0, 1.0, 2.0]))
    said = list(oddities(rows, summary, PRIORS, 4, "diag", np.array([3.0, 1.0, 2.0])))
    assert said[-1] == "3 distinct rows for 4 components: they tell no more than 3 apart"


def test_few_rows_for_a_matrix_are_a_sum_of_weights():
    rows = np.random.default_rng(1).normal(size=(6, 4))
    [few, _] = sentences(rows, np.full(6, 0.625), 2, "full")
    assert few.startswith("3.8 rows tell little of a covariance matrix of 4 columns")
    assert len(sentences(rows, np.full(6, 0.75), 2, "full")) == 1


def test_priors_are_outweighed_by_the_rows_that_have_a_value():
    rows = np.random.default_rng(5).normal(15.0, size=(2_000, 2))
    rows[:1_700, 1] = np.nan
    [sentence, _] = sentences(rows)
    assert sentence.startswith("the priors do not suit the data: column 1 has mean")
    assert "and 300 rows with a value for 2 components do not outweigh that" in sentence


def test_pulls_are_told_with_the_rows_that_have_a_value():
    """One row in ten of a component has a value, at 5: its location is where prior and rows leave it."""
    summary = plain_summary(np.column_stack([np.tile([-4.0, 4.0], 50), np.where(np.arange(100) < 90, np.nan, 5.0)]))
    components = {"locs": np.array([[0.0, 4.0], [0.0, 4.0]]), "precisions": np.ones((2, 2))}
    mixture = MixtureDensity("diag", np.zeros(2), np.log([0.5, 0.5]), components)
    summary = dataclasses.replace(summary, maximum=(4.0, 9.0))
    with pytest.warns(UserWarning, match="about 5 rows of it do not outweigh them. In column 1 it is held about 0.8 "):
        warn_of_pulls(mixture, summary, PRIORS, 100.0, stacklevel=2)
    whole = dataclasses.replace(summary, gaps=())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_pulls(mixture, whole, PRIORS, 100.0, stacklevel=2)


@pytest.mark.parametrize("column", ["ages", "rain", "codes", "heaps"])
def test_values_are_those_that_are_there(column):
    ages = np.rint(GENERATOR.normal(45.0, 12.0, 400))
    values = {
        "ages": ages,
        "rain": np.where(np.arange(400) < 120, 0.0, GENERATOR.gamma(3.0, 2.0, 400)),
        "codes": ages % 3,
        "heaps": np.where(np.arange(400) % 5 < 2, 5 * np.rint(ages / 5), ages),
    }[column]
    gappy = np.where(np.random.default_rng(2).random(400) < 0.2, np.nan, values)
    assert values_of(gappy) == values_of(gappy[~np.isnan(gappy)])._replace(has_gaps=True)
    assert values_of(np.full(5, np.nan)).num_values == 0


def test_shares_of_repeated_values_are_of_the_values_that_are_there():
    rain = np.where(np.arange(400) < 120, 0.0, GENERATOR.gamma(3.0, 2.0, 400))
    rows = np.column_stack([ROWS[:, 0], np.where(np.arange(400) % 4, rain, np.nan)])
    [sentence] = odd_columns(rows, plain_summary(rows), str)
    assert "0 in 30 % of the values in column 1" in sentence


def test_doubts_count_weights():
    rows = np.column_stack([ROWS[:, 0], np.round(2.0 * ROWS[:, 1]) / 2.0])
    weights = np.full(400, 2.0)
    weights[:200] = 3.0
    rows = with_gaps(rows, 0.1)
    summary, repeated = plain_summary(rows, weights), np.repeat(rows, weights.astype(int), axis=0)
    widths = np.ones((1, 2))
    found = doubts_of_columns(rows, summary, "full", widths, weights)
    assert found == column_doubts(repeated, plain_summary(repeated), "full", widths, repr) and found


# --- Noise


@pytest.mark.parametrize("axes", [1, 2])
def test_noise_that_is_larger_than_the_values_vary(axes):
    def of_noise(size):
        noise = np.full(ROWS.shape, size) * [0.1, 1.0]
        noise = noise if axes == 1 else noise[:, :, None] ** 2 * np.eye(2)
        return list(oddities(ROWS, plain_summary(ROWS), PRIORS, 2, "diag", None, noise))

    assert of_noise(1.2) == []
    [sentence] = of_noise(5.0)
    assert sentence.startswith("the noise of column 1 is about 5, and its values vary by ")
    assert sentence.endswith("in the units of the column, and not variances")
