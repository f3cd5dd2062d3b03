"""What goes wrong in Spark, in words."""

from __future__ import annotations

import contextlib
import re
import sys
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

# What Spark's message holds, then what it means and what to do. The first that is found counts.
_KNOWN = (
    (
        r"No module named '(?:tfgmm|numpy|pyarrow|threadpoolctl)\b",
        "Install tfgmm where the workers are, and say which Python they run: PYSPARK_PYTHON or spark.pyspark.python.",
    ),
    (
        r"Python worker exited unexpectedly|MemoryError|OutOfMemoryError|ExecutorLostFailure|exceeds the limit",
        "Make the partitions smaller, as df.repartition(n) does, or give the workers more memory.",
    ),
    (
        r"maxResultSize",
        "Make fewer partitions, as df.coalesce(n) does, or raise spark.driver.maxResultSize.",
    ),
    (r"FAILED_READ_FILE", "Write this file again, and read the frame anew."),
    (r"Connection refused", "Start a session, and read the frame anew."),
)
# What pyspark says once the session was stopped, or its JVM is gone
_ENDED = re.compile(
    r"SESSION_OR_CONTEXT_NOT_EXISTS|stopped SparkContext|SparkContext was shut down|driverEndpoint\(\)\" is null"
    r"|Answer from Java side is empty|trying to connect to the Java server"
)
_ELSE = "Spark's log says more: look for the first task that failed."
# Words of Java and of Spark around what matters
_NOISE = re.compile(r"^(?:Caused by: )?(?:[a-z]\w*\.)+[A-Z]\w*(?:Exception|Error): ")


class SessionEndedError(RuntimeError):
    """Says that the session of Spark has ended, and with it all that Spark kept."""


@contextlib.contextmanager
def told_in_words(name: str) -> Iterator[None]:
    """Turns what pyspark raises into a RuntimeError that says what happened and what to do.

    pyspark warns about pandas 3 even of functions on Arrow batches, which use no pandas: that is left out.

    Args:
        name: What the rows are called in error messages.
    """
    from pyspark.errors import PySparkException

    java: Any = sys.modules.get("py4j.protocol")  # Spark Connect needs none
    kinds = (PySparkException,) if java is None else (PySparkException, java.Py4JError)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas", FutureWarning)
        try:
            yield
        except kinds as error:
            raise spark_error(name, str(error)) from error


def spark_error(name: str, message: str) -> RuntimeError:
    """Makes the error for what Spark says in many lines, `message`; see `told_in_words`."""
    if _ENDED.search(message):
        return SessionEndedError(
            f"Spark must get through all partitions of `{name}`. Received: a session that was stopped. Start a "
            "session, and read the frame anew."
        )
    fix = next((fix for pattern, fix in _KNOWN if re.search(pattern, message)), _ELSE)
    return RuntimeError(f"Spark must get through all partitions of `{name}`. Received: {_cause(message)}. {fix}")


def _cause(message: str) -> str:
    """Finds the line that says what happened: the last of a traceback of Python's, or the first of Spark's own."""
    lines = [line.strip() for line in message.splitlines() if line.strip() and not line.lstrip().startswith("at ")]
    if "Traceback (most recent call last):" in lines:
        begin = lines.index("Traceback (most recent call last):")
        raised = next((line for line in lines[begin + 1 :] if re.match(r"[A-Za-z_][\w.]*(?::|$)", line)), lines[begin])
        return raised.rstrip(".")
    told = [line for line in lines if not line.startswith("An error occurred while calling")]
    line = (told or ["no message"])[0].removeprefix(": ")
    line = line.rpartition("most recent failure: ")[2]
    line = re.sub(r"^Lost task \S+ in stage \S+ \(TID \d+\) \([^)]*\): ", "", line)
    while (shorter := _NOISE.sub("", line)) != line:
        line = shorter
    return line.split(". Consider ")[0].rstrip(". ")


def check_versions(number: int, there: Mapping[str, str], here: Mapping[str, str]) -> None:
    """Checks the versions of packages where a partition was: Raises RuntimeError unless they are those here.

    Other versions may add in another order, and others of tfgmm may not know what they are sent.
    """
    for package, version in here.items():
        if there[package] != version:
            raise RuntimeError(
                f"{package} {version} must be installed on every worker, as here. Received: {there[package]} where "
                f"partition {number} is. See docs/clusters.md for what workers need."
            )
