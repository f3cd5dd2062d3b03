"""`mlflow models serve` of a tfgmm mixture on loopback: requests a second, latencies, errors and memory.

8 connections that stay open, 64 rows a request, each with its next request as soon as it has its answer; client and
workers share the cores. An answer that is not the very one of the same rows before, checked once against the model,
counts as an error. The peer is scikit-learn's GaussianMixture in MLflow's own flavour, log densities only.

Run: python benchmarks/bench_mlflow.py [--quick] [--repeats 1]
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import pathlib
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import bench_scoring
import common
import numpy as np
import pandas as pd

import tfgmm
from tfgmm.mlflow.models import mlflow_package

NUM_CONNECTIONS, NUM_ROWS, NUM_BODIES = 8, 64, 16


class Client:
    """Requests of one way to ask a server: the bodies, and the answers that they must get."""

    def __init__(self, port: int, bodies: Sequence[str]) -> None:
        self._port = port
        self._bodies = bodies
        self._expected: list[bytes] = []
        self._left = 0
        self._lock = threading.Lock()
        self.seconds: list[float] = []
        self.num_errors = 0

    def first_answers(self) -> list[Any]:
        """Returns the predictions for every body, which all later answers must equal byte for byte."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        answers = [ask(connection, body) for body in self._bodies]
        connection.close()
        if any(status != 200 for status, _ in answers):
            raise RuntimeError(f"the server refused: {answers[0]}")
        self._expected = [text for _, text in answers]
        return [json.loads(text)["predictions"] for text in self._expected]

    def run(self, num_requests: int) -> float:
        """Returns the seconds that so many requests took over all connections."""
        self._left, self.seconds, self.num_errors = num_requests, [], 0
        threads = [threading.Thread(target=self._connection) for _ in range(NUM_CONNECTIONS)]
        began = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return time.perf_counter() - began

    def _connection(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        while (number := self._next()) is not None:
            began = time.perf_counter()
            try:
                status, text = ask(connection, self._bodies[number % NUM_BODIES])
                is_right = status == 200 and text == self._expected[number % NUM_BODIES]
            except (OSError, http.client.HTTPException):
                connection.close()
                is_right = False
            seconds = time.perf_counter() - began
            with self._lock:
                self.seconds.append(seconds)
                self.num_errors += not is_right
        connection.close()

    def _next(self) -> int | None:
        with self._lock:
            self._left -= 1
            return self._left if self._left >= 0 else None


def ask(connection: http.client.HTTPConnection, body: str) -> tuple[int, bytes]:
    """Returns the status and the text of an answer."""
    connection.request("POST", "/invocations", body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    return answer.status, answer.read()


@contextlib.contextmanager
def server(model: pathlib.Path, num_workers: int) -> Iterator[tuple[int, int]]:
    """Yields the port and the process group of MLflow's server of a model; ends it and its workers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "models", "serve", "--model-uri", str(model), "--env-manager", "local"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--workers", str(num_workers)]
    # uvicorn is looked up on the path
    environment = os.environ | {"PATH": f"{pathlib.Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    log = model.parent / f"{model.name}.log"
    with open(log, "w", encoding="utf-8") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, env=environment, start_new_session=True)
    try:
        wait_for(port, process, log)
        yield port, process.pid
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_for(port: int, process: subprocess.Popen[bytes], log: pathlib.Path) -> None:
    """Waits until the server answers.

    Raises:
        RuntimeError: it ended, or two minutes have passed; says what it wrote.
    """
    until = time.monotonic() + 120
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/ping")
            if connection.getresponse().status == 200:
                return
        time.sleep(0.1)
    raise RuntimeError(f"no server:\n{log.read_text(encoding='utf-8')[-4000:]}")


def largest_process(group: int) -> float:
    """Returns the resident memory of the largest process of a group, a worker, in MiB."""
    pages = [0]
    for path in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if int((path / "stat").read_text().rpartition(")")[2].split()[2]) == group:
                pages.append(int((path / "statm").read_text().split()[1]))
    return max(pages) * os.sysconf("SC_PAGE_SIZE") / 2**20


def measured(
    model: pathlib.Path, num_workers: int, bodies: Sequence[str], expected: np.ndarray, num_requests: int
) -> dict[str, float]:
    """Returns what a run of requests took, once the first answers are known to be the scores expected."""
    with server(model, num_workers) as (port, group):
        client = Client(port, bodies)
        lines = [line for part in client.first_answers() for line in part]
        found = [list(line.values()) if isinstance(line, dict) else line for line in lines]
        if not np.allclose(found, expected, rtol=1e-4, atol=1e-4):
            raise RuntimeError("the server's scores are not the model's")
        client.run(num_requests // 10)  # every worker has been asked
        seconds = client.run(num_requests)
        percentiles = statistics.quantiles(client.seconds, n=100)
        return {
            "seconds": seconds,
            "requests/s": num_requests / seconds,
            "p50 ms": 1000 * percentiles[49],
            "p99 ms": 1000 * percentiles[98],
            "errors": client.num_errors,
            "MiB a worker": largest_process(group),
        }


def compare(report: common.Report, problem: common.Problem, arguments: Any) -> None:
    """Adds the table."""
    num_requests = 200 if arguments.quick else 5_000
    names = [f"x{index}" for index in range(problem.num_features)]
    frame = pd.DataFrame(problem.rows()[0], columns=names)
    model = tfgmm.fit_mixture(frame, problem.num_components, restarts=1, tolerance=1e-4).model
    asked = [frame[start : start + NUM_ROWS] for start in range(0, NUM_BODIES * NUM_ROWS, NUM_ROWS)]
    split = [{"columns": names, "data": rows.to_numpy().tolist()} for rows in asked]
    everything = [json.dumps({"dataframe_split": part}) for part in split]
    shares = [json.dumps({"dataframe_split": part, "params": {"columns": ["responsibilities"]}}) for part in split]
    rows = pd.concat(asked)
    memberships = model.responsibilities(rows)
    scores = np.column_stack([model.log_prob(rows), model.assign(rows), memberships, model.outlier(rows)])
    with tempfile.TemporaryDirectory() as folder:
        place = pathlib.Path(folder)
        ours = tfgmm.mlflow.save_model(model, place / "ours")
        ways = {
            "tfgmm, all scores, 1 worker": (ours, 1, everything, scores),
            "tfgmm, all scores, 2 workers": (ours, 2, everything, scores),
            "tfgmm, responsibilities, 2 workers": (ours, 2, shares, memberships),
            "scikit-learn, responsibilities, 2 workers": (peer_of(model, place), 2, everything, memberships),
        }
        calls = {name: lambda way=way: measured(*way, num_requests=num_requests) for name, way in ways.items()}
        answers = common.in_turn(calls, arguments.repeats)
    lines = [
        {"way": name, **{field: worst_or_median(field, found) for field in found[0]}} for name, found in answers.items()
    ]
    notes = [f"{num_requests:,} requests a run of {NUM_ROWS} rows, {NUM_CONNECTIONS} connections, loopback"]
    notes += [f"medians of {arguments.repeats} runs, errors of all", "client and workers share the cores"]
    report.add(f"{problem}, covariance diag, mlflow models serve", lines, notes)


def worst_or_median(field: str, answers: Sequence[Any]) -> float:
    """Returns all errors of the answers, or the median of another field."""
    values = [answer[field] for answer in answers]
    return sum(values) if field == "errors" else statistics.median(values)


def peer_of(model: tfgmm.GaussianMixtureModel, place: pathlib.Path) -> pathlib.Path:
    """Returns the folder of scikit-learn's mixture with the same numbers, as MLflow saves it."""
    mlflow_package()
    import mlflow.sklearn

    peer = bench_scoring.scikit_learn_of(common.plug_in(model))
    saved = {"pip_requirements": ["scikit-learn"], "pyfunc_predict_fn": "predict_proba"}
    mlflow.sklearn.save_model(peer, place / "peer", serialization_format="cloudpickle", **saved)
    return place / "peer"


def main() -> None:
    """Prints the table and writes results/bench_mlflow.json."""
    arguments = common.arguments_of(__doc__, repeats=1)
    report = common.Report("bench_mlflow", arguments)
    sizes = (5_000, 4, 6, 1) if arguments.quick else (64_000, 16, 32, 1)
    compare(report, common.Problem("axis-aligned", *sizes), arguments)


if __name__ == "__main__":
    main()
