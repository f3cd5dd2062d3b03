"""An exported folder is whole or not there: whatever fails, whenever the process dies, whoever reads meanwhile."""

from __future__ import annotations

import errno
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import tfgmm
from tfgmm import artefact, export

ROWS = np.array([[0.0], [1.0]])
PACKAGE_ROOT = pathlib.Path(tfgmm.__file__).parents[1]

# Loads TensorFlow once. For each line with a folder it forks a child that exports there without end, models 0 and 1
# in turn, answers with the child's number once the first export stands, and kills it at the next line.
WRITER = """
import itertools, os, select, signal, sys
import tfgmm
from tfgmm.export import export_model

def write_without_end(folder, ready):
    models = [tfgmm.GaussianMixtureModel(2, 1, seed=seed) for seed in (0, 1)]
    for turn in itertools.count():
        export_model(models[turn % 2], folder, overwrite=True)
        if turn == 0:
            os.write(ready, b"1")

for line in sys.stdin:
    folder = line.rstrip("\\n")
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        write_without_end(folder, write)
    os.close(write)
    if not select.select([read], [], [], 100)[0]:
        os.kill(child, signal.SIGKILL)
    if not os.read(read, 1):
        sys.exit(f"the child died by itself, or wrote nothing: {os.waitpid(child, 0)[1]}")
    os.close(read)
    print(child, flush=True)
    sys.stdin.readline()
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    print("dead", flush=True)
"""


def model_of(seed: int) -> tfgmm.GaussianMixtureModel:
    return tfgmm.GaussianMixtureModel(2, 1, seed=seed)


@pytest.fixture(scope="module")
def models() -> list[tfgmm.GaussianMixtureModel]:
    return [model_of(0), model_of(1)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, models: list[Any]) -> pathlib.Path:
    return tfgmm.export_model(models[0], tmp_path_factory.mktemp("whole") / "mixture")


@pytest.fixture
def folder(tmp_path: pathlib.Path, whole: pathlib.Path) -> pathlib.Path:
    """An export of model 0, alone in its parent folder."""
    return pathlib.Path(shutil.copytree(whole, tmp_path / "mixture"))


