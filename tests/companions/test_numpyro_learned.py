"""`tfgmm.Priors` in the NumPyro companion: joint densities known by quadrature and SciPy, slopes, NUTS by weights."""

from __future__ import annotations

import functools

import arviz
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro.infer.util import initialize_model, log_density, potential_energy
from scipy import integrate, stats
from scipy.special import logsumexp

import tfgmm
from tfgmm import Priors
from tfgmm.companions.numpyro_mixture import MarginalMixture, diagnose, mixture_model, priors_of_model, sample_nuts
from tfgmm.companions.numpyro_mixture.joint_prior import JAX
from tfgmm.companions.numpyro_mixture.mode import Target
from tfgmm.families.learned_scales import MatrixScales

GRID, FAR = (1.0, 4.0, 16.0), (0.5, 1.0, 3.0)
C = np.array([[4.0, 1.0], [1.0, 3.0]])
MATRICES = np.array([[[0.8, 0.1], [0.1, 0.5]], [[2.0, -0.3], [-0.3, 1.0]]])
COVARIANCES = np.linalg.inv(MATRICES)
WEIGHTS, LOCS = np.array([0.3, 0.7]), np.array([[0.3, -1.0], [2.0, 0.4]])
SCALES = np.sqrt(np.diagonal(COVARIANCES, axis1=1, axis2=2))
ROWS = np.random.default_rng(0).normal(0.0, 2.0, (30, 2))
# Two components well apart in two columns
PAIR = np.random.default_rng(0).normal([[-4.0, 1.0]] * 60 + [[4.0, 0.0]] * 90, [[1.0, 0.5]] * 60 + [[0.5, 1.5]] * 90)
# Of the two matrices, by an independent program; beside the share of the expected scale that is the floor
REFERENCES = [
    ("both", 1e-300, -6.8742007692),
    ("both", 1e-4, -6.8749657692),
    ("matrix", 1e-300, -7.7206792679),
    ("columns", 1e-300, -6.4224392242),
]


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def learned(structure, **others):
    options = {"loc_mean": (0.5, -0.2), "loc_scale": (1.5, 0.8), "weight_concentration": (1.5, 2.5)}
    options |= {"scale_structure": structure, "degree_grid": GRID}
    options |= {} if structure == "fixed" else {"expected_scale": C}
    return Priors(**options | others)


def log_of_weights_and_rows(covariances):
    """Dirichlet(1.5, 2.5) of the weights, and the likelihood, by SciPy."""
    joints = [np.log(w) + stats.multivariate_normal(m, c).logpdf(ROWS) for w, m, c in zip(WEIGHTS, LOCS, covariances)]
    return logsumexp(joints, axis=0).sum() + stats.dirichlet.logpdf(WEIGHTS, [1.5, 2.5])


def log_of_locs(multiples, covariance=((1.5**2, 0.0), (0.0, 0.8**2))):
    """The average of Normals over multiples of their spread, by SciPy."""
    of_each = [stats.multivariate_normal((0.5, -0.2), np.square(f) * np.array(covariance)) for f in multiples]
    return logsumexp([one.logpdf(LOCS).sum() for one in of_each]) - np.log(len(multiples))


def full_values(model):
    factors = np.linalg.cholesky(COVARIANCES)
    return model.values(WEIGHTS, LOCS, SCALES) | {"correlations": factors / SCALES[..., None]}


def log_density_of_matrices(model):
    """The model's log density in terms of weights, locations and precision matrices.

    NumPyro's is one of unconstrained coordinates, and the Jacobian to these numbers is taken by JAX, column by column.
    """
    target = Target(model, jnp.asarray(ROWS))
    vector = target.joined(target.unconstrained(full_values(model)))

    def numbers(vector):
        weights, locs, _, factors = model.parameters(model.constrained(target.split(vector)))
        matrices = jnp.linalg.inv(factors @ factors.swapaxes(1, 2))
        return jnp.concatenate([weights[:-1], locs.ravel(), matrices[:, [0, 1, 1], [0, 0, 1]].ravel()])

    jacobian = np.asarray(jax.jit(jax.jacfwd(numbers))(vector))
    return -target.at(vector)[0] - np.linalg.slogdet(jacobian)[1]


# --- Densities ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("structure", "floor", "expected"), REFERENCES)
def test_jax_has_the_reference_densities_of_two_matrices(structure, floor, expected):
    structures = ("matrix", "columns") if structure == "both" else (structure,)
    scales = MatrixScales(C, 2, structures, np.array(GRID), 1.0, floor)
    whiteners = np.swapaxes(np.linalg.cholesky(MATRICES), 1, 2)
    found = scales.log_density_of(jnp.asarray(whiteners), jnp.asarray(0.5 * np.linalg.slogdet(MATRICES)[1]), JAX)
    assert float(found) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("structure", "floor", "expected"), REFERENCES)
