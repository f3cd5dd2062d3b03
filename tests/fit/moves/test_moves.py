"""Moves between components: what a component is worth, its halves, and stuck starts that are freed."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.special import logsumexp
from stuck_starts import GROUPS, PLACES, ROWS, STUCK, posterior_and_stage, somewhere, stuck_prospect

import tfgmm
from tfgmm.data.blocks import RowBlock
from tfgmm.families.natural_gradient import place_at
from tfgmm.families.variational import COMPONENTS, VariationalPosterior
from tfgmm.fit.cached_rows import CachedRows
from tfgmm.fit.moves.divisions import FilledRows, divisions_at
from tfgmm.fit.moves.halves import Crowds, Widths, halves_of
from tfgmm.fit.moves.looks import Members, losses_and_members
from tfgmm.fit.moves.rounds import moved
from tfgmm.fit.moves.swaps import Swap, chosen_swaps
from tfgmm.fit.restarts import MoveRule, Stage, ascend

KINDS = ("plain", "weights", "noise", "gaps")


def rows_of(kind):
    """Returns rows and further arguments of `fit_mixture`."""
    generator = np.random.default_rng(5)
    if kind == "weights":
        return ROWS, {"sample_weight": generator.integers(1, 4, len(ROWS)).astype(float)}
    if kind == "noise":
        return ROWS, {"noise": generator.uniform(0.0, 0.3, ROWS.shape)}
    if kind == "gaps":
        rows = ROWS.copy()
        rows[::7, 0] = rows[1::7, 1] = np.nan
        return rows, {}
    return ROWS, {}


def memberships_of(q, stage, values):
    """Computes memberships (n, K) and log joints in plain float64."""
    linear, constants = place_at(q, values).coefficients
    rows = stage.rows.values.astype(np.float64)
    products = np.square(rows) if q.form == "independent" else np.stack([r[:, None] * r for r in rows]).reshape(-1, 4)
    joints = np.concatenate([rows, products], axis=1) @ linear + constants
    return np.exp(joints - logsumexp(joints, axis=1, keepdims=True)), joints


# --- Losses ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("covariance", COMPONENTS)
def test_the_loss_is_what_the_log_likelihood_falls_by_without_the_component(covariance):
    q, stage = posterior_and_stage(covariance)
    values = somewhere(q, stage)
    losses, _ = losses_and_members(stage.rows, place_at(q, values))
    _, joints = memberships_of(q, stage, values)
    for component in range(6):
        without = np.delete(joints, component, axis=1)
        expected = np.minimum(logsumexp(joints, axis=1) - logsumexp(without, axis=1), -np.log(1e-12)).sum()
        assert losses[component] == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_losses_and_members_count_rows_as_often_as_their_weights_say():
    q, stage = posterior_and_stage()
    weights = np.random.default_rng(0).integers(0, 3, len(ROWS))
    values = somewhere(q, stage)
    block = stage.rows.block
    weighted = CachedRows(q.form, block._replace(weights=weights.astype(float)))
    repeated = CachedRows(q.form, block.part(np.repeat(np.arange(len(ROWS)), weights)))
    (of_weights, members), (of_copies, copies) = (
        losses_and_members(rows, place_at(q, values)) for rows in (weighted, repeated)
    )
    np.testing.assert_allclose(of_weights, of_copies, rtol=1e-9)
    counts = [np.bincount(one.components, one.weights * one.memberships, minlength=6) for one in (members, copies)]
    np.testing.assert_allclose(*counts, rtol=1e-9)


def test_members_are_all_rows_with_more_than_a_twentieth_of_them_by_component():
    q, stage = posterior_and_stage()
    values = somewhere(q, stage)
    _, members = losses_and_members(stage.rows, place_at(q, values))
    expected, _ = memberships_of(q, stage, values)
    components, rows = np.nonzero(expected.T > 0.05)
    np.testing.assert_array_equal(members.components, components)
    np.testing.assert_array_equal(members.rows, rows)
    np.testing.assert_allclose(members.memberships, expected[rows, components], rtol=1e-6)


# --- Halves ---------------------------------------------------------------------------------------------------------


def plain_halves(rows, memberships, weights, parts, widths):
    """EM of two components in place of one, from memberships (2, n), step by step and row by row."""
    num_rows, size = rows.shape
    of_rows = parts * memberships
    for _ in range(11):
        counts = (of_rows * weights).sum(axis=1)
        densities = np.zeros((2, num_rows))
        for half in range(2):
            mean = (of_rows[half] * weights) @ rows / counts[half]
            away = rows - mean
            scatter = (away.T * of_rows[half] * weights) @ away
            covariance = (scatter + 0.04 * np.eye(size)) / (counts[half] + 2.0)
            if widths.is_tied:
                covariance = np.eye(size)
            elif widths.is_spherical:
                covariance = np.eye(size) * np.trace(covariance) / size
            elif not widths.is_matrix:
                covariance = np.diag(np.diag(covariance))
            log = -0.5 * (np.einsum("nd,de,ne->n", away, np.linalg.inv(covariance), away))
            log += -0.5 * np.linalg.slogdet(covariance)[1] + np.log(counts[half] / (weights @ memberships))
            densities[half] = np.exp(log)
        old = np.exp(-0.5 * np.square(rows).sum(axis=1))
        rest = old * (1.0 - memberships) / memberships
        of_rows = densities / (rest + densities.sum(axis=0))
        gain = weights @ (np.log(rest + densities.sum(axis=0)) - np.log(rest + old))
    return gain, of_rows


@pytest.mark.parametrize(
    "widths",
    [Widths(False, False, False), Widths(False, True, False), Widths(True, False, False), Widths(False, False, True)],
    ids=["diag", "spherical", "tied", "full"],
)
def test_halves_and_gains_are_those_of_plain_loops(widths, monkeypatch):
    generator = np.random.default_rng(1)
    rows = generator.normal(0.0, 1.0, (2, 40, 2)) + np.where(np.arange(40) % 2, 1.5, -1.5)[:, None]
    memberships, weights = generator.uniform(0.2, 1.0, (2, 40)), generator.integers(1, 4, (2, 40)).astype(float)
    memberships[:, ::5] = 1.0
    parts = np.zeros((2, 3, 2, 40))
    parts[:, :, 0] = generator.random((2, 3, 40)) < 0.5
    parts[:, :, 1] = 1.0 - parts[:, :, 0]
    monkeypatch.setattr("tfgmm.fit.moves.halves._divided", lambda *_: parts)
    found = halves_of(Crowds(rows, rows, memberships, weights), widths, generator)
    for number in range(2):
        of_starts = [
            plain_halves(rows[number], memberships[number], weights[number], start, widths) for start in parts[number]
        ]
        gain, expected = max(of_starts, key=lambda both: both[0])
        assert found.gains[number] == pytest.approx(gain, rel=1e-9)
        np.testing.assert_allclose(found.memberships[number], expected, rtol=1e-7, atol=1e-12)


def test_two_clusters_in_one_component_are_divided_and_one_alone_gains_little():
    generator = np.random.default_rng(2)
    one = generator.normal(0.0, 1.0, (200, 3))
    two = generator.normal(0.0, 0.3, (200, 3)) + np.where(np.arange(200) % 2, 1.0, -1.0)[:, None] * [0.95, 0.0, 0.0]
    rows = np.stack([one, two])
    found = halves_of(Crowds(rows, rows, np.ones((2, 200)), np.ones((2, 200))), Widths(False, False, False), generator)
    assert found.gains[0] < 20.0 < 200.0 < found.gains[1]
    assert set(np.bincount(found.memberships[1, 0].round().astype(int), np.arange(200) % 2)) <= {0.0, 100.0}


def test_places_without_a_row_change_no_halves():
    generator = np.random.default_rng(4)
    rows, weights = generator.normal(size=(1, 30, 2)), np.ones((1, 30))
    more = np.concatenate([rows, np.zeros((1, 9, 2))], axis=1), np.append(weights, np.zeros((1, 9)), axis=1)
    widths = Widths(False, False, False)
    alone = halves_of(Crowds(rows, rows, weights, weights), widths, np.random.default_rng(0))
    padded = halves_of(Crowds(more[0], more[0], np.ones((1, 39)), more[1]), widths, np.random.default_rng(0))
    np.testing.assert_allclose(padded.gains, alone.gains, rtol=1e-9)


def test_gains_of_many_rows_are_those_of_some_times_as_many(monkeypatch):
    q, stage = posterior_and_stage(block=np.repeat(ROWS, 20, axis=0))
    values = somewhere(q, stage)
    _, members = losses_and_members(stage.rows, place_at(q, values))
    filled = FilledRows.of(stage.rows.block)
    some, sums = divisions_at(q, values, filled, members, 0)
    monkeypatch.setattr("tfgmm.fit.moves.divisions._MOST_ROWS", 12_000)
    every, _ = divisions_at(q, values, filled, members, 0)
    np.testing.assert_allclose(some, every, rtol=0.25, atol=0.05 * every.max())
    counts = np.bincount(members.components, members.memberships, minlength=6)
    np.testing.assert_allclose(sums[..., -1].sum(axis=1), counts, rtol=0.3)  # halves take from others, or leave to them


# --- Pairs ----------------------------------------------------------------------------------------------------------


def test_what_is_needed_least_goes_and_what_gains_most_is_divided():
    _, _, _, prospect = stuck_prospect()
    [swap] = chosen_swaps(prospect, 0.7, 3, set())
    assert swap.deleted in (1, 4) and swap.divided == 0
    assert not chosen_swaps(prospect, 1e6, 3, set())
    [other] = chosen_swaps(prospect._replace(gains=prospect.gains + 1e4), 0.7, 1, {swap})
    assert other != swap


def test_of_two_components_that_share_their_rows_one_goes_at_a_time():
    _, _, _, prospect = stuck_prospect()
    losses = np.array([9.0, 1.0, 9.0, 9.0, 2.0, 9.0])
    shared, half = np.repeat([1, 4], 10), np.full(20, 0.5)
    members = Members(shared, np.tile(np.arange(10), 2), half, np.ones(20))
    of_both = prospect._replace(losses=losses, gains=np.full(6, 99.0), members=members)
    assert [swap.deleted for swap in chosen_swaps(of_both, 0.7, 2, set())] == [1, 2]
    apart = members._replace(rows=np.arange(20))
    assert [swap.deleted for swap in chosen_swaps(of_both._replace(members=apart), 0.7, 2, set())] == [1, 4]


def test_an_empty_component_is_born_only_where_the_gain_pays_for_it():
    _, _, _, prospect = stuck_prospect()
    counts = np.where(np.arange(6) == 3, 0.0, prospect.statistics.counts)
    of_empty = prospect._replace(
        losses=np.where(np.arange(6) == 3, 0.0, 1e9), statistics=prospect.statistics._replace(counts=counts)
    )
    one = np.arange(6) == 2
    assert chosen_swaps(of_empty._replace(gains=np.where(one, prospect.price + 1.0, 0.0)), 0.7, 3, set())
    assert not chosen_swaps(of_empty._replace(gains=np.where(one, prospect.price - 1.0, 0.0)), 0.7, 3, set())
    assert prospect.price == pytest.approx(0.5 * 0.5 * 5 * np.log(100.0))
    births = of_empty._replace(gains=np.where(one, 1e9, 0.0)), 0.7, 3, set()
    assert [swap.deleted for swap in chosen_swaps(*births)][:1] == [3]
    assert 3 not in [swap.deleted for swap in chosen_swaps(*births, has_births=False)]


@pytest.mark.parametrize(
    ("losses", "gains", "barred", "expected"),
    [
        ([1.0, 2.0, 50.0, 50.0, 50.0, 50.0], [100.0, 0.1, 0.1, 0.1, 0.1, 0.1], (), [(1, 0)]),  # 0 gains most itself
        ([1.0, 2.0, 50.0, 50.0, 50.0, 50.0], [0.1, 0.1, 100.0, 0.1, 0.1, 0.1], ((0, 2),), [(1, 2)]),
        ([1.0, 2.0, 50.0, 50.0, 50.0, 50.0], [0.1, 0.1, 100.0, 80.0, 0.1, 0.1], (), [(0, 2), (1, 3)]),
        ([9.0, 9.0, 50.0, 50.0, 50.0, 50.0], [6.0, 6.0, 6.0, 6.0, 6.0, 6.0], (), []),  # below 0.7 x 9
        # All pairs of the first were tried
        ([1.0, 2.0, 50.0, 50.0, 50.0, 50.0], [9.0] * 6, tuple((0, one) for one in range(1, 6)), [(1, 0)]),
    ],
)
def test_pairs_are_made_as_long_as_one_pays(losses, gains, barred, expected):
    _, _, _, prospect = stuck_prospect()
    none = np.zeros(0, int)
    apart = Members(none, none, np.zeros(0), np.zeros(0))
    of_these = prospect._replace(losses=np.array(losses), gains=np.array(gains), members=apart)
    assert chosen_swaps(of_these, 0.7, 3, {Swap(*pair) for pair in barred}) == [Swap(*pair) for pair in expected]


# --- Noise, far rows, many columns ------------------------------------------------------------------------------------


@pytest.mark.parametrize("covariance", ["diag", "full", "tied"])
@pytest.mark.parametrize("axes", [1, 2])
def test_noise_that_is_known_is_no_gain(covariance, axes):
    """Rows of one cluster, seen with noise three times as wide as it: halves that took the noise for width gain."""
    generator = np.random.default_rng(0)
    true, noise = generator.normal(0.0, 0.3, (400, 2)), np.full((400, 2), 1.0)
    block = RowBlock((true + noise * generator.standard_normal((400, 2))).astype(np.float32))
    noisy = block._replace(noise=noise if axes == 1 else np.square(noise)[..., None] * np.eye(2))
    q = VariationalPosterior.of(covariance, "dirichlet", 2, 2, tfgmm.Priors())
    q.assign(q.values_of(q.random_start(0)))
    members = Members(np.zeros(400, int), np.arange(400), np.ones(400), np.ones(400))
    [start] = q.start_values(true[:, :], np.ones(2), "random", [0])
    rows = CachedRows(q.form, RowBlock(true.astype(np.float32)))
    values = ascend(q, [(start, Stage(rows, np.zeros(2), np.full(2, 2.0), 100, 1e-6))])[
        0
    ].values  # widths without noise
    with_noise, without = (divisions_at(q, values, FilledRows.of(one), members, 0)[0][0] for one in (noisy, block))
    assert with_noise < 25.0 < 200.0 < without


def test_a_row_far_away_leaves_finite_halves():
    ones = np.ones((1, 50))
    for seed in range(20):  # two of them had a singular matrix
        generator = np.random.default_rng(seed)
        rows = generator.normal(size=(1, 50, 3))
        rows[0, 0] = [1e9, -3e8, 2e9]
        found = halves_of(Crowds(rows, rows, ones, ones), Widths(False, False, True), generator)
        assert np.isfinite(found.gains).all() and np.isfinite(found.memberships).all()


def test_components_of_many_columns_are_divided_without_matrices(monkeypatch):
    generator, seen = np.random.default_rng(0), []
    monkeypatch.setattr(
        "tfgmm.fit.moves.divisions.halves_of", lambda *asked: seen.append(asked[1].is_matrix) or halves_of(*asked)
    )
    for num_features, expected in ((8, True), (9, False)):
        places, groups = np.zeros((6, num_features)), np.tile(GROUPS, 4)
        places[:, :2] = PLACES
        rows = places[groups] + 0.5 * generator.standard_normal((2400, num_features))
        stuck = np.where(groups == 1, 0, np.where((groups == 4) & (rows[:, 0] > 10.0), 1, groups))
        seen.clear()
        freed = tfgmm.fit_mixture(rows, 6, covariance="full", start=stuck, moves=True)
        known = tfgmm.fit_mixture(rows, 6, covariance="full", start=groups)
        assert set(seen) == {expected} and freed.elbo == pytest.approx(known.elbo, abs=0.1)


# --- Rounds ---------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:.*values are missing")
@pytest.mark.parametrize("weights", ["dirichlet", "stick_breaking"])
@pytest.mark.parametrize("covariance", COMPONENTS)
def test_a_stuck_start_is_freed(covariance, weights):
    for kind in KINDS if weights == "dirichlet" else ("plain",):
        rows, more = rows_of(kind)
        options = {"covariance": covariance, "weights": weights, **more}
        stuck = tfgmm.fit_mixture(rows, 6, start=STUCK, **options)
        freed = tfgmm.fit_mixture(rows, 6, start=STUCK, moves=True, **options)
        known = tfgmm.fit_mixture(rows, 6, start=GROUPS, **options)
        assert not stuck.moves and stuck.elbo < known.elbo - 50.0
        assert freed.elbo == pytest.approx(known.elbo, abs=0.1)
        assert sum(len(move.deleted) for move in freed.moves) >= 1
        assert sum(move.gain for move in freed.moves) == pytest.approx(freed.elbo - stuck.elbo, rel=0.1)


def test_the_bound_never_falls_and_a_move_that_brings_nothing_is_taken_back(monkeypatch):
    q, stage, end, _ = stuck_prospect()
    stage = dataclasses.replace(stage, moves=MoveRule(1, 0))
    [freed] = moved(q, [(end, stage)])
    assert freed.elbo > end.elbo + 50.0
    at_the_end = ascend(q, [(freed.values, dataclasses.replace(stage, max_sweeps=1, tolerance=1e9))])[0]
    assert at_the_end.elbos[0] == pytest.approx(freed.elbo, rel=1e-12)  # the bound said is the bound there
    tried = []
    monkeypatch.setattr("tfgmm.fit.moves.rounds._SHARES", (0.0,))  # whatever the loss
    monkeypatch.setattr("tfgmm.fit.moves.rounds.ascend", lambda *arguments: tried.append(1) or ascend(*arguments))
    [again] = moved(q, [(freed, stage)])
    assert 1 <= len(tried) <= 8 and again.moves == freed.moves and again.elbo == pytest.approx(freed.elbo, abs=1e-6)
    for value, expected in zip(again.values.flat, freed.values.flat):
        np.testing.assert_array_equal(value, expected)


def test_moves_side_by_side_are_those_of_each_alone():
    q, stage, end, _ = stuck_prospect()
    other = ascend(q, [(somewhere(q, stage, seed=3), stage)])[0]
    stage = dataclasses.replace(stage, moves=MoveRule(2, 0))
    together = moved(q, [(end, stage), (other, stage)])
    alone = [moved(q, [(one, stage)])[0] for one in (end, other)]
    for one, expected in zip(together, alone):
        assert one.moves == expected.moves or one.elbo == pytest.approx(expected.elbo, abs=0.01)
        np.testing.assert_allclose(one.locs, expected.locs, atol=0.01)


def test_the_same_seed_gives_the_same_moves():
    one, other = (tfgmm.fit_mixture(ROWS, 6, start=STUCK, moves=True, seed=2) for _ in range(2))
    assert one.elbo == other.elbo and one.moves == other.moves
    np.testing.assert_array_equal(one.locs, other.locs)


def test_a_choice_of_k_and_its_folds_move_too(monkeypatch):
    asked = []
    monkeypatch.setattr("tfgmm.fit.staged.moved", lambda q, several: asked.append(len(several)) or moved(q, several))
    tfgmm.fit_mixture(ROWS, (4, 6), restarts=1)
    assert asked == [6]  # five folds and the fit, of six components alone
    asked.clear()
    tfgmm.fit_mixture(ROWS, (4, 6), restarts=1, moves=False)
    assert not asked


def test_a_fit_says_what_moved():
    freed = tfgmm.fit_mixture(ROWS, 6, start=STUCK, moves=True)
    assert "moves: 1 component went and others were divided instead, in 1 round, bound +" in str(freed)
    assert freed.restarts[0].moves == freed.moves
    assert "moves:" not in str(tfgmm.fit_mixture(ROWS, 6, start=STUCK))


def test_two_components_can_move_where_asked():
    rows = np.array([[0.0], [0.1], [0.2], [9.0], [9.1], [9.2]])
    assert tfgmm.fit_mixture(rows, 2, moves=True).converged
    assert tfgmm.fit_mixture(rows, 1, moves=True).converged
