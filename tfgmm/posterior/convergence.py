"""Whether chains agree, and how many independent draws they are worth: r-hat and effective sizes, without ArviZ."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri

FEWEST_DRAWS = 4  # of a chain, so that its halves have a variance


def r_hats(values: np.ndarray) -> np.ndarray:
    """Computes how much wider chains are together than each alone, on ranks, for each of P numbers.

    Each chain is split into halves. The figure is the larger one of the r-hat of the ranks, which tells of chains that
    are at different places, and of the ranks of the distances from the median, which tells of chains of other widths.

    Args:
        values: Draws of C chains of length S, (C, S, P).

    Returns:
        r-hats, (P,) float64: 1 where chains agree, infinite or huge where all are stuck; NaN for a number that never
            varies and for fewer than 4 draws.

    Source: Vehtari, Gelman, Simpson, Carpenter and Buerkner 2021, "Rank-normalization, folding, and localization".

    Example:

    >>> values = np.random.default_rng(0).normal(size=(4, 1_000, 2))
    >>> values[..., 1] += np.arange(4)[:, None]
    >>> r_hats(values).round(1).tolist()
    [1.0, 1.5]
    """
    if _tells_nothing(values):
        return np.full(values.shape[2], np.nan)
    halves = _halves(values)
    folded = np.abs(halves - np.median(halves, axis=(1, 2), keepdims=True))
    return np.fmax(_r_hats(_normal_scores(halves)), _r_hats(_normal_scores(folded)))


def bulk_sizes(values: np.ndarray) -> np.ndarray:
    """Computes how many independent draws the chains are worth for the middle of each of P numbers.

    Args:
        values: Draws of C chains of length S, (C, S, P).

    Returns:
        Effective sizes, (P,) float64, at most C S log10(C S): chains that swing from side to side are worth more than
        their draws. NaN for a number that never varies and for fewer than 4 draws.

    Source: Vehtari, Gelman, Simpson, Carpenter and Buerkner 2021, "Rank-normalization, folding, and localization".

    Example:

    >>> values = np.random.default_rng(0).normal(size=(4, 1_000, 2))
    >>> values[..., 1] = values[..., 1].cumsum(axis=1)
    >>> bulk_sizes(values) > 400
    array([ True, False])
    """
    if _tells_nothing(values):
        return np.full(values.shape[2], np.nan)
    return _sizes(_normal_scores(_halves(values)))


def tail_sizes(values: np.ndarray) -> np.ndarray:
    """Computes how many independent draws the chains are worth for the 5 % or 95 % quantile of each of P numbers.

    Args:
        values: Draws of C chains of length S, (C, S, P).

    Returns:
        Effective sizes, (P,) float64, of the quantile that has fewer; NaN as for `bulk_sizes`.

    Source: Vehtari, Gelman, Simpson, Carpenter and Buerkner 2021, "Rank-normalization, folding, and localization".

    Example:

    >>> tail_sizes(np.random.default_rng(0).normal(size=(4, 1_000, 2))) > 3_000
    array([ True,  True])
    """
    if _tells_nothing(values):
        return np.full(values.shape[2], np.nan)
    halves, quantiles = _halves(values), np.quantile(values, [0.05, 0.95], axis=(0, 1))
    low, high = (_sizes((halves <= quantile[:, None, None]).astype(np.float64)) for quantile in quantiles)
    return np.minimum(low, high)


def _tells_nothing(values: np.ndarray) -> bool:
    """Tells whether there are no numbers, or too few draws of them."""
    return values.shape[1] < FEWEST_DRAWS or values.shape[2] == 0


def _halves(values: np.ndarray) -> np.ndarray:
    """Splits chains (C, S, P) into halves of S / 2 draws, (P, 2 C, S / 2); the middle one of an odd number is left."""
    half = values.shape[1] // 2
    together = np.concatenate([values[:, :half], values[:, -half:]]).astype(np.float64)
    return np.ascontiguousarray(np.moveaxis(together, -1, 0))


def _normal_scores(halves: np.ndarray) -> np.ndarray:
    """Computes the normal quantiles of the ranks over all chains, (P, M, n); equal draws share a rank."""
    flat = halves.reshape(len(halves), -1)
    order = np.argsort(flat, axis=1)
    sorted_draws = np.take_along_axis(flat, order, axis=1)
    places = np.arange(flat.shape[1])
    is_first = np.diff(sorted_draws, axis=1, prepend=-np.inf) != 0
    is_last = np.diff(sorted_draws, axis=1, append=np.inf) != 0
    first = np.maximum.accumulate(np.where(is_first, places, 0), axis=1)
    last = np.minimum.accumulate(np.where(is_last, places, len(places))[:, ::-1], axis=1)[:, ::-1]
    ranks = np.empty(flat.shape)
    np.put_along_axis(ranks, order, (first + last) / 2 + 1.0, axis=1)
    return ndtri((ranks - 0.375) / (len(places) + 0.25)).reshape(halves.shape)


def _varies(chains: np.ndarray) -> np.ndarray:
    return np.ptp(chains, axis=(1, 2)) > 0


def _variances(chains: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Computes the variance within chains (P, M, n), and that of them together, (P,) each."""
    num_draws = chains.shape[2]
    within = chains.var(axis=2, ddof=1).mean(axis=1)
    return within, within * (num_draws - 1) / num_draws + chains.mean(axis=2).var(axis=1, ddof=1)


