"""Leaving rows out: what ArviZ makes of draws of a fit, beside fits without each row."""

from __future__ import annotations

import arviz
import numpy as np
import pytest
from scipy import stats
from scipy.special import logsumexp

import tfgmm

# Quantiles of two normals, so that no row is an outlier
ROWS = np.concatenate([stats.norm(loc, 0.8).ppf((np.arange(n) + 0.5) / n) for loc, n in ((-3.0, 16), (3.0, 24))])[
    :, None
]


@pytest.fixture(scope="module")
def result():
    return tfgmm.fit_mixture(ROWS, 2, seed=0)


def exact_draws(result, rows, seed=0):
    return result.draws(1_000, seed=seed, data=rows, posterior="auto")


def test_leaving_one_out_is_what_fits_without_the_row_say(result):
    chosen, expected = np.arange(0, len(ROWS), 3), []
    for left in chosen:
        others = np.delete(ROWS, left, axis=0)
        refitted = exact_draws(tfgmm.fit_mixture(others, 2, restarts=1, priors=result.priors), others, seed=int(left))
        with pytest.warns(UserWarning, match=r"not those of the fit, 39 rows \(received: 1 row\)"):
            of_row = refitted.to_arviz(ROWS[[left]], predictive=0).log_likelihood["rows"].values
        expected.append(logsumexp(of_row) - np.log(of_row.size))
    data = exact_draws(result, ROWS).to_arviz(ROWS, predictive=0)
    found = arviz.loo(data, pointwise=True).loo_i.values[chosen]
    np.testing.assert_allclose(found, expected, rtol=0, atol=0.1)
    of_all = logsumexp(data.log_likelihood["rows"].values, axis=(0, 1))[chosen] - np.log(1_000)
    # What leaving out takes from the density of the rows: a tenth of it is the error of a thousand draws
    assert (of_all - found).sum() == pytest.approx((of_all - expected).sum(), rel=0.1)


def test_the_closed_form_has_nearly_the_same_score(result):
    exact, closed = (
        arviz.loo(draws.to_arviz(ROWS, predictive=0))
        for draws in (exact_draws(result, ROWS), result.draws(1_000, seed=0))
    )
    assert closed.elpd_loo == pytest.approx(exact.elpd_loo, abs=1.0) and closed.elpd_loo != exact.elpd_loo
