"""KL divergences and their slopes in 60 digits, by mpmath, from closed forms; each with its natural size.

The natural size is what a result in float64 can be measured by: the largest concentration, which counts rows (a bound
for as many rows is as large), and the largest of the terms that are added. Slopes are in the logarithm of a positive
number, as the package trains it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import mpmath
import numpy as np
from numpy.typing import NDArray

mpmath.mp.dps = 60
exact = mpmath.mpf
Array = NDArray[np.float64]


class Exact(NamedTuple):
    """An exact number, and what its error is measured by."""

    value: Any
    size: Any


class Divergence(NamedTuple):
    """A KL divergence, and its slopes in the parameters of q, in their order."""

    kl: Exact
    slopes: list[Exact]


def errors(actual: Any, expected: Sequence[Exact]) -> list[float]:
    """Returns the errors of float64 numbers, relative to their natural sizes; infinite where not finite."""
    pairs = zip(np.ravel(actual).tolist(), expected, strict=True)
    return [float(abs(exact(a) - e.value) / e.size) if np.isfinite(a) else np.inf for a, e in pairs]


def _sum(terms: Sequence[Any], at_least: Any = 0) -> Exact:
    return Exact(sum(terms), 1 + at_least + max(abs(term) for term in terms))


def normal(loc: float, scale: float, prior_scale: float) -> Divergence:
    """KL(Normal(loc, scale) || Normal(0, prior_scale)); slopes in loc, times scale, and in log scale."""
    distance, ratio = exact(loc) / exact(prior_scale), exact(scale) / exact(prior_scale)
    kl = _sum([distance**2 / 2, ratio**2 / 2, exact(-0.5), -mpmath.log(ratio)])
    return Divergence(kl, [_sum([distance * ratio]), _sum([ratio**2, exact(-1)])])


def gamma(shape: float, rate: float, prior_shape: float, prior_rate: float) -> Divergence:
    """KL(Gamma(shape, rate) || Gamma(prior_shape, prior_rate)); slopes in log shape and log rate."""
    a, b, a0, b0 = map(exact, (shape, rate, prior_shape, prior_rate))
    rows = max(a, a0)
    normalisers = mpmath.loggamma(a0) - mpmath.loggamma(a)
    kl = _sum([(a - a0) * mpmath.digamma(a), normalisers, a0 * mpmath.log(b / b0), a * (b0 / b - 1)], rows)
    in_shape = _sum([a * (a - a0) * mpmath.psi(1, a), a * (b0 / b - 1)], rows)
    return Divergence(kl, [in_shape, _sum([a0, -a * b0 / b], rows)])


def dirichlet(counts: Sequence[float], prior_counts: Sequence[float]) -> Divergence:
    """KL(Dirichlet(counts) || Dirichlet(prior_counts)), of two Betas when both are pairs; slopes in log counts."""
    c, p = [exact(x) for x in counts], [exact(x) for x in prior_counts]
    total, prior_total = sum(c), sum(p)
    rows = max(total, prior_total)
    terms = [mpmath.loggamma(total) - mpmath.loggamma(prior_total)]
    terms += [mpmath.loggamma(y) - mpmath.loggamma(x) for x, y in zip(c, p)]
    terms += [(x - y) * (mpmath.digamma(x) - mpmath.digamma(total)) for x, y in zip(c, p)]
    of_total = (total - prior_total) * mpmath.psi(1, total)
    return Divergence(
        _sum(terms, rows), [_sum([x * (x - y) * mpmath.psi(1, x), -x * of_total], rows) for x, y in zip(c, p)]
    )


def correlated_normal(loc: Array, root: Array, prior_root: Array) -> Divergence:
    """KL(Normal(loc, L L') || Normal(0, L0 L0')); slopes in L by rows, lower triangle, times the sd of the column."""
    size = range(len(loc))
    q, prior = mpmath.matrix(root.tolist()), mpmath.matrix(prior_root.tolist())
    inverse = prior**-1
    ratio, distance = inverse * q, inverse * mpmath.matrix(loc.tolist())
    squares, far = sum(x**2 for x in ratio), sum(x**2 for x in distance)
    kl = _sum([(squares + far - len(loc)) / 2, -sum(mpmath.log(ratio[i, i]) for i in size)])
    slopes = inverse.T * ratio
    return Divergence(kl, _by_rows(slopes, q, lambda i: 1 / q[i, i], 0))


def wishart(degrees: float, inverse_root: Array, prior_degrees: float, prior_root: Array) -> Divergence:
    """KL(Wishart(nu, W) || Wishart(nu0, W0)), W^-1 = C C'; slopes in log (nu - D + 1), then in C as above."""
    nu, nu0, d = exact(degrees), exact(prior_degrees), len(inverse_root)
    size = range(d)
    root, prior = mpmath.matrix(inverse_root.tolist()), mpmath.matrix(prior_root.tolist())
    inverse = root**-1
    ratio = inverse * prior
    trace = sum(x**2 for x in ratio)
    halves = [((nu - i) / 2, (nu0 - i) / 2) for i in size]
    terms = [(nu - nu0) / 2 * sum(mpmath.digamma(a) for a, _ in halves), nu / 2 * (trace - d)]
    terms.append(sum(mpmath.loggamma(b) - mpmath.loggamma(a) for a, b in halves))
    terms.append(-nu0 * sum(mpmath.log(prior[i, i] / root[i, i]) for i in size))
    rows = max(nu, nu0) * d
    excess = nu - d + 1
    of_shapes = (nu - nu0) / 4 * sum(mpmath.psi(1, a) for a, _ in halves)
    in_degrees = _sum([excess * of_shapes, excess * (trace - d) / 2], rows)
    slopes = -nu * (inverse.T * ratio * ratio.T)
    in_root = _by_rows(slopes, root, lambda i: -nu0 / root[i, i], rows)
    return Divergence(_sum(terms, rows), [in_degrees, *in_root])


def _by_rows(slopes: Any, root: Any, of_diagonal: Any, rows: Any) -> list[Exact]:
    """Returns slopes in a triangular root minus those of its log determinant, times the length of the root's row."""
    found = []
    for i in range(root.rows):
        length = mpmath.sqrt(sum(root[i, j] ** 2 for j in range(i + 1)))
        found += [[length * slopes[i, j], -length * of_diagonal(i) if i == j else exact(0)] for j in range(i + 1)]
    # a solve with a matrix mixes its columns: an entry is as exact as the largest of them
    largest = max(abs(sum(terms)) for terms in found)
    return [_sum(terms, max(rows, largest)) for terms in found]
