"""Forked processes: TensorFlow does not survive a fork, so what needs it is refused there instead of waiting for ever.

A child has none of its parent's threads. TensorFlow goes on handing work to them, and waits. What is computed in NumPy
works in a child as it does in its parent.
"""

from __future__ import annotations

import os
import sys


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


def _was_used() -> bool:
    """Finds out whether TensorFlow has set itself up in this process, as it does at the first operation.

    It then refuses another number of threads. Where it has not, the number is what it was.
    """
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is None:
        return False
    settings = tensorflow.config.threading
    number = settings.get_inter_op_parallelism_threads()
    try:
        settings.set_inter_op_parallelism_threads(number + 1)
    except RuntimeError:
        return True
    settings.set_inter_op_parallelism_threads(number)
    return False


def _look_around() -> None:
    _Process.has_broken_tensorflow = _Process.has_broken_tensorflow or _was_used()


if hasattr(os, "register_at_fork"):  # Windows has no forks
    os.register_at_fork(after_in_child=_look_around)
