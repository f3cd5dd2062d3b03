"""Moves on a sample: chance gains are priced, all rows decide, and several mistakes are mended at a time."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from stuck_starts import GROUPS, ROWS, STUCK, posterior_and_stage, stuck_prospect

import tfgmm
from tfgmm.fit import staged
from tfgmm.fit.cached_rows import CachedRows
from tfgmm.fit.moves import rounds
from tfgmm.fit.moves.divisions import FilledRows
from tfgmm.fit.moves.over_all_rows import from_place, places_over_all_rows
from tfgmm.fit.moves.rounds import moved
from tfgmm.fit.moves.swaps import Swap, prospect_at
from tfgmm.fit.restarts import MoveRule, ascend
from tfgmm.fit.sweep_batches import CachedBatch


def spare_rows(num_rows=30_000):
    """Returns rows of five round groups."""
    generator = np.random.default_rng(1)
    places = generator.normal(0.0, 4.0, (5, 4))
    return places[generator.integers(0, 5, num_rows)] + generator.standard_normal((num_rows, 4))


@pytest.mark.parametrize("is_weighted", [False, True])
@pytest.mark.parametrize("weights", ["dirichlet", "stick_breaking"])
def test_components_to_spare_stay_empty_and_the_bound_is_not_lower_for_it(weights, is_weighted):
    rows = spare_rows()
    options = {"weights": weights, "restarts": 2, "sample_weight": np.ones(len(rows)) if is_weighted else None}
    plain, moving = (tfgmm.fit_mixture(rows, 9, moves=moves, **options) for moves in (False, True))
    assert moving.num_occupied <= plain.num_occupied
    assert moving.elbo > plain.elbo - 1e-5 * len(rows)


def test_where_groups_are_missing_components_without_rows_get_some():
    """Births, end to end: one component has two groups, and a component that begins far from all rows has none."""
    locs = np.array([[1.5, 0.0], [500.0, 500.0], [0.0, 10.0], [10.0, 0.0], [10.0, 10.0], [20.0, 5.0]])
    options = {"start": locs, "weights": "stick_breaking"}
    stuck, freed = (tfgmm.fit_mixture(ROWS, 6, moves=moves, **options) for moves in (False, True))
    known = tfgmm.fit_mixture(ROWS, 6, start=GROUPS, weights="stick_breaking")
    assert (stuck.num_occupied, freed.num_occupied) == (5, 6)
    assert freed.elbo == pytest.approx(known.elbo, abs=0.1) and freed.elbo > stuck.elbo + 50.0
    assert [len(move.deleted) for move in freed.moves] == [1]


def test_on_a_sample_a_birth_must_gain_more_than_chance_does():
    q, stage, end, prospect = stuck_prospect()
    ten_times = CachedRows(q.form, stage.rows.block, 10.0 * len(ROWS))
    sample = dataclasses.replace(stage, rows=ten_times, is_sample=True)
    of_sample = prospect_at(q, end.values, sample, FilledRows.of(stage.rows.block), 0)
    np.testing.assert_allclose(of_sample.losses, 10.0 * prospect.losses, rtol=1e-9)
    numbers = 5  # weight, two locations, two widths
    assert of_sample.price == pytest.approx(numbers * (0.25 * np.log(1000.0) + 10.0))
    empty = of_sample._replace(
        statistics=of_sample.statistics._replace(counts=np.array([9.0, 9.0, 0.0, 9.0, 9.0, 0.0]))
    )
    swaps = [Swap(2, 0), Swap(1, 3), Swap(5, 4)]  # the first and the last are births
    assert empty.gain_by_chance(swaps) == pytest.approx(2 * numbers * 10.0)
    assert prospect.gain_by_chance(swaps) == 0.0


def stuck_and_freed():
    """Returns a posterior, its stage, and one restart that is stuck and as it moved."""
    q, stage = posterior_and_stage()
    stuck = ascend(q, [(stuck_prospect()[2].values, stage)])[0]
    [freed] = moved(q, [(stuck, dataclasses.replace(stage, moves=MoveRule(1, 0)))])
    return q, stage, stuck, freed


def test_all_rows_decide_between_a_restart_that_moved_and_the_best_that_did_not():
    q, stage, stuck, freed = stuck_and_freed()
    batches, num_data = CachedBatch(stage.rows), 600.0
    assert places_over_all_rows(q, batches, [stuck, freed], num_data) == [0]
    assert places_over_all_rows(q, batches, [freed, stuck], num_data) == [0]
    # What the sample said does not count: neither for the one that moved nor against it
    disguised, better = dataclasses.replace(stuck, moves=freed.moves), dataclasses.replace(freed, moves=())
    assert places_over_all_rows(q, batches, [disguised, better], num_data) == [1]
    # Within a thousandth of a nat per row both go on, unless they are at one optimum
    assert places_over_all_rows(q, batches, [freed, better], num_data) == [0]
    order = [5, 0, 3, 1, 2, 4]
    elsewhere = dataclasses.replace(better, locs=better.locs + np.array([0.0, 1.0]))
    renamed = dataclasses.replace(better, locs=better.locs[order], weights=better.weights[order])
    lighter = dataclasses.replace(better, weights=np.array([0.5, 0.1, 0.1, 0.1, 0.1, 0.1]))
    found = [places_over_all_rows(q, batches, [freed, one], num_data) for one in (elsewhere, renamed, lighter)]
    assert found == [[0, 1], [0], [0, 1]]
    assert places_over_all_rows(q, batches, [freed], num_data) == [0]


def test_each_start_is_listed_once_as_it_moved_or_as_it_was():
    _, _, stuck, freed = stuck_and_freed()
    moved_on, as_it_was, other = (
        dataclasses.replace(restart, number=number) for restart, number in ((freed, 2), (stuck, 2), (stuck, 0))
    )
    assert from_place([moved_on, as_it_was, other], 0) == [moved_on, other]
    assert from_place([moved_on, as_it_was, other], 1) == [as_it_was, other]


def test_the_better_of_two_that_are_close_is_swept_to_the_end():
    """Overlapping rows of which a start that moved is ahead before the sweeps over all rows, and behind after them."""
    generator = np.random.default_rng(0)
    rows = generator.standard_normal((20_050, 2)) * generator.choice([0.5, 1.0, 2.0], (20_050, 1))
    plain, moving = (tfgmm.fit_mixture(rows, 5, restarts=3, moves=moves) for moves in (False, True))
    assert moving.elbo > plain.elbo - 1e-5 * len(rows)


def test_rows_of_large_weight_make_a_sample_smaller():
    _, stage = posterior_and_stage()
    weights = np.ones(600)
    weights[:100] = 11.0
    weighted = CachedRows("independent", stage.rows.block._replace(weights=weights), 16_000.0)
    assert weighted.rows_each == pytest.approx(16_000.0 / (1600.0**2 / (500.0 + 100.0 * 121.0)))
    assert stage.rows.rows_each == 1.0


def test_births_on_a_sample_must_bring_what_chance_does():
    q, stage, end, _ = stuck_prospect()
    for is_sample, tolerance in ((False, 1e-6), (True, 1e-3)):
        trying = rounds._Moving(q, end, dataclasses.replace(stage, is_sample=is_sample, tolerance=tolerance))
        plain = 1e-3 * 600 if is_sample else 0.1
        trying._tried = [Swap(1, 0)]
        assert trying._gain_asked == pytest.approx(plain)
        counts = np.where(np.arange(6) == 1, 0.0, trying._prospect.statistics.counts)
        empty = trying._prospect.statistics._replace(counts=counts)
        trying._prospect = trying._prospect._replace(statistics=empty, chance=7.0)
        assert trying._gain_asked == pytest.approx(plain + 7.0)


def test_a_start_that_stands_twice_counts_as_one_of_those_that_go_on():
    _, _, stuck, freed = stuck_and_freed()
    one, twice, other = (
        dataclasses.replace(restart, number=number) for restart, number in ((freed, 4), (stuck, 4), (stuck, 1))
    )
    assert staged._best([one, twice, other], 1) == [one, twice]
    assert staged._best([one, twice, other], 2) == [one, twice, other]


def test_a_restart_that_moved_on_a_sample_counts_once():
    rows = np.tile(ROWS, (40, 1)) + np.random.default_rng(0).normal(0.0, 0.01, (24_000, 2))
    freed = tfgmm.fit_mixture(rows, 6, start=np.tile(STUCK, 40), moves=True)
    known = tfgmm.fit_mixture(rows, 6, start=np.tile(GROUPS, 40), moves=False)
    assert len(freed.restarts) == 1 and len(freed.moves) == 1
    assert freed.elbo == pytest.approx(known.elbo, abs=1e-5 * len(rows))
    several = tfgmm.fit_mixture(rows, 6, restarts=4, start="random", moves=True)
    assert len(several.restarts) == 4 and sorted(one.number for one in several.restarts) == [0, 1, 2, 3]


def test_several_mistakes_are_mended_at_a_time_and_fewer_after_a_failure(monkeypatch):
    """Twice the six groups, far apart, each with its mistake."""
    rows = np.concatenate([ROWS, ROWS + [100.0, 0.0]])
    stuck = np.concatenate([STUCK, STUCK + 6])
    known = tfgmm.fit_mixture(rows, 12, start=np.concatenate([GROUPS, GROUPS + 6]))
    at_once = tfgmm.fit_mixture(rows, 12, start=stuck, moves=True)
    assert [len(move.deleted) for move in at_once.moves] == [2]
    assert at_once.elbo == pytest.approx(known.elbo, abs=0.1)
    tried = []

    def worse(q, starts):
        ends = ascend(q, starts)
        tried.append(len(tried))
        return [dataclasses.replace(end, elbo=-np.inf) for end in ends] if len(tried) == 1 else ends

    monkeypatch.setattr(rounds, "ascend", worse)
    one_by_one = tfgmm.fit_mixture(rows, 12, start=stuck, moves=True)
    assert [len(move.deleted) for move in one_by_one.moves][0] == 1
    assert one_by_one.elbo == pytest.approx(known.elbo, abs=0.1)


def test_a_fit_that_a_retry_replaced_has_the_moves_of_the_one_that_was_taken(monkeypatch):
    from tfgmm.fit import retries

    plain = tfgmm.fit_mixture(ROWS, 6, start=STUCK)
    freed = tfgmm.fit_mixture(ROWS, 6, start=STUCK, moves=True)
    seen = []
    better = retries._better

    def taken(one, other):
        seen.append(better(one, other))
        return seen[-1]

    monkeypatch.setattr(retries, "_better", taken)
    monkeypatch.setattr(retries, "_needs_another_look", lambda *_: True)
    selection = tfgmm.fit_mixture(ROWS, (5, 6), restarts=1, moves=True)
    assert seen and [fit.moves for fit in selection.results][-1] == seen[-1].taken.moves
    assert plain.moves == () and freed.moves == freed.restarts[0].moves != ()
