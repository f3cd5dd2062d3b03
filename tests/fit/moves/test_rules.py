"""Moves: where there are none nothing changes, moves that lead nowhere end early, one optimum is tried once."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from stuck_starts import ROWS, STUCK, posterior_and_stage, somewhere, stuck_prospect

import tfgmm
from tfgmm.data.readers import Rows
from tfgmm.data.survey import survey_rows
from tfgmm.families.variational import VariationalPosterior
from tfgmm.fit.moves.rounds import moved
from tfgmm.fit.moves.when import move_rule
from tfgmm.fit.options import FitOptions
from tfgmm.fit.restarts import MoveRule, ascend

# Bounds, log likelihoods and numbers of sweeps of restarts, by the package before it had moves
BEFORE = {
    ("diag", 6): (-2026.8640660581764, -1934.4929433418097, 75),
    ("full", 5): (-2126.28701586457, -2025.6109049827585, 45),
    ("tied", 8): (-2034.0688626617914, -1937.4435831501078, 289),
}


@pytest.mark.parametrize(("covariance", "num_components"), BEFORE)
def test_without_moves_a_fit_is_what_it_was_before_there_were_any(covariance, num_components):
    fit = tfgmm.fit_mixture(ROWS, num_components, covariance=covariance, moves=False, seed=1)
    elbo, log_likelihood, num_sweeps = BEFORE[covariance, num_components]
    assert (fit.elbo, fit.log_likelihood) == (pytest.approx(elbo, rel=1e-10), pytest.approx(log_likelihood, rel=1e-7))
    assert sum(restart.num_sweeps for restart in fit.restarts) == num_sweeps
    assert not fit.moves and not any(restart.moves for restart in fit.restarts)


@pytest.mark.parametrize("num_components", [2, 6])
def test_without_moves_nothing_else_changes(num_components, monkeypatch):
    """Where moves bring nothing, a fit that tries them is the one without them, bit for bit."""
    monkeypatch.setattr("tfgmm.fit.staged.moved", lambda q, several: [restart for restart, _ in several])
    trying, without = (tfgmm.fit_mixture(ROWS, num_components, moves=moves) for moves in ("auto", False))
    assert trying.elbo == without.elbo
    np.testing.assert_array_equal(trying.locs, without.locs)
    for one, other in zip(trying.restarts, without.restarts):
        np.testing.assert_array_equal(one.elbos, other.elbos)


@pytest.mark.parametrize("asked", ["yes", 1, None, 0.5])
def test_other_moves_are_refused(asked):
    message = f'`moves` must be True, False or "auto". Received: {asked!r}. Leave it out for moves where there are 5'
    with pytest.raises(ValueError, match=message):
        tfgmm.fit_mixture(ROWS, 2, moves=asked)


def test_moves_are_for_five_components_and_more_without_a_start():
    start = np.zeros((6, 2))
    asked = [
        (options, number) for options in ({}, {"start": start}, {"moves": True, "start": start}) for number in (4, 5)
    ]
    assert [FitOptions(**options).has_moves(number) for options, number in asked] == [
        False, True, False, False, True, True
    ]  # fmt: skip


def test_a_start_that_cannot_reach_its_goal_ends_early():
    q, stage = posterior_and_stage()
    start = somewhere(q, stage)
    whole = ascend(q, [(start, stage)])[0]
    reachable = ascend(q, [(start, dataclasses.replace(stage, goal=whole.elbo - 1e-3))])[0]
    np.testing.assert_array_equal(reachable.elbos, whole.elbos)
    hopeless = ascend(q, [(start, dataclasses.replace(stage, goal=whole.elbo + 1e6))])[0]
    assert not hopeless.converged and hopeless.num_sweeps < whole.num_sweeps
    np.testing.assert_array_equal(hopeless.elbos, whole.elbos[: hopeless.num_sweeps])
    # In the sweeps that were left, at twice the last gain each, it would still not have got there
    gain, num_left = hopeless.elbos[-1] - hopeless.elbos[-2], stage.max_sweeps - hopeless.num_sweeps
    assert hopeless.elbos[-1] + 2.0 * gain * num_left < whole.elbo + 1e6


def test_a_goal_is_for_its_own_start_alone():
    q, stage = posterior_and_stage()
    start = somewhere(q, stage)
    whole = ascend(q, [(start, stage)])[0]
    hopeless, beside = ascend(q, [(start, dataclasses.replace(stage, goal=whole.elbo + 1e6)), (start, stage)])
    assert hopeless.num_sweeps < beside.num_sweeps
    assert beside.elbo == pytest.approx(whole.elbo, abs=1e-6)


def test_trials_have_the_goal_that_they_are_kept_from(monkeypatch):
    q, stage, end, prospect = stuck_prospect()
    goals = []
    monkeypatch.setattr(
        "tfgmm.fit.moves.rounds.ascend",
        lambda q, starts: goals.extend(stage.goal for _, stage in starts) or ascend(q, starts),
    )
    moved(q, [(end, dataclasses.replace(stage, moves=MoveRule(1, 0)))])
    assert goals[0] == pytest.approx(prospect.elbo + 0.1, abs=1e-6)


def test_restarts_at_one_optimum_try_its_moves_once(monkeypatch):
    q, stage, end, _ = stuck_prospect()
    stage = dataclasses.replace(stage, moves=MoveRule(2, 0))
    [freed] = moved(q, [(end, stage)])
    tried = []
    monkeypatch.setattr("tfgmm.fit.moves.rounds._SHARES", (0.0,))  # whatever the loss: all are taken back
    monkeypatch.setattr(
        "tfgmm.fit.moves.rounds.ascend", lambda q, starts: tried.append(len(starts)) or ascend(q, starts)
    )
    moved(q, [(freed, stage)])
    alone, tried[:] = list(tried), []
    order = np.array([3, 0, 5, 1, 4, 2])
    shuffled = dataclasses.replace(freed, values=freed.values.map(lambda value: value[order]))
    ends = moved(q, [(freed, stage), (shuffled, stage)])
    assert tried == alone and [one.elbo for one in ends] == [pytest.approx(freed.elbo, abs=1e-6)] * 2
    tried.clear()
    moved(q, [(freed, stage), (end, stage)])  # of another optimum
    assert max(tried) == 2


def test_each_move_says_after_which_sweep_it_was():
    freed = tfgmm.fit_mixture(ROWS, 6, start=STUCK, moves=True)
    [move], [restart] = freed.moves, freed.restarts
    assert 1 <= move.sweep < restart.num_sweeps
    assert (
        np.diff(restart.elbos)[move.sweep - 1 :].max()
        > 10.0
        > 1e-3
        > restart.elbos[move.sweep - 1] - restart.elbos[move.sweep - 2]
    )


def test_on_a_sample_fewer_restarts_move_and_failures_end_them_sooner():
    def rule(num_rows, **options):
        survey = survey_rows(Rows(np.random.default_rng(0).normal(size=(num_rows, 1))), None, 0)
        q = VariationalPosterior.of("diag", "dirichlet", 6, 1, tfgmm.Priors())
        return move_rule(q, survey, FitOptions(seed=4, **options))

    assert rule(20_000) == rule(20_000, moves=True) == MoveRule(3, 4, 8)
    assert rule(20_001) == rule(20_001, moves=True) == MoveRule(2, 4, 4)
    assert rule(20_000, moves=False) is None is rule(20_001, moves=False)


def test_restarts_that_are_not_asked_for_are_fewer_where_moves_make_them_needless():
    generator = np.random.default_rng(0)
    few, many = generator.normal(size=(300, 1)), generator.normal(size=(20_001, 1))
    counts = [len(tfgmm.fit_mixture(rows, 5, tolerance=1.0).restarts) for rows in (few, many)]
    assert counts == [8, 3]
    assert len(tfgmm.fit_mixture(many, 5, moves=False, tolerance=1.0).restarts) == 8
    assert len(tfgmm.fit_mixture(many, 5, restarts=2, tolerance=1.0).restarts) == 2
    with pytest.raises(ValueError, match="`restarts` must be a whole number of at least 1. Received: 'few'. Pass an"):
        tfgmm.fit_mixture(few, 2, restarts="few")
