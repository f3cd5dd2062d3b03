"""Rows and densities from draws, against SciPy; and the diagnosis of chains, against ArviZ."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate, stats

from tfgmm import Draws
from tfgmm.companions.diagnostics import Diagnosis, diagnose, warn_if_bad
from tfgmm.posterior import predictive
from tfgmm.posterior.predictive import component_densities, density_band, replicated_rows, sample_predictive


def draws_of(num_features=1, full=False, num_draws=50):
    rng = np.random.default_rng(num_features)
    shape = (2, num_draws, 3)
    locs = np.array([-4.0, 0.0, 5.0])[:, None] + rng.normal(0, 0.3, (*shape, num_features))
    scales = np.exp(rng.normal(-0.5, 0.2, (*shape, num_features)))
    covariances = None
    if full:
        factors = np.tril(rng.normal(0, 0.3, (*shape, num_features, num_features)), -1) + np.eye(num_features)
        covariances = scales[..., None] * (factors @ factors.swapaxes(-1, -2)) * scales[..., None, :]
        scales = np.sqrt(np.diagonal(covariances, axis1=-2, axis2=-1)).copy()
    return Draws(rng.dirichlet(np.ones(3), (2, num_draws)), locs, scales, covariances=covariances)


def densities(draws, points):
    """The density of each draw at each point, (C S, G), by SciPy, one at a time."""
    found = []
    for index in np.ndindex(draws.weights.shape[:2]):
        matrices = draws.scales[index][..., None] ** 2 * np.eye(draws.num_features)
        if draws.covariances is not None:
            matrices = draws.covariances[index]
        parts = zip(draws.weights[index], draws.locs[index], matrices)
        found.append(sum(w * stats.multivariate_normal(m, c).pdf(points) for w, m, c in parts))
    return np.array(found)


@pytest.mark.parametrize(("num_features", "full"), [(1, False), (2, True)])
def test_components_add_up_to_the_mean_density_each_by_scipy(num_features, full, monkeypatch):
    draws = draws_of(num_features, full)
    points = np.random.default_rng(0).normal(0, 4, (11, num_features))
    found = component_densities(draws, points)
    np.testing.assert_allclose(found.sum(axis=0), densities(draws, points).mean(axis=0), rtol=1e-9)
    expected = np.zeros(11)
    for index in np.ndindex(draws.weights.shape[:2]):
        matrix = draws.covariances[index][1] if full else draws.scales[index][1, :, None] ** 2 * np.eye(num_features)
        expected += draws.weights[index][1] * stats.multivariate_normal(draws.locs[index][1], matrix).pdf(points)
    np.testing.assert_allclose(found[1], expected / 100, rtol=1e-9)
    monkeypatch.setattr(predictive, "_MEMORY", 1)
    np.testing.assert_allclose(component_densities(draws, points), found, rtol=1e-12)


def test_all_rows_of_a_replicated_set_have_one_draw():
    locs = np.array([-100.0, 100.0]).reshape(1, 2, 1, 1)
    draws = Draws(np.ones((1, 2, 1)), locs, np.full_like(locs, 2.0))
    sets = replicated_rows(draws, 400, 50, seed=3)
    assert sets.shape == (400, 50, 1)
    signs = np.sign(sets[..., 0])
    assert (signs == signs[:, :1]).all()
    assert abs((signs[:, 0] > 0).mean() - 0.5) < 4 * 0.5 / np.sqrt(400)  # standard errors
    spread = (sets[..., 0] - 100 * signs).std()
    assert abs(spread - 2.0) < 4 * 2.0 / np.sqrt(2 * 20_000)
    np.testing.assert_array_equal(sets, replicated_rows(draws, 400, 50, seed=3))
    assert (sets != replicated_rows(draws, 400, 50, seed=4)).any()
    with pytest.raises(ValueError, match="`num_sets` must be a whole number of at least 0"):
        replicated_rows(draws, -1, 50)


@pytest.mark.parametrize(("num_features", "full"), [(1, False), (2, False), (2, True)])
def test_the_band_is_that_of_the_densities_of_all_draws(num_features, full, monkeypatch):
    draws = draws_of(num_features, full)
    points = np.random.default_rng(0).normal(0, 4, (23, num_features))
    expected = densities(draws, points)
    band = density_band(draws, points, interval=0.8)
    np.testing.assert_allclose(band.mean, expected.mean(axis=0), rtol=1e-10)
    np.testing.assert_allclose(band.lower, np.quantile(expected, 0.1, axis=0), rtol=1e-10)
    np.testing.assert_allclose(band.upper, np.quantile(expected, 0.9, axis=0), rtol=1e-10)
    monkeypatch.setattr(predictive, "_MEMORY", 1)  # a point at a time
    np.testing.assert_allclose(density_band(draws, points, interval=0.8).upper, band.upper, rtol=1e-12)


def test_the_mean_density_integrates_to_one():
    grid = np.linspace(-15, 15, 3001)
    band = density_band(draws_of(), grid)
    assert integrate.trapezoid(band.mean, grid) == pytest.approx(1.0, abs=1e-6)
    assert (band.lower <= band.upper).all() and band.interval == 0.9


def test_a_weight_of_zero_is_fine():
    locs = np.array([1000.0, 0.0]).reshape(1, 1, 2, 1)  # the one without weight is where it would be seen
    draws = Draws(np.array([[[0.0, 1.0]]]), locs, np.ones((1, 1, 2, 1)))
    assert density_band(draws, [0.0]).mean[0] == pytest.approx(stats.norm.pdf(0.0))
    assert (np.abs(sample_predictive(draws, 100)) < 6).all()


@pytest.mark.parametrize(("num_features", "full"), [(1, False), (2, False), (2, True)])
def test_predictive_rows_have_the_moments_of_all_draws(num_features, full, monkeypatch):
    draws = draws_of(num_features, full)
    monkeypatch.setattr(predictive, "_MEMORY", 4_000)  # several parts
    rows = sample_predictive(draws, 40_000, seed=1)
    matrices = draws.scales[..., None] ** 2 * np.eye(num_features) if not full else draws.covariances
    weights = draws.weights / (draws.num_chains * draws.num_draws)
    mean = np.einsum("csk,cskd->d", weights, draws.locs)
    centred = draws.locs - mean
    second = np.einsum("csk,cskde->de", weights, matrices + centred[..., None] * centred[..., None, :])
    assert (np.abs(rows.mean(axis=0) - mean) < 4 * np.sqrt(np.diag(second) / len(rows))).all()
    products = np.einsum("nd,ne->nde", rows - mean, rows - mean)
    assert (np.abs(products.mean(axis=0) - second) < 4 * products.std(axis=0) / np.sqrt(len(rows))).all()


def test_predictive_rows_follow_the_predictive_density():
    draws = draws_of()
    edges = np.linspace(-8, 9, 18)
    counts = np.histogram(sample_predictive(draws, 20_000, seed=3), edges)[0]
    fine = np.linspace(-8, 9, 17 * 50 + 1)
    heights = density_band(draws, fine).mean
    chances = np.array([integrate.trapezoid(heights[i : i + 51], fine[i : i + 51]) for i in range(0, 850, 50)])
    kept = chances * 20_000 > 10
    z = (counts - 20_000 * chances)[kept] / np.sqrt(20_000 * chances * (1 - chances))[kept]
    assert stats.chi2.sf(np.sum(z**2), kept.sum()) > 1e-3


def test_seeds_decide_rows_and_leave_numpy_alone():
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    first, again, other = (sample_predictive(draws_of(), 50, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any() and (np.random.get_state()[1] == state).all()  # noqa: NPY002
    assert sample_predictive(draws_of(2), 0).shape == (0, 2)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda d: sample_predictive(d, -1), "`num_rows` must be a whole number of at least 0"),
        (lambda d: sample_predictive(d, 3, seed=-1), "`seed` must be"),
        (lambda d: density_band(d, np.zeros(3)), r"`grid` must have shape \(G, 2\). Received: shape \(3,\)"),
        (lambda d: density_band(d, np.zeros((3, 1))), r"`grid` must have shape \(G, 2\)"),
        (lambda d: density_band(d, np.full((3, 2), np.nan)), "`grid` must hold finite numbers"),
        (lambda d: density_band(d, np.zeros((3, 2)), interval=90), "`interval` must lie between 0 and 1"),
    ],
)
def test_bad_arguments_are_named(call, words):
    with pytest.raises(ValueError, match=words):
        call(draws_of(2))


def chains(rng, correlation=0.0, shift=0.0, num_chains=4, num_draws=1_000, **stats_):
    """Draws whose numbers follow an autoregression, one chain moved."""
    noise = rng.normal(size=(num_chains, num_draws, 5))
    values = np.empty_like(noise)
    values[:, 0] = noise[:, 0]
    for step in range(1, num_draws):
        values[:, step] = correlation * values[:, step - 1] + np.sqrt(1 - correlation**2) * noise[:, step]
    values[0] += shift
    shares = 1 / (1 + np.exp(-values[..., 0]))
    weights = np.stack([shares, 1 - shares], axis=-1)
    return Draws(weights, values[..., 1:3, None], np.exp(0.1 * values[..., 3:5, None]), sample_stats=stats_)


@pytest.mark.parametrize("correlation", [0.0, 0.7, 0.95, -0.6])
def test_figures_are_those_of_arviz(correlation):
    import arviz

    draws = chains(np.random.default_rng(5), correlation, shift=0.2)
    found = diagnose(draws)
    data = draws.to_arviz()
    for figure, theirs in (
        (found.ess_bulk, arviz.ess(data, method="bulk")),
        (found.ess_tail, arviz.ess(data, method="tail")),
        (found.r_hat, arviz.rhat(data)),
    ):
        expected = np.concatenate([np.ravel(theirs[name]) for name in ("weights", "locs", "scales")])
        np.testing.assert_allclose(figure, expected, rtol=1e-8)
    assert found.names[:3] == ("weights[0]", "weights[1]", "locs[0, 0]") and len(found.names) == 6


def test_equal_draws_share_their_rank():
    import arviz

    rng = np.random.default_rng(2)
    values = np.round(rng.normal(size=(4, 500, 1, 1)), 1)
    draws = Draws(np.ones((4, 500, 1)), values, np.exp(values))
    assert diagnose(draws).r_hat[0] == pytest.approx(float(arviz.rhat(values[..., 0, 0])), abs=1e-8)


def test_good_chains_are_not_warned_of(recwarn):
    draws = chains(np.random.default_rng(0))
    assert diagnose(draws).problems() == ()
    warn_if_bad(draws, True, stacklevel=1)
    assert len(recwarn) == 0


BAD = {
    "divergences": ({"diverging": np.arange(4_000).reshape(4, 1_000) < 3}, True, "3 of 4,000 draws diverged"),
    "disagreement": ({"shift": 3.0}, True, r"r_hat is .* for .*should be at most 1.01"),
    "correlation": ({"correlation": 0.99}, True, "draws are worth only .* independent ones for"),
    "modes": ({"shift": 3.0}, False, 'With start="mode" all chains start'),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_chains_are_warned_of_in_words(case):
    arguments, from_modes, words = BAD[case]
    with pytest.warns(UserWarning, match=words):
        warn_if_bad(chains(np.random.default_rng(0), **arguments), from_modes, stacklevel=1)


def test_few_draws_say_nothing():
    found = diagnose(chains(np.random.default_rng(0), num_draws=3))
    assert np.isnan(found.r_hat).all() and len(found.problems()) == 1


def test_a_number_that_never_varies_is_not_called_converged():
    draws = Draws(np.ones((2, 50, 1)), np.zeros((2, 50, 1, 1)), np.ones((2, 50, 1, 1)))
    assert diagnose(draws).problems()[0].startswith("2 numbers hardly vary, such as locs[0, 0]")


def test_the_table_names_every_number():
    text = str(diagnose(draws_of(2, full=True)))
    assert (
        "covariances[0, 1, 0]" in text and "covariances[0, 0, 0]" not in text and "0 divergent draws of 2 x 50" in text
    )


def test_text_and_ragged_grids_are_named():
    with pytest.raises(TypeError, match="`grid` must be numbers. Received: dtype <U1"):
        density_band(draws_of(1), ["a"])
    with pytest.raises(ValueError, match="`grid` must be an array of numbers"):
        density_band(draws_of(1), [[1.0], [1.0, 2.0]])


def diagnosis(r_hat=1.0, ess=1_000.0, num_chains=4, **more):
    """Four chains of a thousand draws, of figures that no chain has."""
    fields = {"ess_bulk": np.array([ess]), "ess_tail": np.array([ess]), "r_hat": np.array([r_hat])}
    fields |= {"names": ("locs[0, 0]",), "mean": np.array([3.0]), "sd": np.array([1.0]), "num_divergent": 0}
    return Diagnosis(**fields | {"num_chains": num_chains, "num_draws": 1_000} | more)


NONE = {"ess_bulk": np.array([np.nan])}
STUCK = NONE | {"sd": np.zeros(1)}
ONE, TWO = {"r_hat": 1.06, "num_chains": 1}, {"r_hat": 1.06, "num_chains": 2}
ALIGNED = {"r_hat": 1.1, "is_aligned": True}
# What is said; the figures of which it is true; those of which it is not
SENTENCES = {
    "to the digit": (
        "r_hat is 1.012 for locs[0, 0], and should be at most 1.01.",
        {"r_hat": 1.0123},
        {"r_hat": 1.0099},
    ),
    "at the limit": ("r_hat is 1.01001", {"r_hat": 1.01001}, {"r_hat": 1.01}),
    "two chains": ("r_hat is 1.06 ", TWO, TWO | {"r_hat": 1.04}),
    "one chain": ("the halves of the chain disagree", ONE, TWO),
    "names": ("tfgmm.align(draws) mends it", {"r_hat": 1.1}, ALIGNED),
    "modes": ("They may be at different modes", ALIGNED, {"r_hat": 1.1}),
    "effective, to the digit": ("worth only 399.7 independent ones", {"ess": 399.7}, {"ess": 400.0}),
    "effective": ("4,000 draws are worth only 12.3 independent ones for locs[0, 0], and", {"ess": 12.34}, {}),
    "divergent": ("7 of 4,000 draws diverged", {"num_divergent": 7}, {}),
    "too few": ("3 draws of a chain are too few", {"num_draws": 3}, {"num_draws": 4}),
    "constant": ("1 number hardly varies, such as locs[0, 0], whose standard deviation is 0:", STUCK, NONE),
    "unknown": ("the effective draws of locs[0, 0] cannot be told from 1000 draws", NONE, STUCK),
}


def test_numbers_that_vary_are_not_counted_among_those_that_do_not():
    nan = np.full(4, np.nan)
    found = diagnosis(
        names=("a", "b", "c", "d"), mean=np.full(4, 3.0), sd=np.array([1.0, 0.0, 2.0, 0.0]),
        ess_bulk=nan, ess_tail=nan, r_hat=nan, num_draws=5,
    )  # fmt: skip
    stuck, untold = found.problems()
    assert stuck.startswith("2 numbers hardly vary, such as b, whose standard deviation is 0:")
    assert untold == "the effective draws of a, and of 1 more, cannot be told from 5 draws. Draw more"


@pytest.mark.parametrize("case", SENTENCES)
def test_sentences_about_chains(case):
    words, true_of, false_of = SENTENCES[case]
    assert words in " ".join(diagnosis(**true_of).problems())
    assert words not in " ".join(diagnosis(**false_of).problems())
