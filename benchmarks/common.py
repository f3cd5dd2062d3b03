"""What the benchmarks share: simulated rows, fresh processes, runs in turn, tables, and the machine they ran on.

Run as a program it is the fresh process itself: it imports one benchmark, calls one function, writes its answer.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import importlib.metadata
import inspect
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

FOLDER = pathlib.Path(__file__).resolve().parent
PACKAGES = (
    "tfgmm",
    "tensorflow",
    "keras",
    "tensorflow-probability",
    "numpy",
    "scikit-learn",
    "gmmx",
    "jax",
    "pyarrow",
    "mlflow",
)
# A way whose first run took longer, in seconds, is not run again for a median.
_AFFORDABLE = 60.0
# Seconds after which threads of matrix libraries have stopped looking for work
_QUIET = 0.1

# --- Rows -----------------------------------------------------------------------------------------------------


class Mixture(NamedTuple):
    """Weights (K,), means (K, D), and covariances (K, D, D) or variances (K, D)."""

    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray


@dataclasses.dataclass(frozen=True)
class Problem:
    """A simulated set of rows: its kind, a key of `KINDS`, and its sizes."""

    kind: str
    num_rows: int
    num_features: int
    num_components: int
    num_held_out: int

    def __str__(self) -> str:
        return f"N={self.num_rows:,} D={self.num_features} K={self.num_components}, {self.kind}"

    def rows(self) -> tuple[np.ndarray, np.ndarray, Mixture]:
        """Returns rows (N, D) and held-out rows, float64, and the mixture they come from."""
        return KINDS[self.kind](self)


def axis_aligned(problem: Problem) -> tuple[np.ndarray, np.ndarray, Mixture]:
    """Returns rows whose columns are independent within a component, in components of several sizes."""
    rng = np.random.default_rng(0)
    shape = (problem.num_components, problem.num_features)
    means, scales = rng.normal(0, 3, shape), np.exp(rng.normal(-0.3, 0.3, shape))
    drawn = rng.integers(0, len(means), problem.num_rows)
    rows = means[drawn] + scales[drawn] * rng.standard_normal((problem.num_rows, shape[1]))
    again = drawn[: problem.num_held_out]
    held_out = means[again] + scales[again] * rng.standard_normal((len(again), shape[1]))
    return rows, held_out, Mixture(np.full(len(means), 1 / len(means)), means, np.square(scales))


def correlated(problem: Problem) -> tuple[np.ndarray, np.ndarray, Mixture]:
    """Returns rows of components with covariances A A'."""
    rng = np.random.default_rng(1)
    num_components, num_features = problem.num_components, problem.num_features
    means = rng.normal(0, 2, (num_components, num_features))
    drawn = rng.integers(0, num_components, problem.num_rows + problem.num_held_out)
    factors = rng.normal(0, 0.5, (num_components, num_features, num_features)) + np.eye(num_features)
    rows = rng.standard_normal((len(drawn), num_features))
    for k, factor in enumerate(factors):
        rows[drawn == k] = means[k] + rows[drawn == k] @ factor.T
    truth = Mixture(np.full(num_components, 1 / num_components), means, factors @ factors.transpose(0, 2, 1))
    return rows[: problem.num_rows], rows[problem.num_rows :], truth


KINDS = {"axis-aligned": axis_aligned, "correlated": correlated}


def two_problems(quick: bool) -> tuple[Problem, Problem]:
    """Returns the sets that fits are compared on."""
    if quick:
        return Problem("axis-aligned", 6_000, 4, 6, 1_000), Problem("correlated", 4_000, 4, 4, 1_000)
    return Problem("axis-aligned", 300_000, 16, 32, 20_000), Problem("correlated", 90_000, 32, 16, 10_000)


def mean_log_density(mixture: Mixture, rows: np.ndarray) -> float:
    """Returns the mean log density of rows, nats, by SciPy: one independent judge for every library."""
    densities = [
        multivariate_normal(mean, covariance).logpdf(rows)
        for mean, covariance in zip(mixture.means, mixture.covariances)
    ]
    return float(np.mean(logsumexp(np.transpose(densities) + np.log(mixture.weights), axis=1)))


