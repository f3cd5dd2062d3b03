"""The Pyro companion against the worked example, SciPy on the same posterior, and quadrature."""

from __future__ import annotations

import io
import math
import subprocess
import sys

import numpy as np
import pyro
import pytest
import torch
from pyro import distributions as dist
from scipy import optimize, stats
from scipy.special import logsumexp

import tfgmm
from tfgmm.companions import pyro_mixture
from tfgmm.companions.pyro_mixture import map_fit
from tfgmm.companions.pyro_mixture.model import isolated, mixture_of

# For tests of a few steps; that this is said, and not said elsewhere, is tested in test_pyro_words.py
few_steps = pytest.mark.filterwarnings("ignore:the posterior mode was not reached")

ROWS = np.array([0.0, 1.0, 10.0, 11.0, 12.0])


def log_posterior(rows, weights, locs, scales, *, concentration=0.5, loc_scale=10.0, log_scale_sd=2.0):
    """The log joint density of rows and parameters, assignments summed out, by SciPy."""
    locs, weights = np.asarray(locs), np.asarray(weights)
    given = stats.norm.logpdf(np.asarray(rows)[:, None], locs, scales) + np.log(weights)
    prior = stats.dirichlet.logpdf(weights, np.full(len(weights), concentration))
    prior += stats.norm.logpdf(locs, 0.0, loc_scale).sum()
    prior += np.sum(stats.lognorm.logpdf(scales, log_scale_sd))
    return float(logsumexp(given, axis=1).sum() + prior)


def best_by_scipy(rows, weights, locs, scales):
    """The maximum of `log_posterior` near a start: weights (2,), locs (2,), scales () or (2,)."""
    start = np.array([np.log(weights[0] / weights[1]), *locs, *np.log(np.atleast_1d(scales))])

    def parts(point):
        share = 1 / (1 + np.exp(-point[0]))
        scales_there = np.exp(point[3:])
        return (share, 1 - share), point[1:3], scales_there if len(scales_there) > 1 else scales_there[0]

    tight = {"xatol": 1e-9, "fatol": 1e-12, "maxiter": 20_000, "maxfev": 20_000}
    found = optimize.minimize(lambda p: -log_posterior(rows, *parts(p)), start, method="Nelder-Mead", options=tight)
    assert found.success
    return parts(found.x)


@pytest.fixture(scope="module")
def fit():
    return pyro_mixture.fit_map(ROWS, num_components=2, seed=0, progress=False)


def test_the_worked_example_is_reproduced(fit):
    order = np.argsort(fit.locs)
    np.testing.assert_allclose(fit.weights[order], [0.375, 0.625], atol=0.01)
    np.testing.assert_allclose(fit.locs[order], [0.499, 10.985], atol=0.01)
    assert fit.scale == pytest.approx(0.6514, abs=0.01)
    np.testing.assert_array_equal(order[fit.classify(ROWS)] if order[0] else fit.classify(ROWS), [0, 0, 1, 1, 1])


def test_the_mode_is_that_of_an_independent_optimiser(fit):
    weights, locs, scale = best_by_scipy(ROWS, fit.weights, fit.locs, fit.scale)
    np.testing.assert_allclose(fit.weights, weights, atol=1e-3)
    np.testing.assert_allclose(fit.locs, locs, atol=1e-3)
    assert fit.scale == pytest.approx(scale, abs=1e-3)
    # In unconstrained coordinates the densities have other factors, and the mode another place
    assert log_posterior(ROWS, weights, locs, scale) == pytest.approx(-fit.losses.min(), abs=1e-6)


def test_losses_fall_and_gradients_vanish(fit):
    assert fit.losses.shape == (200,) and fit.start_losses.shape == (100,)
    assert fit.losses[0] == pytest.approx(fit.start_losses.min())
    assert fit.losses[-1] < fit.losses[0]
    assert fit.gradient_norms.keys() == {"weights", "locs", "scale"}
    for norms in fit.gradient_norms.values():
        assert norms.shape == (200,) and norms[-20:].mean() < 0.05 * norms[:20].mean()


