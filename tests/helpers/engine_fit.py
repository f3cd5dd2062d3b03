"""Fits rows in parts with a checkpoint, and writes the result: a process that may be killed."""

from __future__ import annotations

import contextlib
import os
import pathlib
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

import tfgmm


class Slow(tfgmm.callbacks.FitWatcher):
    """Leaves time between sweeps, in which a checkpoint is written."""

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        time.sleep(0.1)


@contextlib.contextmanager
def dask_frame() -> Iterator[Any]:
    """Makes a frame of four partitions, at a cluster of one worker."""
    import dask.dataframe as dd
    import pandas as pd
    from dask_clusters import three_clusters, workers

    with workers(1, processes=False):
        yield dd.from_pandas(pd.DataFrame(three_clusters(2000), columns=["a", "b", "c"]), npartitions=4)


@contextlib.contextmanager
def spark_frame() -> Iterator[Any]:
    """Makes a frame of four partitions, in a session of its own."""
    from spark_sessions import session

    columns = "sin(7.0 * id) + 3 * (id % 3) AS a, cos(3.0 * id * id) - (id % 3) AS b, sin(id) * cos(5.0 * id) AS c"
    with tempfile.TemporaryDirectory() as folder, session("local[2,4]", pathlib.Path(folder)) as spark:
        yield spark.sql(f"SELECT {columns} FROM range(0, 2000, 1, 4)")


def main(engine: str, output: str, checkpoint: str) -> None:
    """Fits, and writes the result whole."""
    options: dict[str, Any] = {"restarts": 2, "max_sweeps": 40, "tolerance": 1e-12, "covariance": "full"}
    with {"dask": dask_frame, "spark": spark_frame}[engine]() as frame, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # small partitions, few sweeps
        print("begun", flush=True)
        fit = tfgmm.fit_mixture(frame, 5, checkpoint=checkpoint, callbacks=[Slow()], **options)
        values = [fit.locs, fit.elbo, fit.history["elbo"], *fit.variational.values().components]
        with open(f"{output}.part", "wb") as file:
            file.write(b"".join(np.asarray(value).tobytes() for value in values))
        os.replace(f"{output}.part", output)


if __name__ == "__main__":
    main(*sys.argv[1:])
