"""Where files of rows are: on this machine, or on another filesystem that a URL names. pyarrow is imported when needed.

A file of this machine is read as it always was. For others pyarrow's own filesystems go first (s3, gs, abfs, hdfs);
fsspec has the rest.
"""

from __future__ import annotations

import os
import string
import urllib.parse
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tfgmm.common.urls import is_url, without_secrets
from tfgmm.data.files.remote_errors import OnTheWay, filesystem_error, remote_error

# A read from another machine costs its way there and back: long ones
STREAM_BYTES = 2**22
_GOOGLE_SECONDS = 60  # that Google's library tries again for; 15 minutes by itself
# What pyarrow knows; it understands no URL of a chain of fsspec's
_OWN = ("s3://", "gs://", "gcs://", "abfs://", "abfss://", "hdfs://", "viewfs://")
_WITH_BUCKETS = ("s3", "gcs", "abfs")
_IN_URLS = "".join(set(string.punctuation) - set('"#<>\\^`{|}')) + "%"


class Look(NamedTuple):
    """What a look at a place has found.

    Args:
        is_file: Whether a file is there.
        is_folder: Whether a folder is there.
        size: Bytes of the file; None where the filesystem does not say.
    """

    is_file: bool
    is_folder: bool
    size: int | None


@dataclass(frozen=True)
class Place:
    """A file or a folder, on this machine or elsewhere. As text it is what messages show, without secrets.

    Args:
        path: Path, as its filesystem takes it.
        shown: Path or URL for messages.
        filesystem: `pyarrow.fs.FileSystem`; None for this machine.
        url: The URL, with secrets; "" for this machine.
    """

    path: str = field(repr=False)
    shown: str
    filesystem: Any = field(default=None, compare=False)
    url: str = field(default="", compare=False, repr=False)

    def __str__(self) -> str:
        return self.shown

    @property
    def is_here(self) -> bool:
        """Whether it is on this machine."""
        return self.filesystem is None

    @property
    def is_of_fsspec(self) -> bool:
        """Whether fsspec has the filesystem, and not pyarrow itself."""
        return hasattr(self.filesystem, "handler")

    @property
    def label(self) -> str:
        """What the kind of a file is told from: its path, without what a web address may end with (?, #)."""
        return self.path.partition("?")[0].partition("#")[0] if self.url.startswith("http") else self.path

    def look(self) -> Look:
        """Finds out what is there."""
        if self.filesystem is None:
            is_folder = os.path.isdir(self.path)
            is_file = not is_folder and os.path.exists(self.path)
            return Look(is_file, is_folder, os.path.getsize(self.path) if is_file else None)
        from pyarrow.fs import FileType

        info = _info(self)
        return Look(info.type in (FileType.File, FileType.Unknown), info.type == FileType.Directory, info.size)

    def lacks_bucket(self) -> bool:
        """Tells whether a path elsewhere begins with a bucket that is not there."""
        from pyarrow.fs import FileType

        bucket = self.path.partition("/")[0]
        if self.filesystem is None or not bucket or self.filesystem.type_name not in _WITH_BUCKETS:
            return False
        return bool(self.filesystem.get_file_info(bucket).type == FileType.NotFound)

    def stamp(self) -> tuple[Any, ...] | None:
        """Reads what tells a file from one that replaces it: size, time of change, and its tag; None where none is."""
        if self.filesystem is None:
            if not os.path.exists(self.path):
                return None
            status = os.stat(self.path)
            return status.st_size, status.st_mtime_ns
        return _remote_stamp(self)

    def labels(self) -> list[str]:
        """Lists the names of the files in a folder, in any order; folders inside it are left out."""
        if self.filesystem is None:
            with os.scandir(self.path) as entries:
                return [entry.name for entry in entries if entry.is_file()]
        from pyarrow.fs import FileSelector

        _forget_listings(self)
        found = self.filesystem.get_file_info(FileSelector(self.path))
        return [info.base_name for info in found if info.is_file and info.base_name]

    def child(self, label: str) -> Place:
        """Names a file in a folder."""
        if self.filesystem is None:
            path = os.path.join(self.path, label)
            return Place(path, path)
        path = f"{self.path.rstrip('/')}/{label}"
        inside, chain, outside = self.shown.partition("::")  # of fsspec: a path in a file that is somewhere
        return Place(path, f"{inside.rstrip('/')}/{label}{chain}{outside}", self.filesystem, self.url)

    def first_bytes(self, number: int) -> bytes:
        """Reads the first bytes of a file."""
        if self.filesystem is None:
            with open(self.path, "rb") as file:
                return file.read(number)
        with self.filesystem.open_input_stream(self.path, compression=None) as stream:
            return bytes(stream.read(number))

    def stream(self, compression: str | None = None) -> Any:
        """Opens a file as a stream of bytes that Arrow reads, unpacked; close it."""
        import pyarrow as pa

        if self.filesystem is None:
            return pa.input_stream(self.path, compression=compression)
        return self.filesystem.open_input_stream(self.path, compression=compression, buffer_size=STREAM_BYTES)

    def opened(self) -> Any:
        """Opens a file of another filesystem, to be read at any place; close it."""
        return self.filesystem.open_input_file(self.path)


