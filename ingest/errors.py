"""Errors a user can cause and repair."""

import errno
import os

FEW_HANDLES = (
    "too few file handles: expected some 64 that are free; raise their limit (ulimit -n 256) and"
    " run this again"
)


class StudyError(Exception):
    """A study, its files or its outputs are not as expected.

    The message says what was expected, what was found, where, and what repairs it. The
    command line prints it as one line; any other exception is a bug and traces back.
    """


class RejectedFileError(Exception):
    """One file cannot be measured; the study goes on without it.

    Parameters
    ----------
    code : str
        A key of `ingest.images.REJECT_CODES`.
    detail : str
        What was found.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


def require_sound(condition: object, detail: str, code: str = "undecodable") -> None:
    """Reject a file that does not meet a condition of its format.

    Parameters
    ----------
    condition : object
        Taken for its truth.
    detail : str
        What was found.
    code : str
        A key of `ingest.images.REJECT_CODES`.

    Raises
    ------
    RejectedFileError
    """
    if not condition:
        raise RejectedFileError(code, detail)


def require_value(
    condition: object, key: str, found: object, expected: str | tuple[str, ...]
) -> None:
    """Refuse a key of a study file whose value does not meet a condition.

    Parameters
    ----------
    condition : object
        Taken for its truth.
    key : str
    found : object
        The value.
    expected : str or tuple of str
        What it may be; several are listed.

    Raises
    ------
    StudyError
    """
    if not condition:
        listed = ", ".join(expected) if isinstance(expected, tuple) else expected
        raise StudyError(f"{key} = {found!r}; expected {listed}")


def says_few_handles(*errors: BaseException | str | None) -> bool:
    """Whether errors, or what caused them, come of a limit on open files, whoever met it.

    Parameters
    ----------
    *errors : BaseException or str
        Libraries wrap it, or say it in words of their own: a database, a renderer's panic.
    """
    seen: list[BaseException | str] = []
    left: list[BaseException | str] = [error for error in errors if error is not None]
    while left:
        error = left.pop()
        if error in seen:
            continue
        seen.append(error)
        if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
            return True
        texts = [error] if isinstance(error, str) else map(str, error.args)
        if any(os.strerror(errno.EMFILE) in text for text in texts):
            return True
        if isinstance(error, BaseException):
            causes = (error.__cause__, error.__context__)
            left += [cause for cause in causes if cause is not None]
    return False
