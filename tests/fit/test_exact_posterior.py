"""Fits that carry the exact posterior: draws, intervals, bands, words, warnings; and rows of other fits."""

from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path

import numpy as np
import pytest

import tfgmm
from tfgmm.families.exact import of_fit
from tfgmm.families.exact.budget import Budget
from tfgmm.fit.result_words import interval_draws
from tfgmm.mixture.registry import COVARIANCES
from tfgmm.posterior.record import STOPPED

ROWS = np.random.default_rng(0).normal([[-1.5]] * 300 + [[1.5]] * 300)
NOT_TRUSTED = "ignore:standard deviations may be 30 % or more too small"
RESULT = tfgmm.fit_mixture(ROWS, 2, seed=1)
EXACT = RESULT.with_posterior(ROWS)


def widths(draws):
    """Returns standard deviations of all numbers, components by location."""
    ordered = draws.permuted(np.broadcast_to(np.argsort(draws.locs[0].mean(axis=0)[:, 0]), draws.weights.shape))
    return ordered.numbers()[1][0].std(axis=0)


def test_overlapping_components_are_known_less_well_than_mean_field_has_it():
    ratios = widths(RESULT.draws(4_000, seed=0)) / widths(EXACT.draws(4_000, seed=0))
    assert (ratios < 0.75).all()
    assert EXACT.exact.record.method == "importance" and EXACT.exact.record.is_exact


def test_draws_are_the_same_for_the_same_seeds_and_differ_for_others():
    again, other = RESULT.with_posterior(ROWS), RESULT.with_posterior(ROWS, seed=1)
    np.testing.assert_array_equal(again.draws(50, seed=3).locs, EXACT.draws(50, seed=3).locs)
    assert not np.array_equal(other.draws(50, seed=3).locs, EXACT.draws(50, seed=3).locs)
    assert not np.array_equal(EXACT.draws(50, seed=4).locs, EXACT.draws(50, seed=3).locs)


def test_a_fit_carries_what_was_asked_for_when_it_was_made():
    made = tfgmm.fit_mixture(ROWS, 2, seed=1, posterior="auto")
    np.testing.assert_allclose(widths(made.draws(4_000, seed=0)), widths(EXACT.draws(4_000, seed=0)), rtol=0.1)
    assert made.elbo == RESULT.elbo
    assert RESULT.exact is None and RESULT.draws(3, seed=0).posterior.method == "mean_field"


@pytest.mark.filterwarnings(NOT_TRUSTED)
@pytest.mark.parametrize("method", ["laplace", "importance", "mcmc"])
def test_each_method_can_be_asked_for_by_name(method):
    draws = RESULT.draws(200, seed=0, data=ROWS, posterior=method)
    assert (draws.posterior.method, draws.posterior.asked) == (method, method)
    assert draws.locs.shape == (1, 200, 2, 1)
    carried = EXACT.draws(200, seed=0, data=ROWS, posterior=method)
    np.testing.assert_array_equal(carried.locs, draws.locs)


def test_mean_field_is_there_beside_what_is_carried():
    np.testing.assert_array_equal(EXACT.draws(9, 0, posterior="mean_field").locs, RESULT.draws(9, 0).locs)
    np.testing.assert_array_equal(EXACT.with_posterior(ROWS, "mean_field").draws(9, 0).locs, RESULT.draws(9, 0).locs)


def test_what_is_carried_answers_for_its_names_without_rows():
    for name in (None, "auto", "importance"):
        np.testing.assert_array_equal(EXACT.draws(9, 0, posterior=name).locs, EXACT.draws(9, 0).locs)
    for result, name in ((EXACT, "mcmc"), (RESULT, "auto"), (RESULT.model, "laplace")):
        with pytest.raises(ValueError, match=r"`data` must be the rows that the model was fitted to, for posterior="):
            result.draws(9, 0, posterior=name)


def test_the_summary_has_wider_intervals_and_says_whose_they_are():
    first, second = str(RESULT), str(EXACT)
    assert "those of the mean-field posterior" in first and "Pareto k-hat" in second
    assert first.splitlines()[-1] != second.splitlines()[-1]


