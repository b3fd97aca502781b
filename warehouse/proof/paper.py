"""A study as a folder and a zip that a data repository takes: results, SQL, hashes, citations."""

from __future__ import annotations

import datetime
import json
import os
import re
import shutil
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression
from rocrate.model.contextentity import ContextEntity
from rocrate.rocrate import ROCrate

from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.files import hash_file, locked, replacing, write_text, writing
from upscale_audit.ingest.manifests import (
    MANIFEST,
    SOURCES,
    describe_code,
    format_sum,
    hash_dependencies,
    read_manifest,
    seal_folder,
)
from upscale_audit.ingest.run import read_raw_manifest
from upscale_audit.warehouse.dbt_runner import PROJECT
from upscale_audit.warehouse.export import replace_folder
from upscale_audit.warehouse.proof.citations import (
    CHESTXRAY8_DOI,
    CHESTXRAY8_URL,
    cite_software,
    describe_folder,
    describe_licences,
    read_licence,
)
from upscale_audit.warehouse.proof.hashing import hash_files
from upscale_audit.warehouse.proof.provenance import (
    LINKS,
    UNCHECKED,
    WAREHOUSE_MANIFEST,
)
from upscale_audit.warehouse.proof.verify import STAGES, verify, walk

if TYPE_CHECKING:
    from upscale_audit.ingest.credit import Credit, Organisation
    from upscale_audit.ingest.manifests import Manifest
    from upscale_audit.ingest.study import Study


CRATE = "ro-crate-metadata.json"
CRATE_VERSION = "1.1"
SQL_PARTS = ("models", "seeds", "macros", "tests", "dbt_project.yml", "profiles.yml")
TYPES = {
    ".parquet": "application/vnd.apache.parquet",
    ".csv": "text/csv",
    ".tex": "text/x-tex",
    ".json": "application/json",
    ".sql": "application/sql",
    ".toml": "application/toml",
    ".yml": "application/yaml",
    ".cff": "application/yaml",
    ".md": "text/markdown",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".html": "text/html",
}

_ZIP_TIME = (1980, 1, 1, 0, 0, 0)
_CHESTXRAY8_NAME = re.compile(r"\d{8}_\d{3}")


@dataclass(frozen=True)
class PaperReport:
    """What was written; `notes` are for the author to read before publishing."""

    folder: Path
    files: int
    bytes: int
    root: str
    archive: Path
    archive_sha256: str
    date: str
    notes: tuple[str, ...]


def write_paper(
    study: Study,
    folder: Path | None = None,
    date: str | None = None,
    licence: str | None = None,
    progress: Callable[..., None] | None = None,
) -> PaperReport:
    """Write a study's results for a data repository.

    Parameters
    ----------
    study : ingest.study.Study
    folder : Path, optional
        ``paper/`` beside the exports by default; replaced as a whole if a paper lies there.
    date : str, optional
        Date of publication, YYYY-MM-DD; by default that of SOURCE_DATE_EPOCH, else the day
        on which the exports were written.
    licence : str, optional
        What holds for tables and figures: a URL, or an SPDX identifier such as ``CC-BY-4.0``.
    progress : callable, optional
        Called as ``progress(done, total, name)`` with megabytes hashed.

    Returns
    -------
    PaperReport

    Raises
    ------
    StudyError
        A stage is missing, damaged or older than the one before it; a malformed date; the
        folder holds something else.

    Notes
    -----
    Made twice from the same outputs, folder and zip are the same bytes: fixed order, fixed
    times, members stored as they are. The zip's hash list beside it, ``.sha256``, is written
    last: without it, the zip is that of an earlier paper, or of none.
    """
    setting = "[study] output" if folder is None else "--folder"
    folder = Path(folder or study.output / "paper").absolute()
    fresh = folder.with_name(f".{folder.name}.next")
    with locked(study.output, "ingest, build or export"), writing(folder.parent, setting):
        date, licence = find_date(study, date), find_licence(licence)
        _check_folder(study, folder)
        _check_stages(study, progress)
        shutil.rmtree(fresh, ignore_errors=True)
        try:
            is_chestxray8 = find_chestxray8(study)
            _collect(study, fresh, licence, is_chestxray8)
            _describe_crate(study, fresh, date, licence, is_chestxray8)
            manifest = _seal(study, fresh, date, licence)
            archive = folder.with_name(f"{folder.name}.zip")
            sums = archive.with_name(f"{archive.name}.sha256")
            sums.unlink(missing_ok=True)
            replace_folder(fresh, folder)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
        write_zip(folder, archive)
        archive_sha256 = hash_file(archive)
        write_text(sums, format_sum(archive_sha256, archive.name))
    return PaperReport(
        folder=folder,
        files=len(manifest["files"]) + 1,
        bytes=sum(manifest["bytes"].values()),
        root=manifest["merkle_root"],
        archive=archive,
        archive_sha256=archive_sha256,
        date=date,
        notes=_list_notes(study, licence, is_chestxray8),
    )


