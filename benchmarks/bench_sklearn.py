"""Fits against scikit-learn: BayesianGaussianMixture on 300,000 rows, GaussianMixture on 90,000.

Wall-clock time of a fit in a fresh process, imports left out, tracing included, and the mean log density of held-out
rows at the fitted parameters. scikit-learn runs with its defaults and max_iter=100, on float64 rows, as NumPy makes
them, and on float32 rows, which it works through about twice as fast.

Run: python benchmarks/bench_sklearn.py [--quick] [--full] [--repeats 3]
"""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable
from typing import Any

import common
from common import Problem

MAX_ITER = 100
SHORT, SHORTER = 5, 1  # iterations of the two runs that the time of a long one is worked out from
# Seconds for one peer with --full; without it nothing here takes so long
LIMIT = 3600.0


def fit_sklearn(problem: dict[str, Any], covariance: str, estimator: str, dtype: str, max_iter: int) -> dict[str, Any]:
    """Returns the seconds of a fit with scikit-learn, its held-out density and its iterations."""
    from sklearn import mixture

    of = Problem(**problem)
    rows, held_out, _ = of.rows()
    rows = rows.astype(dtype)
    chosen = getattr(mixture, estimator)
    model = chosen(n_components=of.num_components, covariance_type=covariance, max_iter=max_iter, random_state=0)
    began = time.perf_counter()
    model.fit(rows)
    seconds = time.perf_counter() - began
    # At its plug-in parameters: score_samples of BayesianGaussianMixture takes expectations of logarithms under the
    # posterior instead, and what it returns does not integrate to 1, so that it cannot be compared with a density.
    parameters = (model.weights_, model.means_, model.covariances_)
    fitted = common.Mixture(*(value.astype("float64") for value in parameters))
    held_out_density = common.mean_log_density(fitted, held_out)
    return {"seconds": seconds, "held_out": held_out_density, "iterations": model.n_iter_, "converged": model.converged_}


def scaled_fit(**arguments: Any) -> dict[str, Any]:
    """Returns the seconds that MAX_ITER iterations would take, from runs of 1 and of 5: both start with k-means."""
    run = functools.partial(common.in_fresh_process, fit_sklearn, **arguments)
    shorter, short = run(max_iter=SHORTER), run(max_iter=SHORT)
    per_iteration = (short["seconds"] - shorter["seconds"]) / (SHORT - SHORTER)
    seconds = shorter["seconds"] + (MAX_ITER - SHORTER) * per_iteration
    return {"seconds": seconds, "held_out": None, "iterations": None, "converged": None}


def ways_of(problem: Problem, covariance: str, estimator: str, scales: bool) -> dict[str, Callable[[], Any]]:
    """Returns by name what is compared on a problem."""
    shared = {"problem": dataclasses.asdict(problem), "covariance": covariance}
    ours = functools.partial(common.in_fresh_process, common.fit_tfgmm, **shared)
    ways: dict[str, Callable[[], Any]] = {"fit_mixture": ours, "restarts=4": functools.partial(ours, restarts=4)}
    for dtype in ("float64", "float32"):
        asked = {**shared, "estimator": estimator, "dtype": dtype}
        if scales:
            ways[f"{estimator}, {dtype}, scaled"] = functools.partial(scaled_fit, **asked)
        else:
            run = functools.partial(common.in_fresh_process, fit_sklearn, limit=LIMIT, **asked)
            ways[f"{estimator}, {dtype}"] = functools.partial(run, max_iter=MAX_ITER)
    return ways


def compare(report: common.Report, problem: Problem, estimator: str, repeats: int, full: bool) -> None:
    """Returns nothing; adds a table per covariance shape."""
    rows, held_out, truth = problem.rows()
    for covariance in ("diag", "full"):
        scales = estimator == "BayesianGaussianMixture" and covariance == "full" and not full
        answers = common.in_turn(ways_of(problem, covariance, estimator, scales), repeats)
        lines = [common.fit_line(way, found, answers["fit_mixture"]) for way, found in answers.items()]
        notes = [f"held out, the mixture the rows come from: {common.mean_log_density(truth, held_out):.4f}"]
        notes += [f"scaled: to {MAX_ITER} iterations, from runs of {SHORTER} and {SHORT}; --full runs them"] * scales
        report.add(f"{problem}, covariance {covariance}, against {estimator}", lines, notes)


def main() -> None:
    """Returns nothing; prints the tables and writes results/bench_sklearn.json."""
    switches = {"--full": f"run all {MAX_ITER} iterations of the slowest peer, for up to an hour each"}
    arguments = common.arguments_of(__doc__, switches)
    report = common.Report("bench_sklearn", arguments)
    independent, dependent = common.two_problems(arguments.quick)
    compare(report, independent, "BayesianGaussianMixture", arguments.repeats, arguments.full)
    compare(report, dependent, "GaussianMixture", arguments.repeats, arguments.full)


if __name__ == "__main__":
    main()
