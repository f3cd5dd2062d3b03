"""`fit` that goes on in a later epoch, by Keras's own means, ends with the bytes of one that was never broken off."""

from __future__ import annotations

import pathlib
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest

import tfgmm

ROWS = np.random.default_rng(0).normal([[-3.0, 0.0]] * 150 + [[3.0, 1.0]] * 150, 0.7)
KINDS: dict[str, dict[str, Any]] = {
    "gradients": {},
    "running updates": {"step_sizes": tfgmm.StepSizes()},
    "running updates, then sweeps": {"step_sizes": tfgmm.StepSizes(num_epochs=2)},
}


class BreaksOff(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if epoch == 3:
            raise KeyboardInterrupt


def compiled(kind: str) -> tfgmm.GaussianMixtureModel:
    model = tfgmm.GaussianMixtureModel(2, 2, seed=3)
    model.compile(**(KINDS[kind] or {"optimizer": keras.optimizers.Adam(1e-2)}))
    return model


def numbers_of(model: tfgmm.GaussianMixtureModel) -> list[bytes]:
    return [variable.numpy().tobytes() for variable in model.variables]


@pytest.mark.parametrize(
    ("kind", "steps_per_epoch", "is_file"),
    [
        pytest.param("gradients", None, False, marks=pytest.mark.slow),
        ("running updates", 3, True),  # 10 batches of 32 rows: epoch 3 begins within the first pass
        pytest.param("running updates, then sweeps", 7, False, marks=pytest.mark.slow),
    ],
)
def test_backup_and_restore_goes_on_with_the_rows_of_the_epoch(
    kind: str, steps_per_epoch: int | None, is_file: bool, tmp_path: pathlib.Path
) -> None:
    data: Any = ROWS
    if is_file:
        data = tmp_path / "rows.csv"
        pd.DataFrame(ROWS, columns=["a", "b"]).to_csv(data, index=False)
    options: dict[str, Any] = {"epochs": 5, "batch_size": 32, "steps_per_epoch": steps_per_epoch, "verbose": 0}
    whole = compiled(kind)
    history = whole.fit(data, **options).history
    backup = tmp_path / "backup"
    with pytest.raises(KeyboardInterrupt):
        compiled(kind).fit(data, callbacks=[keras.callbacks.BackupAndRestore(backup), BreaksOff()], **options)
    rest = compiled(kind)
    later = rest.fit(data, callbacks=[keras.callbacks.BackupAndRestore(backup)], **options)
    assert later.epoch == [3, 4] and numbers_of(rest) == numbers_of(whole)
    assert later.history == {name: values[3:] for name, values in history.items()}


def test_initial_epoch_of_a_sweep_keeps_the_order_that_running_updates_began(tmp_path: pathlib.Path) -> None:
    kind = "running updates, then sweeps"
    whole, part, rest = compiled(kind), compiled(kind), compiled(kind)
    whole.fit(ROWS, epochs=5, batch_size=32, verbose=0)
    part.fit(ROWS, epochs=3, batch_size=32, verbose=0)
    part.save_weights(tmp_path / "part.weights.h5")
    rest.load_weights(tmp_path / "part.weights.h5")
    rest.fit(ROWS, epochs=5, initial_epoch=3, batch_size=32, verbose=0)
    assert numbers_of(rest) == numbers_of(whole)
