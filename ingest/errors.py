"""Errors a user can cause and repair."""


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

    def __init__(self, code, detail):
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
