"""Rows a second of the step that every row takes in every sweep: memberships and statistics, without the update.

On 131,072 rows, 16 columns, 32 components, by covariance: `devices.sums`, as sweeps over all rows use it;
`CachedRows.sums` in float32 for eight restarts at a time on 16,384 of the rows, as restarts do far from the optimum
(one row counts once per restart); and the same products written plainly in NumPy. Medians of many calls, in turn; the
first call has a column.

Run: python benchmarks/bench_step.py [--quick] [--repeats 20]
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import common
import numpy as np

import tfgmm
from tfgmm.data.blocks import RowBlock
from tfgmm.families.natural_gradient import place_at
from tfgmm.fit.cached_rows import CachedRows
from tfgmm.scoring import devices

CHUNK_ROWS = 4096  # of the NumPy step: their products stay in the cache
ROUNDS = 20
RESTARTS = 8


def fitted_model(problem: common.Problem, covariance: str, rows: np.ndarray) -> tfgmm.GaussianMixtureModel:
    """Returns a model some sweeps away from its start: memberships are as sharp as in most of training."""
    model = tfgmm.GaussianMixtureModel(problem.num_components, problem.num_features, covariance=covariance, seed=0)
    model.compile()
    model.fit(rows[:10_000], epochs=5, verbose=0)
    return model


def tfgmm_step(model: tfgmm.GaussianMixtureModel, rows: np.ndarray) -> Callable[[], float]:
    """Returns the step as a function without arguments; it answers when the sums are there."""
    q = model.variational
    centred = RowBlock((rows - model.centre).astype(np.float32))
    return lambda: float(devices.sums(q.form, place_at(q, q.values()).coefficients, centred).log_likelihood)


def restarts_step(model: tfgmm.GaussianMixtureModel, rows: np.ndarray) -> Callable[[], float]:
    """Returns the step of `RESTARTS` restarts on an eighth of the rows: so many products as one has with all rows."""
    q = model.variational
    several = [np.stack([value] * RESTARTS) for value in place_at(q, q.values()).coefficients]
    held = CachedRows(q.form, (rows[: len(rows) // RESTARTS] - model.centre).astype(np.float32))
    return lambda: float(held.sums(several, np.float32).log_likelihood.sum())


def numpy_step(model: tfgmm.GaussianMixtureModel, rows: np.ndarray, dtype: str) -> Callable[[], float]:
    """Returns the step in NumPy, at the plug-in parameters; it answers the log likelihood of the rows, nats."""
    mixture = common.plug_in(model)
    linear, constants = (value.astype(dtype) for value in products_of(mixture, model.centre))
    centred = (rows - model.centre).astype(dtype)
    is_full = mixture.covariances.ndim == 3

    def run() -> float:
        total, statistics = 0.0, np.zeros((len(constants), len(linear)))
        for start in range(0, len(centred), CHUNK_ROWS):
            features = features_of(centred[start : start + CHUNK_ROWS], is_full)
            log_joints = features @ linear + constants
            largest = log_joints.max(axis=1, keepdims=True)
            shares = np.exp(log_joints - largest)
            totals = shares.sum(axis=1, keepdims=True)
            statistics += (shares / totals).T @ features
            total += float(np.sum(largest + np.log(totals), dtype=np.float64))
        return total

    return run


def features_of(rows: np.ndarray, is_full: bool) -> np.ndarray:
    """Returns columns of rows and their squares, or all their products: every log density is linear in them."""
    if not is_full:
        return np.concatenate([rows, np.square(rows)], axis=1)
    first, second = np.triu_indices(rows.shape[1])
    return np.concatenate([rows, rows[:, first] * rows[:, second]], axis=1)


def products_of(mixture: common.Mixture, centre: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns (P, K) and (K,) such that log joints of centred rows = `features_of` them @ the first + the second."""
    locs, is_full = mixture.means - centre, mixture.covariances.ndim == 3
    matrices = mixture.covariances if is_full else np.stack([np.diag(row) for row in mixture.covariances])
    precisions = np.linalg.inv(matrices)
    pulls = np.einsum("kde,ke->kd", precisions, locs)
    first, second = np.triu_indices(locs.shape[1]) if is_full else 2 * (np.arange(locs.shape[1]),)
    factors = np.where(first == second, -0.5, -1.0)
    log_determinants = np.linalg.slogdet(2 * np.pi * matrices)[1]
    constants = np.log(mixture.weights) - 0.5 * (log_determinants + np.sum(pulls * locs, axis=1))
    return np.concatenate([pulls, factors * precisions[:, first, second]], axis=1).T, constants


def compare(report: common.Report, problem: common.Problem, covariance: str, rounds: int) -> None:
    """Adds a table for a covariance shape."""
    rows = problem.rows()[0]
    model = fitted_model(problem, covariance, rows)
    ways: dict[str, Callable[[], Any]] = {
        "float64 products (exact)": tfgmm_step(model, rows),
        "float32 products, restarts": restarts_step(model, rows),
        "NumPy, float64": numpy_step(model, rows, "float64"),
        "NumPy, float32": numpy_step(model, rows, "float32"),
    }
    times = common.timed_in_turn(ways, rounds)
    reference = times["NumPy, float64"]["median"]
    lines = [
        {
            "way": way,
            "rows/s": len(rows) / found["median"],
            "times NumPy float64": reference / found["median"],
            "first call, seconds": found["first"],
        }
        for way, found in times.items()
    ]
    report.add(f"{problem}, covariance {covariance}, one step", lines, [f"medians of {rounds} calls"])


def main() -> None:
    """Prints the tables and writes results/bench_step.json."""
    arguments = common.arguments_of(__doc__, repeats=ROUNDS)
    report = common.Report("bench_step", arguments)
    sizes = (8_192, 4, 6, 1) if arguments.quick else (131_072, 16, 32, 1)
    for covariance in ("diag", "full"):
        compare(report, common.Problem("axis-aligned", *sizes), covariance, arguments.repeats)


if __name__ == "__main__":
    main()
