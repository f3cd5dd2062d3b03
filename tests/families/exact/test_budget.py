"""What can be afforded: less for more rows and numbers, and all that is asked for by name."""

from __future__ import annotations

import itertools

import pytest

from tfgmm.families.exact.budget import Budget
from tfgmm.families.variational import VariationalPosterior
from tfgmm.mixture.priors import Priors


def budget(num_data, num_components=3, num_features=2, covariance="diag", method="auto", least_kept=0):
    posterior = VariationalPosterior.of(covariance, "dirichlet", num_components, num_features, Priors())
    per_component = 2 * num_features if covariance == "diag" else num_features + num_features * (num_features + 1) // 2
    return Budget(posterior, num_data, num_components * (1 + per_component) - 1, method, least_kept)


@pytest.mark.parametrize("name", ["stage_draws", "num_checked", "most_gradients", "can_adapt", "can_walk"])
def test_more_rows_afford_less(name):
    values = [getattr(budget(10.0**power), name) for power in range(1, 8)]
    assert all(after <= before for before, after in itertools.pairwise(values))
    assert values[-1] < values[0]


def test_small_tables_have_all_methods_and_large_ones_only_the_mode():
    small, large = budget(272), budget(1e5, 32, 16)
    assert (small.can_adapt, small.can_walk, small.stage_draws, small.num_kept) == (True, True, 4_000, 4_000)
    assert (large.can_adapt, large.can_walk) == (False, False)
    assert 16 <= large.num_checked < 100


def test_many_free_numbers_have_longer_stages_and_then_none():
    assert budget(100, 10, 5).stage_draws == 120 * (10 * 11 - 1)
    assert not budget(100, 30, 5).can_adapt and budget(100, 30, 5).num_stages == 1
    assert budget(100, 30, 5).can_walk and not budget(100, 200, 8).can_walk


def test_what_is_asked_for_by_name_is_afforded():
    assert budget(1e7, method="importance").stage_draws == 4_000
    assert budget(1e7, method="importance").can_adapt and not budget(1e7).can_adapt


def test_draws_are_kept_as_memory_and_time_allow_and_as_many_as_are_asked_for():
    assert budget(1e5, 32, 64, "full").num_kept == 200
    assert budget(272, least_kept=9_000).num_kept == 9_000
