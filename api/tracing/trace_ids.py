"""The trace id and span ids of a run, derived from its run id, so that any node can add spans."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from uuid import UUID

from opentelemetry.sdk.trace.id_generator import RandomIdGenerator


@dataclass(frozen=True, slots=True)
class RunTraceId:
    """The ids of a run's trace, and of the spans of its claim and of its execution."""

    trace_id: int
    claim_id: int
    run_id: int

    @classmethod
    def of(cls, run_id: str) -> RunTraceId:
        """The same on every node, and after every restart."""
        return cls(UUID(run_id).int, _span_id(run_id, "claim"), _span_id(run_id, "run"))


def _span_id(run_id: str, name: str) -> int:
    """Eight bytes, never all zero, which OpenTelemetry forbids."""
    return int.from_bytes(sha256(f"{name} {run_id}".encode()).digest()[:8]) or 1


class IdGenerator(RandomIdGenerator):
    """Random ids, except for a span started inside `chosen` in the same thread."""

    def __init__(self) -> None:
        self._local = threading.local()

    @contextmanager
    def chosen(self, trace_id: int, span_id: int) -> Iterator[None]:
        """The next span gets this span id, and without a parent this trace id."""
        self._local.pair = (trace_id, span_id)
        try:
            yield
        finally:
            self._local.pair = None

    def generate_trace_id(self) -> int:
        pair = getattr(self._local, "pair", None)
        return pair[0] if pair else super().generate_trace_id()

    def generate_span_id(self) -> int:
        pair = getattr(self._local, "pair", None)
        return pair[1] if pair else super().generate_span_id()