def test_losses_of_all_starts_are_those_of_pyro_one_by_one():
    mixture = mixture_of(2, None, None, None, False)
    rows = torch.as_tensor(ROWS)
    pyro.set_rng_seed(0)
    starts = map_fit.random_starts(mixture, rows, 20)
    together = map_fit.losses_of(mixture, rows, starts)
    elbo = pyro.infer.TraceEnum_ELBO(max_plate_nesting=1)
    for number, loss in enumerate(together):
        values = {
            "weights": starts["weights"][number, 0],
            "locs": starts["locs"][number],
            "scale": starts["scale"][number, 0],
        }
        conditioned = pyro.poutine.condition(mixture, data=values)
        assert float(loss) == pytest.approx(elbo.loss(conditioned, lambda data: None, rows), abs=1e-5)
        of_scipy = log_posterior(ROWS, values["weights"], values["locs"], float(values["scale"]))
        assert float(loss) == pytest.approx(-of_scipy, abs=1e-8)


def test_starts_are_distinct_rows_with_the_scale_of_the_data():
    mixture = mixture_of(3, None, None, None, True)
    starts = map_fit.random_starts(mixture, torch.as_tensor(ROWS), 50)
    assert all(len(set(locs.tolist())) == 3 and set(locs.tolist()) <= set(ROWS) for locs in starts["locs"])
    np.testing.assert_allclose(starts["scale"], math.sqrt(ROWS.var(ddof=1) / 3))
    assert starts["scale"].shape == (50, 3)


@pytest.mark.slow
def test_one_scale_per_component():
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.normal(0, 0.5, 40), rng.normal(10, 2.0, 60)])
    fit = pyro_mixture.fit_map(rows, 2, scale_per_component=True, num_steps=400, progress=False)
    order = np.argsort(fit.locs)
    weights, locs, scales = best_by_scipy(rows, fit.weights, fit.locs, fit.scale)
    np.testing.assert_allclose(fit.scale, scales, atol=1e-3)
    np.testing.assert_allclose(fit.locs, locs, atol=1e-3)
    np.testing.assert_allclose(fit.weights, weights, atol=1e-3)
    assert fit.scale[order[0]] < 1.0 < fit.scale[order[1]]


@few_steps
@pytest.mark.slow
def test_priors_of_ones_own_move_the_mode(fit):
    tight = pyro_mixture.fit_map(ROWS, 2, loc_prior=dist.Normal(0.0, 1.0), progress=False)
    assert tight.locs.max() < fit.locs.max() - 1.0
    uniform = pyro_mixture.fit_map(ROWS, 2, weight_prior=dist.Dirichlet(50.0 * torch.ones(2)), progress=False)
    assert abs(uniform.weights[0] - 0.5) < 0.02 < abs(fit.weights[0] - 0.5)
    narrow = pyro_mixture.fit_map(ROWS, 2, scale_prior=dist.LogNormal(-3.0, 0.1), progress=False)
    assert narrow.scale < 0.3 < fit.scale
    each = pyro_mixture.fit_map(ROWS, 2, loc_prior=dist.Normal(torch.tensor([0.0, 11.0]), 0.1), progress=False)
    np.testing.assert_allclose(each.locs, [0.0, 11.0], atol=0.5)


def test_the_most_probable_component_changes_where_the_densities_are_equal(fit):
    low, high = np.argsort(fit.locs)
    half_way = (fit.locs[low] + fit.locs[high]) / 2
    shift = fit.scale**2 * np.log(fit.weights[low] / fit.weights[high]) / (fit.locs[high] - fit.locs[low])
    boundary = half_way + shift
    assert boundary == pytest.approx(5.75, abs=0.05)
    found = fit.classify([boundary - 0.001, boundary + 0.001])
    np.testing.assert_array_equal(found, [low, high])


def test_probabilities_are_bayes_rule(fit):
    x = np.linspace(-3, 15, 40)
    joints = fit.weights * stats.norm.pdf(x[:, None], fit.locs, fit.scale)
    np.testing.assert_allclose(fit.probabilities(x), joints / joints.sum(axis=1, keepdims=True), atol=1e-12)


def test_random_assignments_have_the_posterior_frequencies(fit):
    near = np.array([5.70, 5.72, 5.74, 5.76, 5.78])
    repeats = 8_000
    drawn = fit.classify(np.repeat(near, repeats), temperature=1, seed=3).reshape(len(near), repeats)
    probabilities = fit.probabilities(near)[:, 0]
    assert (np.abs(probabilities - 0.5) < 0.49).all()
    z = ((drawn == 0).sum(axis=1) - repeats * probabilities) / np.sqrt(repeats * probabilities * (1 - probabilities))
    assert stats.chi2.sf(np.sum(z**2), len(z)) > 1e-3


