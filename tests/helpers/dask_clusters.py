"""Dask clusters on this machine, for tests: workers are processes with one thread each, on ports that are free."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np


@contextlib.contextmanager
def started(number: int, **options: Any) -> Iterator[Any]:
    """Starts workers and their client, which Dask does not find by itself, and ends them."""
    from distributed import Client, LocalCluster

    options = {"threads_per_worker": 1, "dashboard_address": ":0", **options}
    with LocalCluster(n_workers=number, **options) as cluster:
        client = Client(cluster, set_as_default=False)
        try:
            yield client
        finally:
            client.close()


@contextlib.contextmanager
def workers(number: int, **options: Any) -> Iterator[Any]:
    """Starts workers, makes their client the one that Dask finds, and ends them."""
    with started(number, **options) as client, client.as_current():
        yield client


def loaded(*names: str) -> list[str]:
    """Lists which of these packages a process has loaded."""
    return [name for name in names if name in sys.modules]


def noted(part: Any, folder: str) -> Any:
    """Hands a partition on, and notes in a folder which process had it."""
    with open(os.path.join(folder, str(os.getpid())), "a", encoding="utf-8") as file:
        file.write(f"{len(part)}\n")
    return part


class GatherWatch:
    """Measures what a client brings to this process.

    Args:
        client: The client.
    """

    def __init__(self, client: Any) -> None:
        self.largest = 0
        self._gather: Callable[..., Any] = client.gather

    def __call__(self, futures: Any, *arguments: Any, **named: Any) -> Any:
        """Gathers as the client does, and notes the size of the largest answer."""
        import pickle

        found = self._gather(futures, *arguments, **named)
        for one in found if isinstance(found, list) else [found]:
            self.largest = max(self.largest, len(pickle.dumps(one)))
        return found


def three_clusters(num_rows: int, seed: int = 0) -> np.ndarray:
    """Makes rows of three columns in three clusters."""
    rng = np.random.default_rng(seed)
    means = np.array([[0.0, 5.0, 0.0], [4.0, 0.0, 2.0], [-4.0, 0.0, 0.0]])
    return rng.normal(means[rng.integers(0, 3, num_rows)], [1.0, 0.5, 2.0])
