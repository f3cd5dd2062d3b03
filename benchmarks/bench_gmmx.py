"""Fits against gmmx, expectation maximisation in JAX, on the two sets of bench_sklearn.py.

Wall-clock time of a fit in a fresh process, imports left out, compiling and tracing included. gmmx starts at k-means,
by scikit-learn; both parts are timed. It takes 10 k-means runs unless told otherwise; a line with 1 run stands beside.

Run: python benchmarks/bench_gmmx.py [--quick] [--repeats 3]
"""

from __future__ import annotations

import dataclasses
import functools
import time
from typing import Any

import common
from common import Problem


def fit_gmmx(problem: dict[str, Any], covariance: str, num_starts: int) -> dict[str, Any]:
    """Returns the seconds of a fit with gmmx, those of its k-means part, its held-out density and its iterations."""
    import sklearn.cluster  # noqa: F401  gmmx loads k-means on first use: an import, not work
    from gmmx import EMFitter, GaussianMixtureModelJax
    from jax import numpy as jnp

    of = Problem(**problem)
    rows, held_out, _ = of.rows()
    rows = jnp.asarray(rows, jnp.float32).block_until_ready()  # the type it takes; JAX's runtime begins
    began = time.perf_counter()
    start = GaussianMixtureModelJax.from_k_means(
        rows, of.num_components, covariance_type=covariance, random_state=0, n_init=num_starts
    )
    start.means.block_until_ready()
    between = time.perf_counter()
    found = EMFitter().fit(rows, start)
    found.gmm.means.block_until_ready()
    ended = time.perf_counter()
    fitted = (found.gmm.weights_numpy, found.gmm.means_numpy, found.gmm.covariances.values_numpy)
    held_out_density = common.mean_log_density(common.Mixture(*(value.astype("float64") for value in fitted)), held_out)
    answer = {"seconds": ended - began, "k_means": between - began, "held_out": held_out_density}
    return {**answer, "iterations": int(found.n_iter), "converged": bool(found.converged)}


def compare(report: common.Report, problem: Problem, covariance: str, repeats: int) -> None:
    """Adds a table."""
    shared = {"problem": dataclasses.asdict(problem), "covariance": covariance}
    ours = functools.partial(common.in_fresh_process, common.fit_tfgmm, **shared)
    peer = functools.partial(common.in_fresh_process, fit_gmmx, **shared)
    ways = {
        "fit_mixture": ours,
        "restarts=4": functools.partial(ours, restarts=4),
        "gmmx, as it comes": functools.partial(peer, num_starts=10),
        "gmmx, 1 k-means run": functools.partial(peer, num_starts=1),
    }
    answers = common.in_turn(ways, repeats)
    lines = [
        common.fit_line(way, found, answers["fit_mixture"]) | {"of them k-means": common.median_of(found, "k_means")}
        for way, found in answers.items()
    ]
    _, held_out, truth = problem.rows()
    note = f"held out, the mixture the rows come from: {common.mean_log_density(truth, held_out):.4f}"
    report.add(f"{problem}, covariance {covariance}, against gmmx", lines, [note])


def main() -> None:
    """Prints the tables and writes results/bench_gmmx.json."""
    arguments = common.arguments_of(__doc__)
    report = common.Report("bench_gmmx", arguments)
    independent, dependent = common.two_problems(arguments.quick)
    compare(report, independent, "diag", arguments.repeats)
    if not arguments.quick:
        compare(report, independent, "full", arguments.repeats)
        compare(report, dependent, "diag", arguments.repeats)
    compare(report, dependent, "full", arguments.repeats)


if __name__ == "__main__":
    main()