def test_seeds_decide_random_assignments_and_leave_others_alone(fit):
    near = np.full(200, 5.73)
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    first, again, other = (fit.classify(near, temperature=1, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    torch.testing.assert_close(torch.rand(3), expected)


def test_few_rows_are_worked_on_by_one_thread_and_torch_has_its_own_again_afterwards():
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        for num_rows, wanted in ((5, 1), (1_000_000, 2)):
            with pytest.raises(RuntimeError, match="stop"), isolated(0, num_rows):
                assert torch.get_num_threads() == wanted
                raise RuntimeError("stop")
            assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@few_steps
def test_fits_leave_pyros_parameter_store_alone(fit):
    pyro.clear_param_store()
    pyro.param("of the user", torch.tensor(3.0))
    again = pyro_mixture.fit_map(ROWS, 2, seed=0, num_steps=3, progress=False)
    assert dict(pyro.get_param_store()).keys() == {"of the user"}
    pyro.clear_param_store()
    np.testing.assert_array_equal(again.losses, fit.losses[:3])


@few_steps
def test_seed_and_number_of_starts_change_the_starts():
    losses = [
        pyro_mixture.fit_map(ROWS, 2, num_starts=n, seed=seed, num_steps=1, progress=False).start_losses
        for n, seed in ((5, 0), (5, 1), (9, 0))
    ]
    assert (losses[0] != losses[1]).any() and len(losses[2]) == 9


@few_steps
def test_learning_rate_changes_the_path(fit):
    slow = pyro_mixture.fit_map(ROWS, 2, learning_rate=0.001, num_steps=20, progress=False)
    assert slow.losses[-1] > fit.losses[19]


def test_a_guide_that_enumerates_learns_the_same_memberships(fit):
    rows = np.array([0.0, 5.7, 5.75, 11.0])
    before = {name: value.clone() for name, value in fit.values().items()}
    learnt = pyro_mixture.fit_assignments(fit, rows, progress=False)
    np.testing.assert_allclose(learnt.probabilities, fit.probabilities(rows), atol=0.02)
    np.testing.assert_allclose(learnt.probabilities.sum(axis=1), 1.0)
    assert learnt.losses.shape == (200,) and learnt.losses[-1] < learnt.losses[0]
    assert learnt.gradient_norms.keys() == {"assignment_probs"}
    assert all(torch.equal(before[name], value) for name, value in fit.values().items())
    # The loss is that of the summed-out model, and what the guide's memberships lack: KL(guide || exact)
    exact = -log_posterior(rows, fit.weights, fit.locs, float(fit.scale))
    log_joints = np.log(fit.weights) + stats.norm.logpdf(rows[:, None], fit.locs, fit.scale)
    log_exact = log_joints - logsumexp(log_joints, axis=1, keepdims=True)
    lack = np.sum(learnt.probabilities * (np.log(learnt.probabilities) - log_exact))
    assert learnt.losses.min() == pytest.approx(exact + lack, abs=1e-6)
    assert 0 < lack < 0.2


@pytest.mark.parametrize(
    ("data", "arguments", "error", "words"),
    [
        ([1.0], {}, ValueError, "`num_components` must be at most the number of rows"),
        ([1.0, np.nan, 2.0], {}, ValueError, r"`data` must hold finite numbers. Received: 1 of 3 .* first in row 1"),
        (np.zeros((5, 2)), {}, ValueError, r"`data` must have shape \(N,\). Received: shape \(5, 2\). Pass one column"),
        (["a", "b"], {}, TypeError, "`data` must be numbers. Received: list of dtype"),
        ([[1.0], [1.0, 2.0]], {}, TypeError, "`data` must be numbers"),
        (ROWS, {"num_components": 0}, ValueError, "`num_components` must be a whole number of at least 1"),
        (ROWS, {"num_steps": 0}, ValueError, "`num_steps` must be a whole number of at least 1"),
        (ROWS, {"num_starts": 0}, ValueError, "`num_starts` must be a whole number of at least 1"),
        (ROWS, {"learning_rate": "a"}, ValueError, "`learning_rate` must be positive and finite. Received: 'a'"),
        (ROWS, {"weight_prior": dist.Normal(torch.zeros(2), 1.0).to_event(1)}, ValueError, "over the simplex"),
        (ROWS, {"scale_prior": dist.Normal(0.0, 1.0)}, ValueError, "`scale_prior` must be .* over positive numbers"),
        (ROWS, {"loc_prior": dist.Poisson(3.0)}, ValueError, "`loc_prior` must be continuous"),
        (ROWS, {"learning_rate": 0.0}, ValueError, "`learning_rate` must be positive and finite"),
        (ROWS, {"seed": -1}, ValueError, "`seed` must be a whole number"),
        (ROWS, {"weight_prior": 0.5}, TypeError, "`weight_prior` must be a Pyro distribution"),
        (ROWS, {"weight_prior": dist.Dirichlet(torch.ones(3))}, ValueError, r"`weight_prior` .* event shape \(2,\)"),
        (ROWS, {"loc_prior": dist.Normal(torch.zeros(3), 1.0)}, ValueError, r"`loc_prior` .* \(\) or \(2,\)"),
        (
            ROWS,
            {"scale_prior": dist.LogNormal(torch.zeros(2), 1.0)},
            ValueError,
            r"`scale_prior` .* batch shape \(2,\)",
        ),
    ],
)
def test_bad_arguments_are_named(data, arguments, error, words):
    with pytest.raises(error, match=words):
        pyro_mixture.fit_map(data, **{"num_components": 2, "progress": False, **arguments})


@pytest.mark.parametrize("temperature", [0.5, 2, -1, None, "0", True])
def test_other_temperatures_are_refused(fit, temperature):
    with pytest.raises(ValueError, match="`temperature` must be 0 or 1"):
        fit.classify(ROWS, temperature=temperature)


def test_rows_to_classify_are_checked(fit):
    for method in (fit.classify, fit.probabilities):
        with pytest.raises(ValueError, match=r"`x` must have shape \(N,\)"):
            method(np.zeros((2, 2)))
        with pytest.raises(ValueError, match="`x` must hold finite numbers"):
            method([1.0, np.inf])
    with pytest.raises(ValueError, match="`data` must hold at least one row"):
        pyro_mixture.fit_assignments(fit, [])


@pytest.mark.parametrize("temperature", [0, 1])
def test_one_row_is_classified_as_among_others(fit, temperature):
    np.testing.assert_array_equal(fit.classify([11.0], temperature), fit.classify([11.0, 0.0], temperature)[:1])
    np.testing.assert_allclose(fit.probabilities([5.7]), fit.probabilities([5.7, 0.0])[:1])
    assert pyro_mixture.fit_assignments(fit, [5.7], num_steps=2, progress=False).probabilities.shape == (1, 2)


def test_no_rows_have_no_components(fit):
    assert fit.classify([]).shape == (0,) and fit.probabilities([]).shape == (0, 2)


def test_losses_that_are_not_numbers_stop_the_run():
    with pytest.raises(FloatingPointError, match="Lower `learning_rate`, received: 1e\\+300"):
        pyro_mixture.fit_map(ROWS, 2, learning_rate=1e300, progress=False)


@few_steps
@pytest.mark.parametrize("temperature", [0, 1])
def test_one_component_has_all_rows(temperature):
    alone = pyro_mixture.fit_map(ROWS, 1, num_steps=2, progress=False)
    np.testing.assert_array_equal(alone.classify(ROWS, temperature=temperature), np.zeros(5))
    np.testing.assert_array_equal(alone.probabilities(ROWS), np.ones((5, 1)))


@pytest.mark.slow
def test_starts_for_many_rows_are_judged_on_some_and_found_all_the_same():
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.normal(-10, 1, 30_000), rng.normal(10, 1, 60_000)])
    found = pyro_mixture.fit_map(rows, 2, num_steps=60, progress=False)
    np.testing.assert_allclose(np.sort(found.locs), [-10.0, 10.0], atol=0.1)


