"""Blame from the raw events of one job: a table of what each topic writes, read forward."""

from __future__ import annotations

from typing import Any

from tests.oracles.fold import FRESH, STATUSES, STOPS

FIELDS = ("name", "description", "schedule", "task", "executor", "delivery", "tags", "enabled")
ENDS = ("job.run_succeeded", "job.run_failed", "job.run_lost", "job.run_blocked")
SUCCEEDED, FAILED = "job.run_succeeded", "job.run_failed"
WRITERS = {
    "open_run": ENDS,
    "last_run": ENDS,
    "consecutive_losses": (SUCCEEDED, FAILED, "job.run_lost", *FRESH),
    "consecutive_errors": (SUCCEEDED, FAILED, "job.imported", *FRESH),
    "paused_until": (*FRESH, "job.paused"),
}
"""What these topics set, whatever they hold."""


def written(event: dict[str, Any]) -> set[str]:
    """The fields that an event sets."""
    topic, data = event["topic"], event["data"]
    if topic == "job.scheduled":
        return {*FIELDS, "delete_after_run", "paused_until", "next_run_at", "open_run",
                "last_run", "consecutive_errors", "consecutive_losses"}  # fmt: skip
    fields = set(data.get("changes", {})) - {"policy"}
    if "next_run_at" in data or topic in STOPS:
        fields.add("next_run_at")
    if topic == "job.run_started":
        fields |= {"open_run"} | ({"next_run_at"} if data["trigger"] != "manual" else set())
    if topic == "job.imported" and data["last_run_at"] is not None:
        fields.add("last_run")
    return fields.union(name for name, topics in WRITERS.items() if topic in topics)


def expected(events: list[dict[str, Any]]) -> dict[str, int]:
    """For each field the position of the event that gave it."""
    given: dict[str, int] = {}
    status = None
    policy: dict[str, Any] = {}
    for event in events:
        given |= dict.fromkeys(written(event), event["position"])
        data = event["data"]
        for key, value in (data.get("policy") or data.get("changes", {}).get("policy", {})).items():
            if key not in policy or policy[key] != value:
                policy[key], given[f"policy.{key}"] = value, event["position"]
        is_import = event["topic"] == "job.imported"
        after = data["status"] if is_import else STATUSES.get(event["topic"], status)
        if after != status:
            status, given["status"] = after, event["position"]
    return given
