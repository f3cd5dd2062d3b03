"""Agreement of two sets of draws: known differences are told, whatever the order of the components."""

from __future__ import annotations

import dataclasses
import sys

import numpy as np
import pytest
from scipy import stats

import tfgmm
from tfgmm.posterior.agreement import pareto_k_of
from tfgmm.posterior.draws import Draws


def draws_of(sd_of_locs, sd_of_log_scales, *, seed, shift=0.0, order=(0, 1), num_draws=4_000, names=("length",)):
    rng = np.random.default_rng(seed)
    shape = (1, num_draws, 2, 1)
    locs = np.array([[0.0], [8.0]]) + shift + sd_of_locs * rng.standard_normal(shape)
    scales = np.exp(sd_of_log_scales * rng.standard_normal(shape))
    draws = Draws(rng.dirichlet([300.0, 700.0], (1, num_draws)), locs, scales, names)
    return draws.permuted(np.broadcast_to(order, (1, num_draws, 2)))


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_known_differences_are_found_in_any_order_of_components(order):
    found = tfgmm.compare(draws_of(0.1, 0.05, seed=0, shift=0.1, order=order), draws_of(0.2, 0.05, seed=1))
    assert found.names == (
        "weights[0]", "weights[1]", "locs[0, length]", "locs[1, length]", "scales[0, length]", "scales[1, length]",
    )  # fmt: skip
    np.testing.assert_allclose(found.mean_differences, [0, 0, 0.5, 0.5, 0, 0], atol=0.1)
    np.testing.assert_allclose(found.sd_ratios, [1, 1, 0.5, 0.5, 1, 1], atol=0.06)
    # Two normals whose quantiles are (0.1 + 0.1 z) and 0.2 z: E|0.1 - 0.1 z| / 0.2
    expected = stats.foldnorm(1.0, scale=0.1).mean() / 0.2
    np.testing.assert_allclose(found.distances[2:4], expected, atol=0.03)
    assert found.pareto_k is None
    np.testing.assert_allclose(found.means_a[2:4], [0.1, 8.1], atol=0.02)


def test_draws_agree_with_themselves():
    draws = draws_of(0.1, 0.05, seed=0)
    found = tfgmm.compare(draws, draws)
    assert not found.distances.any() and not found.mean_differences.any() and (found.sd_ratios == 1.0).all()


def test_the_table_says_what_it_found():
    found = tfgmm.compare(draws_of(0.1, 0.05, seed=0, shift=0.1), draws_of(0.2, 0.05, seed=1))
    frame = found.to_frame()
    assert list(frame.index) == list(found.names)
    np.testing.assert_array_equal(frame["sd ratio"], found.sd_ratios)
    text = str(found)
    assert "locs[1, length]" in text and "smallest beside b's for locs[" in text and "k-hat" not in text


def test_heavy_tails_of_the_exact_posterior_have_a_large_k():
    """Draws from a normal weighted to a normal of other width: ratios with tails of a known shape, 1 - s^2 / w^2."""
    rng = np.random.default_rng(0)
    z = 1.0 * rng.standard_normal(20_000)
    draws = draws_of(0.1, 0.05, seed=0, num_draws=20_000)
    for width, is_fine in ((1.2, True), (3.0, False)):
        ratios = stats.norm.logpdf(z, 0, width) - stats.norm.logpdf(z)
        weighed = Draws(draws.weights, draws.locs, draws.scales, sample_stats={"log_importance_ratio": ratios[None]})
        k = pareto_k_of(weighed)
        assert (k < 0.7) is is_fine
        assert k == pytest.approx(1 - 1 / width**2, abs=0.15)
    found = tfgmm.compare(weighed, draws)
    assert found.pareto_k == k and "a misses parts of the posterior" in str(found)


def test_sets_of_other_sizes_cannot_be_compared():
    one = Draws(np.ones((1, 5, 1)), np.zeros((1, 5, 1, 1)), np.ones((1, 5, 1, 1)))
    with pytest.raises(ValueError, match=r"\(K, D\) = \(2, 1\) and \(1, 1\)"):
        tfgmm.compare(draws_of(0.1, 0.05, seed=0), one)


def test_columns_in_other_order_are_refused():
    rng = np.random.default_rng(0)
    both = [
        Draws(
            np.ones((1, 9, 1)), rng.normal(size=(1, 9, 1, 2)), np.ones((1, 9, 1, 2)) + rng.random((1, 9, 1, 2)), names
        )
        for names in (("a", "b"), ("b", "a"))
    ]
    with pytest.raises(ValueError, match=r"equal columns. Received: \('a', 'b'\) and \('b', 'a'\)"):
        tfgmm.compare(*both)


