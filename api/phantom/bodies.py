"""The bodies that Phantom's clients send, and their translation to the ledger's fields."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from api.schemas.bodies import Body
from ledger.domain.job.spec import MAX_NAME
from ledger.errors import ScheduleInvalid

LONGEST_DESCRIPTION = 1000
LONGEST_WORDS = 2000
LARGEST_INTERVAL_MS = 2**53 - 1
DEFAULT_ENTRIES = 20
MAX_ENTRIES = 100
SLACK_OWNER = "owner"
SLACK_TARGET = re.compile(r"owner|[CU][A-Z0-9]{1,199}")


class AtBody(Body):
    kind: Literal["at"]
    at: str = Field(description="An ISO 8601 instant with its offset.")


class EveryBody(Body):
    kind: Literal["every"]
    intervalMs: int = Field(gt=0, le=LARGEST_INTERVAL_MS)  # noqa: N815  Phantom's name


class CronBody(Body):
    kind: Literal["cron"]
    expr: str = Field(description="Five fields; no nicknames.")
    tz: str | None = Field(None, description="An IANA time zone; default: UTC.")


Schedule = Annotated[AtBody | EveryBody | CronBody, Field(discriminator="kind")]


class DeliveryBody(Body):
    channel: Literal["slack", "none"] = "slack"
    target: str = Field(SLACK_OWNER, description='For slack: "owner", a channel C… or a user U….')

    @model_validator(mode="after")
    def _names_a_target(self) -> Self:
        if self.channel == "slack" and not SLACK_TARGET.fullmatch(self.target):
            raise ValueError('target must be "owner", a Slack channel (C…) or a Slack user (U…)')
        return self


class CreateBody(Body):
    """A new job in Phantom's fields."""

    name: str = Field(min_length=1, max_length=MAX_NAME)
    description: str | None = Field(None, max_length=LONGEST_DESCRIPTION)
    task: str = Field(min_length=1)
    schedule: Schedule
    delivery: DeliveryBody = Field(
        default_factory=lambda: DeliveryBody(target=SLACK_OWNER),
        description="Default: the Slack owner.",
    )
    deleteAfterRun: bool = False  # noqa: N815  Phantom's name
    enabled: bool = True
    createdBy: Literal["agent", "user"] | None = Field(  # noqa: N815  Phantom's name
        None, description="Ignored: the token names the actor."
    )


class SchedulePreviewBody(Body):
    schedule: Schedule


class WordsBody(Body):
    description: str = Field(min_length=1, max_length=LONGEST_WORDS)


class AuditLimit(BaseModel):
    model_config = ConfigDict(extra="forbid")

    limit: int = Field(DEFAULT_ENTRIES, gt=0, description=f"At most {MAX_ENTRIES}.")


def spec_of(body: CreateBody) -> dict[str, Any]:
    """A new job in the ledger's fields. Without an executor its task goes to the agent."""
    return {
        "name": body.name,
        "description": body.description,
        "task": body.task,
        "schedule": schedule_of(body.schedule),
        "delivery": _delivery_of(body.delivery),
        "delete_after_run": body.deleteAfterRun,
        "enabled": body.enabled,
    }


def schedule_of(body: AtBody | EveryBody | CronBody) -> Mapping[str, Any]:
    """The ledger's schedule. Refuses nicknames (ScheduleInvalid), which Phantom does not have."""
    match body:
        case AtBody():
            return {"kind": "at", "at": body.at}
        case EveryBody():
            return {"kind": "every", "interval_seconds": body.intervalMs / 1000}
        case CronBody():
            if body.expr.lstrip().startswith("@"):
                raise ScheduleInvalid("cron nicknames such as @daily are not supported.")
            zone = {} if body.tz is None else {"tz": body.tz}
            return {"kind": "cron", "expr": body.expr, **zone}


def _delivery_of(body: DeliveryBody) -> dict[str, str] | None:
    return None if body.channel == "none" else {"channel": body.channel, "target": body.target}