def test_options_of_the_second_guide_change_its_path(fit):
    short = pyro_mixture.fit_assignments(fit, ROWS, num_steps=5, progress=False)
    fast = pyro_mixture.fit_assignments(fit, ROWS, num_steps=5, learning_rate=0.5, progress=False)
    assert len(short.losses) == 5 and fast.losses[-1] < short.losses[-1]


@few_steps
def test_equal_rows_and_single_rows_are_fitted():
    for rows, num_components in (([3.0, 3.0, 3.0], 2), ([3.0], 1)):
        fit = pyro_mixture.fit_map(rows, num_components, num_steps=20, progress=False)
        assert np.isfinite(fit.losses).all() and np.isfinite(fit.locs).all() and fit.scale > 0


@few_steps
@pytest.mark.parametrize("kind", ["tensor", "series", "ints"])
def test_rows_of_other_kinds_give_the_same_fit(kind, fit):
    import pandas as pd

    rows = {"tensor": torch.as_tensor(ROWS), "series": pd.Series(ROWS), "ints": [0, 1, 10, 11, 12]}[kind]
    found = pyro_mixture.fit_map(rows, 2, num_steps=3, progress=False)
    np.testing.assert_array_equal(found.losses, fit.losses[:3])


class Terminal(io.StringIO):
    def isatty(self):
        return True


