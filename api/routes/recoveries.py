"""Recoveries, which resume tripped jobs by a plan: plan, start, list, show, abort."""

from __future__ import annotations

from typing import Annotated, Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends
from starlette.responses import Response

from api.http.bodies import BodyOf, GivenReason
from api.http.context import GivenPage, GivenTime, InContext, RequestContext, plain
from api.http.openapi import ONE_RECOVERY, RECOVERY_CHANGED, RECOVERY_PLAN, listed
from api.schemas.bodies import RecoveryBody, TermsBody
from api.security.auth import requires
from ledger.application.commands.recoveries import PreviewRecovery, RecoveryResult, StartRecovery
from ledger.application.recoveries.views import forecast_view
from ledger.domain.recovery.selection import Selection

router = APIRouter(prefix="/v1", tags=["recoveries"])

GivenRecovery = Annotated[RecoveryBody, Depends(BodyOf(RecoveryBody))]
GivenTerms = Annotated[TermsBody, Depends(BodyOf(TermsBody, may_be_empty=True))]
STARTED: dict[int | str, dict[str, Any]] = {200: RECOVERY_PLAN, 201: RECOVERY_CHANGED}


@router.post("/recoveries", status_code=201, dependencies=[requires("operator")], responses=STARTED)
async def start_recovery(body: GivenRecovery, context: InContext) -> Response:
    """Resume the selected failed jobs, one after the other."""
    return await _started(body.selector.selector(), body, context)


@router.post(
    "/storms/{storm_id}/resume",
    status_code=201,
    dependencies=[requires("operator")],
    responses=STARTED,
)
async def resume_storm(storm_id: str, body: GivenTerms, context: InContext) -> Response:
    """Resume the jobs that tripped in a storm and are still failed because of it."""
    members = await context.ask(context.queries.storm_members, storm_id)
    return await _started(members, body, context)


@router.get("/recoveries", dependencies=[requires("viewer")], responses={200: listed("recoveries")})
async def list_recoveries(query: GivenPage, context: InContext) -> Response:
    """The recoveries without their jobs, newest first."""
    return plain(await context.ask(context.queries.recoveries, **query.page()))


@router.get(
    "/recoveries/{recovery_id}", dependencies=[requires("viewer")], responses={200: ONE_RECOVERY}
)
async def show_recovery(recovery_id: str, query: GivenTime, context: InContext) -> Response:
    """One recovery with the outcome of each of its jobs."""
    return plain(await context.ask(context.queries.recovery, recovery_id, **query.when()))


@router.post(
    "/recoveries/{recovery_id}/abort",
    dependencies=[requires("operator")],
    responses={200: RECOVERY_CHANGED},
)
async def abort_recovery(recovery_id: str, body: GivenReason, context: InContext) -> Response:
    """Abort a recovery: the remaining jobs stay failed. An ended recovery does not change."""
    command_context = await context.command_context(body.reason)
    abort_command = context.ledger.recoveries.abort_command
    result = await context.execute(await run_sync(abort_command, recovery_id, command_context))
    return plain(await _changed(context, result))


async def _started(selection: Selection, body: TermsBody, context: RequestContext) -> Response:
    terms, command_context = body.terms(), await context.command_context(body.reason)
    if body.dry_run:
        forecast = await context.execute(PreviewRecovery(selection, terms, command_context))
        plan = await run_sync(forecast_view, forecast, command_context.now)
        return plain({"plan": plan, "position": context.position()})
    result = await context.execute(StartRecovery(selection, terms, command_context))
    content = await _changed(context, result)
    return plain(content, 201, {"Location": f"/v1/recoveries/{content['recovery']['id']}"})


async def _changed(context: RequestContext, result: RecoveryResult) -> dict[str, Any]:
    recovery = await run_sync(context.ledger.recoveries.as_answered, result)
    return {"recovery": recovery, "changed": result.changed, "position": recovery["position"]}