def _r_hats(chains: np.ndarray) -> np.ndarray:
    within, together = _variances(chains)
    with np.errstate(divide="ignore", invalid="ignore"):  # chains that are stuck at different places: infinite
        return np.sqrt(np.where(_varies(chains), together, np.nan) / within)


def _sizes(chains: np.ndarray) -> np.ndarray:
    """Computes effective sizes, (P,), from chains (P, M, n); NaN for a number that never varies."""
    total = chains.shape[1] * chains.shape[2]
    within, together = _variances(chains)
    gaps = (within[:, None] - _autocovariances(chains)) / np.where(_varies(chains), together, np.nan)[:, None]
    times = np.maximum(_correlation_times(1.0 - gaps), 1.0 / np.log10(total))
    return total / times


def _autocovariances(chains: np.ndarray) -> np.ndarray:
    """Computes the autocovariance at every lag, (P, n), divided by n and averaged over the chains (P, M, n)."""
    num_draws = chains.shape[2]
    spectra = np.fft.rfft(chains - chains.mean(axis=2, keepdims=True), n=2 * num_draws, axis=2)
    powers = (np.square(spectra.real) + np.square(spectra.imag)).mean(axis=1)
    return np.fft.irfft(powers, n=2 * num_draws, axis=1)[:, :num_draws] / num_draws


def _correlation_times(correlations: np.ndarray) -> np.ndarray:
    """Sums correlations, (P, n), at lags of both signs up to where they are noise; returns (P,).

    Sums of neighbours, at lags 2 j and 2 j + 1, of a reversible chain are positive and fall: each is cut at the one
    before, and the first that is not positive ends the sum. Of that one only its first lag counts, as in ArviZ.

    Source: Geyer 1992, "Practical Markov chain Monte Carlo", section 3.3, the initial monotone sequence.
    """
    correlations[:, 0] = np.where(np.isnan(correlations[:, 0]), np.nan, 1.0)
    num_pairs = max((correlations.shape[1] - 3) // 2, 0) + 1
    even = correlations[:, : 2 * num_pairs : 2]
    pairs = even + correlations[:, 1 : 2 * num_pairs : 2]
    is_end = pairs <= 0
    is_end[:, -1] = True
    end = np.argmax(is_end, axis=1)
    counted = np.where(np.arange(num_pairs) < end[:, None], np.minimum.accumulate(pairs, axis=1), 0.0)
    rows = np.arange(len(end))
    last = np.where(pairs[rows, end] < 0, np.maximum(even[rows, end], 0.0), even[rows, end])
    return 2.0 * counted.sum(axis=1) + last - 1.0
