"""Small tables: seconds of a fit, a choice, a command and an export of 272 rows, and of large fits for comparison.

The rows are those of old_faithful.csv, two columns. A later call is one after the first of its kind in its process; a
whole process counts its imports. scikit-learn's GaussianMixture, as many starts, runs in turn with ours. With --package
the package of another folder is measured by the same calls, run in turn with the present one: "before".

Run: python benchmarks/bench_small.py [--quick] [--repeats 5] [--only small|command|export|big] [--package FOLDER]
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import common
import numpy as np

FILE = common.FOLDER.parent / "training" / "data" / "old_faithful.csv"
RESTARTS = 8
# All but tied_spherical
FIVE_SHAPES = ("spherical", "diag", "tied_diag", "tied", "full")
PEERS_SHAPES = ("spherical", "diag", "tied", "full")
NATS = ("nats per row", "scikit-learn, nats per row")
# Sweeps whose time is told from that of a call with few
SWEEPS = 20
FIRST_CALL = "import numpy, tfgmm; tfgmm.fit_mixture({rows}, 2, covariance={covariance!r})"
PEERS_FIRST_CALL = (
    "import numpy, sklearn.mixture; "
    "sklearn.mixture.GaussianMixture(2, covariance_type={covariance!r}, n_init=8, random_state=0).fit({rows})"
)
READ = f"numpy.loadtxt({str(FILE)!r}, delimiter=',', skiprows=1)"

Environment = Mapping[str, str]
# What is measured, in the environment of a package: a function that answers "seconds", and "peer" where there is one
Ways = Mapping[str, Callable[[Environment], dict[str, Any]]]


def small_rows() -> np.ndarray:
    """Returns the rows, (272, 2) float64."""
    return np.loadtxt(FILE, delimiter=",", skiprows=1)


# --- In a fresh process -----------------------------------------------------------------------------------------


def later_calls(covariance: str, rounds: int) -> dict[str, float]:
    """Returns the seconds of a fit and of the peer's, medians of calls in turn, and the densities that they end at."""
    import tfgmm

    rows = small_rows()
    ours = functools.partial(tfgmm.fit_mixture, rows, 2, covariance=covariance, restarts=RESTARTS)
    peers = functools.partial(fit_sklearn, rows, 2, covariance)
    times = common.timed_in_turn({"ours": ours, "peer": peers}, rounds)
    densities = ours().log_likelihood / len(rows), peers().score(rows)
    return {"seconds": times["ours"]["median"], "peer": times["peer"]["median"], **dict(zip(NATS, densities))}


def fit_sklearn(rows: np.ndarray, num_components: int, covariance: str) -> Any:
    """Returns scikit-learn's mixture, fitted from as many starts as ours."""
    from sklearn.mixture import GaussianMixture

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some starts have not converged
        return GaussianMixture(num_components, covariance_type=covariance, n_init=RESTARTS, random_state=0).fit(rows)


def choices(covariances: Sequence[str], most: int) -> dict[str, float | None]:
    """Returns the seconds of choosing K from 1 to `most`, for one shape after the other, after a first small fit.

    The peer's are those of as many fits of it, nothing held out; None where it lacks a shape.
    """
    import tfgmm

    rows, numbers = small_rows(), range(1, most + 1)
    tfgmm.fit_mixture(rows, 2)
    fit_sklearn(rows, 2, "diag")
    ours = seconds_of(functools.partial(tfgmm.fit_mixture, rows, numbers, covariance=shape) for shape in covariances)
    if not set(covariances) <= set(PEERS_SHAPES):
        return {"seconds": ours, "peer": None}
    fits = [functools.partial(fit_sklearn, rows, number, shape) for shape in covariances for number in numbers]
    return {"seconds": ours, "peer": seconds_of(fits)}


def seconds_of(calls: Iterable[Callable[[], Any]]) -> float:
    """Returns the seconds of calls, one after the other."""
    began = time.perf_counter()
    for call in calls:
        call()
    return time.perf_counter() - began


