"""What the rule does before it draws: what it counts as rows, and what ends the way to the mode."""

from __future__ import annotations

import numpy as np
from exact_posteriors import BlocksOfRows, problem

from tfgmm.families.exact import rule
from tfgmm.families.exact.rule import exact_draws


def test_few_rows_of_large_weights_are_few(monkeypatch):
    given, counted, budget = problem("diag"), [], rule.Budget
    monkeypatch.setattr(rule, "Budget", lambda *args: counted.append((args[1], args[-1])) or budget(*args))
    rows = BlocksOfRows(given.q, given.block._replace(weights=np.full(14, 1e7)))
    exact_draws(given.q, rows, 1.4e8, "laplace")
    assert counted == [(1.4e8, 14)]
