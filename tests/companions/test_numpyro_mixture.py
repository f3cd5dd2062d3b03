"""NUTS of the NumPyro companion: the worked example, posteriors known by quadrature, starts, seeds, bad input."""

from __future__ import annotations

import io
import subprocess
import sys
import warnings

import jax
import numpy as np
import pandas as pd
import pytest
from numpyro import distributions as dist
from reference_problems import worked_rows
from scipy import stats
from scipy.special import roots_legendre

import tfgmm
from tfgmm.companions.numpyro_mixture import diagnose, mixture_model, sample_nuts
from tfgmm.companions.numpyro_mixture.rows import read_table

WORKED = {"locs": [-1.00, 0.99, 4.00], "scales": [0.20, 0.91, 0.50], "weights": [0.21, 0.28, 0.50]}
# Two components well apart in two columns
PAIR = np.random.default_rng(0).normal([[-4.0, 1.0]] * 60 + [[4.0, 0.0]] * 90, [[1.0, 0.5]] * 60 + [[0.5, 1.5]] * 90)


@pytest.fixture(scope="module")
def worked():
    return sample_nuts(worked_rows(), 3, progress=False)


@pytest.fixture(scope="module")
def swapped():
    """Two chains that start in modes which differ by the numbers of the components."""
    starts = np.array([[[-4.0, 1.0], [4.0, 0.0]], [[4.0, 0.0], [-4.0, 1.0]]])
    frame = pd.DataFrame(PAIR, columns=["width", "height"])
    with pytest.warns(UserWarning, match=r"tfgmm.align\(draws\) mends it"):
        return sample_nuts(frame, 2, num_samples=500, num_chains=2, start=starts, progress=False)


def in_order(draws):
    """Means over draws of locs, scales and weights, (K,) each, by location."""
    aligned = tfgmm.align(draws, method="order")
    return aligned.locs.mean((0, 1))[:, 0], aligned.scales.mean((0, 1))[:, 0], aligned.weights.mean((0, 1))


def test_the_worked_example_is_reproduced(worked):
    for found, expected in zip(in_order(worked), WORKED.values()):
        np.testing.assert_allclose(found, expected, atol=0.02)
    assert worked.sample_stats["diverging"].dtype == bool and not worked.sample_stats["diverging"].any()
    assert diagnose(worked).r_hat.max() < 1.01 and diagnose(worked).problems() == ()
    assert worked.locs.shape == (1, 2000, 3, 1) and worked.column_names is None and worked.covariances is None


def test_statistics_of_the_sampler_have_arvizs_names(worked):
    import arviz

    assert worked.sample_stats.keys() == {"diverging", "lp", "n_steps", "acceptance_rate", "energy"}
    assert 0.5 < worked.sample_stats["acceptance_rate"].mean() < 1.0
    data = worked.to_arviz()
    assert dict(data.sample_stats.sizes) == {"chain": 1, "draw": 2000}
    assert float(arviz.ess(data).to_array().min()) > 1000


def test_energy_is_that_of_the_draw_and_of_its_momentum(worked):
    """lp is minus the potential; twice the kinetic energy of eight coordinates is chi-squared with eight degrees."""
    import arviz

    energies = worked.sample_stats["energy"]
    kinetic = energies + worked.sample_stats["lp"]
    assert kinetic.mean() == pytest.approx(4.0, abs=5 * 2.0 / np.sqrt(2000))
    assert kinetic.var() == pytest.approx(4.0, rel=0.2) and kinetic.min() > 0.0
    expected = np.square(np.diff(energies)).mean() / energies.var()
    assert arviz.bfmi(worked.to_arviz(worked_rows()[:, None])) == pytest.approx([expected], rel=1e-3)
    assert expected > 0.3  # below, ArviZ says, draws are not to be trusted


