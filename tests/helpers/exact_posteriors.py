"""Exact posteriors by another route: SciPy's densities in data units, a loop over rows, Jacobians by differences."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from random_posteriors import random_components, random_priors, random_weights, spd
from reference_problems import P2_PRIORS, P2_ROWS, p2_start
from rows_one_by_one import noise_of
from scipy import stats
from scipy.special import logsumexp

from tfgmm.data.blocks import RowBlock
from tfgmm.families.exact.coordinates import Coordinates
from tfgmm.families.exact.target import Target
from tfgmm.families.records import Drawn
from tfgmm.families.variational import COMPONENTS, Factors, VariationalPosterior
from tfgmm.families.weights import WEIGHTS
from tfgmm.mixture.priors import Priors
from tfgmm.mixture.row_groups import RowGroups

LOC_SCALES = (0.5, 1.0, 2.0)
DEGREES = (1.0, 4.0, 16.0)
CENTRE = np.array([0.5, -0.25, 1.0, 0.0])  # which float32 holds
KINDS = ("plain", "weights", "gaps", "noise", "row_variance", "all")


class BlocksOfRows:
    """Rows that can be passed over again and again, block by block."""

    def __init__(self, q: VariationalPosterior, *blocks: RowBlock) -> None:
        self.gap_columns = q.gap_columns
        self._groups = [RowGroups(q.form, block, q.gap_columns) for block in blocks]

    def groups(self) -> Iterator[RowGroups]:
        return iter(self._groups)


@dataclasses.dataclass
class Problem:
    """A posterior, its priors, and rows measured from its centre."""

    q: VariationalPosterior
    priors: Priors
    block: RowBlock

    def target(self) -> Target:
        """Returns the exact posterior; the rows come in two batches."""
        middle = len(self.block.values) // 2
        parts = self.block.part(slice(0, middle)), self.block.part(slice(middle, None))
        return Target(self.q, BlocksOfRows(self.q, *parts))

    def coordinates(self) -> Coordinates:
        return Coordinates.at_means(self.q)


def learned_priors(covariance: str, num_features: int) -> Priors:
    """Returns priors that learn their scales, in which every number differs from its default."""
    generator, is_matrix = np.random.default_rng(7), covariance in ("full", "tied")
    per_column = tuple(generator.uniform(0.7, 1.8, num_features).tolist())
    expected: Any = spd(generator, num_features, num_features) if is_matrix else per_column
    return Priors(
        loc_mean=generator.normal(size=num_features),
        loc_scale=tuple(generator.uniform(0.5, 2.0, num_features).tolist()),
        weight_concentration=1.3,
        stick_concentration=0.7,
        scale_structure="both" if is_matrix else "columns",
        expected_scale=1.7 if covariance.endswith("spherical") else expected,
        degree_grid=DEGREES,
        hyper_degrees=1.4,
        least_scale=1e-2,
        loc_scale_grid=LOC_SCALES,
        loc_covariance=spd(generator, num_features, num_features) if is_matrix else None,
    )


def problem(
    covariance: str,
    weights: str = "dirichlet",
    num_components: int = 2,
    num_features: int = 2,
    kind: str = "plain",
    is_learned: bool = False,
    seed: int = 0,
    apart: float = 1.0,
) -> Problem:
    """Returns a random posterior of this size, components so far apart, and rows of a kind that lie among them."""
    _, of_components = random_components(covariance, num_components, num_features, seed)
    _, of_weights = random_weights(weights, num_components, seed)
    priors = learned_priors(covariance, num_features) if is_learned else random_priors(covariance, num_features, seed)
    variance = 0.3 if kind in ("row_variance", "all") else None
    priors = dataclasses.replace(priors, row_variance=variance)
    components = COMPONENTS[covariance](num_components, num_features, priors)
    q = VariationalPosterior(WEIGHTS[weights](num_components, priors), components)
    q.assign_centre(CENTRE[:num_features])
    of_components = of_components._replace(locs=apart * of_components.locs)
    q.assign(q.values_of(Factors(of_weights, of_components)))
    block = rows_of(q, kind)
    if kind in ("gaps", "all"):
        q.observe_gaps(tuple(np.flatnonzero(np.isnan(block.values).any(axis=0)).tolist()))
    return Problem(q, priors, block)


def rows_of(q: VariationalPosterior, kind: str, num_rows: int = 14) -> RowBlock:
    """Returns rows near the components of q."""
    generator = np.random.default_rng(11)
    locs = q.factors().components.locs
    rows = locs[np.arange(num_rows) % len(locs)] + 0.6 * generator.normal(size=(num_rows, locs.shape[1]))
    rows = rows.astype(np.float32)
    if kind in ("gaps", "all"):
        rows[2::4, 0] = rows[3::5, -1] = np.nan
        rows[np.isnan(rows).all(axis=1)] = 0.5
    weights = generator.uniform(0.2, 2.5, num_rows) if kind in ("weights", "all") else None
    noise = noise_of(rows, "few" if kind == "all" else "deviations") if kind in ("noise", "all") else None
    return RowBlock(rows, weights, noise)


# --- The log posterior in data units ------------------------------------------------------------------------------


def plain_log_posterior(given: Problem, coordinates: Coordinates, phi: np.ndarray) -> float:
    """Returns log p(rows, phi) of one phi, (P,), with its Jacobian by differences."""
    drawn = coordinates.drawn(phi[None])
    return plain_log_likelihood(given, drawn) + plain_log_prior(given, drawn) + log_jacobian(given, coordinates, phi)


def plain_log_likelihood(given: Problem, drawn: Drawn) -> float:
    """Returns the log likelihood of the rows under the first draw: row by row, component by component."""
    q, block, total = given.q, given.block, 0.0
    locs, precisions = drawn.components.locs[0], precision_matrices(q, drawn)
    variance = np.zeros((q.num_features,) * 2)
    if given.priors.row_variance is not None:
        variance = given.priors.row_variance * np.eye(q.num_features)
    for number, row in enumerate(np.asarray(block.values, np.float64)):
        shown = np.flatnonzero(~np.isnan(row))
        noise = np.zeros((q.num_features,) * 2)
        if block.noise is not None:
            noise = block.noise[number]
            noise = np.diag(noise**2) if noise.ndim == 1 else noise
        counted = shown if q.form == "independent" else np.arange(q.num_features)  # where the row varies
        inner = np.ix_(shown, shown)
        joints = [
            drawn.log_weights[0, k]
            + stats.multivariate_normal(locs[k, shown], (np.linalg.inv(precisions[k]) + noise)[inner]).logpdf(
                row[shown]
            )
            - 0.5 * (precisions[k] * variance)[np.ix_(counted, counted)].sum()
            for k in range(q.num_components)
        ]
        total += (1.0 if block.weights is None else block.weights[number]) * logsumexp(joints)
    return float(total)


def plain_log_prior(given: Problem, drawn: Drawn) -> float:
    """Returns the log prior of the first draw, by SciPy's densities of `own_parameters`."""
    q, priors = given.q, given.priors
    total = _of_weights(q, priors, np.exp(drawn.log_weights[0])) + _of_locs(q, priors, drawn.components.locs[0])
    if q.form == "independent":
        precisions = own_precisions(q, priors, drawn)
        return float(total + (_of_learned_columns if priors.is_learned else _of_columns)(priors, precisions))
    matrices = precision_matrices(q, drawn)[: q.components.num_precisions]
    return float(total + (_of_learned_matrices if priors.is_learned else _of_matrices)(priors, matrices))


