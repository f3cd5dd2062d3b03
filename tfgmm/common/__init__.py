"""What every package may use: checks, words, threads, files that are whole or not there. Knows nothing of mixtures."""

from tfgmm.common.lazy import front_door

__getattr__, __dir__, __all__ = front_door(
    __name__,
    {
        "atomic_file": ["beside", "check_free", "written_whole"],
        "atomic_folder": ["Kind", "check_target", "files_below", "path_of"],
        "checks": ["check_choice", "check_columns", "check_count", "check_seed", "is_instance_of"],
        "columns": ["column_labels"],
        "extras": ["check_tensorflow", "imported"],
        "forks": ["check_not_forked", "survived"],
        "lazy": ["front_door"],
        "progress": ["status_line"],
        "quiet": ["stderr_kept_back"],
        "remembered": ["Remembered"],
        "shapes": ["Tensor", "check_shape"],
        "threads": [
            "num_cores",
            "one_core",
            "one_thread_each",
            "read_ahead",
            "shared_out",
            "slices",
            "work_array",
        ],  # fmt: skip
        "unfinished": ["ArgumentNames", "IN_PYTHON", "disk_errors_named", "try_folder_beside"],
        "urls": ["COPY_HERE", "check_here", "has_lost_a_slash", "is_url", "scrubbed", "to_repeat", "without_secrets"],
        "version": ["versions"],
        "words": ["counted", "listed", "printable", "quoted", "shown", "shown_count", "shown_number", "with_and"],
    },
)