def plug_in(model: Any) -> Mixture:
    """Returns the mixture at the posterior means of a tfgmm model, data units, float64."""
    density = model.plug_in()
    scales, covariances = density.form.covariances(density.components)
    spreads = np.square(scales) if covariances is None else covariances
    return Mixture(np.exp(density.log_weights), density.components["locs"] + density.centre, spreads)


# --- Fits -----------------------------------------------------------------------------------------------------


def fit_tfgmm(problem: dict[str, Any], covariance: str, **options: Any) -> dict[str, Any]:
    """Returns the seconds of `fit_mixture`, imports left out, its held-out density and its sweeps over all rows."""
    import sklearn.cluster  # noqa: F401  k-means++ is loaded on first use: an import, not work
    import tensorflow as tf

    import tfgmm

    fit = tfgmm.fit_mixture
    tf.zeros(())  # TensorFlow's runtime begins, as the imports' last part
    of = Problem(**problem)
    rows, held_out, _ = of.rows()
    began = time.perf_counter()
    result = fit(rows, of.num_components, covariance=covariance, seed=0, **options)
    seconds = time.perf_counter() - began
    fitted = result if hasattr(result, "plug_in") else result.model  # of the package before
    held_out_density = mean_log_density(plug_in(fitted), held_out)
    sweeps = len(result.history["loss"])
    return {"seconds": seconds, "held_out": held_out_density, "iterations": sweeps, "converged": result.converged}


# --- Processes ------------------------------------------------------------------------------------------------


def in_fresh_process(
    function: Callable[..., Any],
    *,
    limit: float | None = None,
    environment: Mapping[str, str] | None = None,
    **arguments: Any,
) -> Any:
    """Returns what a function at the top of a benchmark answers in a process of its own; None if it takes too long.

    So tracing and compiling are paid for every time, and no peer's threads or memory are in the way.

    Args:
        function: its arguments and its answer must be JSON values.
        limit: seconds, the imports included.
        environment: variables of the process; by default those of this one.

    Raises:
        RuntimeError: the process failed; says what it wrote.
    """
    module = pathlib.Path(inspect.getfile(function)).stem
    with tempfile.TemporaryDirectory() as folder:
        answer = pathlib.Path(folder) / "answer.json"
        call = [sys.executable, __file__, module, function.__name__, json.dumps(arguments), str(answer)]
        try:
            done = subprocess.run(call, capture_output=True, text=True, timeout=limit, env=environment)
        except subprocess.TimeoutExpired:
            return None
        if done.returncode:
            raise RuntimeError(f"{module}.{function.__name__} failed with {arguments}:\n{done.stderr[-4000:]}")
        return json.loads(answer.read_text(encoding="utf-8"))


def answer_call(module: str, function: str, arguments: str, path: str) -> None:
    """Runs the other side of `in_fresh_process`."""
    answer = getattr(importlib.import_module(module), function)(**json.loads(arguments))
    pathlib.Path(path).write_text(json.dumps(answer), encoding="utf-8")


