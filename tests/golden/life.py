"""A long life: a ledger in which every topic happens, always with the same events."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson

from ledger import Ledger
from ledger.application.command_context import Idempotency
from ledger.application.commands import recoveries as recovery_commands
from ledger.application.commands import runs as run_commands
from ledger.application.commands.deliveries import RecordNotice
from ledger.application.tokens import Tokens
from ledger.domain import events as e
from ledger.domain.job import outcomes
from ledger.domain.job.job import Job
from ledger.domain.job.view import view
from ledger.domain.recovery.plan import Terms
from ledger.domain.recovery.recovery import Recovery
from ledger.domain.recovery.selection import Selector
from ledger.domain.streams.access import Access, Attempt, access_stream
from ledger.domain.streams.idempotency import IdempotencyKey, request_stream
from ledger.domain.streams.names import Name
from ledger.domain.streams.notices import Notice, NoticeOutcome
from ledger.domain.streams.tokens import Token
from ledger.store.codec import shape_of, text_references
from ledger.store.mapper import TOPICS, EventMapper
from ledger.store.records import StoredEvent
from tests.support import runs
from tests.support.ad_hoc_command import AdHoc
from tests.support.builders import MINUTE, NOON, SUCCESS, ManualClock, a_spec, open_ledger

FOLDER = Path(__file__).parent
VERSIONS = (1, 2, 3)
"""Stored lives; new topics need a new one. 2: notices, refused access. 3: recoveries."""
HOURLY = {"kind": "cron", "expr": "0 * * * *", "tz": "Europe/Berlin"}
FAILURE = outcomes.Failure(
    "Error: 429 too many requests", "rate_limited", "api.example.com", None, 9
)


def history_of(version: int) -> Path:
    """The events of a life."""
    return FOLDER / f"history.v{version}.jsonl"


def digest_file_of(version: int) -> Path:
    """The digest of their fold."""
    return FOLDER / f"history.v{version}.digest"


class Life:
    """Does everything that can be done to a ledger, once."""

    def __init__(self, ledger: Ledger, clock: ManualClock) -> None:
        self.ledger, self.clock = ledger, clock

    def live(self) -> None:
        """Do all of it."""
        self.a_job_that_is_edited_paused_and_forced()
        self.a_job_that_probes_itself_back()
        self.a_job_that_skips_is_lost_and_is_blocked()
        self.a_one_shot_that_goes_when_it_is_done()
        self.an_imported_job_with_deliveries()
        self.tokens()
        self.notices()
        self.a_refused_change()
        self.two_recoveries()

    def a_job_that_is_edited_paused_and_forced(self) -> None:
        ledger = self.ledger
        stream = request_stream("library", "POST", "/v1/jobs", "key-1")
        key = Idempotency("key-1", stream, "f")
        call = replace(ledger.context("begin"), idempotency=key)
        spec = a_spec(description="words", schedule=HOURLY, policy={"trip_after": 2}, tags=["a"])
        job_id = ledger.schedule(spec, context=call).job_id
        ledger.amend(job_id, {"name": "renamed", "task": "other words"})
        ledger.pause(job_id, until=NOON + 90 * MINUTE, reason="lunch")
        ledger.resume(job_id, reason="back from lunch")
        ledger.run(job_id, reason="see whether it works")
        self.run(job_id, SUCCESS)
        self.run(job_id, FAILURE)
        self.run(job_id, FAILURE)
        self.clock.advance(timedelta(days=1))
        ledger.resume(job_id, force=True, reason="the quota was raised")

    def a_job_that_probes_itself_back(self) -> None:
        policy = {"trip_after": 1, "probe_after_seconds": 60}
        job_id = self.ledger.schedule(a_spec(name="probing", policy=policy)).job_id
        for outcome in (FAILURE, FAILURE, SUCCESS):
            self.run(job_id, outcome)

    def a_job_that_skips_is_lost_and_is_blocked(self) -> None:
        spec = a_spec(name="skipping", schedule=HOURLY, policy={"catch_up": "none"})
        job_id = self.ledger.schedule(spec).job_id
        self.clock.advance(timedelta(hours=5))
        self.claim(job_id, is_late=True)
        self.run(job_id, "commands are off")
        claimed = self.claim(job_id)
        assert claimed is not None
        lose = run_commands.LoseRun(
            job_id, claimed.run.run_id, "lease_expired", self.ledger.context()
        )
        self.ledger.execute(lose)

    def a_one_shot_that_goes_when_it_is_done(self) -> None:
        at = (self.clock.now() + MINUTE).isoformat()
        spec = a_spec(name="once", schedule={"kind": "at", "at": at}, delete_after_run=True)
        self.run(self.ledger.schedule(spec).job_id, SUCCESS)

    def an_imported_job_with_deliveries(self) -> None:
        job_id = self.ledger.schedule(a_spec(name="imported", enabled=False)).job_id
        context = self.ledger.context("moving in")
        imported = {
            "origin": "phantom",
            "origin_id": "42",
            "status": "failed",
            "consecutive_errors": 10,
            "last_error": "Error: quota",
            "last_run_at": NOON,
            "run_count": 99,
            "next_run_at": None,
            "imported": {"_type_": "uuid_hex", "skills": ["x"]},
        }
        self.ledger.execute(AdHoc(lambda unit: unit.job(job_id).record_import(imported, context)))
        notice = {"run_id": "r", "channel": "slack", "target": None, "outcome": "no owner is set"}
        self.ledger.execute(
            AdHoc(lambda unit: unit.job(job_id).record(e.DeliveryFailed, context, **notice))
        )
        notice = notice | {"target": "C1", "outcome": "ok"}
        self.ledger.execute(
            AdHoc(lambda unit: unit.job(job_id).record(e.Delivered, context, **notice))
        )

    def tokens(self) -> None:
        tokens = Tokens(self.ledger)
        tokens.adopt("secret", "olga", "admin", "user", None, self.ledger.context())
        tokens.revoke("olga", self.ledger.context("she left"))

    def notices(self) -> None:
        notice = NoticeOutcome("trip", "slack", "owner", 17, 42, False, "no owner", job_id="a job")
        self.ledger.execute(RecordNotice(notice, self.ledger.context()))
        self.ledger.execute(
            RecordNotice(replace(notice, channel="ops", is_sent=True), self.ledger.context())
        )

    def a_refused_change(self) -> None:
        attempt = Attempt("a token", "viewer", "POST", "/v1/jobs", "This needs the role operator.")
        context = self.ledger.context()
        stream = access_stream("a token")
        self.ledger.execute(AdHoc(lambda unit: unit.access(stream).refuse(attempt, context)))

    def two_recoveries(self) -> None:
        """One that is aborted after a job that changed meanwhile, and one that completes."""
        ledger, tripped = self.ledger, []
        for name in ("one", "another"):
            spec = a_spec(name=name, schedule=HOURLY, policy={"trip_after": 1}, tags=["mail"])
            tripped.append(ledger.schedule(spec).job_id)
            self.run(tripped[-1], FAILURE)
        first, second = Selector(tag="mail", job_ids=(*tripped, UUID(int=7))), Selector(tag="mail")
        ledger.start_recovery(first, reason="the quota was raised")
        ledger.resume(tripped[0], force=True)
        self.step(1, version=1)
        ledger.abort_recovery("R-1", reason="not yet")
        ledger.start_recovery(second, Terms(probe=tripped[1], abort_on=None))
        self.step(2, version=1)
        ledger.execute(recovery_commands.CompleteRecovery(2, 2, 0, ledger.context()))

    def step(self, number: int, *, version: int) -> None:
        """The next job's step."""
        now, command_id = self.clock.now(), str(self.ledger.chance.new_id())
        assert self.ledger.execute(recovery_commands.StepRecovery(number, version, now, command_id))

    def claim(self, job_id: UUID, *, is_late: bool = False) -> run_commands.Claimed | None:
        """Start what is due next, at its time."""
        runs.wait_until_due(self.ledger, job_id)
        call = self.ledger.context()
        return self.ledger.execute(
            run_commands.ClaimRun(job_id, call, node="node-1", is_late=is_late)
        )

    def run(self, job_id: UUID, outcome: run_commands.Outcome) -> None:
        """One run, and how it ends."""
        claimed = self.claim(job_id)
        assert claimed is not None
        self.clock.advance(timedelta(seconds=2))
        runs.end(self.ledger, claimed, outcome)


