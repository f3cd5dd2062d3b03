"""Rows in files and folders come in blocks, whole, in the order that is asked for, and the same from every kind."""

from __future__ import annotations

import gc
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tables_of_rows import message_of, write_ipc

from tfgmm.data.files.opening import is_large, open_stored
from tfgmm.data.files.stored import StoredRows
from tfgmm.data.readers import open_rows, read_rows
from tfgmm.data.summary import summarise

NAMES = ("a", "b", "c")
NUM_ROWS = 150_000
# Each row tells its own number, in numbers that float32 holds.
VALUES = np.stack([np.arange(NUM_ROWS), np.arange(NUM_ROWS) * -2.0, np.arange(NUM_ROWS) % 7 + 0.5], axis=1)
FRAME = pd.DataFrame(VALUES, columns=list(NAMES))
TABLE = pa.Table.from_pandas(FRAME, preserve_index=False)


def write_compressed(table, path):
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with pa.ipc.new_file(str(path), table.schema, options=options) as writer:
        writer.write_table(table, max_chunksize=80_000)


def in_folder(folder, write, suffix):
    """Three files, the second with its columns in another order."""
    folder.mkdir()
    for number, rows in enumerate(np.array_split(np.arange(NUM_ROWS), [10_000, 90_000])):
        frame = FRAME.iloc[rows]
        write(frame[list(NAMES)[::-1]] if number == 1 else frame, folder / f"part-{number}{suffix}")
    (folder / "_SUCCESS").touch()
    (folder / ".part-0.csv.crc").write_text("x")
    (folder / "README.txt").write_text("about these rows")
    return folder


def write_csv(frame, path):
    frame.to_csv(path, index=False)
    return path


def write_parquet(frame, path):
    frame.to_parquet(path, index=False, row_group_size=30_000)


def write_arrow(frame, path):
    write_ipc(pa.Table.from_pandas(frame, preserve_index=False), path)


KINDS = {
    "Parquet, one large group": lambda path: pq.write_table(TABLE, f"{path}.parquet"),
    "Parquet, groups": lambda path: pq.write_table(TABLE, f"{path}.parquet", row_group_size=70_000),
    "Parquet, small groups": lambda path: pq.write_table(TABLE, f"{path}.parquet", row_group_size=999),
    "CSV": lambda path: write_csv(FRAME, f"{path}.csv"),
    "Arrow, one batch": lambda path: write_ipc(TABLE, f"{path}.arrow"),
    "Arrow, compressed": lambda path: write_compressed(TABLE, f"{path}.feather"),
    "Arrow, stream": lambda path: write_ipc(TABLE, f"{path}.arrow", pa.ipc.new_stream),
    "folder of CSV": lambda path: in_folder(path, write_csv, ".csv"),
    "folder of Parquet": lambda path: in_folder(path, write_parquet, ".parquet"),
    "folder of Arrow": lambda path: in_folder(path, write_arrow, ".arrow"),
}


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    """Every kind of file and folder with the same rows, to read only."""
    folder = tmp_path_factory.mktemp("rows")
    found = {}
    for number, (kind, write) in enumerate(KINDS.items()):
        write(folder / f"rows{number}")
        found[kind] = next(folder.glob(f"rows{number}*"))
    return found


def stored(path, names=NAMES):
    files = [str(path)] if path.is_file() else sorted(str(file) for file in path.glob("part*"))
    return open_stored("x", files, names, origin=str(path))


def values_of(rows):
    return [block.values for block in rows.blocks()]


# The same rows from every kind


@pytest.mark.parametrize("kind", KINDS)
def test_blocks_are_the_rows_in_the_order_of_the_files(paths, kind):
    with stored(paths[kind]) as rows:
        for _ in range(2):  # the second pass of a CSV file reads what the first one wrote
            blocks = values_of(rows)
            np.testing.assert_array_equal(np.concatenate(blocks), VALUES)
            assert max(len(block) for block in blocks) <= 65_536
        assert (rows.num_data, rows.num_features, rows.column_names) == (NUM_ROWS, 3, NAMES)
        assert rows.dtype == np.float64 and rows.origin == str(paths[kind])


