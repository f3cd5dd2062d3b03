"""A folder stands whole or not at all, whatever stops its writer, and takes the place of its own kind only."""

from __future__ import annotations

import contextlib
import errno
import os
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tfgmm.common import atomic_folder, unfinished
from tfgmm.common.atomic_folder import Kind, path_of, written_whole
from tfgmm.common.unfinished import ArgumentNames

FULL = OSError(errno.ENOSPC, "No space left on device")
ON_THE_SHELL = ArgumentNames("--out", "--overwrite")


def files_of(folder: pathlib.Path) -> list[str]:
    return ["list", *(folder / "list").read_text().split()]


BOX = Kind("a", "box", files_of)
SEALED = Kind("an", "envelope", None)


def write(target: pathlib.Path, text: str, overwrite: bool = True) -> None:
    with written_whole(target, overwrite, BOX) as folder:
        fill(folder, text)


def fill(folder: pathlib.Path, text: str) -> None:
    (folder / "deep").mkdir()
    (folder / "deep" / "a.txt").write_text(text)
    (folder / "list").write_text("deep/a.txt lost.txt")


def text_in(target: pathlib.Path) -> str:
    return (target / "deep" / "a.txt").read_text()


@pytest.fixture
def box(tmp_path: pathlib.Path) -> pathlib.Path:
    """An old box, alone in its parent folder."""
    write(tmp_path / "box", "old")
    return tmp_path / "box"


def is_alone(target: pathlib.Path) -> bool:
    return [path.name for path in target.parent.iterdir()] == [target.name]


# --- Complete or absent


def test_folder_stands_when_the_block_ends_well_and_not_before(tmp_path: pathlib.Path) -> None:
    target = tmp_path / "a" / "box"
    with written_whole(target, False, BOX) as folder:
        fill(folder, "new")
        assert not target.exists() and folder.parent == target.parent
    assert text_in(target) == "new" and is_alone(target)


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), FULL])
@pytest.mark.parametrize("names", [unfinished.IN_PYTHON, ON_THE_SHELL])
def test_failure_leaves_what_stood_there_and_names_the_place_as_asked(
    box: pathlib.Path, error: BaseException, names: ArgumentNames
) -> None:
    with pytest.raises(type(error)) as caught:
        with written_whole(box, True, BOX, names) as folder:
            fill(folder, "half")
            raise error
    assert text_in(box) == "old" and is_alone(box)
    if error is FULL:
        message = str(caught.value)
        assert message.startswith(
            f"`{names.path}` must be a folder that can be written. Received: {box} ([Errno 28] No"
        )
        assert caught.value.errno == errno.ENOSPC and "MiB are free there" in message


def test_folder_within_a_folder_is_named_once(tmp_path: pathlib.Path) -> None:
    with pytest.raises(OSError, match="No space left") as caught:
        with written_whole(tmp_path / "box", True, BOX, ON_THE_SHELL) as folder:
            with written_whole(folder / "inner", False, BOX):
                raise FULL
    assert str(caught.value).count("must be a folder") == 1 and "`path`" not in str(caught.value)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("exchange", [True, False], ids=["exchange", "two renames"])
def test_overwrite_replaces_and_leaves_nothing_beside_it(
    box: pathlib.Path, monkeypatch: pytest.MonkeyPatch, exchange: bool
) -> None:
    if not exchange:
        monkeypatch.setattr(atomic_folder, "_exchange", lambda one, other: False)
    write(box, "new")
    assert text_in(box) == "new" and is_alone(box)


