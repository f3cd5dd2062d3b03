"""What MLflow's servers and batch jobs call with rows, for a frame of scores. NumPy and pandas, no TensorFlow."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tfgmm.common.words import quoted
from tfgmm.data.blocks import RowBlock
from tfgmm.export.reading import ExportedMixture, read_export
from tfgmm.export.scorer import Scorer
from tfgmm.scoring.table_columns import COLUMNS, feature_names, flat_scores

if TYPE_CHECKING:
    import pandas as pd

# Parameters that a caller may send with the rows
WANTED, NULLS = "columns", "nan_as_null"


_ON_REQUEST = "imputed"  # rows, not scores: as many columns as the request has


def available_columns(export: ExportedMixture) -> list[str]:
    """Lists what an export can give: all, or all but outlier where it was written before there was one."""
    return [name for name in COLUMNS if name != "outlier" or export.outlier_table is not None]


def default_columns(export: ExportedMixture) -> list[str]:
    """Lists what is given where nothing is asked for: all scores."""
    return [name for name in available_columns(export) if name != _ON_REQUEST]


class ScoredFrames:
    """An exported mixture with the one method that MLflow calls. Made by `tfgmm.mlflow._load_pyfunc`.

    Args:
        export: Mixture to score with.

    Example: see `tfgmm.mlflow.save_model`.
    """

    def __init__(self, export: ExportedMixture) -> None:
        self._scorer = Scorer(export)
        self._columns, self._default_columns = available_columns(export), default_columns(export)
        self._features = feature_names(export.column_names, len(export.centre))
        self._names = export.column_names
        self._num_features = len(export.centre)

    def predict(self, model_input: Any, params: Mapping[str, Any] | None = None) -> pd.DataFrame:
        """Computes the scores of rows, as a frame whose columns are named as `tfgmm score` names them.

        Args:
            model_input: B rows in data units: a DataFrame with the training columns, in any order, and maybe others; an
                array (B, D) where the model was fitted on rows without names.
            params: `columns`, some of log_prob, assignment, responsibilities, outlier and imputed, default all but
                imputed; and `nan_as_null`, whether NaN becomes None, which JSON can write, default False.

        Returns:
            B rows with the index of the input, and the columns log_prob (float32, nats), assignment (int64),
            responsibility_0 to K - 1 and outlier (float32); where they are asked for, imputed_ and the name of each
            column (float64), rows with their gaps filled. A row with gaps is scored by the columns that it has. One
            without any value, or with one that is infinite or beyond the range of float32, has NaN and assignment -1;
            the other rows have their scores.

        Raises:
            MlflowException: a column is missing or unknown; a server answers with status 400 and the message.
        """
        import pandas as pd

        params = params or {}
        names = self._wanted(params.get(WANTED))
        scores = self._scorer.scores(RowBlock(self._rows(model_input)), names).by_name
        frame = pd.DataFrame(flat_scores(scores, names, self._features), index=getattr(model_input, "index", None))
        return frame.astype(object).where(frame.notna(), None) if params.get(NULLS) else frame

    def _wanted(self, names: Sequence[str] | None) -> list[str]:
        if names is None:
            return self._default_columns
        chosen = [str(name) for name in names]
        unknown = [name for name in chosen if name not in self._columns]
        if unknown or not chosen or len(set(chosen)) < len(chosen):
            received = repr(unknown[0]) if unknown else quoted(chosen) if chosen else "no name"
            raise _refusal(
                f"`{WANTED}` must be some of {quoted(self._columns)}, each once. Received: {received}. "
                "Leave it out for all scores."
            )
        return chosen

    def _rows(self, model_input: Any) -> np.ndarray:
        """Reads the rows, (B, D) float64, in the order of the model's columns."""
        if self._names is not None and hasattr(model_input, "columns"):
            missing = [name for name in self._names if name not in model_input.columns]
            if missing:
                raise _refusal(
                    f"`model_input` must have the columns that the model was fitted on. Received: a frame without "
                    f"{quoted(missing)}. Rename them; their order does not matter."
                )
            model_input = model_input[list(self._names)]
        rows = np.asarray(model_input, np.float64)
        if rows.ndim != 2 or rows.shape[1] != self._num_features:
            raise _refusal(
                f"`model_input` must have shape (B, D) with D = {self._num_features}. Received: shape {rows.shape}. "
                "Pass one number per column."
            )
        return rows


def _refusal(message: str) -> Exception:
    from mlflow.exceptions import MlflowException  # for others a server shows "unexpected error" in its first line

    return MlflowException.invalid_parameter_value(message)


def load_frames(path: str | pathlib.Path) -> ScoredFrames:
    """Reads the mixture in an exported folder, and checks its checksums, for MLflow to score with.

    Raises:
        FileNotFoundError, NotADirectoryError, IntegrityError: as `tfgmm.load_scorer`.
    """
    return ScoredFrames(read_export(path))
