"""Scores beside the columns of data frames: in memory at once, in Dask and Spark lazily, where the rows are."""