def one_export(earlier: int) -> dict[str, float]:
    """Returns the seconds of an export, TensorFlow loaded, after `earlier` exports of other fits."""
    import tensorflow as tf

    import tfgmm

    tf.zeros(())  # TensorFlow's runtime begins, as the imports' last part
    results = [tfgmm.fit_mixture(small_rows(), 2, seed=seed) for seed in range(earlier + 1)]
    with tempfile.TemporaryDirectory() as folder:

        def export(number: int) -> None:
            """Exports one of the fits."""
            tfgmm.export_model(results[number].model, f"{folder}/{number}")

        for number in range(earlier):
            export(number)
        return {"seconds": seconds_of([functools.partial(export, earlier)])}


def one_sweep(problem: dict[str, Any], covariance: str) -> dict[str, float]:
    """Returns the seconds of an exact sweep of `fit`, told from calls with more and with fewer of them."""
    import tfgmm

    of = common.Problem(**problem)
    rows = of.rows()[0]
    model = tfgmm.GaussianMixtureModel(of.num_components, of.num_features, covariance=covariance, seed=0)
    model.compile()
    model.fit(rows, epochs=1, verbose=0)
    few, more = (
        seconds_of([functools.partial(model.fit, rows, epochs=epochs, verbose=0)]) for epochs in (2, 2 + SWEEPS)
    )
    return {"seconds": (more - few) / SWEEPS}


# --- Whole processes ---------------------------------------------------------------------------------------------


def whole_process(arguments: Sequence[str], environment: Environment) -> float:
    """Returns the seconds of a Python process from its start to its end, in an empty folder.

    Raises:
        RuntimeError: The process failed; says what it wrote.
    """
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, *arguments], cwd=folder, env=dict(environment), capture_output=True, text=True
        )
        seconds = time.perf_counter() - began
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)} failed:\n{done.stderr[-4000:]}")
    return seconds


def first_call(environment: Environment, covariance: str) -> dict[str, float]:
    """Returns the seconds of processes that fit once, ours and the peer's."""
    ours, peers = (code.format(rows=READ, covariance=covariance) for code in (FIRST_CALL, PEERS_FIRST_CALL))
    return {"seconds": whole_process(["-c", ours], environment), "peer": whole_process(["-c", peers], environment)}


def command(environment: Environment, components: str) -> dict[str, float]:
    """Returns the seconds of `tfgmm fit`, report included."""
    call = ["-m", "tfgmm", "fit", str(FILE), "--components", components, "--out", "run"]
    return {"seconds": whole_process(call, environment)}


def in_process(function: Callable[..., Any], **arguments: Any) -> Callable[[Environment], Any]:
    """Returns `function` as a way: run in a fresh process of an environment."""
    return lambda environment: common.in_fresh_process(function, environment=environment, **arguments)


# --- Tables ------------------------------------------------------------------------------------------------------


def tables_of_small(arguments: argparse.Namespace) -> dict[str, Ways]:
    """Returns what is measured of fits and choices of small tables, by the title of its table."""
    shapes = ("diag", "full")
    most = 3 if arguments.quick else 10
    return {
        f"272 x 2, K=2, {RESTARTS} restarts, later calls": {
            shape: in_process(later_calls, covariance=shape, rounds=arguments.repeats) for shape in shapes
        },
        "The same, the first call, whole process": {
            shape: functools.partial(first_call, covariance=shape) for shape in shapes
        },
        f"272 x 2, K = 1 to {most}, cross-validated, later calls": {
            "diag": in_process(choices, covariances=["diag"], most=most),
            "five shapes, five calls": in_process(choices, covariances=FIVE_SHAPES, most=most),
        },
    }


def tables_of_command(arguments: argparse.Namespace) -> dict[str, Ways]:
    """Returns what is measured of `tfgmm fit`."""
    ways = [f"--components {number}" for number in ("2", "1:3" if arguments.quick else "1:10")]
    return {
        "tfgmm fit old_faithful.csv, whole process": {
            way: functools.partial(command, components=way.split()[1]) for way in ways
        }
    }


