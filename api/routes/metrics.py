"""The metrics, which Prometheus scrapes with a viewer's token."""

from __future__ import annotations

from anyio.to_thread import run_sync
from fastapi import APIRouter, Request
from starlette.responses import Response

from api.http.openapi import METRICS, PROMETHEUS_TEXT
from api.metrics.histograms import Metrics
from api.security.auth import requires

router = APIRouter(tags=["status"])


@router.get("/metrics", dependencies=[requires("viewer")], responses={200: METRICS})
async def scrape_metrics(request: Request) -> Response:
    """The metrics of this server in the text format of Prometheus."""
    metrics: Metrics = request.app.state.metrics
    return Response(await run_sync(metrics.text), headers={"Content-Type": PROMETHEUS_TEXT})
