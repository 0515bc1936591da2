"""The refusals that only the API has; `api/http/errors.py` gives each its HTTP status."""

from __future__ import annotations

from ledger.errors import LedgerError, Refused, Unavailable


class Unauthenticated(LedgerError):
    """The request carries no valid token or session."""

    code = "unauthenticated"


class TooManyAttempts(LedgerError):
    """One client address sent too many invalid tokens."""

    code = "too_many_attempts"

    def __init__(self) -> None:
        super().__init__(
            "Too many invalid tokens came from this address: check the token and wait a minute."
        )


class MalformedJson(LedgerError):
    """The body is not JSON, or is JSON that cannot be stored."""

    code = "malformed_json"

    def __init__(self, problem: str) -> None:
        super().__init__(f"The body cannot be read as JSON: {problem}.")


class WordsNotUnderstood(LedgerError):
    """A job described in natural language, which the ledger does not parse."""

    code = "words_not_understood"

    def __init__(self) -> None:
        super().__init__("Could not parse the description: fill in the form instead.")


class RunWithdrawn(Refused):
    """The run that the caller waits for will not start."""

    code = "run_withdrawn"

    def __init__(self, job_id: object) -> None:
        super().__init__(
            f"The run of job {job_id} was withdrawn before it started: the job was paused, "
            "completed or deleted in the meantime.",
            job_id=str(job_id),
        )


class RunUnfinished(LedgerError):
    """The run that the caller waits for did not end in time."""

    code = "run_unfinished"

    def __init__(self, job_id: object, waited_seconds: float) -> None:
        super().__init__(
            f"The run of job {job_id} did not end within {waited_seconds:g} s. It remains "
            f"requested: see GET /v1/jobs/{job_id}/runs for its outcome.",
            job_id=str(job_id),
        )


class TooManyClients(Unavailable):
    """The live stream has as many clients as it may have."""

    code = "overloaded"

    def __init__(self, limit: int) -> None:
        super().__init__(f"The live stream has {limit} clients, its limit: try again in a moment.")