def test_lp_is_the_log_posterior_density_up_to_the_jacobian(worked):
    """Over draws, lp minus priors and likelihood by SciPy is the log Jacobian: logs of weights and scales."""
    rows, chosen = worked_rows(), np.arange(0, 2000, 400)
    constants = []
    for s in chosen:
        weights, locs, scales = worked.weights[0, s], worked.locs[0, s, :, 0], worked.scales[0, s, :, 0]
        log_density = np.log(stats.norm.pdf(rows[:, None], locs, scales) @ weights).sum()
        log_density += stats.norm.logpdf(locs, 0, 10).sum() + stats.halfcauchy.logpdf(scales, scale=10).sum()
        constants.append(worked.sample_stats["lp"][0, s] - log_density - np.log(weights).sum() - np.log(scales).sum())
    np.testing.assert_allclose(constants, constants[0], atol=1e-8)


def test_few_steps_are_needed(worked):
    """The posterior is nearly normal: three steps turn. Seven would come round to where they began."""
    assert worked.sample_stats["n_steps"].mean() < 4.0
    assert worked.sample_stats["acceptance_rate"].mean() > 0.65
    assert diagnose(worked).ess_bulk.min() > 2000


def within_errors(draws, values, expected, names):
    """Asserts that means and standard deviations of (C, S) draws are the expected ones, within 4 standard errors."""
    import arviz

    for name, (mean, sd) in zip(names, expected, strict=True):
        found = values[name]
        assert abs(found.mean() - mean) < 4 * arviz.mcse(found, method="mean"), name
        assert abs(found.std() - sd) < 4 * arviz.mcse(found, method="sd"), name


def moments(density, *axes):
    """The means and standard deviations of a density on the product of axes."""
    density = density / density.sum()
    for axis, points in enumerate(axes):
        marginal = density.sum(axis=tuple(other for other in range(density.ndim) if other != axis))
        mean = marginal @ points
        yield mean, np.sqrt(marginal @ (points - mean) ** 2)


def test_one_component_has_the_posterior_of_quadrature():
    rows = np.array([1.2, 0.4, 2.9, 1.7, 0.1])
    draws = sample_nuts(rows, 1, num_samples=8000, target_accept_prob=0.95, progress=False)
    locs, log_scales = np.linspace(-6, 9, 1001), np.linspace(-2.5, 4.0, 801)
    scales = np.exp(log_scales)
    log_density = sum(stats.norm.logpdf(row, locs[:, None], scales) for row in rows)
    log_density += stats.norm.logpdf(locs, 0, 10)[:, None] + stats.halfcauchy.logpdf(scales, scale=10) + log_scales
    density = np.exp(log_density - log_density.max())
    expected = moments(density, locs, scales)
    values = {"loc": draws.locs[..., 0, 0], "scale": draws.scales[..., 0, 0]}
    within_errors(draws, values, expected, ["loc", "scale"])
    np.testing.assert_array_equal(draws.weights, 1.0)


