"""blame: for each field of a job the event that gave it its value."""

from __future__ import annotations

import json
from typing import Any

from api.cli.connection.as_of import AsOf, read_as_of
from api.cli.connection.connect import Intent, connect
from api.cli.connection.job_lookup import find_job_id
from api.cli.options import AsJson, AsOfOption, DataFolder, JobWanted
from api.cli.output import event_text as event_text
from api.cli.output.render import executor_text, schedule_text, short, show
from api.cli.output.terminal import Cell, print_table, say, status_cell
from api.cli.output.times import ago_short
from api.cli.responses import Document
from api.cli.text import harmless

LONGEST_VALUE = 60


def blame(
    wanted: JobWanted, as_of: AsOfOption = None, as_json: AsJson = False, data: DataFolder = None
) -> None:
    """Show which event set each field of a job.

    For each field: who set it, when and why.
    """
    with connect(Intent.READ, data) as client:
        then = read_as_of(client, as_of)
        job_id = find_job_id(client, wanted, as_of=then.as_of)
        answer = client.request("GET", f"/v1/jobs/{job_id}/blame", query={"as_of": then.as_of})
    show(answer, as_json, lambda document: _print_blame(document["blame"], then))


def _print_blame(found: Document, then: AsOf) -> None:
    then.say()
    say(f"{found['job_name']} ({short(found['job_id'])})", style="bold")
    rows = [
        (
            item["field"],
            _value(item["field"], item["value"]),
            str(item["actor"]["id"]),
            ago_short(item["recorded_at"], then.now),
            str(item["position"]),
            event_text.topic(item),
            item["reason"] or "",
        )
        for item in found["fields"]
    ]
    print_table(["FIELD", "VALUE", "WHO", "WHEN", ">POSITION", "BY", "~WHY"], rows)


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
    line = harmless(text)
    return line if len(line) <= LONGEST_VALUE else f"{line[: LONGEST_VALUE - 1]}…"
