"""Forked processes: TensorFlow does not survive a fork, so what needs it is refused there instead of waiting for ever.

A child has none of its parent's threads. TensorFlow goes on handing work to them, and waits. What is computed in NumPy
works in a child as it does in its parent. `import tfgmm` loads this file, so that every fork after it is seen.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Any

# Linux's flag of a process that was forked and has not started another program since
_FORKED = 0x40


class _Process:
    """What is known of this process.

    Attributes:
        has_broken_tensorflow: Whether it was forked, by itself or by way of others, after TensorFlow had been used.
    """

    has_broken_tensorflow = False


def survived() -> bool:
    """Tells whether TensorFlow can compute here: whether this process was not forked after TensorFlow was used."""
    return not _Process.has_broken_tensorflow


def check_not_forked(purpose: str) -> None:
    """Checks that TensorFlow can compute in this process.

    Args:
        purpose: What needs it, for the error.

    Raises:
        RuntimeError: The process was forked after TensorFlow had been used, and would wait for ever.
    """
    if not survived():
        raise RuntimeError(
            f"TensorFlow must not have been used before a fork for {purpose}. Received: a process that was forked from "
            'one that had used it. Start processes by "spawn", as multiprocessing.get_context("spawn") does, or load '
            "and fit after the fork: gunicorn without --preload. What is computed in NumPy works here too: log_prob, "
            "responsibilities, assign and outlier, and fits to arrays and files."
        )


class _Probe(int):
    """A number that equals no other, and keeps what it was last compared with."""

    compared_with: Any = None

    def __eq__(self, other: object) -> bool:
        self.compared_with = other
        return False

    __hash__ = int.__hash__


def _was_used() -> bool:
    """Finds out whether TensorFlow has set itself up in this process, as it does at the first operation.

    It then refuses another number of threads. Where it has not, the number is put back; TensorFlow compares the present
    one with the new one, which tells it. To ask for it would list the devices, under a lock that a fork may leave shut.
    """
    settings = getattr(getattr(sys.modules.get("tensorflow"), "config", None), "threading", None)
    if settings is None:  # not loaded, or half
        return False
    probe = _Probe()
    try:
        settings.set_inter_op_parallelism_threads(probe)
    except RuntimeError:
        return True
    settings.set_inter_op_parallelism_threads(probe.compared_with)
    return False


def _is_fork_without_threads() -> bool:
    """Tells, on Linux, whether this process came of a fork and has no thread of TensorFlow's; False elsewhere."""
    try:
        with open("/proc/self/stat", encoding="utf-8", errors="replace") as file:
            flags = int(file.read().rpartition(")")[2].split()[6])
    except OSError:
        return False
    return bool(flags & _FORKED) and not any(name.startswith("tf_") for name in _thread_names())


def _thread_names() -> Iterator[str]:
    for thread in os.listdir("/proc/self/task"):
        try:
            with open(f"/proc/self/task/{thread}/comm", encoding="utf-8", errors="replace") as file:
                yield file.read()
        except OSError:  # it has ended meanwhile
            continue


def _look_around() -> None:
    _Process.has_broken_tensorflow = _Process.has_broken_tensorflow or _was_used()


if hasattr(os, "register_at_fork"):  # Windows has no forks
    os.register_at_fork(after_in_child=_look_around)
    # The fork may have come before this file was loaded
    _Process.has_broken_tensorflow = _was_used() and _is_fork_without_threads()
