"""Rows by URL are the rows of the same files on this machine: same bytes, same refusals, one clear error each."""

from __future__ import annotations

import builtins
import io
import pathlib
import sys
import zipfile
from collections.abc import Iterator
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.fs
import pytest
from rows_by_url import KINDS, NAMES, TABLE, VALUES, Faulty, arrow, csv, memory_file, parquet
from tables_of_rows import message_of

from tfgmm.data.files.filesystems import place_of
from tfgmm.data.files.opening import open_files
from tfgmm.data.pass_through import ScoredInput
from tfgmm.data.readers import open_rows, read_rows
from tfgmm.data.survey import check_finite

ROOT = "memory://tests"


@pytest.fixture(autouse=True)
def memory() -> Iterator[Any]:
    """An empty filesystem in memory."""
    filesystem = fsspec.filesystem("memory")
    filesystem.store.clear()
    yield filesystem
    filesystem.store.clear()


@pytest.fixture
def faulty() -> Iterator[type[Faulty]]:
    """A filesystem whose network fails once `left` bytes have come."""
    fsspec.register_implementation("faulty", Faulty, clobber=True)
    Faulty.store.clear()
    yield Faulty
    Faulty.store.clear()


def put(label: str, content: bytes) -> str:
    return memory_file(f"/tests/{label}", content)


def blocks_of(path: Any, names: tuple[str, ...] = NAMES) -> Any:
    """Opens the rows to be read on demand, whatever their size."""
    return open_files("x", str(path)).stored(names, same_names=True)


def all_of(rows: Any) -> np.ndarray:
    return np.concatenate([block.values for block in rows.blocks()])


@pytest.mark.parametrize("label", KINDS)
def test_every_kind_of_file_gives_its_rows(label: str, tmp_path: pathlib.Path) -> None:
    content = KINDS[label](TABLE)
    url, path = put(label, content), tmp_path / label
    path.write_bytes(content)
    here = read_rows(path)
    np.testing.assert_allclose(here.values, VALUES, rtol=1e-15)
    for name in (url, f"file://{path}"):
        assert read_rows(name).values.tobytes() == here.values.tobytes()
        assert read_rows(name, columns=["c"]).values.tobytes() == here.values[:, [2]].tobytes()
        with blocks_of(name, ("c", "a")) as rows:
            assert all_of(rows).tobytes() == all_of(rows).tobytes() == here.values[:, [2, 0]].tobytes()
            assert rows.num_data == 400 and rows.dtype == np.float64


def test_a_folder_gives_its_files_without_hidden_ones_and_folders(memory: Any) -> None:
    for label, part in (("1.parquet", TABLE[:100]), ("2.parquet", TABLE[100:])):
        put(label, parquet(part))
    for label in ("_SUCCESS", ".hidden.csv", "inner/3.parquet", "odd/notes.txt"):
        put(label, b"nothing")
    for url in (ROOT, f"{ROOT}/"):
        with open_rows(url, columns=["b", "a"]) as rows:
            assert rows.origin == ROOT and all_of(rows).tobytes() == VALUES[:, [1, 0]].tobytes()
            assert rows.place(250) == f"150 of '{ROOT}/2.parquet'"
    assert "no such file" in message_of(ValueError, read_rows, f"{ROOT}/odd")


def test_blocks_come_in_any_order_and_in_batches(tmp_path: pathlib.Path) -> None:
    long = pa.table({name: np.arange(200_000.0) + index for index, name in enumerate(NAMES)})
    content = parquet(long, 70_000)
    (tmp_path / "x.parquet").write_bytes(content)
    with blocks_of(tmp_path / "x.parquet") as here, blocks_of(put("x.parquet", content)) as there:
        for epoch in (0, 1):
            one, other = (list(rows.batches(30_000, seed=5, epoch=epoch, shuffle=True)) for rows in (here, there))
            assert [block.values.tobytes() for block in one] == [block.values.tobytes() for block in other]
        assert all_of(here).tobytes() == all_of(there).tobytes()
        for first, second in zip(there.blocks(), there.blocks(), strict=True):  # two passes at once
            assert first.values.tobytes() == second.values.tobytes() and len(first.values) <= 65_536


