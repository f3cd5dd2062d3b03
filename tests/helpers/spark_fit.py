"""Fits to a Spark frame whose master is the first argument; prints digests of what came out and of one pass.

The second argument is a folder that Spark may write to. The master "connect" is a server of Spark Connect.
"""

from __future__ import annotations

import hashlib
import pathlib
import sys
import warnings

import numpy as np
import spark_sessions

import tfgmm

# Seven partitions, one of them empty, of simulated rows that do not depend on how many cores there are
ROWS = (
    "SELECT a + 4 * (id % 3) AS a, b - a AS b, 1 + id % 3 AS times, 0.1 AS error "
    "FROM (SELECT id, randn(1) AS a, randn(2) AS b FROM range(0, 7000, 1, 7)) WHERE id NOT BETWEEN 2000 AND 2999"
)


def main(master: str, folder: str) -> None:
    with spark_sessions.session(master, pathlib.Path(folder)) as spark, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*partitions of .* on average")
        frame, options = spark.sql(ROWS), {"covariance": "full", "restarts": 2, "seed": 1}
        results = [
            tfgmm.fit_mixture(frame.select("a", "b"), 3, **options),
            tfgmm.fit_mixture(frame, 2, sample_weight="times", noise={"a": "error"}, **options),
        ]
    for result in results:
        arrays = [result.locs, result.elbo, result.log_likelihood, *result.history.values()]
        print(hashlib.sha256(b"".join(np.asarray(array).tobytes() for array in arrays)).hexdigest())
    print("tensorflow" in sys.modules)


if __name__ == "__main__":
    main(*sys.argv[1:])
