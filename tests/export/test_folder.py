"""An exported folder is whole or not there whatever fails, and nothing of others is touched."""

from __future__ import annotations

import errno
import pathlib
import shutil
from collections.abc import Callable
from typing import Any

import pytest
import tensorflow as tf
from exports import contents, is_one_of, leave_out_graph, model_of

import tfgmm


def failing(error: BaseException, after: int = 0) -> Callable[..., Any]:
    calls = iter(range(1000))

    def function(*_: Any, **__: Any) -> Any:
        if next(calls) >= after:
            raise error

    return function


FULL = OSError(errno.ENOSPC, "No space left on device")
SAVE = "tfgmm.export.served.tf.saved_model.save"  # by name: TensorFlow loads its modules late, and some anew
STAGES: dict[str, tuple[str, BaseException]] = {
    "saved model": (SAVE, tf.errors.ResourceExhaustedError(None, None, "No space left")),
    "saved model, other": (SAVE, tf.errors.PermissionDeniedError(None, None, "no")),
    "saved model, not the disk": (SAVE, RuntimeError("a fault")),
    "parameters": ("tfgmm.export.numbers.np.savez", FULL),
    "checksums": ("tfgmm.export.folder.checksums", FULL),
    "card": ("tfgmm.export.numbers.json.dumps", ValueError("not JSON")),
    "card on disk": ("pathlib.Path.write_text", FULL),
    "stopped by Ctrl-C": ("pathlib.Path.write_text", KeyboardInterrupt()),
    "flush": ("os.fsync", OSError(errno.EIO, "Input/output error")),
    "exchange": ("tfgmm.common.atomic_folder._put_in_place", FULL),
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
        leave_out_graph(monkeypatch)
    name, error = STAGES[stage]
    monkeypatch.setattr(name, failing(error))
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
def test_overwrite_replaces_the_export_and_leaves_nothing_beside_it(folder: pathlib.Path, models: list[Any]) -> None:
    (folder / "variables" / "variables.index").unlink()  # an export that has lost files is an export still
    tfgmm.export_model(models[1], folder, overwrite=True)
    assert is_one_of(folder, models[1:])
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
