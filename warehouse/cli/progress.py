"""What a command says while it works."""

import sys
import time


def say(line):
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

    def __init__(self, name, unit):
        self.name, self.unit = name, unit
        self._bar = self._task = None
        self._said = self._started = time.monotonic()
        self._first = None

    def __enter__(self):
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import Progress as Bar
            from rich.progress import TextColumn, TimeElapsedColumn, TimeRemainingColumn

            self._bar = Bar(
                *Bar.get_default_columns()[:3],
                TextColumn(f"{{task.completed}}/{{task.total}} {self.unit}"),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[label]}"),
                console=Console(stderr=True),
                transient=True,
            )
            self._bar.start()
            self._task = self._bar.add_task(self.name, total=None, label="")
        return self

    def __exit__(self, *_):
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, done, total, label=""):
        """Say that `done` of `total` are done, the last being `label`."""
        if self._bar is not None:
            self._bar.update(self._task, completed=done, total=total, label=label)
            return
        now = time.monotonic()
        if self._first is None:
            self._first = now, done
        if now - self._said >= self.QUIET_S or done == total:
            self._said = now
            line = f"{self.name}: {done}/{total} {self.unit}, {now - self._started:.0f} s"
            say(line + self._estimate(now, done, total))

    def _estimate(self, now, done, total):
        """Say how much is left; nothing where that is not known yet, or is nothing."""
        since, before = self._first
        if done == total or done - before < self.KNOWN_RATIO * total or now <= since:
            return ""
        return f", about {(now - since) / (done - before) * (total - done):.0f} s left"
