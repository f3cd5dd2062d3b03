"""Tables to score with `tfgmm score`, the call, and what must be in the file that it writes."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet
from exports import FRAME, ROWS, K
from typer.testing import CliRunner

import tfgmm
from tfgmm.cli import app as cli
from tfgmm.mixture import outliers
from tfgmm.scoring import scores

SCORES: tuple[Any, ...] = ("log_prob", "responsibilities", "assignment", "log_density")
ALL = "log_prob,assignment,responsibilities,outlier"
FIELDS = ["log_prob", "assignment", "responsibility_0", "responsibility_1", "outlier"]
SHUFFLED = FRAME[["depth", "width", "height"]].assign(id=[f"00{row}" for row in range(len(ROWS))])


def run(*arguments: Any, columns: str = ALL) -> Any:
    texts = [str(argument) for argument in arguments]
    return CliRunner().invoke(cli.app, ["score", *texts, "--columns", columns])


def write(path: pathlib.Path, frame: pd.DataFrame) -> pathlib.Path:
    table = pa.Table.from_pandas(frame, preserve_index=False)
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
    elif path.suffix == ".parquet":
        pa.parquet.write_table(table, path, row_group_size=7)
    elif path.suffix == ".feather":
        pa.feather.write_feather(table, str(path), chunksize=6)
    else:
        with pa.ipc.new_stream(str(path), table.schema) as writer:
            writer.write_table(table, max_chunksize=4)
    return path


def read(path: pathlib.Path) -> pa.Table:
    if path.suffix == ".csv":
        return pa.csv.read_csv(path)
    return pa.parquet.read_table(path) if path.suffix == ".parquet" else pa.feather.read_table(str(path))


def check_scores(table: pa.Table, scorer: tfgmm.Scorer, rows: np.ndarray) -> None:
    by_name = {score: scores.score_data(scorer.plug_in(), rows, score, by_graph=True) for score in SCORES}
    shares = np.stack([table[f"responsibility_{k}"].to_numpy() for k in range(K)], axis=1)
    # Of rows with gaps, other tests look at the outlier scores
    is_other = np.isnan(rows).any(axis=1) & np.isfinite(by_name["log_density"])
    tails = outliers.tail_probabilities(scorer.outlier_table(), by_name["log_density"])
    for found, expected in (
        (table["log_prob"].to_numpy(), by_name["log_prob"]),
        (shares, by_name["responsibilities"]),
        (table["outlier"].to_numpy()[~is_other], tails[~is_other]),
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(table["assignment"].to_numpy(), by_name["assignment"])
