"""`tfgmm score` from start to end, a process each: seconds, rows a second and peak memory, by size.

The files have a column that the model does not know, and all four scores are written. CSV of a hundred rows shows what
starting costs; Parquet of a million and of ten million rows shows whether memory grows.

Run: python benchmarks/bench_score_command.py [--quick] [--repeats 3]
"""

from __future__ import annotations

import functools
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

import common
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

import tfgmm

BLOCK = 100_000


def write_rows(path: pathlib.Path, rows: np.ndarray, num_rows: int) -> None:
    """Writes `num_rows` rows, drawn from `rows` (N, D), as Parquet or CSV."""
    rng = np.random.default_rng(0)
    names = [f"x{index}" for index in range(rows.shape[1])]
    schema = pa.schema([("id", pa.int64()), *((name, pa.float64()) for name in names)])
    is_csv = path.suffix == ".csv"
    with pa.csv.CSVWriter(path, schema) if is_csv else pq.ParquetWriter(path, schema) as writer:
        for start in range(0, num_rows, BLOCK):
            size = min(BLOCK, num_rows - start)
            drawn = rows[rng.integers(0, len(rows), size)]
            columns = [np.arange(start, start + size), *np.ascontiguousarray(drawn.T)]
            writer.write_table(pa.table([pa.array(column) for column in columns], schema=schema))


def score(model: str, source: str, out: str) -> dict[str, float]:
    """Returns the seconds of a command and its peak memory in MiB; runs in a process of its own, which counts it."""
    command = [sys.executable, "-m", "tfgmm", "score", "--model", model, "--in", source, "--out", out, "--overwrite"]
    command += ["--columns", "log_prob,assignment,responsibilities,outlier"]
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "peak": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024}


def line_of(name: str, num_rows: int, answers: list[Any]) -> dict[str, Any]:
    """Returns the line of a table."""
    seconds = statistics.median(answer["seconds"] for answer in answers)
    peak = max(answer["peak"] for answer in answers)
    return {"file": name, "seconds": seconds, "rows/s": num_rows / seconds, "peak MiB": peak}


def compare(report: common.Report, problem: common.Problem, covariance: str, quick: bool, repeats: int) -> None:
    """Adds the table of a covariance shape."""
    sizes = {"rows.csv": 100, "rows.parquet": 2000 if quick else 1_000_000}
    sizes |= {} if quick else {"more.parquet": 10_000_000}
    rows = problem.rows()[0]
    table = pa.table({f"x{index}": column for index, column in enumerate(rows.T)})
    with tempfile.TemporaryDirectory() as folder:
        place = pathlib.Path(folder)
        model = tfgmm.fit_mixture(
            table, problem.num_components, covariance=covariance, restarts=1, tolerance=1e-4
        ).model
        exported = str(tfgmm.export_model(model, place / "model"))
        ways = {}
        for file, num_rows in sizes.items():
            write_rows(place / file, rows, num_rows)
            arguments = {"source": str(place / file), "out": str(place / "scored.parquet")}
            way = functools.partial(common.in_fresh_process, score, model=exported, **arguments)
            ways[f"{num_rows:,} {file.partition('.')[2]}"] = (num_rows, way)
        answers = common.in_turn({name: way for name, (_, way) in ways.items()}, repeats)
        lines = [line_of(name, ways[name][0], answers[name]) for name in ways]
    report.add(f"{problem}, covariance {covariance}, tfgmm score", lines, [f"medians of {repeats} runs"])


def main() -> None:
    """Prints the tables and writes results/bench_score_command.json."""
    arguments = common.arguments_of(__doc__)
    report = common.Report("bench_score_command", arguments)
    sizes = (5_000, 4, 6, 1) if arguments.quick else (64_000, 16, 32, 1)
    for covariance in ("diag", "full"):
        compare(report, common.Problem("axis-aligned", *sizes), covariance, arguments.quick, arguments.repeats)


if __name__ == "__main__":
    main()
