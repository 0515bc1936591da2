"""A job's state from its raw events, slowly and obviously: what lists and histories must show."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Event = Mapping[str, Any]

STATUSES = {
    "job.scheduled": "active", "job.paused": "paused", "job.resumed": "active",
    "job.force_resumed": "active", "job.circuit_closed": "active", "job.circuit_tripped": "failed",
    "job.completed": "completed", "job.deleted": "deleted",
}  # fmt: skip
FRESH = ("job.resumed", "job.force_resumed", "job.circuit_closed")
DEFINED = (
    "name",
    "description",
    "delivery",
    "delete_after_run",
    "schedule",
    "task",
    "executor",
    "tags",
    "policy",
    "enabled",
)
ENDED = {"job.run_succeeded": "succeeded", "job.run_failed": "failed", "job.run_lost": "lost",
         "job.run_blocked": "blocked"}  # fmt: skip
STOPS = ("job.paused", "job.circuit_tripped", "job.completed", "job.deleted")


class Fold:
    """One job, event after event."""

    def __init__(self, events: Iterable[Event] = ()) -> None:
        self.state: dict[str, Any] = {}
        for event in events:
            self.take(event)

    def take(self, event: Event) -> None:
        """Let one event happen."""
        topic, data, state = event["topic"], event["data"], self.state
        if topic == "job.scheduled":
            state |= {
                **{name: data[name] for name in DEFINED},
                "id": event["job_id"],
                "consecutive_errors": 0,
                "consecutive_losses": 0,
                "open_run": None,
                "paused_until": None,
                "last_status": None,
                "last_failure_class": None,
                "run_count": 0,
            }
        state |= {name: value for name, value in data.get("changes", {}).items() if name in DEFINED}
        state["status"] = STATUSES.get(topic, state.get("status"))
        self._runs(topic, data)
        if topic == "job.imported":
            self._import(data)
        if topic in FRESH:
            state["consecutive_errors"] = state["consecutive_losses"] = 0
        if topic in (*FRESH, "job.paused"):
            state["paused_until"] = data.get("until")
        self._plan(topic, data)

    def _import(self, data: Event) -> None:
        """What another scheduler knew of it."""
        own = {name: data[name] for name in ("status", "consecutive_errors", "run_count")}
        self.state |= own
        if data["last_run_at"] is not None:
            self.state["last_status"] = "failed" if data["last_error"] else "succeeded"

    def _runs(self, topic: str, data: Event) -> None:
        state = self.state
        if topic == "job.run_started":
            state["open_run"] = data["run_id"]
            state["run_count"] += 1
        if topic not in ENDED:
            return
        state["open_run"] = None
        state["last_status"] = ENDED[topic]
        without = {"job.run_lost": "lost", "job.run_blocked": "blocked"}.get(topic)
        state["last_failure_class"] = data.get("failure_class", without)
        if topic == "job.run_succeeded":
            state["consecutive_errors"] = state["consecutive_losses"] = 0
        if topic == "job.run_failed":
            state["consecutive_errors"], state["consecutive_losses"] = data["consecutive_errors"], 0
        if topic == "job.run_lost":
            state["consecutive_losses"] = data["consecutive_losses"]

    def _plan(self, topic: str, data: Event) -> None:
        is_taken = topic == "job.run_started" and data["trigger"] != "manual"
        if topic in STOPS or is_taken:
            self.state["next_run_at"] = None
        elif "next_run_at" in data:
            self.state["next_run_at"] = data["next_run_at"]
