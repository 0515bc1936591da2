"""How a command ends: the exit codes, and the line on stderr that goes with each refusal."""

from __future__ import annotations

from enum import IntEnum

from ledger.errors import Forbidden, LedgerError, NotFound, StartRefused, Unavailable


class Exit(IntEnum):
    """The exit codes. Documented in docs/reference/cli.md; these numbers never change."""

    OK = 0
    REFUSED = 1
    USAGE = 2
    NOT_FOUND = 3
    FORBIDDEN = 4
    UNAVAILABLE = 5


class Stop(Exception):
    """Ends the command with an exit code and one sentence for the operator."""

    def __init__(self, code: Exit, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Misused(Stop):
    """What was typed is not valid."""

    def __init__(self, message: str) -> None:
        super().__init__(Exit.USAGE, message)


class Problem(Stop):
    """The API refused: a problem document with a stable code (RFC 9457)."""

    def __init__(self, status: int, code: str, detail: str, document: str) -> None:
        super().__init__(exit_of_status(status), f"{code}: {detail}{HINTS.get(code, '')}")
        self.problem_code = code
        self.status = status
        self.detail = detail
        self.document = document


HINTS = {
    "force_required": " Here: resume JOB --force --reason 'what was fixed'.",
    "job_failed": " Here: resume JOB --force --reason 'what was fixed'.",
    "schedule_exhausted": " Here: resume JOB --run-at INSTANT, or --run-now.",
    "job_disabled": " Here: amend JOB --enable.",
    "stale_revision": " Here: show JOB prints the revision.",
}
"""The remedy that a refusal names in terms of the API, as it is typed here."""


def exit_of_status(status: int) -> Exit:
    """The exit code for an HTTP error status."""
    if status in (401, 403):
        return Exit.FORBIDDEN
    if status == 404:
        return Exit.NOT_FOUND
    return Exit.UNAVAILABLE if status >= 500 else Exit.REFUSED


def exit_of_error(error: LedgerError) -> Exit:
    """The exit code for a refusal that was raised in this process."""
    match error:
        case StartRefused():
            return Exit.USAGE
        case Unavailable():
            return Exit.UNAVAILABLE
        case NotFound():
            return Exit.NOT_FOUND
        case Forbidden():
            return Exit.FORBIDDEN
        case _:
            return Exit.REFUSED
