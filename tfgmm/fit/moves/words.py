"""Moves in words."""

from __future__ import annotations

from collections.abc import Sequence

from tfgmm.common.words import counted
from tfgmm.fit.restarts import Move


def sentences_on_moves(moves: Sequence[Move]) -> list[str]:
    """Says without a full stop how many components went and what the bound gained; nothing where none did.

    Example:

    >>> sentences_on_moves([Move((3, 5), (0, 2), 12.5), Move((1,), (4,), 2.0)])
    ['moves: 3 components went and others were divided instead, in 2 rounds, bound +14.5 nats']
    """
    if not moves:
        return []
    went, rounds = counted(sum(len(move.deleted) for move in moves), "component"), counted(len(moves), "round")
    gain = sum(move.gain for move in moves)
    return [f"moves: {went} went and others were divided instead, in {rounds}, bound {gain:+,.1f} nats"]
