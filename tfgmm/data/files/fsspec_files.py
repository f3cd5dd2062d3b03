"""Filesystems that fsspec has and pyarrow has not, as pyarrow takes them. Both are imported when they are needed."""

from __future__ import annotations

import io
import mmap
import tempfile
from typing import Any

from tfgmm.common.extras import imported
from tfgmm.common.urls import scrubbed, without_secrets
from tfgmm.data.files.remote_errors import OnTheWay, filesystem_error, on_the_way, remote_error

# What filesystems say of a file that tells it from one that replaces it
_TAGS = frozenset(
    {"ETag", "etag", "Content-MD5", "Digest", "md5Hash", "content_md5", "checksum", "generation", "sha", "VersionId"}
    | {"mtime", "modify", "modified", "created", "updated", "Last-Modified", "LastModified", "last_modified"}
)
_END_BYTES = 2**16  # of a Parquet file that are read first
_PIECE_BYTES = 2**20


def fsspec_filesystem(name: str, url: str) -> tuple[Any, str]:
    """Finds fsspec's filesystem for a URL, as a `pyarrow.fs.FileSystem`, and the path there.

    Its options are those of fsspec's configuration: FSSPEC_ and the filesystem's name in the environment.

    Args:
        name: What the caller's argument is called in error messages.
        url: The URL.

    Raises:
        ModuleNotFoundError: fsspec, or the package that it needs for this filesystem, is not installed.
        ValueError: fsspec does not know the filesystem.
        OSError: The filesystem cannot be reached.
    """
    from pyarrow.fs import PyFileSystem

    url_to_fs = imported("fsspec.core", "fsspec", "remote").url_to_fs
    scheme = url.partition("://")[0]
    try:
        filesystem, path = url_to_fs(url)
    except ImportError as error:
        said = scrubbed(str(error), url)
        raise ModuleNotFoundError(
            f"`{name}` must be on a filesystem whose package is installed. Received: {scheme}:// ({said}). "
            f"Install what fsspec asks for, or read from another place."
        ) from None
    except ValueError as error:
        fix = "Choose a path, or a URL of s3://, gs://, abfs://, hdfs://, file:// or of a filesystem of fsspec's."
        raise filesystem_error(name, url, str(error), fix) from None
    except Exception as error:  # some go there at once, and packages have errors of their own
        raise remote_error(name, without_secrets(url), url, error) from None
    return PyFileSystem(_handler(filesystem, url)), path


def _handler(filesystem: Any, url: str) -> Any:
    """Makes what pyarrow asks; its own takes a network that fails for a file that is not there."""
    from pyarrow.fs import FileInfo, FileSelector, FileType, FSSpecHandler

    class Handler(FSSpecHandler):
        copies: dict[str, Any]

        def get_file_info(self, paths: list[str]) -> list[Any]:
            return [self._info_of(path) for path in paths]

        def _info_of(self, path: str) -> Any:
            try:
                with on_the_way(url):
                    return self._create_file_info(path, self.fs.info(path))
            except OnTheWay as error:
                if error.is_gone:
                    return FileInfo(path, FileType.NotFound)
                raise

        def get_file_info_selector(self, selector: FileSelector) -> list[Any]:
            with on_the_way(url):
                found = self.fs.ls(selector.base_dir, detail=True)
                return [self._create_file_info(info["name"], info) for info in found]

        def forget_listings(self) -> None:
            with on_the_way(url):
                self.fs.invalidate_cache()

        def stamp(self, path: str) -> tuple[Any, ...]:
            self.forget_listings()
            with on_the_way(url):
                info = self.fs.info(path)
                return (self.fs.ukey(path), info.get("size"), *_tags_of(info))

        def open_input_stream(self, path: str) -> Any:
            with on_the_way(url):
                return _as_arrow(self.fs.open(path, mode="rb"), url)

        def open_input_file(self, path: str) -> Any:
            with on_the_way(url):
                return _at_any_place(self.fs, path, self.copies, url)

    handler = Handler(filesystem)
    handler.copies = {}  # files by their path, for as long as somebody has the filesystem
    return handler


def _at_any_place(filesystem: Any, path: str, copies: dict[str, Any], url: str) -> Any:
    """Opens a file to be read at any place, or its copy; a copy that must be made is put among the others."""
    import pyarrow as pa

    if path not in copies:
        opened = filesystem.open(path, mode="rb")
        if not _must_be_copied(filesystem, path, opened):
            return _as_arrow(opened, url)
        opened.close()
        copies[path] = _copied(filesystem, path)
    return pa.BufferReader(copies[path])


def _as_arrow(opened: Any, url: str) -> Any:
    """Makes an Arrow file of one of fsspec's."""
    import pyarrow as pa

    # Rows in memory: one object for all who read, which would disturb each other's place
    if isinstance(opened, io.BytesIO):
        return pa.BufferReader(pa.py_buffer(opened.getbuffer()))
    return pa.PythonFile(_Opened(opened, url), mode="r")


class _Opened:
    """A file of fsspec's whose errors say that they are of the way to it.

    Args:
        opened: The file.
        url: The URL that it is from, whole.
    """

    def __init__(self, opened: Any, url: str) -> None:
        self._opened, self._url = opened, url

    @property
    def closed(self) -> bool:
        return bool(self._opened.closed)

    def read(self, size: int = -1) -> Any:
        with on_the_way(self._url):
            return self._opened.read(size)

    def seek(self, offset: int, whence: int = 0) -> Any:
        with on_the_way(self._url):
            return self._opened.seek(offset, whence)

    def tell(self) -> int:
        with on_the_way(self._url):
            return int(self._opened.tell())

    def close(self) -> None:
        with on_the_way(self._url):
            self._opened.close()


def _tags_of(info: dict[str, Any]) -> list[tuple[str, str]]:
    return sorted((name, str(value)) for name, value in info.items() if name in _TAGS and value)


def _must_be_copied(filesystem: Any, path: str, opened: Any) -> bool:
    """Tells whether a web server gives a file only from its start, or says nothing that tells it from another."""
    protocols = filesystem.protocol if isinstance(filesystem.protocol, (tuple, list)) else (filesystem.protocol,)
    if "http" not in protocols:
        return False
    size = getattr(opened, "size", None)
    if not size or not _tags_of(filesystem.info(path)):
        return True
    try:
        opened.seek(min(size - 1, max(1, size - _END_BYTES)))
        opened.read()
        opened.seek(0)
    except ValueError:  # fsspec's words for a server that gives no part of a file, and for one that has no end
        return True
    return False


def _copied(filesystem: Any, path: str) -> Any:
    """Copies a file of a web server to a temporary one without a name, as an Arrow buffer that lies on the disk."""
    import pyarrow as pa

    with tempfile.TemporaryFile(prefix="tfgmm-rows-") as file, filesystem.open(path, mode="rb", block_size=0) as opened:
        while piece := opened.read(_PIECE_BYTES):
            file.write(piece)
        file.flush()
        return pa.py_buffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if file.tell() else b"")
