"""r-hat and effective sizes: ArviZ's, and none where there is nothing to tell."""

from __future__ import annotations

import time

import numpy as np
import pytest

from tfgmm.posterior.convergence import bulk_sizes, r_hats, tail_sizes


def autoregressions(num_chains, num_draws, seed=0):
    """Chains of numbers that are correlated to different degrees, some of chains apart or of other widths."""
    rng = np.random.default_rng(seed)
    correlations = np.array([0.0, 0.3, 0.9, 0.99, -0.5, -0.95, 0.5, 0.5, 0.0])
    noise = rng.standard_normal((num_chains, num_draws, len(correlations)))
    values = noise.copy()
    for step in range(1, num_draws):
        values[:, step] = correlations * values[:, step - 1] + np.sqrt(1 - correlations**2) * noise[:, step]
    values[0, :, 6] += 3.0
    values[-1, :, 7] *= 4.0
    values[..., 8] = np.round(values[..., 8], 1)
    return values


def of_arviz(figure, values, **options):
    return np.array([float(figure(values[..., p], **options)) for p in range(values.shape[2])])


@pytest.mark.parametrize("shape", [(4, 1_000), (64, 40), (64, 37), (2, 4), (3, 5), (2, 6), (5, 15)])
def test_figures_are_those_of_arviz(shape):
    import arviz

    for seed in range(3):
        values = autoregressions(*shape, seed)
        given = values.copy()
        np.testing.assert_allclose(r_hats(values), of_arviz(arviz.rhat, values), rtol=0, atol=1e-8)
        np.testing.assert_allclose(bulk_sizes(values), of_arviz(arviz.ess, values, method="bulk"), rtol=1e-8)
        np.testing.assert_array_equal(values, given)


def test_tail_sizes_are_those_of_arviz():
    import arviz

    values = autoregressions(4, 1_000)
    np.testing.assert_allclose(tail_sizes(values), of_arviz(arviz.ess, values, method="tail"), rtol=1e-8)


def test_an_independent_chain_is_worth_its_length_and_a_slow_one_what_its_correlation_says():
    values = autoregressions(8, 4_000)
    found = bulk_sizes(values)
    # (1 - correlation) / (1 + correlation) of the draws
    np.testing.assert_allclose(found[:3] / (8 * 4_000), [1.0, 0.7 / 1.3, 0.1 / 1.9], rtol=0.12)
    assert found[5] > 8 * 4_000


def test_one_chain_apart_or_wider_is_told():
    found = r_hats(autoregressions(8, 400))
    assert found[6] > 1.05 and found[7] > 1.05 and found[0] < 1.01


def test_ranks_alone_count():
    values = autoregressions(8, 100)
    np.testing.assert_array_equal(bulk_sizes(np.exp(values)), bulk_sizes(values))


def test_a_number_that_never_varies_tells_nothing():
    values = autoregressions(4, 100)
    values[..., 1] = 7.25
    for figure in (r_hats, bulk_sizes, tail_sizes):
        assert np.isnan(figure(values)).tolist() == [False, True, *([False] * 7)]


def test_chains_that_never_move_disagree():
    values = np.broadcast_to(np.arange(8.0)[:, None, None], (8, 100, 1))
    assert r_hats(values)[0] > 1e6
    assert bulk_sizes(values)[0] == pytest.approx(8, rel=0.1)


def test_a_number_with_two_values_is_judged_by_them_alone():
    """The distances from the median are all equal."""
    import arviz

    values = np.where(np.random.default_rng(0).random((4, 100, 1)) < 0.5, -1.0, 1.0)
    values[0, 0] = values[0, 1] = np.where(np.median(values) > 0, -1.0, 1.0)
    np.testing.assert_allclose(r_hats(values), of_arviz(arviz.rhat, values), atol=1e-8)


def test_three_draws_tell_nothing():
    values = autoregressions(4, 3)
    for figure in (r_hats, bulk_sizes, tail_sizes):
        assert figure(values).shape == (9,) and np.isnan(figure(values)).all()


def test_no_numbers_have_no_figures():
    for figure in (r_hats, bulk_sizes, tail_sizes):
        assert figure(np.zeros((4, 20, 0))).shape == (0,)


def test_float32_draws_are_measured_in_float64():
    values = autoregressions(4, 100).astype(np.float32)
    assert r_hats(values).dtype == np.float64
    np.testing.assert_array_equal(bulk_sizes(values), bulk_sizes(values.astype(np.float64)))


def test_a_batch_of_short_chains_takes_little_time():
    """It is looked at after every batch of paths: 64 chains of 40 draws of 20 numbers."""
    values = np.random.default_rng(0).standard_normal((64, 40, 20))
    times = []
    for _ in range(5):
        start = time.perf_counter()
        r_hats(values), bulk_sizes(values)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.1
