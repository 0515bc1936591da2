"""Exports spans to the collector: a bounded queue, a thread of its own, and a bounded shutdown."""

from __future__ import annotations

import threading

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter

from api.tracing.spans import Spans
from api.tracing.trace_ids import IdGenerator
from ledger.clock import SystemClock
from ledger.store.instrumentation import Instrumentation

QUEUE = 8192
"""Spans that may wait; beyond it, the oldest are dropped."""
BATCH = 512
PAUSE_SECONDS = 1.0
"""How long a span waits for others in its batch."""
EXPORT_SECONDS = 5.0
"""How long the export of one batch may take, retries included."""
CLOSE_SECONDS = 3.0
"""How long a shutdown waits for a collector that hangs."""
SERVICE = "jobledger"
UNKNOWN = "unknown_service"


class Tracing:
    """Exports spans to the URL `collector`. OpenTelemetry's own variables set the rest: headers,
    sampler, service name, resource attributes. `also` receives every call of the spans, too.
    """

    def __init__(self, collector: str, also: Instrumentation) -> None:
        self.close_seconds = CLOSE_SECONDS
        ids = IdGenerator()
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
        self.spans = Spans(self._provider, ids, SystemClock(), also)

    def close(self) -> None:
        """Send the queued spans for up to `close_seconds`; spans left after that are lost."""
        sending = threading.Thread(
            target=self._provider.shutdown, name="tracing-close", daemon=True
        )
        sending.start()
        sending.join(self.close_seconds)
        if sending.is_alive():
            self._exporter.shutdown()  # ends its wait between two attempts


def _resource() -> Resource:
    """The resource of OpenTelemetry's variables, with our service name unless they set one."""
    resource = Resource.create()
    is_named = not str(resource.attributes.get(SERVICE_NAME, UNKNOWN)).startswith(UNKNOWN)
    return resource if is_named else resource.merge(Resource({SERVICE_NAME: SERVICE}))
