"""Health, readiness, metrics, the summary of the jobs, and the head of the hash chain."""

from __future__ import annotations

from anyio.to_thread import run_sync
from fastapi import APIRouter, Request
from starlette.responses import Response

from api.http.context import GivenTime, InContext, plain
from api.http.openapi import EVIDENCE, HEALTH, METRICS, PROMETHEUS_TEXT, SUMMARY
from api.metrics.histograms import Metrics
from api.metrics.readiness import Readiness
from api.security.auth import requires
from ledger.store.hash_chain import genesis

router = APIRouter(tags=["status"])


@router.get("/healthz", responses={200: HEALTH})
async def health() -> Response:
    """The process answers."""
    return plain({"status": "ok"})


@router.get("/readyz", responses={200: HEALTH})
async def readiness(request: Request) -> Response:
    """Whether commands are answered; other problems are listed and only degrade."""
    checks: Readiness = request.app.state.readiness
    return plain(await checks.answer())


@router.get("/v1/summary", dependencies=[requires("viewer")], responses={200: SUMMARY})
async def summarize_jobs(query: GivenTime, context: InContext) -> Response:
    """Jobs by status, the next fire, and the newest failures."""
    return plain(await context.ask(context.queries.summary, **query.when()))


@router.get("/v1/evidence/head", dependencies=[requires("viewer")], responses={200: EVIDENCE})
async def show_evidence_head(context: InContext) -> Response:
    """The last position and its value in the hash chain."""
    event_store = context.ledger.event_store
    last = await run_sync(event_store.tail_position)
    found = await run_sync(lambda: event_store.read(after=last - 1, limit=1) if last else [])
    chain = found[0].chain if found else genesis(event_store.ledger_id)
    return plain({"ledger_id": str(event_store.ledger_id), "position": last, "chain": chain.hex()})


@router.get("/metrics", dependencies=[requires("viewer")], responses={200: METRICS})
async def scrape_metrics(request: Request) -> Response:
    """The metrics of this server in the text format of Prometheus."""
    metrics: Metrics = request.app.state.metrics
    return Response(await run_sync(metrics.text), headers={"Content-Type": PROMETHEUS_TEXT})
