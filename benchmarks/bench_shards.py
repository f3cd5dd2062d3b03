"""Rows in parts by Dask: two workers against one, processor time beside the bare kernel, and rows beyond the memory.

Run: python benchmarks/bench_shards.py [--quick] [--only speed | overhead | memory]
     [--rows 10000000] [--features 16] [--components 32] [--memory 400] [--times 10] [--rounds 2]
"""

from __future__ import annotations

import functools
import multiprocessing
import os
import resource
import statistics
import time
import warnings
from collections.abc import Sequence
from typing import Any

import common
import numpy as np

from tfgmm.data.blocks import RowBlock
from tfgmm.data.carried.asked import CarriedColumns
from tfgmm.data.shards.part import ShardRules, held_part
from tfgmm.mixture.features import columns_of_products, num_products
from tfgmm.mixture.parameters import form_of
from tfgmm.mixture.shard_sums import PartSums

ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
NUM_SWEEPS = 4


def main() -> None:
    """Prints the tables and writes results/bench_shards.json."""
    sizes = {"--rows": 10_000_000, "--features": 16, "--components": 32, "--memory": 400, "--times": 10, "--rounds": 2}
    options: dict[str, dict[str, Any]] = {name: {"type": int, "default": size} for name, size in sizes.items()}
    options["--only"] = {"choices": ["speed", "overhead", "memory"], "help": "one table alone"}
    arguments = common.arguments_of(__doc__, options=options)
    if arguments.quick:
        arguments.rows, arguments.components, arguments.times = 400_000, 8, 1
        arguments.rounds = 1
    report = common.Report("bench_shards", arguments)
    ways = {"speed": speed, "overhead": overhead, "memory": memory}
    for name, way in ways.items():
        if arguments.only in (None, name):
            way(report, arguments)


# --- Two workers against one ---------------------------------------------------------------------------------------


def speed(report: common.Report, arguments: Any) -> None:
    """Adds the table of sweeps by one and two workers, beside plain processes that do the same sums."""
    problem = {"num_rows": arguments.rows, "num_features": arguments.features, "num_components": arguments.components}
    for covariance in ("diag", "full"):
        asked = {**problem, "covariance": covariance, "num_parts": parts_of(arguments.rows, arguments.features, 32)}
        kinds = {"Dask workers": by_dask, "plain processes": by_processes}
        ways = {
            f"{what}, {number}": functools.partial(in_process, function, num_processes=number, **asked)
            for what, function in kinds.items()
            for number in (1, 2)
        }
        answers = common.in_turn(ways, arguments.rounds)
        fields = {"seconds a sweep": "seconds", "processor seconds": "processor"}
        lines: list[dict[str, Any]] = [
            {"way": way} | {title: common.median_of(found, field) for title, field in fields.items()}
            for way, found in answers.items()
        ]
        by_way = {line["way"]: line["seconds a sweep"] for line in lines}
        gains = [by_way[f"{what}, 1"] / by_way[f"{what}, 2"] for what in kinds]
        title = f"{arguments.rows:,} rows x {arguments.features}, {covariance}, K = {arguments.components}"
        notes = [
            f"two workers: {gains[0]:.2f} times as fast as one; two plain processes: {gains[1]:.2f}",
            f"share of the control's speed-up: {gains[0] / gains[1]:.2f}",
        ]
        report.add(title, lines, notes)


# --- Processor time beside the bare kernel ---------------------------------------------------------------------------


def overhead(report: common.Report, arguments: Any) -> None:
    """Adds the table of processor time by Dask and by the kernel alone, for partitions of several sizes."""
    lines = []
    for covariance in ("diag", "full"):
        for megabytes in (1, 16, 64):
            num_rows = min(arguments.rows, 4_000_000)
            asked = {
                "num_rows": num_rows,
                "num_features": arguments.features,
                "num_components": arguments.components,
                "covariance": covariance,
                "num_parts": parts_of(num_rows, arguments.features, megabytes),
                "num_processes": 1,
            }
            ways = {
                "dask": functools.partial(in_process, by_dask, **asked),
                "kernel": functools.partial(in_process, by_processes, **asked),
            }
            answers = common.in_turn(ways, arguments.repeats)
            dask, kernel = (common.median_of(answers[way], "processor") for way in ways)
            lines.append(
                {
                    "covariance": covariance,
                    "MB a partition": 4e-6 * num_rows * arguments.features / asked["num_parts"],
                    "partitions": asked["num_parts"],
                    "Dask, processor seconds a sweep": dask,
                    "kernel alone": kernel,
                    "times": dask / kernel,
                }
            )
    report.add("Processor time of a sweep: scheduler, worker and caller together", lines)