@pytest.mark.slow
def test_two_components_have_the_posterior_of_quadrature():
    """Priors of the user's own that tell the components apart; all five numbers on a grid of Gauss and Legendre's."""
    rows = np.array([-2.1, -0.4, 0.3, 1.0, 1.9, 2.4])
    draws = sample_nuts(
        rows,
        2,
        num_samples=6000,
        weight_prior=dist.Dirichlet(np.array([2.0, 3.0])),
        loc_prior=dist.Normal(np.array([-1.0, 1.5]), 0.7),
        scale_prior=dist.LogNormal(0.0, 0.4),
        target_accept_prob=0.9,
        progress=False,
    )
    nodes, gauss = roots_legendre(28)
    weight, scale = 0.5 + 0.5 * nodes, np.exp(2.0 * nodes)
    locs = [middle + 3.5 * nodes for middle in (-1.0, 1.5)]
    prior = [stats.norm.pdf(loc, m, 0.7) * gauss for loc, m in zip(locs, (-1.0, 1.5))]
    scale_prior = stats.lognorm.pdf(scale, 0.4) * scale * gauss  # the last factors: nodes are even in the logarithm
    each = [stats.norm.pdf(rows[:, None, None], loc[:, None], scale).reshape(len(rows), -1) for loc in locs]
    likelihood = np.ones((28, each[0].shape[1], each[1].shape[1]))
    for first, second in zip(*each):
        likelihood *= weight[:, None, None] * first[:, None] + (1 - weight)[:, None, None] * second
    density = likelihood.reshape(28, 28, 28, 28, 28)
    density *= (stats.beta.pdf(weight, 2, 3) * gauss)[:, None, None, None, None]
    density *= np.multiply.outer(np.multiply.outer(prior[0], scale_prior), np.multiply.outer(prior[1], scale_prior))
    expected = moments(density, weight, locs[0], scale, locs[1], scale)
    values = {
        "weight": draws.weights[..., 0],
        **{f"{name} {k}": getattr(draws, name)[..., k, 0] for k in (0, 1) for name in ("locs", "scales")},
    }
    within_errors(draws, values, expected, ["weight", "locs 0", "scales 0", "locs 1", "scales 1"])


def test_chains_in_swapped_modes_disagree_until_they_are_aligned(swapped):
    assert diagnose(swapped).r_hat.max() > 1.5
    aligned = diagnose(tfgmm.align(swapped))
    assert aligned.r_hat.max() < 1.02 and aligned.problems() == ()
    assert (swapped.locs[0, :, 0, 0] < 0).all() and (swapped.locs[1, :, 0, 0] > 0).all()


def test_columns_keep_their_names(swapped):
    assert swapped.column_names == ("width", "height")
    locs = tfgmm.align(swapped, method="order").locs.mean((0, 1))
    np.testing.assert_allclose(locs[0], PAIR[:60].mean(axis=0), atol=0.1)


@pytest.mark.slow
def test_ordered_locations_from_numpyros_own_starts(swapped):
    """Another start, other coordinates, another warm-up: the same posterior."""
    draws = sample_nuts(
        PAIR, 2, num_warmup=500, num_samples=1000, num_chains=2, start="prior", ordered=True, progress=False
    )
    assert (np.diff(draws.locs[..., 0], axis=-1) > 0).all() and diagnose(draws).r_hat.max() < 1.01
    other = tfgmm.align(swapped, method="order")
    for name in ("weights", "locs", "scales"):
        ours, theirs = getattr(draws, name), getattr(other, name)
        spread = theirs.std((0, 1))
        # 300 effective draws at least in each: 4 standard errors of the difference are below a third of a deviation
        assert (np.abs(ours.mean((0, 1)) - theirs.mean((0, 1))) < spread / 3).all(), name
        np.testing.assert_allclose(ours.std((0, 1)), spread, rtol=0.3)