def life_lines(folder: Path) -> Iterator[dict[str, Any]]:
    """The life as lines: first the ledger's id, then every event with its texts."""
    clock = ManualClock()
    with open_ledger(folder, clock) as ledger:
        Life(ledger, clock).live()
        yield {"ledger_id": str(ledger.event_store.ledger_id)}
        for row in ledger.event_store.rows():
            state = row.state.decode()
            shape = shape_of(TOPICS[row.topic])
            named = [text_id for text_id, _ in text_references(shape.texts, orjson.loads(state))]
            yield {
                "position": row.position,
                "stream": str(UUID(bytes=row.stream)),
                "version": row.version,
                "topic": row.topic,
                "recorded_at": row.recorded_at,
                "state": state,
                "texts": {
                    text_id: {"salt": salt.hex(), "body": body.decode()}
                    for text_id, (salt, body) in ledger.event_store.salted_texts(named).items()
                },
                "chain": row.chain.hex(),
            }


def recorded(line: dict[str, Any]) -> StoredEvent:
    """A line as the store would return it."""
    return StoredEvent(
        UUID(line["stream"]),
        line["version"],
        line["topic"],
        line["state"].encode(),
        line["position"],
        line["recorded_at"],
        bytes.fromhex(line["chain"]),
    )


Kind = Job | Name | IdempotencyKey | Token | Notice | Access | Recovery


def folded(lines: list[dict[str, Any]], mapper: EventMapper) -> dict[str, Any]:
    """The state of all streams: jobs as every surface shows them, names, keys, tokens."""
    streams: dict[UUID, Kind] = {}
    kinds: dict[str, type[Kind]] = {
        "job": Job,
        "name": Name,
        "request": IdempotencyKey,
        "token": Token,
        "notice": Notice,
        "access": Access,
        "recovery": Recovery,
    }
    for line in lines:
        event = mapper.to_domain_event(recorded(line))
        kind = kinds[line["topic"].split(".")[0]]
        stream = streams.setdefault(event.originator_id, kind.blank(event.originator_id))
        event.mutate(stream)
        if isinstance(stream, Job):
            stream.locate(line["version"], line["position"])
    return {str(stream_id): _shown(stream) for stream_id, stream in sorted(streams.items())}


def _shown(stream: Kind) -> Any:
    match stream:
        case Job():
            return view(stream) | {"trip_position": stream.trip_position}
        case Name():
            return stream.holder
        case IdempotencyKey():
            return stream.answered.positions if stream.answered else None
        case Token():
            return [stream.name, stream.is_revoked]
        case Notice():
            return stream.is_recorded
        case Access():
            return stream.count
        case Recovery():
            return [stream.name, stream.resumed_count, stream.refused_count, stream.remaining]


def digest_of(state: dict[str, Any]) -> str:
    """SHA-256 of a folded state, whatever the order of its keys."""
    return sha256(orjson.dumps(state, option=orjson.OPT_SORT_KEYS)).hexdigest()
