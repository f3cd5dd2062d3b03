"""The variance that each row adds: the bound stays one, and rows that do not vary divide nothing."""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np
import pytest
from exact_posteriors import BlocksOfRows
from scipy import stats
from sklearn.metrics import adjusted_rand_score

import tfgmm
from tfgmm.data.blocks import RowBlock
from tfgmm.families.importance import log_importance_ratios
from tfgmm.families.variational import COMPONENTS, VariationalPosterior
from tfgmm.mixture.priors import Priors
from tfgmm.mixture.statistics import Statistics

GENERATOR = np.random.default_rng(0)
LABELS = np.repeat(range(3), 100)
ROWS = np.array([[0.0, 0.0], [4.0, 0.0], [2.0, 3.0]])[LABELS] + GENERATOR.normal(size=(300, 2))
MATRIX = np.array([[0.5, 0.2], [0.2, 0.3]])


def family(covariance, row_variance, num_components=2):
    priors = Priors((0.5, -1.0), 2.0, 1.5, 0.8, 1.0, row_variance=row_variance)
    q = VariationalPosterior.of(covariance, "dirichlet", num_components, 2, priors)
    q.assign(q.values_of(q.random_start(3)))
    return q


def variances(covariance):
    return MATRIX if covariance in ("full", "tied") else np.diag([0.5, 0.3])


def given(covariance):
    return MATRIX if covariance in ("full", "tied") else (0.5, 0.3)


