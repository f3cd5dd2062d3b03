"""Weights, gaps and noise in the NumPyro companion: densities by plain loops over SciPy's, repeated rows, NUTS."""

from __future__ import annotations

import jax
import numpy as np
import pandas as pd
import pytest
from numpyro.infer.util import log_density
from scipy import stats
from scipy.special import logsumexp

from tfgmm.companions.numpyro_mixture import mixture_model, observed_rows, sample_nuts
from tfgmm.companions.numpyro_mixture.densities import Parameters, observed_log_likelihood
from tfgmm.companions.numpyro_mixture.mode import Target
from tfgmm.companions.numpyro_mixture.rows import moments_of, read_table, sorted_rows
from tfgmm.data.blocks import RowBlock

RNG = np.random.default_rng(0)
WEIGHTS = np.array([0.2, 0.5, 0.3])
LOCS = RNG.normal(0.0, 2.0, (3, 3))
FACTORS = np.tril(RNG.normal(0.0, 0.5, (3, 3, 3)), -1) + np.exp(RNG.normal(0.0, 0.4, (3, 3)))[..., None] * np.eye(3)
FULL = FACTORS @ FACTORS.swapaxes(1, 2)
DIAGONAL = FULL * np.eye(3)
# The model has two of the six shapes; the others are parameters of these that are equal to each other
SHAPES = {
    "spherical": ("diag", np.array([0.5, 1.0, 2.0])[:, None, None] * np.eye(3)),
    "diag": ("diag", DIAGONAL),
    "tied_spherical": ("diag", 0.7 * np.stack([np.eye(3)] * 3)),
    "tied_diag": ("diag", np.stack([DIAGONAL[0]] * 3)),
    "tied": ("full", np.stack([FULL[0]] * 3)),
    "full": ("full", FULL),
}
ROWS = RNG.normal(0.0, 2.0, (12, 3))
GAPS = ROWS.copy()
GAPS[[0, 1, 2, 2, 5, 7, 7, 8], [1, 1, 0, 2, 1, 0, 2, 1]] = np.nan
COUNTS = np.array([1, 2, 1, 3, 1, 2, 1, 5, 1, 1, 2, 4], float)
SDS = np.exp(RNG.normal(-0.5, 0.4, (12, 3)))
MATRICES = np.einsum("nij,nkj->nik", *[RNG.normal(0.0, 0.6, (12, 3, 3))] * 2) + 0.1 * np.eye(3)
VARIANCE = np.array([0.3, 0.1, 0.2])
COMPILED = jax.jit(observed_log_likelihood)
CARRIED = {
    "weights": {"weights": COUNTS},
    "gaps": {"values": GAPS},
    "noise": {"noise": SDS},
    "correlated noise": {"noise": MATRICES},
    "gaps, weights and noise": {"values": GAPS, "weights": COUNTS / 3, "noise": SDS},
    "gaps, weights and correlated noise": {"values": GAPS, "weights": COUNTS / 3, "noise": MATRICES},
}


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def block_of(case):
    return RowBlock(**{"values": ROWS, **CARRIED[case]})


def parameters_of(covariance, matrices):
    scales = np.sqrt(np.diagonal(matrices, axis1=1, axis2=2))
    return Parameters(WEIGHTS, LOCS, scales, np.linalg.cholesky(matrices) if covariance == "full" else None)


def found_log_likelihood(block, shape, variance=None):
    """What the companion computes; compiled once for all shapes whose arrays have the same sizes."""
    covariance, matrices = SHAPES[shape]
    variance = None if variance is None else np.diag(variance)
    rows = sorted_rows(block, covariance == "full")
    return float(COMPILED(parameters_of(covariance, matrices), rows, variance))


def log_likelihood(block, covariances, variance=None, is_correlated=False):
    """The sum of weight x log density, row by row and component by component, by SciPy."""
    total = 0.0
    for number, row in enumerate(block.values):
        seen = np.flatnonzero(~np.isnan(row))
        noise = np.zeros((3, 3))
        if block.noise is not None:
            noise = block.noise[number] if block.noise.ndim == 3 else np.diag(block.noise[number] ** 2)
        joints = []
        for weight, loc, covariance in zip(WEIGHTS, LOCS, covariances):
            matrix = (covariance + noise)[np.ix_(seen, seen)]
            joint = np.log(weight) + stats.multivariate_normal(loc[seen], matrix).logpdf(row[seen])
            if variance is not None:
                taken = np.diag(np.linalg.inv(covariance)) * variance
                joint -= 0.5 * (taken if is_correlated else taken[seen]).sum()
            joints.append(joint)
        total += (1.0 if block.weights is None else block.weights[number]) * logsumexp(joints)
    return total


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("case", CARRIED)
def test_the_density_is_that_of_plain_loops(case, shape):
    """With the variance that each row adds: of observed columns where they are independent, else the whole of it."""
    block, (covariance, matrices) = block_of(case), SHAPES[shape]
    expected = log_likelihood(block, matrices, VARIANCE, covariance == "full")
    assert found_log_likelihood(block, shape, VARIANCE) == pytest.approx(expected, rel=1e-10)
    without = log_likelihood(RowBlock(ROWS), matrices, VARIANCE, covariance == "full")
    assert abs(expected - without) > 0.1, "it changes something"