@pytest.fixture
def no_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests of the folder alone: exports without the third of a second that their graph takes."""
    monkeypatch.setattr(export, "_save", lambda module, folder: (folder / "saved_model.pb").write_text("a graph"))


@pytest.fixture(scope="module")
def writer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[subprocess.Popen[str]]:
    errors = tmp_path_factory.mktemp("writer") / "errors.txt"
    env = {**os.environ, "PYTHONPATH": str(PACKAGE_ROOT), "TF_CPP_MIN_LOG_LEVEL": "2"}
    command = [sys.executable, "-W", "ignore", "-c", WRITER]
    with (
        open(errors, "w") as stream,
        subprocess.Popen(
            command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stream, text=True
        ) as process,
    ):
        yield process
        process.stdin.close()
    if process.returncode:
        print(errors.read_text())  # pytest shows it with the test that failed


def tell(writer: subprocess.Popen[str], line: str) -> str:
    writer.stdin.write(line + "\n")
    writer.stdin.flush()
    answer = writer.stdout.readline().rstrip("\n")
    assert answer, "the writing process has died"
    return answer


def contents(folder: pathlib.Path) -> dict[str, bytes]:
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def is_one_of(folder: pathlib.Path, models: list[Any]) -> bool:
    found = tfgmm.load_scorer(folder).log_prob(ROWS)
    return any(np.array_equal(found, model.log_prob(ROWS)) for model in models)


def failing(error: Exception, after: int = 0) -> Callable[..., Any]:
    calls = iter(range(1000))

    def function(*_: Any, **__: Any) -> Any:
        if next(calls) >= after:
            raise error

    return function


FULL = OSError(errno.ENOSPC, "No space left on device")
STAGES = {
    "saved model": (export.tf.saved_model, "save", tf.errors.ResourceExhaustedError(None, None, "No space left")),
    "saved model, other": (export.tf.saved_model, "save", tf.errors.PermissionDeniedError(None, None, "no")),
    "saved model, not the disk": (export.tf.saved_model, "save", RuntimeError("a fault")),
    "parameters": (export.np, "savez", FULL),
    "checksums": (artefact, "checksums", FULL),
    "card": (export.json, "dumps", ValueError("not JSON")),
    "card on disk": (pathlib.Path, "write_text", FULL),
    "stopped by Ctrl-C": (pathlib.Path, "write_text", KeyboardInterrupt()),
    "flush": (os, "fsync", OSError(errno.EIO, "Input/output error")),
    "exchange": (artefact, "_put_in_place", FULL),
}


# --- Complete or absent


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("earlier", [True, False], ids=["over an export", "where nothing stood"])
def test_failure_at_any_stage_leaves_what_stood_there_and_nothing_else(
    folder: pathlib.Path, models: list[Any], monkeypatch: pytest.MonkeyPatch, stage: str, earlier: bool
) -> None:
    if not earlier:
        shutil.rmtree(folder)
    before = contents(folder.parent)
    if not stage.startswith("saved model"):
        monkeypatch.setattr(export, "_save", lambda module, folder: (folder / "saved_model.pb").write_text("a graph"))
    owner, name, error = STAGES[stage]
    monkeypatch.setattr(owner, name, failing(error))
    from_disk = isinstance(error, OSError | tf.errors.OpError)
    with pytest.raises(OSError if from_disk else type(error)) as caught:
        tfgmm.export_model(models[1], folder, overwrite=True)
    monkeypatch.undo()
    assert contents(folder.parent) == before
    assert [path.name for path in folder.parent.iterdir()] == ["mixture"] * earlier
    if from_disk:
        message = str(caught.value)
        assert message.startswith("`path` must be") and f"Received: {folder}" in message and "Choose" in message
        expected = {"saved model": errno.ENOSPC, "saved model, other": errno.EIO}
        assert caught.value.errno == expected.get(stage, getattr(error, "errno", None))


def test_card_is_written_last(folder: pathlib.Path, models: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[set[str]] = []
    monkeypatch.setattr(
        pathlib.Path, "write_text", lambda path, text, encoding: seen.append(set(contents(path.parent)))
    )
    tfgmm.export_model(models[1], folder, overwrite=True)
    assert len(seen) == 1 and seen[0] == set(contents(folder)) > {"saved_model.pb", "parameters.npz"}


@pytest.mark.usefixtures("no_graph")
@pytest.mark.parametrize("exchange", [True, False], ids=["exchange", "two renames"])
def test_overwrite_replaces_the_export_and_leaves_nothing_beside_it(
    folder: pathlib.Path, models: list[Any], monkeypatch: pytest.MonkeyPatch, exchange: bool
) -> None:
    if not exchange:
        monkeypatch.setattr(artefact, "_exchange", lambda one, other: False)
    (folder / "variables" / "variables.index").unlink()  # an export that has lost files is an export still
    tfgmm.export_model(models[1], folder, overwrite=True)
    assert is_one_of(folder, models[1:])
    assert [path.name for path in folder.parent.iterdir()] == ["mixture"]


@pytest.mark.usefixtures("no_graph")
def test_earlier_export_goes_back_when_the_second_of_two_renames_fails(
    folder: pathlib.Path, models: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = os.rename

    def second_fails(source: Any, target: Any) -> None:
        if str(source).endswith(".writing"):
            raise FULL
        rename(source, target)

    monkeypatch.setattr(artefact, "_exchange", lambda one, other: False)
    monkeypatch.setattr(os, "rename", second_fails)
    with pytest.raises(OSError, match="`path` must"):
        tfgmm.export_model(models[1], folder, overwrite=True)
    assert is_one_of(folder, models[:1])
    assert [path.name for path in folder.parent.iterdir()] == ["mixture"]


# --- What may be replaced


@pytest.mark.usefixtures("no_graph")
def test_earlier_export_is_kept_unless_overwrite_is_given(folder: pathlib.Path, models: list[Any]) -> None:
    before = contents(folder)
    with pytest.raises(FileExistsError, match=r"`path` must .* Received: .*holds an export.* Pass overwrite=True"):
        tfgmm.export_model(models[1], folder)
    assert contents(folder) == before
    tfgmm.export_model(models[1], folder, overwrite=True)
    assert is_one_of(folder, models[1:])


def plant_file(path: pathlib.Path) -> None:
    path.write_text("mine")


def plant_folder(path: pathlib.Path) -> None:
    path.mkdir()
    (path / "notes.txt").write_text("mine")


def plant_card_of_something_else(path: pathlib.Path) -> None:
    path.mkdir()
    (path / "model_card.json").write_text('{"format": "another"}')
    (path / "weights.bin").write_text("mine")


def plant_notes_in_an_export(path: pathlib.Path) -> None:
    tfgmm.export_model(model_of(0), path)
    (path / "notes.txt").write_text("mine")


def plant_link_to_an_export(path: pathlib.Path) -> None:
    real = tfgmm.export_model(model_of(0), path.with_name("real"))
    path.symlink_to(real)


def plant_broken_link(path: pathlib.Path) -> None:
    path.symlink_to(path.with_name("nowhere"))


FOREIGN = (
    plant_file,
    plant_folder,
    plant_card_of_something_else,
    plant_notes_in_an_export,
    plant_link_to_an_export,
    plant_broken_link,
)


@pytest.mark.usefixtures("no_graph")
@pytest.mark.parametrize("plant", FOREIGN)
@pytest.mark.parametrize("overwrite", [True, False])
def test_what_is_not_an_export_of_ours_is_never_touched(
    tmp_path: pathlib.Path, models: list[Any], plant: Callable[[pathlib.Path], None], overwrite: bool
) -> None:
    target = tmp_path / "mixture"
    plant(target)
    before, names = contents(tmp_path), sorted(path.name for path in tmp_path.rglob("*"))
    with pytest.raises(FileExistsError, match=r"`path` must .* Received: .* Choose another place"):
        tfgmm.export_model(models[0], target, overwrite=overwrite)
    assert contents(tmp_path) == before
    assert sorted(path.name for path in tmp_path.rglob("*")) == names


@pytest.mark.usefixtures("no_graph")
def test_empty_folder_and_missing_parents_are_fine(tmp_path: pathlib.Path, models: list[Any]) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("empty", "a/b/mixture"):
        assert is_one_of(tfgmm.export_model(models[0], tmp_path / name), models[:1])


@pytest.mark.usefixtures("no_graph")
def test_dot_is_the_folder_it_stands_for(
    tmp_path: pathlib.Path, models: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    tfgmm.export_model(models[0], ".")
    assert is_one_of(tmp_path / "here", models[:1])
    assert [path.name for path in tmp_path.iterdir()] == ["here"]


@pytest.mark.usefixtures("no_graph")
def test_export_that_another_process_put_there_meanwhile_is_kept(
    folder: pathlib.Path, models: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = folder.rename(folder.with_name("other"))
    flush = artefact._flush

    def flush_while_another_arrives(temporary: pathlib.Path) -> None:
        flush(temporary)
        shutil.copytree(other, folder)

    monkeypatch.setattr(artefact, "_flush", flush_while_another_arrives)
    with pytest.raises(FileExistsError):
        tfgmm.export_model(models[1], folder)
    assert is_one_of(folder, models[:1])


@pytest.mark.parametrize("place", ["under a file", "deep under a file", "/proc/mixture", "a name too long"])
def test_place_that_cannot_be_written_is_named(tmp_path: pathlib.Path, models: list[Any], place: str) -> None:
    (tmp_path / "file").write_text("mine")
    paths = {
        "under a file": tmp_path / "file" / "mixture",
        "deep under a file": tmp_path / "file" / "a" / "b",
        "/proc/mixture": pathlib.Path("/proc/mixture"),
        "a name too long": tmp_path / ("m" * 254),
    }
    with pytest.raises(OSError, match=r"(?s)`path` must be .* Received: .* Choose another place") as caught:
        tfgmm.export_model(models[0], paths[place])
    assert not isinstance(caught.value, FileExistsError)
    assert str(paths[place]) in str(caught.value)
    assert contents(tmp_path) == {"file": b"mine"}


# --- What a killed export leaves


def pid_of_the_dead() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


def leave(folder: pathlib.Path, pid: int, suffix: str = "writing") -> pathlib.Path:
    left = folder.with_name(f".{folder.name}.{pid}.{suffix}")
    (left / "variables").mkdir(parents=True)
    (left / "saved_model.pb").write_text("half")
    return left


@pytest.mark.usefixtures("no_graph")
def test_leftovers_of_the_dead_go_and_those_of_the_living_stay(folder: pathlib.Path, models: list[Any]) -> None:
    dead, parent = pid_of_the_dead(), folder.parent
    gone = [leave(folder, dead), leave(folder, dead, "7.writing"), leave(folder, dead, "replaced")]
    gone.append(leave(folder, os.getpid()))  # an earlier process of that number: this one knows what it writes
    kept = [leave(folder, os.getppid()), leave(parent / "mixtures", dead), leave(parent / "mixture", dead, "other")]
    tfgmm.export_model(models[1], folder, overwrite=True)
    assert [path.exists() for path in (*gone, *kept)] == [False] * len(gone) + [True] * len(kept)


@pytest.mark.usefixtures("no_graph")
def test_leftovers_go_even_when_the_export_is_refused(folder: pathlib.Path, models: list[Any]) -> None:
    left = leave(folder, pid_of_the_dead())
    with pytest.raises(FileExistsError):
        tfgmm.export_model(models[1], folder)
    assert not left.exists()


def test_export_that_a_killed_one_had_moved_aside_goes_back(folder: pathlib.Path, models: list[Any]) -> None:
    os.rename(folder, folder.with_name(f".mixture.{pid_of_the_dead()}.0.replaced"))
    with pytest.raises(FileExistsError, match="holds an export"):
        tfgmm.export_model(models[1], folder)
    assert is_one_of(folder, models[:1])
    assert [path.name for path in folder.parent.iterdir()] == ["mixture"]


def test_two_exports_of_one_process_to_one_place_do_not_disturb_each_other(
    tmp_path: pathlib.Path, whole: pathlib.Path
) -> None:
    target = tmp_path / "mixture"
    with artefact.written_whole(target, True) as first, artefact.written_whole(target, True) as second:
        assert first != second
        for place in (first, second):
            shutil.copytree(whole, place, dirs_exist_ok=True)
    assert contents(target) == contents(whole)
    assert [path.name for path in tmp_path.iterdir()] == ["mixture"]


# --- Killed, and read meanwhile


def kill_and_look(writer: subprocess.Popen[str], folder: pathlib.Path, models: list[Any], times: int) -> None:
    moments = random.Random(times)
    for _ in range(times):
        tell(writer, str(folder))
        time.sleep(moments.uniform(0.0, 0.5))
        assert tell(writer, "kill") == "dead"
        assert is_one_of(folder, models)
    tfgmm.export_model(models[0], folder, overwrite=True)
    assert is_one_of(folder, models[:1])
    assert [path.name for path in folder.parent.iterdir()] == ["mixture"]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")
def test_an_export_that_is_killed_leaves_a_whole_one(
    writer: subprocess.Popen[str], folder: pathlib.Path, models: list[Any]
) -> None:
    kill_and_look(writer, folder, models, times=5)


@pytest.mark.slow
def test_an_export_that_is_killed_leaves_a_whole_one_20_times(
    writer: subprocess.Popen[str], folder: pathlib.Path, models: list[Any]
) -> None:
    kill_and_look(writer, folder, models, times=20)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="folders change places in one step on Linux only")
def test_reader_sees_whole_folders_only_while_another_process_overwrites(
    writer: subprocess.Popen[str], folder: pathlib.Path, models: list[Any]
) -> None:
    expected = [model.log_prob(ROWS).tolist() for model in models]
    tell(writer, str(folder))
    identities, seen, end = set(), set(), time.monotonic() + 4.0
    while time.monotonic() < end:
        identities.add(folder.stat().st_ctime_ns)
        seen.add(expected.index(tfgmm.load_scorer(folder).log_prob(ROWS).tolist()))
    tell(writer, "kill")
    assert len(identities) > 2, "the other process wrote nothing meanwhile"
    assert seen == {0, 1}
    tf.saved_model.load(str(folder))


def test_folder_exchanged_between_card_and_numbers_is_read_again(
    folder: pathlib.Path, models: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    read_card, times = artefact.read_card, []

    def read_card_then_exchange(path: pathlib.Path) -> dict[str, Any]:
        card = read_card(path)
        if not times:
            times.append(1)
            tfgmm.export_model(models[1], folder, overwrite=True)
        return card

    monkeypatch.setattr(artefact, "read_card", read_card_then_exchange)
    assert is_one_of(folder, models[1:])