@pytest.mark.parametrize("covariance", COMPONENTS)
def test_a_row_counts_as_its_copies_with_noise_of_that_variance(covariance):
    """Of many copies with noise of exactly this variance, the expected log densities and the update are the means."""
    noise = np.linalg.cholesky(variances(covariance)) @ np.array([[1, 1, -1, -1], [1, -1, 1, -1]])  # of variance 1
    q, plain = family(covariance, given(covariance)), family(covariance, None)
    row = np.array([0.7, -0.4])
    coefficients = {}
    for name, one in (("with", q), ("without", plain)):
        linear, constants = one.expected_coefficients(one.factors())
        products = np.square if one.form == "independent" else lambda x: np.outer(x, x).ravel()
        coefficients[name] = lambda x, a=linear, b=constants, p=products: np.concatenate([x, p(x)]) @ a + b
    expected = np.mean([coefficients["without"](row + step) for step in noise.T], axis=0)
    np.testing.assert_allclose(coefficients["with"](row), expected, rtol=1e-10)
    products = np.square if q.form == "independent" else lambda x: np.outer(x, x).ravel()
    share = np.array([0.3, 0.7])

    def statistics(rows, weight):
        first, second = (sum(weight * f(row) for row in rows) for f in (np.asarray, products))
        return Statistics(share, share[:, None] * first, share[:, None] * second)

    of_row = q.components.update(q.factors().components, statistics([row], 1.0), np.zeros(2))
    of_copies = plain.components.update(
        plain.factors().components, statistics([row + step for step in noise.T], 0.25), np.zeros(2)
    )
    for found, value in zip(of_row, of_copies):
        np.testing.assert_allclose(found, value, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("covariance", ["diag", "tied_spherical", "full", "tied"])
def test_importance_ratios_have_it_too(covariance):
    """Log likelihoods under draws, by a loop over rows, components and SciPy, less half a trace."""
    q = family(covariance, given(covariance))
    drawn = q.draw(4, seed=1)
    rows = ROWS[:5].astype(np.float32)
    found = log_importance_ratios(q, q.factors(), drawn, BlocksOfRows(q, RowBlock(rows))) + q.log_ratios(drawn)
    mixtures = q.mixtures_of(drawn)
    for number in range(4):
        mixture, total = mixtures.part(number), 0.0
        for row in rows.astype(float):
            joints = []
            for k in range(2):
                parts = {
                    name: np.broadcast_to(value, (2, *value.shape[1:]))[k] for name, value in mixture.components.items()
                }
                precision = (
                    np.diag(parts["precisions"]) if "precisions" in parts else parts["whiteners"].T @ parts["whiteners"]
                )
                density = stats.multivariate_normal(parts["locs"], np.linalg.inv(precision)).logpdf(row)
                joints.append(mixture.log_weights[k] + density - 0.5 * np.trace(precision @ variances(covariance)))
            total += np.logaddexp.reduce(joints)
        assert found[number] == pytest.approx(total, rel=1e-6)


@pytest.mark.parametrize("covariance", ["diag", "full"])
def test_gradient_training_has_it_too(covariance):
    """L_A <= L_M, and near it where clusters are far apart, only if both count it."""
    rows = np.concatenate([ROWS - 40.0, ROWS + 40.0])
    priors = dataclasses.replace(Priors.from_data(rows, covariance), row_variance=given(covariance))
    result = tfgmm.fit_mixture(rows, 2, covariance=covariance, priors=priors)
    model = result.model
    model.compile("adam")
    marginal = -model.evaluate(rows, verbose=0, return_dict=True)["loss"] * len(rows)
    without = dataclasses.replace(priors, row_variance=None)
    other = tfgmm.fit_mixture(rows, 2, covariance=covariance, priors=without)
    assert other.elbo - result.elbo > 50  # what it costs
    assert marginal == pytest.approx(result.elbo, abs=5)


# Independent columns count a repeated one twice, as they say
KINDS = [
    ("diag", "constant"),
    *((shape, kind) for shape in ("full", "tied") for kind in ("constant", "repeated", "sum")),
]


@pytest.mark.parametrize(("covariance", "kind"), KINDS)
def test_columns_that_vary_nowhere_merge_no_clusters(covariance, kind):
    more = {"constant": np.full(300, 7.0), "repeated": ROWS[:, 1], "sum": ROWS.sum(axis=1)}[kind]
    rows = np.column_stack([ROWS, more])
    with pytest.warns(UserWarning, match="one value only" if kind == "constant" else "follow from each other"):
        result = tfgmm.fit_mixture(rows, 3, covariance=covariance)
    alone = tfgmm.fit_mixture(ROWS, 3, covariance=covariance)
    assert adjusted_rand_score(result.assign(rows), alone.assign(ROWS)) > 0.97
    elbos = np.array(result.history["elbo"])
    assert (np.diff(elbos) >= -1e-9 * np.abs(elbos[:-1])).all()
    merged = dataclasses.replace(result.priors, row_variance=None)
    if kind == "constant" and covariance != "tied":  # without it, the larger a group the narrower it is taken for
        with pytest.warns(UserWarning, match="one value only"):
            without = tfgmm.fit_mixture(rows, 3, covariance=covariance, priors=merged)
        assert adjusted_rand_score(without.assign(rows), alone.assign(ROWS)) < 0.9


def test_rounded_columns_give_the_variance_of_their_rounding():
    """step^2 / 12; ten times what is left of a sum along it; nothing of it from two distinct rows."""
    rows = np.column_stack([np.rint(10 * ROWS[:, 0]), np.round(ROWS[:, 1], 1), ROWS[:, 0]])
    found = np.array(Priors.from_data(rows, "diag").row_variance)
    np.testing.assert_allclose(found, [1 / 12, 0.01 / 12, 1e-13 * rows[:, 2].var()], rtol=1e-6)
    np.testing.assert_allclose(Priors.from_data(rows[:, :2], "spherical").row_variance, found[:2], rtol=1e-9)
    two = np.repeat([[0.0, 1.0], [4.0, 5.0]], 50, axis=0)
    assert max(Priors.from_data(two, "diag").row_variance) < 1e-9
    # The first and last column are one quantity, of which the first has whole tenths
    matrix = np.array(Priors.from_data(rows, "full").row_variance) - np.diag(found)
    along = np.array([rows[:, 0].std(), 0.0, -rows[:, 2].std()])
    left = (rows[:, 0] / rows[:, 0].std() - rows[:, 2] / rows[:, 2].std()).var() / 2
    np.testing.assert_allclose(matrix, 5 * left * np.outer(along, along), rtol=0.2, atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "covariance"),
    [
        *((kind, shape) for kind in ("year", "answer", "heaped") for shape in ("diag", "full")),
        *((kind, "full") for kind in ("percent", "total", "float32")),
    ],
)
def test_coarse_and_redundant_columns_make_no_components(kind, covariance):
    """Two groups; one component per value of the new column would have a share of 1.00 without that variance."""
    generator = np.random.default_rng(3)
    rows = np.where(np.arange(600)[:, None] < 300, [10.0, 20.0], [14.0, 26.0]) + generator.normal(0.0, 1.0, (600, 2))
    ages = np.rint(generator.normal(45.0, 12.0, 600))
    more = {
        "year": 2007 + generator.integers(0, 3, 600),
        "answer": np.clip(np.rint(generator.normal(3.0, 0.9, 600)), 1, 5),
        "heaped": np.where(generator.random(600) < 0.4, 5 * np.rint(ages / 5), ages),
        "percent": np.round(100 * rows[:, 0] / (rows[:, 0] + rows[:, 1]), 0),
        "total": np.round(rows.sum(axis=1), 2),
        "float32": (1e4 + rows.sum(axis=1)).astype(np.float32),
    }[kind]
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        chosen = tfgmm.fit_mixture(np.column_stack([rows, more]), range(1, 6), covariance=covariance, restarts=4)
    assert chosen.num_components == 2
    assert adjusted_rand_score(np.arange(600) < 300, chosen.best.assign(np.column_stack([rows, more]))) > 0.9