def _of_weights(q: VariationalPosterior, priors: Priors, weights: np.ndarray) -> float:
    if q.weights.name == "stick_breaking":
        return float(stats.beta.logpdf(breaks_of(weights), 1.0, priors.stick_concentration).sum())
    concentrations = np.broadcast_to(np.asarray(priors.weight_concentration, float), len(weights))
    return float(stats.dirichlet.logpdf(weights / weights.sum(), concentrations)) if len(weights) > 1 else 0.0


def breaks_of(weights: np.ndarray) -> np.ndarray:
    """Returns the breaks of a stick whose pieces are the weights."""
    return np.array([weights[k] / weights[k:].sum() for k in range(len(weights) - 1)])


def _of_locs(q: VariationalPosterior, priors: Priors, locs: np.ndarray) -> float:
    mean = np.broadcast_to(np.asarray(priors.loc_mean, float), q.num_features)
    covariance = np.diag(np.square(np.broadcast_to(np.asarray(priors.loc_scale, float), q.num_features)))
    if q.form == "correlated" and priors.loc_covariance is not None:
        covariance = np.array(priors.loc_covariance)
    multiples = (1.0,) if priors.loc_scale_grid is None else priors.loc_scale_grid
    of_each = [
        stats.multivariate_normal(mean, multiple**2 * covariance).logpdf(locs + q.centre).sum()
        for multiple in multiples
    ]
    return float(logsumexp(of_each) - np.log(len(multiples)))


