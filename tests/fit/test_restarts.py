"""Restarts side by side: the sums they rise by, the steps of several at a time, and that none disturbs another."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from random_posteriors import random_components, random_weights
from scipy.special import logsumexp

import tfgmm
from tfgmm.common import threads
from tfgmm.data.blocks import RowBlock
from tfgmm.data.readers import Rows
from tfgmm.data.survey import survey_rows
from tfgmm.families.natural_gradient import Place, global_step, place_at, place_of
from tfgmm.families.variational import COMPONENTS, Factors, VariationalPosterior, stacked
from tfgmm.families.weights import WEIGHTS
from tfgmm.fit.cached_rows import CachedRows
from tfgmm.fit.options import FitOptions
from tfgmm.fit.restarts import ascend
from tfgmm.fit.staged import StagedStarts, best_first
from tfgmm.fit.stages import stages_of
from tfgmm.mixture import exact_rows
from tfgmm.mixture.statistics import Statistics
from tfgmm.scoring.graph import chunks
from tfgmm.scoring.graph.densities import GRAPH_FORMS

D = 4
ROWS = np.random.default_rng(0).normal(size=(157, D)).astype(np.float32)


def family_and_values(covariance, weights="dirichlet", num_posteriors=3):
    """Returns a family of random priors, and the numbers behind random posteriors, one list per posterior."""
    components, _ = random_components(covariance)
    q = VariationalPosterior(WEIGHTS[weights](3, tfgmm.Priors(stick_concentration=0.7)), components)
    drawn = [Factors(random_weights(weights, seed=s)[1], random_components(covariance, seed=s)[1]) for s in range(9)]
    return q, [q.values_of(factors) for factors in drawn[:num_posteriors]]


# --- Sums -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("covariance", COMPONENTS)
def test_sums_of_several_posteriors_are_those_of_plain_numpy(covariance, monkeypatch):
    monkeypatch.setattr(threads, "chunk_size", lambda numbers_per_row: 50)  # four chunks
    q, values = family_and_values(covariance)
    coefficients = place_at(q, stacked(values)).coefficients
    found = CachedRows(q.form, RowBlock(ROWS)).sums(coefficients, np.float64)
    features = np.concatenate(GRAPH_FORMS[q.form].features(tf.constant(ROWS, tf.float64)), axis=1)
    for number in range(3):
        joints = features @ coefficients[0][number] + coefficients[1][number]
        shares = np.exp(joints - logsumexp(joints, axis=1, keepdims=True))
        sums = np.concatenate([found.statistics.first[number], found.statistics.second[number]], axis=1)
        np.testing.assert_allclose(found.statistics.counts[number], shares.sum(axis=0), rtol=1e-6)
        np.testing.assert_allclose(sums, shares.T @ features, rtol=1e-5, atol=1e-5)  # memberships are float32
        assert found.log_likelihood[number] == pytest.approx(logsumexp(joints, axis=1).sum(), rel=1e-9)
        assert found.largest[number] == pytest.approx(joints.max(axis=1).sum(), rel=1e-12)


@pytest.mark.parametrize("covariance", COMPONENTS)
def test_sums_are_those_of_the_graph_that_sweeps_over_all_rows_use(covariance):
    q, values = family_and_values(covariance)
    for dtype, tolerance in ((np.float64, 1e-6), (np.float32, 1e-4)):
        found = CachedRows(q.form, RowBlock(ROWS)).sums(place_at(q, stacked(values)).coefficients, dtype)
        for number, of_one in enumerate(values):
            expected = chunks.sums_over_rows(
                GRAPH_FORMS[q.form].features, tf.constant(ROWS), *place_at(q, of_one).coefficients
            )
            for value, wanted in zip(tf.nest.flatten(found), tf.nest.flatten(expected)):
                np.testing.assert_allclose(value[number], wanted, rtol=tolerance, atol=tolerance)


def test_features_that_take_much_memory_are_not_cached_and_change_nothing(monkeypatch):
    q, values = family_and_values("full")
    coefficients = place_at(q, stacked(values)).coefficients
    cached, computed = (CachedRows(q.form, RowBlock(ROWS)) for _ in range(2))
    written = []
    write = exact_rows.write_features
    monkeypatch.setattr(exact_rows, "write_features", lambda *given: (written.append(given), write(*given)))
    expected = [cached.sums(coefficients, np.float64) for _ in range(2)][1]
    assert len(written) == 1, "once for two passes"
    monkeypatch.setattr(exact_rows, "_CACHED_BYTES", 0)
    found = computed.sums(coefficients, np.float64)
    assert len(written) == 1
    for value, wanted in zip(tf.nest.flatten(found), tf.nest.flatten(expected)):
        np.testing.assert_allclose(value, wanted, rtol=1e-12)


def test_a_lengthened_step_out_of_the_range_of_float32_gives_a_bound_that_is_not_finite_and_no_warning():
    """Where it leads is known before the sweep only for a step of length 1."""
    q, values = family_and_values("diag", num_posteriors=2)
    linear, constants = (np.array(value) for value in place_at(q, stacked(values)).coefficients)
    linear[1] *= 1e40
    found = CachedRows(q.form, RowBlock(ROWS)).sums((linear, constants), np.float32)  # warnings are errors
    assert np.isfinite(found.log_likelihood[0]) and not np.isfinite(found.log_likelihood[1])


def test_rows_may_stand_for_more():
    q, values = family_and_values("tied", num_posteriors=2)
    coefficients = place_at(q, stacked(values)).coefficients
    found = CachedRows(q.form, RowBlock(ROWS), 10 * len(ROWS)).sums(coefficients, np.float64)
    expected = CachedRows(q.form, RowBlock(ROWS)).sums(coefficients, np.float64)
    for value, wanted in zip(tf.nest.flatten(found), tf.nest.flatten(expected)):
        np.testing.assert_allclose(value, 10.0 * wanted, rtol=1e-12)


def test_rows_can_be_left_out():
    q, values = family_and_values("diag", num_posteriors=1)
    coefficients, is_first = place_at(q, stacked(values)).coefficients, np.arange(len(ROWS)) % 3 > 0
    rows = CachedRows(q.form, RowBlock(ROWS))
    parts = [
        rows.subset(np.flatnonzero(chosen)).sums(coefficients, np.float64).log_likelihood
        for chosen in (is_first, ~is_first)
    ]
    assert sum(parts) == pytest.approx(rows.sums(coefficients, np.float64).log_likelihood, rel=1e-9)


# --- Steps ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("covariance", COMPONENTS)
def test_steps_of_several_are_the_steps_of_each(covariance, weights):
    """Also where sticks put the components of each into an order of its own."""
    q, values = family_and_values(covariance, weights)
    centre, lengths, largest = np.array([0.1, -0.2, 0.3, 0.0]), [1.0, 1.7, 4.0], np.full(D, 3.0)
    sums = CachedRows(q.form, RowBlock(ROWS)).sums(place_at(q, stacked(values)).coefficients, np.float64).statistics
    together = global_step(q, stacked(values), sums, centre, lengths, largest)
    for number in range(3):
        one = slice(number, number + 1)
        own = stacked(values[one]), Statistics(*(value[one] for value in sums))
        alone = global_step(q, *own, centre, lengths[one], largest)
        for value, expected in zip(tf.nest.flatten(together), tf.nest.flatten(alone)):
            np.testing.assert_allclose(value[number], expected[0], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("covariance", COMPONENTS)
def test_a_step_leads_as_far_as_asked_and_gives_the_coefficients_along(covariance):
    q, values = family_and_values(covariance)
    sums = CachedRows(q.form, RowBlock(ROWS)).sums(place_at(q, stacked(values)).coefficients, np.float64).statistics
    found = global_step(q, stacked(values), sums, np.zeros(D), [1.0, 2.0, 0.5])
    for value, target, longer in zip(stacked(values).flat, found.target.values.flat, found.longer.values.flat):
        for number, length in enumerate((1.0, 2.0, 0.5)):
            way = length * (target[number] - value[number])
            np.testing.assert_allclose(longer[number] - value[number], way, rtol=1e-9, atol=1e-12)
    for place in (found.target, found.longer):
        for number in range(3):
            one = place_of(place, number)
            for value, expected in zip(one.coefficients, place_at(q, one.values).coefficients):
                np.testing.assert_allclose(value, expected, rtol=1e-9, atol=1e-9)


def test_sweeps_over_all_rows_go_on_with_the_coefficients_of_the_last_step_while_nobody_moves_the_model():
    model = tfgmm.GaussianMixtureModel(3, D, seed=0)
    model.compile()
    model.fit(ROWS, epochs=2, verbose=0)
    known = model.closed_form._known
    assert isinstance(known, Place) and model.closed_form.coefficients() is known.coefficients
    q = model.variational
    for value, expected in zip(known.coefficients, place_at(q, model.variational.values()).coefficients):
        np.testing.assert_allclose(value, expected, rtol=1e-12, atol=1e-12)
    model.variational.trained.variables.components[0].assign_add(tf.ones((3, D), tf.float64))
    moved = model.closed_form.coefficients()
    np.testing.assert_array_equal(moved[0], place_at(q, model.variational.values()).coefficients[0])


# --- Ascents ----------------------------------------------------------------------------------------------------


def stage_and_starts(covariance="diag", num_starts=4, tolerance=1e-6):
    """Returns a posterior, a stage of overlapping rows, and starts of which some lead elsewhere."""
    generator = np.random.default_rng(5)
    rows = generator.normal(0.0, 2.0, (5, 2))[generator.integers(0, 5, 600)] + generator.normal(0.0, 0.7, (600, 2))
    survey = survey_rows(Rows(rows), None, 0)
    priors = tfgmm.Priors.from_data(survey.summary, covariance, sample=survey.sample)
    q = VariationalPosterior.of(covariance, "dirichlet", 5, 2, priors)
    q.assign(q.values_of(q.random_start(0)))
    q.move_centre(survey.summary.centre)
    *_, stage = stages_of(q, survey, FitOptions(max_sweeps=300, tolerance=tolerance))
    spread = np.array(survey.summary.spread)
    starts = q.start_values(survey.sample, spread, "random", range(num_starts))
    return q, stage, starts


@pytest.fixture
def all_tables_are_large(monkeypatch):
    """On small tables float32 is not worth while."""
    monkeypatch.setattr("tfgmm.fit.restarts._FEW_FEATURES", 0)


def test_small_tables_are_swept_in_float64_alone(monkeypatch):
    q, stage, starts = stage_and_starts(tolerance=1e-3)
    types, sums = [], CachedRows.sums
    monkeypatch.setattr(CachedRows, "sums", lambda self, c, dtype: types.append(dtype) or sums(self, c, dtype))
    ascend(q, on(stage, starts))
    assert set(types) == {np.float64}


def on(stage, starts):
    return [(start, stage) for start in starts]


def assert_same(restarts, others):
    """To the rounding of float32 memberships, which a hundred lengthened steps enlarge; starts differ by whole nats."""
    assert len(restarts) == len(others)
    assert np.ptp([restart.elbo for restart in others]) > 1.0
    for one, other in zip(restarts, others):
        assert one.converged == other.converged and one.elbo == pytest.approx(other.elbo, abs=0.01)
        np.testing.assert_allclose(one.elbos[:5], other.elbos[:5], rtol=1e-6)
        np.testing.assert_allclose(one.locs, other.locs, atol=0.01)


@pytest.mark.parametrize("covariance", ["diag", "full", "tied"])
def test_starts_that_ascend_side_by_side_go_where_each_goes_alone(covariance):
    q, stage, starts = stage_and_starts(covariance)
    together = ascend(q, on(stage, starts))
    alone = [ascend(q, on(stage, [start]))[0] for start in starts]
    assert len({restart.num_sweeps for restart in alone}) > 1  # so that some go on when others are done
    assert_same(together, alone)


def test_how_many_ascend_at_a_time_changes_nothing(monkeypatch):
    q, stage, starts = stage_and_starts()
    at_once = best_first(q, [StagedStarts(starts, [stage])])[0]
    sizes = []
    monkeypatch.setattr(
        "tfgmm.fit.staged.ascend", lambda s, starts, *rest: sizes.append(len(starts)) or ascend(s, starts, *rest)
    )
    monkeypatch.setattr("tfgmm.fit.staged._PRODUCTS_AT_A_TIME", 3 * 600 * 4 * 5)
    assert_same(best_first(q, [StagedStarts(starts, [stage])])[0], at_once)
    assert sizes == [3, 1]


def test_restarts_do_not_hold_on_to_the_numbers_of_those_beside_them():
    q, stage, starts = stage_and_starts()
    for restart in ascend(q, on(stage, starts)):
        assert all(value.base is None for value in restart.values.flat)


def test_a_start_that_is_not_finite_leaves_the_others_alone_and_comes_last():
    q, stage, starts = stage_and_starts("full")
    broken = starts[0].map(lambda value: np.full_like(value, np.nan))
    found = best_first(q, [StagedStarts([broken, *starts], [stage])])[0]
    assert np.isnan(found[-1].elbo) and not found[-1].converged and found[-1].num_sweeps == 1
    assert_same(found[:-1], best_first(q, [StagedStarts(starts, [stage])])[0])


def test_an_ascent_never_falls_and_says_whether_it_arrived():
    q, stage, starts = stage_and_starts()
    for restart in ascend(q, on(stage, starts)):
        assert restart.converged
        assert np.diff(restart.elbos).min() > -1e-9 * abs(restart.elbo)
    for restart in ascend(q, on(dataclasses.replace(stage, max_sweeps=3), starts)):
        assert not restart.converged and restart.num_sweeps <= 3


def test_sums_in_float32_are_ranked_by_float64(monkeypatch, all_tables_are_large):
    """Where coarse gains end an ascent its last bound came from float32 products; what is told is the exact one."""
    q, stage, starts = stage_and_starts(tolerance=1e-3)
    types = []
    sums = CachedRows.sums

    def counted(self, coefficients, dtype):
        types.append(dtype)
        return sums(self, coefficients, dtype)

    monkeypatch.setattr(CachedRows, "sums", counted)
    coarse = dataclasses.replace(stage, patience=1)
    restarts = ascend(q, on(coarse, starts))
    assert {np.float32, np.float64} == set(types) and types[-1] == np.float64
    monkeypatch.setattr("tfgmm.fit.restarts._FLOAT32_GAIN", np.inf)  # no float32
    types.clear()
    exact = ascend(q, on(coarse, starts))
    assert set(types) == {np.float64}
    for one, other in zip(restarts, exact):
        assert one.num_sweeps == other.num_sweeps and one.elbo == pytest.approx(other.elbo, rel=1e-6)


def test_sweeps_whose_products_would_err_too_much_are_repeated_in_float64(monkeypatch):
    q, stage, starts = stage_and_starts()
    expected = ascend(q, on(stage, starts))
    monkeypatch.setattr("tfgmm.fit.restarts._FLOAT32_ERROR", 0.0)
    # float32 always: none is kept
    monkeypatch.setattr("tfgmm.fit.restarts._type_of_products", lambda *figures: np.float32)
    for one, other in zip(ascend(q, on(stage, starts)), expected):
        assert one.elbo == pytest.approx(other.elbo, abs=1e-6 * 600)


def test_sums_in_float32_that_are_not_numbers_are_repeated_in_float64(monkeypatch, all_tables_are_large):
    q, stage, starts = stage_and_starts()
    types, sums = [], CachedRows.sums

    def broken(self, coefficients, dtype):
        types.append(dtype)
        found = sums(self, coefficients, dtype)
        return tf.nest.map_structure(lambda value: np.nan * value, found) if dtype == np.float32 else found

    monkeypatch.setattr(CachedRows, "sums", broken)
    restarts = ascend(q, on(stage, starts))
    assert np.float32 in types
    monkeypatch.setattr("tfgmm.fit.restarts._FLOAT32_GAIN", np.inf)  # no float32
    assert_same(restarts, ascend(q, on(stage, starts)))


def test_each_start_is_told_of_once_in_order():
    q, stage, starts = stage_and_starts()
    told = []
    best_first(q, [StagedStarts(starts, [stage])], lambda number, count: told.append((number, count)))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_groups_on_rows_of_their_own_go_on_side_by_side_as_they_would_alone():
    """Coarsely first, then the best two of each; as the fits without some of the rows do."""
    q, stage, starts = stage_and_starts()
    parts_of_rows = [stage.rows.values[np.arange(600) % 3 != left_out] for left_out in range(2)]
    parts = [CachedRows(q.form, RowBlock(values), 1000) for values in parts_of_rows]
    groups = []
    for rows in parts:
        coarse = dataclasses.replace(stage, rows=rows, tolerance=1e-3, patience=1, moves=None)
        groups.append(StagedStarts(starts, [coarse, dataclasses.replace(coarse, tolerance=1e-6, num_starts=2)]))
    told = []
    found = best_first(q, groups, lambda number, count: told.append((number, count)))
    assert told == [(number, 8) for number in range(1, 9)]
    for restarts, one in zip(found, groups):
        assert_same(restarts, best_first(q, [one])[0])
        assert [restart.converged for restart in restarts].count(True) == 2
    assert abs(found[0][0].elbo - found[1][0].elbo) > 1.0
