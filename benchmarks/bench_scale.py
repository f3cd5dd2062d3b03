"""Many rows from disk: time and memory of `fit_mixture` on Parquet files of 1e5, 1e6 and 1e7 rows, 16 columns.

Each file is fitted in a fresh process: 8 components, 2 restarts, at most 5 sweeps. Its memory is the largest it ever
held (ru_maxrss) beyond that of a process which imports the same and fits 1,000 rows. Files are float32, in row groups
of 1e5 rows, one at a time, deleted afterwards: 0.7 GB of disk at most.

Run: python benchmarks/bench_scale.py [--quick] [--repeats 3]
"""

from __future__ import annotations

import functools
import pathlib
import resource
import shutil
import statistics
import tempfile
import time
import warnings
from typing import Any

import common
import numpy as np

COLUMNS, COMPONENTS, GROUP_ROWS = 16, 8, 100_000
SETTINGS = {"restarts": 2, "max_sweeps": 5, "seed": 0}


def write_parquet(path: pathlib.Path, num_rows: int) -> None:
    """Writes the rows group by group. Little memory: Linux counts a parent's in its child's peak."""
    import pyarrow as pa
    from pyarrow import parquet

    rng = np.random.default_rng(0)
    means = rng.normal(0, 3, (COMPONENTS, COLUMNS)).astype(np.float32)
    names = [f"x{column}" for column in range(COLUMNS)]
    with parquet.ParquetWriter(path, pa.schema([(name, pa.float32()) for name in names])) as writer:
        for start in range(0, num_rows, GROUP_ROWS):
            count = min(GROUP_ROWS, num_rows - start)
            noise = rng.standard_normal((count, COLUMNS), dtype=np.float32)
            rows = means[rng.integers(0, COMPONENTS, count)] + noise
            writer.write_table(pa.table(dict(zip(names, rows.T))), row_group_size=GROUP_ROWS)


def fit_file(path: str) -> dict[str, Any]:
    """Returns the seconds of a fit, its sweeps, the median seconds of those after the first, and the peak in MiB."""
    import pyarrow.parquet  # noqa: F401  both are loaded on first use: imports, not work
    import sklearn.cluster  # noqa: F401
    import tensorflow as tf

    import tfgmm

    fit, clock = tfgmm.fit_mixture, sweep_clock()
    warnings.simplefilter("ignore", tfgmm.ConvergenceWarning)  # five sweeps are what is measured
    tf.zeros(())  # TensorFlow's runtime begins, as the imports' last part
    began = time.perf_counter()
    result = fit(path, COMPONENTS, callbacks=[clock], **SETTINGS)
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sweeps = len(result.history["loss"])
    return {"seconds": seconds, "sweeps": sweeps, "sweep": clock.median(), "peak_mib": peak}


def sweep_clock() -> Any:
    """Returns a Keras callback that knows how long sweeps took."""
    import keras

    class Clock(keras.callbacks.Callback):
        """The seconds of every sweep."""

        def __init__(self) -> None:
            super().__init__()
            self.times: list[float] = []

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            """Starts the clock."""
            self.times.append(-time.perf_counter())

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            """Stops the clock."""
            self.times[-1] += time.perf_counter()

        def median(self) -> float:
            """Returns the median seconds of a sweep, the first left out where there are more: it traces."""
            return statistics.median(self.times[1:] or self.times)

    return Clock()


def check_room(folder: pathlib.Path, num_rows: int) -> None:
    """Checks that a file of that size fits on the disk, with a third to spare."""
    needed, free = num_rows * COLUMNS * 4 * 4 // 3, shutil.disk_usage(folder).free
    if free < needed:
        raise SystemExit(
            f"The largest file needs {needed / 1e9:.1f} GB in {folder}. Received: {free / 1e9:.1f} GB free. "
            "Set TMPDIR to a folder with more room."
        )


def measured(folder: pathlib.Path, num_rows: int, repeats: int) -> list[Any]:
    """Returns the answers of `fit_file` for a file that is there only meanwhile."""
    path = folder / f"rows_{num_rows}.parquet"
    write_parquet(path, num_rows)
    try:
        way = functools.partial(common.in_fresh_process, fit_file, path=str(path))
        return common.in_turn({"fit": way}, repeats)["fit"]
    finally:
        path.unlink()


def main() -> None:
    """Prints the table and writes results/bench_scale.json."""
    arguments = common.arguments_of(__doc__)
    report = common.Report("bench_scale", arguments)
    sizes = (2_000, 30_000) if arguments.quick else (100_000, 1_000_000, 10_000_000)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        check_room(folder, max(sizes))
        small = common.median_of(measured(folder, 1_000, arguments.repeats), "peak_mib")
        lines = [line_of(num_rows, measured(folder, num_rows, arguments.repeats), small) for num_rows in sizes]
    notes = [
        f"peak of a process that fits 1,000 rows: {small:.0f} MiB",
        "seconds: a first pass, tracing, restarts on a sample of 20,000 rows, the sweeps, a last pass for the bound",
        "one sweep: the median of those after the first, which traces",
    ]
    report.add(f"fit_mixture of a Parquet file, {COLUMNS} columns, {COMPONENTS} components", lines, notes)


def line_of(num_rows: int, answers: list[Any], small: float) -> dict[str, Any]:
    """Returns the line of a size; rows per second count every row once per sweep."""
    seconds, sweeps, sweep, peak = (
        common.median_of(answers, field) for field in ("seconds", "sweeps", "sweep", "peak_mib")
    )
    return {
        "rows": num_rows,
        "seconds": seconds,
        "sweeps": sweeps,
        "rows/s, whole fit": num_rows * sweeps / seconds,
        "rows/s, one sweep": num_rows / sweep,
        "MiB beyond 1,000 rows": peak - small,
        "rows, MiB of float32": num_rows * COLUMNS * 4 / 2**20,
        "runs": len(answers),
    }


if __name__ == "__main__":
    main()