def place_of(name: str, path: str | Place) -> Place:
    """Finds the filesystem of a path or a URL; the file itself is not looked at.

    Args:
        name: What the caller's argument is called in error messages.
        path: Path, URL, or a place found before.

    Raises:
        ValueError: The URL has a filesystem that nobody knows, or is none.
        ModuleNotFoundError: A package is needed for it.
        OSError: The filesystem cannot be reached.

    Example:

    >>> str(place_of("data", "rows.csv")), place_of("data", "file:///tmp/my%20rows.csv").path
    ('rows.csv', '/tmp/my rows.csv')
    """
    if isinstance(path, Place):
        return path
    if not is_url(path):
        return Place(path, without_secrets(path))
    if path[:7].lower() == "file://":
        host, slash, rest = path[7:].partition("/")
        here = slash + urllib.parse.unquote(rest)
        if host in ("", "localhost") and rest:
            return Place(here, here)
        raise filesystem_error(name, path, "which names no file of this machine", "Write three slashes: file:///path.")
    scheme, mark, behind = path.partition("://")
    path = scheme.lower() + mark + behind
    filesystem, inside = _filesystem_of(name, path)
    shown = without_secrets(path)
    return Place(inside.rstrip("/") or inside, shown.rstrip("/") if inside.strip("/") else shown, filesystem, path)


def _filesystem_of(name: str, url: str) -> tuple[Any, str]:
    """Finds pyarrow's filesystem for a URL, or else fsspec's, and the path there."""
    import pyarrow as pa
    from pyarrow.fs import FileSystem

    try:
        filesystem, path = FileSystem.from_uri(_written_out(url))
        if not hasattr(filesystem, "handler"):  # some that pyarrow gives are fsspec's
            return filesystem, path
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        is_unknown = "Unrecognized filesystem type" in str(error) or "without support for" in str(error)
        if url.startswith(_OWN) and not is_unknown:
            fix = "Check its options, and write a slash in a password as %2F."
            raise filesystem_error(name, url, str(error), fix) from None
    except OSError as error:
        raise remote_error(name, without_secrets(url), url, error) from None
    except (ImportError, ValueError):
        pass  # pyarrow has asked fsspec, which says below in three parts what it lacks
    from tfgmm.data.files.fsspec_files import fsspec_filesystem

    return fsspec_filesystem(name, url)


def _written_out(url: str) -> str:
    """Writes spaces and letters beyond ASCII as URLs have them, and adds a limit of time where 15 minutes would be."""
    url = urllib.parse.quote(url, safe=_IN_URLS)
    if url.startswith(("gs://", "gcs://")) and "retry_limit_seconds=" not in url:
        url += f"{'&' if '?' in url else '?'}retry_limit_seconds={_GOOGLE_SECONDS}"
    return url


def _info(place: Place) -> Any:
    _forget_listings(place)
    return place.filesystem.get_file_info(place.path)


def _forget_listings(place: Place) -> None:
    """Makes fsspec look again: some of its filesystems keep what they have listed."""
    if place.is_of_fsspec:
        place.filesystem.handler.forget_listings()


def _remote_stamp(place: Place) -> tuple[Any, ...] | None:
    try:
        if place.is_of_fsspec:
            told: tuple[Any, ...] = place.filesystem.handler.stamp(place.path)
            return told
        with place.opened() as file:
            tags = file.metadata()
            if tags:
                return (file.size(), *sorted(tags.items()))
    except FileNotFoundError:
        return None
    except OnTheWay as error:
        if error.is_gone:
            return None
        raise
    info = _info(place)
    return info.size, info.mtime_ns
