"""The metrics of one server, in a registry of its own."""

from __future__ import annotations

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, ProcessCollector
from prometheus_client import generate_latest as _written

from api.bootstrap import ServerParts
from api.metrics.gauges import StateCollector
from api.metrics.histograms import Histograms
from api.stream.tail import Tail

MEDIA_TYPE = CONTENT_TYPE_LATEST


class Metrics:
    """Measures from now on; `text` is a scrape."""

    def __init__(self, parts: ServerParts, tail: Tail) -> None:
        self._registry = CollectorRegistry()
        measures = Histograms(self._registry)
        parts.tell(measures)
        self._registry.register(StateCollector(parts, tail))
        ProcessCollector(registry=self._registry)

    def text(self) -> bytes:
        """Every metric, in the text form of Prometheus. Reads the book: for a thread."""
        return _written(self._registry)
