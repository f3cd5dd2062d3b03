"""Rows in a folder of Parquet files, fitted by two Dask workers: how many components, and where they are.

The rows are made first, file by file: measurements of three kinds of a part, some of them without a mass. No process
ever holds all of them. Run from a clone: python training/dask_clusters.py
"""

from __future__ import annotations

import argparse
import logging
import pathlib
import tempfile
import time
import warnings
from typing import Any

import dask.dataframe as dd
import numpy as np
import pandas as pd
from distributed import Client, LocalCluster

import tfgmm

COLUMNS = ["length", "width", "mass"]
MEANS = np.array([[20.0, 5.0, 1.2], [35.0, 5.5, 2.0], [35.0, 9.0, 3.1]])
SPREADS = np.array([[0.5, 0.2, 0.05], [1.0, 0.2, 0.10], [0.8, 0.4, 0.10]])


def write_rows(folder: pathlib.Path, num_rows: int, num_files: int) -> None:
    """Writes the rows, one file after the other; one in 50 has no mass."""
    for number, part in enumerate(np.array_split(np.arange(num_rows), num_files)):
        rng = np.random.default_rng([0, number])
        kind = rng.choice(3, len(part), p=[0.5, 0.3, 0.2])
        rows = rng.normal(MEANS[kind], SPREADS[kind])
        rows[rng.random(len(part)) < 0.02, 2] = np.nan
        pd.DataFrame(rows, columns=COLUMNS).to_parquet(folder / f"part-{number:04}.parquet")


class Sweeps(tfgmm.callbacks.FitWatcher):
    """Prints what each sweep over all rows gained, and its seconds."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Notes when a sweep begins."""
        self.begun = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Prints the bound."""
        seconds = time.perf_counter() - self.begun
        print(f"K = {self.model.num_components}, sweep {epoch + 1}: {logs['elbo']:,.1f} nats, {seconds:.2f} s")


def fit(folder: pathlib.Path) -> None:
    """Fits the rows where the workers read them, and prints what was found."""
    rows = dd.read_parquet(folder)
    print(f"{rows.npartitions} partitions")
    warnings.filterwarnings("ignore", message=".*missing at random")  # it is so: see `write_rows`
    choice = tfgmm.fit_mixture(rows, range(2, 5), covariance="diag", restarts=4, seed=0, callbacks=[Sweeps()])
    print(choice)
    result = choice.best
    found = pd.DataFrame(result.locs, columns=COLUMNS).assign(weight=np.exp(result.plug_in().log_weights))
    print(f"{result.num_data:,} rows; locations of components\n{found.round(2).to_string(index=False)}")
    partition = rows.partitions[0].compute()  # one of them is no more than one file
    lowest = partition.iloc[np.argsort(result.log_prob(partition))[:3]]
    print(f"the oddest rows of the first file\n{lowest.round(2).to_string()}")


def main(arguments: Any = None) -> None:
    """Writes rows, starts two workers, fits."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=4_000_000)
    parser.add_argument("--files", type=int, default=4)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--figures", type=pathlib.Path, help="taken as by the other recipes; this one draws none")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        write_rows(pathlib.Path(folder), options.rows, options.files)
        sizes: Any = {"n_workers": options.workers, "threads_per_worker": 1}
        # Workers that are ended while they report say so, as an error, unless they are told not to
        quiet: Any = {"dashboard_address": ":0", "silence_logs": logging.CRITICAL}
        with (
            LocalCluster(**sizes, **quiet) as cluster,  # type: ignore[no-untyped-call]
            Client(cluster),  # type: ignore[no-untyped-call]
        ):
            fit(pathlib.Path(folder))


if __name__ == "__main__":
    main()
