"""A file stands whole or not at all, whatever stops its writer."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest

from tfgmm.common import atomic_file


def test_file_stands_when_the_block_ends_well_and_not_before(tmp_path: pathlib.Path) -> None:
    target = tmp_path / "deep" / "a.txt"
    with atomic_file.written_whole(target, overwrite=False) as temporary:
        temporary.write_text("new")
        assert not target.exists() and temporary.name == "a.txt"
    assert target.read_text() == "new" and os.listdir(target.parent) == ["a.txt"]


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_failure_leaves_what_stood_there_and_nothing_else(tmp_path: pathlib.Path, error: BaseException) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(type(error)) as caught:
        with atomic_file.written_whole(target, overwrite=True) as temporary:
            temporary.write_text("half")
            raise error
    assert target.read_text() == "old" and os.listdir(tmp_path) == ["a.txt"]
    if isinstance(error, OSError):
        assert caught.value.errno == 28 and "`path` must be a file that can be written. Received: " in str(caught.value)


def test_file_that_another_program_puts_there_meanwhile_is_kept(tmp_path: pathlib.Path) -> None:
    target = tmp_path / "a.txt"
    with pytest.raises(FileExistsError, match="`path` must be a new file unless overwrite=True"):
        with atomic_file.written_whole(target, overwrite=False) as temporary:
            temporary.write_text("ours")
            target.write_text("theirs")
    assert target.read_text() == "theirs" and os.listdir(tmp_path) == ["a.txt"]


def test_two_writers_of_one_process_do_not_meet_and_the_dead_are_cleared_up(tmp_path: pathlib.Path) -> None:
    target = tmp_path / "a.txt"
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    (tmp_path / f".a.txt.{dead.stdout.strip()}.x1.writing").mkdir()
    with atomic_file.written_whole(target, overwrite=True) as first:
        with atomic_file.written_whole(target, overwrite=True) as second:
            second.write_text("second")
        first.write_text("first")
    assert target.read_text() == "first" and os.listdir(tmp_path) == ["a.txt"]


def test_folder_on_the_way_that_is_a_file_is_named(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OSError, match=r"`path` must be a file that can be written. Received: .*file/a\.txt"):
        with atomic_file.written_whole(tmp_path / "file" / "a.txt", overwrite=False):
            pass
