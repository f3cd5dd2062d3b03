"""Priors that learn their scale: published values, quadrature, a bound that never falls, slopes, and real tables."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from random_posteriors import random_components, spd
from scipy import integrate, special, stats
from sklearn.datasets import load_iris
from sklearn.metrics import adjusted_rand_score

import tfgmm
from tfgmm import Priors
from tfgmm.data.blocks import RowBlock
from tfgmm.families.correlated import CorrelatedPosterior
from tfgmm.families.drawing import log_gamma_draws
from tfgmm.families.independent import IndependentPosterior
from tfgmm.families.learned_scales import ColumnScales, LocationScales, MatrixScales
from tfgmm.families.natural_gradient import moved, place_at
from tfgmm.families.variational import COMPONENTS, Factors, VariationalPosterior
from tfgmm.families.weights import DirichletPosterior
from tfgmm.mixture.parameters import FORMS
from tfgmm.mixture.priors_from_data import LOC_SCALE_GRID
from tfgmm.mixture.row_sums import sums_over_rows
from tfgmm.mixture.statistics import Statistics
from tfgmm.model.gradients import divergences

GRID = (1.0, 4.0, 16.0)
C, V = [[4.0, 1.0], [1.0, 3.0]], [[4.0, 0.0], [0.0, 3.0]]
NINE = np.array([(0, 0), (1, 0.5), (-0.5, 1), (0.5, -1), (4, 4), (5, 4.5), (4.5, 3), (3.5, 5), (2, 2.5)], float)
OF_NINE = {"loc_mean": (0.5, 1.0), "weight_concentration": 1.0, "degree_grid": GRID, "least_scale": 1e-4}
GEYSER = np.loadtxt("training/data/old_faithful.csv", delimiter=",", skiprows=1)


# --- Values found by others --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("structures", "floor", "expected"),
    [
        (("matrix", "columns"), 0.0, -6.8742007692),
        (("matrix", "columns"), 1e-4, -6.8749657692),
        (("matrix",), 0.0, -7.7206792679),
        (("columns",), 0.0, -6.4224392242),
    ],
)
def test_the_joint_density_of_two_matrices_is_the_reference(structures, floor, expected):
    matrices = np.array([[[0.8, 0.1], [0.1, 0.5]], [[2.0, -0.3], [-0.3, 1.0]]])
    scales = MatrixScales(np.array(C), 2, structures, np.array(GRID), 1.0, floor)
    whiteners = np.swapaxes(np.linalg.cholesky(matrices), 1, 2)
    found = scales.log_density_of(whiteners, 0.5 * np.linalg.slogdet(matrices)[1])
    assert float(found) == pytest.approx(expected, abs=1e-9)


def nine_sweeps(covariance, priors, num_sweeps):
    """Yields the bound before each sweep, from the reference start."""
    q = VariationalPosterior.of(covariance, "dirichlet", 2, 2, priors)
    locs, halves = NINE[[0, 4]], np.full((2, 2), 0.5)
    if q.form == "correlated":
        of_each = np.broadcast_to(np.eye(2), (q.components.num_precisions, 2, 2))
        start = CorrelatedPosterior(
            locs, np.stack([0.5 * np.eye(2)] * 2), np.full(len(of_each), 5.0), np.sqrt(5.0) * of_each
        )
    else:
        twos = np.full(q.components.precision_axes, 2.0)
        start = IndependentPosterior(locs, halves, twos, twos)
    values = q.values_of(Factors(DirichletPosterior(np.array([3.0, 5.0])), start))
    for _ in range(num_sweeps):
        coefficients = [value[None] for value in place_at(q, values).coefficients]
        sums = sums_over_rows(FORMS[q.form].write_products, RowBlock(NINE), coefficients)
        yield float(sums.log_likelihood[0]) - float(q.kl(q.factors_of(values)))
        values = moved(q, values, Statistics(*(value[0] for value in sums.statistics)), q.centre).target.values


@pytest.mark.parametrize(
    ("covariance", "structure", "expected"),
    [
        ("spherical", "columns", (-44.87746609, -42.25855581, -42.15575897)),
        ("diag", "both", (-46.24281778, -44.28225588, -44.15422215)),
        ("tied_spherical", "columns", (-44.36201618, -41.56619453, -41.55741528)),
        ("tied_diag", "columns", (-45.30631665, -43.05418744, -43.01993158)),
        ("full", "both", (-47.75181990, -45.56786682, -45.37603012)),
        ("full", "columns", (-47.38503854, -45.17358817, -44.92676855)),
        ("full", "matrix", (-47.76995310, -45.64517526, -45.43833166)),
        ("tied", "both", (-46.67309478, -44.11607008, -44.01966278)),
    ],
)
def test_sweeps_pass_through_the_reference_bounds_and_never_fall(covariance, structure, expected):
    """At the start, after one sweep, and at the end."""
    is_matrix = covariance in ("full", "tied")
    own = (
        {"expected_scale": C, "loc_covariance": C if structure == "matrix" else V}
        if is_matrix
        else {"expected_scale": 1.0}
    )
    priors = Priors(scale_structure=structure, loc_scale_grid=LOC_SCALE_GRID, **OF_NINE, **own)
    bounds = list(nine_sweeps(covariance, priors, 700))
    np.testing.assert_allclose([bounds[0], bounds[1], bounds[-1]], expected, rtol=0, atol=2e-8)
    assert np.diff(bounds).min() > -1e-11


# Bounds found with the floor 1e-4 by an independent program, and what scikit-learn's species make of the assignment
TABLES = [
    (load_iris().data, "full", 3, -294.0535),
    (load_iris().data, "tied", 3, -331.2843),
    (load_iris().data, "diag", 3, -383.8997),
    (GEYSER, "full", 2, -1165.9857),
    (GEYSER, "tied", 3, -1165.3170),
    (GEYSER, "diag", 2, -1179.2022),
]


@pytest.mark.parametrize(("rows", "covariance", "num_components", "expected"), TABLES)
def test_fits_of_real_tables_reach_the_best_bounds_known(rows, covariance, num_components, expected):
    priors = Priors.from_data(rows, covariance, scale_structure="both")
    result = tfgmm.fit_mixture(
        rows,
        num_components,
        covariance=covariance,
        priors=dataclasses.replace(priors, least_scale=1e-4, row_variance=None),
    )
    assert result.elbo == pytest.approx(expected, abs=1e-4)


def test_iris_is_told_apart():
    """Also with the width of all rows as the expected one, a tenth of which hid two of the three species before."""
    rows, species = load_iris(return_X_y=True)
    result = tfgmm.fit_mixture(rows, 3, covariance="full")
    assert adjusted_rand_score(species, result.assign(rows)) > 0.9


# --- The least width, and axes ---------------------------------------------------------------------------------------

LEAST = np.array([1e-3, 4e-3])
FLOORS = {  # by hand: what the second column has more is its own
    "columns": np.array([1e-3 * 4.0, 4e-3 * 3.0]),
    "matrix": np.array([[1e-3 * 4.0, 1e-3 * 1.0], [1e-3 * 1.0, 1e-3 * 3.0 + 3e-3 * 3.0]]),
}


def test_a_least_scale_per_column_weighs_down_the_precisions_of_each():
    """By tr(floor Lambda) / 2 nats."""
    generator = np.random.default_rng(0)
    of_prior = np.array(GRID), 1.0
    matrices = spd(generator, 3, 2, 2)
    whiteners = np.swapaxes(np.linalg.cholesky(matrices), 1, 2)
    determinants = 0.5 * np.linalg.slogdet(matrices)[1]
    with_floor, without = (
        MatrixScales(np.array(C), 3, ("matrix", "columns"), *of_prior, least).log_density_of(whiteners, determinants)
        for least in (LEAST, 0.0)
    )
    cost = 0.5 * sum(np.trace(FLOORS["matrix"] @ matrix) for matrix in matrices)
    assert float(without - with_floor) == pytest.approx(cost, rel=1e-9)
    precisions = generator.uniform(0.5, 3.0, (3, 2))
    with_floor, without = (
        ColumnScales(np.diag(C), 3, *of_prior, least).log_density_of(precisions, np.log(precisions))
        for least in (LEAST, 0.0)
    )
    cost = 0.5 * sum(FLOORS["columns"] @ line for line in precisions)
    assert float(without - with_floor) == pytest.approx(cost, rel=1e-9)


@pytest.mark.parametrize(("covariance", "structure"), [("diag", "columns"), ("full", "matrix")])
def test_components_of_equal_rows_have_the_shape_of_the_floor(covariance, structure):
    """Nothing else says how wide they are."""
    rows = np.repeat([[-1.0, 2.0], [3.0, -1.0]], 40, axis=0)
    priors = Priors((1.0, 0.5), (2.0, 1.5), weight_concentration=1.0, scale_structure=structure,
                    expected_scale=C if structure == "matrix" else np.diag(C), least_scale=1e-6 * LEAST)  # fmt: skip
    with pytest.warns(UserWarning, match="few different values"):
        mixture = tfgmm.fit_mixture(rows, 2, covariance=covariance, priors=priors, tolerance=1e-12).plug_in()
    sds, covariances = FORMS["independent" if covariance == "diag" else "correlated"].covariances(mixture.components)
    if covariances is None:
        covariances = np.square(sds)[..., None] * np.eye(2)
    floor = FLOORS["matrix"] if structure == "matrix" else np.diag(FLOORS["columns"])
    for found in covariances:
        np.testing.assert_allclose(found / found[0, 0], floor / floor[0, 0], rtol=1e-3, atol=1e-9)
        assert 0.5 < found[0, 0] / (1e-6 * floor[0, 0] / 40) < 2.0  # the floor is one sum of squares, of 40 rows


def test_a_learned_matrix_looks_at_no_axes():
    """A rotation of all columns changes neither the bound nor who belongs where; variances per column do look."""
    generator, angle = np.random.default_rng(2), 0.6
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    rows = np.concatenate(
        [generator.multivariate_normal([-2, 0], np.diag([0.2, 2]), 60), generator.normal([2, 1], [0.3, 1.5], (60, 2))]
    )

    def both_ways(structure):
        for table in (rows, rows @ turn.T):
            priors = Priors.from_data(table, "full", scale_structure=structure)
            yield tfgmm.fit_mixture(table, 2, covariance="full", priors=priors, tolerance=1e-13)

    one, other = both_ways("matrix")
    assert other.elbo == pytest.approx(one.elbo, rel=1e-6)
    order = np.argsort(one.locs[:, 0]), np.argsort((other.locs @ turn)[:, 0])
    np.testing.assert_allclose((other.locs @ turn)[order[1]], one.locs[order[0]], rtol=1e-5, atol=1e-5)
    probabilities = (one.model.responsibilities(rows), other.model.responsibilities(rows @ turn.T))
    np.testing.assert_allclose(probabilities[1][:, order[1]], probabilities[0][:, order[0]], atol=1e-5)
    one, other = both_ways("both")
    assert abs(other.elbo - one.elbo) > 0.1


# --- The same by quadrature --------------------------------------------------------------------------------------


def test_precisions_of_one_column_have_the_density_of_quadrature():
    """Over sigma0 by quadrature, over e by a sum; the floor's factor by itself."""
    precisions, expected, floor, hyper = np.array([0.7, 1.9, 4.0]), 1.3, 1e-2, 2.4

    def given(e):
        def density(sigma):
            gammas = stats.gamma.pdf(precisions, e / 2, scale=2 / (e * sigma)).prod()
            return gammas * stats.gamma.pdf(sigma, hyper / 2, scale=2 * expected / hyper)

        return integrate.quad(density, 0, np.inf, epsabs=0, epsrel=1e-10)[0]

    wanted = np.log(np.mean([given(e) for e in GRID])) - 0.5 * floor * expected * precisions.sum()
    scales = ColumnScales(np.array([expected]), 3, np.array(GRID), hyper, floor)
    found = scales.log_density_of(precisions[:, None], np.log(precisions)[:, None])
    assert float(found) == pytest.approx(wanted, rel=1e-9)


