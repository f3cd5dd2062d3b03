"""Agreement between two engines: how well one set of posterior draws can replace another."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from tfgmm.common.words import beside
from tfgmm.posterior.alignment import AlignedDraws, align, in_order_of
from tfgmm.posterior.draws import LOG_RATIO, Draws
from tfgmm.posterior.record import LARGEST_K_HAT, MEAN_FIELD
from tfgmm.posterior.smoothing import FEWEST_RATIOS, smoothed_log_weights


@dataclasses.dataclass(frozen=True, eq=False)
class Agreement:
    """Differences of the draws `a` from the draws `b`, for each of P numbers that both have. `print` shows a table.

    Args:
        names: Name of each number, such as "locs[0, 1]": component 0, column 1.
        means_a: Posterior means of a, (P,), data units.
        means_b: Posterior means of b, (P,), data units.
        sds_a: Posterior standard deviations of a, (P,), data units.
        sds_b: Posterior standard deviations of b, (P,), data units.
        distances: Wasserstein distances between the two sets of draws, (P,), in units of sds_b: how far a's draws must
            be moved, on average, to become b's.
        pareto_k: Pareto k-hat, how heavy the tails of the exact posterior over a's are; None where a's draws do not
            say (`model.draws(n, data=rows)` do, with n of at least 100). Below 0.7, a's posterior covers the exact one
            around the mode that it is at.
        aligned_a: Draws a as they were compared, with components in the same order as b's.
        aligned_b: Draws b as they were compared.
    """

    names: tuple[str, ...]
    means_a: np.ndarray
    means_b: np.ndarray
    sds_a: np.ndarray
    sds_b: np.ndarray
    distances: np.ndarray
    pareto_k: float | None
    aligned_a: Draws = dataclasses.field(repr=False)
    aligned_b: Draws = dataclasses.field(repr=False)

    @property
    def mean_differences(self) -> np.ndarray:
        """Means of a minus those of b, (P,), in posterior standard deviations of b."""
        return (self.means_a - self.means_b) / self.sds_b

    @property
    def sd_ratios(self) -> np.ndarray:
        """Standard deviations of a over those of b, (P,); below 1 where a is more certain than b."""
        return self.sds_a / self.sds_b

    def to_frame(self) -> Any:
        """Makes a table of the comparison.

        Returns:
            A pandas DataFrame with one line per number, P lines in all.
        """
        import pandas as pd

        columns = {
            "mean a": self.means_a,
            "mean b": self.means_b,
            "difference, sd": self.mean_differences,
            "sd a": self.sds_a,
            "sd b": self.sds_b,
            "sd ratio": self.sd_ratios,
            "distance, sd": self.distances,
        }
        return pd.DataFrame(columns, index=list(self.names))

    def __str__(self) -> str:
        table = self.to_frame().to_string(float_format=lambda value: f"{value:.4g}")
        return "\n".join([table, *self.sentences()])

    def sentences(self) -> tuple[str, ...]:
        """Summarises the table in words.

        Returns:
            The number that differs most in its mean, and the one whose standard deviation is smallest beside b's; with
            `pareto_k`, a third sentence on it; for draws a from the exact posterior, how good they are.
        """
        narrow = int(np.argmin(self.sd_ratios))
        apart = int(np.argmax(np.abs(self.mean_differences)))
        lines = [
            f"means differ most for {self.names[apart]}: {self.mean_differences[apart]:+.2f} standard deviations",
            f"a's standard deviation is smallest beside b's for {self.names[narrow]}: {self.sd_ratios[narrow]:.2f}",
        ]
        if self.pareto_k is not None:
            is_fine = self.pareto_k < LARGEST_K_HAT
            verdict = "weighting a's draws can mend what differs" if is_fine else "a misses parts of the posterior"
            figure = beside(self.pareto_k, LARGEST_K_HAT, digits=2)
            lines.append(f"Pareto k-hat of a: {figure} ({verdict}; the limit is {LARGEST_K_HAT})")
        record = self.aligned_a.posterior
        if record is not None and record.method != MEAN_FIELD:
            lines.append(f"of a, {'; '.join(record.sentences())}")
        return tuple(lines)


def compare(draws_a: Draws, draws_b: Draws) -> Agreement:
    """Compares draws a, of a fast engine, with draws b, of a slow one that is right.

    Both are aligned first, unless `tfgmm.align` has done so already, and a's components are put in the order of b's.
    Weights, locations, scales and covariances are compared, each number that varies in b by itself. Different priors
    give different posteriors: use the same for both engines, e.g. `sample_nuts(..., priors=model.priors)`.

    Args:
        draws_a: Draws of the fast engine, such as `model.draws(4000, data=rows)` of a fitted `GaussianMixtureModel`;
            with `data=`, the Pareto k-hat is computed too.
        draws_b: Draws of the slow engine, such as
            `numpyro_mixture.sample_nuts(rows, num_components, priors=model.priors)`.

    Returns:
        An `Agreement`, which says how well a can replace b.

    Raises:
        ValueError: If the numbers of components or columns differ, or b's draws do not vary.

    Warns:
        UserWarning: If components are too alike to be told apart; see `tfgmm.align`.

    Source: Yao, Vehtari, Simpson and Gelman 2018, "Yes, but did it work? Evaluating variational inference".

    Example:

    >>> rng = np.random.default_rng(0)
    >>> a, b = (
    ...     Draws(np.ones((1, 900, 1)), spread * rng.normal(size=(1, 900, 1, 1)), 1 + rng.uniform(size=(1, 900, 1, 1)))
    ...     for spread in (0.5, 1.0)
    ... )
    >>> agreement = compare(a, b)
    >>> agreement.names, agreement.sd_ratios.round(1).tolist()
    (('locs[0, 0]', 'scales[0, 0]'), [0.5, 1.0])
    """
    from scipy.stats import wasserstein_distance  # half a second to import: only when it is used

    _check_alike(draws_a, draws_b)
    aligned_b = _once_aligned(draws_b)
    aligned_a = in_order_of(aligned_b, _once_aligned(draws_a))
    names, values_a, values_b = _common_numbers(aligned_a, aligned_b)
    sds_b = values_b.std(axis=0)
    distances = np.array([wasserstein_distance(a, b) for a, b in zip(values_a.T, values_b.T)])
    means = values_a.mean(axis=0), values_b.mean(axis=0)
    sds = values_a.std(axis=0), sds_b
    return Agreement(names, *means, *sds, distances / sds_b, pareto_k_of(draws_a), aligned_a, aligned_b)


def _check_alike(draws_a: Draws, draws_b: Draws) -> None:
    sizes = [(draws.num_components, draws.num_features) for draws in (draws_a, draws_b)]
    if sizes[0] != sizes[1]:
        raise ValueError(
            "`draws_a` and `draws_b` must have equal numbers of components and columns. Received: (K, D) = "
            f"{sizes[0]} and {sizes[1]}. Fit both to the same rows with the same num_components."
        )
    names = [draws.column_names for draws in (draws_a, draws_b)]
    if None not in names and names[0] != names[1]:
        raise ValueError(
            f"`draws_a` and `draws_b` must be of equal columns. Received: {names[0]} and {names[1]}. "
            "Fit both to the same rows, with the columns in the same order."
        )


def _once_aligned(draws: Draws) -> Draws:
    return draws if isinstance(draws, AlignedDraws) else align(draws)


def _common_numbers(aligned_a: Draws, aligned_b: Draws) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
    """Lists the names of the numbers that both have and that vary in b, and their draws, (n, P) and (m, P)."""
    column_names = aligned_b.column_names or aligned_a.column_names
    both = [dataclasses.replace(draws, column_names=column_names).numbers() for draws in (aligned_a, aligned_b)]
    a, b = ({name: values[..., p].ravel() for p, name in enumerate(names)} for names, values in both)
    names = tuple(name for name in a if name in b and np.ptp(b[name]) > 0)
    if not names:
        raise ValueError(
            f"`draws_b` must vary. Received: {aligned_b.num_chains * aligned_b.num_draws} draws that are all equal. "
            "Take more draws."
        )
    return names, np.stack([a[name] for name in names], axis=1), np.stack([b[name] for name in names], axis=1)


def pareto_k_of(draws: Draws) -> float | None:
    """Computes the Pareto k-hat of draws with log importance ratios; None without them, or with fewer than 100.

    The importance ratio of a draw is the exact joint density of rows and parameters over the density that it was drawn
    from. k-hat, the shape of the tail of the largest ratios, tells whether their variance is finite (below 0.5), and
    whether the draws are useful at all (below 0.7), whatever the number of columns.

    Source: Vehtari, Simpson, Gelman, Yao and Gabry 2024, "Pareto smoothed importance sampling".
    """
    ratios = draws.sample_stats.get(LOG_RATIO)
    if ratios is None or np.size(ratios) < FEWEST_RATIOS:
        return None
    flat = np.array(ratios, np.float64).ravel()
    if not np.isfinite(flat).all():
        raise ValueError(
            f"`sample_stats[{LOG_RATIO!r}]` must be finite. Received: NaN or infinite ones. Weigh the draws with the "
            "rows that the model was fitted to."
        )
    return smoothed_log_weights(flat)[1]
