"""Each caution of a report is given where a number makes it true, and not where it does not."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tfgmm.data.summary import DataSummary
from tfgmm.data.survey import Survey
from tfgmm.posterior.record import PosteriorRecord
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


def summary(num_data: float = 100, fingerprint: str = "a", **fields: Any) -> DataSummary:
    return DataSummary(num_data, 2, (0.0, 0.0), (1.0, 1.0), fingerprint=fingerprint, **fields)


def fit_of(ours: DataSummary | None, **fields: Any) -> Any:
    return SimpleNamespace(summary=ours, num_data=100 if ours is None else ours.num_data, **fields)


def survey_of(shown: DataSummary, num_rows: int = 4, **carried: Any) -> Survey:
    return Survey(shown, np.zeros((num_rows, 2)), **carried)


def other_rows(ours: DataSummary, shown: DataSummary) -> str:
    return cautions._other_rows(fit_of(ours), survey_of(shown))


def far_rows(num_far: int, num_rows: int = 200, **carried: Any) -> str:
    scores = np.where(np.arange(num_rows) < num_far, 0.0, 0.5)
    mixture = SimpleNamespace(outlier=lambda rows: scores)
    weights = carried.get("weights")
    shown = summary(num_rows if weights is None else float(weights.sum()), num_rows=num_rows)
    return cautions._far_rows(fit_of(None, mixture=mixture), survey_of(shown, num_rows, **carried))


def overlaps(*shares: float) -> str:
    return cautions._overlaps(memberships(*shares), np.ones(100))


def gaps(number: int) -> str:
    return cautions._many_gaps(summary(gaps=(number, 0), num_incomplete=number))


def hidden(*noise: float, counts: tuple[float, ...] = (90.0, 10.0), method: str = "mean_field") -> str:
    """Says it of two components with widths 1 and 5, where the first column alone has noise."""
    survey = survey_of(summary(), noise=np.array(noise)[:, None] * [1.0, 0.0])
    scales = np.array([[1.0, 1.0], [5.0, 5.0]])
    mixture = SimpleNamespace(mean_parameters=lambda: SimpleNamespace(scales=scales[None, None]))
    one = SimpleNamespace(
        mixture=mixture,
        expected_counts=np.array(counts),
        summary=None,
        covariance="diag",
        posterior=PosteriorRecord(method),
    )
    return " ".join(cautions._hidden_values(one, survey))


WEIGHTED = summary(300, num_rows=100, weights_name="count")

# What is said; what is said where it is true; and where it is not
CAUTIONS: dict[str, tuple[str, str, str]] = {
    "other rows": (
        "120 rows are shown here, it was fitted on 100",
        other_rows(summary(100), summary(120)),
        other_rows(summary(100), summary(100)),
    ),
    "as many other rows": (
        "not the rows",
        other_rows(summary(), summary(fingerprint="b")),
        other_rows(summary(), summary()),
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
        overlaps(0.1, 0.1),
        overlaps(0.01, 0.01),
    ),
    "just overlap": (
        "up to 5.08 %,",
        overlaps(0.0261, 0.0261),
        overlaps(0.025, 0.025),
    ),
    "far": ("2 rows lie farther out than any of 100,000 rows", far_rows(2), far_rows(0)),
    "far, by weight": (
        "4 rows lie farther out",
        far_rows(2, weights=np.full(200, 2.0)),
        far_rows(2, weights=np.full(200, 1.0)),
    ),
    "far rows with noise": ("2 rows lie", far_rows(2), far_rows(2, noise=np.ones((200, 2)))),
    "weights not given": (
        "100 rows are shown here, it was fitted on 100 rows that count as 300. Those had weights (column "
        "'count'), and none were given here. Memberships",
        other_rows(WEIGHTED, summary(fingerprint="b")),
        other_rows(WEIGHTED, WEIGHTED),
    ),
    "noise not given": (
        "Those had measurement noise, and none was given here.",
        other_rows(summary(noise_columns=("", "")), summary(fingerprint="b")),
        other_rows(summary(noise_columns=("", "")), summary(fingerprint="b", noise_columns=("", ""))),
    ),
    "sums of weights in another order": (
        "not the rows",
        other_rows(summary(30.3 + 1e-6), summary(30.3)),
        other_rows(summary(10.1 + 20.2), summary(30.3)),
    ),
    "noise that hides much": (
        "Noise hides much of what rows say of means in column 0 (38 %): intervals are too narrow there",
        hidden(1.0, 1.0, 1.0, 0.0),
        hidden(1.0, 1.0, 0.0, 0.0),
    ),
    "noise beside wide components": (
        "Noise hides much",
        hidden(1.0, 1.0, 1.0, 1.0),
        hidden(1.0, 1.0, 1.0, 1.0, counts=(0.0, 100.0)),
    ),
    "noise, and intervals of the exact posterior": (
        "Noise hides much",
        hidden(1.0, 1.0, 1.0, 0.0),
        hidden(1.0, 1.0, 1.0, 0.0, method="importance"),
    ),
    "many gaps": ("34 % of all values are missing", gaps(67), gaps(66)),
}


@pytest.mark.parametrize("case", CAUTIONS)
def test_cautions(case: str) -> None:
    words, where_true, where_not = CAUTIONS[case]
    assert words in where_true
    assert words not in where_not
