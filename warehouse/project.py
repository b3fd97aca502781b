"""The dbt project's yml, read strictly, and what a mart must state before a build starts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from upscale_audit.ingest.errors import StudyError

if TYPE_CHECKING:
    from yaml.nodes import MappingNode


PAGE = "docs/add-a-mart.md"


_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _StrictLoader(_Loader):
    """A loader that refuses a key given twice, of which YAML's own keeps the last."""


def _construct_mapping(loader: _StrictLoader, node: MappingNode) -> dict[str, str]:
    seen = set()
    # Before merging: what `<<` brings may be given again.
    for key_node, _ in node.value:
        key = key_node.value
        if key in seen:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {key!r} stands there twice", key_node.start_mark
            )
        seen.add(key)
    loader.flatten_mapping(node)
    found: dict[str, str] = loader.construct_mapping(node)
    return found


_StrictLoader.add_constructor(
    yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG,
    lambda loader, node: _construct_mapping(loader, node),
)


def read_yml(path: Path) -> Any:
    """Read a yml file in which every key stands once.

    Parameters
    ----------
    path : Path

    Returns
    -------
    object

    Raises
    ------
    StudyError
        It is no YAML, or a key stands twice in one place.
    """
    try:
        return yaml.load(path.read_text(encoding="utf-8"), _StrictLoader)  # noqa: S506
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        said = " ".join(str(error).replace('in "<unicode string>", ', "at ").split())
        raise StudyError(f"{path}: {said}; expected YAML whose keys stand once: mend it") from None


def check_marts(project: Path) -> None:
    """Check that every mart states its grain, and its columns, before dbt is asked for it.

    Parameters
    ----------
    project : Path
        dbt's project folder.

    Raises
    ------
    StudyError
        Names the file, what it lacks and where that goes.
    """
    for folder in sorted({path.parent for path in (project / "models/marts").rglob("*.sql")}):
        described = _read_models(folder)
        for path in sorted(folder.glob("*.sql")):
            name = path.relative_to(project.parent)
            if path.stem not in described:
                raise StudyError(
                    f"{name} has no entry in {folder.name}/_{folder.name}__models.yml: add one with"
                    f" its description, grain and columns, as {PAGE} shows"
                )
            _check_grain(name, described[path.stem], folder)


def _read_models(folder: Path) -> dict[str, Any]:
    """Give the entry of each dbt model that the folder's yml files describe, by name."""
    models: dict[str, Any] = {}
    for path in sorted(folder.glob("*.yml")):
        document = read_yml(path) or {}
        models |= {entry.get("name"): entry for entry in document.get("models") or []}
    return models


def _check_grain(name: Path, entry: Mapping[str, Any], folder: Path) -> None:
    grain = ((entry.get("config") or {}).get("meta") or {}).get("grain")
    columns = [column.get("name") for column in entry.get("columns") or []]
    repair = f"mend its entry in {folder.name}/_{folder.name}__models.yml, as {PAGE} shows"
    if not isinstance(grain, list) or not grain:
        raise StudyError(
            f"{name} states no grain: expected config: {{meta: {{grain: [its key columns]}}}},"
            f" found {grain!r}; {repair}"
        )
    unknown = [column for column in grain if column not in columns]
    if unknown:
        raise StudyError(
            f"{name} has {', '.join(map(repr, unknown))} in its grain: expected some of its columns"
            f" ({', '.join(map(str, columns))}); {repair}"
        )
