"""Fits to rows with weights, gaps and noise: reference numbers, bounds that never fall and stay below the evidence."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from exact_posteriors import BlocksOfRows
from reference_problems import P2_PRIORS, P2_ROWS, p2_start
from rows_one_by_one import log_normal, noise_of, plain_sums, random_posterior, rows_with_gaps
from scipy import integrate, stats

from tfgmm.data.blocks import RowBlock
from tfgmm.families.importance import log_importance_ratios
from tfgmm.families.natural_gradient import moved, place_at
from tfgmm.families.variational import COMPONENTS, Factors, VariationalPosterior
from tfgmm.families.weights import WEIGHTS
from tfgmm.mixture.priors import Priors
from tfgmm.mixture.row_groups import RowGroups
from tfgmm.mixture.statistics import Statistics

NAN = np.nan
ROWS = P2_ROWS.astype(np.float32)
COUNTS = np.array([1, 2, 1, 3, 1, 2, 1, 0, 0.5])
GAPS = P2_ROWS.astype(np.float32)
GAPS[[1, 5, 8], [0, 1, 0]] = NAN
GAPS = np.delete(GAPS, 3, axis=0)  # a row without any value
NOISE = np.sqrt(
    [(0.1, 0.2), (0.3, 0.1), (0.2, 0.2), (0.5, 0.1), (0.1, 0.4), (0.2, 0.3), (0.1, 0.1), (0.6, 0.2), (1, 0.5)]
)
MATRICES = NOISE[..., None] ** 2 * np.eye(2)

# mathematics2.md, G: bound, locations, counts
REFERENCES = {
    ("diag", "weights"): (-46.02779012, [0.43299454, -0.11033119, 4.17244121, 3.74156806], [8.2157878, 5.6842122]),
    ("diag", "gaps"): (-29.19406923, [-0.2120333, 0.52766175, 4.14063587, 3.48399292], [4.20849453, 6.19150547]),
    ("diag", "noise"): (-40.24939949, [0.23783218, 0.20433557, 3.95470062, 3.72850421], [5.36313517, 6.03686483]),
    ("full", "weights"): (-46.06409784, [0.42368167, -0.11346158, 4.17401767, 3.71412691], [8.20032614, 5.69967386]),
    ("full", "gaps"): (-30.08703528, [-0.22709026, 0.50926099, 4.28052943, 3.47805379], [4.19927596, 6.20072404]),
    ("full", "noise"): (-41.22321797, [0.19145254, 0.14804994, 4.0245645, 3.724199], [5.28061299, 6.11938701]),
}
BLOCKS = {
    "weights": RowBlock(ROWS[COUNTS > 0], COUNTS[COUNTS > 0]),
    "gaps": RowBlock(GAPS),
    "noise": RowBlock(ROWS, None, NOISE),
    "matrices": RowBlock(ROWS, None, MATRICES),
}


def bounds_of(q: VariationalPosterior, block: RowBlock, least_gain: float, most: int = 2000) -> list[float]:
    """Moves q by sweeps until the bound gains less, and returns the bound before each sweep, nats."""
    groups = RowGroups(q.form, block, q.gap_columns)
    place, bounds = place_at(q, q.values()), []
    for _ in range(most):
        statistics, (log_likelihood,), _ = groups.sums([values[None] for values in place.coefficients])
        step = moved(q, place.values, Statistics(*(value[0] for value in statistics)), q.centre)
        bounds.append(log_likelihood - step.kl)
        place = step.target
        q.assign(place.values)
        if len(bounds) > 2 and bounds[-1] - bounds[-2] < least_gain:
            break
    return bounds


def p2_posterior(covariance: str) -> VariationalPosterior:
    """Returns the posterior that P2 starts from."""
    matrices: dict[str, Any] = {}
    if covariance == "full":
        matrices = {name: getattr(P2_PRIORS, name) for name in ("loc_covariance", "degrees", "inverse_scale")}
    q = VariationalPosterior.of(covariance, "dirichlet", 2, 2, Priors((0.5, 1.0), 2.0, 1.5, 0.8, 1.2, **matrices))
    start, factors = p2_start(covariance, "dirichlet"), q.random_start(0)
    if covariance == "full":
        roots = np.linalg.cholesky(start.loc_covariances), np.linalg.cholesky(start.inverse_scales)
        components = type(factors.components)(start.locs, roots[0], start.degrees, roots[1])
    else:
        components = type(factors.components)(start.locs, start.scales, start.alpha, start.beta)
    q.assign(q.values_of(Factors(type(factors.weights)(start.counts), components)))
    return q


@pytest.mark.parametrize(("covariance", "kind"), [*REFERENCES, ("diag", "matrices"), ("full", "matrices")])
def test_converged_fits_have_the_numbers_of_the_design(covariance, kind):
    q = p2_posterior(covariance)
    if kind == "gaps":
        q.observe_gaps((0, 1))
    bounds = bounds_of(q, BLOCKS[kind], 1e-14)
    assert (np.diff(bounds) > -1e-10).all()
    bound, locs, counts = REFERENCES[covariance, kind.replace("matrices", "noise")]
    assert bounds[-1] == pytest.approx(bound, abs=1e-7)
    factors = q.factors()
    np.testing.assert_allclose(factors.components.locs.ravel(), locs, atol=1e-7)
    np.testing.assert_allclose(factors.weights.counts, counts, atol=1e-7)
    if (covariance, kind) == ("diag", "gaps"):
        alpha = factors.components.alpha.ravel()
        np.testing.assert_allclose(alpha, [2.5, 3.00424726, 3.5, 3.49575274], atol=1e-7)


def mixed_block(kind: str) -> RowBlock:
    rows = rows_with_gaps()
    complete = np.nan_to_num(rows, nan=0.25)
    weights = np.random.default_rng(4).uniform(0.2, 3.0, len(rows))
    return {
        "gaps": RowBlock(rows),
        "noise": RowBlock(complete, None, noise_of(complete, "deviations")),
        "all": RowBlock(rows, weights, noise_of(rows, "few")),
    }[kind]


@pytest.mark.parametrize("kind", ["gaps", "noise", "all"])
@pytest.mark.parametrize(("covariance", "weights"), [*itertools.product(COMPONENTS, WEIGHTS)])
def test_bounds_never_fall(covariance, weights, kind):
    q = random_posterior(covariance, weights, row_variance=0.3 if weights == "dirichlet" else None)
    q.observe_gaps((0, 1, 2, 3) if kind != "noise" else ())
    bounds = bounds_of(q, mixed_block(kind), 1e-12, most=25)
    assert (np.diff(bounds) > -1e-10).all() and bounds[-1] > bounds[0] + 1.0


@pytest.mark.parametrize("covariance", ["diag", "spherical", "full"])
def test_bounds_never_fall_where_priors_learn(covariance):
    learned = {"scale_structure": "columns", "expected_scale": 1.0}
    if covariance == "full":
        learned = {"scale_structure": "both", "expected_scale": np.eye(4)}
    q = VariationalPosterior.of(
        covariance, "dirichlet", 3, 4, Priors(0.5, 3.0, loc_scale_grid=(0.5, 1.0, 2.0), **learned)
    )
    q.assign(q.values_of(q.random_start(1)))
    q.observe_gaps((0, 1, 2, 3))
    bounds = bounds_of(q, mixed_block("all"), 1e-12, most=25)
    assert (np.diff(bounds) > -1e-10).all() and bounds[-1] > bounds[0] + 1.0


def test_the_bound_of_rows_with_gaps_is_below_the_evidence():
    """Two columns, two components, four rows with two gaps: all assignments counted, each integral by quadrature."""
    rows = np.array([(-0.9, NAN), (0.2, 0.4), (NAN, 1.6), (1.1, -0.3)])
    priors = Priors((0.1, 0.2), 1.5**0.5, 1.5, 0.4, 1.5)
    evidence = log_evidence_by_assignments(rows, (0.1, 0.2), 1.5, 1.5, 0.4, 1.5)
    assert evidence == pytest.approx(-9.82693472, abs=1e-6)
    best = -np.inf
    for seed in range(8):
        q = VariationalPosterior.of("diag", "dirichlet", 2, 2, priors)
        q.assign(q.values_of(q.random_start(seed)))
        q.observe_gaps((0, 1))
        best = max(best, bounds_of(q, RowBlock(rows.astype(np.float32)), 1e-13)[-1])
    assert best == pytest.approx(-12.11230926, abs=1e-7)
    assert best < evidence


def log_evidence_by_assignments(rows, means, variance, shape, rate, concentration):
    """Returns log p(rows): the sum over all assignments; columns and components are independent given these."""
    total = -np.inf
    for assignment in itertools.product((0, 1), repeat=len(rows)):
        counts = np.bincount(assignment, minlength=2)
        value = stats.dirichlet_multinomial.logpmf(counts, [concentration] * 2, len(rows))
        value -= np.log(stats.binom.pmf(counts[0], len(rows), 0.5) * 2 ** len(rows))
        for component, column in itertools.product((0, 1), (0, 1)):
            of_both = rows[np.array(assignment) == component, column]
            value += log_evidence_of_normal(of_both[~np.isnan(of_both)], 0.0, means[column], variance, shape, rate)
        total = np.logaddexp(total, value)
    return total


def log_evidence_of_normal(values, noise, mean, variance, shape, rate):
    """Returns log of the integral over tau of the density of these values, mu integrated out in closed form."""
    if not len(values):
        return 0.0

    log_tau = np.linspace(-14.0, 6.0, 481)
    own = np.exp(-log_tau)[:, None] + noise * np.ones(len(values))  # the covariance is diag(own) + variance
    away, total = values - mean, 1.0 + variance * (1.0 / own).sum(axis=1)
    squares = (away**2 / own).sum(axis=1) - variance * (away / own).sum(axis=1) ** 2 / total
    log_density = -0.5 * (squares + np.log(own).sum(axis=1) + np.log(total) + len(values) * np.log(2.0 * np.pi))
    prior = stats.gamma.pdf(np.exp(log_tau), shape, scale=1 / rate) * np.exp(log_tau)
    return np.log(integrate.simpson(np.exp(log_density) * prior, x=log_tau))


def test_the_bound_of_noisy_rows_is_below_the_evidence():
    """One column and component: evidence by quadrature, the end of sweeps by the formulas of the design in a loop."""
    rows, noise = np.array([-0.9, 0.2, 1.6, 0.5]), np.array([0.5, 0.1, 1.0, 0.3])
    evidence = log_evidence_of_normal(rows, noise, 0.1, 1.5, 1.5, 0.4)
    assert evidence == pytest.approx(-5.84737517, abs=1e-6)
    loc, precision = 0.1, 1.0
    for _ in range(200):
        gains = 1.0 / (1.0 + precision * noise)
        values = loc + gains * (rows - loc)
        variance = 1.0 / (1.0 / 1.5 + 4.0 * precision)
        loc = variance * (0.1 / 1.5 + precision * values.sum())
        squares = (values**2 + gains * noise).sum() - 2.0 * loc * values.sum() + 4.0 * (loc**2 + variance)
        precision = (1.5 + 2.0) / (0.4 + 0.5 * squares)
    assert (loc, precision) == pytest.approx((0.21886585, 3.58843716), abs=5e-6)  # of the design
    for covariance in COMPONENTS:
        matrices = {"loc_covariance": [[1.5]], "degrees": 3.0, "inverse_scale": [[0.8]]}
        given = matrices if covariance in ("full", "tied") else {}
        q = VariationalPosterior.of(covariance, "dirichlet", 1, 1, Priors(0.1, 1.5**0.5, 1.5, 0.4, **given))
        q.assign(q.values_of(q.random_start(0)))
        block = RowBlock(rows[:, None], None, np.sqrt(noise)[:, None])
        bound = bounds_of(q, block, -1.0, most=200)[-1]  # all sweeps: near the end the bound is flat
        assert bound == pytest.approx(-6.55133730, abs=1e-7) and bound < evidence
        means = q.plug_in().components
        found = means["precisions"] if q.form == "independent" else means["whiteners"] ** 2
        assert (float(means["locs"][0, 0]), float(np.ravel(found)[0])) == pytest.approx((loc, precision), rel=1e-9)


@pytest.mark.parametrize("covariance", ["diag", "tied_spherical", "full"])
@pytest.mark.parametrize("kind", ["gaps", "all"])
def test_importance_ratios_count_weights_gaps_and_noise(covariance, kind):
    """Under each draw, log densities of the columns that a row has, with its noise, as often as it counts."""
    variance = 0.3
    q, block = random_posterior(covariance, row_variance=variance), mixed_block(kind)
    drawn = q.draw(3, seed=1)
    q.observe_gaps(np.flatnonzero(np.isnan(block.values).any(axis=0)).tolist())
    rows = BlocksOfRows(q, block.part(slice(0, 15)), block.part(slice(15, None)))
    found = log_importance_ratios(q, q.factors(), drawn, rows)
    found += q.log_ratios(drawn)
    mixtures = q.mixtures_of(drawn)
    for number in range(3):
        mixture, total = mixtures.part(number), 0.0
        precisions = precisions_of(mixture)
        for place, row in enumerate(block.values.astype(float)):
            shown = np.flatnonzero(~np.isnan(row))
            noise = np.zeros((4, 4)) if block.noise is None else block.noise[place]
            counted = shown if q.form == "independent" else np.arange(4)  # each row varies where it has values
            joints = [
                mixture.log_weights[k]
                + log_normal(
                    row[shown] - mixture.components["locs"][k, shown],
                    (np.linalg.inv(precisions[k]) + noise)[np.ix_(shown, shown)],
                )
                - 0.5 * variance * np.diag(precisions[k])[counted].sum()
                for k in range(3)
            ]
            total += (1.0 if block.weights is None else block.weights[place]) * np.logaddexp.reduce(joints)
        assert found[number] == pytest.approx(total, rel=1e-9)


def precisions_of(mixture):
    """Returns the precision matrices of one mixture, (K, D, D)."""
    if "precisions" in mixture.components:
        return np.array([np.diag(line) for line in mixture.components["precisions"]])
    whiteners = np.broadcast_to(mixture.components["whiteners"], (3, 4, 4))
    return np.swapaxes(whiteners, 1, 2) @ whiteners


@pytest.mark.parametrize("covariance", ["diag", "spherical"])
def test_what_each_row_varies_by_counts_where_it_has_values(covariance):
    q = random_posterior(covariance, row_variance=0.3)
    q.observe_gaps((0, 1, 2, 3))
    coefficients = [values[None] for values in q.expected_coefficients(q.factors())]
    for kind in ("gaps", "noise", "all"):
        found, expected = (
            RowGroups(q.form, mixed_block(kind), q.gap_columns).sums(coefficients),
            plain_sums(q, mixed_block(kind)),
        )
        for value, wanted in zip([*found.statistics, *found[1:]], [*expected.statistics, *expected[1:]], strict=True):
            np.testing.assert_allclose(value[0], wanted, rtol=1e-10)
