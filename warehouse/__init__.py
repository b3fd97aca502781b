"""All Python that touches DuckDB: build, publish, export; and the command line."""
