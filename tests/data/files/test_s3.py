"""Rows in S3, from a server that moto starts on this machine."""

from __future__ import annotations

import gc
import http.server
import pathlib
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from rows_by_url import KINDS, NAMES, TABLE, VALUES, csv, parquet
from s3_servers import ENVIRONMENT, S3, Door, s3_server
from tables_of_rows import message_of

import tfgmm
from tfgmm.data.files.opening import open_files
from tfgmm.data.readers import open_rows, read_rows

LONG = pa.table({name: np.random.default_rng(index).normal(size=300_000) for index, name in enumerate(NAMES)})


@pytest.fixture(scope="module")
def s3() -> Iterator[S3]:
    with s3_server() as server:
        yield server


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def door(s3: S3) -> Iterator[Door]:
    """A way to the server that can be closed."""
    opened = Door(s3.port)
    yield opened
    opened.close()


def all_of(rows: Any) -> np.ndarray:
    return np.concatenate([block.values for block in rows.blocks()])


@pytest.mark.parametrize("label", KINDS)
def test_every_kind_of_file_gives_its_rows(label: str, s3: S3, tmp_path: pathlib.Path) -> None:
    url = s3.put(f"kinds/my {label}", KINDS[label](TABLE))
    (tmp_path / label).write_bytes(KINDS[label](TABLE))
    here = read_rows(tmp_path / label).values
    assert read_rows(url).values.tobytes() == here.tobytes()
    with open_files("x", url).stored(("c", "a"), same_names=True) as rows:
        assert all_of(rows).tobytes() == all_of(rows).tobytes() == here[:, [2, 0]].tobytes()


def test_a_folder_with_hidden_files_and_folders(s3: S3) -> None:
    for label, content in {"2.parquet": parquet(TABLE[200:]), "1.parquet": parquet(TABLE[:200])}.items():
        s3.put(f"folder/{label}", content)
    s3.put("folder/_SUCCESS", b"")
    s3.put("folder/.hidden.csv", b"a\n1\n")
    s3.put("folder/inner/3.parquet", b"nothing")
    with open_rows(s3.url("folder/")) as rows:
        assert rows.origin == "s3://rows/folder" and all_of(rows).tobytes() == VALUES.tobytes()
        assert rows.place(250) == "50 of 's3://rows/folder/2.parquet'"
        s3.put("folder/2.parquet", parquet(TABLE[201:]))
        message = message_of(ValueError, list, rows.blocks())
    assert "'s3://rows/folder/2.parquet', which was replaced or changed" in message
    fitted = tfgmm.fit_mixture(s3.url("folder"), 2, restarts=1)
    assert fitted.data_summary.num_data == 399 and fitted.data_summary.column_names == NAMES


def test_what_is_not_there_is_named(s3: S3) -> None:
    message = message_of(FileNotFoundError, read_rows, s3.url("none.csv", user="KEY:SECRET@"), name="data")
    assert message.startswith("`data`") and "'s3://rows/none.csv', not found. Check the path" in message
    for path in ("none.csv", "folder", ""):
        message = message_of(FileNotFoundError, read_rows, s3.url(path, bucket="others"))
        assert f"'s3://others/{path}'".replace("/'", "'") in message and "in a bucket that does not exist" in message


def test_a_server_that_refuses_is_one_error_without_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(403)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Says nothing."""

    with http.server.HTTPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        options = f"endpoint_override=127.0.0.1:{server.server_port}&scheme=http&region=us-east-1"
        for user in ("", "KEY:SECRET@"):
            message = message_of(PermissionError, read_rows, f"s3://{user}rows/x.csv?{options}")
            assert "'s3://rows/x.csv', which may not be read with these credentials, or without any" in message
            assert "AWS_ACCESS_KEY_ID" in message and "SECRET@" not in message and "KEY:" not in message
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(name)
        monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
        assert "or without any" in message_of(PermissionError, read_rows, f"s3://rows/x.csv?{options}")
        server.shutdown()


@pytest.mark.slow
@pytest.mark.parametrize("label", ["long.parquet", "long.csv", "long.arrow", "long.csv.gz"])
@pytest.mark.parametrize("share", [0.0, 0.5])
def test_a_network_that_ends_in_mid_read(label: str, share: float, s3: S3, door: Door) -> None:
    content = {"long.parquet": parquet(LONG, 20_000)}.get(label) or KINDS[label.replace("long", "rows")](LONG)
    s3.put(f"cut/{label}", content)
    url = s3.url(f"cut/{label}", port=door.port, user="KEY:SECRET@")
    with open_files("x", url).stored(NAMES, same_names=True) as rows:
        assert len(all_of(rows)) == 300_000
        door.left = int(share * len(content))
        with pytest.raises(ConnectionError) as caught:
            with open_files("x", url).stored(NAMES, same_names=True) as others:
                all_of(others)
        message = str(caught.value)
        assert message.startswith(f"`x` must be rows that can be reached. Received: 's3://rows/cut/{label}', where")
        assert "Check the network" in message and "SECRET" not in message and caught.value.__cause__ is None
        door.left = None
        assert len(all_of(rows)) == 300_000


@pytest.mark.slow
def test_an_address_where_nobody_listens(s3: S3) -> None:
    message = message_of(ConnectionError, read_rows, s3.url("x.csv", port=9))
    assert "'s3://rows/x.csv', where the connection failed" in message


@pytest.mark.slow
@pytest.mark.parametrize("group", [100_000, 1_200_000])
def test_memory_does_not_grow_with_the_file(group: int, s3: S3) -> None:
    """Some 58 MB, in groups of 5 MB, or in one that is read in parts; rows of CSV go to the disk."""
    tall = pa.table({f"c{index}": np.random.default_rng(index).normal(size=1_200_000) for index in range(6)})
    url = s3.put("tall.parquet", parquet(tall, group))
    del tall
    gc.collect()
    with open_rows(url) as rows:
        before, total = pa.total_allocated_bytes(), 0
        most = 0
        for block in rows.blocks():
            total += len(block.values)
            most = max(most, pa.total_allocated_bytes() - before)
    assert total == 1_200_000 and most < 45e6


@pytest.mark.slow
def test_many_blocks_of_a_large_csv_file(s3: S3) -> None:
    url = s3.put("many.csv", csv(LONG))
    with open_files("x", url).stored(NAMES, same_names=True) as rows:
        np.testing.assert_allclose(all_of(rows), np.column_stack([LONG[name].to_numpy() for name in NAMES]), rtol=1e-14)