def test_large_row_groups_are_read_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    from tfgmm.data.files import elsewhere

    url = put("x.parquet", parquet(TABLE))
    used = []
    runs_of = elsewhere._runs_of

    def noted(*arguments: Any) -> Iterator[Any]:
        for run in runs_of(*arguments):
            used.append(run)
            yield run

    monkeypatch.setattr(elsewhere, "_runs_of", noted)
    parts = [(False, [0]), (False, [1]), (False, [2])]
    for most, expected in ((2**25, [(True, [0, 1, 2])]), (10_000, [(True, [0, 1]), (True, [2])]), (100, parts)):
        monkeypatch.setattr(elsewhere, "_MOST_AT_ONCE", most)
        used.clear()
        with blocks_of(url) as rows:
            assert all_of(rows).tobytes() == VALUES.tobytes() and used == expected


@pytest.mark.parametrize("compression", [None, "lz4"])
def test_few_of_many_columns_are_fetched_alone(compression: str | None, faulty: type[Faulty]) -> None:
    wide = pa.table({f"c{index}": np.arange(400.0) + index for index in range(30)})
    content = arrow(wide, compression=compression)
    url = memory_file("/rows/wide.arrow", content, "faulty")
    np.testing.assert_array_equal(
        read_rows(memory_file("/tests/wide.arrow", content), columns=["c7"]).values[:, 0], wide["c7"]
    )
    faulty.left = 10**9
    for names, share in ((["c29", "c3"], (0.0, 0.5)), ([f"c{index}" for index in range(20)], (1.0, 1.5))):
        with blocks_of(url, tuple(names)) as rows:
            left = faulty.left
            np.testing.assert_array_equal(all_of(rows), np.column_stack([wide[name].to_numpy() for name in names]))
        assert share[0] * len(content) < left - faulty.left < share[1] * len(content)


def test_rows_to_score_carry_columns_along() -> None:
    table = TABLE.append_column("label", pa.array([f"row {row}" for row in range(400)]))
    for label, content in (("x.csv", csv(table)), ("x.parquet", parquet(table)), ("x.arrow", arrow(table))):
        source = ScoredInput(put(label, content), ["b", "a"], 2, keep=True)
        (block,) = source.blocks()  # numbers and text of CSV are read side by side, from one file in memory
        assert block.rows.tobytes() == VALUES[:, [1, 0]].tobytes()
        assert block.carried[3].to_pylist()[-1] == "row 399" and source.num_columns == 4


# Refusals


ODD = {
    "no header.csv": b"1.5,2,3\n3,4,5\n",
    "text.csv": b"a,b,c\n1,2,3\n4,five,6\n",
    "ragged.csv": b"a,b,c\n1,2,3\n1,2\n",
    "latin.csv": "a,b,c\n1,é,3\n".encode("latin-1"),
    "empty.csv": b"",
    "cut.parquet": parquet(TABLE)[:-30],
    "none.parquet": b"a,b,c\n1,2,3\n",
    "cut.arrow": arrow(TABLE)[:2_000],
    "text.parquet": parquet(TABLE.append_column("d", pa.array(["x"] * 400))),
    "cut.csv.gz": KINDS["rows.csv.gz"](TABLE)[:300],
    "rows.txt": b"a,b\n1,2\n",
    "zip.csv": b"PK\x03\x04",
}


@pytest.mark.parametrize("label", ODD)
@pytest.mark.parametrize("in_folder", [False, True])
def test_odd_files_are_refused_in_the_words_of_files_of_this_machine(
    label: str, in_folder: bool, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / label).write_bytes(ODD[label])
    put(f"folder/{label}", ODD[label])

    def read(root: str) -> None:
        all_of(open_rows(f"{root}/folder" if in_folder else f"{root}/folder/{label}", name="data"))

    messages = [message_of((ValueError, TypeError), read, root) for root in (str(tmp_path), ROOT)]
    assert messages[0].replace(str(tmp_path), ROOT) == messages[1]
    assert f"{ROOT}/folder" in messages[1] or "columns of numbers" in messages[1]


def test_values_that_are_no_numbers_are_placed_by_file_row_and_column() -> None:
    put("1.parquet", parquet(TABLE))
    column = np.where(np.arange(400) == 303, np.nan, 0.0)
    put("2.parquet", parquet(TABLE.set_column(1, "b", pa.array(column))))
    with open_rows(ROOT) as rows:
        message = message_of(ValueError, check_finite, rows)
    assert f"row 303 of '{ROOT}/2.parquet', column 'b'" in message