def tables_of_export(arguments: argparse.Namespace) -> dict[str, Ways]:
    """Returns what is measured of `export_model`."""
    del arguments
    ways = {"the first of its process": 0, "the second": 1}
    return {
        "export_model, K=2, D=2, TensorFlow loaded": {
            name: in_process(one_export, earlier=earlier) for name, earlier in ways.items()
        }
    }


def tables_of_big(arguments: argparse.Namespace) -> dict[str, Ways]:
    """Returns what is measured of fits of many rows, and of their sweeps."""
    independent, dependent = common.two_problems(arguments.quick)
    cases = [(independent, "diag"), (independent, "full"), (dependent, "full")]
    named = {f"{problem}, {covariance}": (dataclasses.asdict(problem), covariance) for problem, covariance in cases}
    titles = {"Large fits, imports left out": common.fit_tfgmm, "One sweep over all rows": one_sweep}
    return {
        title: {
            name: in_process(function, problem=problem, covariance=covariance)
            for name, (problem, covariance) in named.items()
        }
        for title, function in titles.items()
    }


TABLES = {"small": tables_of_small, "command": tables_of_command, "export": tables_of_export, "big": tables_of_big}


def line_of(name: str, now: Sequence[Any], before: Sequence[Any] | None) -> dict[str, Any]:
    """Returns the line of a table: medians of seconds, ours over the peer's and over those of before.

    The fastest run stands beside the median: on a machine that others use it says more.
    """
    ours: Any = common.median_of(now, "seconds")
    line: dict[str, Any] = {"what": name, "seconds": ours, "fastest": fastest(now)}
    others: dict[str, Any] = {"scikit-learn": common.median_of(now, "peer")} if "peer" in now[0] else {}
    if before is not None:
        others["before"] = common.median_of(before, "seconds")
    for other, found in others.items():
        line |= {other: found, f"over {other}": ours / found if found else None}
    if before is not None:
        line["before, fastest"] = fastest(before)
    return line | {field: common.median_of(now, field) for field in NATS if field in now[0]} | {"runs": len(now)}


def fastest(answers: Sequence[Any]) -> float:
    """Returns the seconds of the fastest run."""
    return min(answer["seconds"] for answer in answers)


def compare(report: common.Report, title: str, ways: Ways, packages: Mapping[str, Environment], repeats: int) -> None:
    """Adds a table."""
    turns = {
        f"{name}, {package}": functools.partial(way, environment)
        for name, way in ways.items()
        for package, environment in packages.items()
    }
    answers = common.in_turn(turns, repeats)
    report.add(title, [line_of(name, answers[f"{name}, now"], answers.get(f"{name}, before")) for name in ways])


def packages_of(folder: pathlib.Path | None) -> dict[str, Environment]:
    """Returns by name the environments that the packages to measure are imported in.

    Raises:
        SystemExit: Another package than that of the folder would be imported.
    """
    packages = {"now": dict(os.environ)}
    if folder is None:
        return packages
    paths = [str(folder.resolve()), os.environ.get("PYTHONPATH", "")]
    before = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    where = [sys.executable, "-c", "import tfgmm; print(tfgmm.__file__)"]
    found = subprocess.run(where, env=before, cwd=tempfile.gettempdir(), capture_output=True, text=True).stdout.strip()
    if folder.resolve() not in pathlib.Path(found).parents:
        raise SystemExit(f"--package must hold the package tfgmm. Received: {folder}. Name a checkout of it.")
    return {**packages, "before": before}


def main() -> None:
    """Prints the tables and writes results/bench_small.json."""
    options = {
        "--only": {"choices": list(TABLES), "help": "one part of the tables"},
        "--package": {"type": pathlib.Path, "metavar": "FOLDER", "help": "checkout to measure too, as before"},
    }
    arguments = common.arguments_of(__doc__, repeats=5, options=options)
    packages = packages_of(arguments.package)
    report = common.Report("bench_small", arguments)
    for part in [arguments.only] if arguments.only else TABLES:
        for title, ways in TABLES[part](arguments).items():
            compare(report, title, ways, packages, arguments.repeats)


if __name__ == "__main__":
    main()
