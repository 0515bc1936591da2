"""Imports of jobs from other schedulers, each job by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends
from starlette.responses import Response

from api.http.bodies import BodyOf
from api.http.context import InContext, plain
from api.http.errors import LONGEST_TEXT
from api.http.openapi import IMPORTED
from api.schemas.bodies import ImportBody
from api.security.auth import requires
from ledger.application.commands.command import CommandResult
from ledger.errors import LedgerError

router = APIRouter(prefix="/v1/imports", tags=["imports"])

GivenImport = Annotated[ImportBody, Depends(BodyOf(ImportBody))]


@router.post("", dependencies=[requires("admin")], responses={200: IMPORTED})
async def import_jobs(body: GivenImport, context: InContext) -> Response:
    """Import jobs of another scheduler with their history, each in an append of its own; with
    `dry_run` only decide, and commit nothing.
    """
    command_context = await context.command_context()
    imports = partial(context.ledger.import_jobs, dry_run=body.dry_run, context=command_context)
    results = await run_sync(imports, body.origin, body.jobs)
    return plain(_report(body.jobs, results) | {"position": context.position()})


def _report(
    jobs: Sequence[object], results: Sequence[CommandResult | LedgerError]
) -> dict[str, Any]:
    """The outcome of each job, and how many were imported."""
    outcomes = [_outcome(given, result) for given, result in zip(jobs, results, strict=True)]
    refused = sum("refusal" in outcome for outcome in outcomes)
    return {"jobs": outcomes, "imported": len(outcomes) - refused, "refused": refused}


def _outcome(given: object, result: CommandResult | LedgerError) -> dict[str, Any]:
    origin_id = given.get("origin_id") if isinstance(given, Mapping) else None
    origin = {"origin_id": origin_id[:LONGEST_TEXT] if isinstance(origin_id, str) else None}
    if isinstance(result, LedgerError):
        detail = result.message[:LONGEST_TEXT]
        return origin | {"refusal": {"code": result.code, "detail": detail}}
    return origin | {"job": result.job}