def test_locations_have_the_density_of_a_mixture_of_normals():
    locs, variances, lambdas = (
        np.array([[0.3, -1.0], [2.0, 0.4], [-0.7, 0.1]]),
        np.array([2.0, 0.5]),
        np.array([0.5, 1, 3]),
    )
    by_lambda = [stats.norm.logpdf(locs, 0, np.sqrt(variances / value)).sum() for value in lambdas]
    scales = LocationScales(float(np.log(variances).sum()), 3, 2, lambdas)
    log_density, expected = scales.given((np.square(locs) / variances).sum())
    assert float(log_density) == pytest.approx(special.logsumexp(by_lambda) - np.log(3), rel=1e-12)
    assert float(expected) == pytest.approx(special.softmax(by_lambda) @ lambdas, rel=1e-12)


# --- Slopes, draws, and what is handed on ---------------------------------------------------------------------------


def learned_priors_for(covariance, num_features=4):
    structure = "both" if covariance in ("full", "tied") else "columns"
    expected = spd(np.random.default_rng(3), num_features, num_features) if structure == "both" else 1.7
    return Priors(loc_mean=0.3, loc_scale=1.4, scale_structure=structure, expected_scale=expected, degree_grid=GRID,
                  least_scale=1e-2, loc_scale_grid=LOC_SCALE_GRID)  # fmt: skip


