"""Fits that are stuck below a smaller one: what is known without a sweep, how they are tried again, what is said."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer

import tfgmm
from tfgmm.data.readers import Rows
from tfgmm.families.row_batches import SweepBatches
from tfgmm.families.variational import VariationalPosterior
from tfgmm.fit import nesting, retries, several
from tfgmm.fit.callbacks import EndOfChoice, FitWatcher
from tfgmm.fit.sweeps import bound_and_log_likelihoods
from tfgmm.mixture.registry import COVARIANCES
from tfgmm.report import choice as report_choice

GENERATOR = np.random.default_rng(3)
ROWS = np.concatenate([GENERATOR.normal((0.0, 0.0), 1.0, (60, 2)), GENERATOR.normal((6.0, 1.0), 0.5, (40, 2))])


ONE_START: dict[str, Any] = {"covariance": "full", "restarts": 1, "start": "random", "seed": 0}


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


ALONE = {"covariance": "full", "restarts": 1, "start": "random", "seed": 2, "moves": False}


def columns_of_cancer():
    """Without the columns of which one value in forty is 0, which is warned of."""
    rows = load_breast_cancer().data
    return rows[:, (rows > 0.0).all(axis=0)]


@pytest.fixture(scope="module")
def of_cancer():
    """One start at random rows each, no moves: without a second look the fit of 5 lies below that of 4."""
    return tfgmm.fit_mixture(columns_of_cancer(), [4, 5], **ALONE)


def test_a_stuck_fit_is_tried_again_from_the_smaller_one(of_cancer):
    four, five = of_cancer.results
    alone = tfgmm.fit_mixture(columns_of_cancer(), 5, **ALONE)
    price = np.log((569.0 + 4.0) / 4.0)
    assert alone.elbo < four.elbo - price - 10.0  # stuck
    assert five.elbo > four.elbo - price
    assert len(five.restarts) > 1 and five.restarts[0].elbo == pytest.approx(five.elbo, abs=0.1)
    assert alone.elbo in [pytest.approx(restart.elbo, abs=0.1) for restart in five.restarts]
    assert of_cancer.below_nested == (0.0, 0.0)


def test_moves_free_the_stuck_fit_at_once(of_cancer):
    moving = tfgmm.fit_mixture(columns_of_cancer(), 5, **ALONE | {"moves": "auto"})
    assert moving.moves and moving.elbo > of_cancer.results[0].elbo + 50.0


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
    found = tfgmm.fit_mixture(columns_of_cancer(), [4, 5], **ALONE)
    nested = nesting.with_empty(nesting.Smaller.of(found.results[0]), found.results[1].variational)
    assert found.results[1].elbo >= nested.elbo and found.below_nested == (0.0, 0.0)


def test_the_mark_is_shown_in_all_tables_and_nothing_is_called_certain():
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


@pytest.fixture(scope="module")
def stuck_and_folds():
    """A fit of 3 below that of 2 that further attempts do not help, and bounds of its folds after and before them."""
    bounds = []

    def noted(*arguments):
        again = retries.folds_retried(*arguments)
        bounds.append([[best.elbo for best, *_ in found] for found in (again, arguments[-1])])
        return again

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(several, "folds_retried", noted)
        return tfgmm.fit_mixture(columns_of_cancer()[:100], [2, 3], **ONE_START), np.array(bounds)


@pytest.fixture
def stuck(stuck_and_folds):
    return stuck_and_folds[0]


def test_folds_of_a_fit_that_was_tried_again_are_tried_again_too(stuck_and_folds):
    [(after, before)] = stuck_and_folds[1]
    assert len(after) == 5 and (after >= before).all() and (after > before + 1.0).any()


def test_a_fit_that_is_still_stuck_is_marked_and_its_share_is_of_what_is_known(stuck):
    two, three = stuck.results
    one_mode = two.elbo - np.log((100.0 + 2.0) / 2.0)  # what is known of 3, by the price of the weights
    assert three.num_occupied == 3 and three.elbo < one_mode - 10.0
    assert stuck.below_nested == (0.0, pytest.approx(one_mode - three.elbo, abs=0.01))
    evidence = stuck.table["log_evidence"]
    assert evidence[1] == pytest.approx(one_mode + np.log(6.0), abs=0.01)  # 3! orders, one component empty
    odds = np.exp(evidence[1] - evidence[0])
    assert stuck.table["share"][1] == pytest.approx(odds / (1.0 + odds)) and odds > 0.05
    assert "smaller one with empty components. No share is certain. Ask for more restarts." in stuck.reason
    assert "clear" not in report_choice.how_sure(stuck)


def test_what_empty_components_cost_the_bound_is_no_mark():
    """The bound of 5 components of which 2 have rows pays for the empty ones; the evidence does not."""
    found = tfgmm.fit_mixture(ROWS, [2, 5], covariance="full", restarts=2)
    two, five = found.results
    assert five.num_occupied == 2 and found.below_nested == (0.0, 0.0) and "stuck" not in found.reason
    one_mode = two.elbo - np.log(102.0 * 103.0 * 104.0 / (2.0 * 3.0 * 4.0))  # Dirichlet(1): a ratio of Gamma functions
    assert five.elbo < one_mode - 1.0
    assert found.table["log_evidence"][1] == pytest.approx(one_mode + np.log(20.0), abs=0.01)  # 5! / 3!


def test_all_smaller_fits_are_asked_and_not_only_the_last():
    one, two = (tfgmm.fit_mixture(ROWS, number, restarts=2) for number in (1, 2))
    spoilt = dataclasses.replace(two, elbo=two.elbo - 500.0)
    best = dataclasses.replace(one, elbo=two.elbo)
    fits = [best, dataclasses.replace(spoilt, elbo=two.elbo + 0.1), spoilt]
    known = nesting.known_from(fits, larger_than(two, 4))
    each = [nesting.with_empty(nesting.Smaller.of(fit), larger_than(two, 4)) for fit in fits]
    assert known.nested.elbo == max(nested.elbo for nested in each)
    assert known.evidence_at_least == max(nested.evidence_at_least for nested in each)
    assert nesting.known_from([], larger_than(two, 4)) is None


def test_only_the_fits_that_are_kept_warn():
    with pytest.warns(tfgmm.ConvergenceWarning) as caught:
        found = tfgmm.fit_mixture(
            columns_of_cancer()[:200], [2, 3, 4], covariance="full", restarts=1, start="random", seed=3, max_sweeps=8
        )
    assert max(len(result.restarts) for result in found.results) > 1  # there were attempts
    assert len(caught) == sum(not result.converged for result in found.results)


def test_an_attempt_without_a_finite_bound_leaves_the_fit_as_it_is(monkeypatch):
    called = []

    def not_finite(task, known, num_components):
        fit = retries.prepared_fit(task, num_components)
        ascended = retries.ascend_from_starts(task, fit)
        called.append(num_components)
        return ascended._replace(restarts=[dataclasses.replace(ascended.restarts[0], elbo=np.inf)])

    monkeypatch.setattr(retries, "ascend_from_smaller", not_finite)
    found = tfgmm.fit_mixture(columns_of_cancer()[:100], [2, 3], **ONE_START)
    assert called == [3] and np.isfinite(found.results[1].elbo)


class EndsInTheAttempt(FitWatcher):
    """Ends the choice when the fit of 3 is begun for the second time."""

    num_begun = 0

    def on_step(self, step):
        self.num_begun += step.num_components == 3 and step.kind == "start" and step.number == 1
        if self.num_begun == 2:
            raise EndOfChoice


def test_a_choice_that_ends_in_an_attempt_keeps_the_fit_that_there_is():
    rows, watcher = columns_of_cancer()[:100], EndsInTheAttempt()
    found = tfgmm.fit_mixture(rows, [2, 3, 4], callbacks=[watcher], **ONE_START)
    assert [result.num_components for result in found.results] == [2, 3]
    assert found.results[1].elbo == pytest.approx(tfgmm.fit_mixture(rows, 3, **ONE_START).elbo)  # that of the first
    assert found.below_nested[1] > 0.0
