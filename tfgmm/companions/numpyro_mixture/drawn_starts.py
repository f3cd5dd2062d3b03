"""Where chains start that are given draws of a posterior: at some of them, with the Gaussian of all of them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tfgmm.companions.numpyro_mixture.densities import Array
from tfgmm.companions.numpyro_mixture.mode import Gaussian, Target, posterior_widths
from tfgmm.companions.numpyro_mixture.model import MarginalModel
from tfgmm.posterior.draws import LOG_RATIO, Draws
from tfgmm.posterior.smoothing import effective_sample_size, smoothed_log_weights

import jax  # isort: skip  after `model`, whose error says how to install it


_LEAST = 1e-12  # smallest eigenvalue of a correlation matrix that is more than rounding


def check_draws(draws: Draws, num_chains: int, model: MarginalModel, column_names: tuple[str, ...] | None) -> None:
    """Checks draws: Raises ValueError unless chains of the model can start at them."""
    sizes, wanted = (draws.num_components, draws.num_features), (model.num_components, model.num_features)
    if sizes != wanted:
        raise ValueError(
            f"`start` must hold draws of mixtures with {_in_words(*wanted)}. Received: {_in_words(*sizes)}. "
            "Pass draws of a fit to the same columns with as many components."
        )
    if draws.column_names and column_names and tuple(draws.column_names) != tuple(column_names):
        raise ValueError(
            f"`start` must hold draws with the columns of `data`, {tuple(column_names)}. Received: "
            f"{tuple(draws.column_names)}. Pass draws of a fit to the same columns in the same order."
        )
    if model.is_correlated and draws.covariances is None:
        raise ValueError(
            '`start` must hold draws with covariances where covariance="full". Received: draws without. '
            'Pass draws of a fit with covariance="full", or covariance="diag".'
        )
    if draws.num_chains * draws.num_draws < num_chains:
        raise ValueError(
            f"`start` must hold a draw for each of {num_chains} chains. Received: "
            f"{draws.num_chains * draws.num_draws}. Pass more draws, such as result.draws(1000)."
        )
    _check_values(draws, model.is_correlated)


def _in_words(num_components: int, num_features: int) -> str:
    return f"{num_components} component{'s' * (num_components > 1)} in {num_features} column{'s' * (num_features > 1)}"


def _check_values(draws: Draws, is_correlated: bool) -> None:
    """Checks draws: Raises ValueError unless all numbers are finite, and all widths positive."""
    is_fine = np.isfinite(draws.weights).all() and np.isfinite(draws.locs).all() and np.isfinite(draws.scales).all()
    is_fine = is_fine and bool((draws.weights >= 0).all() and (draws.scales > 0).all())
    is_fine = is_fine and bool(np.isfinite(_log_ratios(draws)).all())
    if is_fine and is_correlated and draws.covariances is not None:
        is_fine = bool(np.isfinite(draws.covariances).all())
        is_fine = is_fine and bool((np.linalg.eigvalsh(_correlations(draws.covariances))[..., 0] > _LEAST).all())
    if not is_fine:
        raise ValueError(
            "`start` must hold finite draws, with positive scales, positive definite covariances, and finite "
            "importance ratios if any. Received: some that are not. Drop those draws, and look at what the sampler "
            "says of them."
        )


def starts_at_draws(
    target: Target, draws: Draws, total_weight: float, num_chains: int, generator: np.random.Generator
) -> tuple[Gaussian, np.ndarray]:
    """Chooses a draw for each chain, no two the same: Returns the Gaussian of all draws, and its z (C, P) at those.

    Args:
        target: Posterior of the chains.
        draws: Checked draws.
        total_weight: Sum of the weights of all rows.
        num_chains: Number of chains, C.
        generator: Generator that chooses.

    Raises:
        ValueError: the posterior density is finite at too few of the draws.
    """
    if target.model.ordered:
        draws = draws.permuted(np.argsort(draws.locs[..., 0], axis=-1, kind="stable"))
    vectors = _coordinates(target, draws)
    is_finite = np.isfinite(vectors).all(axis=1)
    vectors, log_ratios = vectors[is_finite], _log_ratios(draws)[is_finite]
    chosen: list[np.ndarray] = []
    distinct = np.unique(vectors, axis=0)  # a draw may be there several times, where draws are resampled by weights
    for vector in generator.permutation(distinct):
        potential, gradient = target.at(vector)
        if np.isfinite(potential) and np.isfinite(gradient).all():
            chosen.append(vector)
        if len(chosen) == num_chains:
            gaussian = _gaussian_of(vectors, log_ratios, _widths(target, draws, total_weight))
            return gaussian, np.linalg.solve(gaussian.factor, (np.stack(chosen) - gaussian.offset).T).T
    raise ValueError(
        f"`start` must hold a draw of its own for each of {num_chains} chains, at which the posterior density is "
        f"finite. Received: {len(chosen)} such draws. Pass draws of the same posterior, and more of them."
    )


def _coordinates(target: Target, draws: Draws) -> np.ndarray:
    """Computes the unconstrained coordinates of all draws, (S, P); not finite where a draw has none."""
    model = target.model
    flat = {name: getattr(draws, name).reshape(-1, *getattr(draws, name).shape[2:]) for name in _names(model)}
    if "covariances" in flat:
        flat["correlations"] = np.linalg.cholesky(_correlations(flat.pop("covariances")))

    def at_one(parameters: Mapping[str, Array]) -> dict[str, Array]:
        return model.inverse(model.values(**parameters))

    found = jax.jit(jax.vmap(at_one))(flat)
    return np.concatenate(
        [np.asarray(found[name]).reshape(len(flat["weights"]), -1) for name in model.coordinate_shapes()], axis=1
    )


def _correlations(covariances: np.ndarray) -> np.ndarray:
    """Computes correlation matrices of covariances (..., D, D)."""
    scales = np.sqrt(np.diagonal(covariances, axis1=-2, axis2=-1))
    return np.asarray(covariances / (scales[..., None] * scales[..., None, :]))


def _names(model: MarginalModel) -> tuple[str, ...]:
    return ("weights", "locs", "scales", *(("covariances",) if model.is_correlated else ()))


def _widths(target: Target, draws: Draws, total_weight: float) -> np.ndarray:
    """Estimates the posterior deviation of each coordinate (P,) at the mean draw, as if components were well apart."""
    scales, weights = draws.scales.mean(axis=(0, 1)), draws.weights.mean(axis=(0, 1))
    return target.joined(posterior_widths(target.model, scales, weights * total_weight + 1))


def _log_ratios(draws: Draws) -> np.ndarray:
    """Lists the log importance ratio of each draw, (S,), nats; zeros where draws have none."""
    return np.asarray(draws.sample_stats.get(LOG_RATIO, np.zeros(draws.weights.shape[:2])), np.float64).ravel()


def _gaussian_of(vectors: np.ndarray, log_ratios: np.ndarray, widths: np.ndarray) -> Gaussian:
    """Computes the Gaussian with the mean and covariance of coordinates (S, P).

    Importance ratios (S,) weigh the draws: where these are too narrow, weighted ones are less so, whatever their k-hat.
    The covariance is shrunk as if P further draws had these `widths` (P,) and no correlations. So it has full rank
    however few the draws are, and hardly changes where as many as they are worth is many times P.
    """
    log_weights = smoothed_log_weights(log_ratios)[0]
    weights, num_draws, size = np.exp(log_weights), effective_sample_size(log_weights), vectors.shape[1]
    offset = weights @ vectors
    centred = vectors - offset
    covariance = num_draws * (centred.T * weights) @ centred + size * np.diag(np.square(widths))
    return Gaussian(offset, np.linalg.cholesky(covariance / (num_draws + size)))