@pytest.mark.parametrize("covariance", ["diag", "full"])
def test_whole_weights_are_repeated_rows(covariance):
    block = block_of("gaps, weights and noise")._replace(weights=COUNTS)
    repeated = block.part(np.repeat(np.arange(12), COUNTS.astype(int)))._replace(weights=None)
    found = [found_log_likelihood(one, covariance, VARIANCE) for one in (block, repeated)]
    assert found[0] == pytest.approx(found[1], rel=1e-12)


@pytest.mark.parametrize("covariance", ["diag", "full"])
def test_the_model_is_priors_times_this_likelihood(covariance):
    """And rows that carry nothing, noise of 0 and weights of 1 included, count as plain rows do."""
    matrices = SHAPES[covariance][1]
    model = mixture_model(3, 3, covariance=covariance)
    values = values_of(model, matrices)
    compiled = jax.jit(lambda rows: log_density(model, (rows,), {}, values)[0])
    plain = log_likelihood(RowBlock(ROWS), matrices)
    block = block_of("gaps, weights and noise")
    difference = compiled(sorted_rows(block, model.is_correlated)) - compiled(ROWS)
    assert float(difference) == pytest.approx(log_likelihood(block, matrices) - plain, rel=1e-9)
    for block in (RowBlock(ROWS), RowBlock(ROWS, np.ones(12)), RowBlock(ROWS, None, np.zeros_like(ROWS))):
        assert found_log_likelihood(block, covariance) == pytest.approx(plain, rel=1e-12)


def values_of(model, matrices):
    """Values of the sites for these parameters."""
    scales = np.sqrt(np.diagonal(matrices, axis1=1, axis2=2))
    values = model.values(WEIGHTS, LOCS, scales)
    if model.is_correlated:
        values["correlations"] = np.linalg.cholesky(matrices) / scales[..., None]
    return values


@pytest.mark.slow
@pytest.mark.parametrize("covariance", ["diag", "full"])
def test_gradients_are_differences_of_the_density(covariance):
    model = mixture_model(3, 3, covariance=covariance)
    target = Target(model, sorted_rows(block_of("gaps, weights and noise"), model.is_correlated))
    vector = target.joined(model.unconstrained(values_of(model, SHAPES[covariance][1])))
    gradient = target.at(vector)[1]
    for place, step in enumerate(1e-6 * np.eye(len(vector))):
        slope = (target.at(vector + step)[0] - target.at(vector - step)[0]) / 2e-6
        assert gradient[place] == pytest.approx(slope, rel=1e-5, abs=1e-4)


def test_a_component_of_weight_zero_takes_no_part():
    rows = sorted_rows(block_of("gaps, weights and noise"), False)
    parameters = Parameters(np.array([0.0, 0.4, 0.6]), LOCS, np.ones((3, 3)))
    gradient = jax.jit(jax.grad(lambda locs: observed_log_likelihood(parameters._replace(locs=locs), rows, None)))(LOCS)
    assert np.isfinite(gradient).all() and (np.asarray(gradient[0]) == 0).all()


def test_moments_are_those_of_repeated_values():
    mean, deviation = moments_of(GAPS, COUNTS)
    for column in range(3):
        values = np.repeat(GAPS[:, column], COUNTS.astype(int))
        values = values[~np.isnan(values)]
        assert mean[column] == pytest.approx(values.mean()) and deviation[column] == pytest.approx(values.std())


# --- Draws, and rows of other kinds ------------------------------------------------------------------------------

TABLE = np.array([[1.2, -0.3], [0.4, np.nan], [2.9, 0.8], [np.nan, 1.4], [1.7, np.nan], [0.1, 0.2], [np.nan, np.nan]])
OF_ROWS = {
    "sample_weight": np.array([1.0, 2.0, 1.0, 3.0, 0.0, 1.0, 1.0]),
    "noise": np.array([[0.5, 0.2], [0.3, 0.0], [np.inf, 0.4], [0.0, 0.1], [0.3, 0.0], [0.2, 0.6], [0.0, 0.0]]),
    "missing": "integrate",
}


@pytest.mark.slow
@pytest.mark.parametrize("covariance", ["diag", "full"])
def test_nuts_has_the_posterior_of_quadrature(covariance):
    """One component, so that each of independent columns has a posterior of its own, over location and scale.

    The model with covariances is held near independent columns by its prior of the correlations.
    """
    import arviz

    options = {"num_samples": 6000, "target_accept_prob": 0.95, "progress": False}
    if covariance == "full":
        options["correlation_concentration"] = 1e5
    draws = sample_nuts(TABLE, 1, covariance=covariance, **OF_ROWS, **options)
    locs, log_scales = np.linspace(-12.0, 12.0, 1201), np.linspace(-8.0, 5.0, 1001)
    scales = np.exp(log_scales)
    for column in range(2):
        log_density = stats.norm.logpdf(locs, 0, 10)[:, None] + stats.halfcauchy.logpdf(scales, scale=10) + log_scales
        for value, weight, noise in zip(TABLE[:, column], OF_ROWS["sample_weight"], OF_ROWS["noise"][:, column]):
            if np.isfinite(value) and np.isfinite(noise):
                log_density += weight * stats.norm.logpdf(value, locs[:, None], np.hypot(scales, noise))
        density = np.exp(log_density - log_density.max())
        density /= density.sum()
        for values, points, axis in ((draws.locs, locs, 1), (draws.scales, scales, 0)):
            mean = density.sum(axis=axis) @ points
            found = values[..., 0, column]
            assert abs(found.mean() - mean) < 4 * arviz.mcse(found, method="mean")


