"""A fitted mixture outside this process: written, read, checked, scored."""

from tfgmm.common.lazy import front_door

__getattr__, __dir__, __all__ = front_door(
    __name__,
    {
        "folder": ["CARD", "IntegrityError", "Place", "file_sizes", "read_card"],
        "portable": ["export_litert", "export_onnx"],
        "reading": ["ExportedMixture", "read_export"],
        "saved_model": ["export_model"],
        "score_file": ["COLUMNS", "flat_scores", "score_columns", "write_scores"],
        "scorer": ["Scorer", "load_scorer"],
        "verify": ["Verified", "verify_export"],
    },
)
