"""Rows a second of scoring: a tfgmm model, its exported folder and its SavedModel, against scikit-learn.

All four score the same rows with the same parameters; scikit-learn's are put into a GaussianMixture by hand. Medians
of calls in turn; the first call, which traces, has a column, and so has the largest difference from scikit-learn.

Run: python benchmarks/bench_scoring.py [--quick] [--repeats 5]
"""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable
from typing import Any

import common
import numpy as np
import tensorflow as tf
from sklearn.mixture import GaussianMixture

import tfgmm

ROUNDS = 5


def scikit_learn_of(mixture: common.Mixture) -> GaussianMixture:
    """Returns the mixture as scikit-learn's: precisions_cholesky_ is what score_samples reads."""
    is_full = mixture.covariances.ndim == 3
    found = GaussianMixture(len(mixture.weights), covariance_type="full" if is_full else "diag")
    found.weights_, found.means_, found.covariances_ = mixture
    if is_full:  # covariance = L L', precision = (L^-1)' L^-1, of which it wants the upper triangle (L^-1)'
        found.precisions_cholesky_ = np.swapaxes(np.linalg.inv(np.linalg.cholesky(mixture.covariances)), 1, 2)
    else:
        found.precisions_cholesky_ = mixture.covariances**-0.5
    return found


def ways_of(model: tfgmm.GaussianMixtureModel, rows: np.ndarray, folder: str) -> dict[str, Callable[[], Any]]:
    """Returns by name the functions that score the rows, float32 values in the type that each takes best."""
    path = tfgmm.export_model(model, f"{folder}/{model.covariance}")
    # A signature works as long as the object it was loaded with is kept
    signature = (loaded := tf.saved_model.load(str(path))).signatures["log_prob"]
    tensor = tf.constant(rows)
    peer = scikit_learn_of(common.plug_in(model))
    return {
        "scikit-learn, float64 rows": functools.partial(peer.score_samples, rows.astype(np.float64)),
        "scikit-learn, float32 rows": functools.partial(peer.score_samples, rows),
        "model.log_prob": functools.partial(model.log_prob, rows),
        "load_scorer(...).log_prob": functools.partial(tfgmm.load_scorer(path).log_prob, rows),
        "SavedModel": lambda keep=loaded: signature(x=tensor)["log_prob"].numpy(),
    }


def compare(report: common.Report, problem: common.Problem, covariance: str, rounds: int, folder: str) -> None:
    """Adds a table for a covariance shape."""
    rows = problem.rows()[0].astype(np.float32)
    fit = tfgmm.fit_mixture(rows[:20_000], problem.num_components, covariance=covariance, restarts=1)
    ways = ways_of(fit.model, rows, folder)
    times = common.timed_in_turn(ways, rounds)
    name = "scikit-learn, float64 rows"
    expected = ways[name]()
    lines = [
        {
            "way": way,
            "rows/s": len(rows) / found["median"],
            "times scikit-learn": times[name]["median"] / found["median"],
            "first call, seconds": found["first"],
            "largest difference, nats": float(np.max(np.abs(ways[way]() - expected))),
        }
        for way, found in times.items()
    ]
    report.add(
        f"{problem}, covariance {covariance}, scoring",
        lines,
        [f"medians of {rounds} calls; model and scorer share a trace"],
    )


def main() -> None:
    """Prints the tables and writes results/bench_scoring.json."""
    arguments = common.arguments_of(__doc__, repeats=ROUNDS)
    report = common.Report("bench_scoring", arguments)
    sizes = (5_000, 4, 6, 1) if arguments.quick else (200_000, 16, 32, 1)
    with tempfile.TemporaryDirectory() as folder:
        for covariance in ("diag", "full"):
            compare(report, common.Problem("axis-aligned", *sizes), covariance, arguments.repeats, folder)


if __name__ == "__main__":
    main()
