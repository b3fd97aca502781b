"""Pixels and published files in, raw Parquet out. Knows no database."""
