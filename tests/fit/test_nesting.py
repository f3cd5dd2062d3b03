"""Fits that are stuck below a smaller one: what is known without a sweep, how they are tried again, what is said."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer

import tfgmm
from tfgmm.data.readers import Rows
from tfgmm.families.variational import VariationalPosterior
from tfgmm.fit import nesting, retries
from tfgmm.fit.sweep_batches import SweepBatches
from tfgmm.fit.sweeps import bound_and_log_likelihoods
from tfgmm.mixture.registry import COVARIANCES
from tfgmm.report import choice as report_choice

GENERATOR = np.random.default_rng(3)
ROWS = np.concatenate([GENERATOR.normal((0.0, 0.0), 1.0, (60, 2)), GENERATOR.normal((6.0, 1.0), 0.5, (40, 2))])


def larger_than(result, num_components):
    """An untouched posterior of the same shape and priors, with more components."""
    q = VariationalPosterior.of(result.covariance, result.weight_prior, num_components, 2, result.priors)
    q.assign(q.values_of(q.random_start(0)))
    q.move_centre(result.data_summary.centre)
    return q


@pytest.mark.parametrize("priors", ["auto", tfgmm.Priors(loc_scale=5.0, precision_shape=2.0, precision_rate=2.0)])
@pytest.mark.parametrize("weights", ["dirichlet", "stick_breaking"])
@pytest.mark.parametrize("covariance", COVARIANCES)
def test_bound_with_empty_components_is_that_of_a_pass_over_the_rows(covariance, weights, priors):
    for few, many in ((1, 2), (2, 4)):
        small = tfgmm.fit_mixture(ROWS, few, covariance=covariance, weights=weights, priors=priors, restarts=2)
        q = larger_than(small, many)
        nested = nesting.with_empty(nesting.Smaller.of(small), q)
        q.assign(nested.values)
        exact = bound_and_log_likelihoods(q, SweepBatches(Rows(ROWS), q))[0]
        # What empty components take of the rows is left out: less than one row's worth
        assert nested.elbo <= exact + 1e-6 and exact < nested.elbo + 1.0
        assert nested.elbo <= nested.evidence_at_least <= small.elbo
        assert sorted(q.expected_counts().round(6))[: many - few] == [0.0] * (many - few)


def test_price_of_the_weights_is_that_of_a_dirichlet():
    """With Dirichlet(1), one more component without rows costs log((N + K) / K): a ratio of Gamma functions."""
    small = tfgmm.fit_mixture(ROWS, 2, covariance="tied", restarts=2)
    nested = nesting.with_empty(nesting.Smaller.of(small), larger_than(small, 3))
    assert small.elbo - nested.evidence_at_least == pytest.approx(np.log(102.0 / 2.0), abs=1e-6)


def test_a_fit_below_a_smaller_one_is_counted_as_stuck_and_one_above_is_not():
    assert nesting.nats_below(-12.0, -10.0, 0.1) == 2.0
    assert nesting.nats_below(-10.4, -10.0, 0.0) == 0.0  # a fit ends a little before its top
    assert nesting.nats_below(-10.8, -10.0, 1.0) == 0.0  # as little as a sweep that counts as none
    assert nesting.nats_below(-9.0, -10.0, 0.0) == 0.0


def test_components_are_divided_into_as_many_as_asked_for():
    small = tfgmm.fit_mixture(ROWS, 2, restarts=2)
    spread = np.array(small.data_summary.spread)
    for number in (3, 5):
        q = larger_than(small, number)
        starts = nesting.split_starts(small.variational, q, ROWS, spread, most=2)
        assert len(starts) == 4  # two components, in two ways
        for start in starts:
            counts = q.weights.expected_counts(q.factors_of(start).weights)
            assert (counts >= 1.0 - 1e-9).all() and counts.sum() == pytest.approx(100.0)
    assert len(nesting.split_starts(small.variational, larger_than(small, 3), ROWS, spread, most=1)) == 2
    alike = np.zeros((5, 2))
    assert (
        nesting.split_starts(small.variational, larger_than(small, 3), alike, spread, most=2) == []
    )  # nothing to divide


def columns_of_cancer():
    """Without the columns of which one value in forty is 0, which is warned of."""
    rows = load_breast_cancer().data
    return rows[:, (rows > 0.0).all(axis=0)]


@pytest.fixture(scope="module")
def of_cancer():
    """One start at random rows each: without a second look the fit of 5 lies below that of 4."""
    return tfgmm.fit_mixture(columns_of_cancer(), [4, 5], covariance="full", restarts=1, start="random", seed=2)


def test_a_stuck_fit_is_tried_again_from_the_smaller_one(of_cancer):
    four, five = of_cancer.results
    alone = tfgmm.fit_mixture(columns_of_cancer(), 5, covariance="full", restarts=1, start="random", seed=2)
    price = np.log((569.0 + 4.0) / 4.0)
    assert alone.elbo < four.elbo - price - 10.0  # stuck
    assert five.elbo > four.elbo - price
    assert len(five.restarts) > 1 and five.restarts[0].elbo == pytest.approx(five.elbo, abs=0.1)
    assert alone.elbo in [pytest.approx(restart.elbo, abs=0.1) for restart in five.restarts]
    assert of_cancer.below_nested == (0.0, 0.0)


def test_nothing_is_tried_again_where_nothing_is_below(monkeypatch):
    monkeypatch.setattr(retries, "ascend_from_smaller", None)  # would fail
    found = tfgmm.fit_mixture(ROWS, [1, 2], restarts=2)
    assert found.below_nested == (0.0, 0.0)
    monkeypatch.undo()
    assert "stuck" not in str(found) and "stuck" not in " ".join(report_choice.console_lines(found))


def test_rows_on_a_sample_reach_the_bound_of_the_smaller_fit_at_least(monkeypatch):
    """A fit that the sample does not help goes on from the smaller one over all rows."""
    from_starts = retries.ascend_from_starts
    monkeypatch.setattr(
        retries, "ascend_from_smaller", lambda task, _, number: from_starts(task, retries.prepared_fit(task, number))
    )
    found = tfgmm.fit_mixture(columns_of_cancer(), [4, 5], covariance="full", restarts=1, start="random", seed=2)
    nested = nesting.with_empty(nesting.Smaller.of(found.results[0]), found.results[1].variational)
    assert found.results[1].elbo >= nested.elbo and found.below_nested == (0.0, 0.0)


def test_a_fit_that_stays_stuck_is_marked_and_nothing_is_called_certain():
    found = tfgmm.fit_mixture(ROWS, [1, 2, 3], restarts=1)
    assert "clear" in report_choice.how_sure(found) and found.num_components == 2
    stuck = dataclasses.replace(found, below_nested=(0.0, 0.0, 12.34))
    assert stuck.table["below_nested"].tolist() == [0.0, 0.0, 12.34]
    assert "The fit of 3 is stuck: at its best it would not lie 12.3 nats below a smaller one" in stuck.reason
    [line] = [line for line in str(stuck).splitlines() if "stuck, 12.3 nats below" in line]
    assert line.split()[0] == "3"
    assert [", stuck" in line[1] for line in report_choice.lines(stuck)] == [False, False, True]
    words = report_choice.how_sure(stuck)
    assert "clear" not in words and "not certain: 3 lies 12.3 nats below a smaller fit" in words