def test_data_give_it_where_rows_do_not_vary():
    """A millionth of the squared spread in a column of one value, and along what other columns decide."""
    spread = ROWS.std(axis=0)
    with_constant = np.column_stack([ROWS, np.full(300, 7.0)])
    of_columns = np.array(Priors.from_data(with_constant, "diag").row_variance)
    np.testing.assert_allclose(of_columns, [*(1e-13 * spread**2), 1e-6], rtol=1e-5)  # whose spread is 1 by convention
    units = np.array([1.0, 50.0, 50.0])
    repeated = ROWS[:, [0, 1, 1]] * units
    matrix = np.array(Priors.from_data(repeated, "full").row_variance) / np.outer(
        repeated.std(axis=0), repeated.std(axis=0)
    )
    beside = np.array([0.0, 1.0, -1.0]) / np.sqrt(2)  # a column beside its copy
    np.testing.assert_allclose(matrix, 1e-6 * np.outer(beside, beside), atol=1e-12)
    np.testing.assert_allclose(Priors.from_data(ROWS, "spherical").row_variance, 1e-13 * spread**2, rtol=1e-9)


@pytest.mark.parametrize("covariance", ["diag", "full"])
def test_groups_far_narrower_than_the_spread_keep_their_width(covariance):
    """4,000 rows in two groups a ten-thousandth of their distance wide: the width is right to four standard errors."""
    generator = np.random.default_rng(1)
    rows = np.concatenate([generator.normal(0.0, 1.0, 2000), generator.normal(1e4, 1.0, 2000)])[:, None]
    draws = tfgmm.fit_mixture(rows, 2, covariance=covariance).draws(400, seed=0)
    np.testing.assert_allclose(draws.scales[0].mean(axis=0), 1.0, atol=4 / np.sqrt(2 * 2000))


def test_narrow_groups_that_are_near_each_other_stay_apart():
    generator = np.random.default_rng(2)
    rows = np.concatenate([generator.normal(mean, 1.0, size) for mean, size in ((0, 500), (6, 500), (3e4, 1000))])
    assert tfgmm.fit_mixture(rows[:, None], range(1, 6)).num_components == 3


def test_a_matrix_suits_no_independent_columns():
    priors = Priors(row_variance=np.eye(2))
    with pytest.raises(ValueError, match="`priors.row_variance` must be one number.* Received: a matrix"):
        tfgmm.fit_mixture(ROWS, 2, priors=priors)


@pytest.mark.parametrize(
    ("value", "words"), [((1.0, -1.0), "positive"), ([[1.0, 2.0], [2.0, 1.0]], "positive definite"), ("wide", "number")]
)
def test_values_that_are_no_variances_are_refused(value, words):
    with pytest.raises((ValueError, TypeError), match=f"`priors.row_variance` must .*{words}"):
        Priors(row_variance=value)
