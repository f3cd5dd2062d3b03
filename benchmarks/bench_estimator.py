"""The estimator: what it adds to `fit_mixture`, and fits beside scikit-learn's two mixtures with as many starts.

Every way is called in turn in one process, after a call of its own; times are medians, imports left out. All get the
same arrays, full covariances, K known, `n_init=8` and `random_state=0`; scikit-learn keeps its defaults otherwise.
Small tables are fitted faster by one thread than by several, by scikit-learn above all: both are measured, and the best
of each compared. Densities are of rows left out of the fit, five folds, at fitted weights, means and covariances, by
SciPy for all. Tables are in units of their spread; penguins are there if palmerpenguins is installed.

Run: python benchmarks/bench_estimator.py [--quick] [--repeats 5]
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import common
import known_rows
import numpy as np
import sklearn.mixture
from sklearn.model_selection import KFold
from threadpoolctl import threadpool_limits

import tfgmm

STARTS = 8
FOLDS = 5
TABLES = ("Old Faithful", "iris", "wine", "penguins")
SIZES = ((272, 2, 2), (2_000, 4, 3), (10_000, 8, 4))
LARGE = common.Problem("correlated", 5_000, 8, 8, 5_000)
PEERS: Mapping[str, Any] = {
    "GaussianMixture": sklearn.mixture.GaussianMixture,
    "BayesianGaussianMixture": sklearn.mixture.BayesianGaussianMixture,
}
WAYS: Mapping[str, Any] = {"tfgmm": tfgmm.BayesianGaussianMixture, **PEERS}


def unfitted(way: Callable[..., Any], num_components: int) -> Any:
    """Returns an estimator with the options that all ways share."""
    return way(n_components=num_components, covariance_type="full", n_init=STARTS, random_state=0)


def simulated(num_rows: int, num_features: int, num_components: int) -> np.ndarray:
    """Returns simulated rows of correlated components, in no order."""
    rows, _, _ = common.Problem("correlated", num_rows, num_features, num_components, 1).rows()
    return rows


# --- What the estimator adds --------------------------------------------------------------------------------------


def added(rows: np.ndarray, num_components: int, rounds: int) -> dict[str, Any]:
    """Returns the milliseconds of `fit_mixture`, and of the estimator, which makes the same fit.

    What is added is the difference of the fastest calls: it is small beside what others do to the clock.
    """
    plain = functools.partial(tfgmm.fit_mixture, rows, num_components, covariance="full", restarts=STARTS, seed=0)
    estimator = unfitted(tfgmm.BayesianGaussianMixture, num_components)
    ways = {"fit_mixture": plain, "fit": functools.partial(estimator.fit, rows)}
    turns = [common.timed_in_turn(ways, 1) for _ in range(rounds)]
    times = {name: np.array([turn[name]["median"] for turn in turns]) * 1e3 for name in ways}
    return {
        "rows": f"{len(rows):,} x {rows.shape[1]}, K={num_components}",
        "fit_mixture, ms": float(np.median(times["fit_mixture"])),
        "estimator, ms": float(np.median(times["fit"])),
        "added, ms": float(times["fit"].min() - times["fit_mixture"].min()),
        "same bound": estimator.lower_bound_ == plain().elbo / len(rows),
    }


# --- Beside scikit-learn ------------------------------------------------------------------------------------------


def beside(rows: np.ndarray, num_components: int, held_out: np.ndarray | None, rounds: int) -> list[dict[str, Any]]:
    """Returns a line for each way: time of a fit to all rows, and the density of rows left out."""
    fits = {name: unfitted(way, num_components) for name, way in WAYS.items()}
    calls: dict[str, Callable[[], Any]] = {name: functools.partial(fit.fit, rows) for name, fit in fits.items()}
    calls |= {f"{name}, one thread": functools.partial(in_one_thread, call) for name, call in calls.items()}
    times = {name: found["median"] * 1e3 for name, found in common.timed_in_turn(calls, rounds).items()}
    lines = []
    for name, way in WAYS.items():
        best, ours = (min(times[one], times[f"{one}, one thread"]) for one in (name, "tfgmm"))
        if held_out is None:
            with threadpool_limits(1):
                density = density_left_out(way, rows, num_components)
        else:
            density = common.mean_log_density(parameters(fits[name]), held_out)
        line = {"way": name, "ms": times[name], "one thread, ms": times[f"{name}, one thread"]}
        lines.append(line | {"best over our best": best / ours, "left out, nats per row": density})
    return lines


def in_one_thread(call: Callable[[], Any]) -> None:
    """Calls with matrix libraries and OpenMP held to one thread."""
    with threadpool_limits(1):
        call()


def density_left_out(way: Callable[..., Any], rows: np.ndarray, num_components: int) -> float:
    """Returns the mean log density of every row under the fit of the folds that it is not in."""
    densities = 0.0
    for kept, left_out in KFold(FOLDS, shuffle=True, random_state=0).split(rows):
        fitted = parameters(unfitted(way, num_components).fit(rows[kept]))
        densities += len(left_out) * common.mean_log_density(fitted, rows[left_out])
    return densities / len(rows)


def parameters(fitted: Any) -> common.Mixture:
    """Returns the mixture at the fitted parameters."""
    return common.Mixture(fitted.weights_, fitted.means_, fitted.covariances_)


def main() -> None:
    """Prints the tables and writes results/bench_estimator.json."""
    arguments = common.arguments_of(__doc__, repeats=5)
    report = common.Report("bench_estimator", arguments)
    warnings.simplefilter("ignore")  # what is odd about rows, and starts of scikit-learn that have not converged
    tables = known_rows.real_tables()
    sizes = SIZES[:2] if arguments.quick else SIZES
    small = tables["Old Faithful"].rows
    cases = [(small if size == SIZES[0] else simulated(*size), size[2]) for size in sizes]
    report.add("What the estimator adds", [added(rows, number, arguments.repeats) for rows, number in cases])
    for name in TABLES[:1] if arguments.quick else TABLES:
        if name in tables:
            rows, number = tables[name].rows, tables[name].num_groups
            title = f"{name}, {len(rows)} x {rows.shape[1]}, K={number}"
            report.add(title, beside(rows, number, None, arguments.repeats))
    if not arguments.quick:
        rows, held_out, _ = LARGE.rows()
        report.add(str(LARGE), beside(rows, LARGE.num_components, held_out, 1))


if __name__ == "__main__":
    main()
