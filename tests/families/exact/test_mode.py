"""The mode of the exact posterior: where it is, from where it is reached, and that nothing keeps it from an end."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from exact_posteriors import KINDS, Problem, coordinates_of, own_parameters, problem
from scipy import optimize, stats

from tfgmm.data.blocks import RowBlock
from tfgmm.families.exact import mode as module
from tfgmm.families.exact.coordinates import Coordinates
from tfgmm.families.exact.information import Curvature, curvature
from tfgmm.families.exact.mode import Mode, NoModeError, find_mode, positive_root
from tfgmm.families.natural_gradient import moved, place_at
from tfgmm.families.variational import COMPONENTS, VariationalPosterior
from tfgmm.families.weights import WEIGHTS
from tfgmm.mixture.priors import Priors
from tfgmm.mixture.row_groups import RowGroups
from tfgmm.mixture.statistics import Statistics


def fitted(given: Problem, num_sweeps: int = 40) -> Problem:
    """Takes q some sweeps up."""
    q = given.q
    groups = RowGroups(q.form, given.block, q.gap_columns)
    place = place_at(q, q.values())
    for _ in range(num_sweeps):
        statistics, *_ = groups.sums([values[None] for values in place.coefficients])
        place = moved(q, place.values, Statistics(*(value[0] for value in statistics)), q.centre).target
    q.assign(place.values)
    return given


def clusters(num_clusters: int, num_columns: int, distance: float, num_rows: int, seed: int = 0) -> np.ndarray:
    """Returns rows of round clusters, one column's distance apart."""
    generator = np.random.default_rng(seed)
    labels = np.arange(num_rows) % num_clusters
    rows = generator.normal(size=(num_rows, num_columns)) + distance * (labels - 0.5 * (num_clusters - 1))[:, None]
    return rows.astype(np.float32)


def problem_of(
    rows: np.ndarray, covariance: str, num_components: int, weights: str = "dirichlet", learned: bool = True
) -> Problem:
    """Returns a fit of so many components to rows, with priors that learn their scales or fixed ones."""
    num_columns = rows.shape[1]
    priors = Priors(0.0, 3.0, 1.5, 1.0, 1.0)
    if learned:
        is_matrix = covariance in ("full", "tied")
        priors = Priors(
            0.0,
            3.0,
            weight_concentration=1.0,
            scale_structure="both" if is_matrix else "columns",
            expected_scale=9.0 * np.eye(num_columns) if is_matrix else 9.0,
            loc_scale_grid=(0.5, 1.0, 2.0),
        )
    q = VariationalPosterior.of(covariance, weights, num_components, num_columns, priors)
    q.assign(q.values_of(q.random_start(1)))
    groups_at = rows[np.linspace(0, len(rows) - 1, num_components).astype(int)].astype(float)
    q.assign(q.values()._replace(components=(groups_at, *q.values().components[1:])))
    return fitted(Problem(q, priors, RowBlock(rows)))


def seen_from(given: Problem, start: Coordinates, mode: Mode) -> np.ndarray:
    """Returns the coordinates of the mode around the start, (P,)."""
    return coordinates_of(given.q, start, mode.coordinates.drawn(np.zeros((1, len(mode.root)))))


def parameters_at(given: Problem, coordinates: Coordinates) -> np.ndarray:
    return own_parameters(given, coordinates.drawn(np.zeros((1, coordinates.num_coordinates))))


def crossings():
    """Yields every crossing; a few of them in the fast suite."""
    fast = {"spherical": "gaps", "diag": "all", "tied_diag": "plain", "full": "weights", "tied": "row_variance"}
    for covariance, kind, weights in itertools.product(COMPONENTS, KINDS, WEIGHTS):
        marks = () if fast.get(covariance) == kind else pytest.mark.slow
        yield pytest.param(covariance, kind, weights, marks=marks)