def learned_components(covariance):
    """Returns components that learn their scale, and a random q."""
    _, posterior = random_components(covariance)
    return COMPONENTS[covariance](3, 4, learned_priors_for(covariance)), posterior


@pytest.mark.parametrize("covariance", COMPONENTS)
def test_tensors_have_the_divergence_and_the_slopes_of_numpy(covariance):
    components, posterior = learned_components(covariance)
    centre, tensors = np.full(4, 0.2), type(posterior)(*map(tf.constant, posterior))
    of_form = divergences._OF_COMPONENTS[components.form]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        kl = of_form(components, tensors, centre)
    assert float(kl) == pytest.approx(float(components.kl(posterior, centre)), rel=1e-11)
    for number, slopes in enumerate(tape.gradient(kl, tensors)):
        for place in list(np.ndindex(posterior[number].shape))[:8]:
            if posterior[number].ndim == 3 and place[1] < place[2]:
                continue  # above the diagonal of a factor
            ends = []
            for step in (1e-6, -1e-6):
                values = [np.array(value) for value in posterior]
                values[number][place] += step
                ends.append(float(components.kl(type(posterior)(*values), centre)))
            assert float(slopes[place]) == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-5, abs=1e-6)


def log_prior_of_locs(components, locs, centre):
    """Computes log p(mu) with lambda summed out, by SciPy, of one draw (K, D)."""
    if components.form == "correlated":
        covariance = components.prior_loc_cholesky @ components.prior_loc_cholesky.T
    else:
        covariance = np.diag(np.square(components.loc_scale))
    lambdas = np.array(LOC_SCALE_GRID) ** -2.0
    mean = components.loc_mean - centre
    of_each = [stats.multivariate_normal(mean, covariance / value).logpdf(locs).sum() for value in lambdas]
    return special.logsumexp(of_each) - np.log(len(lambdas))