def find_date(study: Study, given: str | None) -> str:
    """Date of publication, YYYY-MM-DD; never the time of the run."""
    if given is not None:
        try:
            return datetime.date.fromisoformat(given).isoformat()
        except ValueError:
            raise StudyError(f"date {given!r}: expected YYYY-MM-DD") from None
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    if epoch is not None:
        if not re.fullmatch(r"\d{1,11}", epoch):
            raise StudyError(f"SOURCE_DATE_EPOCH={epoch!r}: expected seconds since 1970")
        moment = float(epoch)
    else:
        path = study.output / "exports" / MANIFEST
        read_manifest(path, f"upscale-audit export {study.path}")
        moment = path.stat().st_mtime
    return datetime.datetime.fromtimestamp(moment, datetime.UTC).date().isoformat()


def find_licence(given: str | None) -> str | None:
    """URL of a licence: as given, or SPDX's page of an identifier; None where none is given."""
    # It stands in Markdown, where a space or a bracket would begin something else.
    if given is None or re.fullmatch(r"https://[A-Za-z0-9._~:/?#@$&+,;=%-]+", given):
        return given
    try:
        # Not an expression of several, nor LicenseRef-: they have no page of their own.
        if not re.fullmatch(r"(?!LicenseRef-)[A-Za-z0-9.-]+", given, re.IGNORECASE):
            raise InvalidLicenseExpression
        identifier = canonicalize_license_expression(given)
    except InvalidLicenseExpression:
        raise StudyError(
            f"licence {given!r}: expected an https URL or an SPDX identifier, as CC-BY-4.0"
        ) from None
    return f"https://spdx.org/licenses/{identifier}"


def find_chestxray8(study: Study) -> bool:
    """Whether a study's labels or image names are ChestX-ray8's."""
    if study.label_entries is not None or study.label_boxes is not None:
        return True
    for table in ("images", "published_results"):
        file = pq.ParquetFile(study.raw / table / f"{table}.parquet")
        names = file.read(columns=["image_id"]).column("image_id").to_pylist()
        if any(_CHESTXRAY8_NAME.match(name) for name in names):
            return True
    return False


def _check_folder(study: Study, folder: Path) -> None:
    own = {study.output, *study.output.parents, Path.home(), PROJECT.parent}
    if folder in own:
        raise StudyError(f"--folder {folder} holds more than a paper; name a folder of its own")
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    manifest = folder / MANIFEST
    kind = read_manifest(manifest, "upscale-audit paper")["kind"] if manifest.exists() else None
    if kind != "paper":
        raise StudyError(f"{folder} is there and no paper's folder: move it, or name another")


def _check_stages(study: Study, progress: Callable[..., None] | None) -> None:
    for stage, command in (("exports", "export"), ("figures", "figures")):
        repair = f"upscale-audit {command} {study.path}"
        if read_manifest(study.output / stage / MANIFEST, repair)["recipe"].get(UNCHECKED):
            raise StudyError(
                f"{study.output / stage} was made with --no-check, from a warehouse whose hash"
                f" nobody compared; run {repair}"
            )
    findings = verify(study.output, study, progress, kinds=STAGES).findings
    if findings:
        first = findings[0]
        raise StudyError(
            f"{len(findings)} files are not as their manifests say: {first.name}"
            f" ({first.problem}); repair: {first.repair}; upscale-audit verify lists all"
        )