@pytest.mark.parametrize("kind", KINDS)
def test_a_block_is_the_same_whenever_it_is_read(paths, kind):
    with stored(paths[kind]) as rows:
        assert rows.num_data == NUM_ROWS  # the first pass of a CSV file, whose blocks are those of its files
        in_order = [values.tobytes() for values in values_of(rows)]
        assert b"".join(in_order) == VALUES.tobytes()
        assert max(map(len, in_order)) <= 65_536 * 24
        order = [*reversed(range(len(in_order))), 0, 0, len(in_order) - 1]
        assert [values.tobytes() for values in rows._values(order)] == [in_order[index] for index in order]


def test_two_passes_at_once_do_not_disturb_each_other(paths):
    with stored(paths["Parquet, groups"]) as rows:
        pairs = list(zip(rows.blocks(), rows.blocks()))
        assert len(pairs) == len(values_of(rows)) > 1
        for one, other in pairs:
            np.testing.assert_array_equal(one.values, other.values)
            assert one.weights is one.noise is None


@pytest.mark.parametrize("kind", KINDS)
def test_a_selection_of_columns_comes_in_the_order_wanted(paths, kind):
    with stored(paths[kind], ["c", "a"]) as rows:
        np.testing.assert_array_equal(np.concatenate(values_of(rows)), VALUES[:, [2, 0]])


@pytest.mark.parametrize("kind", ["folder of CSV", "folder of Parquet", "folder of Arrow"])
def test_a_folder_is_read_into_memory_on_request(paths, kind):
    rows = read_rows(paths[kind], column_names=["b", "a", "c"])
    assert rows.column_names == ("b", "a", "c")
    np.testing.assert_array_equal(rows.values, VALUES[:, [1, 0, 2]])


@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
@pytest.mark.parametrize("second, expected", [("float32", "float32"), ("float64", "float64"), ("int8", "float64")])
def test_rows_are_float32_only_when_every_column_of_every_file_is(tmp_path, suffix, second, expected):
    for number, kind in enumerate(["float32", second]):
        frame = pd.DataFrame({"a": np.ones(2, "float32"), "b": np.ones(2, kind)})
        (write_parquet if suffix == "parquet" else write_arrow)(frame, tmp_path / f"{number}.{suffix}")
    with open_rows(tmp_path) as rows:
        assert [block.dtype for block in values_of(rows)] == [rows.dtype] * 2 == [np.dtype(expected)] * 2


def test_column_types_become_numbers_and_nulls_become_nan(tmp_path):
    table = pa.table({"a": pa.array([1, None]), "b": pa.array([True, False]), "c": pa.array([None, 2.5], pa.float32())})
    pq.write_table(table, tmp_path / "x.parquet")
    with open_rows(tmp_path) as rows:
        np.testing.assert_array_equal(values_of(rows)[0], [[1.0, 1.0, np.nan], [np.nan, 0.0, 2.5]])


