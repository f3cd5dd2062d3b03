"""URLs of rows: told apart from paths, and written without what must stay secret. Loads nothing."""

from __future__ import annotations

import re
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

# fsspec chains filesystems: filecache::s3://bucket/rows.csv
_URL = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.\-]+::)*[A-Za-z][A-Za-z0-9+.\-]+://")
_LOST_SLASH = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.\-]+::)*[A-Za-z][A-Za-z0-9+.\-]+:/(?!/)")
# Options of pyarrow's filesystems that say where something is, and no secret
_HARMLESS = ("region", "scheme", "endpoint_override", "retry_limit_seconds")
_SHORTEST_SECRET = 3
_WEB = ("http", "https")  # whose addresses may end with a fragment; elsewhere # is a letter
_HERE = "Write it here, and copy it there when it is whole."
COPY_HERE = "Copy it here first: only rows are read by URL."
# What libraries show of web addresses, which may be others than the one that was asked for
_USER_OF_OTHERS = re.compile(r"(https?://)[^/\s'\"@]*@")
_QUESTION_OF_OTHERS = re.compile(r"(https?://[^\s'\"?#]*)[?#][^\s'\"]*")


def is_url(path: Any) -> bool:
    """Tells whether a path is the URL of something on another filesystem, or of a file: `file://`.

    Example:

    >>> is_url("s3://bucket/rows.csv"), is_url("rows.csv"), is_url("C:\\\\rows.csv")
    (True, False, False)
    """
    return isinstance(path, str) and _URL.match(path) is not None


def has_lost_a_slash(path: str) -> bool:
    """Tells whether a path was a URL before `pathlib.Path` made one slash of two.

    Example:

    >>> has_lost_a_slash("s3:/bucket/rows.csv"), has_lost_a_slash("s3://bucket/rows.csv")
    (True, False)
    """
    return _LOST_SLASH.match(path) is not None


def check_here(name: str, path: str, fix: str = _HERE) -> None:
    """Checks that a place is on this machine: a URL would be taken for a folder that is named like one.

    Args:
        name: What the caller's argument is called.
        path: The place.
        fix: Sentence that says what to do.

    Raises:
        ValueError: It is a URL.
    """
    if is_url(path) or has_lost_a_slash(path):
        raise ValueError(f"`{name}` must be on this machine. Received: '{without_secrets(_repaired(path))}'. {fix}")


def without_secrets(path: str) -> str:
    """Writes a URL as messages show it: without a user, a password, options and fragment. A path stays as it is.

    A URL of which `pathlib.Path` has taken a slash is shown without that slash.

    Example:

    >>> without_secrets("s3://user:password@bucket/rows.csv?region=eu-west-1")
    's3://bucket/rows.csv'
    """
    if not is_url(path):
        return _torn(without_secrets(_repaired(path))) if has_lost_a_slash(path) else path
    return "::".join(map(_shown_link, path.split("::")))


def _repaired(path: str) -> str:
    """Gives a URL the slashes that it has lost."""
    return "::".join(re.sub(r"^([A-Za-z][A-Za-z0-9+.\-]+):/(?!/)", r"\1://", link) for link in path.split("::"))


def _torn(url: str) -> str:
    return url.replace("://", ":/")


def to_repeat(path: str) -> str:
    """Writes a URL as a run notes it: without secrets, with the options that say where it is. A path stays as it is.

    Example:

    >>> to_repeat("s3://user:password@bucket/rows.csv?region=eu-west-1&other=secret")
    's3://bucket/rows.csv?region=eu-west-1'
    """
    if not is_url(path):
        return without_secrets(path)
    kept = [pair for pair in _options(path) if pair.partition("=")[0] in _HARMLESS and "@" not in unquote(pair)]
    return without_secrets(path) + ("?" + "&".join(kept) if kept else "")


def scrubbed(text: str, url: str) -> str:
    """Takes what must stay secret of a URL out of what others say about it.

    Args:
        text: Words of a library.
        url: The URL, whole.

    Example:

    >>> scrubbed("denied to user with password", "s3://user:password@bucket/rows.csv")
    'denied to *** with ***'
    """
    text = text.replace(url, without_secrets(url))
    for secret in sorted(_secrets(url), key=len, reverse=True):
        text = text.replace(secret, "***")
    return _QUESTION_OF_OTHERS.sub(r"\1", _USER_OF_OTHERS.sub(r"\1", text))


def _secrets(url: str) -> set[str]:
    found = [part for link in url.split("::") for part in _user_in(link).secret.split(":")]
    pairs = [pair.partition("=") for pair in _options(url)]
    found += [value for name, _, value in pairs if name not in _HARMLESS or "@" in unquote(value)]
    fragments = [link.partition("#")[2] for link in url.split("::") if _is_web(link)]
    found += [part for fragment in fragments for part in (fragment, *re.split("[&=]", fragment)[1::2])]
    plain = {*map(unquote, found)}
    all_spellings = {*found, *plain, *map(quote, plain), *(quote(secret, safe="") for secret in plain)}
    return {secret for secret in all_spellings if len(secret) >= _SHORTEST_SECRET}


def _is_web(link: str) -> bool:
    return link.partition("://")[0].lower() in _WEB


def _options(url: str) -> list[str]:
    return [pair for pair in url.partition("?")[2].split("&") if pair]


class _User(NamedTuple):
    """What stands before the @ of a URL: what names a place (Azure's container) or nobody, and the rest."""

    kept: str
    secret: str
    length: int


def _user_in(link: str) -> _User:
    """Takes apart what stands before the @; a slash in a password, which should be written %2F, is part of it."""
    scheme, _, behind = link.partition("?")[0].partition("://")
    host, _, rest = behind.partition("/")
    user, mark, _ = host.rpartition("@")
    is_port = host.partition(":")[2].isdigit()
    if not mark and ":" in host and not is_port and "@" in rest:
        user, mark, _ = behind.rpartition("@")
    first, _, others = user.partition(":")
    is_kept = first == "anonymous" or scheme.lower() in ("abfs", "abfss")
    return _User(first if is_kept else "", others if is_kept else user, len(user) + len(mark))


def _shown_link(link: str) -> str:
    scheme, mark, behind = link.partition("?")[0].partition("://")
    user = _user_in(link)
    rest = behind[user.length :]
    return scheme + mark + (f"{user.kept}@" if user.kept else "") + (rest.partition("#")[0] if _is_web(link) else rest)
