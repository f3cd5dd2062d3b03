"""Priors from rows with gaps and weights: repeated rows give the same, and gaps nearly what the complete rows give."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from plain_summaries import plain_summary

from tfgmm.data.summary import summarise
from tfgmm.families.variational import COMPONENTS
from tfgmm.mixture.correlations import row_variance, row_variances, shaped_like
from tfgmm.mixture.prior_reach import decided_by_priors
from tfgmm.mixture.priors import Priors
from tfgmm.mixture.priors_from_data import least_variances
from tfgmm.mixture.relations import relations_of

CORRELATIONS = np.array([[1.0, 0.8, -0.3], [0.8, 1.0, 0.1], [-0.3, 0.1, 1.0]])
GENERATOR = np.random.default_rng(0)
ROWS = 5.0 + GENERATOR.multivariate_normal(np.zeros(3), CORRELATIONS, 400) * [1.0, 10.0, 0.1]
WEIGHTS = GENERATOR.integers(1, 6, 400).astype(np.float64)
each_covariance = pytest.mark.parametrize("covariance", COMPONENTS)


def with_gaps(rows, share, seed=1):
    gaps = np.random.default_rng(seed).random(rows.shape) < share
    gaps[gaps.all(axis=1), 0] = False
    return np.where(gaps, np.nan, rows)


def same(one, other, rtol=1e-12):
    for name, value in one.to_dict().items():
        if isinstance(value, str) or value is None:
            assert value == other.to_dict()[name]
        else:
            np.testing.assert_allclose(value, other.to_dict()[name], rtol=rtol, atol=0, err_msg=name)


@pytest.mark.parametrize("share", [0.0, 0.2])
@pytest.mark.parametrize("kind", ["measured", "rounded", "with a total"])
@each_covariance
def test_whole_weights_are_repeated_rows(covariance, kind, share):
    rows = ROWS if kind == "measured" else np.round(ROWS, 1)
    if kind == "with a total":
        rows = np.column_stack([rows, rows.sum(axis=1)])
    rows, summary = with_gaps(rows, share), plain_summary(with_gaps(rows, share), WEIGHTS)
    weighted = Priors.from_data(summary, covariance, sample=rows, weights=WEIGHTS)
    repeated = np.repeat(rows, WEIGHTS.astype(int), axis=0)
    same(weighted, Priors.from_data(plain_summary(repeated), covariance, sample=repeated))
    np.testing.assert_allclose(
        least_variances(summary, rows, WEIGHTS), least_variances(summary, repeated), rtol=1e-12, atol=0
    )


def test_weights_change_what_they_should():
    summary = plain_summary(ROWS, WEIGHTS)
    some = np.where(ROWS[:, 0] > ROWS[:, 2], 5.0, 1.0)
    assert not np.allclose(shaped_like(summary, ROWS, "full", some), shaped_like(summary, ROWS, "full"), rtol=0.01)
    coarse = np.concatenate([np.round(ROWS[:200]), ROWS[200:]])
    summary = summarise(coarse)
    np.testing.assert_allclose(least_variances(summary, coarse)[1], 0.5 / 12, rtol=1e-9)
    of_coarse = np.repeat([3.0, 1.0], 200)
    np.testing.assert_allclose(least_variances(summary, coarse, of_coarse)[1], 0.75 / 12, rtol=1e-9)
    # Weights that are no counts repeat no value
    np.testing.assert_allclose(least_variances(summary, coarse, 0.7 * of_coarse)[1], 0.5 / 12, rtol=1e-9)


def plain_correlation(rows, weights, one, other):
    """Computes a correlation over the rows that have both, in plain loops."""
    both = [(w, row[one], row[other]) for w, row in zip(weights, rows) if not np.isnan(row[one] + row[other])]
    total = sum(w for w, _, _ in both)
    means = [sum(w * pair[number] for w, *pair in both) / total for number in range(2)]
    sums = np.zeros(3)
    for weight, *pair in both:
        a, b = np.subtract(pair, means)
        sums += weight * np.array([a * a, a * b, b * b])
    return sums[1] / np.sqrt(sums[0] * sums[2])


def test_correlations_are_those_of_the_rows_that_have_both():
    rows, weights = with_gaps(ROWS, 0.4), GENERATOR.gamma(1.0, size=400) + 0.1
    summary = plain_summary(rows)
    scale = np.outer(summary.spread, summary.spread)
    found = shaped_like(summary, rows, "full", weights) / scale
    for one in range(3):
        for other in range(one):
            np.testing.assert_allclose(found[one, other], plain_correlation(rows, weights, one, other), rtol=1e-10)
    np.testing.assert_allclose(np.diag(found), 1.0)


@pytest.mark.parametrize("share", [0.1, 0.4])
def test_with_gaps_the_covariance_is_that_of_the_complete_rows(share):
    complete, gappy = plain_summary(ROWS), plain_summary(with_gaps(ROWS, share))
    scale = np.outer(complete.spread, complete.spread)
    expected = shaped_like(complete, ROWS, "full") / scale
    found = shaped_like(gappy, with_gaps(ROWS, share), "full") / scale
    np.testing.assert_allclose(found, expected, atol=0.2)
    assert np.abs(found - expected).max() > 1e-3


def test_columns_of_one_value_in_the_rows_they_share_are_independent():
    rows = ROWS.copy()
    rows[:100, :2] = [ROWS[0, 0] + 0.1, ROWS[0, 1] + 0.7]
    rows[100:250, 0] = rows[250:, 1] = np.nan
    found = shaped_like(plain_summary(rows), rows, "full")
    assert found[0, 1] == 0.0 and found[0, 2] != 0.0


def test_gaps_do_not_hide_how_nearly_equal_columns_are():
    rows = np.column_stack([ROWS[:, 0], ROWS[:, 0] + 1e-3 * GENERATOR.normal(size=400), ROWS[:, 1]])
    gappy = with_gaps(rows, 0.3)
    found = shaped_like(plain_summary(gappy), gappy, "full") / np.outer(*2 * [plain_summary(gappy).spread])
    assert 1e-4 < np.linalg.eigvalsh(found)[0] < 2e-3  # the floor for so many rows


def test_with_many_gaps_the_covariance_is_positive_definite():
    """Columns that are nearly one, in pairs of different rows: the pairs contradict each other."""
    generator = np.random.default_rng(4)
    rows = with_gaps(generator.normal(size=(60, 1)) + 0.02 * generator.normal(size=(60, 12)), 0.4)
    for part in (rows, rows[:12]):
        summary = plain_summary(part)
        found = shaped_like(summary, part, "full") / np.outer(summary.spread, summary.spread)
        np.testing.assert_allclose(np.diag(found), 1.0)
        assert np.linalg.eigvalsh(found)[0] > 1e-3
        Priors.from_data(summary, "full", sample=part)


def test_columns_that_share_no_rows_are_independent():
    rows = ROWS.copy()
    rows[::2, 0] = rows[1::2, 1] = np.nan
    rows[:2, :2] = [[1.0, 2.0], [3.0, 9.0]]  # two rows have both: a line
    summary = plain_summary(rows)
    found = shaped_like(summary, rows, "full")
    assert found[0, 1] == 0.0 and abs(found[0, 2]) > 0.01
    rows[2, :2] = [2.0, 5.0]
    assert shaped_like(plain_summary(rows), rows, "full")[0, 1] != 0.0


def test_rounding_is_that_of_the_values_that_are_there():
    rows = np.column_stack([np.round(ROWS[:, 1]), ROWS[:, 0]])
    summary, gappy = plain_summary(rows), with_gaps(rows, 0.3)
    np.testing.assert_allclose(row_variances(plain_summary(gappy), gappy)[0], 1 / 12, rtol=1e-12)
    np.testing.assert_allclose(row_variances(summary, rows)[0], 1 / 12, rtol=1e-12)


def test_rows_that_differ_late_in_the_data_are_several():
    """As where a heavy row stands first, or the data is sorted."""
    rows = np.concatenate([np.zeros((6_000, 1)), np.arange(300.0)[:, None]])
    np.testing.assert_allclose(row_variances(summarise(rows), rows), 1 / 12, rtol=1e-12)
    weights = np.concatenate([[6_001.0], np.ones(299)])
    priors = Priors.from_data(summarise(rows), sample=rows[6_000:], weights=weights)
    np.testing.assert_allclose(priors.row_variance, 1 / 12, rtol=1e-12)


# --- Columns that follow from others


def test_relations_are_found_in_the_complete_rows():
    parts = GENERATOR.gamma(5.0, 2.0, (400, 3))
    rows = np.column_stack([ROWS[:, 0], parts, parts.sum(axis=1)])
    gappy = with_gaps(rows, 0.1)
    assert relations_of(gappy, plain_summary(gappy)).groups == [([1, 2, 3, 4], 1)]
    rare = np.column_stack([np.where(np.arange(400) < 5, ROWS[:, 1], np.nan), gappy])  # in hardly any row
    found = relations_of(rare, plain_summary(rare))
    assert found.groups == [([2, 3, 4, 5], 1)]
    np.testing.assert_allclose(np.abs(found.directions[0, :2]), 0.0, atol=0.05)
    wrong = gappy.copy()
    wrong[:8, 4] += 30.0
    assert relations_of(wrong, plain_summary(wrong)).num_others in (4, 5, 6, 7, 8)
    assert len(row_variance(plain_summary(rare), rare)) == 6


@pytest.mark.parametrize("share", [0.1, 0.6])
def test_gaps_make_no_relations(share):
    gappy = with_gaps(GENERATOR.normal(size=(300, 8)), share)
    assert relations_of(gappy, plain_summary(gappy)).groups == []


def test_no_row_has_two_values():
    rows = np.where(np.eye(3, dtype=bool)[np.arange(90) % 3], GENERATOR.normal(size=(90, 3)), np.nan)
    assert relations_of(rows, plain_summary(rows)).groups == []
    priors = Priors.from_data(plain_summary(rows), "full", sample=rows)
    np.testing.assert_allclose(priors.expected_scale, np.diag(np.diag(priors.expected_scale)))


# --- How far priors reach


def test_rows_without_a_value_do_not_outweigh_priors():
    """A prior far away decides a column with few values, and not one with many."""
    rows = np.random.default_rng(5).normal(15.0, size=(2_000, 2))
    assert not decided_by_priors(plain_summary(rows), Priors(), 2, "diag").any()
    rows[:1_700, 1] = np.nan
    for covariance in ("diag", "full"):
        assert decided_by_priors(plain_summary(rows), Priors(), 2, covariance).tolist() == [False, True]
    weighted = plain_summary(rows, np.full(2_000, 8.0))
    assert not decided_by_priors(weighted, Priors(), 2, "diag").any()


# --- From rows


@pytest.mark.parametrize("share", [0.0, 0.2])
@each_covariance
def test_weights_of_rows_are_repeated_rows(covariance, share):
    weights = np.random.default_rng(6).integers(0, 4, 400).astype(np.float64)
    rows, missing = with_gaps(np.round(ROWS, 2), share), "integrate" if share else "refuse"
    weighted = Priors.from_data(rows, covariance, sample_weight=weights, missing=missing)
    repeated = Priors.from_data(np.repeat(rows, weights.astype(int), axis=0), covariance, missing=missing)
    same(weighted, repeated)
    assert weighted != Priors.from_data(rows, covariance, missing=missing)
    frame = pd.DataFrame(rows, columns=list("abc")).assign(count=weights)
    assert Priors.from_data(frame, covariance, sample_weight="count", missing=missing) == weighted


@pytest.mark.parametrize("covariance", ["diag", "full"])
@pytest.mark.parametrize("has_far_rows", [False, True])
def test_all_rows_in_memory_are_looked_at_however_many(covariance, has_far_rows):
    """No sample of them: weights of 1 and gaps that may be, but are none, change nothing."""
    random = np.random.default_rng(7)
    rows = random.normal(size=(30_000, 3)) * [1.0, 5.0, 0.1] + random.integers(0, 3, (30_000, 1))
    rows[:, 1] = rows[:, 1].round()
    if has_far_rows:
        rows[::9_000] = 1e8
    plain = Priors.from_data(rows, covariance)
    same(Priors.from_data(rows, covariance, sample_weight=np.ones(30_000)), plain, 1e-10)
    same(Priors.from_data(rows, covariance, missing="integrate"), plain, 1e-10)
    weights = random.integers(0, 14, 30_000)
    weighted = Priors.from_data(rows, covariance, sample_weight=weights)
    same(weighted, Priors.from_data(np.repeat(rows, weights, axis=0), covariance), 1e-10)
    assert weighted.loc_mean != plain.loc_mean


def test_gaps_of_rows_are_refused_unless_they_are_to_be_integrated():
    rows = with_gaps(ROWS, 0.1)
    with pytest.raises(ValueError, match="`data` must"):
        Priors.from_data(rows)
    observed = [column[~np.isnan(column)] for column in rows.T]
    found = Priors.from_data(rows, missing="integrate")
    np.testing.assert_allclose(found.loc_mean, [column.mean() for column in observed], rtol=1e-12)
    np.testing.assert_allclose(found.loc_scale, [column.std() for column in observed], rtol=1e-12)
    with pytest.raises(ValueError, match="`missing` must be one of"):
        Priors.from_data(rows, missing="drop")


def test_weights_in_the_wrong_place_are_refused():
    summary, shape = summarise(ROWS), r"`{}` must .*\. Received: .*\. [A-Z].*\."
    for arguments, name in (
        ({"data": summary, "sample_weight": WEIGHTS, "sample": ROWS}, "sample_weight"),
        ({"data": ROWS, "weights": WEIGHTS}, "weights"),
        ({"data": summary, "sample": ROWS, "weights": WEIGHTS[:3]}, "weights"),
        ({"data": ROWS, "sample_weight": WEIGHTS[:3]}, "sample_weight"),
        ({"data": ROWS, "sample_weight": -WEIGHTS}, "sample_weight"),
    ):
        with pytest.raises(ValueError) as caught:
            Priors.from_data(**arguments)
        assert re.fullmatch(shape.format(name), str(caught.value)), str(caught.value)


def test_noisy_rows_are_as_wide_as_they_are():
    """Measurement noise is not taken off: a component may be as wide as all noisy rows."""
    noisy = ROWS + GENERATOR.normal(size=ROWS.shape)
    np.testing.assert_allclose(Priors.from_data(noisy).expected_scale, noisy.var(axis=0), rtol=1e-9)