def test_the_model_has_the_reference_densities_whatever_its_coordinates(structure, floor, expected):
    """All Jacobians at once, with what SciPy says of weights, locations and rows; one of them ordered."""
    ordered = floor == 1e-4
    priors = learned(structure, least_scale=floor, loc_scale_grid=FAR)
    found = log_density_of_matrices(mixture_model(2, 2, covariance="full", priors=priors, ordered=ordered))
    assert found - log_of_weights_and_rows(COVARIANCES) - log_of_locs(FAR) == pytest.approx(expected, abs=1e-8)


def test_fixed_priors_of_matrices_are_scipys():
    covariance = np.array([[2.0, 0.5], [0.5, 1.0]])
    priors = learned("fixed", loc_covariance=covariance, degrees=4.5, inverse_scale=C)
    expected = log_of_weights_and_rows(COVARIANCES) + log_of_locs([1.0], covariance)
    expected += sum(stats.wishart(4.5, np.linalg.inv(C)).logpdf(matrix) for matrix in MATRICES)
    found = log_density_of_matrices(mixture_model(2, 2, covariance="full", priors=priors))
    assert found == pytest.approx(expected, rel=1e-10)


def log_of_scales(expected, floor, hyper):
    """log p(scales), with sigma0 of each column integrated out by quadrature, and e summed out."""
    precisions = SCALES**-2

    def of_column(e, column):
        def density(sigma):
            gammas = stats.gamma.pdf(precisions[:, column], e / 2, scale=2 / (e * sigma)).prod()
            return gammas * stats.gamma.pdf(sigma, hyper / 2, scale=2 * expected[column] / hyper)

        return np.log(integrate.quad(density, 0, np.inf, epsabs=0, epsrel=1e-11)[0])

    of_e = [of_column(e, 0) + of_column(e, 1) for e in GRID]
    # |d tau / d scale| = 2 scale^-3
    return logsumexp(of_e) - np.log(3) - 0.5 * floor * (expected * precisions).sum() + np.log(2 * SCALES**-3).sum()


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("grid", [None, FAR])
def test_independent_columns_have_the_density_of_quadrature(grid, ordered):
    expected, floor, hyper = np.array([1.3, 0.6]), 1e-2, 2.4
    options = {"expected_scale": expected, "least_scale": floor, "hyper_degrees": hyper, "loc_scale_grid": grid}
    model = mixture_model(2, 2, priors=learned("both", **options), ordered=ordered)
    wanted = log_of_weights_and_rows(np.square(SCALES)[..., None] * np.eye(2)) + log_of_locs(grid or [1.0])
    wanted += log_of_scales(expected, floor, hyper)
    found, _ = log_density(model, (ROWS,), {}, model.values(WEIGHTS, LOCS, SCALES))
    assert float(found) == pytest.approx(wanted, rel=1e-7)


def test_fixed_scales_may_have_locations_that_learn_theirs():
    model = mixture_model(2, 2, priors=learned("fixed", loc_scale_grid=FAR, precision_shape=2.0, precision_rate=1.5))
    wanted = log_of_weights_and_rows(np.square(SCALES)[..., None] * np.eye(2)) + log_of_locs(FAR)
    wanted += stats.gamma.logpdf(SCALES**-2, 2.0, scale=1 / 1.5).sum() + np.log(2 * SCALES**-3).sum()
    found, _ = log_density(model, (ROWS,), {}, model.values(WEIGHTS, LOCS, SCALES))
    assert float(found) == pytest.approx(wanted, rel=1e-7)


def test_one_column_has_one_density_whatever_the_covariance():
    priors = Priors.from_data(ROWS[:, :1], scale_structure="both")
    diag, full = (mixture_model(2, 1, covariance=name, priors=priors) for name in ("diag", "full"))
    values = diag.values(WEIGHTS, LOCS[:, :1], SCALES[:, :1])
    of_full = {name: value.reshape(full.sites()[name].shape()) for name, value in values.items()}
    found = [log_density(model, (ROWS[:, :1],), {}, own)[0] for model, own in ((diag, values), (full, of_full))]
    # "both" has one structure for independent columns; of one column the two are the same
    assert float(found[0]) == pytest.approx(float(found[1]), rel=1e-10)


