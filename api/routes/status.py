"""How the ledger is: alive, ready, its counts, and the end of its chain of evidence."""

from __future__ import annotations

from typing import Annotated

from anyio.to_thread import run_sync
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from api.http.context import UsesDoor, plain
from api.http.openapi import EVIDENCE, HEALTH, SUMMARY
from api.metrics.readiness import Readiness
from api.schemas.queries import TimedQuery
from api.security.auth import requires
from ledger.store.hash_chain import genesis

router = APIRouter(tags=["status"])


@router.get("/healthz", responses={200: HEALTH})
async def healthz() -> Response:
    """The process answers."""
    return plain({"status": "ok"})


@router.get("/readyz", responses={200: HEALTH})
async def readyz(request: Request) -> Response:
    """Commands are answered; what else is wrong is named, and degrades only."""
    readiness: Readiness = request.app.state.readiness
    return plain(await readiness.answer())


@router.get("/v1/summary", dependencies=[requires("viewer")], responses={200: SUMMARY})
async def summary(query: Annotated[TimedQuery, Query()], door: UsesDoor) -> Response:
    """How many jobs stand where, what fires next, the newest failures; now, or then."""
    return plain(await door.ask(door.answers.summary, **query.when()))


@router.get("/v1/evidence/head", dependencies=[requires("viewer")], responses={200: EVIDENCE})
async def evidence_head(door: UsesDoor) -> Response:
    """The last position and its chain value: what a checkpoint signs."""
    book = door.ledger.book
    last = await run_sync(book.tail_position)
    found = await run_sync(lambda: book.read(after=last - 1, limit=1) if last else [])
    chain = found[0].chain if found else genesis(book.ledger_id)
    return plain({"ledger_id": str(book.ledger_id), "position": last, "chain": chain.hex()})