@pytest.mark.parametrize("label", ["rows.parquet", "rows.arrow", "rows.csv"])
@pytest.mark.parametrize("change", ["replaced", "longer", "deleted"])
def test_a_file_that_changes_between_two_passes_is_refused(label: str, change: str, memory: Any) -> None:
    put(f"1{label}", KINDS[label](TABLE))
    url = put(f"2{label}", KINDS[label](TABLE))
    with open_rows(ROOT) as rows:
        assert len(all_of(rows)) == 800
        if change == "deleted":
            memory.rm_file(f"/tests/2{label}")
        else:
            put(f"2{label}", KINDS[label](TABLE if change == "replaced" else TABLE[:300]))
        for use in (rows.blocks(), rows.batches(3, seed=0, epoch=1, shuffle=True)):
            message = message_of(ValueError, list, use)
            assert url in message and "replaced or changed" in message


def test_a_file_that_changes_while_it_is_read_is_refused(memory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    long = pa.table({name: np.arange(150_000.0) for name in NAMES})
    url = put("x.parquet", parquet(long, 50_000))
    monkeypatch.setattr("tfgmm.data.files.file_set._SECONDS_BETWEEN_LOOKS", 0.0)
    with blocks_of(url) as rows:
        blocks = rows.blocks()
        next(blocks)
        put("x.parquet", parquet(long[:10]))
        assert "replaced or changed" in message_of(ValueError, list, blocks)


def test_files_elsewhere_are_looked_at_once_a_second(monkeypatch: pytest.MonkeyPatch, memory: Any) -> None:
    url = put("x.parquet", parquet(pa.table({name: np.arange(600_000.0) for name in NAMES}), 600_000))
    looks = []
    ukey = type(memory).ukey
    monkeypatch.setattr(type(memory), "ukey", lambda self, path: (looks.append(path), ukey(self, path))[1])
    with blocks_of(url) as rows:
        looks.clear()
        assert len(list(rows.blocks())) == 10 and len(looks) == 1


# What cannot be opened


def test_files_that_are_not_there() -> None:
    for url in (f"{ROOT}/none.csv", f"{ROOT}/none"):
        message = message_of(FileNotFoundError, read_rows, url, name="data")
        assert message.startswith("`data`") and f"'{url}', not found. Check the path in the URL." in message
    message = message_of(FileNotFoundError, read_rows, pathlib.Path("s3://bucket/rows.csv"))
    assert "Pass a URL as text: pathlib.Path" in message


def test_urls_that_no_filesystem_takes() -> None:
    message = message_of(ValueError, read_rows, "nobody://KEY:SECRET@bucket/rows.csv")
    assert "'nobody://bucket/rows.csv' (Protocol not known: nobody). Choose a path, or a URL of s3://" in message
    message = message_of(ValueError, read_rows, "s3://KEY:SECRET@bucket/rows.csv?shape=full")
    assert "(Unexpected query parameter in S3 URI: 'shape')" in message and "SECRET" not in message
    message = message_of(ValueError, read_rows, "s3://KEY:SEC/RET@bucket/rows.csv")
    assert "a slash in a password as %2F" in message and "KEY" not in message and "RET" not in message
    message = message_of(ValueError, read_rows, "file://host/rows.csv")
    assert "names no file of this machine" in message and "file:///path" in message


def test_packages_that_are_missing_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        ModuleNotFoundError, match=r"^`x` must be on a filesystem .*az:// \(Install adlfs .*\)\. Install"
    ):
        read_rows("az://KEY:SECRET@box/rows.csv")
    whole = builtins.__import__

    def without(name: str, *others: Any, **more: Any) -> Any:
        if name.partition(".")[0] == "fsspec":
            raise ModuleNotFoundError("No module named 'fsspec'", name="fsspec")
        return whole(name, *others, **more)

    for name in [name for name in sys.modules if name.partition(".")[0] == "fsspec"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "fsspec", None)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ModuleNotFoundError, match=r'fsspec is needed for this.*pip install "tfgmm\[remote\]"'):
        read_rows(f"{ROOT}/rows.csv")