@pytest.mark.slow
def test_full_covariances():
    rng = np.random.default_rng(1)
    factors = np.array([[[1.0, 0.0], [0.8, 0.6]], [[0.5, 0.0], [-0.9, 1.0]]])
    member = np.arange(400) % 2
    middles = np.array([[-3.0, 0.0], [3.0, 1.0]])
    rows = middles[member] + np.einsum("nde,ne->nd", factors[member], rng.normal(size=(400, 2)))
    draws = sample_nuts(rows, 2, num_samples=1000, covariance="full", ordered=True, progress=False)
    assert draws.covariances.shape == (1, 1000, 2, 2, 2)
    np.testing.assert_allclose(np.diagonal(draws.covariances, axis1=-2, axis2=-1), np.square(draws.scales))
    for k in (0, 1):
        inside = np.cov(rows[member == k].T)
        mean, sd = draws.covariances[:, :, k].mean((0, 1)), draws.covariances[:, :, k].std((0, 1))
        assert (np.abs(mean - inside) < 0.7 * sd).all(), "200 rows against flat priors"
    # Of k rows a covariance varies by sqrt((1 + r^2) / k) of its scale
    expected = np.sqrt((1.0 + 0.8**2) / 200)
    assert draws.covariances[:, :, 0, 0, 1].std() == pytest.approx(expected, rel=0.2)


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.slow
def test_seeds_decide_all_settings_stay_and_progress_is_shown_on_terminals(monkeypatch):
    state, before = np.random.get_state()[1].copy(), jax.config.jax_enable_x64  # noqa: NPY002
    found = []
    for seed, progress, stream in ((1, True, Terminal()), (1, False, Terminal()), (2, True, io.StringIO())):
        monkeypatch.setattr(sys, "stderr", stream)
        with pytest.warns(UserWarning, match="independent ones for"):
            draws = sample_nuts(PAIR[:, 0], 1, num_samples=30, num_warmup=10, seed=seed, progress=progress)
        found.append(draws.locs)
        shown = stream.getvalue()
        assert "40/40" in shown if progress and stream.isatty() else shown == ""
    np.testing.assert_array_equal(found[0], found[1])
    assert (found[0] != found[2]).any() and found[0].dtype == np.float64
    assert (np.random.get_state()[1] == state).all() and jax.config.jax_enable_x64 == before  # noqa: NPY002


def test_equal_rows_have_draws():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # as if chains could be good there
        draws = sample_nuts(np.full((6, 1), 3.0), 2, num_samples=5, progress=False)
    assert np.isfinite(draws.locs).all() and (draws.scales > 0).all()


ROWS = np.array([0.0, 1.0, 10.0, 11.0])


@pytest.mark.parametrize(
    ("data", "arguments", "error", "words"),
    [
        ([1.0], {}, ValueError, "`num_components` must be at most the number of rows"),
        (
            [[1.0, 2.0]],
            {},
            ValueError,
            "`num_components` must be at most the number of rows. Received: num_comp.*1 rows",
        ),
        ([1.0, np.nan, 2.0], {}, ValueError, r"`data` must hold finite numbers. Received: 1 of 3 .* first in row 1"),
        (np.array([[1.0, 2.0], [1.0, np.inf]]), {}, ValueError, "`data` must hold finite numbers.*row 1, column 1"),
        (np.zeros((5, 2, 2)), {}, ValueError, r"`data` must have shape \(N, D\)"),
        ([], {}, ValueError, "`data`"),
        (["a", "b"], {}, TypeError, "`data` must be numbers"),
        (None, {}, TypeError, "`data` must be"),
        (ROWS, {"num_components": 0}, ValueError, "`num_components` must be a whole number of at least 1"),
        (ROWS, {"num_components": 2.0}, ValueError, "`num_components` must be a whole number"),
        (ROWS, {"num_samples": 0}, ValueError, "`num_samples` must be a whole number of at least 1"),
        (ROWS, {"num_chains": 0}, ValueError, "`num_chains` must be a whole number of at least 1"),
        (ROWS, {"num_warmup": -1}, ValueError, "`num_warmup` must be a whole number of at least 0"),
        (ROWS, {"seed": -1}, ValueError, "`seed` must be a whole number"),
        (ROWS, {"start": "middle"}, ValueError, r'"mode", "prior" or an array .* \(2, 1\) or \(1, 2, 1\)'),
        (ROWS, {"start": np.zeros((3, 1))}, ValueError, r"`start` must have shape \(2, 1\)"),
        (ROWS, {"start": np.zeros((2, 2, 1))}, ValueError, r"`start` must have shape \(1, 2, 1\)"),
        (ROWS, {"start": [[0.0], [np.nan]]}, ValueError, "`start` must hold finite locations"),
        (ROWS, {"start": [["a"], ["b"]]}, TypeError, "`start` must hold numbers"),
        (ROWS, {"start": "prior", "target_accept_prob": 0.0}, ValueError, "`target_accept_prob` must lie between"),
        (ROWS, {"covariance": "tied"}, ValueError, "`covariance` must be one of 'diag', 'full'"),
        (ROWS, {"target_accept_prob": 1.0}, ValueError, "`target_accept_prob` must lie between 0 and 1"),
        (
            ROWS,
            {"weight_prior": dist.Dirichlet(np.ones(3))},
            ValueError,
            r"`weight_prior` must have event shape \(2,\)",
        ),
        (ROWS, {"scale_prior": 3.0}, TypeError, "`scale_prior` must be a NumPyro distribution"),
    ],
)
def test_bad_arguments_are_named(data, arguments, error, words):
    with pytest.raises(error, match=words):
        sample_nuts(data, **{"num_components": 2, "progress": False, **arguments})


