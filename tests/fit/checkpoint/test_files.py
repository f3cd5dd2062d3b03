"""Checkpoints as files: what is refused, what a full disk and a killed writer leave, and that nothing in them runs."""

from __future__ import annotations

import dataclasses
import errno
import io
import json
import os
import pathlib
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

import tfgmm
from tfgmm.data.record import DataSummary
from tfgmm.fit.checkpoint import stored
from tfgmm.fit.checkpoint.entries import Entry, entry_of, value_of
from tfgmm.fit.checkpoint.identity import digest, step_name
from tfgmm.fit.checkpoint.journal import Journal
from tfgmm.fit.options import FitOptions
from tfgmm.fit.restarts import Move

ROWS = np.random.default_rng(0).normal([[-3.0, 0.0], [3.0, 1.0]] * 40)
FIT: dict[str, Any] = {"num_components": 2, "restarts": 2}


@pytest.fixture
def path(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "fit.checkpoint"


@pytest.fixture
def written(path: pathlib.Path) -> pathlib.Path:
    tfgmm.fit_mixture(ROWS, **FIT, checkpoint=path)
    return path


# --- Another fit -------------------------------------------------------------------------------------------------


OTHERS: dict[str, tuple[Any, dict[str, Any], str]] = {
    "rows": (ROWS + 1.0, {}, r"`data` must be the rows that .*, with the fingerprint \w{16}\. Received: \w{16}\."),
    "order": (ROWS[::-1], {}, r"`data` must be .* in the same order, with the digest \w{16}\. Received: \w{16}\."),
    "weights of rows": (ROWS, {"sample_weight": np.full(80, 2.0)}, "`data` must be the rows"),
    "noise": (ROWS, {"noise": np.full((80, 2), 0.1)}, "`data` must be the rows"),
    "number": (ROWS, {"num_components": 3}, "`num_components` must be what it was for .*: 2. Received: 3."),
    "numbers": (ROWS, {"num_components": [1, 2]}, r"`num_components` .*: 2. Received: \[1, 2\]."),
    "shape": (ROWS, {"covariance": "full"}, "`covariance` must be what it was for .*: diag. Received: full."),
    "weights": (ROWS, {"weights": "stick_breaking"}, "`weights` .*: dirichlet. Received: stick_breaking."),
    "priors": (ROWS, {"priors": tfgmm.Priors()}, "`priors` .*: auto. Received: {"),
    "restarts": (ROWS, {"restarts": 3}, "`restarts` .*: 2. Received: 3."),
    "seed": (ROWS, {"seed": 1}, "`seed` .*: 0. Received: 1."),
    "batch size": (ROWS, {"batch_size": 10}, "`batch_size` .*: null. Received: 10."),
    "sweeps": (ROWS, {"max_sweeps": 10}, "`max_sweeps` .*: 200. Received: 10."),
    "tolerance": (ROWS, {"tolerance": 1e-3}, "`tolerance` .*: null. Received: 0.001."),
    "start": (ROWS, {"start": ROWS[:2]}, "`start` .*: auto. Received: {"),
    "criteria": (ROWS, {"criteria_at": "mode"}, "`criteria_at` .*: mean. Received: mode."),
    "posterior": (ROWS, {"posterior": "laplace"}, "`posterior` .*: mean_field. Received: laplace."),
    "moves": (ROWS, {"moves": True}, "`moves` .*: auto. Received: true."),
    "polishing": (ROWS, {"polish_steps": 1}, "`polish_steps` .*: 0. Received: 1."),
    "validation": (ROWS, {"validation_data": ROWS}, r"`validation_data` .* fingerprint null. Received: \w{16}."),
    "gaps": (ROWS, {"missing": "refuse"}, "`missing` .*: integrate. Received: refuse."),
}


@pytest.mark.parametrize("what", OTHERS)
def test_another_fit_is_refused_by_name_with_both_values(what: str, written: pathlib.Path) -> None:
    rows, options, message = OTHERS[what]
    before = written.read_bytes()
    with pytest.raises(ValueError, match=message) as caught:
        tfgmm.fit_mixture(rows, **{**FIT, **options}, checkpoint=written)
    assert str(written) in str(caught.value)
    assert str(caught.value).endswith("Repeat the call that wrote the checkpoint, or name another file.")
    assert written.read_bytes() == before


def test_every_option_is_compared(written: pathlib.Path) -> None:
    fit = stored.read(written).fit
    names = {field.name for field in dataclasses.fields(FitOptions) if field.name != "checkpoint"}
    assert names | {"num_components", "fingerprint", "rows", "missing", "column_names"} == fit.keys()


def test_priors_and_starts_that_differ_in_a_number_are_others(path: pathlib.Path) -> None:
    tfgmm.fit_mixture(ROWS, **FIT, priors=tfgmm.Priors(loc_scale=5.0), checkpoint=path)
    with pytest.raises(ValueError, match=r'`priors` .*: \{"loc_scale": 5.0\}. Received: \{"loc_scale": 6.0\}.'):
        tfgmm.fit_mixture(ROWS, **FIT, priors=tfgmm.Priors(loc_scale=6.0), checkpoint=path)
    assert digest(ROWS) != digest(ROWS[::-1]) != digest(ROWS.astype(np.float32)) != digest(None)
    assert step_name("sweeps", "diag", 2, ROWS) == step_name("sweeps", "diag", 2, ROWS.copy())


def test_options_are_compared_before_the_rows_are_read(written: pathlib.Path, tmp_path: pathlib.Path) -> None:
    with pytest.raises(ValueError, match="`seed`"):
        tfgmm.fit_mixture(tmp_path / "no_such_file.csv", **FIT, seed=1, checkpoint=written)


def test_the_estimator_says_it_in_its_own_words(path: pathlib.Path) -> None:
    tfgmm.BayesianGaussianMixture(2, n_init=2, checkpoint=path).fit(ROWS)
    for options, message in (({"n_init": 3}, "`n_init`"), ({"random_state": 1}, "`random_state` .*: 0. Received: 1")):
        with pytest.raises(ValueError, match=message):
            tfgmm.BayesianGaussianMixture(2, **{"n_init": 2, **options}, checkpoint=path).fit(ROWS)
    with pytest.raises(ValueError, match="`X` must be the rows that"):
        tfgmm.BayesianGaussianMixture(2, n_init=2, checkpoint=path).fit(ROWS + 1.0)
    with pytest.raises(ValueError, match="`checkpoint` must be None where rows come in parts"):
        tfgmm.BayesianGaussianMixture(2, checkpoint=path).partial_fit(ROWS)


@pytest.mark.parametrize("state", [None, np.random.RandomState(0)])
def test_a_seed_that_is_drawn_is_refused(state: Any, path: pathlib.Path) -> None:
    with pytest.raises(ValueError, match="`random_state` must be a whole number with `checkpoint`.*random_state=0"):
        tfgmm.BayesianGaussianMixture(2, random_state=state, checkpoint=path).fit(ROWS)
    assert not path.exists()
    tfgmm.BayesianGaussianMixture(2, random_state=np.int64(0), checkpoint=path, n_init=1).fit(ROWS)


def test_callbacks_of_keras_are_refused(path: pathlib.Path) -> None:
    with pytest.raises(ValueError, match="`callbacks` must be tfgmm.callbacks.SweepCallback.*Received: TerminateOnNaN"):
        tfgmm.fit_mixture(ROWS, **FIT, checkpoint=path, callbacks=[keras.callbacks.TerminateOnNaN()])
    assert not path.exists()


def test_a_checkpoint_without_a_step_is_begun_anew(path: pathlib.Path) -> None:
    stored.write(path, stored.Stored({"seed": 7}, {}))
    tfgmm.fit_mixture(ROWS, **FIT, checkpoint=path)
    assert stored.read(path).fit["seed"] == 0


# --- Another file ------------------------------------------------------------------------------------------------


def with_content(change: Callable[[dict[str, Any]], Any]) -> Callable[[pathlib.Path], None]:
    def rewrite(path: pathlib.Path) -> None:
        with np.load(path) as arrays:
            content, numbers = json.loads(arrays["content"].tobytes()), arrays["numbers"]
        change(content)
        with open(path, "wb") as file:
            text = np.frombuffer(json.dumps(content).encode(), np.uint8)
            np.savez(file, content=text, numbers=numbers)

    return rewrite


def with_bytes(change: Callable[[bytes], bytes]) -> Callable[[pathlib.Path], None]:
    return lambda path: path.write_bytes(change(path.read_bytes())) and None


def with_flag(content: bytes, offset: int, value: int) -> bytes:
    """Changes a byte of the first entry in the list of what a zip holds."""
    at = content.index(b"PK\x01\x02") + offset
    return content[:at] + bytes([value]) + content[at + 1 :]


def first_array(content: Any) -> list[Any]:
    """Finds what names the first array in the content of a checkpoint."""
    if isinstance(content, dict) and "array" in content:
        return list(content["array"]) and content["array"]
    for inside in content.values() if isinstance(content, dict) else content if isinstance(content, list) else ():
        if found := first_array(inside):
            return found
    return []


def huge_header(path: pathlib.Path) -> None:
    """Writes an array whose header names a million million numbers."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": (10**12,)})
    with np.load(path) as arrays, zipfile.ZipFile(path.with_suffix(".new"), "w") as archive:
        content = io.BytesIO()
        np.save(content, arrays["content"])
        archive.writestr("content.npy", content.getvalue())
        archive.writestr("numbers.npy", file.getvalue())
    os.replace(path.with_suffix(".new"), path)


def odd_header(path: pathlib.Path) -> None:
    """Writes arrays whose headers are no Python, with sums that are right."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content.replace(b"{'descr'", b"{'desc'("))


def other_arrays(path: pathlib.Path) -> None:
    with open(path, "wb") as file:
        np.savez(file, weights=np.ones(3))


def pickled(path: pathlib.Path) -> None:
    with open(path, "wb") as file:
        np.savez(file, content=np.array([print], object), numbers=np.zeros(1))


def compressed(path: pathlib.Path) -> None:
    with np.load(path) as arrays, open(path.with_suffix(".new"), "wb") as file:
        np.savez_compressed(file, **arrays)
    os.replace(path.with_suffix(".new"), path)


DAMAGES: dict[str, Callable[[pathlib.Path], None]] = {
    "text": lambda path: path.write_text("a,b\n1,2\n") and None,
    "nothing": lambda path: path.write_bytes(b"") and None,
    "cut": with_bytes(lambda content: content[:-100]),
    "cut in half": with_bytes(lambda content: content[: len(content) // 2]),
    "a bit": with_bytes(lambda content: content[:2_000] + bytes([content[2_000] ^ 1]) + content[2_001:]),
    "another npz": other_arrays,
    "pickle": pickled,
    "compressed": compressed,
    "a header that is too large": huge_header,
    "another format": with_content(lambda content: content.update(format="other")),
    "no steps": with_content(lambda content: content.pop("steps")),
    "an unknown record": with_content(lambda content: content["steps"].update(a=[{"record": ["Path", {}]}, 0, 0])),
    "an unknown kind": with_content(lambda content: content["steps"].update(a=[{"call": ["print"]}, 0, 0])),
    "a step beyond the numbers": with_content(lambda content: content["steps"].update(a=[None, 10**9, 5])),
    "an array beyond the numbers": with_content(lambda content: first_array(content["steps"])[2].append(10**9)),
    "an array before them": with_content(lambda content: first_array(content["steps"]).__setitem__(1, -5)),
    "an array of objects": with_content(lambda content: first_array(content["steps"]).__setitem__(0, "object")),
    "encrypted": with_bytes(lambda content: with_flag(content, 8, 1)),
    "of a later zip": with_bytes(lambda content: with_flag(content, 6, 99)),
    "no Python in a header": odd_header,
    "a deep list": with_content(lambda content: content["steps"].update(a=[json.loads("[" * 900 + "]" * 900), 0, 0])),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_damaged_or_foreign_is_refused_in_words(damage: str, written: pathlib.Path) -> None:
    DAMAGES[damage](written)
    before = written.read_bytes()
    with pytest.raises(ValueError, match="`checkpoint` must be a file that a fit wrote. Received: ") as caught:
        tfgmm.fit_mixture(ROWS, **FIT, checkpoint=written)
    assert str(written) in str(caught.value) and str(caught.value).endswith("name another file.")
    assert written.read_bytes() == before


@pytest.mark.parametrize(("name", "value", "words"), [("format_version", 2, "format 2"), ("tfgmm", "9", "version '9'")])
def test_another_version_is_refused_with_both(name: str, value: Any, words: str, written: pathlib.Path) -> None:
    with_content(lambda content: content.update({name: value}))(written)
    with pytest.raises(ValueError, match=f"tfgmm {tfgmm.__version__} wrote, in format 1. Received: .*{words}"):
        tfgmm.fit_mixture(ROWS, **FIT, checkpoint=written)


@pytest.mark.parametrize("value", ["", "a\0b", "s3://bucket/fit", "s3:/bucket/fit", "..", 3, b"\xff/x\0"])
def test_what_is_no_path_of_a_file_is_refused(value: Any) -> None:
    with pytest.raises((ValueError, TypeError), match="`checkpoint` must be (the path of a file|on this machine)"):
        tfgmm.fit_mixture(ROWS, **FIT, checkpoint=value)


def test_a_folder_and_a_place_that_cannot_be_written_are_refused_before_work(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").write_text("")
    for place, message in ((tmp_path, "a folder. Add the name"), (tmp_path / "file" / "a", "that can be written.*ma")):
        with pytest.raises(OSError, match=f"`checkpoint` must be a file.*{message}"):
            tfgmm.fit_mixture(tmp_path / "no_such_file.csv", **FIT, checkpoint=place)


def test_what_is_no_regular_file_is_refused_and_stays(path: pathlib.Path) -> None:
    os.mkfifo(path)
    loop = path.with_name("loop")
    loop.symlink_to(loop)
    for place in (path, pathlib.Path(os.devnull), loop):
        with pytest.raises(FileExistsError, match=f"`checkpoint` must be a file. Received: {place}.*another name"):
            tfgmm.fit_mixture(path.parent / "no_such_file.csv", **FIT, checkpoint=place)
    assert stat.S_ISFIFO(path.stat().st_mode) and loop.is_symlink()


def test_links_are_followed_and_permissions_stay(path: pathlib.Path) -> None:
    (path.parent / "links").mkdir()
    link = path.parent / "links" / "link"
    link.symlink_to(path)
    for mode in (None, 0o640, 0o600):
        if mode is not None:
            path.chmod(mode)
        tfgmm.fit_mixture(ROWS, **FIT, checkpoint=link)
        stored.write(path, stored.read(path))
        assert link.is_symlink() and stored.read(path).steps and os.listdir(link.parent) == ["link"]
        assert mode is None or stat.S_IMODE(path.stat().st_mode) == mode


# --- Writing -----------------------------------------------------------------------------------------------------


def test_a_full_disk_leaves_the_checkpoint_before_and_says_what_to_do(
    path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, states = np.savez, []

    def full(file: Any, **arrays: Any) -> None:
        states.append(path.read_bytes() if path.exists() else b"")
        if len(states) > 2:
            file.write(b"a part of it")
            raise OSError(errno.ENOSPC, "No space left on device")
        save(file, **arrays)

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(
        OSError, match="`checkpoint` must be a file that can be written.*No space left.*make room; what"
    ):
        tfgmm.fit_mixture(ROWS, **FIT, checkpoint=path)
    assert len(states) == 3, "it is not tried again"
    assert path.read_bytes() == states[2] and os.listdir(path.parent) == [path.name]
    monkeypatch.undo()
    assert "checkpoint" not in str(tfgmm.fit_mixture(ROWS, **FIT, checkpoint=path))  # of restarts, and no sweep


def step(number: float) -> Callable[[], Entry]:
    return lambda: Entry(number, np.zeros(0))


@pytest.mark.parametrize("is_step", [False, True])
def test_ctrl_c_while_it_is_written_loses_no_step(
    is_step: bool, path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = stored.write

    def interrupted(*_: Any) -> None:
        monkeypatch.setattr(stored, "write", write)
        raise KeyboardInterrupt

    def interrupted_step() -> Entry:
        if not stopped:
            stopped.append(True)
            raise KeyboardInterrupt
        return step(2)()

    stopped: list[bool] = []
    with pytest.raises(KeyboardInterrupt), Journal(path, {"a": 1}) as kept:
        kept.put("first", step(1))
        kept._next_time = 0.0
        if not is_step:
            monkeypatch.setattr(stored, "write", interrupted)
        kept.put("second", interrupted_step if is_step else step(2))
    assert {name: entry.content for name, entry in stored.read(path).steps.items()} == {"first": 1, "second": 2}


def test_two_fits_with_one_new_file_do_not_overwrite_each_other(path: pathlib.Path) -> None:
    options = FitOptions()
    fits = [Journal.opened(path, {"seed": number}, options) for number in (0, 1)]
    fits[1].put("of the other", step(1))
    before = path.read_bytes()
    with pytest.raises(ValueError, match="must be the file of one fit.*another fit has written meanwhile. Start again"):
        fits[0].put("step", step(2))
    fits[0].write()  # it is not tried again
    assert path.read_bytes() == before and list(stored.read(path).steps) == ["of the other"]


def test_a_file_that_is_gone_or_copied_back_is_written_again(path: pathlib.Path) -> None:
    kept = Journal.opened(path, {"seed": 0}, FitOptions())
    for number, change in enumerate((path.unlink, lambda: path.write_bytes(path.read_bytes()))):
        change()
        kept.put(str(number), step(number))
        kept.write()
        assert list(stored.read(path).steps) == [*map(str, range(number + 1))]


def test_leftovers_of_killed_writers_go(path: pathlib.Path) -> None:
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    left = path.parent / f".{path.name}.{int(ended.stdout)}.3.writing"
    left.mkdir()
    (left / path.name).write_text("half")
    tfgmm.fit_mixture(ROWS, **FIT, checkpoint=path)
    assert os.listdir(path.parent) == [path.name]


def test_file_and_folder_are_sent_to_the_disk(path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent, fsync = [], os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda number: (sent.append(os.readlink(f"/proc/self/fd/{number}")), fsync(number))
    )
    stored.write(path, stored.Stored({}, {}))
    assert [pathlib.Path(name).name for name in sent] == [path.name, path.parent.name]
    assert stored.read(path) == stored.Stored({}, {})


# --- Numbers and JSON --------------------------------------------------------------------------------------------


def test_an_entry_is_restored_to_the_bit() -> None:
    value = {
        "a": (np.array([[1.5, -0.0], [np.nan, 5e-324]]), [True, None, 3, 0.1, "text"]),
        "b": Move((1,), (2, 3), -np.inf, 4),
        "c": [np.array([True, False]), np.arange(3), np.zeros((0, 2)), np.float32([0.1]), np.float64(0.1)],
    }
    entry = entry_of(value)
    again = value_of(Entry(json.loads(json.dumps(entry.content)), entry.numbers))
    assert repr(again) == repr({**value, "c": [*value["c"][:4], 0.1]})
    arrays = [value["a"][0], *value["c"][:4]], [again["a"][0], *again["c"][:4]]
    for one, other in zip(*arrays, strict=True):
        assert one.tobytes() == other.tobytes() and one.dtype == other.dtype and one.shape == other.shape


@pytest.mark.parametrize("value", [{1, 2}, np.array(["a"]), np.array([2**60]), DataSummary(1, 1, (0.0,), (1.0,))])
def test_what_is_no_number_is_not_written(value: Any) -> None:
    with pytest.raises(TypeError, match="a checkpoint holds"):
        entry_of([value])
