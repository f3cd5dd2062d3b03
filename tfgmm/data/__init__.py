"""Rows of any kind and size: opened, summarised, cut into blocks."""

from tfgmm.common.lazy import front_door

__getattr__, __dir__, __all__ = front_door(
    __name__,
    {
        "blocks": ["BLOCK_ROWS", "RowBlock", "finite", "is_finite", "together"],
        "columns": ["numeric_columns"],
        "containers": ["check_in_memory"],
        "counters": ["suspicious_columns"],
        "errors": ["check_gaps", "check_no_overflow", "no_rows_left_error", "no_value_error", "not_finite_error"],
        "fingerprint": ["sum_of_hashes"],
        "files.csv_format": ["GUESSED", "CsvOptions"],
        "files.filesystems": ["place_of"],
        "files.kinds": ["KINDS", "files_in", "not_numbers_error", "readable", "words_if_not_numbers"],
        "files.opening": ["words_of_format"],
        "files.stored": ["StoredRows"],
        "frames": ["MemoryTable", "open_table"],
        "matching": ["Sample"],
        "pass_through": ["InputNames", "ScoredInput"],
        "quantiles": ["column_quantiles", "quantile_of"],
        "readers": ["Rows", "open_rows", "read_rows"],
        "row_source": ["RowSource"],
        "row_words": [
            "sentence_on_empty",
            "sentences_on_gaps",
            "sentences_on_noise",
            "sentences_on_rows",
            "sentences_on_weights",
        ],
        "sampling": ["SAMPLE_ROWS"],
        "scored_table": ["ScoredColumns", "scored_columns"],
        "shards.part": ["SEAL_ROWS", "rows_and_seal"],
        "shards.recognised": ["check_no_shards", "kind_of_shards"],
        "shards.rows": ["ShardRows"],
        "sources": ["check_ends", "open_source"],
        "streamed": ["StreamedRows"],
        "summary": ["DataSummary", "SummaryAccumulator", "centre", "summarise"],
        "survey": ["Survey", "check_finite", "finite_blocks", "no_rows_error", "survey_rows"],
        "table_writer": ["table_at", "written_table"],
        "validation": ["open_validation"],
    },
)
