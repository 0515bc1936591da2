"""The flags that select events, and the query that they mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from api.cli.connection.client import ApiClient
from api.cli.connection.job_lookup import find_job_id
from api.cli.options import OfJob, flag
from api.cli.output.times import read_past

Actor = Annotated[str | None, flag("--actor", "NAME", "Name of the actor.")]
Kind = Annotated[str | None, flag("--kind", "KIND", "Kind of actor: user, agent, worker, system.")]
Topics = Annotated[
    list[str] | None, flag("--topic", "TOPIC", "Topic, such as job.force_resumed; repeatable.")
]
Source = Annotated[
    str | None, flag("--source", "SOURCE", "Source: http, ui, cli, mcp, dispatcher, …")
]
CorrelationId = Annotated[
    str | None, flag("--correlation-id", "ID", "Correlation id of a request.")
]
FailureClass = Annotated[
    str | None, flag("--failure-class", "CLASS", "Failure class: rate_limited, timeout, …")
]
Since = Annotated[
    str | None, flag("--since", "INSTANT", "Recorded since then, or since 2h ago (2h).")
]
Until = Annotated[str | None, flag("--until", "INSTANT", "Recorded until then, or 2h ago (2h).")]


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFlags:
    """The flags that audit and export share. An event must match all of them."""

    actor: Actor = None
    kind: Kind = None
    topic: Topics = None
    job: OfJob = None
    source: Source = None
    correlation_id: CorrelationId = None
    failure_class: FailureClass = None
    since: Since = None
    until: Until = None

    def query(self) -> dict[str, Any]:
        """As the API takes them, but for the job. Raises Misused."""
        return {
            "actor": self.actor,
            "kind": self.kind,
            "topic": self.topic,
            "source": self.source,
            "correlation_id": self.correlation_id,
            "failure_class": self.failure_class,
            "since": read_past(self.since, "--since"),
            "until": read_past(self.until, "--until"),
        }

    def job_id(self, client: ApiClient) -> str | None:
        """The id of the job, if one was given. Raises Stop."""
        return find_job_id(client, self.job) if self.job is not None else None
