"""How posteriors are judged: numbers without labels, ranks of the truth among draws, coverage, histograms.

Ranks: Talts, Betancourt, Simpson, Vehtari and Gelman 2018, "Validating Bayesian inference algorithms with
simulation-based calibration". The log likelihood of the rows as one of the numbers: Modrak et al. 2023, who show that
it sees what the parameters by themselves do not.
"""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy import stats
from scipy.special import logsumexp

if TYPE_CHECKING:
    import tfgmm


class Mixtures(NamedTuple):
    """S mixtures: weights (S, K), locs (S, K, D), covariances (S, K, D, D)."""

    weights: np.ndarray
    locs: np.ndarray
    covariances: np.ndarray


def mixtures_of(draws: Any) -> Mixtures:
    """Returns `tfgmm.Draws` as one list of mixtures."""
    num_components, num_features = draws.num_components, draws.num_features
    weights = draws.weights.reshape(-1, num_components)
    locs = draws.locs.reshape(-1, num_components, num_features)
    if draws.covariances is None:
        scales = draws.scales.reshape(locs.shape)
        return Mixtures(weights, locs, np.square(scales)[..., None] * np.eye(num_features))
    return Mixtures(weights, locs, draws.covariances.reshape(*locs.shape, num_features))


# --- Numbers without labels -------------------------------------------------------------------------------------------


def label_free(mixtures: Mixtures, points: np.ndarray) -> dict[str, np.ndarray]:
    """Returns numbers that no order of the components changes, by name, (S,) each.

    Args:
        mixtures: S mixtures.
        points: Where the log density is asked for, (G, D).
    """
    weights, locs, covariances = mixtures
    variances = np.diagonal(covariances, axis1=-2, axis2=-1)
    means = np.einsum("sk,skd->sd", weights, locs)
    apart = locs - means[:, None]
    second = np.einsum("sk,skd->sd", weights, apart**2 + variances)
    third = np.einsum("sk,skd->sd", weights, apart**3 + 3 * apart * variances)
    numbers: dict[str, np.ndarray] = {}
    for column in range(locs.shape[-1]):
        of_column = f" of column {column}" if locs.shape[-1] > 1 else ""
        numbers[f"mean{of_column}"] = means[:, column]
        numbers[f"log variance{of_column}"] = np.log(second[:, column])
        numbers[f"skewness{of_column}"] = third[:, column] / second[:, column] ** 1.5
    numbers["largest weight"] = weights.max(axis=1)
    numbers["smallest log volume"] = np.linalg.slogdet(covariances)[1].min(axis=1) / 2
    densities = log_densities(mixtures, points)
    names = [f"log density at ({', '.join(f'{value:.3g}' for value in point)})" for point in points]
    return numbers | dict(zip(names, densities.T))


def log_densities(mixtures: Mixtures, points: np.ndarray) -> np.ndarray:
    """Returns the log density of each mixture at each point, nats, (S, G) from points (G, D)."""
    weights, locs, covariances = mixtures
    factors = np.linalg.cholesky(covariances)
    apart = (points[None, None] - locs[:, :, None]).swapaxes(-1, -2)
    squares = np.square(np.linalg.solve(factors, apart)).sum(axis=-2)
    half_log_det = np.log(np.diagonal(factors, axis1=-2, axis2=-1)).sum(axis=-1)
    constant = np.log(weights) - half_log_det - 0.5 * points.shape[1] * np.log(2 * np.pi)
    return logsumexp(constant[..., None] - squares / 2, axis=1)


# --- Simulation-based calibration -------------------------------------------------------------------------------------


def drawn_from_prior(priors: tfgmm.Priors, num_components: int, rng: np.random.Generator) -> Mixtures:
    """Draws one mixture of one column from fixed priors of a diag mixture, S = 1."""
    weights = rng.dirichlet(np.full(num_components, priors.weight_concentration))
    locs = rng.normal(priors.loc_mean, priors.loc_scale, num_components)
    precisions = rng.gamma(priors.precision_shape, 1 / np.asarray(priors.precision_rate), num_components)
    return Mixtures(weights[None], locs[None, :, None], (1 / precisions)[None, :, None, None])


def rows_of(mixture: Mixtures, num_rows: int, rng: np.random.Generator) -> np.ndarray:
    """Draws rows (num_rows, D) of the first of the mixtures."""
    weights, locs, covariances = (part[0] for part in mixture)
    drawn = rng.choice(len(weights), num_rows, p=weights)
    noise = rng.standard_normal((num_rows, locs.shape[-1]))
    return locs[drawn] + np.einsum("nij,nj->ni", np.linalg.cholesky(covariances)[drawn], noise)


