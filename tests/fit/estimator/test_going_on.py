"""Warm starts: a fit that goes on from the last one."""

from __future__ import annotations

import numpy as np
import pytest

import tfgmm

GENERATOR = np.random.default_rng(12)
ROWS = GENERATOR.normal(np.repeat([[-1.5, 0.0], [1.5, 1.0], [0.0, 3.0]], 80, axis=0))


@pytest.mark.filterwarnings("ignore::tfgmm.ConvergenceWarning")
@pytest.mark.parametrize("shape", ["full", "tied_diag"])
@pytest.mark.parametrize("kind", ["dirichlet_distribution", "dirichlet_process"])
def test_a_fit_goes_on_where_it_stopped(shape, kind):
    options = {"covariance_type": shape, "weight_concentration_prior_type": kind}
    whole = tfgmm.BayesianGaussianMixture(3, **options).fit(ROWS)
    warm = tfgmm.BayesianGaussianMixture(3, warm_start=True, max_iter=2, **options)
    bounds = [warm.fit(ROWS).lower_bounds_[0] for _ in range(3)]
    assert bounds[0] < bounds[1] < bounds[2] and len(warm.result_.restarts) == 1
    warm.set_params(max_iter=200).fit(ROWS)
    assert warm.converged_ and warm.lower_bound_ >= bounds[2]
    again = warm.fit(ROWS)
    assert again.lower_bound_ == pytest.approx(warm.lower_bound_, abs=1e-7)
    assert warm.lower_bound_ == pytest.approx(whole.lower_bound_, abs=0.05)


def test_other_rows_begin_at_the_components_of_the_last_fit():
    warm = tfgmm.BayesianGaussianMixture(3, warm_start=True).fit(ROWS)
    before, moved = warm.means_, ROWS + 0.3
    after = warm.fit(moved).means_
    np.testing.assert_allclose(after - before, 0.3, atol=1e-3)  # component by component: none has changed its place
    cold = tfgmm.BayesianGaussianMixture(3).fit(moved)
    assert warm.lower_bound_ == pytest.approx(cold.lower_bound_, abs=1e-6)


@pytest.mark.parametrize(
    "other",
    [
        {"n_components": 2},
        {"covariance_type": "diag"},
        {"weight_concentration_prior_type": "dirichlet_process"},
    ],
)
def test_a_fit_of_another_kind_starts_anew(other):
    warm = tfgmm.BayesianGaussianMixture(3, warm_start=True).fit(ROWS)
    anew = warm.set_params(**other).fit(ROWS)
    cold = tfgmm.BayesianGaussianMixture(**{"n_components": 3} | other).fit(ROWS)
    assert anew.lower_bound_ == cold.lower_bound_ and len(anew.result_.restarts) == 8
    narrow = warm.fit(ROWS[:, :1])
    assert narrow.n_features_in_ == 1 and len(narrow.result_.restarts) == 8


def test_without_it_every_fit_is_the_same():
    estimator = tfgmm.BayesianGaussianMixture(3).fit(ROWS)
    first = estimator.lower_bound_
    assert estimator.fit(ROWS + 5.0).fit(ROWS).lower_bound_ == first
