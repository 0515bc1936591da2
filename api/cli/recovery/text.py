"""Of a recovery what people read in a word or a line: how it stands, of whom it is, the way on."""

from __future__ import annotations

import shlex

from rich.text import Text

from api.cli.output.terminal import STYLES
from api.cli.responses import Document

STATES = {
    "probing": ("waits for the probe", STYLES["running"]),
    "dripping": ("under way", STYLES["running"]),
    "settling": ("all had their turn", STYLES["running"]),
    "completed": ("completed", STYLES["succeeded"]),
    "aborted": ("aborted", STYLES["failed"]),
}
CAUSES = {
    "probe_failed": "the probe did not succeed",
    "re_trips": "too many tripped again",
}
ASKED = "asked"
A_FEW = 3
"""Jobs that a command to be typed again names."""


def state(recovery: Document) -> Text:
    """How it stands, and why it was broken off."""
    word, style = STATES[recovery["status"]]
    cause = recovery["cause"]
    why = f"{recovery['ended_by']['id']} stopped it" if cause == ASKED else CAUSES.get(cause or "")
    return Text(word, style).append(f": {why}" if why else "", "")


def whom(recovery: Document) -> str:
    """The storm, or the selection."""
    if recovery["storm_id"]:
        return f"storm {recovery['storm_id']}"
    selector = recovery["selector"]
    ids = selector["job_ids"]
    parts = [
        f"tag {selector['tag']}" if selector["tag"] else "",
        selector["failure_class"] or "",
        f"{len(ids)} named" if ids else "",
    ]
    return ", ".join(part for part in parts if part)


def way_on(recovery: Document) -> str:
    """What to type once the cause of what broke it off is gone."""
    if recovery["storm_id"]:
        return f"jobledger storm resume {recovery['storm_id']} --dry-run"
    selector = recovery["selector"]
    ids, tag, failure_class = (selector[key] for key in ("job_ids", "tag", "failure_class"))
    if len(ids or ()) > A_FEW:
        return "jobledger list --status failed"
    words = ["jobledger", "recovery", "start", *(ids or ())]
    words += ["--tag", tag] if tag else []
    words += ["--failure-class", failure_class] if failure_class else []
    return shlex.join([*words, "--dry-run"])