def test_pyarrows_filesystems_go_first_and_fsspec_has_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def found(url: str) -> tuple[Any, str]:
        asked.append(url)
        if url.startswith("box"):
            raise pa.ArrowInvalid(f"Unrecognized filesystem type in URI: {url}")
        return pyarrow.fs.LocalFileSystem(), "/nowhere/rows.csv"

    class Stub:
        from_uri = staticmethod(found)

    class Box(fsspec.get_filesystem_class("memory")):  # type: ignore[misc]
        protocol = "box"

        @classmethod
        def _strip_protocol(cls, path: str) -> str:
            return str(super()._strip_protocol(path.replace("box://", "memory://")))

    monkeypatch.setattr("pyarrow.fs.FileSystem", Stub)
    place = place_of("data", "gs://KEY@bucket/my rows#1.csv?project_id=p")
    assert place.filesystem.type_name == "local" and str(place) == "gs://bucket/my rows#1.csv"
    assert asked == ["gs://KEY@bucket/my%20rows%231.csv?project_id=p&retry_limit_seconds=60"]
    place_of("data", "gs://bucket/rows.csv?retry_limit_seconds=5")
    assert asked[1:] == ["gs://bucket/rows.csv?retry_limit_seconds=5"]
    fsspec.register_implementation("box", Box, clobber=True)
    put("rows.csv", csv(TABLE))
    place = place_of("data", "box://tests/rows.csv")
    assert place.filesystem.type_name == "py::fsspec+box" and place.path == "/tests/rows.csv"
    np.testing.assert_allclose(read_rows("box://tests/rows.csv").values, VALUES)


def test_chains_of_fsspec_are_followed(tmp_path: pathlib.Path) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as packed:
        packed.writestr("rows.csv", csv(TABLE))
        packed.writestr("folder/1.parquet", parquet(TABLE))
    for inside in ("rows.csv", "folder/1.parquet", "folder"):
        for outside in (f"{tmp_path}/all.zip", f"file://{tmp_path}/all.zip"):
            np.testing.assert_allclose(read_rows(f"zip://{inside}::{outside}").values, VALUES)
    with open_rows(f"zip://folder::{tmp_path}/all.zip") as rows:
        assert rows.place(3) == f"3 of 'zip://folder/1.parquet::{tmp_path}/all.zip'"
    message = message_of(FileNotFoundError, read_rows, f"zip://rows.csv::{tmp_path}/none.zip")
    assert "none.zip" in message and "which is not there" in message
    put("rows.csv", csv(TABLE))
    np.testing.assert_allclose(read_rows("MEMORY://tests/rows.csv").values, VALUES)


def test_google_and_azure_are_pyarrows_own() -> None:
    assert place_of("x", "gs://anonymous@bucket/rows.csv").filesystem.type_name == "gcs"
    assert place_of("x", "abfs://box@name.dfs.core.windows.net/rows.csv").filesystem.type_name == "abfs"


def test_options_of_fsspec_come_from_its_configuration(monkeypatch: pytest.MonkeyPatch, faulty: Any) -> None:
    monkeypatch.setitem(fsspec.config.conf, "faulty", {"anything": "said"})
    place = place_of("x", "faulty://rows.csv")
    assert place.filesystem.handler.fs.storage_options == {"anything": "said"}


# A network that fails


class OwnError(Exception):
    """An error of a package that fsspec uses."""


