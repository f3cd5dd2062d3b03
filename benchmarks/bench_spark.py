"""Fits to Spark DataFrames against Spark's own mixture, and what Spark adds to the bare work of a sweep.

Fits: pyspark.ml.clustering.GaussianMixture and `fit_mixture`, full covariances, the same rows in the same partitions of
Parquet, columns standardised, gains below the same tolerance for the stop, a fresh session and a short fit to a
hundredth of the rows first. Rows of the file go to `fit_mixture` as columns, to Spark's as the vectors that it takes.
Held-out density is worked out by SciPy for both.

Sweeps: processor time of a sweep over rows that are held, of this process, the JVM and its Python workers together,
against the same function called with the same blocks in one plain process.

Run: python benchmarks/bench_spark.py [--quick] [--rows 200000] [--columns 8] [--components 8] [--seeds 5]
     [--master 'local[2,4]'] [--partitions 8] [--megabytes 16,64] [--only fits]
"""

from __future__ import annotations

import contextlib
import functools
import os
import pathlib
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from typing import Any

import common
import numpy as np
from common import Problem

MOST_ITERATIONS = 200
TOLERANCE = 1e-5  # nats per row; the default of `fit_mixture` over all rows
SWEEPS, WARM = 14, 8  # sweeps that are timed, and from which on Java has compiled what it runs often
COVARIANCES = {"diag": "independent", "full": "correlated"}
WAYS = ("fit_mixture", "GaussianMixture of Spark")


@contextlib.contextmanager
def session(master: str) -> Iterator[Any]:
    """Opens a session whose files are in a folder that is gone afterwards."""
    from pyspark.sql import SparkSession

    os.environ["PYSPARK_PYTHON"] = sys.executable
    with tempfile.TemporaryDirectory(prefix="bench-spark-") as folder:
        os.environ["SPARK_LOCAL_DIRS"] = folder
        settings = {"ui.enabled": "false", "ui.showConsoleProgress": "false", "driver.host": "127.0.0.1"}
        settings |= {"driver.memory": "4g", "sql.warehouse.dir": folder, "log.level": "OFF"}
        settings |= dict.fromkeys(("sql.files.maxPartitionBytes", "sql.files.openCostInBytes"), str(2**30))
        builder = SparkSession.builder.master(master)
        for name, value in settings.items():
            builder = builder.config(f"spark.{name}", value)
        opened = builder.getOrCreate()
        try:
            yield opened
        finally:
            opened.stop()


def processor_seconds() -> float:
    """Returns the processor time of this process and of all that it has started, those that have ended among them."""
    times: dict[int, tuple[int, float]] = {}
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            times[int(folder.name)] = int(fields[1]), sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    ours, found = {os.getpid()}, 0
    while len(ours) != found:
        found = len(ours)
        ours |= {process for process, (parent, _) in times.items() if parent in ours}
    return sum(times[process][1] for process in ours)


# --- Fits -----------------------------------------------------------------------------------------------------


