"""Filesystems that fsspec has and pyarrow has not, as pyarrow takes them. Both are imported when they are needed."""

from __future__ import annotations

import io
from typing import Any

from tfgmm.common.extras import imported
from tfgmm.common.urls import scrubbed, without_secrets
from tfgmm.data.files.remote_errors import filesystem_error, remote_error


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
    return PyFileSystem(_handler(filesystem)), path


def _handler(filesystem: Any) -> Any:
    """Makes what pyarrow asks; its own takes a network that fails for a file that is not there."""
    import pyarrow as pa
    from pyarrow.fs import FileSelector, FSSpecHandler

    class Handler(FSSpecHandler):
        def get_file_info_selector(self, selector: FileSelector) -> list[Any]:
            found = self.fs.ls(selector.base_dir, detail=True)
            return [self._create_file_info(info["name"], info) for info in found]

        def open_input_stream(self, path: str) -> Any:
            return self.open_input_file(path)

        def open_input_file(self, path: str) -> Any:
            opened = self.fs.open(path, mode="rb")
            # Rows in memory: one object for all who read, which would disturb each other's place
            if isinstance(opened, io.BytesIO):
                return pa.BufferReader(pa.py_buffer(opened.getbuffer()))
            return pa.PythonFile(opened, mode="r")

    return Handler(filesystem)