def _collect(study: Study, fresh: Path, licence: str | None, is_chestxray8: bool) -> None:
    """Copy and write everything but the crate's description and the hashes."""
    for stage in ("exports", "figures"):
        shutil.copytree(study.output / stage, fresh / stage, copy_function=shutil.copyfile)
    for part in SQL_PARTS:
        path = PROJECT / part
        if path.is_dir():
            shutil.copytree(path, fresh / "sql" / part, copy_function=shutil.copyfile)
        else:
            (fresh / "sql").mkdir(exist_ok=True)
            shutil.copyfile(path, fresh / "sql" / part)
    shutil.copyfile(study.path, fresh / "study.toml")
    if study.frozen is not None:
        shutil.copyfile(study.frozen, fresh / "study.frozen.toml")
    if study.detectors is not None:
        shutil.copyfile(study.detectors, fresh / "study.detectors.toml")
    (fresh / "provenance" / "raw").mkdir(parents=True)
    beside = (name for _, name in LINKS.values())
    for name in (WAREHOUSE_MANIFEST, *beside, f"raw/{MANIFEST}", f"raw/{SOURCES}"):
        shutil.copyfile(study.output / name, fresh / "provenance" / name)
    sources_root = read_raw_manifest(study.raw)["sources_root"]
    exports = read_manifest(study.output / "exports" / MANIFEST, "upscale-audit run")
    text = describe_folder(study.name, sources_root, exports["merkle_root"], is_chestxray8)
    write_text(fresh / "README.md", text)
    version = describe_code("warehouse")["version"]
    write_text(fresh / "LICENSES" / "software.txt", read_licence())
    write_text(fresh / "LICENSES" / "README.md", describe_licences(licence, is_chestxray8))
    write_text(fresh / "CITATION.cff", cite_software(version, is_chestxray8))


def _describe_crate(
    study: Study, folder: Path, date: str, licence: str | None, is_chestxray8: bool
) -> None:
    """Write the RO-Crate description through its library, with nothing of today in it."""
    crate = ROCrate(version=CRATE_VERSION)
    crate.metadata.extra_terms["sha256"] = "https://schema.org/sha256"
    crate.name = f"{study.name}: block-level audit of image upscalers"
    crate.description = (
        "Tables, figures and SQL of an audit of what image upscalers did to every 8x8 block of"
        " each radiograph, with the SHA-256 of every file it was made from."
    )
    crate.datePublished = date
    root, entities = crate.root_dataset, _add_files(crate, folder)
    root["license"] = entities["LICENSES/README.md"]
    if licence is not None:
        root["license"] = _add_entity(crate, licence, {"@type": "CreativeWork", "name": licence})
    if is_chestxray8:
        root["citation"] = _add_chestxray8(crate)
    _add_credit(crate, study.credit)
    models = _add_models(crate, folder / "exports" / "dim_models.parquet")
    if models:
        root["mentions"] = models
    made = [item for name, item in entities.items() if name.startswith(("exports/", "figures/"))]
    action = {
        "@type": "CreateAction",
        "name": "Measurement, build and export",
        "instrument": _add_software(crate),
        "object": entities[f"provenance/raw/{SOURCES}"],
        "result": made,
    }
    _add_entity(crate, "#audit", action)
    text = json.dumps(crate.metadata.generate(), indent=1, sort_keys=True, ensure_ascii=False)
    write_text(folder / CRATE, text + "\n")


def _add_files(crate: Any, folder: Path) -> dict[str, Any]:
    """Add every file there is; its entity by name."""
    paths = list(walk(folder))
    hashes = hash_files(paths)
    entities = {}
    for path in paths:
        name = path.relative_to(folder).as_posix()
        properties = {
            "name": name,
            "contentSize": str(path.stat().st_size),
            "encodingFormat": TYPES.get(path.suffix, "text/plain"),
            "sha256": hashes[path],
        }
        entities[name] = crate.add_file(path, dest_path=name, properties=properties)
    return entities


def _add_entity(crate: Any, identifier: str, properties: Mapping[str, Any]) -> Any:
    links = {name: value for name, value in properties.items() if not isinstance(value, str)}
    plain = {name: value for name, value in properties.items() if isinstance(value, str)}
    entity = crate.add(ContextEntity(crate, identifier, properties=plain))
    for name, value in links.items():
        entity[name] = value
    return entity


def _add_credit(crate: Any, credit: Credit) -> None:
    """Name authors and publisher of the crate, and whom to ask; one of a kind is no list."""
    known: dict[str, Any] = {}
    people = []

    def find(organisation: Organisation | None) -> Any:
        """Give the entity of an organisation; of one name there is one."""
        if organisation is None:
            return None
        if organisation.name not in known:
            properties = {"@type": "Organization", "name": organisation.name}
            properties |= {} if organisation.url is None else {"url": organisation.url}
            identifier = organisation.url or f"#organisation-{len(known) + 1}"
            known[organisation.name] = _add_entity(crate, identifier, properties)
        return known[organisation.name]

    publisher = find(credit.publisher)
    if publisher is not None:
        crate.root_dataset["publisher"] = publisher
    for number, author in enumerate(credit.authors, start=1):
        properties = {"@type": "Person", "name": author.name}
        if author.affiliation is not None:
            properties["affiliation"] = find(author.affiliation)
        people.append(_add_entity(crate, author.orcid or f"#author-{number}", properties))
    if people:
        crate.root_dataset["author"] = people if len(people) > 1 else people[0]
    if credit.contact is not None:
        point = {
            "@type": "ContactPoint",
            "contactType": "correspondence",
            "email": credit.contact,
        }
        asked = people[0] if people else publisher
        asked["contactPoint"] = _add_entity(crate, f"mailto:{credit.contact}", point)


