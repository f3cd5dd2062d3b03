"""An export without a SavedModel: the same numbers, fewer files, and no TensorFlow to write, check or read it."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from exports import FILES, PACKAGE_ROOT, ROWS, card_of, contents, is_one_of, make_sums_right, write_card

import tfgmm
from tfgmm.export import verify
from tfgmm.export.reading import read_numbers
from tfgmm.export.saved_model import write_export

LIGHT = ["model_card.json", "parameters.npz"]


@pytest.fixture
def copy(light: pathlib.Path, tmp_path: pathlib.Path) -> pathlib.Path:
    """The light export, to damage or replace."""
    return pathlib.Path(shutil.copytree(light, tmp_path / "light"))


def without_tensorflow(script: str, *arguments: Any) -> subprocess.CompletedProcess[str]:
    """Runs a script in a process where TensorFlow cannot be imported."""
    start = "import sys\nsys.modules['tensorflow'] = sys.modules['keras'] = None\n"
    command = [sys.executable, "-c", start + script, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=PACKAGE_ROOT, timeout=100)


def test_folder_holds_the_numbers_and_card_of_the_whole_one(light: pathlib.Path, whole: pathlib.Path) -> None:
    assert sorted(os.listdir(light)) == LIGHT
    assert (light / "parameters.npz").read_bytes() == (whole / "parameters.npz").read_bytes()
    ours, theirs = card_of(light), card_of(whole)
    assert ours["files"] == {"parameters.npz": theirs["files"]["parameters.npz"]}
    assert ours["versions"].keys() == {"tfgmm", "python", "numpy"}
    assert {**ours, "created": 0, "files": 0, "versions": 0} == {**theirs, "created": 0, "files": 0, "versions": 0}


def test_scorer_gives_what_that_of_the_whole_folder_gives(light: pathlib.Path, whole: pathlib.Path) -> None:
    ours, theirs = tfgmm.load_scorer(light), tfgmm.load_scorer(whole)
    for ask in ("log_prob", "outlier", "responsibilities", "assign"):
        np.testing.assert_array_equal(getattr(ours, ask)(ROWS), getattr(theirs, ask)(ROWS))
    for found, expected in zip(ours.interval(ROWS, 0.5), theirs.interval(ROWS, 0.5)):
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(ours.sample(3, seed=1), theirs.sample(3, seed=1))


def test_each_kind_takes_the_place_of_the_other(copy: pathlib.Path, models: list[Any], no_graph: None) -> None:
    tfgmm.export_model(models[1], copy, overwrite=True)
    assert {*LIGHT, "saved_model.pb"} <= set(os.listdir(copy)) and is_one_of(copy, models[1:])
    tfgmm.export_model(models[0], copy, overwrite=True, saved_model=False)
    assert sorted(os.listdir(copy)) == LIGHT and is_one_of(copy, models[:1])
    with pytest.raises(FileExistsError, match="overwrite=True"):
        tfgmm.export_model(models[1], copy, saved_model=False)
    assert is_one_of(copy, models[:1])


def test_another_export_of_its_numbers_has_the_same_bytes(light: pathlib.Path, tmp_path: pathlib.Path) -> None:
    write_export(read_numbers(light), tmp_path / "again", False, saved_model=False)
    ours, theirs = contents(tmp_path / "again"), contents(light)
    assert ours["parameters.npz"] == theirs["parameters.npz"]
    assert {**card_of(tmp_path / "again"), "created": 0} == {**card_of(light), "created": 0}


# --- Without TensorFlow


def test_it_is_read_checked_and_written_where_there_is_no_tensorflow(
    light: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    script = """
import pathlib
import tfgmm
from tfgmm.export.reading import read_numbers
from tfgmm.export.saved_model import write_export
from tfgmm.export.verify import verify_export
folder, out = map(pathlib.Path, sys.argv[1:])
write_export(read_numbers(folder), out, False, saved_model=False)
verified = verify_export(out)
assert (verified.num_files, verified.operations, verified.largest_differences) == (1, {}, {})
tfgmm.load_scorer(out).sample(3, seed=0)
"""
    done = without_tensorflow(script, light, tmp_path / "mixture")
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(os.listdir(tmp_path / "mixture")) == LIGHT


def test_saved_model_without_tensorflow_is_refused_with_words_and_nothing_is_left(
    copy: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    script = """
import pathlib
from tfgmm.export.reading import read_numbers
from tfgmm.export.saved_model import write_export
folder = pathlib.Path(sys.argv[1])
try:
    write_export(read_numbers(folder), folder, True, saved_model=True)
except ModuleNotFoundError as error:
    print(error)
"""
    before = contents(tmp_path)
    done = without_tensorflow(script, copy)
    assert done.stdout.startswith("TensorFlow must be installed for a SavedModel. Received: "), done.stderr
    assert done.stdout.endswith(". Install it: pip install tensorflow\n")
    assert contents(tmp_path) == before and os.listdir(tmp_path) == ["light"]


# --- What verify says


@pytest.mark.parametrize("part", sorted(set(FILES) - set(LIGHT)))
def test_a_part_of_a_graph_is_no_light_export(copy: pathlib.Path, whole: pathlib.Path, part: str) -> None:
    (copy / part).parent.mkdir(exist_ok=True)
    shutil.copy(whole / part, copy / part)
    card = card_of(copy)
    card["files"][part] = None
    write_card(copy, card)
    make_sums_right(copy)
    with pytest.raises(tfgmm.IntegrityError, match="is missing"):
        verify.verify_export(copy)


def test_other_files_and_damage_are_refused(copy: pathlib.Path) -> None:
    (copy / "notes.txt").write_text("mine")
    with pytest.raises(tfgmm.IntegrityError, match="notes.txt.*not listed"):
        verify.verify_export(copy)
    card = card_of(copy)
    card["files"]["notes.txt"] = None
    write_card(copy, card)
    make_sums_right(copy)
    with pytest.raises(tfgmm.IntegrityError, match="notes.txt.*not part of a SavedModel of ours"):
        verify.verify_export(copy)
    (copy / "notes.txt").unlink()
    del card["files"]["notes.txt"]
    write_card(copy, card)
    make_sums_right(copy)
    verify.verify_export(copy)
    with open(copy / "parameters.npz", "r+b") as file:
        file.seek(-40, os.SEEK_END)
        file.write(b"x")
    with pytest.raises(tfgmm.IntegrityError, match="parameters.npz.*has changed"):
        verify.verify_export(copy)
