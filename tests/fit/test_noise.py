"""Fits to rows with measurement noise: from files with blocks that say nothing, and what is said of the answer."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import special

import tfgmm
from tfgmm.posterior.agreement import pareto_k_of
from tfgmm.posterior.record import LARGEST_K_HAT


@pytest.mark.parametrize("covariance", ["diag", "full"])
@pytest.mark.parametrize("kind", ["weight 0", "no value"])
@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.filterwarnings("ignore:.*without any value")
def test_blocks_of_a_file_that_say_nothing_are_no_rows(tmp_path, monkeypatch, ending, kind, covariance):
    monkeypatch.setattr("tfgmm.data.files.opening._LARGE_BYTES", 0)  # read block by block
    generator = np.random.default_rng(0)
    table = pd.DataFrame(generator.normal(size=(90, 2)), columns=["a", "b"])
    table["e"], table["w"] = generator.uniform(0.2, 1.0, 90), 1.0
    if kind == "weight 0":
        table.loc[30:59, "w"] = 0.0
    else:
        table.loc[30:59, ["a", "b"]] = np.nan
    path = tmp_path / f"rows.{ending}"
    table.to_csv(path, index=False) if ending == "csv" else table.to_parquet(path)
    options = {"covariance": covariance, "noise": {"a": "e"}, "sample_weight": "w", "restarts": 1, "seed": 0}
    stored = tfgmm.fit_mixture(path, 1, batch_size=15, validation_data=path, **options)
    assert stored.num_data == 60
    framed = tfgmm.fit_mixture(table, 1, validation_data=table, **options)
    np.testing.assert_allclose(stored.elbo, framed.elbo, rtol=1e-10)
    np.testing.assert_allclose(stored.locs, framed.locs, rtol=1e-8)
    for name in ("val_elbo", "elbo"):
        np.testing.assert_allclose(stored.history[name][-1], framed.history[name][-1], rtol=1e-10)


def _one_column(ratio: float, num_rows: int = 100) -> tuple[np.ndarray, np.ndarray]:
    """Returns rows with standard deviation 1 and noise, and the noise's standard deviations."""
    generator = np.random.default_rng(4)
    noise = np.full((num_rows, 1), ratio)
    return generator.normal(size=(num_rows, 1)) + ratio * generator.normal(size=(num_rows, 1)), noise


@pytest.mark.parametrize(("ratio", "is_said"), [(0.3, False), (1.0, True)])
def test_a_fit_says_where_noise_hides_much(ratio, is_said):
    rows, noise = _one_column(ratio)
    result = tfgmm.fit_mixture(rows, 1, noise=noise, restarts=1)
    sd = result.mean_parameters().scales[0, 0, 0, 0]
    np.testing.assert_allclose(result.hidden_by_noise, [ratio**2 / (sd**2 + ratio**2)], rtol=1e-6)
    assert ("intervals are too narrow" in result.summary()) == is_said
    assert ("of means in column 0 (" in result.summary()) == is_said
    assert "too narrow" not in result.with_posterior(rows, "importance", noise=noise).summary()
    without = tfgmm.fit_mixture(rows, 1, restarts=1)
    assert without.hidden_by_noise == () and "intervals are too narrow" not in without.summary()


def test_noise_that_hides_much_makes_intervals_too_narrow_and_k_hat_says_so():
    for ratio, is_wide in ((0.3, True), (3.0, False)):
        rows, noise = _one_column(ratio)
        result = tfgmm.fit_mixture(rows, 1, noise=noise, restarts=1)
        draws = result.draws(2000, seed=0, data=rows, noise=noise)
        exact = np.sqrt((1.0 + ratio**2) / len(rows))  # of the mean, were the widths known
        assert (draws.locs.std() > 0.8 * exact) == is_wide
        assert (pareto_k_of(draws) < LARGEST_K_HAT) == is_wide


@pytest.mark.slow
@pytest.mark.parametrize("covariance", ["diag", "full"])
def test_polishing_with_noise_raises_the_marginal_bound(covariance):
    generator = np.random.default_rng(3)
    locs, sds = (np.repeat(values, 60, axis=0) for values in ([[-2.0, 0.0], [2.0, 1.0]], [[1.0, 0.6], [0.7, 1.1]]))
    clean = generator.normal(locs, sds)
    noise = generator.uniform(0.2, 1.5, clean.shape)
    rows, weights = clean + noise * generator.normal(size=clean.shape), generator.choice([1.0, 2.0], 120)
    bounds = []
    for steps in (0, 300):
        result = tfgmm.fit_mixture(
            rows, 2, covariance=covariance, noise=noise, sample_weight=weights, restarts=2, polish_steps=steps
        )
        draws = result.draws(4000, seed=0)
        bounds.append(_expected_log_likelihood(draws, rows, noise, weights) - float(result.variational.kl()))
    assert bounds[1] > bounds[0] + 0.3, "the augmented bound falls, this one rises; known to 0.03"


def _expected_log_likelihood(draws, rows, noise, weights):
    """Averages the log likelihood of weighted noisy rows in two columns over draws, row by row."""
    covariances = draws.covariances[0] if draws.covariances is not None else draws.scales[0, ..., None] ** 2 * np.eye(2)
    total = 0.0
    for row, of_row, weight in zip(rows, noise, weights):
        both, away = covariances + np.diag(of_row**2), row - draws.locs[0]
        determinants = both[..., 0, 0] * both[..., 1, 1] - both[..., 0, 1] ** 2
        squares = both[..., 1, 1] * away[..., 0] ** 2 + both[..., 0, 0] * away[..., 1] ** 2
        squares = (squares - 2.0 * both[..., 0, 1] * away[..., 0] * away[..., 1]) / determinants
        joints = np.log(draws.weights[0]) - 0.5 * (squares + np.log(determinants)) - np.log(2.0 * np.pi)
        total += weight * special.logsumexp(joints, axis=1).mean()
    return total
