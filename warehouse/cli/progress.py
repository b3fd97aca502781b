"""What a command says while it works."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID
from typing import Self


def say(line: str) -> None:
    """Write a line for the user to stderr; stdout is for data."""
    print(line, file=sys.stderr)


class Progress:
    """Show how far a command is: a bar on a terminal, else a line every few seconds.

    What is left is said once a twentieth is done since the first unit ended, at the rate since:
    what went before, a start or a compilation, is no unit's time.

    Parameters
    ----------
    name, unit : str
        The command and what it counts.
    """

    QUIET_S = 5.0
    KNOWN_RATIO = 0.05

    def __init__(self, name: str, unit: str) -> None:
        self.name, self.unit = name, unit
        self._bar: Bar | None = None
        self._task: TaskID | None = None
        self._said = self._started = time.monotonic()
        self._first: tuple[float, float] | None = None

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import Progress as Bar
            from rich.progress import TextColumn, TimeElapsedColumn, TimeRemainingColumn

            bar = Bar(
                *Bar.get_default_columns()[:3],
                TextColumn(f"{{task.completed}}/{{task.total}} {self.unit}"),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[label]}"),
                console=Console(stderr=True),
                transient=True,
            )
            self._bar = bar
            bar.start()
            self._task = bar.add_task(self.name, total=None, label="")
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, done: float, total: int, label: str = "") -> None:
        """Say that `done` of `total` are done, the last being `label`."""
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=done, total=total, label=label)
            return
        now = time.monotonic()
        if self._first is None:
            self._first = now, done
        if now - self._said >= self.QUIET_S or done == total:
            self._said = now
            line = f"{self.name}: {done}/{total} {self.unit}, {now - self._started:.0f} s"
            say(line + self._estimate(now, done, total))

    def _estimate(self, now: float, done: float, total: int) -> str:
        """Say how much is left; nothing where that is not known yet, or is nothing."""
        since, before = self._first or (now, done)
        if done == total or done - before < self.KNOWN_RATIO * total or now <= since:
            return ""
        return f", about {(now - since) / (done - before) * (total - done):.0f} s left"
