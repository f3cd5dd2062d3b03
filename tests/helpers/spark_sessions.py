"""Spark for tests: a session, what its workers run, and runs of it in processes of their own."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import Any
from unittest import mock

import numpy as np

from tfgmm.data.blocks import RowBlock

HELPERS = pathlib.Path(__file__).resolve().parent
ROOT = HELPERS.parents[1]


def why_not() -> str:
    """Says why there is no Spark; "" where there is."""
    if importlib.util.find_spec("pyspark") is None:
        return 'pyspark is not installed: pip install "tfgmm[spark]"'
    return "" if shutil.which("java") else "this machine has no Java"


def environment() -> dict[str, str]:
    """Makes the environment in which workers find this Python, tfgmm and these helpers."""
    paths = [str(ROOT), str(HELPERS), os.environ.get("PYTHONPATH", "")]
    return {"PYSPARK_PYTHON": sys.executable, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


def skip_without() -> None:
    """Skips a test where there is no Spark; fails it where TFGMM_NEED_SPARK says that there must be."""
    import pytest  # not on the workers

    reason = why_not()
    if reason and os.environ.get("TFGMM_NEED_SPARK") == "1":
        pytest.fail(f"TFGMM_NEED_SPARK=1, but {reason}")
    if reason:
        pytest.skip(reason)


@contextlib.contextmanager
def session(master: str, folder: pathlib.Path) -> Iterator[Any]:
    """Opens the session of this process, which has one at a time; all that it writes is in the folder.

    Args:
        master: As Spark takes it; or "connect" for a server of Spark Connect that is started beside.
        folder: Folder for what Spark writes.
    """
    from pyspark.sql import SparkSession

    java = f"-Dderby.system.home={folder} -Djava.io.tmpdir={folder}"
    settings = {
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.extraJavaOptions": java,
        "spark.local.dir": str(folder / "local"),
        "spark.log.level": "OFF",
        "spark.sql.shuffle.partitions": "3",
        "spark.sql.warehouse.dir": str(folder / "warehouse"),
    }
    with mock.patch.dict(os.environ, environment() | {"SPARK_LOCAL_DIRS": str(folder / "local")}):
        if master == "connect":
            builder, settings = SparkSession.builder.remote("local[2]"), {}
        else:
            builder = SparkSession.builder.master(master).appName("tests of tfgmm")
        for key, value in settings.items():
            builder = builder.config(key, value)
        opened = builder.getOrCreate()
        try:
            yield opened
        finally:
            opened.stop()


def python_workers() -> list[int]:
    """Lists the processes in which the session of this process runs Python."""
    parents, daemons = {}, set()
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # a process that has ended meanwhile
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if b"pyspark.daemon" in (folder / "cmdline").read_bytes():
                daemons.add(int(folder.name))
    return [one for one in daemons if parents[one] in daemons and os.getpid() in _ancestors(one, parents)]


def killed(process: int) -> list[int]:
    """Kills a process; lists it where it was still there."""
    try:
        os.kill(process, 9)
    except ProcessLookupError:
        return []
    return [process]


def _ancestors(process: int, parents: dict[int, int]) -> set[int]:
    found = set()
    while (process := parents.get(process, 0)) > 0:
        found.add(process)
    return found


def output_of(script: str, *arguments: str) -> str:
    """Runs a script of these helpers in a process of its own; returns what it printed."""
    command = [sys.executable, str(HELPERS / script), *arguments]
    done = subprocess.run(command, env=os.environ | environment(), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


# --- What workers run: plain, and without tfgmm's own sums -----------------------------------------------------------


def facts(number: int, blocks: Iterator[RowBlock]) -> tuple[int, int, list[RowBlock], bool]:
    """Returns the number of the part, the process, its blocks, and whether TensorFlow is loaded there."""
    return number, os.getpid(), list(blocks), "tensorflow" in sys.modules


def doubled(number: int, blocks: Iterator[RowBlock]) -> Iterator[RowBlock]:
    """Yields one block of each, and the number of the part last."""
    for block in blocks:
        yield block._replace(values=np.float32(2.0) * block.values.astype(np.float32))
    yield RowBlock(np.full((1, 1), number, np.float32))


def inverse_cubes(number: int, blocks: Iterator[RowBlock]) -> np.ndarray:
    """Returns two sums over all values that depend on the order in which they are added."""
    values = np.concatenate([block.values.ravel() for block in blocks]).astype(np.float64)
    return np.array([np.sum(1.0 / (1.0 + np.nan_to_num(values) ** 3)), float(len(values))])


class Killing:
    """As `inverse_cubes`; the worker that has a part kills itself, the first time in a folder.

    Args:
        folder: Where the kill is noted.
        part: Number of the part.
    """

    def __init__(self, folder: pathlib.Path, part: int) -> None:
        self.folder, self.part = folder, part

    def __call__(self, number: int, blocks: Iterator[RowBlock]) -> np.ndarray:
        noted = self.folder / "killed"
        if number == self.part and not noted.exists():
            noted.touch()
            os.kill(os.getpid(), 9)
        return inverse_cubes(number, blocks)


def always_killed(number: int, blocks: Iterator[RowBlock]) -> np.ndarray:
    os.kill(os.getpid(), 9)
    return np.zeros(1)


def without_memory(number: int, blocks: Iterator[RowBlock]) -> np.ndarray:
    raise MemoryError("Unable to allocate 3.00 GiB")


def random_rows(batches: Iterator[Any]) -> Iterator[Any]:
    """Yields as many rows as come, other ones each time."""
    import pyarrow as pa

    for batch in batches:
        yield pa.record_batch([pa.array(np.random.default_rng().normal(size=batch.num_rows))], names=["x"])
