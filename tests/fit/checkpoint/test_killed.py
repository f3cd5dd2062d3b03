"""A process that is killed in mid-fit, by SIGKILL, and another one that goes on; `tfgmm fit` in tests/cli likewise."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys

import numpy as np
import pytest

import tfgmm

MAKE_ROWS = """
import numpy as np
rows = np.random.default_rng(1).normal(np.arange(3.0)[:, None, None], 1.0, (3, 10_000, 2)).reshape(-1, 2)
options = {"num_components": 4, "restarts": 1, "tolerance": 1e-9, "max_sweeps": 8}
"""
FIT = """
import os, signal, sys, time
import tfgmm

class Kills(tfgmm.callbacks.SweepCallback):
    def on_epoch_begin(self, epoch, logs=None):
        time.sleep(0.2)  # it is written twice a second
        if epoch == 6:
            os.kill(os.getpid(), signal.SIGKILL)

tfgmm.fit_mixture(rows, **options, checkpoint=sys.argv[1], callbacks=[Kills()])
"""


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:the bound was still rising")
def test_a_fit_goes_on_from_the_sweep_that_was_written_last(tmp_path: pathlib.Path) -> None:
    path, known = tmp_path / "c", {"np": np}
    killed = subprocess.run([sys.executable, "-W", "ignore", "-c", MAKE_ROWS + FIT, str(path)], check=False)
    assert killed.returncode == -signal.SIGKILL and os.listdir(tmp_path) == ["c"]
    exec(MAKE_ROWS, known)
    fits = [tfgmm.fit_mixture(known["rows"], **known["options"], **also) for also in ({}, {"checkpoint": path})]
    assert 3 <= fits[1].num_earlier_sweeps <= 6
    values = [[value.tobytes() for value in fit.variational.values().flat] for fit in fits]
    assert values[0] == values[1] and fits[0].history == fits[1].history and fits[0].elbo == fits[1].elbo
