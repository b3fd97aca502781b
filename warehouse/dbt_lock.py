"""dbt-duckdb's plugin that locks the connection on which dbt builds (dbt_project/profiles.yml)."""

import json

from dbt.adapters.duckdb.plugins import BasePlugin

from upscale_audit.analysis.connection import lock


class Plugin(BasePlugin):
    """Lets dbt's connection reach the folders that the profile names as a JSON list, no other."""

    def initialize(self, plugin_config):
        """Take the profile's list; dbt-duckdb calls this once."""
        self._folders = json.loads(plugin_config["folders"])

    def configure_connection(self, conn):
        """Lock a new connection; dbt-duckdb calls this before any query."""
        lock(conn, self._folders)
