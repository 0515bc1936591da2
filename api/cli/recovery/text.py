"""Short texts about a recovery: state, scope, next command."""

from __future__ import annotations

import shlex

from rich.text import Text

from api.cli.output.event_text import ABORT_CAUSES
from api.cli.output.terminal import STYLES
from api.cli.responses import Document
from ledger.plurals import counted

STATES = {
    "probing": ("waiting for the probe", STYLES["running"]),
    "dripping": ("running", STYLES["running"]),
    "settling": ("all resumed, waiting for first runs", STYLES["running"]),
    "completed": ("completed", STYLES["succeeded"]),
    "aborted": ("aborted", STYLES["failed"]),
}
ASKED = "asked"
MOST_NAMED = 3
"""Jobs that a suggested command names; with more, it is the list of failed jobs."""


def state(recovery: Document) -> Text:
    """The state, and the cause of an abort."""
    word, style = STATES[recovery["status"]]
    cause = recovery["cause"]
    by = recovery["ended_by"]
    why = f"by {by['id']}" if cause == ASKED else ABORT_CAUSES.get(cause or "")
    return Text(word, style).append(f": {why}" if why else "", "")


def scope(recovery: Document) -> str:
    """The storm, or the selection of jobs."""
    if recovery["storm_id"]:
        return f"storm {recovery['storm_id']}"
    selector = recovery["selector"]
    ids = selector["job_ids"]
    parts = [
        f"tag {selector['tag']}" if selector["tag"] else "",
        selector["failure_class"] or "",
        counted(len(ids), "job") if ids else "",
    ]
    return ", ".join(part for part in parts if part)


def next_command(recovery: Document) -> str:
    """The command that resumes the remaining jobs once the cause of the abort is fixed."""
    if recovery["storm_id"]:
        return f"jobledger storm resume {recovery['storm_id']} --dry-run"
    selector = recovery["selector"]
    ids, tag, failure_class = (selector[key] for key in ("job_ids", "tag", "failure_class"))
    if len(ids or ()) > MOST_NAMED:
        return "jobledger list --status failed"
    words = ["jobledger", "recovery", "start", *(ids or ())]
    words += ["--tag", tag] if tag else []
    words += ["--failure-class", failure_class] if failure_class else []
    return shlex.join([*words, "--dry-run"])