def _of_columns(priors: Priors, precisions: np.ndarray) -> float:
    shape, rate = np.asarray(priors.precision_shape, float), np.asarray(priors.precision_rate, float)
    return float(stats.gamma.logpdf(precisions, shape, scale=1.0 / rate).sum())


def _of_matrices(priors: Priors, matrices: np.ndarray) -> float:
    _, degrees, inverse_scale = priors.matrices(matrices.shape[-1])
    law = stats.wishart(degrees, np.linalg.inv(inverse_scale))
    return float(sum(law.logpdf(matrix) for matrix in matrices))


def _of_learned_columns(priors: Priors, precisions: np.ndarray) -> float:
    """log of the mean over e; the scale by Bayes' rule at one of its values: prior x likelihood / posterior."""
    num_precisions, num_columns = precisions.shape
    expected = np.broadcast_to(np.asarray(priors.expected_scale, float), num_columns)
    half, of_each = 0.5 * priors.hyper_degrees, []
    for e in priors.degree_grid:
        value = 0.0
        for column, middle in enumerate(expected):
            own = precisions[:, column]
            value += stats.gamma.logpdf(own, e / 2, scale=2 / (e * middle)).sum()
            value += stats.gamma.logpdf(middle, half, scale=middle / half)
            after = half + num_precisions * e / 2
            value -= stats.gamma.logpdf(middle, after, scale=1 / (half / middle + e / 2 * own.sum()))
        of_each.append(value)
    floor = 0.5 * priors.least_scale * (expected * precisions).sum()
    return float(logsumexp(of_each) - np.log(len(of_each)) - floor)


def _of_learned_matrices(priors: Priors, matrices: np.ndarray) -> float:
    """log of the mean over both structures and e; the scale as in `_of_learned_columns`."""
    num_precisions, size = matrices.shape[:2]
    expected, of_each = np.array(priors.expected_scale), []
    prior_degrees, half, total = priors.hyper_degrees + size - 1.0, 0.5 * priors.hyper_degrees, matrices.sum(axis=0)
    columns = np.diag(expected)
    for e in priors.degree_grid:
        nu = e + size - 1.0

        def likelihood(scale: np.ndarray, nu: float = nu) -> float:
            law = stats.wishart(nu, np.linalg.inv(nu * scale))
            return float(sum(law.logpdf(matrix) for matrix in matrices))

        after = np.linalg.inv(prior_degrees * np.linalg.inv(expected) + nu * total)
        value = likelihood(expected) + stats.wishart(prior_degrees, expected / prior_degrees).logpdf(expected)
        of_each.append(value - stats.wishart(prior_degrees + num_precisions * nu, after).logpdf(expected))
        value = likelihood(np.diag(columns)) + stats.gamma.logpdf(columns, half, scale=columns / half).sum()
        rates = half / columns + nu / 2 * np.diag(total)
        of_each.append(value - stats.gamma.logpdf(columns, half + num_precisions * nu / 2, scale=1 / rates).sum())
    floor = 0.5 * priors.least_scale * np.trace(expected @ total)
    return float(logsumexp(of_each) - np.log(len(of_each)) - floor)


def own_precisions(q: VariationalPosterior, priors: Priors, drawn: Drawn, number: int = 0) -> np.ndarray:
    """Returns the precisions of one draw in their units; those that are shared once."""
    units = np.asarray(priors.column_scale, float) if q.components.is_spherical else 1.0
    every = np.exp(drawn.components.log_precisions[number]) * np.square(units)
    rows, columns = q.components.precision_axes
    return every[:rows, :columns]


def precision_matrices(q: VariationalPosterior, drawn: Drawn, number: int = 0) -> np.ndarray:
    """Returns the precision matrices of one draw, (K, D, D)."""
    if q.form == "independent":
        return np.exp(drawn.components.log_precisions[number])[..., None] * np.eye(q.num_features)
    whiteners = drawn.components.whiteners[number]
    each = np.swapaxes(whiteners, 1, 2) @ whiteners
    return np.broadcast_to(each, (q.num_components, *each.shape[1:]))


