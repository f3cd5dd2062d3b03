"""What identifies the rows that a posterior is of, so that a question about those rows is not asked of others."""

from __future__ import annotations

import dataclasses
import json
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tfgmm.common.words import counted
from tfgmm.data.fingerprint import sum_of_hashes

if TYPE_CHECKING:
    from tfgmm.data.blocks import RowBlock
    from tfgmm.data.record import DataSummary

_OF_NEW_ROWS = (
    "`arviz.loo`, `arviz.waic` and `arviz.compare` need all rows of the fit, or some of them chosen at random. The "
    "score of new rows is the log of their mean density over the draws: scipy.special.logsumexp(log_likelihood, "
    "axis=(0, 1)) less the log of the number of draws"
)
_REPEAT = "Repeat them where the weights are whole, as np.repeat(rows, weights, axis=0) does"


@dataclasses.dataclass(frozen=True)
class FittedRows:
    """What identifies the rows that a posterior is of, in whatever order and kind of file they come.

    Args:
        num_rows: Number of the rows.
        fingerprint: 16 hexadecimal digits; see `DataSummary`.
        has_noise: Whether they had measurement noise.
        has_weights: Whether they had weights.

    Example:

    >>> FittedRows(150, "0123456789abcdef").words()
    '150 rows'
    """

    num_rows: int
    fingerprint: str
    has_noise: bool = False
    has_weights: bool = False

    @staticmethod
    def of_summary(summary: DataSummary | None) -> FittedRows | None:
        """Takes what identifies the rows from the summary of a fit; None where it does not say."""
        if summary is None or summary.fingerprint is None:
            return None
        num_rows, has_weights = summary.num_rows or int(summary.num_data), summary.weights_name is not None
        return FittedRows(num_rows, summary.fingerprint, bool(summary.noise_columns), has_weights)

    @staticmethod
    def of_block(block: RowBlock) -> FittedRows:
        """Works out what identifies rows in memory, each of which has a value."""
        total = sum_of_hashes(*block, has_gaps=True)
        return FittedRows(len(block.values), f"{total:016x}", block.noise is not None, block.weights is not None)

    def words(self) -> str:
        """Says how many rows they are, and what they carry."""
        carried = [name for name, has in (("weights", self.has_weights), ("noise", self.has_noise)) if has]
        return counted(self.num_rows, "row") + (f" with {' and '.join(carried)}" if carried else "")

    def to_json(self) -> str:
        """Writes the fields as text."""
        return json.dumps(dataclasses.asdict(self))

    @staticmethod
    def from_json(text: Any) -> FittedRows:
        """Restores what `to_json` wrote; names that are not ours are left out.

        Raises:
            ValueError, TypeError: It wrote something else.
        """
        values = json.loads(text)
        kinds = {"num_rows": int, "fingerprint": str, "has_noise": bool, "has_weights": bool}
        if not isinstance(values, Mapping) or not all(type(values.get(name)) is kind for name, kind in kinds.items()):
            raise ValueError("a field is missing or of another type")
        return FittedRows(**{name: values[name] for name in kinds})


def warn_of_other_rows(fitted: FittedRows | None, block: RowBlock, stacklevel: int) -> None:
    """Warns where rows, each of which has a value, are others than those of the fit, or come without their noise.

    Args:
        fitted: What identifies the rows of the fit; None where it is not known.
        block: The rows, data units, without weights.
        stacklevel: Whose line the warning names: 1 for that of the caller, 2 for that of its caller, and so on.
    """
    if fitted is None:
        return
    given = FittedRows.of_block(block)
    if (given.fingerprint, given.has_noise) != (fitted.fingerprint, fitted.has_noise):
        warnings.warn(_words(fitted, given), UserWarning, stacklevel=stacklevel + 1)


def _words(fitted: FittedRows, given: FittedRows) -> str:
    """Says how rows differ from those of the fit, and what that means."""
    if fitted.has_noise and not given.has_noise:
        return (
            f"`rows` come without measurement noise, and the fit had {fitted.words()}: their log likelihoods are those "
            "of values without error. Pass noise=, as the fit took it."
        )
    received = given.words() if given.words() != fitted.words() else "as many with other values"
    if fitted.has_weights:
        return (
            f"`rows` count once each, and the fit had {fitted.words()} (received: {received}). {_REPEAT}: then "
            "`arviz.loo` leaves out what the fit counted. Other weights have no such score."
        )
    return f"`rows` are not those of the fit, {fitted.words()} (received: {received}). {_OF_NEW_ROWS}."


def weights_error(must_be: str, received: str) -> TypeError:
    """Makes the error that rows have weights, which say nothing of what it is to leave a row out."""
    return TypeError(f"{must_be}: a row that counts twice is two rows to be left out. Received: {received}. {_REPEAT}.")