def test_bands_and_the_predictive_density_use_what_is_carried():
    def bands(result):
        found = result.interval([[0.0], [2.0]])
        return found.log_prob_high - found.log_prob_low, result.log_prob([[9.0]], kind="predictive")

    narrow, wide = bands(RESULT), bands(EXACT)
    assert not np.allclose(narrow[0], wide[0], rtol=0.02)
    assert narrow[1] != wide[1]
    mixtures, draws = EXACT.predictive(50, seed=3), EXACT.draws(50, seed=3)
    np.testing.assert_allclose(np.exp(mixtures.log_weights), draws.weights[0], rtol=1e-5)  # of the same draws


def test_results_with_a_posterior_can_be_pickled():
    copy = pickle.loads(pickle.dumps(EXACT))
    np.testing.assert_array_equal(copy.draws(9, 0).locs, EXACT.draws(9, 0).locs)
    assert copy.exact.record == EXACT.exact.record


@pytest.mark.filterwarnings(NOT_TRUSTED)
@pytest.mark.parametrize("method", ["mean_field", "laplace"])
def test_other_rows_than_those_of_the_fit_are_refused(method):
    with pytest.raises(ValueError, match=r"fingerprint [0-9a-f]{16}. Received: as many rows with fingerprint"):
        RESULT.draws(9, 0, data=ROWS + 1.0, posterior=method)
    with pytest.raises(ValueError, match=r"Received: 599 rows"):
        RESULT.draws(9, 0, data=ROWS[1:], posterior=method)
    assert RESULT.draws(9, 0, data=ROWS[::-1], posterior=method).num_draws == 9  # their order does not matter


def test_an_unknown_posterior_is_refused_before_the_fit():
    with pytest.raises(ValueError, match="`posterior` must be one of"):
        tfgmm.fit_mixture(ROWS, 2, posterior="exact")
    with pytest.raises(ValueError, match="`posterior` must be one of"):
        RESULT.with_posterior(ROWS, "laplac")


def test_too_many_free_numbers_keep_mean_field_and_name_the_limit(monkeypatch):
    monkeypatch.setattr(of_fit, "MOST_COORDINATES", 4)
    told = "5 free numbers are more than the 4 of which the exact posterior can be had"
    with pytest.warns(UserWarning, match=told):
        draws = RESULT.draws(9, 0, data=ROWS, posterior="auto")
    assert (draws.posterior.method, draws.posterior.asked) == ("mean_field", "auto")


def test_a_posterior_that_is_not_good_enough_warns():
    with pytest.warns(UserWarning, match=r'may be 30 % or more too small: ask for posterior="importance"'):
        draws = RESULT.draws(100, 0, data=ROWS, posterior="laplace")
    assert not draws.posterior.is_trusted


@pytest.mark.parametrize("way", ["draws", "with_posterior", "model", "fit_mixture", "choice"])
def test_a_warning_names_the_line_that_asked(way):
    asked = {
        "draws": lambda: RESULT.draws(100, 0, data=ROWS, posterior="laplace"),
        "with_posterior": lambda: RESULT.with_posterior(ROWS, "laplace"),
        "model": lambda: RESULT.model.draws(100, 0, data=ROWS, posterior="laplace"),
        "fit_mixture": lambda: tfgmm.fit_mixture(ROWS, 2, restarts=1, posterior="laplace"),
        "choice": lambda: tfgmm.fit_mixture(ROWS, [2], restarts=1, posterior="laplace"),
    }[way]
    with pytest.warns(UserWarning, match="may be 30 % or more too small") as warned:
        asked()
    assert {Path(one.filename).name for one in warned} == {Path(__file__).name}


def test_more_draws_than_are_carried_are_told_of():
    pool = EXACT.exact.num_draws
    assert len(np.unique(EXACT.draws(pool, 0).locs[0, :, 0])) <= pool
    said = (
        f"`n` is {2 * pool:,}, and there are {pool:,} draws from the exact posterior: each comes 2.0 times on average"
    )
    with pytest.warns(UserWarning, match=said) as warned:
        draws = EXACT.draws(2 * pool, 0)
    assert Path(warned[0].filename).name == Path(__file__).name
    values, counts = np.unique(draws.locs[0, :, 0], return_counts=True)
    np.testing.assert_array_equal(values, np.unique(EXACT.draws(pool, 0).locs[0, :, 0]))
    assert (counts % 2 == 0).all()
    more = EXACT.draws(2 * pool, 0, data=ROWS, posterior="importance")
    assert len(np.unique(more.locs[0, :, 0])) > 1.2 * len(values)


