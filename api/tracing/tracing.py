"""The way of spans to the collector: a bounded queue, a thread of its own, and an end that waits
for nobody.
"""

from __future__ import annotations

import threading

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter

from api.tracing.spans import Spans
from api.tracing.trace_ids import Ids
from ledger.clock import SystemClock

QUEUE = 8192
"""Spans that may wait; with more, the oldest are dropped."""
BATCH = 512
PAUSE_SECONDS = 1.0
"""How long a span waits for others to travel with."""
EXPORT_SECONDS = 5.0
"""How long one batch is tried."""
CLOSE_SECONDS = 3.0
"""How long the end waits for a collector that hangs."""
SERVICE = "jobledger"
UNKNOWN = "unknown_service"


class Tracing:
    """Spans that go to the collector at `collector`, the whole address for traces. OpenTelemetry's
    own variables say the rest: headers, sampler, service name, resource attributes.
    """

    def __init__(self, collector: str) -> None:
        self.close_seconds = CLOSE_SECONDS
        ids = Ids()
        self._exporter: SpanExporter = OTLPSpanExporter(endpoint=collector, timeout=EXPORT_SECONDS)
        self._provider = TracerProvider(
            resource=_resource(), id_generator=ids, shutdown_on_exit=False
        )
        self._provider.add_span_processor(
            BatchSpanProcessor(
                self._exporter,
                max_queue_size=QUEUE,
                max_export_batch_size=BATCH,
                schedule_delay_millis=PAUSE_SECONDS * 1000,
            )
        )
        self.spans = Spans(self._provider, ids, SystemClock())

    def close(self) -> None:
        """Send what waits, for so long as `close_seconds`; then whatever is left is lost."""
        sending = threading.Thread(
            target=self._provider.shutdown, name="tracing-close", daemon=True
        )
        sending.start()
        sending.join(self.close_seconds)
        if sending.is_alive():
            self._exporter.shutdown()  # ends its waiting between two tries


def _resource() -> Resource:
    """What OpenTelemetry's variables say of this process; named after us unless they name it."""
    said = Resource.create()
    is_named = not str(said.attributes.get(SERVICE_NAME, UNKNOWN)).startswith(UNKNOWN)
    return said if is_named else said.merge(Resource({SERVICE_NAME: SERVICE}))