@few_steps
@pytest.mark.filterwarnings("ignore:The halves of the chain disagree")  # of four draws
@pytest.mark.parametrize(
    "stream, progress, is_shown", [(Terminal, True, True), (Terminal, False, False), (io.StringIO, True, False)]
)
def test_progress_is_shown_on_terminals_and_can_be_silenced(monkeypatch, stream, progress, is_shown):
    monkeypatch.setattr(sys, "stderr", stream())
    for name in ("CI", "PYTEST_XDIST_WORKER"):  # where Pyro shows no bar, whatever is asked for
        monkeypatch.delenv(name, raising=False)
    pyro_mixture.fit_map(ROWS, 2, num_steps=2, progress=progress)
    pyro_mixture.sample_nuts(ROWS, 1, num_warmup=1, num_samples=4, progress=progress)
    shown = sys.stderr.getvalue()
    assert ("posterior mode:" in shown, "Sample" in shown or "Warmup" in shown) == (is_shown, is_shown)
    assert is_shown or shown == ""


FRESH = """
import sys, warnings, numpy as np
from tfgmm.companions import pyro_mixture
warnings.filterwarnings("ignore", "the posterior mode was not reached|.* draws ")  # a few steps and draws
fit = pyro_mixture.fit_map([0.0, 1.0, 10.0, 11.0], 2, num_steps=2, progress=False)
pyro_mixture.fit_assignments(fit, [0.0, 1.0], num_steps=2, progress=False)
draws = pyro_mixture.sample_nuts([0.0, 1.0, 10.0, 11.0], 2, num_warmup=2, num_samples=3, progress=False)
draws.to_arviz()
print(sorted(name for name in sys.modules if name in ("tensorflow", "keras", "tensorflow_probability")))
"""


@pytest.mark.slow
def test_tensorflow_is_never_loaded_and_nothing_warns():
    done = subprocess.run([sys.executable, "-c", FRESH], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (done.stdout, done.stderr) == ("[]\n", "")


@pytest.mark.parametrize("module", ["torch", "pyro"])
def test_a_missing_install_names_the_extra(module):
    code = f"import sys; sys.modules[{module!r}] = None\nfrom tfgmm.companions import pyro_mixture"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert 'pip install "tfgmm[pyro]"' in done.stderr.splitlines()[-1]


def test_the_keras_model_is_a_neighbour():
    """With all but flat priors for it, the closed form puts two components where Pyro's mode has them."""
    priors = tfgmm.Priors(0.0, 10.0, precision_shape=0.26, precision_rate=0.02, weight_concentration=0.5)
    model = tfgmm.fit_mixture(ROWS[:, None], 2, covariance="tied_diag", priors=priors).model
    np.testing.assert_allclose(np.sort(model.locs.numpy()[:, 0]), [0.5, 11.0], atol=0.05)


@pytest.mark.parametrize("name", ["sample_weight", "noise", "missing"])
@pytest.mark.parametrize("function", ["fit_map", "fit_assignments", "sample_nuts"])
def test_what_rows_carry_elsewhere_is_refused(function, name):
    with pytest.raises(TypeError, match=f"`{name}` must be left out: .* Received: {name}=. Take tfgmm.companions"):
        getattr(pyro_mixture, function)([0.0, 1.0, 2.0], 2, **{name: "refuse"})
