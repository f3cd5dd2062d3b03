"""Rows with gaps as operations of a graph: SciPy's marginals, means by plain loops, and the same as NumPy."""

import functools

import numpy as np
import pytest
import tensorflow as tf
from known_mixtures import CENTRE, WEIGHTS, D, K, Mixture, S
from scipy import special

from tfgmm.data.blocks import RowBlock
from tfgmm.families.variational import COMPONENTS
from tfgmm.mixture.row_scores import RowScorer
from tfgmm.scoring.graph import gaps
from tfgmm.scoring.graph import scores as graph_scores

NAMES = ("log_prob", "log_density", "responsibilities", "assignment", "memberships")
EMPTY, INFINITE, BOTH, COMPLETE = range(4)  # rows that are special


def rows_with_gaps(num_rows=40):
    generator = np.random.default_rng(2)
    rows = CENTRE + 3 * generator.normal(size=(num_rows, D))
    rows[generator.random(rows.shape) < 0.35] = np.nan
    rows[COMPLETE] = CENTRE + 1.0
    rows[INFINITE, 1], rows[BOTH] = np.inf, [np.nan, 1.0, -np.inf, 2.0]
    rows[EMPTY] = np.nan
    return rows


def joints_one_by_one(mixture, rows, *drawn):
    """Returns (N, K) log joints of what each row has, by SciPy; NaN where a value is infinite."""
    joints = np.full((len(rows), K), np.nan)
    for number, row in enumerate(rows):
        columns = np.flatnonzero(~np.isnan(row)).tolist()
        if not columns:
            joints[number] = np.log(drawn[1] if drawn else WEIGHTS)
        elif not np.isinf(row).any():
            joints[number] = mixture.log_joint(row[None], columns, *drawn)[0]
    return joints


QUICK = ("diag", "full")


@pytest.fixture(
    scope="module",
    params=[name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in COMPONENTS],
)
def mixture(request):
    return Mixture(request.param)


def fresh_graphs(monkeypatch):
    monkeypatch.setattr(gaps, "_MATRIX_NUMBERS", 7 * K * D**2)  # several turns
    fresh = functools.lru_cache(graph_scores.compiled_score.__wrapped__)
    monkeypatch.setattr(graph_scores, "compiled_score", fresh)


def test_scores_are_those_of_the_columns_that_a_row_has(mixture, monkeypatch):
    fresh_graphs(monkeypatch)
    rows = rows_with_gaps()
    joints = joints_one_by_one(mixture, rows)
    by_name, num_bad = graph_scores.GraphScorer(mixture.plug_in()).scores(RowBlock(rows), NAMES)
    has_none = np.isnan(rows).all(axis=1)
    is_bad = has_none | np.isinf(rows).any(axis=1)
    log_densities = np.where(is_bad, np.nan, special.logsumexp(joints, axis=1))
    np.testing.assert_allclose(by_name["log_density"], log_densities, rtol=1e-5)
    np.testing.assert_allclose(by_name["log_prob"], log_densities, rtol=1e-5)
    for name in ("responsibilities", "memberships"):
        np.testing.assert_allclose(by_name[name], special.softmax(joints, axis=1), atol=2e-6)
    expected = np.where(is_bad, -1, np.nan_to_num(joints).argmax(axis=1))
    np.testing.assert_array_equal(by_name["assignment"], expected)
    assert num_bad == is_bad.sum()


def test_the_graph_and_numpy_give_the_same(mixture, monkeypatch):
    fresh_graphs(monkeypatch)
    rows = rows_with_gaps()
    for one_or_many, names in ((mixture.plug_in(), NAMES), (mixture.predictive(), NAMES[:2])):
        found, expected = (
            scorer(one_or_many).scores(RowBlock(rows), names).by_name
            for scorer in (graph_scores.GraphScorer, RowScorer)
        )
        for name in names:
            np.testing.assert_allclose(found[name], expected[name], rtol=1e-6, atol=1e-6, err_msg=name)


