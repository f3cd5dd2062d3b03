"""Files on several processes: answers in their order, failures passed on, cores shared out, no process left behind."""

from __future__ import annotations

import functools
import multiprocessing
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import file_workers
import pytest
from file_workers import dies, refuses, squares
from interrupted_workers import doubles

import tfgmm
from tfgmm.common.threads import num_cores
from tfgmm.export.score_workers import Failed, on_workers


def scorers() -> list[multiprocessing.process.BaseProcess]:
    """Lists the processes that this one has started; a cluster that other tests need is none of ours."""
    return [process for process in multiprocessing.active_children() if "Dask" not in process.name]


# --- The same answers from one process and from several


def test_answers_come_in_the_order_of_the_files_from_processes_that_share_the_cores(tmp_path: pathlib.Path) -> None:
    told: list[int] = []
    answers = on_workers(squares, tmp_path, range(6), 2, told.append)
    assert [answer[0] for answer in answers] == [0, 1, 4, 9, 16, 25]
    assert sum(told) == 15
    processes = {answer[1] for answer in answers}
    assert os.getpid() not in processes and len(processes) <= 2
    assert {answer[2] for answer in answers} == {max(1, num_cores() // 2)}
    assert all(answer[3] == [] for answer in answers)
    assert scorers() == []


@pytest.mark.parametrize(("num_files", "num_workers"), [(3, 1), (1, 4), (0, 2)])
def test_one_worker_or_one_file_needs_no_other_process(
    tmp_path: pathlib.Path, num_files: int, num_workers: int
) -> None:
    told: list[int] = []
    answers = on_workers(squares, tmp_path, range(num_files), num_workers, told.append)
    assert [answer[:2] for answer in answers] == [(number**2, os.getpid()) for number in range(num_files)]
    assert told == list(range(num_files))


@pytest.mark.slow
def test_ctrl_c_while_processes_start_is_left_to_the_parent(tmp_path: pathlib.Path, capfd: Any) -> None:
    before, handler = signal.pthread_sigmask(signal.SIG_BLOCK, []), signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # where it is ignored, processes inherit that
    try:
        assert on_workers(doubles, tmp_path, range(4), 2, lambda _: None) == [0, 2, 4, 6]
    finally:
        signal.signal(signal.SIGINT, handler)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before and capfd.readouterr().err == ""


# --- Failures


@pytest.mark.parametrize("num_workers", [1, 2])
def test_failure_of_one_file_stops_the_others(tmp_path: pathlib.Path, num_workers: int) -> None:
    started = time.monotonic()
    with pytest.raises(Failed, match="file 1 holds text") as caught:
        on_workers(refuses, tmp_path, [0, 1, 2, 3, 4], num_workers, lambda _: None)
    assert isinstance(caught.value.error, TypeError)
    assert time.monotonic() - started < 30.0 and scorers() == []
    assert not (tmp_path / "4").exists()


def test_worker_that_is_killed_is_told_in_words(tmp_path: pathlib.Path) -> None:
    with pytest.raises(Failed, match="`--workers` must .* Received: one that was killed.* fewer workers") as caught:
        on_workers(dies, tmp_path, [0, 1], 2, lambda _: None)
    assert isinstance(caught.value.error, ChildProcessError)
    assert scorers() == []


# --- The end of the parent

SCRIPT = """
import pathlib, sys
sys.path[:0] = {paths!r}
if __name__ == "__main__":
    import file_workers
    from tfgmm.export.score_workers import on_workers
    on_workers(file_workers.refuses, pathlib.Path({folder!r}), [2, 3], 2, lambda _: None)
"""


def children_of(process: int) -> list[int]:
    """Lists the living processes that a process has spawned."""
    children = []
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = path.read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if int(parent) == process and state != "Z":
            children.append(int(path.parent.name))
    return children


def wait_for(condition: Callable[[], bool]) -> bool:
    until = time.monotonic() + 60.0
    while not condition() and time.monotonic() < until:
        time.sleep(0.05)
    return condition()


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks /proc")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_workers_end_with_their_parent(tmp_path: pathlib.Path, how: signal.Signals) -> None:
    script = tmp_path / "script.py"
    paths = [str(pathlib.Path(file).parent) for file in (file_workers.__file__, pathlib.Path(tfgmm.__file__).parent)]
    script.write_text(SCRIPT.format(paths=paths, folder=str(tmp_path)))
    restored = functools.partial(signal.signal, signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(
        [sys.executable, str(script)], stderr=subprocess.PIPE, text=True, preexec_fn=restored, start_new_session=True
    ) as parent:
        assert wait_for(lambda: all((tmp_path / name).exists() for name in "23"))
        children = children_of(parent.pid)
        assert len(children) >= 2
        if how is signal.SIGINT:
            os.killpg(parent.pid, how)  # as a terminal does
        else:
            parent.kill()
        parent.wait(timeout=30)
        stderr = parent.stderr.read() if parent.stderr else ""
    assert wait_for(lambda: not any(os.path.exists(f"/proc/{child}") for child in children)), children
    if how is signal.SIGINT:
        assert stderr.count("Traceback") == 1 and "KeyboardInterrupt" in stderr  # of the parent alone
