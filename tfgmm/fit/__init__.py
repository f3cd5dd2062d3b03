"""From rows to the best of several fits, or of several numbers of components."""

from tfgmm.common.lazy import front_door

__getattr__, __dir__, __all__ = front_door(
    __name__,
    {
        "cached_rows": ["CachedRows"],
        "callbacks": ["EndOfChoice", "FitStep", "FitWatcher", "ProgressBar", "StopOnPlateau", "SweepCallback"],
        "checkpoint.journal": ["check_before_work"],
        "convergence": ["ConvergenceWarning"],
        "fitting": ["fit_mixture", "fit_opened"],
        "moves.words": ["sentences_on_moves"],
        "occupied": ["num_occupied"],
        "options": ["AUTO", "CRITERIA_AT", "FitOptions", "check_num_components"],
        "restarts": ["Restart"],
        "result": ["FitResult"],
        "result_words": ["interval_draws", "sentences_on_checkpoint"],
        "selection": ["Selection"],
        "selection_words": ["occupied_words"],
    },
)