def test_average_over_draws_is_that_of_their_marginals(mixture):
    rows = rows_with_gaps(12)
    joints = [joints_one_by_one(mixture, rows, mixture.parameters(s), mixture.drawn_weights[s]) for s in range(S)]
    expected = special.logsumexp(np.stack(joints), axis=(0, 2)) - np.log(S)
    expected[EMPTY] = np.nan
    found = graph_scores.GraphScorer(mixture.predictive()).scores(RowBlock(rows), ["log_prob"]).by_name["log_prob"]
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-5)


def means_one_by_one(mixture, rows):
    """Returns the rows with their gaps filled, by Bishop 2006, 2.81, one row and component after the other."""
    filled, joints, covariances = rows.copy(), joints_one_by_one(mixture, rows), mixture.covariances()
    locs = mixture.plug_in().components["locs"] + mixture.plug_in().centre
    for row, shares in zip(filled, special.softmax(joints, axis=1)):
        seen, hidden = np.flatnonzero(~np.isnan(row)), np.flatnonzero(np.isnan(row))
        means = locs[:, hidden].copy()
        for k in range(K):
            across, within = covariances[k][np.ix_(hidden, seen)], covariances[k][np.ix_(seen, seen)]
            means[k] += across @ np.linalg.solve(within, row[seen] - locs[k, seen])
        row[hidden] = shares @ means
    return filled


@pytest.mark.parametrize("numbers", [7 * K * D**2, 2**17])
def test_gaps_are_filled_with_conditional_means(mixture, monkeypatch, numbers):
    monkeypatch.setattr(gaps, "_MATRIX_NUMBERS", numbers)
    rows = rows_with_gaps()
    factors = graph_scores.factors_of(mixture.plug_in())
    found = graph_scores.imputed(rows, mixture.plug_in(), factors).numpy()
    np.testing.assert_allclose(found - CENTRE, means_one_by_one(mixture, rows) - CENTRE, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found[EMPTY] - CENTRE, WEIGHTS @ mixture.plug_in().components["locs"], rtol=1e-6)
    np.testing.assert_array_equal(found[~np.isnan(rows)], rows[~np.isnan(rows)])
    np.testing.assert_array_equal(np.isnan(found[BOTH]), np.isnan(rows[BOTH]))
    served = graph_scores.imputed(tf.constant(rows[:5], tf.float32), mixture.plug_in(), factors)
    assert served.dtype == tf.float32 and served.shape == (5, D)
    assert graph_scores.imputed(rows[:0], mixture.plug_in(), factors).shape == (0, D)


def test_complete_rows_among_rows_with_gaps_do_not_move(mixture):
    rows = np.where(np.isfinite(rows_with_gaps()), rows_with_gaps(), CENTRE)
    spoilt = rows.copy()
    spoilt[::3, 1] = np.nan
    scorer = graph_scores.GraphScorer(mixture.plug_in())
    before, after = (scorer.scores(RowBlock(values), NAMES).by_name for values in (rows, spoilt))
    others = np.delete(np.arange(len(rows)), np.s_[::3])
    assert all(before[name][others].tobytes() == after[name][others].tobytes() for name in NAMES)


def test_without_what_gaps_need_rows_with_gaps_have_no_scores(mixture):
    rows = rows_with_gaps()
    factors = graph_scores.factors_of(mixture.plug_in())._replace(gaps=None)
    found = graph_scores.scores(tf.constant(rows), factors, ["log_prob"])["log_prob"]
    np.testing.assert_array_equal(np.isnan(found), ~np.isfinite(rows).all(axis=1))


def test_rows_with_noise_are_scored_by_numpy(mixture):
    rows = rows_with_gaps()
    block = RowBlock(rows, None, np.where(np.isnan(rows), 0.0, 0.7))
    mixture = mixture.plug_in()
    found, expected = (scorer(mixture).scores(block, NAMES) for scorer in (graph_scores.GraphScorer, RowScorer))
    for name in NAMES:
        np.testing.assert_array_equal(found.by_name[name], expected.by_name[name])
