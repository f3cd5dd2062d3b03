"""What goes wrong in Spark, in words: from what Spark says. That it says so is tested in test_spark_engine.py."""

from __future__ import annotations

import re

import pytest

from tfgmm.data.shards.spark_faults import check_versions, spark_error

JAVA = "\n\tat org.apache.spark.api.Runner.read(Runner.scala:1136)\nCaused by: java.io.EOFException\n\t... 1 more\n"
STAGE = (
    "An error occurred while calling o54.collectToPython.\n: org.apache.spark.SparkException: Job aborted due to stage "
    "failure: Task 1 in stage 0.0 failed 4 times, most recent failure: Lost task 1.3 in stage 0.0 (TID 9) "
    "(192.0.2.2 executor driver): "
)
PYTHON = "An exception was thrown from the Python worker:\nTraceback (most recent call last):\n  File 'a.py', line 1\n"


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (
            STAGE + "org.apache.spark.SparkException: Python worker exited unexpectedly (crashed). Consider setting "
            "'a.b' configuration to 'true' for the better Python traceback." + JAVA,
            "Python worker exited unexpectedly (crashed). Make the partitions smaller, as df.repartition(n) does",
        ),
        (
            STAGE + "ExecutorLostFailure (executor 1 exited caused by one of the running tasks) Reason: Killed" + JAVA,
            "ExecutorLostFailure (executor 1 exited caused by one of the running tasks) Reason: Killed. Make",
        ),
        (
            PYTHON + "ModuleNotFoundError: No module named 'tfgmm'\n",
            "ModuleNotFoundError: No module named 'tfgmm'. Install tfgmm where the workers are",
        ),
        (
            PYTHON + "ModuleNotFoundError: No module named 'theirs'\n",
            "ModuleNotFoundError: No module named 'theirs'. Spark's log says more",
        ),
        (PYTHON + "numpy._core._exceptions._ArrayMemoryError: no\n", "_ArrayMemoryError: no. Make the partitions"),
        (
            "An error occurred while calling o1.collectToPython.\n: org.apache.spark.SparkException: [FAILED_READ_FILE."
            "NO_HINT] Encountered error while reading file file:///a.parquet.  SQLSTATE: KD001" + JAVA,
            "[FAILED_READ_FILE.NO_HINT] Encountered error while reading file file:///a.parquet.  SQLSTATE: KD001. "
            "Write this file again",
        ),
        (
            "[SESSION_OR_CONTEXT_NOT_EXISTS] SparkContext or SparkSession should be created first.",
            "Received: a session that was stopped. Start a session, and read the frame anew.",
        ),
        (
            'Cannot invoke "org.apache.spark.rpc.RpcEndpointRef.askSync(Object)" because the return value of '
            '"org.apache.spark.storage.BlockManagerMaster.driverEndpoint()" is null',
            "Received: a session that was stopped. Start a session, and read the frame anew.",
        ),
        ("", "no message. Spark's log says more"),
    ],
)
def test_what_spark_says_in_many_lines_is_one_sentence_with_what_to_do(message: str, words: str) -> None:
    with pytest.raises(RuntimeError, match="^Spark must get through all partitions of `x`. Received: .*") as caught:
        raise spark_error("x", message)
    assert words in str(caught.value)
    assert not re.search(r"scala|Caused by|\bat org|o54|TID", str(caught.value))


def test_other_versions_are_refused() -> None:
    check_versions(0, {"tfgmm": "1", "numpy": "2"}, {"tfgmm": "1", "numpy": "2"})
    with pytest.raises(RuntimeError, match="numpy 2 must be installed on every worker, as here. Received: 3 where"):
        check_versions(7, {"tfgmm": "1", "numpy": "3"}, {"tfgmm": "1", "numpy": "2"})
