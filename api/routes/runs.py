"""The worker protocol: claim a run, extend its lease, report its outcome."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Annotated, Any, cast
from uuid import UUID

from fastapi import APIRouter, Depends
from starlette.responses import Response

from api.http.bodies import body_of, documented
from api.http.claims import claim as take
from api.http.context import InContext, RequestContext, decided, plain
from api.http.openapi import CLAIMED, COMMAND, HEARTBEAT, NOTHING_DUE
from api.schemas.bodies import ClaimBody, FailureBody, HeartbeatBody, SuccessBody
from api.security.auth import UsesReporter, requires, requires_run
from ledger.application.batch import Command
from ledger.application.commands import runs as run_commands
from ledger.application.commands.jobs import CommandResult
from ledger.clock import rfc3339
from ledger.dispatch.executors.output import Output, storable
from ledger.dispatch.executors.signing import RunToken
from ledger.domain.job.failures import ERROR_PREFIX, class_of_text
from ledger.domain.job.outcomes import Failure, Success
from ledger.domain.job.state import OpenRun
from ledger.errors import InvalidField

router = APIRouter(prefix="/v1/runs", tags=["runs"])

ERROR_BYTES = 4 * 1024
"""How much of a reported error is stored."""
UNREPORTABLE = ("lost", "blocked")
"""Failure classes that only the ledger itself records."""

OutcomeAfter = Callable[[int], run_commands.Report]
"""Makes the outcome of a run from its duration in milliseconds."""

GivenClaim = Annotated[ClaimBody, Depends(body_of(ClaimBody))]
GivenHeartbeat = Annotated[HeartbeatBody, Depends(body_of(HeartbeatBody, may_be_empty=True))]
GivenSuccess = Annotated[SuccessBody, Depends(body_of(SuccessBody, may_be_empty=True))]
GivenFailure = Annotated[FailureBody, Depends(body_of(FailureBody))]


@router.post(
    "/claim",
    dependencies=[requires("worker")],
    responses={200: CLAIMED, 204: NOTHING_DUE},
    openapi_extra=documented(ClaimBody),
)
async def claim(body: GivenClaim, context: InContext) -> Response:
    """Claim the run that has been due longest in a queue, or wait for one."""
    answer = await take(context, body)
    return _claimed(context, answer) if answer is not None else Response(status_code=204)


@router.post(
    "/{run_id}/heartbeat",
    dependencies=[requires_run()],
    responses={200: HEARTBEAT},
    openapi_extra=documented(HeartbeatBody, may_be_empty=True),
)
async def heartbeat(body: GivenHeartbeat, reporter: UsesReporter, context: InContext) -> Response:
    """Extend the run's lease, at most to the job's time-out."""
    call = await context.call()
    run = reporter.token
    command = run_commands.heartbeat(run.job_id, run.run_id, body.lease_seconds, call)
    until = await decided(context.ledger, command)
    return plain({"run_id": run.run_id, "lease_until": rfc3339(until)})


@router.post(
    "/{run_id}/succeed",
    dependencies=[requires_run()],
    responses={200: COMMAND},
    openapi_extra=documented(SuccessBody, may_be_empty=True),
)
async def succeed(body: GivenSuccess, reporter: UsesReporter, context: InContext) -> Response:
    """Report that the run succeeded, with its output."""

    def outcome() -> OutcomeAfter:
        output = context.parts.secrets.redact(body.output)
        return lambda ms: _outcome_of(output, ms)

    return await _finish(context, reporter.token, outcome)


@router.post(
    "/{run_id}/fail",
    dependencies=[requires_run()],
    responses={200: COMMAND},
    openapi_extra=documented(FailureBody),
)
async def fail(body: GivenFailure, reporter: UsesReporter, context: InContext) -> Response:
    """Report that the run failed, with its error."""
    if body.failure_class in UNREPORTABLE:
        raise InvalidField("failure_class", f"cannot be {body.failure_class} in a report")
    after = body.retry_after_seconds
    retry_at = context.ledger.clock.now() + timedelta(seconds=after) if after is not None else None

    def outcome() -> OutcomeAfter:
        redacted = context.parts.secrets.redact(body.error).encode(errors="replace")
        error = storable(redacted, ERROR_BYTES)
        failure_class = body.failure_class or class_of_text(f"{ERROR_PREFIX} {error}")
        return lambda ms: Failure(error, failure_class, None, retry_at, ms)

    return await _finish(context, reporter.token, outcome)


async def _finish(
    context: RequestContext, token: RunToken, outcome: Callable[[], OutcomeAfter]
) -> Response:
    """Record an outcome. `outcome` is slow, since it redacts secrets, and runs in a thread."""
    call = await context.call()

    def command() -> Command[CommandResult]:
        after = outcome()
        return run_commands.finish(
            token.job_id, token.run_id, lambda run: after(_lasted_ms(run, call.now)), call
        )

    return await context.command(command, call)


def _lasted_ms(run: OpenRun, now: datetime) -> int:
    """How long the run took; 0 when the clock was set back in the meantime."""
    return max(0, (now - run.started_at) // timedelta(milliseconds=1))


def _outcome_of(text: str, duration_ms: int) -> Success | Failure:
    output = Output()
    output.take(text.encode(errors="replace"))
    if output.text.startswith(ERROR_PREFIX):
        return Failure(output.text, class_of_text(output.text), None, None, duration_ms)
    return Success(output.text, output.count_bytes, output.sha256, duration_ms)


def _claimed(context: RequestContext, answer: CommandResult) -> Response:
    job = cast(dict[str, Any], answer.job)
    run = job["open_run"] | {"timeout_seconds": job["policy"]["timeout_seconds"]}
    holder = RunToken(run["run_id"], UUID(job["id"]), context.actor)
    token = context.parts.signer.run_token(holder)
    return plain({"run": run, "job": job, "token": token, "position": answer.position})
