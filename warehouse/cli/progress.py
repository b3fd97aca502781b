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
        The command and what it counts, where a call names no other unit.
    """

    QUIET_S = 5.0
    KNOWN_RATIO = 0.05

    def __init__(self, name: str, unit: str) -> None:
        self.name, self.unit = name, unit
        self._bar: Bar | None = None
        self._tasks: dict[str, TaskID] = {}
        self._said = self._started = time.monotonic()
        self._first: dict[str, tuple[float, float]] = {}

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import Progress as Bar
            from rich.progress import TextColumn, TimeElapsedColumn, TimeRemainingColumn

            bar = Bar(
                *Bar.get_default_columns()[:3],
                TextColumn("{task.completed}/{task.total} {task.fields[unit]}"),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[label]}"),
                console=Console(stderr=True),
                transient=True,
            )
            self._bar = bar
            bar.start()
            self._tasks[self.unit] = bar.add_task(self.name, total=None, label="", unit=self.unit)
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, done: float, total: int, label: str = "", unit: str = "") -> None:
        """Say that `done` of `total` are done, the last being `label`."""
        unit = unit or self.unit
        if self._bar is not None:
            if unit not in self._tasks:
                self._tasks[unit] = self._bar.add_task(self.name, total=total, label="", unit=unit)
            self._bar.update(self._tasks[unit], completed=done, total=total, label=label)
            return
        now = time.monotonic()
        first = self._first.setdefault(unit, (now, done))
        if now - self._said >= self.QUIET_S or done == total:
            self._said = now
            line = f"{self.name}: {done}/{total} {unit}, {now - self._started:.0f} s"
            say(line + self._estimate(first, now, done, total))

    def _estimate(self, first: tuple[float, float], now: float, done: float, total: int) -> str:
        """Say how much is left; nothing where that is not known yet, or is nothing."""
        since, before = first
        if done == total or done - before < self.KNOWN_RATIO * total or now <= since:
            return ""
        return f", about {(now - since) / (done - before) * (total - done):.0f} s left"