@pytest.mark.parametrize("covariances", [COVARIANCES, np.stack([np.eye(2)] * 2)], ids=["any", "equal eigenvalues"])
def test_gradients_are_differences_of_the_density(covariances):
    model = mixture_model(2, 2, covariance="full", priors=learned("both", expected_scale=2.0, loc_scale_grid=FAR))
    scales = np.sqrt(np.diagonal(covariances, axis1=1, axis2=2))
    values = model.values(WEIGHTS, LOCS, scales)
    values["correlations"] = np.linalg.cholesky(covariances) / scales[..., None]
    target = Target(model, jnp.asarray(ROWS))
    vector = target.joined(target.unconstrained(values))
    gradient = target.at(vector)[1]
    for place, step in enumerate(1e-6 * np.eye(len(vector))):
        slope = (target.at(vector + step)[0] - target.at(vector - step)[0]) / 2e-6
        assert gradient[place] == pytest.approx(slope, rel=1e-5, abs=1e-5)


@pytest.mark.slow
def test_numpyros_own_settings_come_near():
    """Its float32, at its own start for flat sites."""

    def model():  # one for each precision: JAX keeps a model's numbers in the first one it meets
        return mixture_model(2, 2, covariance="full", priors=Priors.from_data(PAIR, "full", scale_structure="both"))

    def potential(start):
        return float(jax.jit(functools.partial(potential_energy, model(), (PAIR.copy(),), {}))(start))

    def start_of(key):
        return initialize_model(key, model(), model_args=(PAIR.copy(),)).param_info.z

    with jax.enable_x64(False):
        start = jax.jit(start_of)(jax.random.key(0))
        low = potential(start)
    assert low == pytest.approx(potential({name: jnp.asarray(z, float) for name, z in start.items()}), rel=1e-5)


# --- Draws ---------------------------------------------------------------------------------------------------------


def within_errors(values, mean, sd, errors=(0.0, 0.0)):
    """Says whether the moments of draws (C, S) are these to 4 standard errors, with those that the moments have."""
    of_mean, of_sd = (np.hypot(arviz.mcse(values, method=name), own) for name, own in zip(("mean", "sd"), errors))
    return abs(values.mean() - mean) < 4 * of_mean and abs(values.std() - sd) < 4 * of_sd


@pytest.mark.slow
def test_eight_rows_have_the_posterior_of_quadrature():
    """So few that the prior matters. Over sigma0, location and scale on a grid, over e and lambda by sums."""
    rows = np.array([0.3, 1.1, -0.6, 0.9, 2.0, 0.1, 1.6, 0.4])
    options = {"loc_mean": 0.5, "loc_scale": 1.5, "weight_concentration": 1.0, "expected_scale": 1.5}
    draws = sample_nuts(
        rows,
        1,
        num_samples=4000,
        priors=learned("both", loc_scale_grid=FAR, **options),
        target_accept_prob=0.95,
        progress=False,
    )
    log_sigma, locs, log_scales = (np.linspace(*ends, 400) for ends in ((-25.0, 6.0), (-6.0, 7.0), (-3.0, 4.0)))
    sigma, tau = np.exp(log_sigma)[:, None], np.exp(-2.0 * log_scales)
    hyper = (stats.gamma.pdf(sigma, 0.5, scale=2 * 1.5) * sigma)[:, 0]
    of_tau = sum(hyper @ stats.gamma.pdf(tau, e / 2, scale=2 / (e * sigma)) for e in GRID)
    of_locs = sum(stats.norm.pdf(locs, 0.5, 1.5 * factor) for factor in FAR)
    likelihood = np.exp(stats.norm.logpdf(rows[:, None, None], locs[:, None], np.exp(log_scales)).sum(axis=0))
    density = likelihood * of_locs[:, None] * of_tau * tau  # the last for the step in the logarithm of the scale
    density /= density.sum()
    for values, axis, points in ((draws.locs, 1, locs), (draws.scales, 0, np.exp(log_scales))):
        marginal = density.sum(axis=axis)
        mean = marginal @ points
        assert within_errors(values[..., 0, 0], mean, np.sqrt(marginal @ np.square(points - mean)))


def weighted_moments(draws):
    """Means and standard deviations of draws by their importance ratios, and the standard errors of both, (P,) each."""
    values, ratios = draws.numbers()[1][0], draws.sample_stats["log_importance_ratio"][0]
    shares = np.exp(ratios - logsumexp(ratios))
    assert 1.0 / np.square(shares).sum() > 10_000, "effective draws"
    means = shares @ values
    squares = np.square(values - means)
    variances = shares @ squares
    error_of_mean = np.sqrt(np.square(shares) @ squares)
    error_of_sd = np.sqrt(np.square(shares) @ np.square(squares - variances)) / (2 * np.sqrt(variances))
    return means, np.sqrt(variances), error_of_mean, error_of_sd