@pytest.mark.slow
def test_whole_weights_are_repeated_rows_to_the_sampler():
    """The same posterior: the draws agree though the chains start a hair apart."""
    rows = np.random.default_rng(0).normal([-3.0] * 20 + [3.0] * 30)
    counts = np.random.default_rng(1).integers(0, 3, 50)
    options = {"num_samples": 300, "progress": False}
    weighted = sample_nuts(rows, 2, sample_weight=counts, **options)
    repeated = sample_nuts(np.repeat(rows, counts), 2, **options)
    np.testing.assert_allclose(
        np.sort(weighted.locs.mean((0, 1)).ravel()), np.sort(repeated.locs.mean((0, 1)).ravel()), atol=0.1
    )


def test_rows_of_every_kind_come_with_what_they_carry():
    frame = pd.DataFrame(TABLE, columns=["width", "height"])
    frame["count"], frame["error"] = OF_ROWS["sample_weight"], OF_ROWS["noise"][:, 0]
    table = read_table(frame, 2, "count", {"width": "error"}, "integrate")
    assert table.column_names == ("width", "height") and not table.is_plain
    kept = [0, 1, 2, 3, 5]  # one row has weight 0, one has no value
    expected = TABLE[kept].copy()
    expected[2, 0] = np.nan  # its noise is infinite
    np.testing.assert_array_equal(table.block.values, expected)
    np.testing.assert_array_equal(table.block.weights, OF_ROWS["sample_weight"][kept])
    np.testing.assert_array_equal(table.block.noise[:, 0], [0.5, 0.3, 0.0, 0.0, 0.2])
    assert table.total_weight == 8.0
    series = pd.Series([1.0, np.nan, 3.0], name="length")
    one = read_table(series, 1, [1, 1, 2], [0.1, 0.1, 0.3], "integrate")
    assert one.column_names == ("length",) and one.block.values.tolist() == [[1.0], [3.0]]
    assert one.block.noise.tolist() == [[0.1], [0.3]]


def test_observed_rows_are_those_that_numpyro_is_given():
    model = mixture_model(1, 2)
    rows = observed_rows(model, TABLE, sample_weight=OF_ROWS["sample_weight"], noise=OF_ROWS["noise"])
    found, _ = log_density(model, (rows,), {}, model.values(np.ones(1), np.zeros((1, 2)), np.ones((1, 2))))
    expected = 2 * (stats.norm.logpdf(0, 0, 10) + stats.halfcauchy.logpdf(1, scale=10))
    for row, weight, noise in zip(TABLE, OF_ROWS["sample_weight"], OF_ROWS["noise"]):
        for value, sd in zip(row, noise):
            if np.isfinite(value) and np.isfinite(sd):
                expected += weight * stats.norm.logpdf(value, 0, np.hypot(1, sd))
    assert float(found) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("data", "arguments", "words"),
    [
        (TABLE, {}, "`data` must hold finite numbers. Received: 5 values that are NaN or infinite"),
        ([1.0, np.nan], {}, "`data` must hold finite numbers. Received: 1 of 2 that are NaN"),
        ([1.0, np.inf, 2.0], {"missing": "integrate"}, "finite numbers and gaps .* Received: 1 infinite value"),
        (ROWS, {"missing": "drop"}, "`missing` must be one of 'refuse', 'integrate'"),
        (ROWS[:2], {"sample_weight": [0.5, 0.4]}, "`num_components` must be at most the number of rows"),
        (ROWS, {"sample_weight": np.ones(3)}, "`sample_weight`"),
        (ROWS, {"sample_weight": np.zeros(12)}, "weight"),
        (ROWS * [1.0, np.nan, 1.0], {"missing": "integrate"}, "`data` must have values in every column"),
        (ROWS * np.nan, {"missing": "integrate"}, "`data` must have rows with a value"),
        (ROWS, {"noise": -np.ones((12, 3))}, "`noise`"),
    ],
)
def test_rows_that_cannot_be_are_named(data, arguments, words):
    with pytest.raises(ValueError, match=words):
        sample_nuts(data, 2, progress=False, **arguments)


def test_a_model_of_other_columns_is_named():
    with pytest.raises(ValueError, match="`data` must have 2 columns, as the model has. Received: 3"):
        observed_rows(mixture_model(2, 2), ROWS)