def _add_software(crate: Any) -> Any:
    version = describe_code("warehouse")["version"]
    properties = {"@type": "SoftwareApplication", "name": "upscale-audit"}
    if version is not None:
        properties |= {"softwareVersion": version}
    return _add_entity(crate, "#upscale-audit", properties)


def _add_models(crate: Any, path: Path) -> list[Any]:
    """Name every model: its label, and where known its architecture, its weights and their hash."""
    rows = pq.read_table(path).to_pylist() if path.is_file() else []
    entities = []
    for row in sorted(rows, key=lambda row: row["model_number"]):
        properties = {
            "@type": "SoftwareApplication",
            "name": row["label"],
            "alternateName": row["model_id"],
            "applicationSuite": row["family"],
            "applicationSubCategory": row["architecture"],
            "sha256": row["weights_sha256"],
            "downloadUrl": _to_url(row["weights_url"]),
        }
        known = {name: value for name, value in properties.items() if value is not None}
        entities.append(_add_entity(crate, f"#model-{row['model_id']}", known))
    return entities


def _to_url(source: str | None) -> str | None:
    return f"https://doi.org/{source}" if (source or "").startswith("10.") else source


def _add_chestxray8(crate: Any) -> Any:
    return _add_entity(
        crate,
        CHESTXRAY8_DOI,
        {
            "@type": "ScholarlyArticle",
            "name": "ChestX-ray8: Hospital-scale Chest X-ray Database and Benchmarks on"
            " Weakly-Supervised Classification and Localization of Common Thorax Diseases",
            "url": CHESTXRAY8_URL,
        },
    )


def _seal(study: Study, folder: Path, date: str, licence: str | None) -> Manifest:
    names = [path.relative_to(folder).as_posix() for path in walk(folder)]
    exports = read_manifest(folder / "exports" / MANIFEST, "upscale-audit export")
    figures = read_manifest(folder / "figures" / MANIFEST, "upscale-audit figures")
    stated = [] if licence is None else ["--license", licence]
    recipe = {
        "arguments": ["--date", date, *stated],
        "code": describe_code("warehouse"),
        "dependencies_sha256": hash_dependencies(),
        "inputs": {
            "exports": exports["content_sha256"],
            "figures": figures["content_sha256"],
        },
    }
    parents = {
        name: hash_file(folder / name) for name in (f"exports/{MANIFEST}", f"figures/{MANIFEST}")
    }
    return seal_folder(folder, "paper", study.name, names, recipe, parents)


def write_zip(folder: Path, path: Path) -> None:
    """Write a folder as a zip whose bytes depend on names and contents alone.

    Notes
    -----
    Members are stored, not deflated: what deflate writes differs between versions of zlib,
    and Parquet and PNG are compressed already. The crate's description lies at the top, as
    RO-Crate asks.
    """
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for file in walk(folder):
            info = zipfile.ZipInfo(file.relative_to(folder).as_posix(), _ZIP_TIME)
            info.create_system, info.external_attr = 3, 0o100644 << 16
            is_large = file.stat().st_size >= 1 << 31
            with (
                open(file, "rb") as source,
                archive.open(info, "w", force_zip64=is_large) as member,
            ):
                shutil.copyfileobj(source, member, 1 << 20)


def _list_notes(study: Study, licence: str | None, is_chestxray8: bool) -> tuple[str, ...]:
    notes = []
    if licence is None:
        notes.append("no licence is stated for tables and figures: --license names one")
    if not study.credit.authors or study.credit.publisher is None:
        notes.append("no author or no publisher is stated: [paper] in the study file names them")
    text = study.path.read_text(encoding="utf-8")
    if re.search(r"=\s*[\"'](/|~|[A-Za-z]:)", text):
        notes.append("study.toml names absolute folders of this machine: look at it first")
    if is_chestxray8:
        notes.append("LICENSES/README.md and CITATION.cff hold the citation ChestX-ray8 requires")
    return tuple(notes)