@pytest.mark.parametrize(("covariance", "kind", "weights"), [*crossings()])
def test_the_mode_is_a_maximum_from_every_start(covariance, kind, weights):
    """Its gradient is 0, its value no less than at the means of q, and a start nearby ends there too."""
    for is_learned in (True, False):
        given = fitted(problem(covariance, weights, 2, 2, kind, is_learned, apart=4.0))
        target, start = given.target(), given.coordinates()
        mode = find_mode(target, start)
        here = curvature(target, mode.coordinates)
        assert here.gradient @ np.linalg.solve(here.complete, here.gradient) < 1e-12
        assert here.log_density == mode.log_density
        end = seen_from(given, start, mode)
        before, after = target.log_density(start, np.stack([np.zeros_like(end), end]))
        assert after >= before
        if not mode.is_exact:
            continue
        step = np.linalg.solve(mode.root.T, np.random.default_rng(2).uniform(-0.1, 0.1, len(mode.root)))
        nearby = mode.coordinates.rebased(step)
        again = find_mode(target, nearby)
        np.testing.assert_allclose(
            parameters_at(given, again.coordinates), parameters_at(given, mode.coordinates), rtol=1e-5, atol=1e-6
        )
        np.testing.assert_allclose(again.root, mode.root, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("covariance", ["diag", "tied_spherical", "full", "tied"])
def test_it_is_where_a_general_optimizer_ends(covariance):
    """In whatever coordinates: they differ by constants."""
    given = problem_of(clusters(2, 2, 3.0, 20), covariance, 2)
    target, start = given.target(), given.coordinates()
    mode = find_mode(target, start)

    def loss(phi):
        log_densities, gradients = target.log_density_and_gradient(start, phi[None])
        return -log_densities[0], -gradients[0]

    climbed = optimize.minimize(loss, np.zeros(start.num_coordinates), jac=True, options={"gtol": 1e-5})
    assert mode.is_exact and climbed.success
    np.testing.assert_allclose(seen_from(given, start, mode), climbed.x, rtol=0, atol=1e-4)


# --- Starts that are no maximum in any direction ------------------------------------------------------------------


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("covariance", ["diag", "full"])
def test_components_on_top_of_each_other_end_at_a_mode(covariance, weights):
    """At the means of q the observed information is not positive definite."""
    given = problem_of(clusters(2, 2, 3.0, 40), covariance, 2, weights, learned=False)
    locs, *others = given.q.values().components
    given.q.assign(given.q.values()._replace(components=(0.02 * locs, *others)))
    target, start = given.target(), given.coordinates()
    assert np.linalg.eigvalsh(curvature(target, start).information).min() < 0.0
    check_end(given, start, find_mode(target, start))


def check_end(given: Problem, start: Coordinates, mode: Mode) -> None:
    """Checks that a search ended: finite, uphill, and flat where it says that it is exact."""
    here = curvature(given.target(), mode.coordinates)
    assert np.isfinite(mode.log_density) and np.isfinite(mode.root).all() and np.isfinite(mode.log_evidence)
    assert here.log_density == mode.log_density
    end = seen_from(given, start, mode)
    before, after = given.target().log_density(start, np.stack([np.zeros_like(end), end]))
    assert after >= before - 1e-6
    if mode.is_exact:
        np.testing.assert_allclose(mode.root @ mode.root.T, here.information, rtol=1e-9, atol=1e-9)
        assert here.gradient @ np.linalg.solve(here.information, here.gradient) < 1e-9


@pytest.mark.parametrize("learned", [False, True])
@pytest.mark.parametrize(("covariance", "weights", "size"), [
    ("diag", "dirichlet", 5), ("full", "dirichlet", 5), ("tied", "dirichlet", 5),
    ("spherical", "stick_breaking", 6), ("full", "stick_breaking", 6),
])  # fmt: skip
def test_empty_components_are_no_obstacle(covariance, weights, size, learned):
    given = problem_of(clusters(2, 2, 5.0, 60), covariance, size, weights, learned)
    start = given.coordinates()
    mode = find_mode(given.target(), start)
    assert mode.num_passes < 60
    check_end(given, start, mode)


@pytest.mark.parametrize("covariance", COMPONENTS)
def test_a_constant_column_is_no_obstacle(covariance):
    rows = clusters(2, 2, 4.0, 40)
    rows[:, 1] = 0.5
    given = problem_of(rows, covariance, 2)
    variance = 1e-3 * np.eye(2) if covariance in ("full", "tied") else 1e-3
    priors = dataclasses.replace(given.priors, row_variance=variance)
    q = VariationalPosterior.of(covariance, "dirichlet", 2, 2, priors)
    q.assign(given.q.values())
    with_variance = fitted(Problem(q, priors, given.block))
    start = with_variance.coordinates()
    check_end(with_variance, start, find_mode(with_variance.target(), start))


@pytest.mark.parametrize("covariance", COMPONENTS)
def test_one_component_has_a_mode(covariance):
    """Where priors are vague it is the mean of the rows, and the information about it their number."""
    rows = clusters(1, 2, 0.0, 400)
    given = problem_of(rows, covariance, 1)
    start = given.coordinates()
    assert start.num_breaks == 0
    mode = find_mode(given.target(), start)
    assert mode.is_exact and mode.num_passes < 8
    check_end(given, start, mode)
    locs = mode.coordinates.drawn(np.zeros((1, len(mode.root)))).components.locs[0, 0]
    np.testing.assert_allclose(locs, rows.mean(axis=0), atol=2e-3)
    np.testing.assert_allclose(np.diag(mode.root @ mode.root.T)[:2], 400.0, rtol=2e-3)


# --- What its parts do --------------------------------------------------------------------------------------------


def test_as_little_of_the_missing_information_is_left_in_as_makes_it_positive():
    complete, missing = np.eye(2), np.diag([0.5, 1.2])  # 1 - (1 - share) 1.2 > 0 from a share of 1 / 6
    root, share = positive_root(Curvature(0.0, np.zeros(2), complete, missing))
    assert share == pytest.approx(0.2)
    np.testing.assert_allclose(root @ root.T, np.diag([0.6, 0.04]), atol=1e-12)
    root, share = positive_root(Curvature(0.0, np.zeros(2), complete, 0.5 * missing))
    assert share == 0.0
    np.testing.assert_allclose(root @ root.T, np.diag([0.75, 0.4]), atol=1e-12)
    assert positive_root(Curvature(0.0, np.zeros(2), complete, missing), least=0.5)[1] == 0.5


def test_a_prior_that_is_not_log_concave_is_turned_round():
    complete = np.array([[2.0, 0.0, 0.0], [0.0, -8.0, 0.0], [0.0, 0.0, 0.0]])
    root, share = positive_root(Curvature(0.0, np.zeros(3), complete, np.zeros((3, 3))))
    assert share == 1.0
    np.testing.assert_allclose(np.diag(root @ root.T)[:2], [2.0, 8.0])
    assert np.isfinite(root).all()


def test_the_evidence_by_laplace_is_that_of_a_normal():
    """Of one component whose precision is all but known the posterior is normal."""
    rows = np.array([[-0.9], [0.2], [1.6]], np.float32)
    priors = Priors(0.1, 1.5**0.5, 1e8, 1e8)
    q = VariationalPosterior.of("diag", "dirichlet", 1, 1, priors)
    q.assign(q.values_of(q.random_start(0)))
    given = fitted(Problem(q, priors, RowBlock(rows)))
    mode = find_mode(given.target(), given.coordinates())
    expected = stats.multivariate_normal(np.full(3, 0.1), np.eye(3) + 1.5).logpdf(rows[:, 0].astype(float))
    assert mode.log_evidence == pytest.approx(expected, abs=1e-6)


def test_each_pass_over_the_rows_is_told():
    given, told = problem_of(clusters(2, 1, 3.0, 30), "diag", 2), []
    mode = find_mode(given.target(), given.coordinates(), told.append)
    assert told == list(range(1, mode.num_passes + 1))


def test_passes_are_bounded(monkeypatch):
    monkeypatch.setattr(module, "_MOST_PASSES", 2)
    given = problem_of(clusters(2, 2, 0.5, 40), "diag", 2, learned=False)
    start = given.coordinates()
    mode = find_mode(given.target(), start)
    assert mode.num_passes == 2
    assert np.isfinite(mode.root).all()


@pytest.mark.parametrize("most_passes", [1, 2, 3, 4, 5, 6, 8, 10, 12, 14, 15, 16, 17])
def test_the_limit_says_whether_the_mode_was_reached(most_passes):
    """Wherever it falls, the root is that of the information there, and it is exact only at the mode."""
    given = problem_of(clusters(2, 2, 3.0, 40), "diag", 2)
    start = given.coordinates().rebased(0.3 * np.ones(given.coordinates().num_coordinates))
    target, whole = given.target(), find_mode(given.target(), start)
    assert whole.converged and whole.is_exact and 8 < whole.num_passes <= 17
    mode = find_mode(target, start, most_passes=most_passes)
    here = curvature(target, mode.coordinates)
    if np.linalg.eigvalsh(here.information).min() > 0.0:
        np.testing.assert_allclose(mode.root @ mode.root.T, here.information, rtol=1e-9, atol=1e-9)
    length = here.gradient @ np.linalg.solve(mode.root @ mode.root.T, here.gradient)
    assert mode.num_passes <= most_passes and mode.converged == mode.is_exact == (length < 1e-8)


def test_a_limit_within_the_shortening_of_a_step_leaves_nothing_in(monkeypatch):
    """The information is positive definite there, though no step was found."""
    given = problem_of(clusters(2, 2, 3.0, 40), "diag", 2)
    start = find_mode(given.target(), given.coordinates()).coordinates.rebased(0.05 * np.ones(9))
    monkeypatch.setattr(module._Climb, "_has_risen", lambda self, phi: self._looked(self._coordinates, 0.0) is None)
    mode = find_mode(given.target(), start, most_passes=4)
    information = curvature(given.target(), start).information
    assert (mode.num_passes, mode.converged, mode.is_exact) == (4, False, False)
    np.testing.assert_allclose(mode.root @ mode.root.T, information, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", ["plain", "gaps"])
@pytest.mark.parametrize(("covariance", "weights"), [("diag", "stick_breaking"), ("full", "dirichlet")])
def test_where_passes_are_costly_few_compute_what_is_missing(covariance, weights, kind, monkeypatch):
    """And the mode is the same."""
    given, limits = fitted(problem(covariance, weights, 2, 2, kind, True, apart=4.0)), []
    expected = find_mode(given.target(), given.coordinates())
    monkeypatch.setattr(module, "_CHEAP_WORK", 1.0)
    monkeypatch.setattr(module, "curvature", lambda *args: limits.append(args[-1]) or curvature(*args))
    mode = find_mode(given.target(), given.coordinates())
    assert mode.converged and mode.is_exact and len(limits) == mode.num_passes
    assert limits[0] == 1.0 and limits.count(np.inf) <= 4 and 0.0 in limits
    assert mode.log_evidence == pytest.approx(expected.log_evidence, abs=1e-3)
    np.testing.assert_allclose(
        parameters_at(given, mode.coordinates), parameters_at(given, expected.coordinates), rtol=1e-3, atol=1e-4
    )
    np.testing.assert_allclose(mode.root, expected.root, rtol=1e-2, atol=1e-2)
    here = curvature(given.target(), mode.coordinates)
    np.testing.assert_allclose(mode.root @ mode.root.T, here.information, rtol=1e-9, atol=1e-9)


def test_more_work_than_may_be_is_an_error_before_it_is_done():
    given = problem_of(clusters(2, 2, 3.0, 40), "diag", 2)
    found = curvature(given.target(), given.coordinates())
    assert 0.0 < found.work <= 40 * 10**2
    match = r"`most_work` must be at least what a pass over the rows takes, \d.*Received: 1.0e\+01. Pass a larger one"
    with pytest.raises(NoModeError, match=match) as raised:
        find_mode(given.target(), given.coordinates(), most_work=10.0)
    assert "too long" in raised.value.note
    assert find_mode(given.target(), given.coordinates(), most_work=found.work).is_exact


@pytest.mark.parametrize("field", ["log_density", "gradient", "complete", "missing"])
def test_a_start_that_is_no_number_is_an_error(field, monkeypatch):
    given = problem_of(clusters(2, 2, 3.0, 40), "diag", 2)
    here = curvature(given.target(), given.coordinates())
    bad = here._replace(**{field: np.nan * getattr(here, field)})
    monkeypatch.setattr(module, "curvature", lambda *args: bad)
    with pytest.raises(NoModeError, match="must be finite, with its derivatives.*Received.*Scale the columns"):
        find_mode(given.target(), given.coordinates())


def test_few_factors_are_computed(monkeypatch):
    tried, with_share = [], module._root_with
    monkeypatch.setattr(module, "_root_with", lambda here, share: tried.append(share) or with_share(here, share))
    for least_eigenvalue in (0.9, 1.02, 1.5, 3.0, 15.0, 25.0):
        share = positive_root(Curvature(0.0, np.zeros(1), np.eye(1), least_eigenvalue * np.eye(1)))[1]
        needed = max(0.0, 1.0 - 1.0 / least_eigenvalue)
        assert needed < share <= needed + 0.05 or share == needed == 0.0
        assert len(tried) <= 7
        tried.clear()
