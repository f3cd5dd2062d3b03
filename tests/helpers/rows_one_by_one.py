"""Sums over rows with weights, gaps and noise by a plain loop: one row and one component after the other, float64."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from random_posteriors import mean_precision_matrices, random_components, random_priors, random_weights
from scipy.special import digamma, logsumexp

from tfgmm.data.blocks import RowBlock
from tfgmm.families.variational import COMPONENTS, Factors, VariationalPosterior
from tfgmm.mixture.features import pairs
from tfgmm.mixture.statistics import RowSums, Statistics


def random_posterior(
    covariance: str, weights: str = "dirichlet", seed: int = 0, row_variance: Any = None
) -> VariationalPosterior:
    """Returns a posterior whose numbers are random, K=3 in D=4 columns."""
    (components, of_components), (weight_family, of_weights) = (
        random_components(covariance, seed=seed),
        random_weights(weights, seed=seed),
    )
    priors = dataclasses.replace(random_priors(covariance, seed=seed), row_variance=row_variance)
    components = COMPONENTS[covariance](*components.shape, priors)
    q = VariationalPosterior(weight_family, components)
    q.assign(q.values_of(Factors(of_weights, of_components)))
    return q


def rows_with_gaps(num_rows: int = 40, num_columns: int = 4, seed: int = 1) -> np.ndarray:
    """Returns rows as float32 holds them: half complete, two patterns of gaps with many rows, many with few."""
    generator = np.random.default_rng(seed)
    rows = generator.normal(size=(num_rows, num_columns)).astype(np.float32) + generator.integers(0, 3, (num_rows, 1))
    kinds = generator.integers(0, 6, num_rows)
    rows[kinds == 0, 1] = np.nan
    rows[np.ix_(kinds == 1, [0, 3])] = np.nan
    is_rare = kinds == 2
    rows[is_rare] = np.where(generator.random((is_rare.sum(), num_columns)) < 0.4, np.nan, rows[is_rare])
    rows[np.isnan(rows).all(axis=1)] = 0.5
    return rows.astype(np.float32)


def noise_of(rows: np.ndarray, kind: str, seed: int = 2) -> np.ndarray:
    """Returns noise of some of the rows, 0 where they have no value: "deviations", "covariances", or "few" of these."""
    generator, (num_rows, num_columns) = np.random.default_rng(seed), rows.shape
    observed = ~np.isnan(rows)
    if kind == "deviations":
        noise = generator.uniform(0.1, 1.0, rows.shape)
        noise[::5] = 0.0
        return noise * observed
    roots = generator.normal(size=(num_rows, num_columns, num_columns)) * 0.6
    if kind == "few":
        roots = roots[np.arange(num_rows) % 2]
    noise = roots @ roots.swapaxes(1, 2)
    noise[::3] = 0.0
    return noise * observed[:, :, None] * observed[:, None, :]


def plain_sums(q: VariationalPosterior, block: RowBlock) -> RowSums:
    """Returns what a local step from q sums up, without an axis for several posteriors."""
    of_weights, of_components = q.factors()
    num_components, num_columns = q.components.shape
    precisions = mean_precision_matrices(q.components, of_components)
    matrices, locs, extra = np.linalg.inv(precisions), of_components.locs, _extra_terms(q, of_components, precisions)
    log_weights = q.weights.expected_log(of_weights)
    counts, first = np.zeros(num_components), np.zeros((num_components, num_columns))
    second, observed = np.zeros((num_components, num_columns, num_columns)), np.zeros((num_components, num_columns))
    log_likelihood = largest = 0.0
    for number, row in enumerate(np.asarray(block.values, np.float64)):
        weight = 1.0 if block.weights is None else block.weights[number]
        shown = np.flatnonzero(~np.isnan(row))
        noise = np.zeros((num_columns, num_columns))
        if block.noise is not None:
            given = block.noise[number]
            noise = np.diag(given**2) if given.ndim == 1 else given
        counted = [d for d in range(num_columns) if d in shown or d not in q.gap_columns]
        total = matrices + noise
        joints = [
            log_weights[k]
            + extra[k][counted].sum()
            + log_normal(row[shown] - locs[k, shown], total[k][np.ix_(shown, shown)])
            for k in range(num_components)
        ]
        shares = weight * np.exp(joints - logsumexp(joints))
        log_likelihood += weight * logsumexp(joints)
        largest += weight * max(joints)
        counts += shares
        for k in range(num_components):
            gain = matrices[k][:, shown] @ np.linalg.inv(total[k][np.ix_(shown, shown)])
            mean = locs[k] + gain @ (row[shown] - locs[k, shown])
            spread = matrices[k] - gain @ matrices[k][shown]
            # A column with masks adds nothing where the row has no value; elsewhere its true value is expected
            is_in = np.isin(np.arange(num_columns), counted)
            first[k] += shares[k] * mean * is_in
            second[k] += shares[k] * (np.outer(mean, mean) + spread) * is_in * is_in[:, None]
            observed[k, shown] += shares[k]
    products = second[:, *pairs(num_columns)]
    if q.form == "independent":
        squares = np.diagonal(second, axis1=1, axis2=2)
        products = np.concatenate([squares, observed[:, list(q.gap_columns)]], axis=1)
    return RowSums(Statistics(counts, first, products), log_likelihood, largest)


def log_normal(away: np.ndarray, covariance: np.ndarray) -> float:
    """Returns the log density of a normal at this distance from its mean."""
    squares = away @ np.linalg.solve(covariance, away)
    return -0.5 * (squares + np.linalg.slogdet(covariance)[1] + len(away) * np.log(2.0 * np.pi))


def _extra_terms(q: VariationalPosterior, posterior: Any, precisions: np.ndarray) -> np.ndarray:
    """Returns E[log Normal] - log Normal at the means, (K, D), a column each; correlated ones have all in the first."""
    num_components, num_columns = q.components.shape
    terms = np.zeros((num_components, num_columns))
    variance = q.components.row_variance
    if q.form == "independent":
        diagonals = np.diagonal(precisions, axis1=1, axis2=2)
        gaps = np.broadcast_to(digamma(posterior.alpha) - np.log(posterior.alpha), terms.shape)
        return 0.5 * (gaps - diagonals * (posterior.scales**2 + (0.0 if variance is None else variance)))
    halves = 0.5 * (np.broadcast_to(posterior.degrees, num_components)[:, None] - np.arange(num_columns))
    gaps = digamma(halves).sum(axis=1) + num_columns * np.log(2.0)
    gaps -= num_columns * np.log(np.broadcast_to(posterior.degrees, num_components))
    covariances = posterior.loc_cholesky @ posterior.loc_cholesky.swapaxes(1, 2)
    covariances = covariances + (0.0 if variance is None else variance)
    terms[:, 0] = 0.5 * (gaps - np.trace(precisions @ covariances, axis1=1, axis2=2))
    return terms
