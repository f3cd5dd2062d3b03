"""`tfgmm fit` of a folder of Parquet files with more rows than fit in memory: seconds, and peak memory, by rows.

Rows of 8 components in 8 columns, float32, 10,000,000 in a file, written block by block.

Run: python benchmarks/bench_many_rows.py [--quick] [--rows 50000000 200000000] [--folder /path/with/room]
"""

from __future__ import annotations

import pathlib
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from typing import Any

import common
import numpy as np

NUM_COMPONENTS, NUM_FEATURES = 8, 8
ROWS_OF_A_FILE, ROWS_OF_A_BLOCK = 10_000_000, 1_000_000


def write_rows(folder: pathlib.Path, num_rows: int) -> int:
    """Writes the rows and returns the bytes on the disk."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(0)
    means = rng.normal(0.0, 3.0, (NUM_COMPONENTS, NUM_FEATURES)).astype(np.float32)
    schema = pa.schema([(f"column_{number}", pa.float32()) for number in range(NUM_FEATURES)])
    folder.mkdir()
    for number, start in enumerate(range(0, num_rows, ROWS_OF_A_FILE)):
        with pq.ParquetWriter(folder / f"part_{number:04d}.parquet", schema, compression="none") as writer:
            stop = min(num_rows, start + ROWS_OF_A_FILE)
            for first in range(start, stop, ROWS_OF_A_BLOCK):
                size = min(ROWS_OF_A_BLOCK, stop - first)
                groups = rng.integers(0, NUM_COMPONENTS, size)
                rows = means[groups] + rng.standard_normal((size, NUM_FEATURES), np.float32)
                writer.write_table(pa.Table.from_arrays(list(rows.T), schema=schema))
    return sum(path.stat().st_size for path in folder.iterdir())


def fitted(folder: pathlib.Path, out: pathlib.Path, covariance: str) -> dict[str, Any]:
    """Returns seconds of the command, its processor time, and its peak memory."""
    command = [sys.executable, "-m", "tfgmm", "fit", str(folder), "--components", str(NUM_COMPONENTS)]
    command += ["--covariance", covariance, "--posterior", "mean_field", "--out", str(out)]
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    after, seconds = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - began
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    sweeps = len((out / "history.csv").read_text(encoding="utf-8").splitlines()) - 1
    return {"seconds": seconds, "cpu": cpu, "sweeps": sweeps, "largest peak so far, MiB": after.ru_maxrss / 1024}


def main() -> None:
    """Prints the table and writes results/bench_many_rows.json."""
    options: dict[str, dict[str, Any]] = {
        "--rows": {"type": int, "nargs": "+", "default": [50_000_000, 200_000_000], "help": "rows, ascending"},
        "--folder": {"type": pathlib.Path, "help": "where the rows are written for a while: 32 bytes a row"},
        "--covariance": {"default": "diag", "help": "shape"},
    }
    arguments = common.arguments_of(__doc__, options=options)
    report, lines = common.Report("bench_many_rows", arguments), []
    for num_rows in [200_000, 400_000] if arguments.quick else arguments.rows:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as place:
            folder = pathlib.Path(place)
            began = time.perf_counter()
            size = write_rows(folder / "rows", num_rows)
            written = time.perf_counter() - began
            line = fitted(folder / "rows", folder / "fit", arguments.covariance)
            shutil.rmtree(folder / "rows")
        lines.append({"rows": num_rows, "MB": size // 10**6, "seconds to write": written, **line})
        report.add(f"{NUM_FEATURES} columns, {arguments.covariance}, K={NUM_COMPONENTS}", lines)


if __name__ == "__main__":
    main()