def whiteners_of(q: VariationalPosterior, drawn: Drawn, number: int = 0) -> np.ndarray:
    """Returns upper triangular U with U' U the precisions of one draw, (K, D, D)."""
    return np.swapaxes(np.linalg.cholesky(precision_matrices(q, drawn, number)), 1, 2)


def coordinates_of(q: VariationalPosterior, coordinates: Coordinates, drawn: Drawn, number: int = 0) -> np.ndarray:
    """Returns the phi of one draw, (P,)."""
    basis, means = coordinates.basis, coordinates.drawn(np.zeros((1, coordinates.num_coordinates)))
    ratios = drawn.log_weights[number] - means.log_weights[0]
    numbers = [*(basis.T @ ratios)]
    old, new = whiteners_of(q, means), whiteners_of(q, drawn, number)
    factors = [root @ np.linalg.inv(before) for root, before in zip(new, old)]
    steps = drawn.components.locs[number] - means.components.locs[0]
    numbers += [value for k, root in enumerate(new) for value in root @ steps[k]]
    num_columns = q.num_features
    if q.form == "independent":
        rows, columns = q.components.precision_axes
        numbers += [np.log(factors[k][d, d]) for k in range(rows) for d in range(columns)]
        return np.array(numbers)
    factors = factors[: q.components.num_precisions]
    numbers += [np.log(factor[d, d]) for factor in factors for d in range(num_columns)]
    return np.array(
        numbers + [factor[pair] for factor in factors for pair in itertools.combinations(range(num_columns), 2)]
    )


def own_parameters(given: Problem, drawn: Drawn, number: int = 0) -> np.ndarray:
    """Returns all free parameters of one draw, (P,): weights or breaks, locations, precisions, each once."""
    q, weights = given.q, np.exp(drawn.log_weights[number])
    first = breaks_of(weights) if q.weights.name == "stick_breaking" else weights[:-1]
    if q.form == "independent":
        last = own_precisions(q, given.priors, drawn, number).ravel()
    else:
        matrices = precision_matrices(q, drawn, number)[: q.components.num_precisions]
        last = matrices[:, *np.tril_indices(q.num_features)].ravel()
    return np.concatenate([first, drawn.components.locs[number].ravel(), last])


def log_jacobian(given: Problem, coordinates: Coordinates, phi: np.ndarray, step: float = 1e-3) -> float:
    """Returns log |d parameters / d phi|."""

    def of_all(points: np.ndarray) -> np.ndarray:
        drawn = coordinates.drawn(points)
        return np.array([own_parameters(given, drawn, number) for number in range(len(points))])

    return float(np.linalg.slogdet(slopes(of_all, phi, step))[1])


def slopes(function: Callable[[np.ndarray], np.ndarray], phi: np.ndarray, step: float = 1e-3) -> np.ndarray:
    """Returns the derivatives of a function of points (S, P) at phi, (P, ...), by differences of the fourth order."""
    moves = step * np.eye(len(phi))
    points = [phi + multiple * moves for multiple in (-2.0, -1.0, 1.0, 2.0)]
    values = np.asarray(function(np.concatenate(points)))
    before2, before, after, after2 = values.reshape(4, len(phi), *values.shape[1:])
    return (8.0 * (after - before) - (after2 - before2)) / (12.0 * step)


# --- Fitted posteriors ----------------------------------------------------------------------------------------------


def p2_problem(covariance: str, weights: str = "dirichlet") -> Problem:
    """Returns the problem P2 of the design at its start, whose rows are measured from 0."""
    matrices: dict[str, Any] = {}
    if covariance in ("full", "tied"):
        matrices = {name: getattr(P2_PRIORS, name) for name in ("loc_covariance", "degrees", "inverse_scale")}
    priors = Priors((0.5, 1.0), 2.0, 1.5, 0.8, 1.2, 1.5, **matrices)
    q = VariationalPosterior.of(covariance, weights, 2, 2, priors)
    start, factors = p2_start(covariance, weights), q.random_start(0)
    if q.form == "correlated":
        roots = np.linalg.cholesky(start.loc_covariances), np.linalg.cholesky(start.inverse_scales)
        components = type(factors.components)(start.locs, roots[0], start.degrees, roots[1])
    else:
        components = type(factors.components)(start.locs, start.scales, start.alpha, start.beta)
    of_weights = start.counts if weights == "dirichlet" else start.sticks
    q.assign(q.values_of(Factors(type(factors.weights)(of_weights), components)))
    return Problem(q, priors, RowBlock(P2_ROWS.astype(np.float32)))