def test_csv_cells_that_need_a_second_look_far_into_the_file_are_read(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("\n".join(["a,b", *["1,true"] * 700_000, " 3 ,", "4, false"]))
    with open_stored("x", [str(path)], ["a", "b"]) as rows:
        values = np.concatenate(values_of(rows))
    np.testing.assert_array_equal(values[-3:], [[1, 1], [3, np.nan], [4, 0]])
    np.testing.assert_array_equal(values[:-2], np.ones((700_000, 2)))
    path.write_text("\n".join(["a,b", *["1,2"] * 1_200_000, " 3 , 4", "5,6"]))  # 4.8 MB: many blocks
    with open_stored("x", [str(path)], ["a", "b"]) as rows:
        values = np.concatenate(values_of(rows))
    np.testing.assert_array_equal(values[-3:], [[1, 2], [3, 4], [5, 6]])
    assert len(values) == 1_200_002 and (values[:-2] == [1, 2]).all()


def test_lines_of_a_csv_file_may_be_long(tmp_path):
    values = np.arange(18).reshape(3, 6) - 7.5
    zeros = "0" * 97_000  # lines of 580 kB
    lines = ["a,b,c,d,e,f", *(",".join(f"{value}{zeros}" for value in line) for line in values.tolist())]
    (tmp_path / "x.csv").write_text("\n".join(lines))
    with open_stored("x", [str(tmp_path / "x.csv")], ["b", "f"]) as rows:
        np.testing.assert_array_equal(values_of(rows)[0], values[:, [1, 5]])


@pytest.mark.parametrize("first, then", [("2", "true"), ("true", "2")])
def test_numbers_and_flags_in_one_csv_column_are_text_however_long_the_file(tmp_path, first, then):
    path = tmp_path / "x.csv"
    path.write_text("\n".join(["a", *[first] * 2_500_000, then]))
    with open_stored("x", [str(path)], ["a"]) as rows:
        assert "column 'a' (text" in message_of(TypeError, lambda: rows.num_data)


def test_wide_rows_come_in_smaller_blocks(tmp_path):
    pq.write_table(pa.table({f"c{column}": np.zeros(3000) for column in range(1024)}), tmp_path / "x.parquet")
    with open_rows(tmp_path) as rows:
        assert [len(block) for block in values_of(rows)] == [3000]
    pq.write_table(pa.table({f"c{column}": np.zeros(3000) for column in range(4096)}), tmp_path / "x.parquet")
    with open_rows(tmp_path) as rows:
        assert [len(block) for block in values_of(rows)] == [2048, 952]


# What stays in its file


def test_only_folders_and_large_files_stay_on_the_disk(tmp_path, paths, monkeypatch):
    small = write_csv(FRAME[:5], tmp_path / "x.csv")
    assert not isinstance(open_rows(small), StoredRows)
    assert not isinstance(open_rows(paths["Parquet, groups"]), StoredRows)  # 3.6 MB
    assert isinstance(open_rows(paths["folder of CSV"]), StoredRows)
    monkeypatch.setattr("tfgmm.data.files.opening._LARGE_BYTES", NUM_ROWS * 3 * 8 - 1)
    for kind in ("Parquet, groups", "Arrow, one batch", "Arrow, compressed", "Arrow, stream"):
        assert isinstance(open_rows(paths[kind]), StoredRows)
    assert not isinstance(open_rows(paths["Parquet, groups"], columns=["a", "b"]), StoredRows)
    assert isinstance(read_rows(paths["Parquet, groups"]).values, np.ndarray)
    assert is_large("x", str(paths["CSV"]), NAMES) == (os.path.getsize(paths["CSV"]) > NUM_ROWS * 3 * 8 - 1)


# Order


@pytest.mark.parametrize("kind", KINDS)
def test_every_row_comes_once_per_epoch_in_an_order_of_its_own(paths, kind):
    with stored(paths[kind]) as rows, stored(paths[kind]) as again:
        orders = []
        for epoch in (0, 1):
            batches = [batch.values for batch in rows.batches(20_000, seed=3, epoch=epoch, shuffle=True)]
            assert [len(batch) for batch in batches] == [20_000] * 7 + [10_000]
            orders.append(np.concatenate(batches)[:, 0])
            np.testing.assert_array_equal(np.sort(orders[-1]), VALUES[:, 0])
            repeated = np.concatenate(
                [batch.values for batch in again.batches(7_000, seed=3, epoch=epoch, shuffle=True)]
            )
            np.testing.assert_array_equal(repeated[:, 0], orders[-1])
            np.testing.assert_array_equal(repeated[:, 1], -2.0 * repeated[:, 0])
        other = np.concatenate([batch.values for batch in rows.batches(20_000, seed=4, epoch=0, shuffle=True)])[:, 0]
        for one, two in [(orders[0], orders[1]), (orders[0], other), (orders[0], VALUES[:, 0])]:
            assert (one != two).mean() > 0.99


@pytest.mark.parametrize("kind", ["Parquet, one large group", "Parquet, small groups", "CSV", "folder of Arrow"])
@pytest.mark.parametrize("shuffle", [True, False])
def test_skipping_batches_gives_the_rest_of_the_pass(paths, kind, shuffle):
    with stored(paths[kind]) as rows:
        order = {"seed": 1, "epoch": 5, "shuffle": shuffle}
        whole = [batch.values for batch in rows.batches(9_000, **order)]
        for skip in (0, 1, 8, len(whole) - 1, len(whole)):
            rest = [batch.values for batch in rows.batches(9_000, **order, skip=skip)]
            assert [batch.tobytes() for batch in rest] == [batch.tobytes() for batch in whole[skip:]]


def test_row_groups_are_shuffled_and_the_pieces_of_one_stay_in_sequence(tmp_path):
    pq.write_table(TABLE, tmp_path / "x.parquet", row_group_size=70_000)
    with open_rows(tmp_path) as rows:
        assert len(values_of(rows)) == 5  # 65,536 + 4,464 rows, twice, and 10,000
        orders = {tuple(rows.block_order(0, epoch).tolist()) for epoch in range(50)}
    assert orders == {
        (0, 1, 2, 3, 4), (0, 1, 4, 2, 3), (2, 3, 0, 1, 4), (2, 3, 4, 0, 1), (4, 0, 1, 2, 3), (4, 2, 3, 0, 1)
    }  # fmt: skip


def test_blocks_of_one_uncompressed_record_batch_come_in_any_order(paths):
    with stored(paths["Arrow, one batch"]) as rows:
        assert len({tuple(rows.block_order(0, epoch).tolist()) for epoch in range(60)}) == 6
    with stored(paths["Arrow, compressed"]) as rows:  # two record batches, in two pieces each and two pieces
        assert len({tuple(rows.block_order(0, epoch).tolist()) for epoch in range(60)}) == 2


# The temporary file


def temporary_files(folder):
    """Files of this process that lie in a folder without a name."""
    links = [f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd")]
    opened = [os.readlink(link) for link in links if os.path.islink(link)]
    return [name for name in opened if name.startswith(f"{folder}/") and name.endswith("(deleted)")]


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="reads the open files of a process from /proc")
@pytest.mark.parametrize("end", ["close", "collect", "abandon", "error"])
def test_the_temporary_file_of_a_csv_pass_is_deleted(paths, tmp_path, monkeypatch, end):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    path = write_csv(FRAME[:1000], tmp_path / "rows.csv")
    if end == "error":
        path.write_text(path.read_text() + "1,2\n")
    rows = stored(path)
    if end == "abandon":
        next(rows.blocks())
        gc.collect()
    elif end == "error":
        message_of(ValueError, list, rows.blocks())
        gc.collect()
    else:
        assert rows.num_data == 1000
        assert len(temporary_files(tmp_path)) == 1
    if end == "close":
        rows.close()
        assert not temporary_files(tmp_path)
        assert len(values_of(rows)[0]) == 1000  # writes it again
    del rows
    assert not temporary_files(tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["rows.csv"]


# Memory

MEASURE = """
import resource, sys
import numpy as np, pyarrow as pa, pyarrow.parquet as pq
from tfgmm.data.files.opening import open_stored
from tfgmm.data.summary import summarise

path, num_rows = sys.argv[1], int(sys.argv[2])
def write():
    numbers, writer = np.random.default_rng(0), None
    for start in range(0, num_rows, 100_000):
        table = pa.table({f"c{column}": numbers.normal(size=100_000).astype("float32") for column in range(16)})
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    writer.close()
if sys.argv[3] == "write":
    write()
else:
    with open_stored("x", [path], [f"c{column}" for column in range(16)]) as rows:
        summarise(block.values for block in rows.blocks())
        for _ in rows.batches(65_536, seed=1, shuffle=True):
            pass
        assert rows.num_data == num_rows
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="ru_maxrss is in KiB on Linux only")
def test_memory_does_not_grow_with_the_rows(tmp_path):
    peaks = []
    for num_rows in (100_000, 2_000_000):
        path = str(tmp_path / f"{num_rows}.parquet")
        for task in ("write", "read"):
            command = [sys.executable, "-c", MEASURE, path, str(num_rows), task]
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        peaks.append(int(done.stdout) / 1024)
    assert peaks[1] - peaks[0] < 50  # MiB; the rows themselves are 122


def test_summary_of_stored_rows_is_that_of_the_array(paths):
    with stored(paths["folder of Parquet"]) as rows:
        by_blocks = summarise(block.values for block in rows.blocks())
    np.testing.assert_allclose(by_blocks.mean, VALUES.mean(axis=0), rtol=1e-13)
    np.testing.assert_allclose(by_blocks.scale, VALUES.std(axis=0), rtol=1e-12)
    assert by_blocks.minimum == tuple(VALUES.min(axis=0)) and by_blocks.maximum == tuple(VALUES.max(axis=0))
