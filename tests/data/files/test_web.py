"""Rows from web servers: those that give parts of a file, those that do not, those that refuse, and files replaced."""

from __future__ import annotations

import http.server
import re
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from rows_by_url import KINDS, NAMES, TABLE, VALUES, csv, parquet
from tables_of_rows import message_of

from tfgmm.data.files.filesystems import place_of
from tfgmm.data.files.opening import open_files
from tfgmm.data.readers import read_rows


class Web(http.server.BaseHTTPRequestHandler):
    """A web server in this process.

    Attributes:
        files: What is there, by path.
        tags: Headers that tell a file from another.
        gives_parts: Whether a part of a file can be asked for.
        is_cut: Whether the connection ends in the middle of a file.
        asked: Paths that were asked for.
    """

    files: dict[str, bytes] = {}
    tags: dict[str, str] = {}
    gives_parts, is_cut = True, False
    asked: list[str] = []

    def log_message(self, *_: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(False)

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self._answer(True)

    def _answer(self, has_body: bool) -> None:
        path = self.path.partition("?")[0]
        status = path.split("/")[1]
        content = self.files.get(path)
        if content is None:
            self.send_error(int(status) if status.isdigit() else 404)
            return
        part = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", "")) if self.gives_parts else None
        self.send_response(206 if part else 200)
        if part:
            first, last = int(part[1]), min(int(part[2]), len(content) - 1)
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
            content = content[first : last + 1]
        for name, value in self.tags.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if has_body:
            self.wfile.write(content[: len(content) // 2] if self.is_cut else content)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Web) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> type[Web]:
    for name, value in {"files": {}, "tags": {}, "gives_parts": True, "is_cut": False, "asked": []}.items():
        monkeypatch.setattr(Web, name, value)
    return Web


def passes_of(url: str) -> Iterator[np.ndarray]:
    """Yields the rows of passes, read on demand, whatever their size."""
    with open_files("x", url).stored(NAMES, same_names=True) as rows:
        while True:
            yield np.concatenate([block.values for block in rows.blocks()])


@pytest.mark.parametrize("label", KINDS)
@pytest.mark.parametrize("gives_parts", [True, False])
@pytest.mark.parametrize("has_tags", [True, False])
def test_every_kind_of_file_comes_from_every_kind_of_server(
    label: str, gives_parts: bool, has_tags: bool, web: type[Web], address: str
) -> None:
    web.files, web.gives_parts = {f"/{label}": KINDS[label](TABLE)}, gives_parts
    web.tags = {"ETag": "one"} if has_tags else {}
    np.testing.assert_allclose(read_rows(f"{address}/{label}").values, VALUES, rtol=1e-15)
    passes = passes_of(f"{address}/{label}")
    for _ in range(2):
        np.testing.assert_allclose(next(passes), VALUES, rtol=1e-15)


def test_a_large_file_is_read_in_parts_or_copied_once(web: type[Web], address: str) -> None:
    long = pa.table({name: np.random.default_rng(0).normal(size=30_000) for name in NAMES})
    web.files, web.tags = {"/x.parquet": parquet(long, 10_000)}, {"ETag": "one"}
    expected = np.column_stack([long[name].to_numpy() for name in NAMES])
    for gives_parts in (True, False):
        web.gives_parts = gives_parts
        passes = passes_of(f"{address}/x.parquet")
        np.testing.assert_array_equal(next(passes), expected)
        web.asked.clear()
        np.testing.assert_array_equal(next(passes), expected)
        assert bool(web.asked) is gives_parts


@pytest.mark.parametrize("tag", ["ETag", "Last-Modified", "Content-MD5"])
def test_a_file_that_is_replaced_by_one_as_long_is_noticed(tag: str, web: type[Web], address: str) -> None:
    files = [parquet(TABLE), parquet(TABLE.set_column(0, "a", pa.array(VALUES[:, 0] + 100.0)))]
    assert len(files[0]) == len(files[1])
    web.files, web.tags = {"/x.parquet": files[0]}, {tag: "one"}
    url = f"{address}/x.parquet"
    stamp = place_of("x", url).stamp()
    passes = passes_of(url)
    np.testing.assert_array_equal(next(passes), VALUES)
    assert place_of("x", url).stamp() == stamp
    web.files, web.tags = {"/x.parquet": files[1]}, {tag: "two"}
    assert "replaced or changed" in message_of(ValueError, next, passes)
    web.files = {}
    assert place_of("x", url).stamp() is None


def test_where_nothing_tells_a_file_from_another_the_first_one_is_kept(web: type[Web], address: str) -> None:
    web.files = {"/x.parquet": parquet(TABLE)}
    passes = passes_of(f"{address}/x.parquet")
    next(passes)
    web.files = {"/x.parquet": parquet(TABLE.set_column(0, "a", pa.array(VALUES[:, 0] + 100.0)))}
    np.testing.assert_array_equal(next(passes), VALUES)


ANSWERS = {
    401: (PermissionError, "which may not be read with these credentials"),
    403: (PermissionError, "which may not be read with these credentials"),
    404: (FileNotFoundError, "not found. Check the path in the URL"),
    410: (FileNotFoundError, "not found. Check the path in the URL"),
    400: (OSError, "which its filesystem did not give"),
    429: (ConnectionError, "where the connection failed"),
    500: (ConnectionError, "where the connection failed"),
    503: (ConnectionError, "where the connection failed"),
}


@pytest.mark.parametrize("status", ANSWERS)
def test_what_a_server_answers_is_an_error_of_its_class(status: int, web: type[Web], address: str) -> None:
    kind, words = ANSWERS[status]
    url = f"{address.replace('://', '://USER:SECRET1@')}/{status}/rows.csv?sig=SEC%20RET2"
    with pytest.raises(OSError) as caught:
        read_rows(url, name="data")
    assert type(caught.value) is kind and caught.value.__cause__ is None
    message = str(caught.value)
    assert message.startswith("`data` must be ") and f"'{address}/{status}/rows.csv', {words}" in message
    assert "SEC" not in message and "USER" not in message


def test_no_server_is_a_failed_connection() -> None:
    message = message_of(ConnectionError, read_rows, "http://127.0.0.1:9/rows.csv")
    assert "'http://127.0.0.1:9/rows.csv', where the connection failed" in message


@pytest.mark.parametrize("label", ["rows.csv", "rows.parquet"])
@pytest.mark.parametrize("gives_parts", [True, False])
def test_a_file_that_ends_early_is_a_failed_connection(
    label: str, gives_parts: bool, web: type[Web], address: str
) -> None:
    web.files, web.is_cut, web.gives_parts = {f"/{label}": KINDS[label](TABLE)}, True, gives_parts
    assert "where the connection failed" in message_of(ConnectionError, read_rows, f"{address}/{label}")


def test_what_is_damaged_is_said_without_secrets(web: type[Web], address: str) -> None:
    web.files = {"/x.parquet": csv(TABLE)}
    url = f"{address}/x.parquet?sig=Parquet"  # a secret that is among the words of the reader
    with pytest.raises(ValueError, match="which is damaged") as caught:
        read_rows(url)
    assert caught.value.__cause__ is None and "(*** magic bytes not found" in str(caught.value)


def test_a_fragment_is_neither_asked_for_nor_shown(web: type[Web], address: str) -> None:
    web.files = {"/x.csv": csv(TABLE)}
    place = place_of("x", f"{address}/x.csv#token=SECRET")
    assert str(place) == f"{address}/x.csv"
    assert len(read_rows(f"{address}/x.csv#token=SECRET").values) == 400 and {*web.asked} == {"/x.csv"}
