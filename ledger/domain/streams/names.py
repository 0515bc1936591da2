"""Names of jobs: unique without regard to case, reserved by one job until it is deleted."""

from __future__ import annotations

import unicodedata
from uuid import UUID, uuid5

from ledger.domain.aggregate import Stream
from ledger.domain.event_context import EventContext
from ledger.domain.events import Event
from ledger.errors import NameTaken

NAMES = UUID("6f1f3d0e-8c56-5f43-9a55-0b6a52c7d001")
"""The namespace of name streams."""


class NameReserved(Event):
    TOPIC = "name.reserved"

    name: str
    job_id: str


class NameReleased(Event):
    TOPIC = "name.released"

    name: str
    job_id: str


def name_stream(name: str) -> UUID:
    """The stream that guards `name`: equal for names that differ only in case or Unicode form."""
    return uuid5(NAMES, folded(name))


def folded(name: str) -> str:
    """A name as it is compared: without regard to case and Unicode form."""
    return unicodedata.normalize("NFKC", name).casefold()


class Name(Stream):
    """Which job has a name now."""

    def begin(self) -> None:
        self.holder: str | None = None

    def reserve(self, name: str, job_id: UUID, context: EventContext) -> None:
        """Reserve the name for a job; refuses NameTaken while another job has it."""
        self.require_free(name, job_id)
        if self.holder is None:
            self.record(NameReserved, context, name=name, job_id=str(job_id))

    def require_free(self, name: str, job_id: UUID) -> None:
        """Refuse NameTaken unless the name is free, or the job's own."""
        if self.holder not in (None, str(job_id)):
            raise NameTaken(name, str(self.holder))

    def release(self, name: str, job_id: UUID, context: EventContext) -> None:
        """Release the name; nothing happens when the job does not have it."""
        if self.holder == str(job_id):
            self.record(NameReleased, context, name=name, job_id=str(job_id))

    def evolve(self, event: Event) -> None:
        match event:
            case NameReserved():
                self.holder = event.job_id
            case NameReleased():
                self.holder = None
