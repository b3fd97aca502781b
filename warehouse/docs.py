"""dbt's documentation of the tables as one page that works without a network."""

import shutil

from ingest.errors import StudyError
from ingest.files import locked, replacing
from ingest.run import read_raw_manifest
from warehouse.build import create_raw_views, remove_database, run_dbt


def write_docs(study):
    """Write ``docs.html`` beside the study's warehouse.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    StudyError
        Nothing was ingested yet, or dbt failed.
    """
    page = study.output / "docs.html"
    with locked(study.output, "ingest or build"):
        if not study.warehouse.is_file():
            raise StudyError(f"no warehouse at {study.warehouse}; run upscale-audit build first")
        database = study.output / ".docs.duckdb"
        remove_database(database)
        try:
            create_raw_views(database, study.raw, read_raw_manifest(study.raw))
            run_dbt(study, database, ["docs", "generate", "--static"])
            with replacing(page) as temporary:
                shutil.copyfile(study.output / "dbt" / "target" / "static_index.html", temporary)
        finally:
            remove_database(database)
    return page