def test_earlier_folder_goes_back_when_the_second_of_two_renames_fails(
    box: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = os.rename

    def second_fails(source: Any, target: Any) -> None:
        if str(source).endswith(".writing"):
            raise FULL
        rename(source, target)

    monkeypatch.setattr(atomic_folder, "_exchange", lambda one, other: False)
    monkeypatch.setattr(os, "rename", second_fails)
    with pytest.raises(OSError, match="`path` must"):
        write(box, "new")
    assert text_in(box) == "old" and is_alone(box)


def test_folder_that_another_process_put_there_meanwhile_is_kept(
    box: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = box.rename(box.with_name("other"))
    flush = atomic_folder._flush_all

    def flush_while_another_arrives(folder: pathlib.Path) -> None:
        flush(folder)
        shutil.copytree(other, box)

    monkeypatch.setattr(atomic_folder, "_flush_all", flush_while_another_arrives)
    with pytest.raises(FileExistsError):
        write(box, "new", overwrite=False)
    assert text_in(box) == "old"


def test_every_file_and_folder_is_sent_to_the_disk(box: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[str] = []
    flush = unfinished.flush
    monkeypatch.setattr(atomic_folder, "flush", lambda path: flushed.append(path.name) or flush(path))
    write(box, "new")
    assert sorted(flushed[1:]) == ["a.txt", "deep", "list"] and flushed[0].endswith(".writing")


# --- What may be replaced


def test_earlier_folder_is_kept_unless_overwrite_is_given(box: pathlib.Path) -> None:
    with pytest.raises(FileExistsError, match=r"holds a box\. Pass overwrite=True to replace it"):
        write(box, "new", overwrite=False)
    with pytest.raises(FileExistsError, match=r"^`--out` must be a new folder unless --overwrite\. "):
        atomic_folder.check_target(box, False, BOX, ON_THE_SHELL)
    assert text_in(box) == "old"
    (box / "deep" / "a.txt").unlink()  # one that lost files is still a box
    write(box, "new")
    assert text_in(box) == "new"


def plant_file(path: pathlib.Path) -> None:
    path.write_text("mine")


def plant_folder(path: pathlib.Path) -> None:
    path.mkdir()
    (path / "notes.txt").write_text("mine")


def plant_more_in_a_box(path: pathlib.Path) -> None:
    write(path, "old")
    (path / "deep" / "notes.txt").write_text("mine")


def plant_link_in_a_box(path: pathlib.Path) -> None:
    write(path, "old")
    (path / "lost.txt").symlink_to(path / "list")


def plant_link_to_a_box(path: pathlib.Path) -> None:
    write(path.with_name("real"), "old")
    path.symlink_to(path.with_name("real"))


def plant_broken_link(path: pathlib.Path) -> None:
    path.symlink_to(path.with_name("nowhere"))


FOREIGN = (plant_file, plant_folder, plant_more_in_a_box, plant_link_in_a_box, plant_link_to_a_box, plant_broken_link)


def contents(folder: pathlib.Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("plant", FOREIGN)
@pytest.mark.parametrize("overwrite", [True, False])
def test_what_is_of_no_such_kind_is_never_touched(
    tmp_path: pathlib.Path, plant: Callable[[pathlib.Path], None], overwrite: bool
) -> None:
    plant(tmp_path / "box")
    before, names = contents(tmp_path), sorted(path.name for path in tmp_path.rglob("*"))
    with pytest.raises(FileExistsError, match=r"^`path` must be a new folder, or an earlier box\. .* touched"):
        write(tmp_path / "box", "new", overwrite)
    assert contents(tmp_path) == before and sorted(path.name for path in tmp_path.rglob("*")) == names


def test_kind_that_lists_no_files_replaces_nothing(tmp_path: pathlib.Path) -> None:
    target = tmp_path / "envelope"
    target.mkdir()
    for text in ("one", "two"):
        with contextlib.suppress(FileExistsError), written_whole(target, True, SEALED) as folder:
            (folder / "a.txt").write_text(text)
    assert (target / "a.txt").read_text() == "one"
    with pytest.raises(FileExistsError, match=r"^`path` must be a new folder\. Received: .*, which is there\."):
        atomic_folder.check_target(target, True, SEALED)


def test_dot_is_the_folder_it_stands_for(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    write(path_of("."), "new")
    assert text_in(tmp_path / "here") == "new" and is_alone(tmp_path / "here")


def test_what_is_no_path_is_refused_under_its_name() -> None:
    with pytest.raises(TypeError, match=r"^`--out` must be a path\. Received: int"):
        path_of(3, "--out")
    for text in ("", "a\0b"):
        with pytest.raises(ValueError, match=r"^`path` must be the name of a folder\. Received: '"):
            path_of(text)


PLACES = ["file/box", "file/a/b", "/proc/box", "m" * 254]


@pytest.mark.parametrize("place", PLACES, ids=["under a file", "deep under a file", "/proc", "a name too long"])
def test_place_that_cannot_be_written_is_named(tmp_path: pathlib.Path, place: str) -> None:
    (tmp_path / "file").write_text("mine")
    target = tmp_path / place
    for attempt in (lambda: write(target, "new"), lambda: atomic_folder.check_writable(target)):
        with pytest.raises(OSError, match=r"(?s)`path` must be a folder .* Choose another place") as caught:
            attempt()
        assert not isinstance(caught.value, FileExistsError) and str(target) in str(caught.value)
    assert contents(tmp_path) == {"file": b"mine"}


def test_place_that_can_be_written_is_left_as_it_was(tmp_path: pathlib.Path) -> None:
    atomic_folder.check_writable(tmp_path / "a" / "b" / "box")
    assert os.listdir(tmp_path) == []


# --- What a killed writer leaves


@pytest.fixture(scope="module")
def stale_process() -> Iterator[int]:
    """The number of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    yield process.pid


def leave(target: pathlib.Path, process: int, suffix: str = "writing") -> pathlib.Path:
    left = target.with_name(f".{target.name}.{process}.{suffix}")
    (left / "deep").mkdir(parents=True)
    (left / "deep" / "a.txt").write_text("half")
    return left


def test_leftovers_of_ended_processes_go_and_those_of_running_ones_stay(box: pathlib.Path, stale_process: int) -> None:
    parent = box.parent
    gone = [leave(box, stale_process, suffix) for suffix in ("writing", "7.writing", "x1_.writing", "replaced")]
    gone.append(leave(box, os.getpid()))  # an earlier process of that number: this one knows what it writes
    kept = [leave(box, os.getppid()), leave(parent / "boxes", stale_process), leave(box, stale_process, "other")]
    write(box, "new")
    assert [path.exists() for path in (*gone, *kept)] == [False] * len(gone) + [True] * len(kept)
    assert text_in(box) == "new"


def test_leftovers_go_even_when_the_folder_is_refused(box: pathlib.Path, stale_process: int) -> None:
    left = leave(box, stale_process)
    with pytest.raises(FileExistsError):
        write(box, "new", overwrite=False)
    assert not left.exists() and text_in(box) == "old"


def test_folder_that_a_killed_writer_had_moved_aside_goes_back(box: pathlib.Path, stale_process: int) -> None:
    os.rename(box, box.with_name(f".box.{stale_process}.0.replaced"))
    with pytest.raises(FileExistsError, match="holds a box"):
        write(box, "new", overwrite=False)
    assert text_in(box) == "old" and is_alone(box)


def test_two_writers_of_one_process_do_not_disturb_each_other(tmp_path: pathlib.Path) -> None:
    target = tmp_path / "box"
    with written_whole(target, True, BOX) as first, written_whole(target, True, BOX) as second:
        assert first != second
        fill(first, "first")
        fill(second, "second")
    assert text_in(target) == "first" and is_alone(target)