FAULTS: dict[str, tuple[Exception, type[OSError], str]] = {
    "cut off": (ConnectionResetError(104, "reset by peer KEY"), ConnectionError, "where the connection failed"),
    "too slow": (TimeoutError("timed out"), ConnectionError, "where the connection failed"),
    "denied": (PermissionError(13, "KEY may not"), PermissionError, "which may not be read with these credentials"),
    "gone": (FileNotFoundError(2, "no such key"), FileNotFoundError, "which is not there"),
    "of its own": (OwnError("403, Forbidden for KEY"), PermissionError, "which may not be read"),
    "unknown": (OwnError("odd"), OSError, "which its filesystem did not give (odd)"),
    "bare": (OSError("odd KEY1"), OSError, "which its filesystem did not give (odd ***)"),
    "a value": (ValueError("KEY1"), OSError, "which its filesystem did not give (***)"),
    "a key": (KeyError("KEY1"), OSError, "which its filesystem did not give ('***')"),
    "a type": (TypeError("KEY1"), OSError, "which its filesystem did not give (***)"),
    "an import": (ImportError("KEY1"), OSError, "which its filesystem did not give (***)"),
    "of Arrow": (pa.ArrowInvalid("KEY1"), OSError, "which its filesystem did not give (***)"),
    "an end": (EOFError("KEY1"), OSError, "which its filesystem did not give (***)"),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("label", ["rows.parquet", "rows.csv", "rows.csv.gz", "rows.arrow", "stream.arrow"])
def test_a_network_that_ends_in_mid_read_is_one_clear_error(fault: str, label: str, faulty: type[Faulty]) -> None:
    error, kind, cause = FAULTS[fault]
    content = KINDS[label](TABLE)
    memory_file("/rows/" + label, content, "faulty")
    url, shown = f"faulty://USER:KEY1@rows/{label}", f"faulty://rows/{label}"
    faulty.error, faulty.left = error, 10**9
    with blocks_of(url) as rows:
        assert len(all_of(rows)) == 400 and faulty.left < 10**9
    for left in (0, len(content) // 2):
        faulty.left = left

        def read() -> None:
            with blocks_of(url) as rows:
                all_of(rows)

        message = message_of(kind, read)
        assert message.startswith(f"`x` must be rows that can be reached. Received: '{shown}', {cause}"), message
        assert "KEY1" not in message
    faulty.left = 10**9
    assert len(read_rows(url).values) == 400


def test_no_error_has_another_behind_it_that_shows_a_secret(faulty: type[Faulty]) -> None:
    memory_file("/rows/x.csv", csv(TABLE), "faulty")
    faulty.error, faulty.left = OwnError("no entry for https://host?sig=SECRET"), 0
    with pytest.raises(OSError, match="did not give") as caught:
        read_rows("faulty://rows/x.csv")
    assert caught.value.__cause__ is None and caught.value.__suppress_context__


@pytest.mark.parametrize("method", ["info", "ls", "ukey", "invalidate_cache", "open"])
def test_whatever_a_filesystem_raises_is_of_the_way_to_it(
    method: str, memory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    put("1.parquet", parquet(TABLE))

    def refuse(*_: Any, **__: Any) -> Any:
        raise ValueError("odd SECRET, see http://USER:PASSWORD@host/x?sig=SIGNED for more")

    monkeypatch.setattr(type(memory), method, refuse)
    with pytest.raises(OSError, match="must be rows that can be reached. Received: 'memory://tests") as caught:
        blocks_of(f"{ROOT}")
    assert "(odd SECRET, see http://host/x for more)" in str(caught.value) and caught.value.__cause__ is None


@pytest.mark.parametrize("error", [ImportError("Install it, SECRET"), ValueError("odd, SECRET")])
def test_where_pyarrow_asks_fsspec_in_vain_fsspec_says_what_is_missing(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stub:
        @staticmethod
        def from_uri(_: str) -> Any:
            raise error

    monkeypatch.setattr("pyarrow.fs.FileSystem", Stub)
    np.testing.assert_allclose(read_rows(put("rows.csv", csv(TABLE))).values, VALUES)
    message = message_of(ModuleNotFoundError, read_rows, "az://KEY:SECRET@box/rows.csv")
    assert "must be on a filesystem whose package is installed" in message and "SECRET" not in message


def test_a_url_that_lost_a_slash_is_shown_without_secrets() -> None:
    message = message_of(FileNotFoundError, read_rows, pathlib.Path("s3://KEY:SECRET@bucket/rows.csv?x=SECRET"))
    assert "Received: 's3:/bucket/rows.csv', not found. Pass a URL as text" in message


def test_an_address_that_refuses_is_said_without_the_password() -> None:
    message = message_of(ConnectionError, read_rows, "ftp://KEY:SECRET@127.0.0.1:9/rows.csv")
    assert "'ftp://127.0.0.1:9/rows.csv', where the connection failed" in message and "SECRET" not in message


def test_a_web_address_keeps_its_question_for_itself() -> None:
    place = place_of("x", "https://host/rows.csv?sig=SECRET")
    assert str(place) == "https://host/rows.csv" == place.label and place.path.endswith("?sig=SECRET")
    assert "SECRET" not in repr(place)


def test_io_of_memory_is_shared_without_disturbance() -> None:
    place = place_of("x", put("rows.csv", csv(TABLE)))
    with place.opened() as one, place.opened() as other:
        assert one.read(5) == other.read(5) and isinstance(one.read(), bytes)
        assert io.BytesIO(other.read()).getvalue() == csv(TABLE)[5:]
