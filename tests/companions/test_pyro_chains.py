"""NUTS of the Pyro companion: the moments of quadrature after alignment, shapes, seeds, options, bad input."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pyro import distributions as dist
from scipy import stats

import tfgmm
from tfgmm.companions import pyro_mixture

# For tests of a few draws; that this is said, and not said elsewhere, is tested in test_pyro_words.py
few_draws = pytest.mark.filterwarnings("ignore:.*disagree. r_hat is .* draws are worth only")

ROWS = np.array([0.0, 1.0, 10.0, 11.0, 12.0])

# Priors under which two clusters are the only explanation, so that the posterior is one mode and its mirror image
TWO_CLUSTERS = {
    "weight_prior": dist.Dirichlet(torch.full((2,), 5.0, dtype=torch.float64)),
    "loc_prior": dist.Normal(torch.tensor(5.0, dtype=torch.float64), 10.0),
    "scale_prior": dist.LogNormal(torch.tensor(-0.5, dtype=torch.float64), 0.3),
}


def moments_by_quadrature(rows):
    """Returns mean and standard deviation of weight 0, location 0, location 1 and scale, component 0 the left one.

    The trapezoidal rule over an even grid: for smooth densities that vanish at its ends it converges faster than any
    power of the spacing.
    """
    axes = [
        np.linspace(0.001, 0.999, 45),
        np.linspace(-3.0, 4.5, 50),
        np.linspace(7.0, 15.0, 50),
        np.exp(np.linspace(-2.2, 1.2, 45)),
    ]
    weight, left, right, scale = np.meshgrid(*axes, indexing="ij", sparse=True)
    total = stats.beta.logpdf(weight, 5.0, 5.0) + stats.norm.logpdf(left, 5.0, 10.0)
    total = total + stats.norm.logpdf(right, 5.0, 10.0)
    # Even steps in log scale: its Jacobian makes the log-normal density a normal one
    total = total + stats.norm.logpdf(np.log(scale), -0.5, 0.3)
    for row in rows:
        of_left = np.log(weight) - 0.5 * ((row - left) / scale) ** 2 - np.log(scale)
        of_right = np.log1p(-weight) - 0.5 * ((row - right) / scale) ** 2 - np.log(scale)
        total = total + np.logaddexp(of_left, of_right)
    density = np.exp(total - total.max())
    density /= density.sum()
    means = [float((density * values).sum()) for values in (weight, left, right, scale)]
    squares = [float((density * values**2).sum()) for values in (weight, left, right, scale)]
    return np.array(means), np.sqrt(np.array(squares) - np.square(means))


@pytest.fixture(scope="module")
def draws():
    return pyro_mixture.sample_nuts(
        ROWS, 2, num_warmup=100, num_samples=250, num_chains=2, seed=0, progress=False, **TWO_CLUSTERS
    )


@pytest.mark.slow
def test_nuts_has_the_moments_of_quadrature_after_alignment(draws):
    import arviz

    aligned = tfgmm.align(draws, method="order")
    means, deviations = moments_by_quadrature(ROWS)
    found = [aligned.weights[..., 0], aligned.locs[..., 0, 0], aligned.locs[..., 1, 0], aligned.scales[..., 0, 0]]
    for values, mean, deviation in zip(found, means, deviations):
        num_effective = float(arviz.ess(values))
        assert num_effective > 50
        assert abs(values.mean() - mean) < 4 * deviation / np.sqrt(num_effective)
        # The standard error of a standard deviation, by the effective size of the squares
        squares = (values - values.mean()) ** 2
        error = squares.std() / np.sqrt(float(arviz.ess(squares))) / (2 * deviation)
        assert abs(values.std() - deviation) < 4 * error


@pytest.mark.slow
def test_draws_have_the_shapes_and_the_meaning_of_our_own(draws):
    assert draws.weights.shape == (2, 250, 2) and draws.locs.shape == draws.scales.shape == (2, 250, 2, 1)
    np.testing.assert_allclose(draws.weights.sum(axis=-1), 1.0)
    np.testing.assert_array_equal(draws.scales[..., 0, 0], draws.scales[..., 1, 0])  # one scale for both
    assert draws.sample_stats["diverging"].shape == (2, 250)
    assert (draws.locs[0] != draws.locs[1]).any()


@few_draws
@pytest.mark.slow
def test_chains_depend_on_seed_plus_chain_alone():
    options = {"num_warmup": 10, "num_samples": 20, "progress": False, **TWO_CLUSTERS}
    both = pyro_mixture.sample_nuts(ROWS, 2, seed=0, num_chains=2, **options)
    second = pyro_mixture.sample_nuts(ROWS, 2, seed=1, **options)
    np.testing.assert_array_equal(second.locs[0], both.locs[1])


@few_draws
@pytest.mark.slow
def test_nuts_with_a_scale_per_component_and_other_warmup():
    # Priors in torch's own float32, as most people write them
    priors = {"weight_prior": dist.Dirichlet(torch.ones(2)), "loc_prior": dist.Normal(5.0, 10.0)}
    options = {"num_samples": 20, "scale_per_component": True, "progress": False, **priors}
    short, longer = (pyro_mixture.sample_nuts(ROWS, 2, num_warmup=n, **options) for n in (5, 10))
    assert (short.scales[..., 0, 0] != short.scales[..., 1, 0]).all()
    assert (short.locs != longer.locs).any()


def test_rows_go_to_arviz_with_the_draws(draws):
    data = draws.to_arviz(ROWS[:, None])
    found = data.log_likelihood["rows"]
    assert found.dims == ("chain", "draw", "row") and found.shape == (2, 250, 5)
    c, s, n = 1, 17, 3
    density = draws.weights[c, s] @ stats.norm.pdf(ROWS[n], draws.locs[c, s, :, 0], draws.scales[c, s, :, 0])
    assert found.values[c, s, n] == pytest.approx(np.log(density), abs=1e-5)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"num_samples": 0}, "`num_samples`"),
        ({"num_chains": 0}, "`num_chains`"),
        ({"num_warmup": -1}, "`num_warmup`"),
        ({"num_components": 6}, "`num_components` must be at most the number of rows"),
        ({"seed": 1.5}, "`seed` must be a whole number"),
        ({"seed": "a"}, "`seed` must be a whole number"),
        ({"target_accept_prob": 1.0}, "`target_accept_prob` must lie between 0 and 1"),
    ],
)
def test_bad_arguments_of_nuts_are_named(arguments, words):
    with pytest.raises(ValueError, match=words):
        pyro_mixture.sample_nuts(ROWS, **{"num_components": 2, "progress": False, **arguments})
