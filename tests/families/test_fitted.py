"""What a fit answers by itself: the parts of its posterior by name, its sizes, its rows and its draws."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from plain_mixtures import mixture_at
from random_posteriors import random_components, random_priors, random_weights
from scipy import stats

import tfgmm
from tfgmm.families.fitted import FittedMixture
from tfgmm.families.variational import COMPONENTS
from tfgmm.families.weights import WEIGHTS
from tfgmm.posterior.draws import LOG_RATIO
from tfgmm.scoring import scores

NAMES = ("length", "width")
ROWS = np.random.default_rng(0).normal([[-3.0, 40.0]] * 60 + [[3.0, 70.0]] * 40, [0.5, 4.0])
SHAPES = [(covariance, weights) for covariance in COMPONENTS for weights in WEIGHTS]
CENTRE = np.array([0.5, -3.0, 1e3, 0.0])
INDEPENDENT, CORRELATED = ("alpha", "beta"), ("loc_covariances", "degrees", "inverse_scales")


@pytest.fixture(scope="module", params=["diag", "full"])
def result(request: pytest.FixtureRequest) -> tfgmm.FitResult:
    frame = pd.DataFrame(ROWS, columns=list(NAMES))
    return tfgmm.fit_mixture(frame, 2, covariance=request.param, restarts=2, seed=1)


def random_mixture(covariance: str, weight_prior: str) -> FittedMixture:
    weights, components = random_weights(weight_prior)[1], random_components(covariance)[1]
    options = {"priors": random_priors(covariance), "num_data": 7, "column_names": ("a", "b", "c", "d")}
    return mixture_at(weights, components, CENTRE, covariance, weight_prior, **options)


# Parts by name


@pytest.mark.parametrize(("covariance", "weight_prior"), SHAPES)
def test_every_part_of_the_posterior_has_its_name_and_the_others_say_which_there_are(
    covariance: str, weight_prior: str
) -> None:
    mixture = random_mixture(covariance, weight_prior)
    is_matrix, has_counts = covariance in ("full", "tied"), weight_prior == "dirichlet"
    parts = {"locs", "scales", *(CORRELATED if is_matrix else INDEPENDENT), "counts" if has_counts else "sticks"}
    public = mixture.variational.public()
    assert set(public) == parts
    for name in ("locs", "scales", *INDEPENDENT, *CORRELATED, "counts", "sticks"):
        if name in parts:
            np.testing.assert_array_equal(getattr(mixture, name), public[name])
            continue
        assert not hasattr(mixture, name)
        with pytest.raises(AttributeError) as caught:
            getattr(mixture, name)
        message = str(caught.value)
        assert message.startswith(f"`{name}` is no part of the posterior of '{covariance}' with '{weight_prior}' ")
        assert message.endswith(f"Its parts are: {', '.join(public)}.")


def test_parts_are_in_data_units() -> None:
    mixture, q = random_mixture("spherical", "dirichlet"), random_components("spherical")[1]
    np.testing.assert_allclose(mixture.locs, q.locs, rtol=1e-12)
    units = np.square(random_priors("spherical").column_scale)
    np.testing.assert_allclose(mixture.beta, q.beta * units, rtol=1e-12)


def test_what_a_fit_found_is_there_by_name(result: tfgmm.FitResult) -> None:
    assert isinstance(result, FittedMixture)
    order = np.argsort(result.locs[:, 0])
    np.testing.assert_allclose(result.locs[order], [[-3.0, 40.0], [3.0, 70.0]], atol=1.5)
    np.testing.assert_allclose(result.counts[order] - result.priors.weight_concentration, [60.0, 40.0], atol=0.1)
    if result.covariance == "diag":
        np.testing.assert_allclose(np.sqrt(result.beta / result.alpha)[order], [[0.5, 4.0]] * 2, rtol=0.3)
        wrong = "degrees"
    else:
        covariances = result.inverse_scales / result.degrees[:, None, None]
        np.testing.assert_allclose(
            np.sqrt(np.diagonal(covariances, axis1=1, axis2=2))[order], [[0.5, 4.0]] * 2, rtol=0.3
        )
        assert result.loc_covariances.shape == (2, 2, 2)
        wrong = "alpha"
    with pytest.raises(AttributeError, match=f"`{wrong}` is no part of the posterior of '{result.covariance}' with"):
        getattr(result, wrong)
    with pytest.raises(AttributeError, match="`sticks` is no part .* Its parts are: locs, scales, .*counts."):
        result.sticks  # noqa: B018


def test_sizes_names_and_shapes_are_those_of_the_posterior_and_the_rows(result: tfgmm.FitResult) -> None:
    assert (result.num_data, result.num_components, result.num_features) == (100, 2, 2)
    assert result.column_names == NAMES and result.weight_prior == "dirichlet"
    assert result.covariance == result.variational.covariance in ("diag", "full")
    mixture = random_mixture("tied", "stick_breaking")
    assert (mixture.num_data, mixture.num_components, mixture.num_features) == (7, 3, 4)
    assert (mixture.covariance, mixture.weight_prior) == ("tied", "stick_breaking")
    assert mixture.column_names == ("a", "b", "c", "d")
    assert tfgmm.fit_mixture(ROWS, 1, restarts=1).column_names is None


# Questions


def test_it_scores_rows_as_its_means_say(result: tfgmm.FitResult) -> None:
    plug_in = result.plug_in()
    scales, covariances = plug_in.form.covariances(plug_in.components)
    if covariances is None:
        covariances = scales[..., None] ** 2 * np.eye(2)
    locs = plug_in.components["locs"] + plug_in.centre
    each = zip(plug_in.log_weights, locs, covariances)
    joint = np.stack([weight + stats.multivariate_normal(*pair).logpdf(ROWS) for weight, *pair in each], axis=1)
    np.testing.assert_allclose(result.log_prob(ROWS), np.log(np.exp(joint).sum(axis=1)), rtol=1e-5)
    np.testing.assert_array_equal(result.assign(ROWS), np.argmax(joint, axis=1))
    assert float(result.log_prob(ROWS).sum(dtype=np.float64)) == pytest.approx(result.log_likelihood, rel=1e-6)
    np.testing.assert_array_equal(
        result.log_prob(pd.DataFrame(ROWS[:, ::-1], columns=NAMES[::-1])), result.log_prob(ROWS)
    )
    far = result.outlier([[-3.0, 40.0], [100.0, 0.0]])
    assert far[0] > 0.1 and far[1] < 1e-3


def test_the_predictive_density_is_the_mean_over_draws_of_the_posterior(result: tfgmm.FitResult) -> None:
    mixture = result.predictive(num_draws=5, seed=3)
    draws = result.draws(5, seed=3)
    densities = []
    for s in range(5):
        covariances = draws.scales[0, s, :, :, None] ** 2 * np.eye(2)
        if draws.covariances is not None:
            covariances = draws.covariances[0, s]
        normals = [stats.multivariate_normal(*pair).pdf(ROWS) for pair in zip(draws.locs[0, s], covariances)]
        densities.append(draws.weights[0, s] @ normals)
    expected = np.log(np.mean(densities, axis=0))
    np.testing.assert_allclose(scores.score_data(mixture, ROWS, "log_prob"), expected, rtol=1e-5)


def test_rows_are_sampled_from_the_plug_in_mixture(result: tfgmm.FitResult) -> None:
    rows = result.sample(20_000, seed=1)
    assert rows.shape == (20_000, 2) and rows.dtype == np.float64
    plug_in = result.plug_in()
    mean = np.exp(plug_in.log_weights) @ (plug_in.components["locs"] + plug_in.centre)
    assert (np.abs(rows.mean(axis=0) - mean) < 5 * rows.std(axis=0) / 20_000**0.5).all()
    assert result.sample(9, seed=1).tobytes() == result.sample(9, seed=1).tobytes()
    assert not np.array_equal(result.sample(9), result.sample(9))
    assert result.sample(0).shape == (0, 2)


@pytest.mark.parametrize(("ask", "name"), [("sample", "n"), ("draws", "n")])
def test_numbers_of_rows_and_draws_that_are_none_are_refused(result: tfgmm.FitResult, ask: str, name: str) -> None:
    for value in (-1, 2.5):
        with pytest.raises((TypeError, ValueError), match=f"`{name}` must be"):
            getattr(result, ask)(value)
    with pytest.raises((TypeError, ValueError), match="`seed` must be"):
        getattr(result, ask)(3, seed=-1)


def test_draws_have_the_moments_of_the_posterior_and_the_names_of_its_columns(result: tfgmm.FitResult) -> None:
    draws = result.draws(20_000, seed=7)
    assert draws.column_names == NAMES
    for values, expected in ((draws.locs[0], result.locs), (draws.weights[0], result.counts / result.counts.sum())):
        assert (np.abs(values.mean(axis=0) - expected) < 5 * values.std(axis=0) / 20_000**0.5).all()


def test_with_rows_draws_carry_their_importance_ratios(result: tfgmm.FitResult) -> None:
    """log p(rows, draw) - log q(draw): its mean is at most the log evidence, and near the bound or above it."""
    draws = result.draws(200, seed=2, data=ROWS)
    ratios = draws.sample_stats[LOG_RATIO]
    assert ratios.shape == (1, 200) and result.draws(2, seed=2).sample_stats.get(LOG_RATIO) is None
    error = ratios.std() / 200**0.5
    assert ratios.mean() > result.elbo - 5 * error
    with pytest.raises(ValueError, match="must be the rows that the model was fitted to, 100. Received: 99 rows"):
        result.draws(2, data=ROWS[1:])
