"""Each caution of a report is given where a number makes it true, and not where it does not."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tfgmm.report import cautions


def record(
    *elbos: float, converged: bool = True, history: tuple[float, ...] = (-20.0, -10.0), given_up: int = 0
) -> Any:
    starts = [SimpleNamespace(elbo=elbo, converged=place >= given_up) for place, elbo in enumerate(reversed(elbos))]
    return SimpleNamespace(restarts=starts, converged=converged, history={"elbo": list(history)})


def fitted(*counts: float, num_data: int = 100) -> Any:
    return SimpleNamespace(expected_counts=np.array(counts), num_data=num_data)


def memberships(*shares: float, num_rows: int = 100) -> np.ndarray:
    """Half of the rows are of either component, each with its share of the other."""
    first, second = ([[1.0 - share, share]] * (num_rows // 2) for share in shares)
    return np.concatenate([first, np.array(second)[:, ::-1]])


def summaries(ours: int, shown: int, same: bool = True) -> tuple[Any, Any]:
    summary = SimpleNamespace(num_data=ours, fingerprint="a")
    other = SimpleNamespace(num_data=shown, fingerprint="a" if same else "b")
    return SimpleNamespace(summary=summary, num_data=ours), SimpleNamespace(summary=other)


def far_rows(num_far: int, num_rows: int = 200) -> str:
    scores = np.where(np.arange(num_rows) < num_far, 0.0, 0.5)
    mixture = SimpleNamespace(outlier=lambda rows: scores)
    return cautions._far_rows(SimpleNamespace(mixture=mixture), np.zeros((num_rows, 1)))  # type: ignore[arg-type]


# What is said; what is said where it is true; and where it is not
CAUTIONS: dict[str, tuple[str, str, str]] = {
    "other rows": (
        "120 rows are shown here, it was fitted on 100",
        cautions._other_rows(*summaries(100, 120)),
        cautions._other_rows(*summaries(100, 100)),
    ),
    "as many other rows": (
        "not the rows",
        cautions._other_rows(*summaries(100, 100, same=False)),
        cautions._other_rows(*summaries(100, 100)),
    ),
    "not converged": (
        "had not stopped rising after 2 sweeps, by 10 nats in the last",
        cautions._not_converged(record(-1.0, converged=False)),
        cautions._not_converged(record(-1.0)),
    ),
    "one sweep": (
        "after 1 sweep. All",
        cautions._not_converged(record(-1.0, converged=False, history=(-9.0,))),
        cautions._not_converged(record(-1.0, history=(-9.0,))),
    ),
    "empty": (
        "Component 1 has no rows: less than one",
        cautions._empty(fitted(99.5, 0.5)),
        cautions._empty(fitted(99.0, 1.0)),
    ),
    "handful": (
        "Component 1 rests on fewer than 5 rows",
        cautions._handfuls(fitted(95.1, 4.9)),
        cautions._handfuls(fitted(95.0, 5.0)),
    ),
    "starts": (
        "2 of 3 reached the best solution, 1 ended in a worse one, 7.0 nats below. The best one was kept; 7.0 nats",
        cautions._optima(record(-1.0, -1.0, -8.0)),
        cautions._optima(record(-1.0, -1.0, -1.05)),
    ),
    "starts given up": (
        "1 ended, or were given up, in a worse one",
        cautions._optima(record(-1.0, -1.0, -8.0, given_up=1)),
        cautions._optima(record(-1.0, -1.0, -8.0)),
    ),
    "rival": (
        "with 2.0 nats less the data can be read nearly as well",
        cautions._optima(record(-1.0, -1.0, -3.0)),
        cautions._optima(record(-1.0, -1.0, -8.0)),
    ),
    "lucky": (
        "Only one start found it",
        cautions._optima(record(-1.0, -8.0, -8.0)),
        cautions._optima(record(-1.0, -1.0, -8.0)),
    ),
    "overlap": (
        "more than 5 %, and up to 18 %, of their rows' memberships lie elsewhere",
        cautions._overlaps(memberships(0.1, 0.1)),
        cautions._overlaps(memberships(0.01, 0.01)),
    ),
    "just overlap": (
        "up to 5.08 %,",
        cautions._overlaps(memberships(0.0261, 0.0261)),
        cautions._overlaps(memberships(0.025, 0.025)),
    ),
    "far": ("2 rows lie farther out than any of 100,000 rows", far_rows(2), far_rows(0)),
}


@pytest.mark.parametrize("case", CAUTIONS)
def test_cautions(case: str) -> None:
    words, where_true, where_not = CAUTIONS[case]
    assert words in where_true
    assert words not in where_not