@pytest.mark.parametrize("kind", ["list", "series", "column", "frame", "jax", "ints"])
def test_rows_of_other_kinds_are_the_same_rows(kind):
    data = {
        "list": ROWS.tolist(),
        "series": pd.Series(ROWS, name="length"),
        "column": ROWS[:, None],
        "frame": pd.DataFrame({"length": ROWS}),
        "jax": jax.numpy.asarray(ROWS),
        "ints": ROWS.astype(int),
    }[kind]
    rows = read_table(data, 2, None, None, "refuse")
    assert rows.is_plain
    np.testing.assert_array_equal(rows.block.values, ROWS[:, None])
    assert rows.block.values.dtype == np.float64
    assert rows.column_names == (("length",) if kind in ("series", "frame") else None)


FRESH = """
import sys, numpy as np
from tfgmm.companions import numpyro_mixture
from tfgmm.companions.numpyro_mixture import nuts
rows = np.random.default_rng(0).normal([-3.0] * 40 + [3.0] * 60)
draws = numpyro_mixture.sample_nuts(rows, 2, num_samples=1000, progress=False)
numpyro_mixture.sample_predictive(draws, 3), numpyro_mixture.density_band(draws, [0.0])
print(sorted(name for name in sys.modules if name in ("tensorflow", "keras", "tensorflow_probability", "torch")))
"""


def test_tensorflow_is_never_loaded_and_nothing_warns():
    done = subprocess.run([sys.executable, "-c", FRESH], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (done.stdout, done.stderr) == ("[]\n", "")


@pytest.mark.parametrize("module", ["numpyro", "jax"])
def test_a_missing_install_names_the_extra(module):
    code = f"import sys; sys.modules[{module!r}] = None\nfrom tfgmm.companions import numpyro_mixture"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert 'pip install "tfgmm[numpyro]"' in done.stderr.splitlines()[-1]


# --- Priors of the Keras model ---------------------------------------------------------------------------------


@pytest.mark.parametrize("num_features", [1, 3])
def test_priors_of_a_model_are_scipys_densities(num_features):
    rng = np.random.default_rng(0)
    per_column = [rng.uniform(0.5, 2.0, num_features) for _ in range(4)]
    mean, scale, shape, rate = per_column
    priors = tfgmm.Priors(mean, scale, shape, rate, weight_concentration=(1.5, 2.5))
    found = mixture_model(2, num_features, priors=priors).sites()
    locs, scales = rng.normal(size=(2, num_features)), rng.uniform(0.5, 2.0, (2, num_features))
    expected = stats.norm.logpdf(locs, mean, scale)
    np.testing.assert_allclose(found["locs"].log_prob(locs.reshape(found["locs"].shape())).sum(), expected.sum(), 1e-5)
    # tau = scale^-2 has a Gamma density; that of the scale has the factor |d tau / d scale| = 2 scale^-3
    expected = stats.gamma.logpdf(scales**-2, shape, scale=1 / rate) + np.log(2 * scales**-3)
    got = found["scales"].log_prob(scales.reshape(found["scales"].shape())).sum()
    np.testing.assert_allclose(got, expected.sum(), rtol=1e-5)
    weights = np.array([0.3, 0.7])
    np.testing.assert_allclose(found["weights"].log_prob(weights), stats.dirichlet.logpdf(weights, [1.5, 2.5]), 1e-5)


@pytest.mark.slow
def test_priors_of_a_model_change_the_answer():
    tight = tfgmm.Priors(0.0, 0.2, precision_shape=1.0, precision_rate=1.0, weight_concentration=1.0)
    wide = tfgmm.Priors(0.0, 10.0, precision_shape=1.0, precision_rate=1.0, weight_concentration=1.0)
    rows = np.random.default_rng(0).normal(3.0, 1.0, 30)
    means = [sample_nuts(rows, 1, num_samples=400, priors=p, progress=False).locs.mean() for p in (tight, wide)]
    # The posterior mean under the tight prior lies between 0 and that of the rows
    assert 0.2 < means[0] < 2.5 < means[1] < 3.5


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"priors": "auto"}, TypeError, "`priors` must be tfgmm.Priors. Received: str"),
        ({"priors": tfgmm.Priors(), "loc_prior": dist.Normal(0.0, 1.0)}, ValueError, "left out with loc_prior"),
        ({"target_accept_prob": "a"}, ValueError, "`target_accept_prob` must lie between 0 and 1. Received: 'a'"),
    ],
)
def test_priors_that_cannot_be_are_named(arguments, error, words):
    with pytest.raises(error, match=words):
        sample_nuts(PAIR, 2, progress=False, **arguments)


