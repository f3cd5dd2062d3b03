"""The model that comes with the repository can be scored without training, in two ways."""

import pathlib
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import tfgmm

ROOT = pathlib.Path(__file__).parents[2]
SHIPPED = ROOT / "saved_models" / "old_faithful"


def test_shipped_model_scores_the_rows_it_was_fitted_on():
    scorer = tfgmm.load_scorer(SHIPPED)
    rows = pd.read_csv(ROOT / "training" / "data" / "old_faithful.csv")
    assigned = scorer.assign(rows)
    long_waits = int(np.argmax([rows["waiting"][assigned == k].mean() for k in (0, 1)]))
    # published maximum-likelihood weights of two components: .356 and .644
    assert (assigned == long_waits).mean() == pytest.approx(0.644, abs=0.01)
    assert scorer.column_names == ("eruptions", "waiting")


@pytest.mark.slow
def test_saved_model_cli_runs_the_shipped_model():
    command = [str(pathlib.Path(sys.executable).with_name("saved_model_cli")), "run", "--dir", str(SHIPPED)]
    command += ["--tag_set", "serve", "--signature_def", "log_prob", "--input_exprs", "x=[[2.0, 54.0], [4.3, 80.0]]"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert ran.returncode == 0, ran.stderr
    shown = [float(number) for number in re.findall(r"-\d+\.\d+", ran.stdout.partition("output key log_prob")[2])]
    expected = tfgmm.load_scorer(SHIPPED).log_prob([[2.0, 54.0], [4.3, 80.0]])
    np.testing.assert_allclose(shown, expected, rtol=1e-6)
