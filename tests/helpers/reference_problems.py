"""The problems P1, P2 and P3 of the design's mathematics: rows, priors, starts, and the numbers given for them."""

from __future__ import annotations

import functools
import pathlib

import numpy as np
from reference_formulas import Array
from reference_mixture import COVARIANCES, Mixture, Priors, column_scales, floored_correlations

DATA = pathlib.Path(__file__).parents[2] / "training" / "data"

# P1: three rows in one column; its Gamma(1.5, 0.4) is Wishart(3, W0^-1 = 0.8)
P1_ROWS = np.array([[-0.9], [0.2], [1.6]])
P1_PRIORS = Priors(
    loc_mean=np.array([0.1]),
    loc_scale=np.array([1.5**0.5]),
    precision_shape=np.array([1.5]),
    precision_rate=np.array([0.4]),
    loc_covariance=np.array([[1.5]]),
    degrees=3.0,
    inverse_scale=np.array([[0.8]]),
    weight_concentration=1.5,
    gamma=1.2,
)
# (weights, tied): log evidence, best L_A, L_M there; a million draws give -6.7603 -6.4306 -6.8705 -6.5002 (+-.0008)
P1_NUMBERS = {
    ("dirichlet", False): (-5.66422552, -7.38046367, -6.756),
    ("dirichlet", True): (-5.67782369, -7.14309393, -6.438),
    ("stick_breaking", False): (-5.70781535, -7.47109968, -6.862),
    ("stick_breaking", True): (-5.72072366, -7.22937573, -6.506),
}

P2_ROWS = np.array([(0, 0), (1, 0.5), (-0.5, 1), (0.5, -1), (4, 4), (5, 4.5), (4.5, 3), (3.5, 5), (2, 2.5)], np.float64)
P2_PRIORS = Priors(
    loc_mean=np.array([0.5, 1.0]),
    loc_scale=np.array([2.0, 2.0]),
    precision_shape=np.array([1.5]),
    precision_rate=np.array([0.8]),
    loc_covariance=np.array([[4.0, 1.0], [1.0, 3.0]]),
    degrees=4.5,
    inverse_scale=np.array([[1.5, 0.3], [0.3, 1.0]]),
    weight_concentration=1.2,
    gamma=1.5,
)
# L_A at the start, after one sweep, at the end
P2_BOUNDS = {
    ("spherical", "dirichlet"): (-42.32110625, -39.75701240, -39.60253151),
    ("diag", "dirichlet"): (-42.85119831, -40.42649801, -40.23551311),
    ("tied_spherical", "dirichlet"): (-42.05606022, -39.42642413, -39.41177607),
    ("tied_diag", "dirichlet"): (-42.32110625, -40.03282667, -40.00025338),
    ("full", "dirichlet"): (-47.42058899, -42.40266322, -41.65170776),
    ("tied", "dirichlet"): (-44.66392225, -41.26618138, -41.04330389),
    ("spherical", "stick_breaking"): (-42.40407017, -39.75826818, -39.59978524),
    ("diag", "stick_breaking"): (-42.93416222, -40.42737416, -40.23290692),
    ("tied_spherical", "stick_breaking"): (-42.13902414, -39.43042259, -39.41623694),
    ("tied_diag", "stick_breaking"): (-42.40407017, -40.03620865, -40.00389350),
    ("full", "stick_breaking"): (-47.50355291, -42.40790457, -41.64851400),
    ("tied", "stick_breaking"): (-44.74688617, -41.27022299, -41.04766002),
}
P2_KL_LOCS = dict.fromkeys(COVARIANCES, 6.48267744) | {"full": 5.85230218, "tied": 5.85230218}
P2_KL_PRECISIONS = dict(
    zip(COVARIANCES, (0.53009206, 1.06018411, 0.26504603, 0.53009206, 5.51333348, 2.75666674), strict=True)
)
P2_KL_WEIGHTS = {"dirichlet": 0.36301951, "stick_breaking": 0.12110821}
# with Dirichlet weights, at the end: plug-in log likelihood, locs[0, 0], N_0
P2_ENDS = {
    "spherical": (-28.38957588, 0.26052806, 4.00471159),
    "diag": (-28.23625751, 0.25988521, 4.00624738),
    "tied_spherical": (-28.97947585, 0.29768889, 4.08586791),
    "tied_diag": (-28.90048439, 0.29331843, 4.07684403),
    "full": (-27.54600523, 0.24625359, 3.99972765),
    "tied": (-28.51591820, 0.29624083, 4.08537902),
}
# beta, or W^-1 of component 0
P2_PRECISIONS = {
    "spherical": [3.08377988, 6.68140416],
    "diag": [1.66569217, 2.21846216, 3.97510985, 3.3837295],
    "tied_spherical": [9.23670933],
    "tied_diag": [4.88623368, 5.02699584],
    "full": [3.10578978, -0.36196155, -0.36196155, 3.59821903],
    "tied": [9.43745808, 2.55285012, 2.55285012, 9.1867131],
}

