"""dbt-duckdb's plugin that locks the connection on which dbt builds (dbt_project/profiles.yml)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from dbt.adapters.duckdb.plugins import BasePlugin

from upscale_audit.analysis.connection import lock

if TYPE_CHECKING:
    import duckdb


class Plugin(BasePlugin):
    """Lets dbt's connection reach the folders that the profile names as a JSON list, no other."""

    def initialize(self, plugin_config: Mapping[str, str]) -> None:
        """Take the profile's list; dbt-duckdb calls this once, before it opens a database.

        Raises
        ------
        RuntimeError
            dbt runs by itself; dbt-duckdb makes one line of it.
        """
        self._folders = json.loads(plugin_config["folders"])
        if not self._folders:
            raise RuntimeError(
                "dbt was called by hand, and knows no study and no database; run upscale-audit dbt"
                " STUDY.toml with the same arguments (docs/add-a-mart.md)"
            )

    def configure_connection(self, conn: duckdb.DuckDBPyConnection) -> None:
        """Lock a new connection; dbt-duckdb calls this before any query."""
        lock(conn, self._folders)
