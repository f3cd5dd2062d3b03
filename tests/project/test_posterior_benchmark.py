"""The judges of posteriors in benchmarks/: ranks, coverage, numbers without labels, and the rival of our own making."""

from __future__ import annotations

import importlib
import pathlib
from typing import Any

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad
from sklearn.mixture import BayesianGaussianMixture

import tfgmm

FOLDER = pathlib.Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module


@pytest.fixture
def calibration(module: Any) -> Any:
    return module("calibration")


@pytest.fixture
def rivals(module: Any) -> Any:
    return module("rivals")


def some_mixtures(calibration: Any, num_features: int) -> Any:
    rng = np.random.default_rng(0)
    factors = np.eye(num_features) + 0.3 * rng.standard_normal((4, 3, num_features, num_features))
    weights, locs = rng.dirichlet(np.ones(3), 4), rng.normal(0, 2, (4, 3, num_features))
    return calibration.Mixtures(weights, locs, factors @ factors.swapaxes(-1, -2))


# --- Numbers without labels -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("num_features", [1, 3])
def test_log_densities_are_those_of_scipy(calibration: Any, num_features: int) -> None:
    mixtures = some_mixtures(calibration, num_features)
    points = np.random.default_rng(1).normal(size=(5, num_features))
    found = calibration.log_densities(mixtures, points)
    for s, g in np.ndindex(found.shape):
        parts = [
            weight * stats.multivariate_normal(loc, covariance).pdf(points[g])
            for weight, loc, covariance in zip(*(part[s] for part in mixtures))
        ]
        assert found[s, g] == pytest.approx(np.log(sum(parts)), abs=1e-10)


def test_moments_are_those_of_the_integrated_density(calibration: Any) -> None:
    mixtures = some_mixtures(calibration, 1)
    numbers = calibration.label_free(mixtures, np.zeros((1, 1)))

    def expected(function: Any) -> float:
        one = calibration.Mixtures(*(part[:1] for part in mixtures))

        def integrand(x: float) -> float:
            return function(x) * np.exp(calibration.log_densities(one, np.array([[x]]))[0, 0])

        return quad(integrand, -30, 30, limit=400, points=mixtures.locs[0, :, 0])[0]

    mean = expected(lambda x: x)
    variance = expected(lambda x: (x - mean) ** 2)
    skewness = expected(lambda x: (x - mean) ** 3) / variance**1.5
    assert numbers["mean"][0] == pytest.approx(mean, abs=1e-8)
    assert numbers["log variance"][0] == pytest.approx(np.log(variance), abs=1e-8)
    assert numbers["skewness"][0] == pytest.approx(skewness, abs=1e-8)


