"""Notifies people of a recovery that aborted by itself: its planner may not be watching."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ledger.application.command_context import CommandContext
from ledger.application.commands.command import Command
from ledger.application.commands.deliveries import RecordNotice
from ledger.application.ledger import Ledger
from ledger.dispatch.notifications.sender import Message, Sender, notice_of
from ledger.domain.recovery.recovery import ASKED, PROBE_FAILED
from ledger.plurals import counted
from ledger.store.records import RecordedEvent

ABORTED = "recovery_aborted"
NAMED_JOBS = 10
"""Jobs that a message names."""

Document = Mapping[str, Any]


class RecoveryNotices:
    """The notices of recoveries; only the leader among the nodes sends them."""

    def __init__(self, ledger: Ledger, sender: Sender) -> None:
        self._ledger = ledger
        self._sender = sender

    def notify(self, event: RecordedEvent, context: CommandContext) -> Iterator[Command[object]]:
        """Send the notice of a `recovery.aborted`, unless an operator requested it; yields what to
        record. The notice's last position is that event.
        """
        if event.data["cause"] == ASKED or self._sender.settings.notices is None:
            return
        recovery = self._ledger.recoveries.one(event.data["recovery_id"], as_of=event.position)
        [planned] = self._ledger.event_store.stream(event.stream, after=0, upto=1, limit=1)
        for address, receipt in self._sender.notify(_of_abort(recovery, planned.id)):
            positions = {"first_position": planned.id, "last_position": event.position}
            yield RecordNotice(notice_of(ABORTED, address, receipt, **positions), context)


def _of_abort(recovery: Document, planned: int) -> Message:
    did_probe_fail = recovery["cause"] == PROBE_FAILED
    why = "its probe did not succeed" if did_probe_fail else _tripped(recovery)
    because = f", because: {recovery['reason']}" if recovery["reason"] else ""
    return Message(
        f"Recovery {recovery['id']} aborted: {why}",
        f"{_probe_outcome(recovery) if did_probe_fail else _names(recovery)}\n"
        f"{recovery['resumed_count']} of {recovery['job_count']} jobs were resumed, "
        f"{recovery['left_count']} were not and stay failed.\n"
        f"Planned by {recovery['planned_by']['id']}{because}\n"
        f"Details and next steps: jobledger recovery show {recovery['id']}\n"
        f"Proof: events {planned} to {recovery['position']} of the ledger.",
    )


def _tripped(recovery: Document) -> str:
    return f"{counted(recovery['re_trip_count'], 'job')} tripped again"


def _names(recovery: Document) -> str:
    again = [_name(job) for job in recovery["jobs"] if job["tripped_again_at"]]
    more = f" and {len(again) - NAMED_JOBS} more" if len(again) > NAMED_JOBS else ""
    return f"Tripped again: {', '.join(again[:NAMED_JOBS])}{more}"


def _probe_outcome(recovery: Document) -> str:
    probe = recovery["jobs"][0]
    outcome = probe["first_outcome"]
    if outcome is None:
        return f"{_name(probe)}: {probe['message'] or 'no outcome was recorded'}"
    words = (outcome["outcome"], outcome["failure_class"])
    what = ", ".join(dict.fromkeys(word for word in words if word))
    error = f": {outcome['error']}" if outcome["error"] else ""
    return f"{_name(probe)} {what}{error}"


def _name(job: Document) -> str:
    return str(job["name"] or job["job_id"])