# --- Rows beyond the workers' memory ---------------------------------------------------------------------------------


def memory(report: common.Report, arguments: Any) -> None:
    """Adds the table of fits to more rows than the workers have memory for."""
    lines = []
    for times in sorted({max(1, arguments.times // 2), arguments.times}):
        num_rows = int(times * 2 * arguments.memory * 1e6 / (4 * arguments.features))
        asked = {
            "num_rows": num_rows,
            "num_features": arguments.features,
            "num_parts": parts_of(num_rows, arguments.features, 16),
            "megabytes": arguments.memory,
            "max_sweeps": 1 if arguments.quick else 3,
        }
        found = in_process(fit_beyond_memory, **asked)
        lines.append({"rows": num_rows, "times the workers' memory": times, **found})
    report.add(f"Two workers of {arguments.memory} MB each: a fit with K = 8, diag", lines, ["held rows are float32"])


def fit_beyond_memory(
    num_rows: int, num_features: int, num_parts: int, megabytes: int, max_sweeps: int
) -> dict[str, float]:
    """Fits rows to a cluster with little memory; answers seconds and the largest memory of a worker."""
    import tfgmm

    with cluster(2, memory_limit=f"{megabytes}MB") as client:
        warnings.simplefilter("ignore")  # the sweeps are few
        begun = time.perf_counter()
        tfgmm.fit_mixture(array_of(num_rows, num_features, num_parts), 8, restarts=2, max_sweeps=max_sweeps)
        seconds = time.perf_counter() - begun
        peaks = client.run(peak_memory)
    return {"seconds": seconds, "largest worker, MB": max(peaks.values())}


def peak_memory() -> float:
    """Returns the largest memory that this process had, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


# --- What the tables share -------------------------------------------------------------------------------------------


def parts_of(num_rows: int, num_features: int, megabytes: float) -> int:
    """Returns the number of partitions of about as many megabytes of float32."""
    return max(2, round(4e-6 * num_rows * num_features / megabytes))


def in_process(function: Any, **arguments: Any) -> Any:
    """Returns an answer from a process of its own, whose matrix library has one thread."""
    return common.in_fresh_process(function, environment={**os.environ, **ONE_THREAD}, **arguments)


def rows_of(part: int, num_rows: int, num_features: int) -> np.ndarray:
    """Makes the rows of a partition: eight overlapping groups."""
    rng = np.random.default_rng([0, part])
    locs = np.random.default_rng(1).normal(scale=3.0, size=(8, num_features))
    return locs[rng.integers(0, 8, num_rows)] + rng.normal(size=(num_rows, num_features))


def sizes_of(num_rows: int, num_parts: int) -> list[int]:
    """Returns the numbers of rows of the partitions."""
    return [len(part) for part in np.array_split(np.empty(num_rows, np.bool_), num_parts)]


def array_of(num_rows: int, num_features: int, num_parts: int) -> Any:
    """Makes a Dask Array whose partitions are made by the workers."""
    import dask
    import dask.array as da

    make = dask.delayed(rows_of, pure=True)
    parts = [
        da.from_delayed(make(part, size, num_features), (size, num_features), float)
        for part, size in enumerate(sizes_of(num_rows, num_parts))
    ]
    return da.concatenate(parts)


def cluster(num_workers: int, **options: Any) -> Any:
    """Starts workers of one thread each; their client is the one that Dask finds."""
    import logging

    from distributed import Client, LocalCluster

    sizes = {"n_workers": num_workers, "threads_per_worker": 1, "memory_limit": None}
    return Client(LocalCluster(dashboard_address=":0", silence_logs=logging.CRITICAL, **sizes | options))


def sums_of(covariance: str, num_features: int, num_components: int) -> PartSums:
    """Makes the sums of a sweep, at coefficients of round components."""
    form = form_of(covariance)
    rng = np.random.default_rng(2)
    size = num_products(form.write_products, num_features)
    one, other = columns_of_products(size, num_features)
    products = np.where(one == other, -0.5, 1e-3)[:, None] * np.ones(num_components)
    linear = np.concatenate([rng.normal(scale=3.0, size=(num_features, num_components)), products])
    name: Any = "correlated" if covariance == "full" else "independent"
    return PartSums(name, (linear, np.zeros(num_components)), (), num_features)


def by_dask(
    num_rows: int, num_features: int, num_components: int, covariance: str, num_parts: int, num_processes: int
) -> dict[str, float]:
    """Sweeps by Dask's workers; answers seconds and processor seconds of a sweep, of all processes together."""
    import psutil

    from tfgmm.data.sources import open_source

    with cluster(num_processes):
        warnings.simplefilter("ignore")  # partitions of 1 MB are few bytes
        rows: Any = open_source(array_of(num_rows, num_features, num_parts), "data", None, may_be_shards=True)
        rows.hold(np.array(rows.survey(0).summary.centre))
        function = sums_of(covariance, num_features, num_components)
        rows.sums(function)  # the first waits for the rows
        me = psutil.Process()
        family = [me, *me.children(recursive=True)]
        seconds, before = [], processor_seconds(family)
        for _ in range(NUM_SWEEPS):
            begun = time.perf_counter()
            rows.sums(function)
            seconds.append(time.perf_counter() - begun)
        used = (processor_seconds(family) - before) / NUM_SWEEPS
        rows.release()
    return {"seconds": statistics.median(seconds), "processor": used}


def processor_seconds(processes: Sequence[Any]) -> float:
    """Returns the processor time that processes have used."""
    return float(sum(times.user + times.system for times in (process.cpu_times() for process in processes)))


def by_processes(
    num_rows: int, num_features: int, num_components: int, covariance: str, num_parts: int, num_processes: int
) -> dict[str, float]:
    """Sums over the same partitions, shared out among plain processes that wait for each other after each sweep."""
    context = multiprocessing.get_context("spawn")
    barrier, answers = context.Barrier(num_processes), context.SimpleQueue()
    shares = np.array_split(np.arange(num_parts), num_processes)
    sizes = sizes_of(num_rows, num_parts)
    asked = (covariance, num_features, num_components, barrier, answers)
    work = [[(int(part), sizes[part]) for part in share] for share in shares]
    processes = [context.Process(target=sweep_alone, args=(parts, *asked)) for parts in work]
    for process in processes:
        process.start()
    found = [answers.get() for _ in processes]
    for process in processes:
        process.join()
    sweeps = [max(seconds) for seconds in zip(*(seconds for seconds, _ in found))]
    return {"seconds": statistics.median(sweeps), "processor": sum(used for _, used in found)}


def sweep_alone(
    parts: Sequence[tuple[int, int]],
    covariance: str,
    num_features: int,
    num_components: int,
    barrier: Any,
    answers: Any,
) -> None:
    """Sums over partitions again and again, with nothing around it; puts seconds and processor seconds of a sweep."""
    rules = ShardRules("data", None, "refuse", CarriedColumns())
    held = [
        list(held_part(rules, np.zeros(num_features), part, [RowBlock(rows_of(part, size, num_features))]))
        for part, size in parts
    ]
    function = sums_of(covariance, num_features, num_components)
    seconds, used = [], 0.0
    for number in range(NUM_SWEEPS + 1):
        barrier.wait()
        begun, before = time.perf_counter(), time.process_time()
        for (part, _), blocks in zip(parts, held):
            function(part, iter(blocks))
        if number:  # the first is a rehearsal
            used += time.process_time() - before
        barrier.wait()
        seconds.append(time.perf_counter() - begun)
    answers.put((seconds[1:], used / NUM_SWEEPS))


if __name__ == "__main__":
    main()
