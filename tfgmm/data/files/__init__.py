"""Rows in files and folders of files, read on demand: CSV, Parquet and Arrow."""
