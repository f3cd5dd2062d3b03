"""`--checkpoint` and `--resume` of `tfgmm fit`, checked before any work."""

from __future__ import annotations

import os
from pathlib import Path

from tfgmm.cli.run.settings import RunSettings
from tfgmm.cli.shared import UsageError
from tfgmm.fit.checkpoint.journal import check_before_work
from tfgmm.fit.options import FitOptions


def checked_checkpoint(checkpoint: Path | None, resume: bool, settings: RunSettings, out: Path) -> Path | None:
    """Checks where a run keeps what is done, and that it goes on only from what is there, and only when asked to.

    Args:
        checkpoint: The file, as it was asked for; None for none.
        resume: Whether to go on from it.
        settings: Settings of the run.
        out: The folder that the run makes.

    Raises:
        UsageError: Both do not go together, or with what is there.
        ValueError: The file is no checkpoint.
        OSError: Nothing can be written there.
    """
    if checkpoint is None:
        if resume:
            raise UsageError(
                "`--resume` needs a checkpoint to go on from. Received: none. Add --checkpoint FILE, the one that the "
                "run wrote."
            )
        return None
    options = FitOptions(**settings.fit_options(), checkpoint=checkpoint)
    if _is_within(checkpoint, out):
        raise UsageError(
            f"`--checkpoint` must be a file outside the folder that is made. Received: {checkpoint}, with the folder "
            f"{out}. Put it beside the folder."
        )
    if checkpoint.is_file() and not resume:
        raise UsageError(
            f"`--checkpoint` must be a new file unless --resume. Received: {checkpoint}, which is there. Add --resume "
            "to go on from it, or name another file."
        )
    if resume and not checkpoint.exists():
        raise UsageError(
            f"`--checkpoint` must be there to resume from. Received: {checkpoint} (nothing of that name). Leave out "
            "--resume to begin, or name the file that the run wrote."
        )
    check_before_work(options)
    return Path(options.checkpoint)


def _is_within(checkpoint: Path, out: Path) -> bool:
    """Tells whether a file is the folder to be or in it, by its name or by where links lead."""
    folders = {Path(os.path.abspath(out)), Path(os.path.realpath(out))}
    files = Path(os.path.abspath(checkpoint)), Path(os.path.realpath(checkpoint))
    return any(place in folders for file in files for place in (file, *file.parents))
