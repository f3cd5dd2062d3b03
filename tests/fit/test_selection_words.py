"""Each sentence of a choice is said where a number makes it true, and not where it does not."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import tfgmm
from tfgmm.data.summary import DataSummary
from tfgmm.report.choice import how_sure

# A column from 1 to 3 about 2, and one that reaches 5 times as far above its mean as below
EVEN, SKEWED = (1.0, 2.0, 3.0), (1.0, 2.0, 7.0)
GOOD, POOR = -10.0, -90.0


def fit(
    number: int, elbo: float, *, column: tuple[float, ...] = EVEN, starts: tuple[float, ...] = (), **more: Any
) -> Any:
    """A fit of 100 rows, of figures that no fit has; all criteria agree with the bound unless they are given."""
    lowest, mean, highest = column
    summary = DataSummary(100, 1, (mean,), (0.5,), ("dose",), minimum=(lowest,), maximum=(highest,))
    fields: dict[str, Any] = {
        "num_components": number, "elbo": elbo, "bic": -2 * elbo, "icl": -2 * elbo, "aic": -2 * elbo,
        "log_likelihood": elbo, "num_data": 100, "num_features": 1, "num_occupied": number, "converged": True,
        "weight_prior": "dirichlet", "covariance": "diag", "log_num_modes": math.lgamma(number + 1),
        "priors": tfgmm.Priors(), "data_summary": summary, "criteria_at": "mean",
        "restarts": tuple(SimpleNamespace(elbo=start) for start in starts), "exact": None, "ranking": None,
    }  # fmt: skip
    return SimpleNamespace(**fields | more)


def choice(*fits: Any, held: Any = None, below: tuple[float, ...] = ()) -> tfgmm.Selection:
    densities = np.zeros((len(fits), 0)) if held is None else np.asarray(held, np.float64)
    return tfgmm.Selection(tuple(fits), densities, "some rows", below_nested=below)


def clear(**more: Any) -> tfgmm.Selection:
    """Two components, one and three far behind."""
    return choice(fit(1, POOR), fit(2, GOOD, **more), fit(3, POOR))


def overlapping(bic: float, icl: float, **more: Any) -> tfgmm.Selection:
    """Three components by the evidence, two by ICL, which has 100 for them, and BIC 99."""
    best = fit(3, GOOD, bic=bic, icl=icl, **more)
    return choice(fit(1, POOR), fit(2, -30.0, bic=99.0, icl=100.0), best, fit(4, POOR))


def behind(by: float) -> tfgmm.Selection:
    """The recommended fit predicts forty rows worse than another, by so much; standard error 0.1."""
    noise = np.random.default_rng(0).normal(size=40)
    noise = 0.1 * math.sqrt(40) * (noise - noise.mean()) / noise.std(ddof=1)
    return choice(fit(1, POOR), fit(2, GOOD), fit(3, POOR), held=[np.full(40, -9.0), noise - by, np.zeros(40)])


BOTH_STUCK = choice(*clear().results, below=(9.0, 0.0, 7.0))
STUCK = choice(*clear().results, below=(0.0, 0.0, 7.0))
OF_STICKS = choice(*(fit(number, GOOD, weight_prior="stick_breaking") for number in (1, 2)))
LUCKY = clear(starts=(-10.0, -10.2, -11.0, -12.0))

# What is said; a choice of which it is true; one of which it is not
OF_REASON: dict[str, tuple[str, Any, Any]] = {
    "share": ("with a share of 1.00.", clear(), choice(fit(1, GOOD), fit(2, GOOD - math.log(2.0)))),
    "open": ("It takes 1 and 2 to have 90 %", choice(fit(1, GOOD), fit(2, GOOD)), clear()),
    "same": ("BIC, ICL and AIC say the same.", clear(), clear(bic=999.0)),
    "differ": ("BIC says 1, ICL says 2, AIC says 2.", clear(bic=999.0), clear()),
    "largest": ("largest number tried: try more", choice(fit(1, POOR), fit(2, GOOD)), clear()),
    "smallest": ("smallest number tried: try fewer", choice(fit(2, GOOD), fit(3, POOR)), clear()),
    "one is the least": ("is the largest of those tried", choice(fit(1, GOOD), fit(2, POOR)), None),
    "occupied": ("Of these only 1 have rows.", clear(num_occupied=1), clear()),
    "unfinished": ("Not converged, and perhaps better than it looks: 2.", clear(converged=False), clear()),
    "stuck": ("The fit of 3 is stuck: at its best it would not lie 7.0", STUCK, clear()),
    "one start": ("Only 1 of 4 starts led to it: more", LUCKY, clear(starts=(-10.0,) * 4)),
    "few starts": ("is the largest", clear(starts=(-10.0, -12.0)), None),
    "groups": ("for groups that stand apart look at 2 first, as ICL says", overlapping(90.0, 130.0), clear()),
    "overlap": (
        "rows between components cost ICL 40.0 with 3 and 1.0 with 2: some overlap",
        overlapping(90.0, 130.0),
        overlapping(110.0, 110.1),
    ),
    "parameters": (
        "its parameters cost more than they bring; rows between components cost ICL 0.1 with 3 and 1.0 with 2.",
        overlapping(110.0, 110.1),
        overlapping(90.0, 130.0),
    ),
    "as much overlap": ("parameters cost more", overlapping(150.0, 152.0), overlapping(90.0, 130.0)),
    "logarithm": (
        "Column 'dose' reaches 5.0 times as far above its mean as below: try its logarithm.",
        overlapping(90.0, 130.0, column=SKEWED),
        overlapping(90.0, 130.0),
    ),
    "no logarithm of negative numbers": (
        "some overlap",
        overlapping(90.0, 130.0, column=(-1.0, 0.0, 5.0)),
        overlapping(110.0, 110.1, column=SKEWED),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", OF_REASON)
def test_sentences_of_the_reason(case: str) -> None:
    words, true_of, false_of = OF_REASON[case]
    assert words in true_of.reason
    assert false_of is None or words not in false_of.reason


@pytest.mark.parametrize("column", [(-1.0, 0.0, 5.0), EVEN])
def test_no_logarithm_is_named_where_there_is_none_or_no_need(column: tuple[float, ...]) -> None:
    assert "logarithm" not in overlapping(90.0, 130.0, column=column).reason


OF_CERTAINTY: dict[str, tuple[str, Any, Any]] = {
    "clear": ("The rows are clear about it", clear(), choice(fit(1, POOR), fit(2, GOOD))),
    "open": ("1 and 2 are all plausible", choice(fit(1, GOOD), fit(2, GOOD)), clear()),
    "largest": ("not certain: 2 is the largest number tried.", choice(fit(1, POOR), fit(2, GOOD)), clear()),
    "smallest": ("not certain: 2 is the smallest number tried.", choice(fit(2, GOOD), fit(3, POOR)), clear()),
    "stuck": ("3 lies 7.0 nats below a smaller fit", STUCK, clear()),
    "two stuck": ("1 and 3 lie up to 9.0 nats below a smaller fit", BOTH_STUCK, STUCK),
    "unfinished": ("not certain: 2 did not converge", clear(converged=False), clear()),
    "one start": ("not certain: only 1 of 4 starts led to it", LUCKY, clear(starts=(-10.0,) * 4)),
    "behind": ("predicted better by 3, by 0.4 nats per row with a standard error of 0.1", behind(0.4), behind(0.2)),
    "groups": ("fewer may be right: ICL says 2.", overlapping(90.0, 130.0), clear()),
    "maximum": ("Each number is a maximum", OF_STICKS, clear()),
}  # fmt: skip


@pytest.mark.parametrize("case", OF_CERTAINTY)
def test_sentences_about_certainty(case: str) -> None:
    words, true_of, false_of = OF_CERTAINTY[case]
    assert words in how_sure(true_of), how_sure(true_of)
    assert words not in how_sure(false_of)
    assert ("clear about it" in how_sure(true_of)) == (case == "clear")