def write_rows(problem: Problem, num_partitions: int, folder: pathlib.Path) -> None:
    """Writes standardised rows, one file of Parquet for each partition, and held-out rows in the same units."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows, held_out, _ = problem.rows()
    mean, spread = rows.mean(axis=0), rows.std(axis=0)
    for number, part in enumerate(np.array_split((rows - mean) / spread, num_partitions)):
        table = pa.table({f"x{index}": column for index, column in enumerate(part.T)})
        pq.write_table(table, folder / f"part-{number:03}.parquet")
    np.save(folder / "_held_out.npy", (held_out - mean) / spread)


def fit(way: str, folder: str, num_components: int, seed: int, master: str) -> dict[str, Any]:
    """Returns seconds and processor seconds of a fit, its held-out density and its iterations."""
    warnings.simplefilter("ignore")
    import tfgmm  # noqa: F401  an import, not work

    fitted = by_spark if way == WAYS[1] else by_tfgmm
    with session(master) as spark:
        frame = spark.read.parquet(folder)
        fitted(frame.sample(0.01, seed=0), num_components, seed)
        began, processor = time.perf_counter(), processor_seconds()
        mixture, iterations, converged = fitted(frame, num_components, seed)
        answer = {"seconds": time.perf_counter() - began, "processor": processor_seconds() - processor}
    held_out = common.mean_log_density(mixture, np.load(pathlib.Path(folder) / "_held_out.npy"))
    return answer | {"held_out": held_out, "iterations": iterations, "converged": converged}


def by_tfgmm(frame: Any, num_components: int, seed: int) -> tuple[common.Mixture, int, bool]:
    """Fits by `fit_mixture`; answers the mixture, its sweeps over all rows, and whether they converged."""
    import tfgmm

    result = tfgmm.fit_mixture(frame, num_components, covariance="full", seed=seed, max_sweeps=MOST_ITERATIONS)
    return common.plug_in(result), len(result.history["loss"]), result.converged


def by_spark(frame: Any, num_components: int, seed: int) -> tuple[common.Mixture, int, bool]:
    """Fits Spark's mixture; its tolerance is of the log likelihood of all rows together."""
    from pyspark.ml.clustering import GaussianMixture
    from pyspark.ml.feature import VectorAssembler

    vectors = VectorAssembler(inputCols=frame.columns, outputCol="features").transform(frame).select("features")
    settings = {"k": num_components, "seed": seed, "maxIter": MOST_ITERATIONS, "tol": TOLERANCE * frame.count()}
    model = GaussianMixture(**settings).fit(vectors)
    parts = model.gaussiansDF.collect()
    means = np.array([part["mean"].toArray() for part in parts])
    covariances = np.array([part["cov"].toArray() for part in parts])
    iterations = model.summary.numIter
    return common.Mixture(np.array(model.weights), means, covariances), iterations, iterations < MOST_ITERATIONS


def compare_fits(report: common.Report, arguments: Any) -> None:
    """Adds a line for each way: medians over the seeds, and in how many seeds it has our density at least."""
    problem = Problem("correlated", arguments.rows, arguments.columns, arguments.components, 10_000)
    with tempfile.TemporaryDirectory(prefix="bench-spark-rows-") as folder:
        write_rows(problem, arguments.partitions, pathlib.Path(folder))
        shared = {"folder": folder, "num_components": problem.num_components, "master": arguments.master}
        answers: dict[str, list[Any]] = {way: [] for way in WAYS}
        for seed in range(arguments.seeds):
            for way in WAYS:
                answers[way].append(common.in_fresh_process(fit, way=way, seed=seed, **shared))
    ours = answers[WAYS[0]]
    lines = []
    for way, found in answers.items():
        below = [own["held_out"] - other["held_out"] for own, other in zip(ours, found, strict=True)]
        line = common.fit_line(way, found, ours) | {"processor seconds": common.median_of(found, "processor")}
        lines.append(line | {"least below ours, nats per row": min(below), "most, nats per row": max(below)})
    note = f"standardised, {arguments.partitions} partitions, {arguments.master}; a run is a seed"
    report.add(f"{problem}, full, against Spark's GaussianMixture", lines, [note])


# --- Sweeps ---------------------------------------------------------------------------------------------------


