"""The worker protocol: claim a run, extend its lease, report its outcome."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated
from uuid import UUID

from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends
from starlette.responses import Response

from api.http.bodies import BodyOf
from api.http.claims import claim
from api.http.context import InContext, RequestContext, plain
from api.http.direct_route import DirectRoute
from api.http.openapi import CLAIMED, COMMAND, HEARTBEAT, NOTHING_DUE
from api.schemas.bodies import ClaimBody, FailureBody, HeartbeatBody, SuccessBody
from api.security.auth import UsesReporter, requires, requires_run
from ledger.application.commands.command import CommandResult
from ledger.application.commands.runs import ExtendLease, ReportRun
from ledger.clock import rfc3339
from ledger.dispatch.executors.output import Output, storable
from ledger.dispatch.executors.secrets import Secrets
from ledger.dispatch.executors.signing import RunToken
from ledger.domain.job.failures import ERROR_PREFIX, class_of_text
from ledger.domain.job.outcomes import Failure, Success
from ledger.errors import InvalidField

router = APIRouter(prefix="/v1/runs", tags=["runs"], route_class=DirectRoute)

ERROR_BYTES = 4 * 1024
"""How much of a reported error is stored."""
UNREPORTABLE = ("lost", "blocked")
"""Failure classes that only the ledger itself records."""

GivenClaim = Annotated[ClaimBody, Depends(BodyOf(ClaimBody))]
GivenHeartbeat = Annotated[HeartbeatBody, Depends(BodyOf(HeartbeatBody, may_be_empty=True))]
GivenSuccess = Annotated[SuccessBody, Depends(BodyOf(SuccessBody, may_be_empty=True))]
GivenFailure = Annotated[FailureBody, Depends(BodyOf(FailureBody))]


@router.post(
    "/claim", dependencies=[requires("worker")], responses={200: CLAIMED, 204: NOTHING_DUE}
)
async def claim_run(body: GivenClaim, context: InContext) -> Response:
    """Claim the run that has been due longest in a queue, or wait for one."""
    answer = await claim(context, body)
    return _claimed(context, answer) if answer is not None else Response(status_code=204)


@router.post("/{run_id}/heartbeat", dependencies=[requires_run()], responses={200: HEARTBEAT})
async def send_heartbeat(
    body: GivenHeartbeat, reporter: UsesReporter, context: InContext
) -> Response:
    """Extend the run's lease, at most to the job's time-out."""
    run, command_context = reporter.token, await context.command_context()
    command = ExtendLease(run.job_id, run.run_id, body.lease_seconds, command_context)
    until = await context.execute(command)
    return plain({"run_id": run.run_id, "lease_until": rfc3339(until)})


@router.post("/{run_id}/succeed", dependencies=[requires_run()], responses={200: COMMAND})
async def report_success(
    body: GivenSuccess, reporter: UsesReporter, context: InContext
) -> Response:
    """Report that the run succeeded, with its output."""
    outcome = await run_sync(_outcome_of_output, context.parts.secrets, body.output)
    return await _report(context, reporter.token, outcome)


@router.post("/{run_id}/fail", dependencies=[requires_run()], responses={200: COMMAND})
async def report_failure(
    body: GivenFailure, reporter: UsesReporter, context: InContext
) -> Response:
    """Report that the run failed, with its error."""
    if body.failure_class in UNREPORTABLE:
        raise InvalidField("failure_class", f"cannot be {body.failure_class} in a report")
    after = body.retry_after_seconds
    retry_at = context.ledger.clock.now() + timedelta(seconds=after) if after is not None else None
    error = await run_sync(_stored_error, context.parts.secrets, body.error)
    failure_class = body.failure_class or class_of_text(f"{ERROR_PREFIX} {error}")
    return await _report(context, reporter.token, Failure(error, failure_class, None, retry_at, 0))


async def _report(context: RequestContext, token: RunToken, outcome: Success | Failure) -> Response:
    command_context = await context.command_context()
    return await context.answer(ReportRun(token.job_id, token.run_id, outcome, command_context))


# Redaction searches a text for every secret, which is slow, so both functions run in a thread. The
# command measures the duration.
def _outcome_of_output(secrets: Secrets, text: str) -> Success | Failure:
    output = Output()
    output.take(secrets.redact(text).encode(errors="replace"))
    if output.text.startswith(ERROR_PREFIX):
        return Failure(output.text, class_of_text(output.text), None, None, 0)
    return Success(output.text, output.count_bytes, output.sha256, 0)


def _stored_error(secrets: Secrets, text: str) -> str:
    return storable(secrets.redact(text).encode(errors="replace"), ERROR_BYTES)


def _claimed(context: RequestContext, answer: CommandResult) -> Response:
    job = answer.job
    run = job["open_run"] | {"timeout_seconds": job["policy"]["timeout_seconds"]}
    holder = RunToken(run["run_id"], UUID(job["id"]), context.actor)
    token = context.parts.signer.run_token(holder)
    return plain({"run": run, "job": job, "token": token, "position": answer.position})
