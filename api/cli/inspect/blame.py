"""blame: for each field of a job, the event that set it."""

from __future__ import annotations

import json
from typing import Any

from api.cli.connection.question import AsOf, Question
from api.cli.options import JobWanted, with_flags
from api.cli.output import event_text
from api.cli.output.render import executor_text, schedule_text, short
from api.cli.output.terminal import Cell, print_table, say, status_cell
from api.cli.output.times import ago_short
from api.cli.responses import Document
from api.cli.text import harmless, shortened

LONGEST_VALUE = 60


@with_flags
def blame(wanted: JobWanted, question: Question) -> None:
    """Show which event set each field of a job.

    For each field: who set it, when and why.
    """
    question.ask("/v1/jobs/{job}/blame", _print_blame, job=wanted)


def _print_blame(document: Document, as_of: AsOf) -> None:
    found = document["blame"]
    as_of.print_heading()
    say(f"{found['job_name']} ({short(found['job_id'])})", style="bold")
    rows = [
        (
            item["field"],
            _value(item["field"], item["value"]),
            str(item["actor"]["id"]),
            ago_short(item["recorded_at"], as_of.now),
            str(item["position"]),
            event_text.topic(item),
            item["reason"] or "",
        )
        for item in found["fields"]
    ]
    print_table(["FIELD", "VALUE", "WHO", "WHEN", ">POSITION", "BY", "~REASON"], rows)


def _value(field: str, value: Any) -> Cell:
    match field, value:
        case _, None:
            return "-"
        case "schedule", dict():
            return schedule_text(value)
        case "executor", dict():
            return executor_text(value)
        case "last_run", dict():
            return status_cell(value["status"])
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return shortened(harmless(text), LONGEST_VALUE)
