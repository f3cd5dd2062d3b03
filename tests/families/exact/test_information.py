"""The observed information against differences of the gradient, and the reference numbers of the design's section G."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from exact_posteriors import KINDS, BlocksOfRows, Problem, p2_problem, precision_matrices, problem, slopes
from scipy import stats
from scipy.special import logsumexp

from tfgmm.data.blocks import RowBlock
from tfgmm.families.exact import information as module
from tfgmm.families.exact import target
from tfgmm.families.exact.information import curvature
from tfgmm.families.exact.mode import find_mode
from tfgmm.families.exact.target import Target
from tfgmm.families.variational import COMPONENTS
from tfgmm.families.weights import WEIGHTS


def check_against_differences(given: Problem) -> None:
    """Checks value, gradient and information at 0 against those of `Target`."""
    coordinates, target = given.coordinates(), given.target()
    found, origin = curvature(target, coordinates), np.zeros(coordinates.num_coordinates)
    log_densities, gradients = target.log_density_and_gradient(coordinates, origin[None])
    assert found.log_density == pytest.approx(log_densities[0], rel=1e-12)
    np.testing.assert_allclose(found.gradient, gradients[0], rtol=1e-10, atol=1e-10)
    expected = -slopes(lambda phi: target.log_density_and_gradient(coordinates, phi)[1], origin)
    np.testing.assert_allclose(found.information, expected, rtol=1e-6, atol=2e-6)
    np.testing.assert_allclose(found.information, found.information.T, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("covariance", COMPONENTS)
def test_the_information_is_that_of_differences(covariance, kind):
    for weights, is_learned in zip(WEIGHTS, (False, True)):
        check_against_differences(problem(covariance, weights, 3, 2, kind, is_learned))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("covariance", "weights"), [*itertools.product(COMPONENTS, WEIGHTS)])
def test_the_information_is_that_of_differences_in_every_crossing(covariance, weights, kind):
    for size, num_columns, is_learned in itertools.product((1, 2, 4), (1, 3), (False, True)):
        check_against_differences(problem(covariance, weights, size, num_columns, kind, is_learned, seed=size))


# --- The reference numbers of mathematics2.md, section G ----------------------------------------------------------

G_THETA = {"diag": [0.45676112, 0.54323888], "full": [0.45607487, 0.54392513]}
G_LOCS = {
    "diag": [0.2602725, 0.16258283, 3.64486183, 3.68722429],
    "full": [0.24573189, 0.15977139, 3.64720156, 3.65669318],
}
G_PRECISIONS = {
    "diag": [2.09151045, 1.56743683, 0.99873984, 1.17437352],
    "full": [2.76027584, 0.28116912, 2.06416133, 1.52915999, -0.76773394, 1.77161971],
}
G_LOG_DETERMINANT = {"diag": 17.97734911, "full": 22.47526079}
G_SD_LOG_THETA = {"diag": [0.32345182, 0.27196178], "full": [0.32350264, 0.27125319]}
# of delta and t of both components, and of those of the first with T_12
G_SDS = {
    "diag": [0.49535554, 0.49498943, 0.44550292, 0.44370005, 0.29124191, 0.2945237, 0.27247869, 0.2704894],
    "full": [0.49458534, 0.48949021, 0.25832736, 0.27792669, 0.39305812],
}
G_DENSITY = {"diag": (-5.30804567, 1.36505668), "full": (-4.47919124, 1.61020299)}


@pytest.mark.parametrize("covariance", ["diag", "full"])
def test_the_mode_and_its_widths_are_those_of_the_design(covariance):
    """To all digits; the last one of some was cut off, not rounded."""
    given = p2_problem(covariance)
    mode = find_mode(given.target(), given.coordinates())
    assert mode.is_exact
    drawn = mode.coordinates.drawn(np.zeros((1, len(mode.root))))
    weights, locs = np.exp(drawn.log_weights[0]), drawn.components.locs[0]
    np.testing.assert_allclose(weights, G_THETA[covariance], rtol=0, atol=6e-9)
    np.testing.assert_allclose(locs.ravel(), G_LOCS[covariance], rtol=0, atol=6e-9)
    matrices = precision_matrices(given.q, drawn)
    places = [(0, 0), (1, 1)] if covariance == "diag" else [(0, 0), (0, 1), (1, 1)]
    found = [matrix[place] for matrix in matrices for place in places]
    np.testing.assert_allclose(found, G_PRECISIONS[covariance], rtol=0, atol=6e-9)
    information = curvature(given.target(), mode.coordinates).information
    np.testing.assert_allclose(mode.root @ mode.root.T, information, rtol=1e-10, atol=1e-10)
    assert np.linalg.slogdet(information)[1] == pytest.approx(G_LOG_DETERMINANT[covariance], abs=1.2e-8)
    covariances = np.linalg.inv(information)
    slope = (np.eye(2) - weights) @ mode.coordinates.basis  # of log theta in v
    found = np.sqrt(np.diag(slope @ covariances[:1, :1] @ slope.T))
    np.testing.assert_allclose(found, G_SD_LOG_THETA[covariance], rtol=0, atol=6e-9)
    places = [*range(1, 9)] if covariance == "diag" else [1, 2, 5, 6, 9]
    np.testing.assert_allclose(np.sqrt(np.diag(covariances)[places]), G_SDS[covariance], rtol=0, atol=6e-9)
    log_density, gradient = density_at(np.array([2.0, 2.0]), weights, locs, matrices, mode.coordinates.basis)
    width = np.sqrt(gradient @ covariances @ gradient)
    assert (log_density, width) == pytest.approx(G_DENSITY[covariance], abs=1.2e-8)


def density_at(row, weights, locs, precisions, basis):
    """Returns the log density and its gradient, (P,): (B' (r - theta), r_k (y, 1 - y^2, -y_1 y_2))."""
    joints = [
        np.log(weight) + stats.multivariate_normal(loc, np.linalg.inv(precision)).logpdf(row)
        for weight, loc, precision in zip(weights, locs, precisions)
    ]
    shares = np.exp(joints - logsumexp(joints))
    away = [np.linalg.cholesky(precision).T @ (row - loc) for loc, precision in zip(locs, precisions)]
    of_locs = [share * y for share, y in zip(shares, away)]
    of_logarithms = [share * (1.0 - y**2) for share, y in zip(shares, away)]
    of_products = (
        [] if np.all(precisions[:, 0, 1] == 0.0) else [[-share * y[0] * y[1]] for share, y in zip(shares, away)]
    )
    return logsumexp(joints), np.concatenate([basis.T @ (shares - weights), *of_locs, *of_logarithms, *of_products])


# --- Rows, and chunks of them -------------------------------------------------------------------------------------


@pytest.mark.parametrize("covariance", ["spherical", "full"])
@pytest.mark.parametrize("kind", ["plain", "gaps"])
def test_whole_weights_are_repeated_rows(covariance, kind):
    given = problem(covariance, num_features=3, kind=kind)
    counts = np.arange(14) % 3
    block = given.block.part(counts > 0)._replace(weights=counts[counts > 0].astype(float))
    found = curvature(dataclasses.replace(given, block=block).target(), given.coordinates())
    repeated = dataclasses.replace(given, block=given.block.part(np.repeat(np.arange(14), counts)))
    expected = curvature(repeated.target(), given.coordinates())
    for one, other in zip(found[:4], expected[:4]):  # and the work is for each row
        np.testing.assert_allclose(one, other, rtol=1e-8, atol=1e-7)


@pytest.mark.parametrize("covariance", ["tied_diag", "full"])
def test_chunks_of_rows_and_parts_of_mixtures_change_nothing(covariance, monkeypatch):
    for kind in ("weights", "all"):
        given = problem(covariance, num_components=3, kind=kind)
        whole = curvature(given.target(), given.coordinates())
        with monkeypatch.context() as patch:
            patch.setattr(module, "_CHUNK_NUMBERS", 40)
            patch.setattr(module, "_MIXTURES_AT_A_TIME", 3)
            pieces = curvature(given.target(), given.coordinates())
        for one, other in zip(pieces, whole):
            np.testing.assert_allclose(one, other, rtol=1e-8, atol=1e-7)


def test_rows_that_belong_to_one_component_miss_nothing():
    given = problem("full", num_components=2)
    far = given.block.values + np.where(np.arange(14)[:, None] % 2, 0.0, 1e3).astype(np.float32)
    given.q.assign(given.q.values()._replace(components=moved(given.q)))
    found = curvature(dataclasses.replace(given, block=RowBlock(far)).target(), given.coordinates())
    assert not found.missing.any()
    np.testing.assert_array_equal(found.information, found.complete)


def moved(q):
    """Returns the numbers behind q with its first location far away."""
    locs, *others = q.values().components
    return locs + np.array([[1e3], [0.0]]), *others


def test_no_rows_are_an_error():
    given = problem("diag")
    with pytest.raises(ValueError, match="`data` must have rows. Received: none. Pass those"):
        curvature(Target(given.q, BlocksOfRows(given.q)), given.coordinates())


@pytest.mark.parametrize("kind", ["gaps", "noise", "all"])
@pytest.mark.parametrize("covariance", ["diag", "full", "tied"])
def test_rows_together_miss_what_they_miss_one_by_one(covariance, kind):
    """Complete rows stand beside rows that do not show all."""
    given = problem(covariance, num_components=3, kind=kind)
    if kind == "noise":
        given.block.noise[::3] = 0.0
    together = curvature(given.target(), given.coordinates())
    prior = given.coordinates().prior_information()
    alone = [
        curvature(dataclasses.replace(given, block=given.block.part(slice(n, n + 1))).target(), given.coordinates())
        for n in range(14)
    ]
    np.testing.assert_allclose(together.missing, sum(one.missing for one in alone), rtol=1e-6, atol=1e-6)
    complete = prior + sum(one.complete - prior for one in alone)
    np.testing.assert_allclose(together.complete, complete, rtol=1e-9, atol=1e-9)


def test_only_rows_that_do_not_show_all_are_differenced(monkeypatch):
    """Of 14 rows with gaps in some, as many as have gaps."""
    given, seen = problem("full", kind="gaps"), []
    differenced = module._differenced
    monkeypatch.setattr(module, "_differenced", lambda *args: seen.append(len(args[2])) or differenced(*args))
    curvature(given.target(), given.coordinates())
    assert 0 < sum(seen) == np.isnan(given.block.values).any(axis=1).sum() < 14


@pytest.mark.parametrize("kind", ["plain", "all"])
def test_above_the_work_nothing_but_the_missing_is_left_out(kind):
    """Value and gradient are the same, and the work is counted all the same; with 0 it is not."""
    given = problem("full", num_components=3, kind=kind)
    whole = curvature(given.target(), given.coordinates())
    for most_work, work in ((0.5 * whole.work, whole.work), (0.0, 0.0)):
        found = curvature(given.target(), given.coordinates(), most_work)
        assert found.missing.shape == (1, 1) and not found.missing.any()
        assert found.work == pytest.approx(work)
        assert found.log_density == pytest.approx(whole.log_density, rel=1e-12)
        np.testing.assert_allclose(found.gradient, whole.gradient, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(found.complete, whole.complete, rtol=1e-9, atol=1e-9)
    assert curvature(given.target(), given.coordinates(), whole.work).missing.any()


@pytest.mark.parametrize("kind", ["weights", "all"])
def test_small_batches_have_the_curvature_of_one(kind, monkeypatch):
    """Whether they are put together or not."""
    given = problem("full", num_components=3, kind=kind)
    rows = BlocksOfRows(given.q, *(given.block.part(slice(n, n + 1)) for n in range(14)))
    whole = curvature(Target(given.q, BlocksOfRows(given.q, given.block)), given.coordinates())
    for fewest in (1, 5, 100):
        monkeypatch.setattr(target, "_FEWEST_ROWS", fewest)
        found = curvature(Target(given.q, rows), given.coordinates())
        for one, other in zip(found, whole):
            np.testing.assert_allclose(one, other, rtol=1e-7, atol=1e-7)