def log_q(components, posterior, drawn, number):
    """Computes log q of one draw by SciPy, and log p of its precisions by what quadrature has checked."""
    locs = drawn.locs[number]
    if components.form == "correlated":
        pairs = zip(locs, posterior.locs, posterior.loc_cholesky)
        of_locs = sum(stats.multivariate_normal(mean, root @ root.T).logpdf(loc) for loc, mean, root in pairs)
        whiteners = drawn.whiteners[number]
        scales = np.linalg.inv(posterior.scale_cholesky @ np.swapaxes(posterior.scale_cholesky, 1, 2))
        of_precisions = sum(
            stats.wishart(nu, scale).logpdf(u.T @ u) for nu, scale, u in zip(posterior.degrees, scales, whiteners)
        )
        return of_locs + of_precisions, components.learned.log_density_of(whiteners, drawn.log_determinants[number])
    own = drawn.log_precisions[number][: components.precision_axes[0], : components.precision_axes[1]]
    of_locs = stats.norm.logpdf(locs, posterior.locs, posterior.scales).sum()
    of_precisions = stats.gamma.logpdf(np.exp(own), posterior.alpha, scale=1 / posterior.beta).sum()
    return of_locs + of_precisions, components.learned.log_density_of(np.exp(own), own)


@pytest.mark.parametrize("covariance", COMPONENTS)
def test_ratios_of_draws_are_exact_and_their_mean_is_no_more_than_the_divergence(covariance):
    """E[log p] of q is no less than what the bound has in its place: U is convex in the sums."""
    components, posterior = learned_components(covariance)
    generator, centre = np.random.default_rng(5), np.full(4, 0.2)
    log_gammas = log_gamma_draws(components.gamma_shapes(posterior), [4_000], generator)
    drawn = components.draws(posterior, log_gammas, generator)
    ratios = components.log_ratios(posterior, drawn, centre)
    for number in range(5):
        of_q, of_precisions = log_q(components, posterior, drawn, number)
        expected = of_q - of_precisions - log_prior_of_locs(components, drawn.locs[number], centre)
        assert float(ratios[number]) == pytest.approx(float(expected), rel=1e-9)
    kl = float(components.kl(posterior, centre))
    assert kl - 4.0 < ratios.mean() < kl + 4 * ratios.std() / np.sqrt(4_000)


