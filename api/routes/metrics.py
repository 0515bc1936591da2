"""The metrics, for Prometheus to scrape with a viewer's token."""

from __future__ import annotations

from anyio.to_thread import run_sync
from fastapi import APIRouter, Request
from starlette.responses import Response

from api.http.openapi import METRICS
from api.metrics.exposition import MEDIA_TYPE, Metrics
from api.security.auth import requires

router = APIRouter(tags=["status"])


@router.get("/metrics", dependencies=[requires("viewer")], responses={200: METRICS})
async def metrics(request: Request) -> Response:
    """How the ledger does, in numbers to alarm on."""
    kept: Metrics = request.app.state.metrics
    return Response(await run_sync(kept.text), headers={"Content-Type": MEDIA_TYPE})
