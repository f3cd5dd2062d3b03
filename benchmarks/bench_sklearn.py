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
import warnings
from collections.abc import Callable
from typing import Any

import common
from common import Problem

MAX_ITER = 100
# Iterations that the time of MAX_ITER is worked out from where these would take too long
MORE = 5
# Seconds for one run of a peer, imports included
LIMIT = 3600.0


def fit_sklearn(
    problem: dict[str, Any], covariance: str, estimator: str, dtype: str, max_iter: int, tol: float = 1e-3
) -> dict[str, Any]:
    """Returns the seconds of a fit with scikit-learn, its held-out density and its iterations."""
    from sklearn import mixture

    of = Problem(**problem)
    rows, held_out, _ = of.rows()
    rows = rows.astype(dtype)
    chosen = getattr(mixture, estimator)
    settings = {"n_components": of.num_components, "covariance_type": covariance, "random_state": 0}
    model = chosen(**settings, max_iter=max_iter, tol=tol)
    began = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it has not converged is a column of the table
        model.fit(rows)
    seconds = time.perf_counter() - began
    # At its plug-in parameters: score_samples of BayesianGaussianMixture takes expectations of logarithms under the
    # posterior instead, and what it returns does not integrate to 1, so that it cannot be compared with a density.
    parameters = (model.weights_, model.means_, model.covariances_)
    fitted = common.Mixture(*(value.astype("float64") for value in parameters))
    held_out_density = common.mean_log_density(fitted, held_out)
    return {
        "seconds": seconds,
        "held_out": held_out_density,
        "iterations": model.n_iter_,
        "converged": model.converged_,
    }


def scaled_fit(problem: dict[str, Any], covariance: str, estimator: str, dtype: str) -> dict[str, Any]:
    """Returns the seconds that MAX_ITER iterations would take: those of k-means and the first one, and of few more.

    What an iteration takes is the difference of two runs that go on from where the model stands.
    """
    from sklearn import mixture

    of = Problem(**problem)
    rows = of.rows()[0].astype(dtype)
    chosen = getattr(mixture, estimator)
    settings = {"n_components": of.num_components, "covariance_type": covariance, "random_state": 0}
    model = chosen(**settings, tol=0.0, warm_start=True)
    times = []
    for max_iter in (1, 1, 1 + MORE):
        began = time.perf_counter()
        model.set_params(max_iter=max_iter).fit(rows)
        times.append(time.perf_counter() - began)
    seconds = times[0] + (MAX_ITER - 1) * (times[2] - times[1]) / MORE
    return {"seconds": seconds, "held_out": None, "iterations": None, "converged": None}


def ways_of(problem: Problem, covariance: str, estimator: str, scales: bool) -> dict[str, Callable[[], Any]]:
    """Returns by name what is compared on a problem."""
    shared = {"problem": dataclasses.asdict(problem), "covariance": covariance}
    ours = functools.partial(common.in_fresh_process, common.fit_tfgmm, **shared)
    ways: dict[str, Callable[[], Any]] = {"fit_mixture": ours}
    for restarts in (4, 1):  # scikit-learn tries one start
        ways[f"restarts={restarts}"] = functools.partial(ours, restarts=restarts)
    for dtype in ("float64", "float32"):
        asked = {**shared, "estimator": estimator, "dtype": dtype}
        run = functools.partial(common.in_fresh_process, limit=LIMIT, **asked)
        if scales:
            ways[f"{estimator}, {dtype}, scaled"] = functools.partial(run, scaled_fit)
        else:
            ways[f"{estimator}, {dtype}"] = functools.partial(run, fit_sklearn, max_iter=MAX_ITER)
        if estimator == "GaussianMixture":  # its own tolerance ends it after few iterations, often short of the top
            way = f"{estimator}, {dtype}, {MAX_ITER} iterations"
            ways[way] = functools.partial(run, fit_sklearn, max_iter=MAX_ITER, tol=0.0)
    return ways


def compare(report: common.Report, problem: Problem, covariance: str, estimator: str, arguments: Any) -> None:
    """Adds a table."""
    _, held_out, truth = problem.rows()
    scales = estimator == "BayesianGaussianMixture" and covariance == "full" and not arguments.full
    answers = common.in_turn(ways_of(problem, covariance, estimator, scales), arguments.repeats)
    lines = [common.fit_line(way, found, answers["fit_mixture"]) for way, found in answers.items()]
    notes = [f"held out, the mixture the rows come from: {common.mean_log_density(truth, held_out):.4f}"]
    notes += [f"scaled: {MAX_ITER} iterations worked out from {MORE}; --full runs them all"] * scales
    report.add(f"{problem}, covariance {covariance}, against {estimator}", lines, notes)


def main() -> None:
    """Prints the tables and writes results/bench_sklearn.json."""
    switches = {"--full": f"run all {MAX_ITER} iterations of the slowest peer, for up to an hour each"}
    arguments = common.arguments_of(__doc__, switches)
    report = common.Report("bench_sklearn", arguments)
    independent, dependent = common.two_problems(arguments.quick)
    for covariance in ("diag", "full"):
        compare(report, independent, covariance, "BayesianGaussianMixture", arguments)
    for covariance in ("diag", "full")[arguments.quick :]:
        compare(report, dependent, covariance, "GaussianMixture", arguments)


if __name__ == "__main__":
    main()
