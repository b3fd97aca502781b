"""dbt's documentation of the tables as one page that works without a network."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from upscale_audit.analysis.pages import check_own_page, guard_page, spell_json
from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.files import locked, write_text
from upscale_audit.ingest.plain_paths import plain_path
from upscale_audit.ingest.run import read_raw_manifest
from upscale_audit.warehouse.connect import remove_database
from upscale_audit.warehouse.dbt_runner import PROJECT, run_dbt
from upscale_audit.warehouse.proof.provenance import DOCS_MANIFEST, describe_study, seal_docs
from upscale_audit.warehouse.raw import create_raw_views

if TYPE_CHECKING:
    from pathlib import Path

    from upscale_audit.ingest.study import Study


_OF_A_RUN = re.compile(
    r"generated_at|created_at|run_started_at|invocation_(id|started_at)|user_id|completed_at"
)


def write_docs(study: Study) -> Path:
    """Write ``docs.html`` beside the study's warehouse.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    StudyError
        Nothing was built yet, dbt failed, or a file of somebody's stands where the page goes.

    Notes
    -----
    dbt writes times, run ids and folders of the machine into its page; without them the same
    study and code give the same bytes.
    """
    page = study.output / "docs.html"
    with locked(study.output, "ingest or build"):
        if not study.warehouse.is_file():
            raise StudyError(f"no warehouse at {study.warehouse}; run upscale-audit build first")
        check_own_page(page, study.output / DOCS_MANIFEST)
        database = study.output / ".docs.duckdb"
        remove_database(database)
        try:
            create_raw_views(database, study, read_raw_manifest(study.raw))
            run_dbt(study, database, ["docs", "generate"], variables=describe_study(study))
            (study.output / DOCS_MANIFEST).unlink(missing_ok=True)
            write_text(page, _compose_page(study))
            seal_docs(study, page)
        finally:
            remove_database(database)
    return page


def _compose_page(study: Study) -> str:
    """Put dbt's descriptions, without what is of this run or machine, into dbt's empty page."""
    target = study.output / "dbt" / "target"
    own = (target, study.output, PROJECT, study.path.parent)
    folders = [str(name) for folder in own for name in (plain_path(folder), folder)]
    page = (target / "index.html").read_text(encoding="utf-8")
    for name in ("manifest", "catalog"):
        described = json.loads((target / f"{name}.json").read_text(encoding="utf-8"))
        text = spell_json(_strip(described, folders))
        marker = f'"{name.upper()}.JSON INLINE DATA"'
        if page.count(marker) != 1:
            raise StudyError(f"dbt's page has no place for its {name}; install the pinned dbt-core")
        page = page.replace(marker, text)
    return guard_page(page)


def _strip(value: Any, folders: Sequence[str]) -> Any:
    """Blank what differs from run to run, and make names of files relative."""
    if isinstance(value, dict):
        return {
            key: None if _OF_A_RUN.fullmatch(key) else _strip(item, folders)
            for key, item in sorted(value.items())
        }
    if isinstance(value, list):
        return [_strip(item, folders) for item in value]
    if isinstance(value, str):
        for folder in folders:
            value = value.replace(f"{folder}/", "").replace(folder, ".")
    return value
