"""Rows whose exact posterior is known from long chains, or hard: named sets, and two kinds of priors for each."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import common
import numpy as np
from bench_nuts import worked_rows

if TYPE_CHECKING:
    import tfgmm

# How the sets' priors are chosen: learned from all components together, the default; or fixed, see `fixed_priors`
PRIORS = ("learned", "fixed")
# Least and largest ratio of standard deviations to those of long chains, by group of sets
BOUNDS = {"worked example": (0.95, 1.05), "hundreds of rows": (0.93, 1.07), "few rows": (0.85, 1.15)}
# Distances of two groups of 500 rows, and of 50 rows; at the last ones labels swap in the exact posterior itself
DISTANCES, FEW_DISTANCES = (6.0, 4.0, 3.0, 2.5), (4.0, 3.0, 2.5)


class KnownPosterior(NamedTuple):
    """A set of rows (N, D), K, shape of the covariances, and its group in `BOUNDS`, None where nothing is promised."""

    rows: np.ndarray
    num_components: int
    covariance: str
    group: str | None


def two_groups(distance: float, rows_each: int, seed: int = 0) -> np.ndarray:
    """Returns rows of two normals with standard deviation 1, (2 rows_each, 1)."""
    rng = np.random.default_rng(seed)
    rows = [rng.normal(mean, 1.0, rows_each) for mean in (0.0, distance)]
    return np.concatenate(rows)[:, None]


def simulated_groups(distance: float, num_rows: int, seed: int, are_equal: bool) -> np.ndarray:
    """Returns rows of two groups, equally large or of random sizes, (num_rows, 1)."""
    if are_equal:
        return two_groups(distance, num_rows // 2, seed)
    return mixed_groups(distance, num_rows, seed)


def mixed_groups(distance: float, num_rows: int, seed: int) -> np.ndarray:
    """Returns rows of an equal mixture of two normals with standard deviation 1, (num_rows, 1).

    The group of each row is random. With as many rows in one as in the other, shares would vary less than those of a
    mixture do, and intervals that are right would hold them too often.
    """
    rng = np.random.default_rng([seed, num_rows])
    return (distance * rng.integers(0, 2, num_rows) + rng.standard_normal(num_rows))[:, None]


def three_overlapped(side: float, rows_each: int = 200, seed: int = 0) -> np.ndarray:
    """Returns rows of three normals at the corners of a triangle, two of them oblique, (600, 2)."""
    rng = np.random.default_rng(seed)
    corners = side * np.array([[0.0, 0.0], [1.0, 0.0], [0.5, 0.75**0.5]])
    rows = [
        rng.multivariate_normal(corner, [[1.0, correlation], [correlation, 1.0]], rows_each)
        for corner, correlation in zip(corners, (0.6, -0.5, 0.0))
    ]
    return np.concatenate(rows)


def old_faithful() -> np.ndarray:
    """Returns the 272 eruptions, (272, 2)."""
    return np.loadtxt(common.FOLDER.parent / "training" / "data" / "old_faithful.csv", delimiter=",", skiprows=1)


def many_overlapped(seed: int = 0) -> np.ndarray:
    """Returns 100 rows each of eight round normals whose centres are about 2 apart in four columns, (800, 4)."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(0.0, 0.8, (8, 1, 4))
    return (centres + rng.standard_normal((8, 100, 4))).reshape(-1, 4)


def one_group(num_rows: int, seed: int = 0) -> np.ndarray:
    """Returns rows of one normal, (num_rows, 1)."""
    return np.random.default_rng(seed).standard_normal((num_rows, 1))


def _set(group: str | None, rows: Callable[[], np.ndarray], number: int, shape: str) -> Callable[[], KnownPosterior]:
    return lambda: KnownPosterior(rows(), number, shape, group)


def _distant(group: str | None, distance: float, rows_each: int) -> Callable[[], KnownPosterior]:
    return _set(group, functools.partial(two_groups, distance, rows_each), 2, "diag")


_FEW, _MORE = "few rows", "hundreds of rows"
# Sets that have a reference by NUTS
KNOWN: dict[str, Callable[[], KnownPosterior]] = {
    "three components": _set("worked example", lambda: worked_rows(2500)[:, None], 3, "diag"),
    **{f"2 x 500 at {distance:g}": _distant(_MORE, distance, 500) for distance in DISTANCES},
    "Old Faithful diag": _set(_MORE, old_faithful, 2, "diag"),
    "Old Faithful full": _set(_MORE, old_faithful, 2, "full"),
    "3 x 200 full": _set(_MORE, functools.partial(three_overlapped, 2.75), 3, "full"),
    "3 x 200 full at 2.5": _set(None, functools.partial(three_overlapped, 2.5), 3, "full"),
    "five points": _set(_FEW, lambda: np.array([[0.0], [1.0], [10.0], [11.0], [12.0]]), 2, "diag"),
    **{
        f"2 x 50 at {distance:g}": _distant(_FEW if distance >= 4 else None, distance, 50) for distance in FEW_DISTANCES
    },
    "2 x 25 at 4": _distant(_FEW, 4.0, 25),
}
# Sets without one, whose answer must say that it may be wrong
HARD: dict[str, Callable[[], KnownPosterior]] = {
    "2 x 50 at 2.5": KNOWN["2 x 50 at 2.5"],
    "3 x 200 full at 2.5": KNOWN["3 x 200 full at 2.5"],
    "K=8 D=4 overlapped": _set(None, many_overlapped, 8, "diag"),
    "one component too many": _set(None, functools.partial(two_groups, 6.0, 100), 3, "diag"),
    "K=6 for one group": _set(None, functools.partial(one_group, 200), 6, "diag"),
}


def known(name: str) -> KnownPosterior:
    """Returns a set by name; its rows are the same in every call."""
    return (KNOWN | HARD)[name]()


def given_priors(rows: np.ndarray, kind: str) -> dict[str, tfgmm.Priors]:
    """Returns the option `priors` of a fit with a kind of priors, one of `PRIORS`; none for the default."""
    return {} if kind == "learned" else {"priors": fixed_priors(rows)}


def fixed_priors(rows: np.ndarray) -> tfgmm.Priors:
    """Returns priors that learn nothing: centres within two spreads of the rows, widths of about half a spread."""
    import tfgmm

    spread = rows.std(axis=0)
    return tfgmm.Priors(
        loc_mean=tuple(rows.mean(axis=0)),
        loc_scale=tuple(2 * spread),
        precision_shape=2.5,
        precision_rate=tuple(2.5 * np.square(spread / 2)),
        weight_concentration=2.0,
    )
