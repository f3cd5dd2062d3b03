"""How many components the rows occupy, and how many differ, as the posterior has it."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from tfgmm.common.checks import check_count, check_seed
from tfgmm.data.blocks import RowBlock
from tfgmm.families.variational import VariationalPosterior
from tfgmm.mixture.occupied import is_occupied
from tfgmm.mixture.parameters import FORMS, LOCS, MixtureDensity
from tfgmm.mixture.virtual_copies import are_few
from tfgmm.scoring.devices import block_scorer

# Share of a weight or a width, or of the standard deviation of a location, below which a difference counts as none
_ALIKE = 0.1
# Copies of one row: with more, all components that it may belong to have some
_MOST_OF_ONE = 2.0**40


def num_occupied(posterior: VariationalPosterior) -> int:
    """Counts the components that at least one row is expected in."""
    return int(np.sum(is_occupied(posterior.expected_counts())))


def occupied_widths(posterior: VariationalPosterior) -> np.ndarray:
    """Computes the standard deviations of the components that have rows, (K', D) float64, data units."""
    sds = FORMS[posterior.form].covariances(posterior.plug_in().components)[0]
    sds = np.broadcast_to(sds, (posterior.num_components, sds.shape[-1]))
    has_rows = is_occupied(posterior.expected_counts())
    return sds[has_rows] if has_rows.any() else sds


def log_num_modes(posterior: VariationalPosterior) -> float:
    """Counts the modes that are equal to q but for the names of components, and takes the logarithm.

    That is K! for K components that differ. Exchanging two that have the same posterior, as those without rows do, or
    those that share all rows alike, leads to no other mode.

    Source: Bishop 2006, section 10.2.4, for components that all differ.
    """
    mixture, doubt = posterior.plug_in(), posterior.public()["scales"]
    first_alike: list[int] = []
    for one in range(posterior.num_components):
        alike = (other for other in sorted({*first_alike}) if _are_alike(mixture, doubt, one, other))
        first_alike.append(next(alike, one))
    sizes = np.unique(first_alike, return_counts=True)[1]
    return math.lgamma(posterior.num_components + 1) - sum(math.lgamma(size + 1) for size in sizes)


def _are_alike(mixture: MixtureDensity, doubt: np.ndarray, one: int, other: int) -> bool:
    """Tells whether two components have nearly the same posterior, in any unit."""
    log_weights, components = np.asarray(mixture.log_weights), mixture.components
    steps = np.abs(components[LOCS][one] - components[LOCS][other])
    if abs(log_weights[one] - log_weights[other]) > _ALIKE or (steps > _ALIKE * doubt[other]).any():
        return False
    [widths] = (value for name, value in components.items() if name != LOCS)
    if len(widths) == 1:  # one for all
        return True
    if mixture.form.name == "independent":
        return bool((np.abs(np.log(widths[one] / widths[other])) <= _ALIKE).all())
    ratio = widths[one] @ np.linalg.inv(widths[other])
    return bool((np.abs(ratio - np.eye(len(ratio))) <= _ALIKE).all())


def occupied_probabilities(
    posterior: VariationalPosterior, blocks: Iterable[RowBlock], num_draws: int = 200, seed: int = 0
) -> np.ndarray:
    """Computes the share of draws in which 0, 1, ..., K components have rows, (K + 1,) float64.

    Each draw takes weights and components from q, and then a component for every row by its memberships under those.
    A component of which every row has a little is empty in some draws and not in others.

    Args:
        posterior: The fitted q.
        blocks: Blocks of the rows that it was fitted to, measured from its centre; memory is that of a block of them
            times K.
        num_draws: Number of draws, S, at least 1.
        seed: Seed of the draws.
    """
    seed = check_seed(seed)
    mixtures = _drawn_mixtures(posterior, check_count("num_draws", num_draws), seed)
    generator = np.random.default_rng(seed)
    has_rows = np.zeros((num_draws, posterior.num_components), bool)
    scorers = [block_scorer(mixture) for mixture in mixtures]
    for block in blocks:
        counts = None if block.weights is None else _whole_counts(block.weights, generator)
        for of_draw, scorer in zip(has_rows, scorers):
            memberships = scorer.scores(block, ["responsibilities"]).by_name["responsibilities"]
            of_draw[drawn_components(memberships, generator, counts)] = True
    return np.bincount(has_rows.sum(axis=1), minlength=posterior.num_components + 1) / num_draws


def drawn_components(
    responsibilities: np.ndarray, generator: np.random.Generator, counts: np.ndarray | None = None
) -> np.ndarray:
    """Draws components of rows by their memberships, (B, K): one per row, (B,) int; or those that their copies have.

    Args:
        responsibilities: (B, K).
        generator: Source of the draws.
        counts: (B,) int, how many copies of each row there are, each with a draw of its own; None for one.

    Example:

    >>> drawn_components(np.array([[0.0, 1.0], [1.0, 0.0]]), np.random.default_rng(0)).tolist()
    [1, 0]
    """
    if counts is not None:
        if not are_few(counts):
            return np.flatnonzero(_counts_of_components(responsibilities, generator, counts))
        responsibilities = np.repeat(responsibilities, counts, axis=0)
    sums = np.cumsum(responsibilities, axis=1, dtype=np.float64)
    # From 0 up to, but not including, the last sum: no component without membership is drawn
    thresholds = generator.random((len(sums), 1)) * sums[:, -1:]
    return np.sum(sums <= thresholds, axis=1)


def _whole_counts(weights: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Rounds weights (B,) to whole numbers of copies, up or down at random by what is left of them."""
    whole = np.floor(weights)
    if (whole == weights).all():
        rounded = whole
    else:
        rounded = whole + (generator.random(len(weights)) < weights - whole)
    return np.minimum(rounded, _MOST_OF_ONE).astype(np.int64)


def _counts_of_components(
    responsibilities: np.ndarray, generator: np.random.Generator, counts: np.ndarray
) -> np.ndarray:
    """Draws how many copies each component has, (K,)."""
    shares = responsibilities.astype(np.float64)
    drawn: np.ndarray = generator.multinomial(counts, shares / shares.sum(axis=1, keepdims=True)).sum(axis=0)
    return drawn


def _drawn_mixtures(posterior: VariationalPosterior, num_draws: int, seed: int) -> list[MixtureDensity]:
    """Draws S mixtures from q, for rows measured from its centre."""
    drawn = posterior.predictive(num_draws, seed)
    drawn = drawn._replace(centre=np.zeros_like(drawn.centre))
    return [drawn.part(number) for number in range(num_draws)]
