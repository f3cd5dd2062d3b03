"""What the rule does before it draws: what it counts as rows, and what ends the way to the mode."""

from __future__ import annotations

import numpy as np
import pytest
from exact_posteriors import BlocksOfRows, problem

from tfgmm.families.exact import rule
from tfgmm.families.exact.rule import exact_draws
from tfgmm.posterior.record import STOPPED, PosteriorRecord


def test_few_rows_of_large_weights_are_few(monkeypatch):
    given, counted, budget = problem("diag"), [], rule.Budget
    monkeypatch.setattr(rule, "Budget", lambda *args: counted.append((args[1], args[-1])) or budget(*args))
    rows = BlocksOfRows(given.q, given.block._replace(weights=np.full(14, 1e7)))
    exact_draws(given.q, rows, 1.4e8, "laplace")
    assert counted == [(1.4e8, 14)]


@pytest.mark.parametrize("method", ["auto", "laplace"])
def test_stopped_on_the_way_to_the_mode_draws_are_from_q(method):
    given = problem("diag")

    def stop(what, number, count):
        if (what, number) == ("mode", 2):
            raise KeyboardInterrupt

    check_mean_field(given, exact(given, method, tell=stop), method, STOPPED)


def check_mean_field(given, found, method, note):
    """Checks that draws are those of q, as many as are asked for at least, and that the record says why."""
    assert found.record == PosteriorRecord("mean_field", method, note=note)
    expected = given.q.draw(1_200, 3)
    np.testing.assert_array_equal(found.drawn.log_weights, expected.log_weights)
    np.testing.assert_array_equal(found.drawn.components.locs, expected.components.locs)


def exact(given, method, **options):
    return exact_draws(given.q, BlocksOfRows(given.q, given.block), 14.0, method, 3, least_kept=1_200, **options)


def test_auto_keeps_q_where_the_mode_takes_too_long(monkeypatch):
    given = problem("full", kind="gaps")
    monkeypatch.setattr(rule, "_MOST_WORK", 10.0)
    note = "its mode would take too long, which is looked for if you ask for a method by name"
    check_mean_field(given, exact(given, "auto"), "auto", note)
    assert exact(given, "laplace").record.method == "laplace"


def test_q_is_kept_where_the_posterior_is_no_number():
    given = problem("diag")
    given.block.values[3] = np.inf
    found = exact(given, "auto")
    check_mean_field(given, found, "auto", "the exact posterior is no finite number where the fit ended")
