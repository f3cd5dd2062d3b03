"""What rows say of two mixtures, against densities and clusterings computed elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import adjusted_rand_score

from tfgmm.data.blocks import RowBlock
from tfgmm.mixture.parameters import MixtureDensity
from tfgmm.scoring import comparison

A = MixtureDensity(
    "diag", np.zeros(2), np.log([0.4, 0.6]), {"locs": np.array([[-1.0, 0], [1, 0.5]]), "precisions": np.ones((2, 2))}
)
B = MixtureDensity(
    "diag",
    np.zeros(2),
    np.log([0.2, 0.5, 0.3]),
    {"locs": np.array([[0.0, -1], [0.5, 1], [3, 3]]), "precisions": np.full((3, 2), 0.5)},
)  # its columns are those of A, the other way round
POINTS = np.random.default_rng(7).normal(scale=1.5, size=(400, 2))


def joints(mixture: MixtureDensity, points: np.ndarray) -> np.ndarray:
    return np.stack(
        [
            np.exp(log_weight) * stats.norm.pdf(points, loc, precision**-0.5).prod(axis=1)
            for log_weight, loc, precision in zip(
                mixture.log_weights, mixture.components["locs"], mixture.components["precisions"]
            )
        ],
        axis=1,
    )


@pytest.mark.parametrize("size", [400, 7])
def test_figures_are_those_of_scipy_and_scikit_learn_however_rows_are_cut(size: int) -> None:
    bad = np.array([[np.inf, 1.0], [np.nan, np.nan]])
    blocks = [RowBlock(rows) for rows in [*(POINTS[start : start + size] for start in range(0, 400, size)), bad]]
    seen: list[int] = []
    found = comparison.compare_over_rows(A, B, blocks, np.array([1, 0]), seen.append)
    of_a, of_b = joints(A, POINTS), joints(B, POINTS[:, ::-1])
    densities = np.log(of_a.sum(axis=1)), np.log(of_b.sum(axis=1))
    difference = densities[1] - densities[0]
    labels = of_a.argmax(axis=1), of_b.argmax(axis=1)
    assert (found.num_rows, found.num_bad, sum(seen)) == (400, 2, 402)
    expected = (densities[0].mean(), densities[1].mean(), difference.mean(), stats.sem(difference))
    np.testing.assert_allclose(found[2:6], expected, rtol=1e-6)
    assert found.adjusted_rand == pytest.approx(adjusted_rand_score(*labels), abs=1e-12)
    pairings = [(first, second) for first in range(3) for second in range(3) if first != second]
    most = max(np.mean((labels[0] == 0) & (labels[1] == i) | (labels[0] == 1) & (labels[1] == j)) for i, j in pairings)
    assert found.share_same == pytest.approx(most, abs=1e-12) and 0.3 < most < 1.0


def gapped() -> np.ndarray:
    """The points; of 50 the first column is missing, of 30 others the second."""
    points = POINTS.copy()
    points[:50, 0] = points[50:80, 1] = np.nan
    return points


def test_rows_with_gaps_are_judged_by_the_densities_of_what_they_have() -> None:
    rows = gapped()
    found = comparison.compare_over_rows(A, B, [RowBlock(rows)], np.array([1, 0]))
    of_a, of_b = (observed_joints(mixture, points) for mixture, points in ((A, rows), (B, rows[:, ::-1])))
    difference = np.log(of_b.sum(axis=1)) - np.log(of_a.sum(axis=1))
    assert (found.num_rows, found.num_bad, found.num_incomplete, found.total) == (400, 0, 80, None)
    np.testing.assert_allclose(found[4:6], (difference.mean(), stats.sem(difference)), rtol=1e-6)
    assert found.adjusted_rand == pytest.approx(adjusted_rand_score(of_a.argmax(axis=1), of_b.argmax(axis=1)))


def observed_joints(mixture: MixtureDensity, points: np.ndarray) -> np.ndarray:
    """Densities of the columns that a row has, times the weights, row by row, (n, K)."""
    joint = np.tile(np.exp(mixture.log_weights), (len(points), 1))
    for n, row in enumerate(points):
        for k in range(joint.shape[1]):
            for column, value in enumerate(row):
                if not np.isnan(value):
                    loc = mixture.components["locs"][k, column]
                    joint[n, k] *= stats.norm.pdf(value, loc, mixture.components["precisions"][k, column] ** -0.5)
    return joint


@pytest.mark.parametrize("size", [400, 7])
def test_weights_are_repeated_rows(size: int) -> None:
    weights = np.random.default_rng(1).integers(0, 4, 400).astype(float)
    rows = gapped()
    blocks = [RowBlock(rows[i : i + size], weights[i : i + size]) for i in range(0, 400, size)]
    found = comparison.compare_over_rows(A, B, blocks, np.array([1, 0]))
    repeated = RowBlock(np.repeat(rows, weights.astype(int), axis=0))
    expected = comparison.compare_over_rows(A, B, [repeated], np.array([1, 0]))
    np.testing.assert_allclose(found[2:8], expected[2:8], rtol=1e-9)
    assert found.total == weights.sum() and expected.total is None
    with pytest.raises(ValueError, match="`blocks` must have two rows at least"):
        comparison.compare_over_rows(A, B, [RowBlock(rows[:9], np.full(9, 0.1))], np.array([1, 0]))


def test_unrelated_and_single_clusterings_have_scikit_learns_index() -> None:
    generator = np.random.default_rng(0)
    for num_first, num_second in ((4, 5), (1, 1), (1, 3)):
        labels = generator.integers(num_first, size=300), generator.integers(num_second, size=300)
        table = np.zeros((num_first, num_second), np.int64)
        np.add.at(table, labels, 1)
        assert comparison.adjusted_rand(table) == pytest.approx(adjusted_rand_score(*labels), abs=1e-12)


@pytest.mark.parametrize(
    ("difference", "error", "words"),
    [
        (0.0312, 0.0042, "B describes these rows better, by 0.0312 ± 0.0042 nats per row"),
        (-2.0, 0.5, "A describes these rows better, by 2.00 ± 0.50 nats per row"),
        (0.008, 0.0042, "no difference that these rows can show: B is ahead by 0.0080 ± 0.0042 nats per row"),
        (0.0, 0.0, "no difference: both describe these rows equally well"),
    ],
)
def test_verdict_is_of_what_the_rows_can_show(difference: float, error: float, words: str) -> None:
    found = comparison.RowsCompared(100, 0, -4.0, -4.0 + difference, difference, error, 1.0, 1.0)
    assert comparison.verdict(found) == words


def test_rows_with_noise_are_judged_by_the_density_of_noisy_rows():
    sds, order = np.random.default_rng(3).uniform(0.5, 2.0, POINTS.shape), np.array([1, 0])
    found = comparison.compare_over_rows(A, B, [RowBlock(POINTS, None, sds)], order)
    for mixture, mean, columns in ((A, found.mean_a, slice(None)), (B, found.mean_b, order)):
        variances = 1.0 / mixture.components["precisions"] + sds[:, None, columns] ** 2
        of_components = stats.norm(mixture.components["locs"], np.sqrt(variances)).logpdf(POINTS[:, None, columns])
        log_joints = mixture.log_weights + of_components.sum(axis=2)
        assert mean == pytest.approx(np.logaddexp.reduce(log_joints, axis=1).mean(), abs=1e-6)