@pytest.mark.parametrize("covariance", COMPONENTS)
def test_sweeps_with_what_was_learned_end_where_the_fit_did(covariance):
    rows = GEYSER[:150] / [1.0, 10.0]  # columns as wide as each other, as a sphere is
    priors = Priors.from_data(rows, covariance)
    result = tfgmm.fit_mixture(rows, 2, covariance=covariance, priors=priors, tolerance=1e-13)
    again = tfgmm.fit_mixture(
        rows, 2, covariance=covariance, priors=result.learned_priors, start=result.locs, tolerance=1e-13
    )
    assert result.learned_priors.scale_structure == "fixed" and again.learned_priors == result.learned_priors
    for name, part in again.variational.public().items():
        np.testing.assert_allclose(part, result.variational.public()[name], rtol=2e-5, atol=1e-6, err_msg=name)


@pytest.mark.slow
def test_a_model_learns_by_gradients_and_is_saved_with_its_priors(tmp_path):
    import keras

    priors = Priors.from_data(GEYSER, "full", scale_structure="both")
    best = tfgmm.fit_mixture(GEYSER, 2, covariance="full", priors=priors)
    model = tfgmm.GaussianMixtureModel(2, 2, "full", priors=priors, seed=0, num_draws=20)
    model.compile(keras.optimizers.Adam(0.02))
    first = model.fit(GEYSER, epochs=1, verbose=0).history["loss"][0]
    last = model.fit(GEYSER, epochs=150, verbose=0).history["loss"][-1]
    assert last < first - 0.5 and last > -best.elbo / 272 - 0.1  # the tighter bound, but for noise
    model.save(tmp_path / "model.keras")
    loaded = tfgmm.load_model(tmp_path / "model.keras")
    assert loaded.priors == priors and float(loaded.kl()) == float(model.kl())


# --- What is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"scale_structure": "both"}, ("expected_scale", "None")),
        ({"scale_structure": "rows", "expected_scale": 1.0}, ("scale_structure", "rows")),
        ({"scale_structure": "columns", "expected_scale": -1.0}, ("expected_scale", "positive")),
        ({"scale_structure": "columns", "expected_scale": 1.0, "degree_grid": ()}, ("degree_grid", "empty")),
        ({"scale_structure": "columns", "expected_scale": 1.0, "degree_grid": (1.0, 0.0)}, ("degree_grid", "positive")),
        ({"loc_scale_grid": (1.0, float("nan"))}, ("loc_scale_grid", "finite")),
        ({"loc_scale_grid": (0.5, -1.0)}, ("loc_scale_grid", "positive")),
        ({"loc_scale_grid": ()}, ("loc_scale_grid", "empty")),
        ({"least_scale": (1e-7, 0.0)}, ("least_scale", "positive")),
        ({"scale_structure": "both", "expected_scale": 1.0, "precision_rate": 2.0}, ("precision_rate", "left out")),
        ({"scale_structure": "both", "expected_scale": 1.0, "degrees": 3.0}, ("degrees", "left out")),
        ({"scale_structure": "both", "expected_scale": C, "inverse_scale": C}, ("inverse_scale", "left out")),
        ({"hyper_degrees": (1.0, 2.0)}, ("hyper_degrees", "one number")),
    ],
)
def test_priors_that_cannot_learn_are_refused_in_words(options, words):
    with pytest.raises(ValueError) as caught:
        Priors(**options)
    for word in ("must", "Received", *words):
        assert word in str(caught.value)


@pytest.mark.parametrize("covariance", ["spherical", "diag", "tied_spherical", "tied_diag"])
def test_a_matrix_is_refused_where_columns_are_independent(covariance):
    with pytest.raises(ValueError, match="scale_structure.* must be .* Received: 'matrix'"):
        COMPONENTS[covariance](2, 2, Priors(scale_structure="matrix", expected_scale=1.0))
    with pytest.raises(ValueError, match="scale_structure.* must be .* Received: 'both'. Leave the matrix"):
        COMPONENTS[covariance](2, 2, Priors(scale_structure="both", expected_scale=C))  # those of "full"


def test_priors_of_before_are_fixed_and_all_fields_survive_json():
    before = {
        "loc_mean": 0.0,
        "loc_scale": 1.0,
        "precision_shape": 5.0,
        "precision_rate": 5.0,
        "weight_concentration": 2.0,
    }
    assert Priors.from_dict(before) == Priors() and not Priors().is_learned
    learned = learned_priors_for("full")
    assert Priors.from_dict(learned.to_dict()) == learned
