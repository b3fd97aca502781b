"""The command that analyses networks: hyra; and its tables as a build finds them, if it does."""

from dataclasses import dataclass, field
from pathlib import Path

from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.files import hash_file
from upscale_audit.ingest.manifests import MANIFEST, read_manifest
from upscale_audit.ingest.schema import HYRA_TABLES, SCHEMA_VERSION, arrow_schema
from upscale_audit.ingest.study import load_study
from upscale_audit.ingest.vouchers import check_vouched
from upscale_audit.warehouse.cli.progress import Progress, say
from upscale_audit.warehouse.connect import open_build, quote_name, quote_text

EXIT_OK, EXIT_REJECTS = 0, 3


@dataclass(frozen=True)
class HyraFolder:
    """What ``hyra`` wrote, checked; `files` is empty where it has never run.

    Attributes
    ----------
    files : dict
        Path by raw table.
    sha256 : dict
        By raw table.
    sources : dict
        SHA-256 of each reference that was read, by its name within the study.
    content_sha256, manifest_sha256 : str or None
    """

    files: dict[str, Path] = field(default_factory=dict)
    sha256: dict[str, str] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    content_sha256: str | None = None
    manifest_sha256: str | None = None

    def name(self, table):
        """Name of a table's file within the study's output."""
        return f"hyra/{self.files[table].name}"

    def name_files(self):
        """Give, by raw table, its file's name and SHA-256, or None where ``hyra`` has never run."""
        return {
            table: (self.name(table), self.sha256[table]) if table in self.files else None
            for table in HYRA_TABLES
        }


def add_hyra_command(commands, add, positive):
    """Add the command to the parser.

    Parameters
    ----------
    commands : argparse._SubParsersAction
    add : callable
        ``add(commands, name, run, summary, example)``: a command with the study as its first
        argument.
    positive : callable
        Reads a count of 1 or more.
    """
    summary = "measure what of each network is a linear filter, and what it adds above LR Nyquist"
    example = "STUDY.toml --network span_x2_ch48=span_x2_ch48"
    command = add(commands, "hyra", _analyse, summary, example)
    command.add_argument(
        "--network",
        metavar="MODEL_ID=WEIGHTS",
        action="append",
        default=[],
        help="known weights of a model that declares no restorer; may be given again",
    )
    command.add_argument(
        "--workers", type=positive, help="processes (default: all cores); no value depends on it"
    )


def _analyse(options):
    study = load_study(options.study)
    from upscale_audit.restore.hyra.study import analyse_study

    with Progress("hyra", "images") as progress:
        report = analyse_study(
            study,
            _read_networks(options.network),
            workers=options.workers,
            progress=progress,
        )
    say(f"analysed {report.networks} networks on {report.images} images in {report.folder}")
    for model_id, why in report.left_out.items():
        say(f"left out {model_id!r}: {why}")
    for name, why in list(report.skipped.items())[:5]:
        say(f"not measured: {name!r}, {why}")
    say(f"upscale-audit build {options.study} brings it into the warehouse")
    return EXIT_REJECTS if report.skipped else EXIT_OK


def _read_networks(given):
    networks = {}
    for text in given:
        model_id, separator, weights = text.partition("=")
        if not (model_id and separator and weights):
            raise StudyError(f"--network {text!r}; expected MODEL_ID=WEIGHTS")
        if networks.setdefault(model_id, weights) != weights:
            raise StudyError(f"--network names {model_id!r} twice; give it one network")
    return networks


def read_hyra(study):
    """Read and check what ``hyra`` wrote for a study.

    Parameters
    ----------
    study : ingest.study.Study

    Returns
    -------
    HyraFolder

    Raises
    ------
    StudyError
        The folder is unfinished, of another version, or a file is not as it was written.
    """
    if not study.hyra.exists():
        return HyraFolder()
    repair = f"upscale-audit hyra {study.path} (or remove {study.hyra})"
    manifest = read_manifest(study.hyra / MANIFEST, repair)
    check_vouched(study.output, "hyra", repair)
    version = manifest["recipe"].get("schema_version")
    if manifest["kind"] != "hyra" or version != SCHEMA_VERSION:
        raise StudyError(
            f"{study.hyra} holds {manifest['kind']} of schema version {version}; expected hyra of"
            f" {SCHEMA_VERSION}: run {repair} again"
        )
    files = {table: study.hyra / f"{table}.parquet" for table in HYRA_TABLES}
    sha256 = {table: manifest["files"].get(path.name) for table, path in files.items()}
    for table, path in files.items():
        if not path.is_file() or hash_file(path) != sha256[table]:
            raise StudyError(f"{path} is not as hyra wrote it; run {repair} again")
    inputs = manifest["recipe"].get("inputs", {})
    return HyraFolder(
        files,
        sha256,
        inputs.get("sources", {}),
        manifest["content_sha256"],
        hash_file(study.hyra / MANIFEST),
    )


def create_hyra_views(database, hyra):
    """Add HyRA's tables to the raw schema of a build database; without rows if it never ran.

    Parameters
    ----------
    database : Path
    hyra : HyraFolder
    """
    with open_build(database) as connection:
        connection.execute("create schema if not exists raw")
        for table in HYRA_TABLES:
            name = f"raw.{quote_name(table)}"
            if table in hyra.files:
                file = quote_text(hyra.files[table])
                connection.execute(
                    f"create view {name} as select * from"
                    f" read_parquet([{file}], hive_partitioning = false)"
                )
                continue
            connection.register("no_rows", arrow_schema(table).empty_table())
            connection.execute(f"create table {name} as select * from no_rows")
            connection.unregister("no_rows")