def test_intervals_take_no_more_draws_than_are_carried():
    few = dataclasses.replace(EXACT, exact=EXACT.exact.limited(150))
    assert interval_draws(few).num_draws == 150 and interval_draws(EXACT).num_draws == 1_000
    assert "importance sampling" in str(few)


def test_a_comparison_says_how_good_exact_draws_are():
    of_q, slow = RESULT.draws(400, 0), EXACT.draws(400, 1)
    words = tfgmm.compare(EXACT.draws(400, 0, data=ROWS), slow).sentences()
    assert words[2] == f"of a, {EXACT.exact.record}"
    assert len(tfgmm.compare(of_q, slow).sentences()) == 2


def test_components_that_swap_are_told_of():
    few = np.random.default_rng(2).normal([[-1.0]] * 20 + [[1.0]] * 20)
    result = tfgmm.fit_mixture(few, 2, seed=1)
    with pytest.warns(UserWarning, match="the components stand in another order, so that they cannot be told apart"):
        draws = result.draws(100, 0, data=few, posterior="auto")
    assert draws.posterior.share_moved > 0.3


def test_where_nothing_better_can_be_afforded_the_mode_is_kept(monkeypatch):
    monkeypatch.setattr(Budget, "can_adapt", False)
    monkeypatch.setattr(Budget, "can_walk", False)
    with pytest.warns(UserWarning, match="too small"):
        draws = RESULT.draws(100, 0, data=ROWS, posterior="auto")
    assert draws.posterior.method == "laplace"
    monkeypatch.setattr(Budget, "can_walk", True)
    assert RESULT.draws(100, 0, data=ROWS, posterior="auto").posterior.method == "mcmc"


def test_a_keyboard_interrupt_keeps_what_there_is():
    def stop_at_the_second_stage(what, number, count):
        if (what, number) == ("mcmc", 1) or what == "mcmc":
            raise KeyboardInterrupt

    with pytest.warns(UserWarning, match="it was stopped before it was done"):
        draws = RESULT.draws(100, 0, data=ROWS, posterior="mcmc", tell=stop_at_the_second_stage)
    assert draws.posterior.note == STOPPED

    def stop_at_once(what, number, count):
        raise KeyboardInterrupt

    with pytest.warns(UserWarning, match="may be far too small.*it was stopped before it was done"):
        draws = RESULT.draws(100, 0, data=ROWS, posterior="auto", tell=stop_at_once)
    assert (draws.posterior.method, draws.posterior.note) == ("mean_field", STOPPED)


def test_steps_are_told():
    steps = []
    RESULT.draws(100, 0, data=ROWS, posterior="auto", tell=lambda *step: steps.append(step))
    assert steps[0] == ("mode", 1, 0) and ("importance", 1, 5) in steps
    kinds = []

    class Watcher(tfgmm.callbacks.FitWatcher):
        def on_step(self, step):
            kinds.append(step.kind)

    tfgmm.fit_mixture(ROWS, 2, seed=1, posterior="auto", callbacks=[Watcher()])
    assert {"posterior: mode", "posterior: importance"} <= set(kinds)


@pytest.mark.parametrize("weights", ["dirichlet", "stick_breaking"])
@pytest.mark.parametrize("covariance", COVARIANCES)
def test_every_shape_has_an_exact_posterior(covariance, weights):
    rows = np.random.default_rng(3).normal([[-2.0, 0.0]] * 60 + [[2.0, 1.0]] * 60)
    result = tfgmm.fit_mixture(rows, 2, covariance=covariance, weights=weights, seed=1, restarts=2)
    exact = result.with_posterior(rows)
    assert exact.exact.record.is_exact
    ratios = widths(result.draws(2_000, seed=0)) / widths(exact.draws(2_000, seed=0))
    assert 0.4 < ratios.min() < ratios.max() < 1.15
    assert (exact.exact.record.log_evidence is None) == (weights == "stick_breaking")
    assert exact.exact.record.log_evidence is None or exact.exact.record.log_evidence > result.elbo