@pytest.mark.slow
def test_default_priors_that_do_not_suit_the_rows_are_told():
    rows = pd.DataFrame({"waiting": np.random.default_rng(0).normal(70.0, 6.0, 60)})
    with pytest.warns(UserWarning, match="the default loc_prior, Normal.0, 10., does not suit column 'waiting'"):
        sample_nuts(rows, 1, num_samples=300, progress=False)
    sample_nuts(rows, 1, num_samples=300, priors=tfgmm.Priors.from_data(rows), progress=False)  # no warning


@pytest.mark.slow
def test_target_acceptance_changes_the_draws():
    first, second = (
        sample_nuts(PAIR, 2, num_samples=300, target_accept_prob=rate, progress=False) for rate in (0.7, 0.95)
    )
    assert second.sample_stats["acceptance_rate"].mean() > first.sample_stats["acceptance_rate"].mean()


@pytest.mark.slow
def test_one_set_of_start_locations_serves_all_chains():
    draws = sample_nuts(
        PAIR, 2, num_samples=300, num_chains=2, start=np.array([[4.0, 0.0], [-4.0, 1.0]]), progress=False
    )
    np.testing.assert_allclose(draws.locs.mean(axis=1)[:, :, 0], [[4.0, -4.0]] * 2, atol=0.5)


def test_no_mode_is_told():
    rows = np.concatenate([np.zeros(30), np.random.default_rng(0).normal(5.0, 1.0, 30)])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        sample_nuts(rows, 2, num_samples=50, num_warmup=20, progress=False)
    assert any("no start led to a maximum" in str(one.message) or "diverged" in str(one.message) for one in caught)
    assert all(one.filename == __file__ for one in caught)


def test_words_about_one_chain_speak_of_no_alignment():
    rng = np.random.default_rng(0)
    halves = np.concatenate([rng.normal(0, 1, 200), rng.normal(9, 1, 200)]).reshape(1, 400, 1, 1)
    stuck = tfgmm.Draws(np.ones((1, 400, 1)), halves, np.ones((1, 400, 1, 1)))
    problems = " ".join(diagnose(stuck).problems())
    assert "the halves of the chain disagree" in problems and "align" not in problems and "nan" not in problems
    assert "1 number hardly varies, such as scales[0, 0]" in problems
    few = tfgmm.Draws(np.ones((1, 2, 1)), np.zeros((1, 2, 1, 1)), np.ones((1, 2, 1, 1)))
    assert diagnose(few).problems() == ("2 draws of a chain are too few to tell anything. Draw more",)
