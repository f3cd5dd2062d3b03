"""One HTML page about a fit, a choice, a model or an export."""

from tfgmm.common.lazy import front_door

__getattr__, __dir__, __all__ = front_door(
    __name__,
    {
        "choice": ["choice_of", "console_lines"],
        "page": ["RowNotes", "page_of", "write_page", "write_report"],
        "pictures": ["drawings"],
        "subject": ["fitted_of"],
    },
)
