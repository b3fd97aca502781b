"""Of dbt's events only those that are listened to become messages."""

from dbt.events.types import LogTestResult, MainEncounteredError
from dbt_common.events import event_manager_client
from dbt_common.events.base_types import EventLevel
from dbt_common.events.functions import fire_event, warn_or_error
from dbt_common.events.types import Note

from upscale_audit.warehouse.dbt_events import quiet_events


def test_warnings_errors_and_results_are_heard_and_nothing_else():
    heard = []
    before = event_manager_client.get_event_manager()
    with quiet_events():
        event_manager_client.add_callback_to_manager(lambda event: heard.append(event.info.name))
        fire_event(Note(msg="a detail"))
        fire_event(Note(msg="raised"), level=EventLevel.WARN)
        fire_event(MainEncounteredError(exc="an error"))
        warn_or_error(Note(msg="a warning by its call"))
        fire_event(LogTestResult(name="a test", status="pass", index=1, num_models=2))
    assert heard == ["Note", "MainEncounteredError", "Note", "LogTestResult"]
    assert event_manager_client.get_event_manager() is before
