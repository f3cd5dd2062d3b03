"""What the pictures of whole mixtures ask of draws: columns by name or number, marginals, densities, averages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tfgmm.common.columns import column_labels
from tfgmm.plot.frames import padded_limits
from tfgmm.plot.partial_rows import ShownRows, check_sample_weight, check_values
from tfgmm.posterior.draws import Draws
from tfgmm.posterior.predictive import density_band

# More draws change no line of a picture that an eye could see.
_MAX_DRAWS = 2_000
_MAX_DRAWS_OF_GRIDS = 50
_REACH = 3.5  # standard deviations beyond means that are shown where there are no rows
_DRAWS_FIX = "Pass `model.mean_parameters()`, `model.draws(200)`, or the draws of NUTS."


class Gaussians(NamedTuple):
    """K weighted Gaussians: weights (K,), locs (K, D), covariances (K, D, D)."""

    weights: NDArray[np.float64]
    locs: NDArray[np.float64]
    covariances: NDArray[np.float64]


def check_draws(draws: Any) -> Draws:
    """Checks that `draws` are `tfgmm.Draws`."""
    if not isinstance(draws, Draws):
        raise TypeError(f"`draws` must be tfgmm.Draws. Received: {type(draws).__name__}. {_DRAWS_FIX}")
    return draws


def check_column(name: str, column: Any, draws: Draws) -> int:
    """Looks up the place of a column, from its place or the name that the draws have for it."""
    names, num_features = draws.column_names or (), draws.num_features
    if isinstance(column, str) and column in names:
        return names.index(column)
    is_number = isinstance(column, (int, np.integer)) and not isinstance(column, bool)
    if is_number and 0 <= column < num_features:
        return int(column)
    known = f", or one of {', '.join(map(repr, names))}" if names else ""
    raise ValueError(
        f"`{name}` must be a whole number from 0 to {num_features - 1}{known}. Received: {column!r}. "
        "Pass the place of a column among those of the draws."
    )


def check_columns_of(draws: Draws, columns: Sequence[int | str] | None, default: int) -> list[int]:
    """Looks up the places of the chosen columns, each once; None stands for the first `default` ones."""
    if columns is None:
        return list(range(min(default, draws.num_features)))
    chosen = [check_column("columns", column, draws) for column in ([columns] if isinstance(columns, str) else columns)]
    if not chosen or len(set(chosen)) < len(chosen):
        raise ValueError(
            f"`columns` must name at least one column, and each once. Received: {columns!r}. Pass for example (0, 1)."
        )
    return chosen


def check_column_names(draws: Draws, column_names: Sequence[str] | None) -> list[str]:
    """Checks the labels of the columns, one string each; None stands for those of the draws."""
    if column_names is None:
        return list(column_labels(draws.column_names, draws.num_features))
    names = [column_names] if isinstance(column_names, str) else list(column_names)
    if len(names) != draws.num_features or not all(isinstance(name, str) for name in names):
        raise ValueError(
            f"`column_names` must be {draws.num_features} strings, one per column of the draws. Received: "
            f"{column_names!r}. Pass as many, or None."
        )
    return names


def check_rows(rows: ArrayLike | None, draws: Draws, sample_weight: ArrayLike | None = None) -> ShownRows | None:
    """Checks rows (N, D), all columns of the draws, and their weights; for one column (N,) will do. None stays None."""
    if rows is None:
        if sample_weight is not None:
            raise ValueError("`sample_weight` must be left out where there are no rows. Received: weights. Pass rows.")
        return None
    num_features = draws.num_features
    fix = f"Pass rows with all columns of the draws, {num_features}, data units."
    if num_features == 1 and np.ndim(rows) == 1:
        values = check_values("rows", rows, "N", fix=fix)[:, None]
    else:
        values = check_values("rows", rows, "ND", fix=fix, D=num_features)
    return check_sample_weight(values, sample_weight)


def marginal(draws: Draws, columns: Sequence[int]) -> Draws:
    """Takes the draws of the mixture of some columns: those of a Gaussian are Gaussian, their own parameters kept."""
    index = list(columns)
    return Draws(
        weights=draws.weights,
        locs=draws.locs[..., index],
        scales=draws.scales[..., index],
        covariances=None if draws.covariances is None else draws.covariances[..., index, :][..., index],
    )


def thinned(draws: Draws, most: int = _MAX_DRAWS) -> Draws:
    """Takes up to `most` of the draws, evenly chosen, as one chain."""
    chosen = np.unique(np.linspace(0, draws.num_chains * draws.num_draws - 1, most).round().astype(int))

    def pick(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return values.reshape(-1, *values.shape[2:])[chosen][None]

    covariances = None if draws.covariances is None else pick(draws.covariances)
    return Draws(pick(draws.weights), pick(draws.locs), pick(draws.scales), covariances=covariances)


def mean_log_density(draws: Draws) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """Makes the function from points (G, D) to the log of the draws' mean density; up to 50 draws are used."""
    few = thinned(draws, _MAX_DRAWS_OF_GRIDS)

    def log_density(points: NDArray[np.float64]) -> NDArray[np.float64]:
        with np.errstate(divide="ignore"):  # far from all components it is 0
            return np.asarray(np.log(density_band(few, points).mean))

    return log_density


def mean_gaussians(draws: Draws) -> Gaussians:
    """Averages weights, locations and covariances over the draws, whose components must be aligned."""
    if draws.covariances is None:
        covariances = np.square(draws.scales)[..., None] * np.eye(draws.num_features)
    else:
        covariances = draws.covariances
    parts = (values.mean(axis=(0, 1), dtype=np.float64) for values in (draws.weights, draws.locs, covariances))
    return Gaussians(*parts)


def frame_about(
    draws: Draws, values: NDArray[np.float64] | None, min_weight: float = 0.01, margin: float = 0.08
) -> NDArray[np.float64]:
    """Chooses the limits of columns, (D, 2): about their values, or the components that weigh enough without any."""
    around = np.full((draws.num_features, 2), np.nan) if values is None else padded_limits(values, margin)
    if np.isfinite(around).all():
        return around
    mixture = mean_gaussians(draws)
    heavy = mixture.weights >= min(min_weight, mixture.weights.max())
    reach = _REACH * np.sqrt(np.diagonal(mixture.covariances[heavy], axis1=1, axis2=2))
    ends = [(mixture.locs[heavy] - reach).min(axis=0), (mixture.locs[heavy] + reach).max(axis=0)]
    return np.where(np.isfinite(around), around, np.stack(ends, axis=1))