def sweep(covariance: str, megabytes: float, num_columns: int, num_components: int, master: str) -> dict[str, Any]:
    """Returns processor and wall seconds of a sweep over four partitions, by Spark and bare.

    Args:
        megabytes: Size of a partition, float32.
    """
    from tfgmm.data.carried.asked import CarriedColumns
    from tfgmm.data.shards.chosen_columns import ShardColumns
    from tfgmm.data.shards.part import ShardRules, held_part, survey_part
    from tfgmm.data.shards.spark_engine import SparkEngine
    from tfgmm.mixture import features
    from tfgmm.mixture.shard_sums import PartSums

    warnings.simplefilter("ignore")
    names, carried = tuple(f"x{index}" for index in range(num_columns)), CarriedColumns()
    rules, centre = ShardRules("rows", names, "refuse", carried), np.zeros(num_columns)
    writer = features.write_squares if covariance == "diag" else features.write_products
    num_features = num_columns + features.num_products(writer, num_columns)
    linear = np.random.default_rng(0).normal(0, 0.1, (num_features, num_components))
    sums = PartSums(COVARIANCES[covariance], (linear, np.zeros(num_components)), (), num_columns)
    num_rows, num_partitions = int(megabytes * 2**20 / 4 / num_columns), 4
    with session(master) as spark:
        columns = ", ".join(f"CAST(randn({index}) AS float) AS {name}" for index, name in enumerate(names))
        frame = spark.sql(f"SELECT {columns} FROM range(0, {num_rows * num_partitions}, 1, {num_partitions})")
        engine = SparkEngine(frame, ShardColumns(names, carried), "rows")
        engine.survey(functools.partial(survey_part, rules, 0, 1_000))
        engine.hold(functools.partial(held_part, rules, centre))
        by_spark = [_measured(lambda: engine.sums(sums)) for _ in range(SWEEPS)]
        engine.release()
    rows = np.random.default_rng(0).standard_normal((num_rows, num_columns), np.float32)
    blocks = list(held_part(rules, centre, 0, _blocks(rows)))
    bare = [_measured(lambda: [sums(number, iter(blocks)) for number in range(num_partitions)]) for _ in range(SWEEPS)]
    slices = {"first": by_spark[:3], "spark": by_spark[WARM:], "bare": bare[WARM:]}
    return {name: np.median(times, axis=0).tolist() for name, times in slices.items()}


def _blocks(rows: np.ndarray) -> Iterator[Any]:
    from tfgmm.data.blocks import RowBlock, row_blocks

    return map(RowBlock, row_blocks(rows))


def _measured(way: Any) -> tuple[float, float]:
    """Returns the processor and the wall seconds of a call."""
    began, processor = time.perf_counter(), processor_seconds()
    way()
    return processor_seconds() - processor, time.perf_counter() - began


def compare_sweeps(report: common.Report, arguments: Any) -> None:
    """Adds a line for each size of partitions and shape."""
    lines = []
    shared = {"num_columns": 16, "num_components": 32, "master": arguments.master}
    for covariance in COVARIANCES:
        for megabytes in map(float, arguments.megabytes.split(",")):
            found = common.in_fresh_process(sweep, covariance=covariance, megabytes=megabytes, **shared)
            line: dict[str, Any] = {"covariance": covariance, "MiB a partition": megabytes}
            line |= {f"{way}, processor s": found[way][0] for way in ("spark", "bare")}
            line |= {"times bare": found["spark"][0] / found["bare"][0], "spark, s": found["spark"][1]}
            lines.append(line | {"first three, times bare": found["first"][0] / found["bare"][0]})
    title = f"A sweep over 4 partitions, D=16 K=32, {arguments.master}, median of the {WARM + 1}th to {SWEEPS}th"
    report.add(title, lines)


OPTIONS: dict[str, dict[str, Any]] = {
    "--rows": {"type": int, "default": 200_000, "help": "rows of the fits, 200,000"},
    "--columns": {"type": int, "default": 8, "help": "columns of the fits, 8"},
    "--components": {"type": int, "default": 8, "help": "components of the fits, 8"},
    "--partitions": {"type": int, "default": 8, "help": "files of the fits, 8"},
    "--seeds": {"type": int, "default": 5, "help": "seeds of the fits, 5"},
    "--megabytes": {"default": "16,64", "help": "sizes of partitions for sweeps, MiB of float32"},
    "--master": {"default": "local[2,4]", "help": "where Spark runs"},
    "--only": {"choices": ("fits", "sweeps"), "help": "one of the two"},
}


def main() -> None:
    """Prints the tables and writes results/bench_spark.json."""
    arguments = common.arguments_of(__doc__, repeats=1, options=OPTIONS)
    if arguments.quick:
        small = {"rows": 4_000, "columns": 3, "components": 3, "partitions": 2, "seeds": 1, "megabytes": "0.5"}
        vars(arguments).update(small)
    report = common.Report("bench_spark", arguments)
    if arguments.only != "sweeps":
        compare_fits(report, arguments)
    if arguments.only != "fits":
        compare_sweeps(report, arguments)


if __name__ == "__main__":
    main()
