"""Questions that only TensorFlow answers, asked about rows of any kind; it is loaded then."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tfgmm.common.extras import check_tensorflow
from tfgmm.data.blocks import RowBlock
from tfgmm.data.summary import centre as centre_rows
from tfgmm.mixture.parameters import MixtureDensity
from tfgmm.scoring.scores import mapped_over_data

if TYPE_CHECKING:
    from tfgmm.scoring.graph.chunks import Answers


def ask_of_data(
    data: Any,
    mixture: MixtureDensity,
    question: str,
    argument: np.ndarray,
    needed: Any,
    column_names: tuple[str, ...] | None,
) -> Answers:
    """Asks one of `graph.questions` about rows, block by block.

    Args:
        data: Rows, (N, D), of any kind.
        mixture: The mixture, or S of them.
        question: Name in `graph.questions.QUESTIONS`.
        argument: What the question takes beside rows and mixture.
        needed: (D,) bool, or True for all: columns in which a finite number beyond float32 is refused.
        column_names: As in `score_data`.
    """
    check_tensorflow(f"the question `{question}`")
    from tfgmm.scoring.graph.chunks import Answers
    from tfgmm.scoring.graph.questions import ask

    once: dict[str, np.ndarray] = {}

    def of_block(block: RowBlock) -> dict[str, np.ndarray]:
        answers = ask(question, block, mixture, argument)
        if any(np.isnan(answer).any() for part in answers for answer in part.values()):
            # Refuses what is infinite in float32 only, and says where
            centre_rows(np.where(needed, block.values, mixture.centre), mixture.centre)
        once.update(answers.once)
        return answers.per_row

    per_row = mapped_over_data(np.asarray(mixture.centre), data, of_block, column_names)
    return Answers(per_row, once)
