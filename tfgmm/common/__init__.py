"""What every package may use: checks, words, threads, files that are whole or not there. Knows nothing of mixtures."""

from tfgmm.common.lazy import front_door

__getattr__, __dir__, __all__ = front_door(
    __name__,
    {
        "atomic_file": ["beside", "written_whole"],
        "checks": ["check_choice", "check_columns", "check_count", "check_seed", "is_instance_of"],
        "lazy": ["front_door"],
        "quiet": ["stderr_kept_back"],
        "shapes": ["check_shape"],
        "threads": ["one_thread_each", "shared_out", "slices"],
    },
)
