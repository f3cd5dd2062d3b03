"""An exported folder is whole or not there whenever the process dies and whoever reads meanwhile."""

from __future__ import annotations

import os
import pathlib
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
import tensorflow as tf
from exports import PACKAGE_ROOT, ROWS, is_one_of

import tfgmm
from tfgmm.export import folder as folders

HELPERS = pathlib.Path(__file__).parents[1] / "helpers"

# Loads TensorFlow once. For each line with a folder it forks a child that exports there without end, models 0 and 1
# in turn, answers with the child's number once the first export stands, and kills it at the next line.
WRITER = """
import itertools, os, select, signal, sys
from exports import model_of
from tfgmm.export import export_model

def write_without_end(folder, ready):
    models = [model_of(0), model_of(1)]
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


@pytest.fixture(scope="module")
def writer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[subprocess.Popen[str]]:
    errors = tmp_path_factory.mktemp("writer") / "errors.txt"
    env = {**os.environ, "PYTHONPATH": f"{PACKAGE_ROOT}{os.pathsep}{HELPERS}", "TF_CPP_MIN_LOG_LEVEL": "2"}
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


# --- What a killed export leaves


def pid_of_the_dead() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


def test_export_that_a_killed_one_had_moved_aside_goes_back(folder: pathlib.Path, models: list[Any]) -> None:
    os.rename(folder, folder.with_name(f".mixture.{pid_of_the_dead()}.0.replaced"))
    with pytest.raises(FileExistsError, match="holds an export"):
        tfgmm.export_model(models[1], folder)
    assert is_one_of(folder, models[:1])
    assert [path.name for path in folder.parent.iterdir()] == ["mixture"]


# --- Killed, and read meanwhile


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")
def test_an_export_that_is_killed_leaves_a_whole_one(
    writer: subprocess.Popen[str], folder: pathlib.Path, models: list[Any]
) -> None:
    moments = random.Random(20)
    for _ in range(20):
        tell(writer, str(folder))
        time.sleep(moments.uniform(0.0, 0.5))
        assert tell(writer, "kill") == "dead"
        assert is_one_of(folder, models)
    tfgmm.export_model(models[0], folder, overwrite=True)
    assert is_one_of(folder, models[:1])
    assert [path.name for path in folder.parent.iterdir()] == ["mixture"]


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="folders change places in one step on Linux only")
def test_reader_sees_whole_folders_only_while_another_process_overwrites(
    writer: subprocess.Popen[str], folder: pathlib.Path, models: list[Any]
) -> None:
    expected = [model.log_prob(ROWS).tolist() for model in models]
    tell(writer, str(folder))
    identities, seen, start = set(), set(), time.monotonic()
    while time.monotonic() < start + 4.0 or (len(identities) <= 2 and time.monotonic() < start + 60.0):
        identities.add(folder.stat().st_ctime_ns)
        seen.add(expected.index(tfgmm.load_scorer(folder).log_prob(ROWS).tolist()))
    tell(writer, "kill")
    assert len(identities) > 2, "the other process wrote nothing meanwhile"
    assert seen == {0, 1}
    tf.saved_model.load(str(folder))


def test_folder_exchanged_between_card_and_numbers_is_read_again(
    folder: pathlib.Path, models: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    read_card, times = folders.read_card, []

    def read_card_then_exchange(place: folders.Place) -> dict[str, Any]:
        card = read_card(place)
        if not times:
            times.append(1)
            tfgmm.export_model(models[1], folder, overwrite=True)
        return card

    monkeypatch.setattr(folders, "read_card", read_card_then_exchange)
    assert is_one_of(folder, models[1:])