def rank(truth: float, draws: np.ndarray, num_kept: int, rng: np.random.Generator) -> int:
    """Returns how many of `num_kept` of the draws, chosen at random, are below the truth: 0 to num_kept.

    Thinned, since neighbours in a chain are alike, and ranks of dependent draws are not uniform.
    """
    return int(np.sum(rng.choice(draws, num_kept, replace=False) < truth))


def chi_square(ranks: Sequence[int], num_kept: int, num_bins: int) -> tuple[float, float]:
    """Returns Pearson's statistic of equal shares of ranks 0 to num_kept in bins, and its p value.

    Args:
        ranks: A rank per simulated set.
        num_kept: Largest rank; num_kept + 1 must be a multiple of num_bins.
        num_bins: Number of bins of equally many ranks.

    Raises:
        ValueError: The ranks cannot be divided into so many bins.
    """
    if (num_kept + 1) % num_bins:
        raise ValueError(f"`num_bins` must divide {num_kept + 1}. Received: {num_bins}. Choose another.")
    counts = binned(ranks, num_kept, num_bins)
    expected = len(ranks) / num_bins
    statistic = float(np.sum(np.square(counts - expected)) / expected)
    return statistic, float(stats.chi2.sf(statistic, num_bins - 1))


def binned(ranks: Sequence[int], num_kept: int, num_bins: int) -> np.ndarray:
    """Returns the number of ranks in each bin, (num_bins,)."""
    return np.bincount(np.asarray(ranks) * num_bins // (num_kept + 1), minlength=num_bins)


def is_covered(truth: float, draws: np.ndarray, level: float = 0.9) -> bool:
    """Returns whether the central interval of the draws holds the truth."""
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return bool(low <= truth <= high)


def coverage_error(share: float, number: int) -> float:
    """Returns the standard error of a share of `number` independent answers."""
    return float(np.sqrt(share * (1 - share) / number))


# --- Picture ----------------------------------------------------------------------------------------------------------


_INSIDE, _OUTSIDE = "#8fb3d9", "#d95f4c"
_HEADING = (
    "Where does the truth lie among the draws? One histogram per way (rows) and number (columns), over {sets} sets.\n"
    "Even bars: the intervals are right. High at both ends: they are too narrow. High in the middle: too wide. High at "
    "one end: off to one side.\nBetween the dashed lines lie 99 % of the bars of a way that is right; bars outside "
    "them are red."
)


def draw_histograms(
    ranks: Mapping[str, Mapping[str, Sequence[int]]], num_kept: int, num_bins: int, path: pathlib.Path
) -> None:
    """Draws a histogram of ranks per method and number, with the band that holds 99 % of the bars of uniform ranks.

    Args:
        ranks: By method, then by number: a rank per set.
        num_kept: Largest rank.
        num_bins: Number of bars.
        path: File to write.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    methods, numbers = list(ranks), list(next(iter(ranks.values())))
    size = max(1.7 * len(numbers), 9.0), 1.5 * len(methods) + 1.0
    figure, panels = plt.subplots(
        len(methods), len(numbers), figsize=size, squeeze=False, sharex=True, sharey=True, layout="constrained"
    )
    for method, line in zip(methods, panels):
        line[0].set_ylabel(method.replace("_", " "))
        for number, ax in zip(numbers, line):
            _draw_ranks(ax, binned(ranks[method][number], num_kept, num_bins))
    for number, ax in zip(numbers, panels[0]):
        ax.set_title(number, fontsize=9)
    sets = len(ranks[methods[0]][numbers[0]])
    figure.suptitle(_HEADING.format(sets=sets), fontsize=10)
    figure.supxlabel("share of the draws below the truth", fontsize=9)
    figure.supylabel(f"sets, of {sets}", fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _draw_ranks(ax: Any, counts: np.ndarray) -> None:
    """Draws the bars of one number, those that right draws hardly ever have in another colour."""
    number, num_bins = int(counts.sum()), len(counts)
    low, high = stats.binom.interval(0.99, number, 1 / num_bins)
    colours = np.where((counts < low) | (counts > high), _OUTSIDE, _INSIDE)
    ax.bar(np.arange(num_bins) / num_bins, counts, 1 / num_bins, align="edge", color=colours, edgecolor="white")
    ax.axhline(number / num_bins, color="0.3", linewidth=0.8)
    for edge in (low, high):
        ax.axhline(edge, color="0.3", linewidth=0.8, linestyle="--")
    ax.set_xticks([0, 1])
