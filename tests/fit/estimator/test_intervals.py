"""The table of intervals: against quantiles of draws, closed forms, and the fit's own words."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import tfgmm

GENERATOR = np.random.default_rng(13)
ROWS = GENERATOR.normal(np.repeat([[-3.0, 0.0], [3.0, 1.0]], [60, 40], axis=0))


def test_lines_are_components_by_kind_and_column():
    table = tfgmm.BayesianGaussianMixture(2).fit(pd.DataFrame(ROWS, columns=["first", "second"])).intervals()
    assert table.columns.tolist() == ["component", "name", "column", "mean", "low", "high"]
    lines = list(zip(table["name"], table["component"], table["column"]))
    expected = [("weight", k, "") for k in range(2)]
    expected += [(name, k, c) for name in ("mean", "standard deviation") for k in range(2) for c in ("first", "second")]
    assert lines == expected
    assert ((table["low"] < table["mean"]) & (table["mean"] < table["high"])).all()


def test_intervals_are_those_of_the_posterior():
    fitted = tfgmm.BayesianGaussianMixture(2, covariance_type="diag").fit(ROWS)
    table, result = fitted.intervals(level=0.8), fitted.result_
    by_name = {name: lines.reset_index(drop=True) for name, lines in table.groupby("name")}
    counts = result.counts
    for k in range(2):
        low, high = stats.beta(counts[k], counts.sum() - counts[k]).interval(0.8)
        found = by_name["weight"].iloc[k]
        assert (found["low"], found["high"]) == pytest.approx((low, high), abs=0.01)
    means = by_name["mean"]
    locs, scales = result.locs.ravel(), result.scales.ravel()
    np.testing.assert_allclose(means["low"], locs - 1.2816 * scales, atol=0.03)
    np.testing.assert_allclose(means["high"], locs + 1.2816 * scales, atol=0.03)
    precisions = stats.gamma(result.alpha, scale=1 / result.beta)
    low, high = (precisions.ppf(share).ravel() ** -0.5 for share in (0.9, 0.1))
    np.testing.assert_allclose(by_name["standard deviation"]["low"], low, rtol=0.05)
    np.testing.assert_allclose(by_name["standard deviation"]["high"], high, rtol=0.05)


def test_a_higher_level_is_wider_and_one_beyond_the_draws_is_refused():
    fitted = tfgmm.BayesianGaussianMixture(2).fit(ROWS)
    narrow, wide = (fitted.intervals(level) for level in (0.5, 0.95))
    assert (wide["high"] - wide["low"] > 1.5 * (narrow["high"] - narrow["low"])).all()
    for level in (0.0, 1.0, True, "wide"):
        with pytest.raises(ValueError, match=f"`level` must be above 0 and at most 0.9980. Received: {level!r}."):
            fitted.intervals(level)


@pytest.mark.filterwarnings("ignore:standard deviations may be")
def test_draws_of_the_exact_posterior_are_taken_where_the_fit_has_them():
    rows = GENERATOR.normal(np.repeat([[-1.2], [1.2]], 100, axis=0))
    widths = [
        tfgmm.BayesianGaussianMixture(2, covariance_type="tied_diag", posterior=posterior, n_init=2)
        .fit(rows)
        .intervals()
        for posterior in ("mean_field", "laplace")
    ]
    narrow, right = ((table["high"] - table["low"])[table["name"] == "mean"].to_numpy() for table in widths)
    assert (right > 1.1 * narrow).all()
