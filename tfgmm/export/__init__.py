"""A fitted mixture outside this process: written, read, checked, scored."""

from tfgmm.common.lazy import front_door

__getattr__, __dir__, __all__ = front_door(
    __name__,
    {
        "folder": [
            "CARD",
            "EXPORT",
            "POSTERIOR",
            "IntegrityError",
            "Place",
            "file_sizes",
            "holds_graph",
            "posterior_of",
            "read_card",
        ],
        "plain": ["as_json", "plain_numbers"],
        "portable": ["export_litert", "export_onnx", "write_portable"],
        "reading": ["ExportedMixture", "read_export", "read_numbers"],
        "saved_model": ["export_model", "served_mixture", "write_export"],
        "score_file": ["write_scores"],
        "score_folder": ["SCORED", "FolderTask", "open_folder", "write_folder_scores"],
        "scored_frames": ["score_frame"],
        "scorer": ["Scorer", "load_scorer"],
        "sql.names": ["check_asked"],
        "sql.select": ["select_of"],
        "verify": ["Verified", "verify_export"],
    },
)
