"""Rows whose answer is known: tables that packages ship, folders of sets with known groups, and simulations."""

from __future__ import annotations

import gzip
import importlib.util
import pathlib
from collections.abc import Iterator
from typing import NamedTuple

import common
import numpy as np
from scipy.stats import ortho_group

DATA = common.FOLDER.parent / "training" / "data"
# Numbers of groups of tables whose groups nobody knows, as they are described in print
NUM_GROUPS = {"Old Faithful": 2, "galaxies": 3}
# Digits have 64 columns, some constant: their first principal components
NUM_DIRECTIONS = 16


class Known(NamedTuple):
    """Rows (N, D), the group of each, from 0, or None, K, and the mixture that they come from, or None."""

    rows: np.ndarray
    groups: np.ndarray | None
    num_groups: int
    truth: common.Mixture | None = None


def real_tables() -> dict[str, Known]:
    """Returns tables by name; columns in units of their spread, as a peer's least width is not one of a column."""
    from sklearn import datasets

    tables = {name: getattr(datasets, f"load_{name}")(return_X_y=True) for name in ("iris", "wine")}
    many, kinds = datasets.load_breast_cancer(return_X_y=True)
    tables |= {"breast cancer, 10 columns": (many[:, :10], kinds), "breast cancer, 30 columns": (many, kinds)}
    tables["digits, 16 directions"] = _digits()
    for name in NUM_GROUPS:
        file = DATA / f"{name.lower().replace(' ', '_')}.csv"
        tables[name] = np.loadtxt(file, delimiter=",", skiprows=1, ndmin=2), None
    if importlib.util.find_spec("palmerpenguins"):
        tables["penguins"] = _penguins()
    return {
        name: Known(rows / rows.std(axis=0), groups, NUM_GROUPS[name] if groups is None else int(groups.max()) + 1)
        for name, (rows, groups) in tables.items()
    }


def _digits() -> tuple[np.ndarray, np.ndarray]:
    from sklearn import datasets, decomposition

    rows, kinds = datasets.load_digits(return_X_y=True)
    return decomposition.PCA(NUM_DIRECTIONS, random_state=0).fit_transform(rows), kinds


def _penguins() -> tuple[np.ndarray, np.ndarray]:
    import palmerpenguins

    table = palmerpenguins.load_penguins()
    columns = ["bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g"]
    table = table.dropna(subset=columns)
    return table[columns].to_numpy(float), np.unique(table["species"], return_inverse=True)[1]


# --- A folder of sets ---------------------------------------------------------------------------------------------


def sets_of(folder: str) -> Iterator[tuple[str, np.ndarray, list[np.ndarray]]]:
    """Yields name, rows and right answers, 0 where a row has no place, of every NAME.data.gz of a folder of folders.

    As the published results of such suites have them: no columns without spread, centred, total variance 1.
    """
    for file in sorted(pathlib.Path(folder).rglob("*.data.gz")):
        name = file.name.removesuffix(".data.gz")
        with gzip.open(file, "rt") as opened:
            rows = np.loadtxt(opened, ndmin=2)
        rows = rows[:, np.ptp(rows, axis=0) > 0]
        rows = rows - rows.mean(axis=0)
        yield name, rows / rows.std(ddof=1), [np.loadtxt(at, dtype=int) for at in sorted(_labels_of(file, name))]


def _labels_of(file: pathlib.Path, name: str) -> Iterator[pathlib.Path]:
    return file.parent.glob(f"{name}.labels*.gz")


# --- Simulations ----------------------------------------------------------------------------------------------------


def drawn(truth: common.Mixture, rows_each: int, rng: np.random.Generator) -> Known:
    """Draws as many rows of each component of a mixture with covariances (K, D, D)."""
    factors = np.linalg.cholesky(truth.covariances)
    noise = rng.standard_normal((len(factors), rows_each, factors.shape[-1]))
    rows = truth.means[:, None] + noise @ factors.transpose(0, 2, 1)
    groups = np.repeat(np.arange(len(factors)), rows_each)
    return Known(rows.reshape(-1, factors.shape[-1]), groups, len(factors), truth)


def equal_weights(means: np.ndarray, covariances: np.ndarray) -> common.Mixture:
    """Returns a mixture whose components have equal weights."""
    return common.Mixture(np.full(len(means), 1 / len(means)), means, covariances)


def sixteen_columns(is_round: bool, rows_each: int, seed: int) -> Known:
    """Draws four components of 16 columns: round ones, or with covariances A A' that have narrow directions."""
    rng = np.random.default_rng([seed, rows_each])
    means, factors = rng.normal(0, 2, (4, 16)), np.tile(np.eye(16), (4, 1, 1))
    if not is_round:
        factors = factors + rng.normal(0, 0.5, factors.shape)
    return drawn(equal_weights(means, factors @ factors.transpose(0, 2, 1)), rows_each, rng)


def places(number: int, size: tuple[float, int], apart: float, rng: np.random.Generator) -> np.ndarray:
    """Draws points in a cube, (number, D), none nearer to another than `apart`; size: width of the cube and D."""
    chosen: list[np.ndarray] = []
    while len(chosen) < number:
        point = rng.uniform(0, size[0], size[1])
        if all(np.linalg.norm(point - other) >= apart for other in chosen):
            chosen.append(point)
    return np.array(chosen)


def round_clusters(number: int, apart: float, seed: int) -> Known:
    """Draws clusters of 50 rows, standard deviation 0.3, at random places of a 100 x 100 square."""
    rng = np.random.default_rng([seed, number])
    means = places(number, (100.0, 2), apart, rng)
    return drawn(equal_weights(means, np.tile(0.09 * np.eye(2), (number, 1, 1))), 50, rng)


def shaped(shape: str, num_features: int, num_groups: int, seed: int) -> Known:
    """Draws 100 rows of each component of a shape, widths about 1, in a cube of width 15, at least 5 apart."""
    rng = np.random.default_rng([seed, num_features, num_groups])
    means = places(num_groups, (15.0, num_features), 5.0, rng)
    sizes = np.exp(rng.normal(0, 0.5, (num_groups, num_features)))
    if shape == "spherical":
        sizes = np.repeat(sizes[:, :1], num_features, axis=1)
    factors = sizes[:, :, None] * np.eye(num_features)
    if shape in ("tied", "full"):
        turns = ortho_group.rvs(num_features, size=num_groups, random_state=seed).reshape(-1, *factors.shape[1:])
        factors = turns @ factors
    if shape == "tied":
        factors = np.tile(factors[:1], (num_groups, 1, 1))
    return drawn(equal_weights(means, factors @ factors.transpose(0, 2, 1)), 100, rng)
