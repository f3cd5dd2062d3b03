"""The same rows as files of every kind, as bytes; a filesystem that stops in the middle of a file."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.spec import AbstractBufferedFile

NAMES = ("a", "b", "c")
_KIND = np.arange(400)[:, None] % 2  # two groups, far from each other
VALUES = (np.random.default_rng(3).normal(size=(400, 3)) + 9.0 * _KIND) * [1.0, 10.0, 0.1]
TABLE = pa.table(dict(zip(NAMES, VALUES.T, strict=True)))


def parquet(table: pa.Table, group: int = 150) -> bytes:
    """Writes a table as Parquet, in row groups of some size."""
    file = io.BytesIO()
    pq.write_table(table, file, row_group_size=group)
    return file.getvalue()


def arrow(table: pa.Table, new: Callable[..., Any] = pa.ipc.new_file, compression: str | None = None) -> bytes:
    """Writes a table as an Arrow file, or a stream."""
    file = io.BytesIO()
    with new(file, table.schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as writer:
        writer.write_table(table, max_chunksize=150)
    return file.getvalue()


def csv(table: pa.Table) -> bytes:
    """Writes a table as CSV."""
    file = io.BytesIO()
    pyarrow.csv.write_csv(table, file)
    return file.getvalue()


KINDS = {
    "rows.parquet": parquet,
    "rows.arrow": arrow,
    "packed.arrow": lambda table: arrow(table, compression="zstd"),
    "stream.arrow": lambda table: arrow(table, pa.ipc.new_stream),
    "rows.csv": csv,
    "rows.csv.gz": lambda table: gzip.compress(csv(table), mtime=0),
    "semicolons.csv": lambda table: csv(table).replace(b",", b";").replace(b".", b","),
}


class Faulty(MemoryFileSystem):  # type: ignore[misc]
    """Files in memory behind a network that fails after some bytes, with an error of its own.

    Attributes:
        left: Bytes that still come.
        error: What is raised then.
    """

    protocol = "faulty"
    store: dict[str, Any] = {}
    pseudo_dirs = [""]
    left = 0
    error: Exception = OSError("none")

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(super()._strip_protocol(path.replace("faulty://", "memory://").replace("USER:KEY1@", "")))

    def _open(self, path: str, mode: str = "rb", **options: Any) -> Any:
        opened = super()._open(path, mode, **options)
        return _Failing(self, path, size=self.store[path].size, cache_type="none") if mode == "rb" else opened


class _Failing(AbstractBufferedFile):  # type: ignore[misc]
    def _fetch_range(self, start: int, end: int) -> bytes:
        content = bytes(Faulty.store[self.path].getbuffer()[start:end])
        Faulty.left -= len(content)
        if Faulty.left < 0:
            raise Faulty.error
        return content


def memory_file(path: str, content: bytes, scheme: str = "memory") -> str:
    """Puts a file into memory, and returns its URL."""
    fsspec.filesystem(scheme).pipe_file(path, content)
    return f"{scheme}:/{path}"
