"""dbt's events: those that somebody listens to become messages, the others do not.

dbt makes a message of every event, some twelve thousand a build, before it asks who listens.
"""

import contextlib
from collections.abc import Iterator

from dbt_common.events import event_manager_client
from dbt_common.events.base_types import BaseEvent, EventLevel
from dbt_common.events.event_manager import EventManager

RESULTS = ("LogModelResult", "LogTestResult")
"""Events that end a node."""


class _QuietManager(EventManager):
    def fire_event(
        self,
        e: BaseEvent,
        level: EventLevel | None = None,
        node: object = None,
        force_warn_or_error_handling: bool = False,
    ) -> None:
        is_trouble = (level or e.level_tag()) in (EventLevel.WARN, EventLevel.ERROR)
        if is_trouble or force_warn_or_error_handling or type(e).__name__ in RESULTS:
            super().fire_event(e, level, node, force_warn_or_error_handling)


@contextlib.contextmanager
def quiet_events() -> Iterator[None]:
    """Let callbacks hear of warnings, errors and `RESULTS` alone, for a ``with`` block."""
    before = event_manager_client.get_event_manager()
    event_manager_client.ctx_set_event_manager(_QuietManager())
    try:
        yield
    finally:
        event_manager_client.ctx_set_event_manager(before)
