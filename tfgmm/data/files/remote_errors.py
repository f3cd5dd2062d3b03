"""What goes wrong on the way to files elsewhere, in three parts: no traceback of a library's has to be read."""

from __future__ import annotations

import contextlib
import errno
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tfgmm.common.urls import scrubbed, without_secrets

if TYPE_CHECKING:
    from tfgmm.data.files.filesystems import Place

# What libraries call what has happened
_REMOTE = re.compile(r"AWS Error|curlCode|google::cloud|GoogleError|Retry policy|Permanent error|Azure|HDFS|HTTP")
_NOT_THERE = re.compile(r"NO_SUCH|does not exist|[Nn]ot found|NOT_FOUND|HTTP status 404")
_DENIED = re.compile(
    r"ACCESS_DENIED|INVALID_ACCESS_KEY|SIGNATURE_DOES_NOT_MATCH|EXPIRED|TOKEN|UNAUTHENTICATED|PERMISSION_DENIED"
    r"|INVALID_CLIENT|MISSING_AUTHENTICATION|[Cc]redential|[Aa]uthenticat|HTTP status 40[13]|[Ff]orbidden"
    r"|[Uu]nauthorized"
)
_CUT_OFF = re.compile(
    r"payload|not completed|NETWORK|TIMEOUT|[Tt]imed? ?out|curlCode|UNAVAILABLE|DEADLINE|SLOW_DOWN|SERVICE"
    r"|INTERNAL_FAILURE|[Cc]onnect|HTTP status 50"
)
_IN_ENVIRONMENT = {
    "s3": " in the environment, as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "gs": " in the environment, as GOOGLE_APPLICATION_CREDENTIALS",
    "abfs": " in the environment, as AZURE_CLIENT_ID and AZURE_CLIENT_SECRET",
}
_GONE, _REFUSED, _BUSY, _SERVERS_OWN = (404, 410), (401, 403, 407), (408, 425, 429), 500  # status of HTTP
_WORDY = 300  # characters of a library's that a message shows


class OnTheWay(OSError):
    """Carries what a filesystem of fsspec's has raised, so that nobody takes it for a fault of what the file holds.

    Args:
        error: What was raised.
        url: The URL that the file is from, whole.
    """

    def __init__(self, error: Exception, url: str) -> None:
        self.error = error
        super().__init__(errno.EIO, _said(str(error) or type(error).__name__, url))

    @property
    def is_gone(self) -> bool:
        """Whether the file is not there."""
        return isinstance(_behind(self.error), FileNotFoundError)


@contextlib.contextmanager
def on_the_way(url: str) -> Iterator[None]:
    """Turns whatever a filesystem of fsspec's raises into `OnTheWay`: packages have errors of any class."""
    try:
        yield
    except (OnTheWay, MemoryError):
        raise
    except Exception as error:
        raise OnTheWay(error, url) from None


def filesystem_error(name: str, url: str, cause: str, fix: str) -> ValueError:
    """Makes the error that a URL cannot be opened as it is written.

    Args:
        name: What the caller's argument is called.
        url: The URL, whole.
        cause: What is wrong, in a library's words perhaps.
        fix: Sentence that says what to do.
    """
    said = _said(cause, url)
    return ValueError(
        f"`{name}` must be a path, or a URL that can be opened. Received: '{without_secrets(url)}' ({said}). {fix}"
    )


def is_remote(error: Exception) -> bool:
    """Tells whether an error is of the way to a file, and not of what the file holds."""
    import pyarrow as pa

    if isinstance(error, OSError) and (error.errno is not None or type(error) is not OSError):
        return True
    # Others of Arrow's quote what a file holds, which may be any words
    return (isinstance(error, OSError) or type(error) is pa.ArrowException) and _REMOTE.search(str(error)) is not None


def is_told(place: Place, error: Exception) -> bool:
    """Tells whether an error is one that `remote_error` has made for this place."""
    return isinstance(error, OSError) and f"Received: '{place}'" in str(error)


@contextlib.contextmanager
def reached(name: str, place: Place) -> Iterator[None]:
    """Turns what fails on the way to a file elsewhere into an error that names it; others pass.

    Raises:
        OSError: The file cannot be reached; of the class that the cause has.
    """
    import pyarrow as pa

    try:
        yield
    except OnTheWay as error:
        raise remote_error(name, str(place), place.url, error.error) from None
    except (OSError, pa.ArrowException) as error:
        if is_told(place, error) or not is_remote(error):
            raise
        raise remote_error(name, str(place), place.url, error) from None
    except (ValueError, TypeError, LookupError, ArithmeticError, ImportError, MemoryError):
        raise
    except Exception as error:  # packages that fsspec uses have errors of their own, of any class
        raise remote_error(name, str(place), place.url, error) from None


def remote_error(name: str, shown: str, url: str, error: Exception) -> OSError:
    """Makes the error that a file elsewhere cannot be reached: of the class that the cause has.

    Args:
        name: What the caller's argument is called.
        shown: The file or folder, as messages show it.
        url: The URL that it is from, whole.
        error: What a library has raised.
    """
    error = _behind(error)
    said = _said(str(error) or type(error).__name__, url)
    kind, number, cause, fix = _cause_of(error, re.sub("'[^']*'", "", said), shown)  # without names of files
    told = kind(f"`{name}` must be rows that can be reached. Received: '{shown}', {cause} ({said}). {fix}")
    told.errno = number
    return told


def _behind(error: Exception) -> Exception:
    """Finds what is behind a file that is said not to be there: fsspec says so of any answer of a web server."""
    cause = error.__cause__
    if not isinstance(error, FileNotFoundError) or not isinstance(cause, Exception):
        return error
    status = _status(cause)
    is_told = status > 0 and status not in _GONE
    is_way = isinstance(cause, OSError) and not isinstance(cause, FileNotFoundError)
    return cause if is_told or is_way or (not status and _CUT_OFF.search(str(cause))) else error


def _status(error: Exception) -> int:
    """Looks up the status of HTTP that an error has; 0 where it has none."""
    status = getattr(error, "status", 0)
    return status if isinstance(status, int) else 0


def _cause_of(error: Exception, said: str, shown: str) -> tuple[type[OSError], int, str, str]:
    status = _status(error)
    if isinstance(error, FileNotFoundError) or status in _GONE or _NOT_THERE.search(said):
        fix = "Check the path in the URL, and the bucket."
        return FileNotFoundError, errno.ENOENT, "which is not there", fix
    if isinstance(error, PermissionError) or status in _REFUSED or _DENIED.search(said):
        fix = f"Check the path, and the credentials{_IN_ENVIRONMENT.get(shown.partition('://')[0], '')}."
        return PermissionError, errno.EACCES, "which may not be read with these credentials, or without any", fix
    is_busy = status in _BUSY or status >= _SERVERS_OWN
    if isinstance(error, (ConnectionError, TimeoutError)) or is_busy or _CUT_OFF.search(said):
        fix = "Check the network and the address, and start again."
        return ConnectionError, errno.ECONNABORTED, "where the connection failed", fix
    return OSError, errno.EIO, "which its filesystem did not give", "Check the place, and start again."


def _said(words: str, url: str) -> str:
    line = scrubbed(words.strip().split("\n")[0].rstrip("."), url)
    return line if len(line) <= _WORDY else f"{line[:_WORDY]}..."
