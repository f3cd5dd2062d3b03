"""What is written with a model's variables: the summary of its rows, which has the names of its columns."""

from __future__ import annotations

import json
import warnings
from typing import Any

import numpy as np

from tfgmm.common.words import with_and
from tfgmm.data.summary import DataSummary
from tfgmm.model.training import KerasTraining

_SUMMARY = "data_summary"  # its name beside the variables: JSON as bytes
_GAPS = "gap_columns"  # beside them where columns have had gaps: their numbers


class StoredFacts(KerasTraining):
    """A model whose files, of the weights alone too, hold what is known of the data."""

    def save(self, filepath: Any, overwrite: bool = True, **kwargs: Any) -> None:
        """Writes the model with everything that training goes on from; `tfgmm.load_model` reads it.

        Draws from the exact posterior that the model has from its fit are not kept; `export` keeps them.

        Args:
            filepath: Path that ends in .keras. Keras's older .h5 keeps the posterior and the data summary, and not how
                the model was compiled.
            overwrite, kwargs: As in `keras.Model.save`.
        """
        if _is_whole_hdf5(filepath):
            kwargs = {"include_optimizer": False, **kwargs}
        super().save(filepath, overwrite=overwrite, **kwargs)

    def load_weights(self, filepath: Any, skip_mismatch: bool = False, **kwargs: Any) -> None:
        """Reads the variables, and the column names, from what `save_weights` or `save` wrote.

        Args:
            filepath: Path that ends in .weights.h5, .weights.json or .keras.
            skip_mismatch, kwargs: As in `keras.Model.load_weights`.

        Raises:
            ValueError: The file is one of Keras's older HDF5, in which names do not stand with the variables.
        """
        if _is_whole_hdf5(filepath):
            raise ValueError(
                "`filepath` must end in .weights.h5, .weights.json or .keras: column names stand there too. "
                f"Received: {filepath}. Use tfgmm.load_model, which finds the names in such a file."
            )
        super().load_weights(filepath, skip_mismatch=skip_mismatch, **kwargs)

    def save_own_variables(self, store: Any) -> None:
        """Writes the variables for `save` and `save_weights`, and the data summary, which has the column names."""
        super().save_own_variables(store)
        if self.data_summary:
            text = json.dumps(self.data_summary.to_dict())
            store[_SUMMARY] = np.frombuffer(text.encode(), np.uint8)
        if self.statistics.seen is not None:
            store[_GAPS] = np.array(self.variational.gap_columns, np.int64)

    def load_own_variables(self, store: Any) -> None:
        """Reads what `save_own_variables` wrote; files of earlier versions, and of unfitted models, have no summary.

        A summary that the model has from its own file, as `tfgmm.load_model` makes it, then stays; one of a fit goes.
        """
        names, was_fitted = self.column_names, self.num_data > 0
        parts = {name: store[name] for name in store.keys()}
        text, columns = parts.pop(_SUMMARY, None), parts.pop(_GAPS, None)
        if columns is not None:  # which have a variable of their own
            self.observe_gaps(np.asarray(columns).tolist())
        elif self.statistics.seen is not None:
            parts[str(len(parts))] = np.zeros(self.statistics.seen.shape)
        super().load_own_variables(parts)
        if columns is None:
            self.statistics.forget_gaps()
        if text is not None:
            self.data_summary = DataSummary.from_dict(json.loads(np.asarray(text).tobytes()))
        elif was_fitted:
            self.data_summary = None
            if names:
                _warn_of_dropped(names)


def _warn_of_dropped(names: tuple[str, ...]) -> None:
    warnings.warn(
        "the weights were written without the names of their columns, by an unfitted model or an earlier tfgmm. The "
        f"names from the fit before, {with_and([repr(name) for name in names])}, are dropped: columns are taken in "
        "their order. To have names again, fit to a frame, or load a file that has them.",
        UserWarning,
        stacklevel=3,
    )


def _is_whole_hdf5(filepath: Any) -> bool:
    name = str(filepath)
    return name.endswith((".h5", ".hdf5")) and not name.endswith(".weights.h5")