def full_draws():
    rng = np.random.default_rng(0)
    roots = np.eye(2) + 0.1 * rng.standard_normal((1, 500, 1, 2, 2))
    covariances = roots @ np.swapaxes(roots, -1, -2)
    scales = np.sqrt(np.diagonal(covariances, axis1=-2, axis2=-1))
    return Draws(np.ones((1, 500, 1)), rng.normal(size=(1, 500, 1, 2)), scales, covariances=covariances)


def test_only_what_both_have_is_compared():
    """Draws with covariances beside draws without: locations and scales, each with its own."""
    full = full_draws()
    diag = Draws(full.weights[:, :300], full.locs[:, :300], full.scales[:, :300])
    for a, b in ((diag, full), (full, diag)):
        found = tfgmm.compare(a, b)
        assert found.names == ("locs[0, 0]", "locs[0, 1]", "scales[0, 0]", "scales[0, 1]")
        for means, draws in ((found.means_a, a), (found.means_b, b)):
            expected = np.concatenate([draws.locs[0].mean(axis=(0, 1)), draws.scales[0].mean(axis=(0, 1))])
            np.testing.assert_allclose(means, expected)


def test_numbers_that_do_not_vary_are_left_out_and_no_others_is_an_error():
    rng = np.random.default_rng(0)
    draws = Draws(np.ones((1, 50, 1)), rng.normal(size=(1, 50, 1, 1)), np.ones((1, 50, 1, 1)))
    assert tfgmm.compare(draws, draws).names == ("locs[0, 0]",)
    one = Draws(np.ones((1, 1, 1)), np.zeros((1, 1, 1, 1)), np.ones((1, 1, 1, 1)))
    with pytest.raises(ValueError, match="`draws_b` must vary. Received: 1 draws"):
        tfgmm.compare(draws, one)


def test_an_alignment_of_ones_own_is_kept():
    draws = draws_of(0.1, 0.05, seed=0)
    kept = tfgmm.align(draws, [[8.0], [0.0]])
    assert tfgmm.compare(draws, kept).aligned_b is kept


def with_ratios(ratios):
    num_draws = len(ratios)
    draws = draws_of(0.1, 0.05, seed=0, num_draws=num_draws)
    stats_of_draws = {"log_importance_ratio": np.asarray(ratios)[None]}
    return Draws(draws.weights, draws.locs, draws.scales, sample_stats=stats_of_draws)


def test_few_or_equal_or_bad_ratios_are_no_heavy_tail():
    assert pareto_k_of(with_ratios(np.random.default_rng(0).normal(size=50))) is None
    assert pareto_k_of(with_ratios(np.full(400, -57.2) + 1e-5 * np.arange(400) / 400)) == 0.0
    with pytest.raises(ValueError, match="must be finite"):
        pareto_k_of(with_ratios(np.full(400, np.nan)))


def test_the_k_needs_no_arviz(monkeypatch):
    """And is ArviZ's."""
    import arviz

    ratios = np.random.default_rng(0).normal(size=400)
    expected = float(arviz.psislw(ratios)[1])
    monkeypatch.setitem(sys.modules, "arviz", None)
    draws = with_ratios(ratios)
    assert tfgmm.compare(draws, draws).pareto_k == pytest.approx(expected, abs=1e-8)


def test_full_covariances_are_compared_too():
    assert "covariances[0, 1, 0]" in tfgmm.compare(full_draws(), full_draws()).names


@pytest.mark.parametrize(
    ("pareto_k", "said", "not_said"),
    [
        (0.699, "0.699 (weighting a's draws can mend what differs; the limit is 0.7)", "misses"),
        (0.7, "0.7 (a misses parts of the posterior; the limit is 0.7)", "mend"),
        (0.7003, "0.7003 (a misses parts of the posterior", "mend"),
        (0.4, "0.4 (weighting", "misses"),
        (None, "standard deviation", "Pareto"),
    ],
)
def test_sentences_follow_from_their_figures(pareto_k, said, not_said):
    agreement = tfgmm.compare(*(draws_of(0.1, 0.1, seed=seed, num_draws=200) for seed in (0, 1)))
    words = " ".join(dataclasses.replace(agreement, pareto_k=pareto_k).sentences())
    assert said in words and not_said not in words
