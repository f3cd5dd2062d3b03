"""From rows to the best of several fits, or of several numbers of components."""

from tfgmm.common.lazy import front_door

__getattr__, __dir__, __all__ = front_door(
    __name__,
    {
        "cached_rows": ["HeldRows"],
        "callbacks": ["EndOfChoice", "FitStep", "FitWatcher", "ProgressBar", "StopOnPlateau"],
        "fitting": ["fit_mixture"],
        "occupied": ["num_occupied"],
        "restarts": ["Restart"],
        "result": ["FitResult"],
        "selection": ["Selection", "occupied_words"],
        "single": ["ConvergenceWarning"],
        "summary": ["interval_draws"],
        "tensorboard": ["MixtureBoard", "data_limits"],
    },
)
