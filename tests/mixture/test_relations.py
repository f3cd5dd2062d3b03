"""Columns that follow from others are found at the rounding they have; others never, however alike."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tfgmm.data.summary import summarise
from tfgmm.mixture.relations import relations_of

GENERATOR = np.random.default_rng(0)
PARTS = GENERATOR.gamma(5.0, 2.0, (400, 3))
OTHER = GENERATOR.normal(100.0, 3.0, 400)
SHARES = PARTS / PARTS.sum(axis=1, keepdims=True)


def groups(*columns):
    rows = np.column_stack(columns)
    return relations_of(rows, summarise(rows)).groups


KINDS = {
    "a total": (PARTS, PARTS.sum(axis=1)),
    "a total of rounded parts": (np.round(PARTS, 1), np.round(PARTS.sum(axis=1), 1)),
    "a total in float32": ((1e4 + PARTS).astype(np.float32), (3e4 + PARTS.sum(axis=1)).astype(np.float32)),
    "a mean in another unit": (PARTS, 1e-9 * PARTS.mean(axis=1)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_column_that_adds_up(kind):
    assert groups(OTHER, *KINDS[kind]) == [([1, 2, 3, 4], 1)]


@pytest.mark.parametrize("decimals", [None, 3, 1])
def test_shares_that_add_up(decimals):
    shares = 100 * SHARES if decimals is None else np.round(100 * SHARES, decimals)
    assert groups(shares, OTHER) == [([0, 1, 2], 1)]
    assert groups(shares[:, :2], OTHER) == []


def test_one_quantity_in_two_units_and_another():
    inches = np.round(OTHER / 2.54, 1)
    assert groups(PARTS, OTHER, inches, PARTS[:, 0] * 3.0 + 1.0) == [([0, 5], 1), ([3, 4], 1)]
    assert groups(OTHER, inches, np.round(OTHER, 1)) == [([0, 1, 2], 2)]


def test_a_row_far_away_does_not_hide_it():
    rows = np.column_stack([PARTS, PARTS.sum(axis=1)])
    rows[7] = [1e8, 0.0, 0.0, 1e8]
    assert relations_of(rows, summarise(rows)).groups == [([0, 1, 2, 3], 1)]


def test_the_sum_is_given_by_its_weights():
    """In standardised columns: a + b - total = 0 has weights in proportion to the spreads."""
    rows = np.column_stack([PARTS[:, :2], PARTS[:, :2].sum(axis=1)])
    relations = relations_of(rows, summarise(rows))
    expected = rows.std(axis=0) * [1.0, 1.0, -1.0]
    np.testing.assert_allclose(
        np.abs(relations.directions[0] @ expected), np.linalg.norm(expected), rtol=1e-6
    )  # parallel
    assert relations.variances[0] == pytest.approx(0.0, abs=1e-12)


NONE = {
    "independent": (PARTS,),
    "alike": (OTHER, OTHER + GENERATOR.normal(0.0, 0.05, 400)),
    "alike in float32": (OTHER.astype(np.float32), (OTHER + GENERATOR.normal(0.0, 1e-3, 400)).astype(np.float32)),
    "coarse and alike": (np.rint(OTHER), np.rint(OTHER + GENERATOR.normal(0.0, 1.0, 400))),
    "flags": (GENERATOR.integers(0, 2, (400, 4)),),
    "answers": (GENERATOR.integers(1, 6, (400, 6)),),
    "constant": (np.full(400, 7.0), OTHER),
    "one column": (OTHER,),
    "few rows": (GENERATOR.normal(size=(6, 5)),),
    "fewer rows than columns": (GENERATOR.normal(size=(4, 5)),),
    "few rounded rows": (np.round(GENERATOR.normal(size=(12, 10)), 1),),
}


@pytest.mark.parametrize("kind", NONE)
def test_columns_that_do_not_follow_from_others(kind):
    assert groups(*NONE[kind]) == []


ANSWERS = GENERATOR.integers(1, 6, (400, 4))
KINDS_OF_COUNTS = {
    "answers and their total": (ANSWERS, ANSWERS.sum(axis=1)),
    "flags of which one is set": (np.eye(3)[GENERATOR.integers(0, 3, 400)],),
    "goals": (GENERATOR.poisson(1.4, (400, 2)) @ [[1, 0, 1], [0, 1, 1]],),
}


@pytest.mark.parametrize("kind", KINDS_OF_COUNTS)
def test_exact_sums_of_small_whole_numbers(kind):
    columns = np.column_stack(KINDS_OF_COUNTS[kind])
    assert groups(columns, OTHER) == [(list(range(columns.shape[1])), 1)]


def test_as_many_points_as_columns_lie_in_a_plane_by_themselves():
    assert groups(np.repeat([[-1.0, 0.5], [1.0, -0.5]], 50, axis=0)) == []


def test_a_group_one_step_away_is_no_rounding():
    one = np.rint(10 * OTHER)
    assert groups(one, one + np.arange(400) % 2) == []


def test_groups_that_stand_apart_across_the_sum_are_no_rounding():
    """A total that a second group exceeds by a few steps of its rounding."""
    more = np.where(np.arange(400) < 200, 0.0, 0.6)
    parts = np.round(PARTS, 1)
    assert groups(parts, np.round(parts.sum(axis=1) + more, 1)) == []


@pytest.mark.parametrize("wrong", [1, 5, 15])
def test_a_few_wrong_rows_hide_no_sum(wrong):
    total = PARTS.sum(axis=1)
    total[:wrong] += np.linspace(3.0, 9.0, wrong)
    rows = np.column_stack([PARTS, total])
    relations = relations_of(rows, summarise(rows))
    assert relations.groups == [([0, 1, 2, 3], 1)] and relations.num_others == wrong
    rounded = np.round(rows, 2)
    assert relations_of(rounded, summarise(rounded)).num_others == wrong


def test_many_wrong_rows_are_a_group():
    total = PARTS.sum(axis=1)
    total[:40] += 9.0
    assert groups(PARTS, total) == []


def test_what_was_found_is_remembered_for_these_rows_and_this_summary():
    rows = np.column_stack([PARTS, PARTS.sum(axis=1)])
    summary = summarise(rows)
    found = relations_of(rows, summary)
    assert relations_of(rows.copy(), summary) is found
    assert not found.directions.flags.writeable
    assert not found.variances.flags.writeable
    others = rows.copy()
    others[:, 3] = OTHER
    assert relations_of(others, summarise(others)).groups == []
    wider = dataclasses.replace(summary, spread=tuple(10.0 * np.array(summary.spread)))
    assert not np.array_equal(relations_of(rows, wider).variances, found.variances)
