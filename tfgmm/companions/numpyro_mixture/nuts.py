"""NUTS from the posterior mode, or from draws that are there already, in one compiled program."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfgmm.common.checks import check_count, check_seed
from tfgmm.common.shapes import check_shape
from tfgmm.companions.diagnostics import warn_if_bad
from tfgmm.companions.numpyro_mixture.chains import Program, Record, SharedStep, Windows
from tfgmm.companions.numpyro_mixture.drawn_starts import check_draws, starts_at_draws
from tfgmm.companions.numpyro_mixture.mode import (
    Gaussian,
    Target,
    anywhere,
    dispersed,
    gaussian_at_best_mode,
    gaussian_near,
)
from tfgmm.companions.numpyro_mixture.model import Distribution, MarginalModel
from tfgmm.companions.numpyro_mixture.priors import mixture_model, warn_of_odd_priors
from tfgmm.companions.numpyro_mixture.rows import TableOfRows, read_table, sorted_rows
from tfgmm.mixture.priors import Priors
from tfgmm.posterior.draws import Draws

import jax  # isort: skip  after `model`, whose error says how to install it

# Draws of warm-up where the posterior is about standard normal, so that there is little to adapt.
_ENOUGH_WARMUP = 150


def sample_nuts(
    data: Any,
    num_components: int,
    *,
    num_warmup: int = 1000,
    num_samples: int = 2000,
    num_chains: int = 1,
    seed: int = 42,
    start: Any = "mode",
    ordered: bool = False,
    covariance: str = "diag",
    weight_prior: Distribution | None = None,
    loc_prior: Distribution | None = None,
    scale_prior: Distribution | None = None,
    correlation_concentration: float = 1.0,
    priors: Priors | None = None,
    sample_weight: Any = None,
    noise: Any = None,
    missing: str = "refuse",
    target_accept_prob: float | None = None,
    progress: bool = True,
) -> Draws:
    """Draws from the posterior of weights, locations and scales by NUTS, with the assignments summed out.

    With start="mode", k-means++ and gradients lead to the posterior mode. Chains start around it, as the curvature
    there says, and the same curvature sets their steps: few draws of warm-up are needed, and all chains number the
    components alike. They cannot show another mode, far from this one. With start="prior", which is NumPyro's own way,
    each chain starts at random, and may stay in another mode. Swapped components are modes too, so use
    `tfgmm.align(draws)` before you look at single components.

    With draws as the start, no mode is looked for. Each chain starts at a draw of its own, which the seed chooses, and
    the mean and the covariance of all of them, weighed by their importance ratios if they have any, set the steps.
    Draws that are too narrow, as those of a fit in closed form, cost steps, not correctness. Chains number the
    components as their draws do, so align these first if they came from chains that may have swapped them.

    The default priors have no lower limit for scales. Where rows repeat, as rounded ones do, a component can shrink
    onto them without end, and the posterior is improper. With start="mode" chains start near a regular mode instead,
    but nothing keeps them there; `priors`, or a scale_prior that leaves nothing near 0, such as LogNormal, do.

    Memory grows with chains x rows x components x columns: for 1,000,000 rows and 8 components a chain takes about
    0.3 GB with one column and 3 GB with 16.

    Args:
        data: N rows: array or list, (N,) or (N, D), frame, Series, or the path of a file; data units.
        num_components: Number of components, K, at most N, which is the sum of the weights where rows have some.
        num_warmup: Number of draws of each chain that are discarded while steps adapt; where a chain starts at a mode
            or at a draw this is an upper bound, and 150 are taken.
        num_samples: Number of draws kept of each chain, S.
        num_chains: Number of chains, C, which run side by side in one program.
        seed: Seed of everything that is random.
        start: "mode", "prior", or locations of components to find a mode from, (K, D), or (C, K, D) with one set for
            each chain; data units. Or `tfgmm.Draws` of the same posterior, such as `result.draws(1000, data=rows,
            posterior="auto")`, with covariances where covariance="full".
        ordered: Whether the locations in the first column increase from component to component.
        covariance: "diag" for columns that are independent within a component, "full" for any covariance.
        weight_prior, loc_prior, scale_prior, correlation_concentration: Priors as in `mixture_model`. Default
            Dirichlet(1), Normal(0, 10), HalfCauchy(10), 1; the last three suit data whose numbers are of size 10 or so.
        priors: `tfgmm.Priors` instead of these four, as in `mixture_model`: `result.priors` of a fit, or
            `Priors.from_data(rows, covariance)`.
        sample_weight: How often each row counts, (N,), or for frames and files the name of a column: 2 is the row
            twice, 0 is no row. The weight is a factor of the row's log density. Default: each counts once.
        noise: Measurement noise of known size: standard deviations (N, D), covariances (N, D, D), or for frames and
            files a mapping from a column to the column of its standard deviation; data units. An infinite one is a gap.
            It is added to the variance of each component, so that the draws are of what was measured without it.
        missing: "refuse", a NaN is an error, as in `model.fit`, because nothing here would tell of it; "integrate",
            each row counts with the density of its other columns, as in `fit_mixture`.
        target_accept_prob: Acceptance that steps are adapted to; larger values make shorter steps, which end
            divergences. Default 0.8; but from a mode a longer step is kept if the posterior proves nearly normal.
        progress: Whether a bar is shown on stderr, where that is a terminal.

    Returns:
        `tfgmm.Draws`, float64, with covariances where covariance="full". `sample_stats`, (C, S) each: "diverging",
        "lp" (log posterior density in unconstrained coordinates, nats, up to a constant), "n_steps",
        "acceptance_rate", and "energy" (of the draw and of its momentum, nats), which `arviz.bfmi` takes.

    Raises:
        ValueError: fewer rows than components, K < 1, NaN, a wrong start or covariance, a prior of the wrong shape;
            draws to start at of other mixtures, too few, not finite or without covariances that are needed; weights
            or noise of the wrong shape, negative or NaN.
        TypeError: rows or start locations that are not numbers; a prior that is no NumPyro distribution.
        FloatingPointError: no start has a finite density.

    Warns:
        UserWarning: draws cannot be trusted: divergences, few effective draws, chains that disagree; the default
            priors do not suit the rows; no start led to a mode.

    Source: Hoffman and Gelman 2014, "The No-U-Turn sampler".

    Example:

    >>> rows = np.random.default_rng(0).normal([[-3.0]] * 40 + [[3.0]] * 60)
    >>> draws = sample_nuts(rows, 2, num_samples=500, progress=False)
    >>> draws.locs.shape, sorted(draws.locs.mean(axis=(0, 1)).round().ravel().tolist())
    ((1, 500, 2, 1), [-3.0, 3.0])
    """
    check_count("num_components", num_components)
    rows = read_table(data, num_components, sample_weight, noise, missing)
    num_chains, num_samples = check_count("num_chains", num_chains), check_count("num_samples", num_samples)
    num_warmup, seed = check_count("num_warmup", num_warmup, least=0), check_seed(seed)
    model = mixture_model(
        num_components,
        rows.block.values.shape[1],
        covariance=covariance,
        ordered=ordered,
        weight_prior=weight_prior,
        loc_prior=loc_prior,
        scale_prior=scale_prior,
        correlation_concentration=correlation_concentration,
        priors=priors,
    )
    if loc_prior is None and priors is None:
        warn_of_odd_priors(*rows.moments(), rows.column_names, stacklevel=3)
    start = _checked_start(start, num_chains, model, rows.column_names)
    from_modes = not (isinstance(start, str) and start == "prior")
    target_accept_prob = _checked_rate(target_accept_prob)
    with jax.enable_x64(True):
        tuning = (
            SharedStep(min(num_warmup, _ENOUGH_WARMUP), target_accept_prob)
            if from_modes
            else Windows(num_warmup, target_accept_prob)
        )
        draws = _sample(model, rows, tuning, start, num_chains, num_samples, seed, progress)
    warn_if_bad(draws, from_modes, stacklevel=3)
    return draws


def _sample(
    model: MarginalModel,
    rows: TableOfRows,
    tuning: SharedStep | Windows,
    start: Any,
    num_chains: int,
    num_samples: int,
    seed: int,
    progress: bool,
) -> Draws:
    observed = rows.block.values if rows.is_plain else sorted_rows(rows.block, model.is_correlated)
    target = Target(model, jax.device_put(observed))
    gaussians, standard = _starts(target, rows, start, num_chains, seed, progress)
    record = Program(target, tuning, num_chains, seed).run(gaussians, standard, num_samples, progress)
    return _draws(target, record, rows.column_names)


def _starts(
    target: Target, rows: TableOfRows, start: Any, num_chains: int, seed: int, progress: bool
) -> tuple[list[Gaussian], np.ndarray]:
    """Makes one Gaussian for each chain, which runs in its standard coordinates, and where it starts there, (C, P)."""
    generator = np.random.default_rng(seed)
    if isinstance(start, Draws):
        gaussian, standard = starts_at_draws(target, start, rows.total_weight, num_chains, generator)
        return [gaussian] * num_chains, standard
    if isinstance(start, str) and start == "prior":
        size = target.num_coordinates
        plain = Gaussian(np.zeros(size), np.eye(size))
        return [plain] * num_chains, np.stack([anywhere(target, generator) for _ in range(num_chains)])
    gaussians = _at_modes(target, rows, start, num_chains, seed, progress)
    return gaussians, np.stack([dispersed(target, gaussian, generator) for gaussian in gaussians])


def _at_modes(
    target: Target, rows: TableOfRows, start: Any, num_chains: int, seed: int, progress: bool
) -> list[Gaussian]:
    """Makes one Gaussian for each chain at the mode that its start leads to."""
    if isinstance(start, str):
        return [gaussian_at_best_mode(target, rows, seed, progress)] * num_chains
    if start.ndim == 2:
        return [gaussian_near(target, rows, start, seed)] * num_chains
    return [gaussian_near(target, rows, locs, seed) for locs in start]


def _draws(target: Target, record: Record, column_names: tuple[str, ...] | None) -> Draws:
    """Computes the parameters of all draws, in data units."""
    num_chains, num_samples, size = record.positions.shape
    parameters = target.parameters(record.positions.reshape(-1, size))

    def by_chain(part: Any) -> np.ndarray:
        return np.asarray(part).reshape(num_chains, num_samples, *part.shape[1:])

    weights, locs, scales = (by_chain(part) for part in parameters[:3])
    stats = {name: values for name, values in record._asdict().items() if name != "positions"}
    covariances = None
    if target.model.covariance == "full":  # for one column the scales are enough
        factors = scales[..., None] if parameters.scale_tril is None else by_chain(parameters.scale_tril)
        covariances = factors @ factors.swapaxes(-1, -2)
    return Draws(weights, locs, scales, column_names, covariances, stats)


def _checked_start(start: Any, num_chains: int, model: MarginalModel, column_names: tuple[str, ...] | None) -> Any:
    """Checks a start: Returns "mode", "prior", draws, or locations (K, D) or (C, K, D) float64."""
    if isinstance(start, Draws):
        check_draws(start, num_chains, model, column_names)
        return start
    shape = model.num_components, model.num_features
    if isinstance(start, str):
        if start in ("mode", "prior"):
            return start
        raise ValueError(
            f'`start` must be "mode", "prior" or an array of locations of shape {shape} or {(num_chains, *shape)}, '
            f"or tfgmm.Draws. Received: {start!r}. Choose one of them."
        )
    if hasattr(start, "draws"):  # the result of a fit, or a Keras model
        raise TypeError(
            f'`start` must be "mode", "prior", locations or tfgmm.Draws. Received: {type(start).__name__}. '
            "Pass draws of it, such as start=result.draws(1000)."
        )
    locs = np.asarray(start)
    if locs.dtype.kind not in "fiub":
        raise TypeError(f"`start` must hold numbers. Received: dtype {locs.dtype}. Pass locations of components.")
    sizes = {"C": num_chains, "K": model.num_components, "D": model.num_features}
    letters = "CKD" if locs.ndim == 3 else "KD"
    check_shape("start", locs, letters, fix="Give one location per component, data units.", **sizes)
    if not np.isfinite(locs).all():
        raise ValueError(f"`start` must hold finite locations. Received: {locs.tolist()}. Pass rows of the data.")
    return locs.astype(np.float64)


def _checked_rate(rate: float | None) -> float | None:
    if rate is not None and not (isinstance(rate, (int, float)) and 0 < rate < 1):
        raise ValueError(f"`target_accept_prob` must lie between 0 and 1. Received: {rate!r}. Try 0.9.")
    return rate