@pytest.mark.parametrize(
    ("covariance", "structure"),
    [
        ("diag", "both"),
        pytest.param("full", "both", marks=pytest.mark.slow),
        pytest.param("full", "matrix", marks=pytest.mark.slow),
    ],
)
def test_nuts_has_the_posterior_of_weighted_draws_of_the_closed_form(covariance, structure):
    """Means and standard deviations within 4 standard errors, which are measured on both sides."""
    priors = Priors.from_data(PAIR, covariance, scale_structure=structure)
    result = tfgmm.fit_mixture(PAIR, 2, covariance=covariance, priors=priors)
    weighted = tfgmm.align(result.draws(20_000, seed=0, data=PAIR), method="order")
    exact = sample_nuts(PAIR, 2, num_samples=1000, covariance=covariance, priors=result.priors, progress=False)
    exact = tfgmm.align(exact, method="order")
    means, sds, error_of_mean, error_of_sd = weighted_moments(weighted)
    assert exact.numbers()[0] == weighted.numbers()[0] and diagnose(exact).ess_bulk.min() > 500
    for number, values in enumerate(np.moveaxis(exact.numbers()[1], -1, 0)):
        errors = error_of_mean[number], error_of_sd[number]
        assert within_errors(values, means[number], sds[number], errors), exact.numbers()[0][number]


def test_repeated_rows_have_a_mode_and_no_warning():
    """Where the default priors let a component shrink without end."""
    rows = np.concatenate([np.zeros(30), np.random.default_rng(0).normal(5.0, 1.0, 30)])[:, None]
    priors = Priors.from_data(rows, scale_structure="both")
    draws = sample_nuts(rows, 2, num_samples=300, priors=priors, progress=False)
    assert np.isfinite(draws.locs).all() and (draws.scales > 0).all()


# --- What is refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"priors": learned("matrix")}, "`priors.scale_structure` must be .* Received: 'matrix'"),
        ({"priors": learned("columns", loc_mean=(0.0, 1.0, 2.0))}, r"`priors.loc_mean` must be .* \(2,\)"),
        (
            {"priors": learned("both"), "covariance": "full", "correlation_concentration": 2.0},
            "`priors` must be left out with correlation_concentration. Received: both",
        ),
    ],
)
def test_priors_that_cannot_be_are_named(arguments, words):
    with pytest.raises(ValueError, match=words):
        mixture_model(2, 2, **arguments)


@pytest.mark.parametrize("priors", [learned("columns"), learned("fixed", loc_scale_grid=FAR)])
def test_learned_priors_are_no_distributions_of_sites(priors):
    with pytest.raises(ValueError, match=r"`priors` must have fixed scales here\. Received: .* as priors="):
        priors_of_model(priors, 2, 2)


@pytest.mark.parametrize("covariance", ["diag", "full"])
def test_the_variance_that_each_row_adds_is_in_the_likelihood(covariance):
    """By SciPy: each joint density less half the trace of precision times variance."""
    variance = np.array([[0.5, 0.2], [0.2, 0.3]]) if covariance == "full" else np.diag([0.5, 0.3])
    given = variance if covariance == "full" else (0.5, 0.3)
    models = [
        mixture_model(2, 2, covariance=covariance, priors=learned("fixed", row_variance=one)) for one in (given, None)
    ]
    values = full_values(models[0]) if covariance == "full" else models[0].values(WEIGHTS, LOCS, SCALES)
    covariances = COVARIANCES if covariance == "full" else [np.diag(scales**2) for scales in SCALES]
    with_it, without = (log_density(model, (ROWS,), {}, values)[0] for model in models)
    densities = [stats.multivariate_normal(*one).logpdf(ROWS) for one in zip(LOCS, covariances)]
    joints = np.log(WEIGHTS)[:, None] + densities
    taken = np.array([0.5 * np.trace(np.linalg.inv(one) @ variance) for one in covariances])[:, None]
    expected = (logsumexp(joints - taken, axis=0) - logsumexp(joints, axis=0)).sum()
    assert expected < -5.0
    assert with_it - without == pytest.approx(expected, rel=1e-9)
    mixture = MarginalMixture(*models[0].parameters(values), row_variance=variance)
    np.testing.assert_allclose(mixture.log_prob(ROWS[0]), logsumexp(joints[:, 0] - taken[:, 0]), rtol=1e-9)


def test_a_matrix_of_it_suits_no_independent_columns():
    with pytest.raises(ValueError, match="`priors.row_variance` must be one number.* Received: a matrix"):
        mixture_model(2, 2, priors=learned("fixed", row_variance=np.eye(2)))
