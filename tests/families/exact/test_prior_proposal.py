"""The proposal for components without rows: its density against SciPy, its draws against its density."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from exact_posteriors import BlocksOfRows, Problem, log_jacobian, plain_log_prior, precision_matrices, problem, slopes
from scipy import integrate, stats
from scipy.special import logsumexp

from tfgmm.data.blocks import RowBlock
from tfgmm.families.exact import prior_proposal as module
from tfgmm.families.exact.prior_proposal import PriorProposal, prior_proposal, some_rows
from tfgmm.families.exact.single_priors import wisharts
from tfgmm.families.variational import COMPONENTS

NO_ROWS = np.zeros((0, 2))


def without_floor(given: Problem) -> Problem:
    """Takes away the floor of a learned prior, whose normaliser is left out."""
    object.__setattr__(given.priors, "least_scale", 0.0)
    return given


def proposal(given, sets, rows=NO_ROWS):
    coordinates = given.coordinates()
    generator = np.random.default_rng(8)
    root = np.linalg.cholesky(np.eye(coordinates.num_coordinates) + 0.1)
    points = 0.5 * generator.standard_normal((3, len(root)))
    return PriorProposal(coordinates, root, sets, rows), coordinates, root, points


@pytest.mark.parametrize("is_learned", [False, True])
@pytest.mark.parametrize("covariance", COMPONENTS)
def test_one_component_has_the_density_of_its_prior(covariance, is_learned):
    given = without_floor(problem(covariance, num_components=1, is_learned=is_learned))
    proposed, coordinates, root, points = proposal(given, [(0,)])
    phi = np.linalg.solve(root.T, points.T).T
    expected = [
        plain_log_prior(given, coordinates.drawn(point[None])) + log_jacobian(given, coordinates, point)
        for point in phi
    ]
    expected = np.array(expected) - np.log(np.diag(root)).sum()
    np.testing.assert_allclose(proposed.log_density(points), expected, rtol=0, atol=1e-7)


@pytest.mark.parametrize("covariance", ["diag", "full"])
def test_other_numbers_are_as_about_the_mode(covariance):
    """Of two components one is from its prior; t and normals of SciPy for all else."""
    given = problem(covariance)
    proposed, coordinates, root, points = proposal(given, [(1,), (0, 1)])
    phi, size = np.linalg.solve(root.T, points.T).T, 2 if covariance == "diag" else 3
    locs, precisions = 1 + np.arange(4).reshape(2, 2), 5 + np.arange(2 * size).reshape(2, size)
    if covariance == "full":
        precisions = np.array([[5, 6, 9], [7, 8, 10]])
    own = [np.concatenate([locs[k], precisions[k]]) for k in range(2)]
    covariances, expected = np.linalg.inv(root @ root.T), []
    singles = [of_component(given, coordinates, k, own[k]) for k in range(2)]
    for point in phi:
        values = []
        for chosen in ((1,), (0, 1)):
            rest = np.setdiff1d(np.arange(len(root)), np.concatenate([own[k] for k in chosen]))
            law = stats.multivariate_t(np.zeros(len(rest)), covariances[np.ix_(rest, rest)], 5.0)
            values.append(law.logpdf(point[rest]) + sum(singles[k](point) for k in chosen))
        expected.append(logsumexp(values) - np.log(2.0) - np.log(np.diag(root)).sum())
    np.testing.assert_allclose(proposed.log_density(points), expected, rtol=0, atol=1e-7)


def of_component(given, coordinates, k, places):
    """Returns the log density of the coordinates of component k under its fixed prior, as a function of phi."""

    def value(phi):
        drawn = coordinates.drawn(phi[None])
        precision = precision_matrices(given.q, drawn)[k]
        mean = np.asarray(given.priors.loc_mean) - given.q.centre
        if given.q.form == "independent":
            shape, rate = np.array(given.priors.precision_shape), np.array(given.priors.precision_rate)
            total = stats.gamma.logpdf(np.diag(precision), shape, scale=1 / rate).sum()
            covariance = np.diag(np.square(given.priors.loc_scale))
        else:
            law = stats.wishart(given.priors.degrees, np.linalg.inv(given.priors.inverse_scale))
            total, covariance = law.logpdf(precision), np.array(given.priors.loc_covariance)
        total += stats.multivariate_normal(mean, covariance).logpdf(drawn.components.locs[0, k])

        def parameters(points):
            moved = np.tile(phi, (len(points), 1))
            moved[:, places] = points
            of_all = coordinates.drawn(moved)
            matrices = [precision_matrices(given.q, of_all, number)[k] for number in range(len(points))]
            kept = np.tril_indices(2) if given.q.form == "correlated" else (np.arange(2), np.arange(2))
            return np.array([[*of_all.components.locs[n, k], *matrix[kept]] for n, matrix in enumerate(matrices)])

        return total + np.linalg.slogdet(slopes(parameters, phi[places]))[1]

    return value


@pytest.mark.parametrize("covariance", ["spherical", "tied_diag", "full"])
def test_half_of_the_locations_are_about_rows(covariance):
    given, rows = problem(covariance, num_components=2), np.array([[0.3, -0.7], [1.0, 2.0], [-1.0, 0.5]])
    with_rows, coordinates, root, points = proposal(given, [(0,)], rows)
    without, *_ = proposal(given, [(0,)])
    drawn = coordinates.drawn(np.linalg.solve(root.T, points.T).T)
    mean = np.asarray(given.priors.loc_mean) - given.q.centre
    covariances = np.array(given.priors.loc_covariance)
    if given.q.form == "independent":
        covariances = np.diag(np.square(given.priors.loc_scale))
    for number, (found, before) in enumerate(zip(with_rows.log_density(points), without.log_density(points))):
        loc, precision = drawn.components.locs[number, 0], precision_matrices(given.q, drawn, number)[0]
        of_prior = stats.multivariate_normal(mean, covariances).pdf(loc)
        of_rows = np.mean([stats.multivariate_normal(row, np.linalg.inv(precision)).pdf(loc) for row in rows])
        assert found - before == pytest.approx(np.log(0.5 + 0.5 * of_rows / of_prior), abs=1e-9)


def crossings():
    """Yields every shape with both kinds of priors; three of them in the fast suite."""
    for covariance, is_learned in itertools.product(COMPONENTS, (False, True)):
        is_fast = (covariance, is_learned) in (("spherical", True), ("full", True), ("tied", False))
        yield pytest.param(covariance, is_learned, marks=() if is_fast else pytest.mark.slow)


@pytest.mark.parametrize(("covariance", "is_learned"), [*crossings()])
def test_draws_have_the_density(covariance, is_learned):
    """Ratios to it of a density near its middle have the mean 1."""
    rows = np.array([[0.3, -0.7], [1.0, 2.0]])
    given = problem(covariance, is_learned=is_learned)
    size = given.coordinates().num_coordinates
    proposed, *_ = proposal(given, [(0,), (1,), (0, 1)], rows)
    drawn = proposed.draw(40_000, np.random.default_rng(1))
    assert drawn.shape == (40_000, size)
    centre, spread = np.median(drawn, axis=0), 0.5 * (np.subtract(*np.percentile(drawn, [75, 25], axis=0)))
    kept = (np.abs(drawn - centre) < 3.0 * spread).all(axis=1)
    # The share of a box by counting, and from uniform draws in it
    box = centre + 3.0 * spread * np.random.default_rng(2).uniform(-1.0, 1.0, (40_000, size))
    densities = np.exp(proposed.log_density(box)) * np.prod(6.0 * spread)
    error = np.hypot(np.sqrt(kept.mean() / 40_000), densities.std() / 200.0)
    assert abs(kept.mean() - densities.mean()) < 4.0 * error


def test_it_integrates_to_one_in_one_column():
    given = problem("full", num_components=1, num_features=1)
    coordinates = given.coordinates()
    proposed = PriorProposal(coordinates, np.eye(2), [(0,)], np.array([[0.4], [-1.0]]))
    places, logarithms = np.linspace(-11.0, 11.0, 8_001), np.linspace(-8.0, 2.5, 106)
    factors, steps = np.exp(logarithms), np.sinh(places)  # wide precisions have locations far away
    points = np.stack([np.outer(factors, steps), np.repeat(logarithms[:, None], len(steps), axis=1)], axis=-1)
    density = np.exp(proposed.log_density(points.reshape(-1, 2))).reshape(points.shape[:2])
    of_deltas = integrate.simpson(density * factors[:, None] * np.cosh(places), x=places, axis=1)
    assert integrate.simpson(of_deltas, x=logarithms) == pytest.approx(1.0, abs=1e-4)


def test_wisharts_are_scipys():
    """By the mean and the variance of each entry."""
    scale, count = np.array([[1.0, 0.3], [0.3, 0.5]]), 40_000
    roots = np.broadcast_to(np.linalg.cholesky(np.linalg.inv(scale)), (count, 2, 2))
    found = wisharts(np.full(count, 4.5), roots, np.random.default_rng(0))
    law = stats.wishart(4.5, scale)
    np.testing.assert_allclose(found.mean(axis=0), law.mean(), atol=5 * np.sqrt(law.var().max() / count))
    np.testing.assert_allclose(found.var(axis=0), law.var(), rtol=0.1)


def test_it_is_for_components_with_few_rows():
    """All sets of up to three of them; else each of them and all together. Nothing where all have many."""
    given = problem("diag", num_components=3)
    coordinates, rows = given.coordinates(), BlocksOfRows(given.q, given.block)
    root = np.eye(coordinates.num_coordinates)
    shares = np.exp(coordinates.log_weights)
    assert prior_proposal(coordinates, root, 16.0 / shares.min(), rows) is None
    assert len(prior_proposal(coordinates, root, 14.0 / shares.max(), rows)._sets) == 7
    one = prior_proposal(coordinates, root, 14.0 / shares.min(), rows)
    if np.sort(shares)[1] > 1.1 * shares.min():
        assert one._sets == [(int(np.argmin(shares)),)]
    many = problem("diag", num_components=5).coordinates()
    found = prior_proposal(many, np.eye(many.num_coordinates), 1.0, rows)
    assert found._sets == [*((k,) for k in range(5)), (0, 1, 2, 3, 4)]
    assert found.log_density(np.zeros((0, many.num_coordinates))).shape == (0,)


def test_rows_are_complete_and_not_too_many():
    given, values = problem("diag"), np.arange(400.0, dtype=np.float32).reshape(200, 2)
    values[::2, 0] = np.nan
    found = some_rows(BlocksOfRows(given.q, RowBlock(values)))
    assert len(found) == 50 and not np.isnan(found).any()
    np.testing.assert_array_equal(found[:2], values[[1, 5]])


@pytest.mark.parametrize("covariance", ["diag", "full"])
def test_points_may_come_in_parts(covariance, monkeypatch):
    """Components that are in no set change nothing: that of one of three is as before, however many points at once."""
    given = problem(covariance, num_components=3)
    proposed, _, root, _ = proposal(given, [(1,), (2,)], np.array([[0.3, -0.7], [1.0, 2.0]]))
    points = np.random.default_rng(2).standard_normal((9, len(root)))
    whole = proposed.log_density(points)
    monkeypatch.setattr(module, "_CHUNK_NUMBERS", 16)  # two points at a time
    np.testing.assert_allclose(proposed.log_density(points), whole, rtol=1e-12)
    np.testing.assert_allclose([proposed.log_density(point[None])[0] for point in points], whole, rtol=1e-12)


@pytest.mark.parametrize("size", [1, 7, 30, 200])
def test_rows_are_from_all_batches(size):
    """Sorted rows have their last cluster last; every fourth of 200 is taken, however they come."""
    given, values = problem("diag"), np.arange(400.0, dtype=np.float32).reshape(200, 2)
    blocks = (RowBlock(values[first : first + size]) for first in range(0, 200, size))
    np.testing.assert_array_equal(some_rows(BlocksOfRows(given.q, *blocks)), values[::4])
    nothing = some_rows(BlocksOfRows(given.q, RowBlock(np.full((3, 2), np.nan, np.float32))))
    assert nothing.shape == (0, 2)


def test_all_batches_are_read_to_their_end():
    """A reader that is left half-way would keep a thread."""
    given, ends = problem("diag"), []

    class Rows(BlocksOfRows):
        def groups(self):
            yield from super().groups()
            ends.append(True)

    some_rows(Rows(given.q, given.block, given.block))
    assert ends == [True]