# L_A, plug-in log likelihood; the design's figures for the latter are up to 2.2e-7 from a converged fit's
P3_NUMBERS = {
    ("old_faithful", "tied", 3): (-1165.76487169, -1126.33316731),
    ("old_faithful", "full", 2): (-1168.42796960, -1130.28142398),
    ("old_faithful", "diag", 3): (-1174.90522313, -1127.08176377),
    ("old_faithful", "spherical", 3): (-1187.21262848, -1145.98381871),
    ("old_faithful", "tied_spherical", 3): (-1187.63948807, -1152.89768079),
    ("old_faithful", "tied_diag", 3): (-1172.07308621, -1133.46570220),
    ("galaxies", "diag", 3): (-225.50025981, -203.55304458),
}


@functools.cache
def data(name: str) -> Array:
    """Returns the rows of a file, velocities in units of 1,000 km/s."""
    rows = np.loadtxt(DATA / f"{name}.csv", delimiter=",", skiprows=1, ndmin=2)
    return rows / 1000 if name == "galaxies" else rows


def p3_priors(rows: Array, covariance: str) -> Priors:
    """Returns the fixed priors of P3, data units; the spherical shapes are round in units of a column.

    A component is about a fifth of a column's spread wide, and locations are three spreads around the mean.
    """
    scales, mean, dim = column_scales(rows), np.mean(rows, axis=0), rows.shape[1]
    if covariance in ("full", "tied"):
        correlations = np.outer(scales, scales) * floored_correlations(rows)
        inverse_scale = 0.05 * (dim + 1) * correlations
        return Priors(mean, loc_covariance=9 * correlations, degrees=dim + 1.0, inverse_scale=inverse_scale)
    if covariance in ("spherical", "tied_spherical"):
        return Priors(mean, 3 * scales, np.array([1.0]), np.array([0.02]), unit=scales)
    return Priors(mean, 3 * scales, np.ones(dim), 0.02 * scales**2)


def started(
    rows: Array, covariance: str, weights: str, priors: Priors, num_components: int, generator: np.random.Generator
) -> Mixture:
    """Returns a mixture after one global step from random responsibilities."""
    mixture = Mixture(covariance, weights, priors, num_components)
    mixture.global_step(rows, generator.dirichlet(np.full(num_components, 0.3), len(rows)))
    return mixture


def p2_start(covariance: str, weights: str) -> Mixture:
    """Returns the state that P2 starts from."""
    mixture = Mixture(covariance, weights, P2_PRIORS, 2)
    mixture.locs[:] = [[0, 0], [4, 4]]
    if mixture.is_matrix:
        mixture.loc_covariances[:] = 0.25 * np.eye(2)
        mixture.degrees[:] = 5
        mixture.inverse_scales[:] = 5 * np.eye(2)
    else:
        mixture.scales[:] = 0.5
        mixture.alpha[:] = mixture.beta[:] = 2
    if weights == "dirichlet":
        mixture.counts[:] = [3, 5]
    else:
        mixture.sticks[:] = [2, 3]
    return mixture


@functools.cache
def p1_best(covariance: str, weights: str) -> Mixture:
    """Returns the best of twelve random starts, converged."""
    generator = np.random.default_rng(1)
    mixtures = [started(P1_ROWS, covariance, weights, P1_PRIORS, 2, generator) for _ in range(12)]
    for mixture in mixtures:
        mixture.fit(P1_ROWS)
    return max(mixtures, key=lambda mixture: mixture.elbo(P1_ROWS))


@functools.cache
def p3_best(name: str, covariance: str, num_components: int) -> Mixture:
    """Returns the best of thirty starts, each row nearest to one of K random rows; only the best one is converged."""
    generator, rows = np.random.default_rng(3), data(name)
    mixtures = []
    for _ in range(30):
        centers = rows[generator.choice(len(rows), num_components, replace=False)]
        distances = np.sum(((rows[:, None] - centers) / column_scales(rows)) ** 2, axis=-1)
        mixture = Mixture(covariance, "dirichlet", p3_priors(rows, covariance), num_components)
        mixture.global_step(rows, np.eye(num_components)[np.argmin(distances, axis=1)])
        mixture.fit(rows, max_sweeps=30)
        mixtures.append(mixture)
    best = max(mixtures, key=lambda mixture: mixture.elbo(rows))
    best.fit(rows)
    return best


def worked_rows():
    """The rows of the worked example, as it makes them."""
    random = np.random.RandomState(42)  # numpy.random.seed(42), without a trace
    n, k = 2500, 3
    p_real, mus_real, sigmas_real = np.array([0.2, 0.3, 0.5]), np.array([-1.0, 1.0, 4.0]), np.array([0.2, 0.9, 0.5])
    clusters = random.choice(k, size=n, p=p_real)
    return random.normal(mus_real[clusters], sigmas_real[clusters], size=n)