def in_turn(ways: Mapping[str, Callable[[], Any]], repeats: int) -> dict[str, list[Any]]:
    """Returns the answers of every way: each way once, then each again, so that a slow minute meets all of them.

    A way whose first answer took more than a minute of `seconds`, or did not come, is asked only once.
    """
    answers: dict[str, list[Any]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            first = answers[name][0] if answers[name] else None
            if not answers[name] or (first and first["seconds"] < _AFFORDABLE):
                answers[name].append(way())
    return answers


def timed_in_turn(ways: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, dict[str, float]]:
    """Returns per way the seconds of the first call, which may trace, and the median of `rounds` calls after it.

    Each of those follows a pause and a call of its own kind: the threads of another one would still be spinning.
    """
    times: dict[str, list[float]] = {name: [_seconds(way)] for name, way in ways.items()}
    for _ in range(rounds):
        for name, way in ways.items():
            time.sleep(_QUIET)
            way()
            times[name].append(_seconds(way))
    return {name: {"first": found[0], "median": statistics.median(found[1:])} for name, found in times.items()}


def _seconds(way: Callable[[], Any]) -> float:
    began = time.perf_counter()
    way()
    return time.perf_counter() - began


def median_of(answers: Sequence[Any], field: str) -> float | None:
    """Returns the median of a field; None where an answer did not come, or has no such field."""
    values = [answer.get(field) if answer else None for answer in answers]
    return None if None in values else statistics.median(values)


# --- Tables ---------------------------------------------------------------------------------------------------


def arguments_of(
    description: str | None,
    flags: Mapping[str, str] | None = None,
    repeats: int = 3,
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> argparse.Namespace:
    """Returns the command line of a benchmark: what all of them take, and what is its own.

    Args:
        description: docstring of the benchmark.
        flags: switches of its own, by name and help.
        repeats: runs of each way, unless the command line says otherwise.
        options: options of its own that take a value, by name, as `add_argument` takes them.
    """
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=description, formatter_class=formatter)
    parser.add_argument("--quick", action="store_true", help="small sizes: shows that it runs, measures nothing")
    parser.add_argument("--repeats", type=int, default=None, help=f"runs of each way, {repeats}; quick 1")
    parser.add_argument("--results", type=pathlib.Path, default=FOLDER / "results", help="the folder of the JSON file")
    for name, text in (flags or {}).items():
        parser.add_argument(name, action="store_true", help=text)
    for name, option in (options or {}).items():
        parser.add_argument(name, **option)
    arguments = parser.parse_args()
    arguments.repeats = arguments.repeats or (1 if arguments.quick else repeats)
    return arguments


def machine() -> dict[str, Any]:
    """Returns what the figures hang on: processor, cores, memory, how busy it is, versions."""
    lines = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    installed = {package.metadata["Name"].lower(): package.version for package in importlib.metadata.distributions()}
    return {
        "processor": models[0] if models else platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "load_average": os.getloadavg()[0],
        "versions": {"python": platform.python_version()} | {name: installed.get(name) for name in PACKAGES},
    }


class Report:
    """Tables, printed as they come and written together as JSON, with the machine.

    Args:
        name: Name of the benchmark and of the JSON file.
        arguments: Arguments of the command line.
    """

    def __init__(self, name: str, arguments: argparse.Namespace) -> None:
        self._path = arguments.results / f"{name}.json"
        self._found: dict[str, Any] = {"benchmark": name, "quick": arguments.quick, "machine": machine(), "tables": {}}
        told = self._found["machine"]
        versions = ", ".join(f"{name} {version}" for name, version in told["versions"].items() if version)
        sizes = f"{told['cores']} cores, {told['memory_gib']} GiB, load average {told['load_average']:.1f}"
        print(f"{told['processor']}, {sizes}\n{versions}", flush=True)

    def add(self, title: str, lines: Sequence[Mapping[str, Any]], notes: Sequence[str] = ()) -> None:
        """Prints a table of lines that have the same columns, and writes all tables so far."""
        self._found["tables"][title] = {"lines": list(lines), "notes": list(notes)}
        texts = [list(lines[0]), *([shown(*cell) for cell in line.items()] for line in lines)]
        widths = [max(map(len, column)) for column in zip(*texts)]
        print(f"\n{title}")
        for first, *others in texts:
            cells = [first.ljust(widths[0]), *(text.rjust(width) for text, width in zip(others, widths[1:]))]
            print("  ".join(cells))
        print("".join(f"  {note}\n" for note in notes), end="", flush=True)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text(json.dumps(self._found, indent=1), encoding="utf-8")


def shown(column: str, value: Any) -> str:
    """Returns a cell: four digits of a number, four decimals of nats per row, and a dash for nothing."""
    if value is None or isinstance(value, (bool, str)):
        return {None: "-", True: "yes", False: "no"}.get(value, value)
    if "nats per row" in column:
        return f"{value:.4f}"
    return f"{value:,.0f}" if abs(value) >= 1000 or isinstance(value, int) else f"{value:.4g}"


def fit_line(way: str, answers: Sequence[Any], ours: Sequence[Any]) -> dict[str, Any]:
    """Returns the line of a fit: seconds, how many times those of `ours`, held-out density, iterations, runs."""
    seconds, reference = median_of(answers, "seconds"), median_of(ours, "seconds")
    return {
        "way": way,
        "seconds": seconds,
        "times ours": seconds / reference if seconds and reference else None,
        "held-out nats per row": median_of(answers, "held_out"),
        "iterations": median_of(answers, "iterations"),
        "converged": answers[0] and answers[0].get("converged"),
        "runs": len(answers),
    }


if __name__ == "__main__":
    sys.path.insert(0, str(FOLDER))
    answer_call(*sys.argv[1:])
