"""Fits to a cluster of one worker with a checkpoint, and writes the result: a process that may be killed."""

from __future__ import annotations

import os
import sys
import time
import warnings
from typing import Any

import dask.dataframe as dd
import numpy as np
import pandas as pd
from dask_clusters import three_clusters, workers

import tfgmm


class Slow(tfgmm.callbacks.FitWatcher):
    """Leaves time between sweeps, in which a checkpoint is written."""

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        time.sleep(0.1)


def main(output: str, checkpoint: str) -> None:
    """Fits, and writes the result whole."""
    frame = dd.from_pandas(pd.DataFrame(three_clusters(2000), columns=["a", "b", "c"]), npartitions=4)
    options: dict[str, Any] = {"restarts": 2, "max_sweeps": 40, "tolerance": 1e-12, "covariance": "full"}
    with workers(1, processes=False), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # small partitions, few sweeps
        print("begun", flush=True)
        fit = tfgmm.fit_mixture(frame, 5, checkpoint=checkpoint, callbacks=[Slow()], **options)
    values = [fit.locs, fit.elbo, fit.history["elbo"], *fit.variational.values().components]
    with open(f"{output}.part", "wb") as file:
        file.write(b"".join(np.asarray(value).tobytes() for value in values))
    os.replace(f"{output}.part", output)


if __name__ == "__main__":
    main(*sys.argv[1:])