def test_numbers_without_labels_keep_their_values_in_another_order(calibration: Any) -> None:
    mixtures, points = some_mixtures(calibration, 2), np.array([[0.0, 1.0], [2.0, -1.0]])
    turned = calibration.Mixtures(*(part[:, [2, 0, 1]] for part in mixtures))
    found, again = calibration.label_free(mixtures, points), calibration.label_free(turned, points)
    assert len(found) == 3 * 2 + 2 + 2
    for name, values in found.items():
        np.testing.assert_allclose(again[name], values, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("is_full", [False, True])
def test_draws_of_all_chains_become_one_list(calibration: Any, is_full: bool) -> None:
    mixtures = some_mixtures(calibration, 2)
    covariances = mixtures.covariances if is_full else mixtures.covariances * np.eye(2)
    scales = np.sqrt(np.diagonal(covariances, axis1=-2, axis2=-1))
    parts = [part.reshape(2, 2, *part.shape[1:]) for part in (mixtures.weights, mixtures.locs, scales, covariances)]
    draws = tfgmm.Draws(*parts[:3], covariances=parts[3] if is_full else None)
    found = calibration.mixtures_of(draws)
    for part, values in zip(found, (mixtures.weights, mixtures.locs, covariances)):
        np.testing.assert_allclose(part, values, atol=1e-12)


# --- Ranks and coverage -------------------------------------------------------------------------------------------


def test_ranks_reach_from_none_to_all(calibration: Any) -> None:
    rng, draws = np.random.default_rng(0), np.arange(1000.0)
    assert calibration.rank(-1.0, draws, 99, rng) == 0 and calibration.rank(1000.0, draws, 99, rng) == 99
    assert calibration.rank(500.0, draws, 999, rng) in (499, 500)


def test_chi_square_is_pearsons(calibration: Any) -> None:
    ranks = np.random.default_rng(0).integers(0, 100, 300)
    counts = np.histogram(ranks, bins=np.arange(0, 101, 10))[0]
    expected = stats.chisquare(counts)
    assert calibration.binned(ranks, 99, 10).tolist() == counts.tolist()
    assert calibration.chi_square(ranks, 99, 10) == pytest.approx((expected.statistic, expected.pvalue))


def test_bins_of_unequal_numbers_of_ranks_are_refused(calibration: Any) -> None:
    with pytest.raises(ValueError, match=r"must divide 100\. Received: 7\. Choose another"):
        calibration.chi_square([1, 2], 99, 7)


@pytest.mark.parametrize(("width", "is_right"), [(1.0, True), (0.5, False)])
def test_a_posterior_that_is_too_narrow_is_found_out(calibration: Any, width: float, is_right: bool) -> None:
    """A normal mean whose posterior is known; half its standard deviation is seen by ranks and by coverage."""
    rng = np.random.default_rng(0)
    truths = rng.normal(size=400)
    centres = (truths + rng.normal(size=400)) / 2
    draws = centres[:, None] + width * np.sqrt(0.5) * rng.normal(size=(400, 500))
    ranks = [calibration.rank(truth, of_set, 99, rng) for truth, of_set in zip(truths, draws)]
    covered = np.mean([calibration.is_covered(truth, of_set) for truth, of_set in zip(truths, draws)])
    assert (calibration.chi_square(ranks, 99, 10)[1] > 1e-3) == is_right
    assert (abs(covered - 0.9) < 3 * np.sqrt(0.09 / 400)) == is_right


def test_priors_and_rows_are_drawn_with_their_moments(calibration: Any) -> None:
    priors = tfgmm.Priors(loc_mean=1.0, loc_scale=3.0, precision_shape=5.0, precision_rate=5.0)
    rng = np.random.default_rng(0)
    drawn = [calibration.drawn_from_prior(priors, 2, rng) for _ in range(4000)]
    locs = np.concatenate([mixture.locs.ravel() for mixture in drawn])
    precisions = 1 / np.concatenate([mixture.covariances.ravel() for mixture in drawn])
    assert locs.mean() == pytest.approx(1.0, abs=0.15) and locs.std() == pytest.approx(3.0, abs=0.1)
    assert precisions.mean() == pytest.approx(1.0, abs=0.03) and precisions.var() == pytest.approx(0.2, abs=0.02)
    one = some_mixtures(calibration, 2)
    rows = calibration.rows_of(one, 40_000, rng)
    mean = one.weights[0] @ one.locs[0]
    second = np.einsum("k,kij->ij", one.weights[0], one.covariances[0] + one.locs[0, :, :, None] * one.locs[0, :, None])
    np.testing.assert_allclose(rows.mean(axis=0), mean, atol=0.05)
    np.testing.assert_allclose(np.cov(rows.T), second - np.outer(mean, mean), atol=0.15)


def test_histograms_are_drawn(calibration: Any, tmp_path: pathlib.Path) -> None:
    ranks = {method: {"mean": [0, 50, 99], "skewness": [1, 2, 3]} for method in ("laplace", "auto")}
    calibration.draw_histograms(ranks, 99, 10, tmp_path / "new" / "page.png")
    assert (tmp_path / "new" / "page.png").read_bytes()[:4] == b"\x89PNG"


# --- Known sets ---------------------------------------------------------------------------------------------------


def test_known_sets_are_the_same_in_every_call(module: Any) -> None:
    known = module("known_posteriors")
    for name in known.KNOWN | known.HARD:
        first, again = known.known(name), known.known(name)
        np.testing.assert_array_equal(first.rows, again.rows)
        assert first.rows.ndim == 2 and np.isfinite(first.rows).all() and first.num_components <= len(first.rows)
        assert first.group is None or first.group in known.BOUNDS
        known.fixed_priors(first.rows)


@pytest.mark.parametrize("are_equal", [True, False])
def test_groups_of_a_simulated_set_are_equally_large_only_when_asked(module: Any, are_equal: bool) -> None:
    """Far apart, so that the halves of the line are the groups."""
    sets = [module("known_posteriors").simulated_groups(100.0, 400, seed, are_equal) for seed in range(10)]
    counts = {int((rows > 50.0).sum()) for rows in sets}
    assert all(rows.shape == (400, 1) for rows in sets)
    assert (counts == {200}) == are_equal


@pytest.mark.parametrize("name", ["five points", "Old Faithful full"])
def test_long_chains_are_sampled_once(module: Any, name: str, tmp_path: pathlib.Path, monkeypatch: Any) -> None:
    known, chains = module("known_posteriors").known(name), module("long_chains")
    result = module("known_fits").fitted(known.rows, known.num_components, covariance=known.covariance)
    found = chains.LongChains(result.draws(20, seed=0), 1.5)
    monkeypatch.setattr(chains, "sampled", lambda *_: found)
    path = tmp_path / "new" / "chains.npz"
    chains.long_chains(known, result.priors, {}, path)
    monkeypatch.delattr(chains, "sampled")
    again = chains.long_chains(known, result.priors, {}, path)
    assert again.seconds == 1.5 and (again.draws.covariances is None) == (known.covariance == "diag")
    for part in ("weights", "locs", "scales"):
        np.testing.assert_array_equal(getattr(again.draws, part), getattr(found.draws, part))


# --- Rivals -------------------------------------------------------------------------------------------------------


def test_the_rival_is_mean_field_at_power_one(rivals: Any) -> None:
    """scikit-learn's mean field with the same priors ends at the same concentrations."""
    rows = rivals.recalibrated_rows(400, 3)
    peer = BayesianGaussianMixture(
        n_components=2,
        tol=1e-9,
        max_iter=2000,
        reg_covar=0.0,
        weight_concentration_prior_type="dirichlet_distribution",
        weight_concentration_prior=0.5,
        mean_precision_prior=1.0,
        degrees_of_freedom_prior=4,
        covariance_prior=np.linalg.inv(np.cov(rows.T)),
        random_state=0,
    ).fit(rows)
    found = rivals.fractional_counts(rows, np.ones((1, 400)), 1.0)[0]
    near = int(np.argmin(np.square(peer.means_).sum(axis=1)))
    assert found[0] == pytest.approx(peer.weight_concentration_[near], abs=0.1)
    assert found.sum() == pytest.approx(401.0)


def test_the_rival_counts_rows_as_often_as_they_are_drawn(rivals: Any) -> None:
    rows = rivals.recalibrated_rows(200, 0)
    counts = np.random.default_rng(0).multinomial(200, np.full(200, 1 / 200), size=3)
    together = rivals.fractional_counts(rows, counts, 0.5)
    alone = [rivals.fractional_counts(rows, one[None], 0.5)[0] for one in counts]
    np.testing.assert_allclose(together, alone, atol=1e-2)
    np.testing.assert_allclose(together.sum(axis=1), 1 + 0.5 * 200)


def test_the_rivals_intervals_are_wider_than_those_of_mean_field(rivals: Any) -> None:
    rows = rivals.recalibrated_rows(400, 0)
    low, high = rivals.intervals(rivals.fractional_counts(rows, np.ones((1, 400)), 1.0))
    found = rivals.recalibrated(rows, 0, resamples=50)
    assert found.high - found.low > 1.2 * (high - low)[0]
    assert found.omega < 1 and (found.refits - 1) % 51 == 0


def test_the_target_of_the_second_design_is_conjugate(rivals: Any) -> None:
    """Moments of the inverse Wishart and of the locations around their shrunken means."""
    design, prior = rivals.bootstrap_design(0), rivals.bootstrap_prior(50, 5)
    drawn = rivals.given_groups(design, prior, 20_000, 0)
    rows = design.rows[design.groups == 1]
    total = prior.weight + len(rows)
    centre = rows.sum(axis=0) / total
    apart = rows - rows.mean(axis=0)
    shrunk = prior.weight * len(rows) / total * np.outer(rows.mean(axis=0), rows.mean(axis=0))
    expected = (np.eye(5) + apart.T @ apart + shrunk) / (prior.degrees + len(rows) - 6)
    np.testing.assert_allclose(drawn.locs[:, 1].mean(axis=0), centre, atol=0.02)
    np.testing.assert_allclose(drawn.covariances[:, 1].mean(axis=0), expected, atol=0.03)
    np.testing.assert_allclose(np.cov(drawn.locs[:, 1].T), expected / total, atol=0.01)
    assert drawn.weights[:, 1].mean() == pytest.approx((1.1 + len(rows)) / 52.2, abs=0.005)


def test_rows_are_predicted_from_every_mixture(rivals: Any, calibration: Any) -> None:
    one = some_mixtures(calibration, 2)
    many = calibration.Mixtures(*(np.repeat(part[:1], 40_000, axis=0) for part in one))
    rows = rivals.predicted(many, 0)
    np.testing.assert_allclose(rows.mean(axis=0), one.weights[0] @ one.locs[0], atol=0.05)


def test_sliced_distance_of_rows_that_were_moved(rivals: Any) -> None:
    """A shift by v moves every slice by its part of v; the mean square over directions of the plane is |v|^2 / 2."""
    rows = np.random.default_rng(0).normal(size=(300, 2))
    assert rivals.sliced_distance(rows, rows[::-1]) == 0.0
    moved = rivals.sliced_distance(rows, rows + [3.0, 4.0], num_slices=20_000)
    assert moved == pytest.approx(5 / np.sqrt(2), rel=0.02)


def test_widths_are_those_of_normal_intervals_whatever_their_tails(module: Any) -> None:
    rng = np.random.default_rng(0)
    locs = rng.normal([0.0, 1.0], [1.0, 3.0], (2, 20_000, 2))[..., None]
    locs[0, :10] = 1e6
    ones = np.ones((2, 20_000, 2))
    draws = tfgmm.Draws(ones / 2, locs, ones[..., None])
    names, _ = draws.numbers()
    found = dict(zip(names, module("posterior_runs").widths(draws)))
    expected = 2 * stats.norm.ppf(0.95)
    assert found["locs[0, 0]"] == pytest.approx(expected, rel=0.02)
    assert found["locs[1, 0]"] == pytest.approx(3 * expected, rel=0.02)
    assert found["weights[0]"] == 0.0


# --- Lines of tables ----------------------------------------------------------------------------------------------


def test_lines_of_coverage_and_uniformity(module: Any) -> None:
    bench = module("bench_posterior")
    answers = [
        {"method": "auto", "covered": {"a": True, "b": number % 2 == 0}, "ranks": {"a": number, "b": 3}}
        for number in range(100)
    ]
    line = bench.coverage_line("auto", answers)
    assert (line["coverage"], line["least"], line["most"], line["sets"]) == (0.75, 0.5, 1.0, 100)
    assert line["its error"] == pytest.approx(0.025)
    uniform = bench.uniformity(answers)
    assert uniform["of"] == "b" and uniform["least p"] < 1e-100 and uniform["p of all"] == 2 * uniform["least p"]
    assert bench.of_methods([*answers, {"method": "mcmc"}]).keys() == {"auto", "mcmc"}
