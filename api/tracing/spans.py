"""Makes a span of each append, claim, execution of a run, and delivery."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from contextlib import AbstractContextManager
from uuid import UUID

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from api.tracing.trace_ids import IdGenerator, RunTraceId
from ledger.clock import Clock
from ledger.domain.job.state import OpenRun
from ledger.store.instrumentation import (
    CommandBatch,
    DeliverySent,
    Instrumentation,
    NoInstrumentation,
    RunEnded,
)

MAX_LINKS = 128
"""Links of one append's span to the commands in its batch."""
MAX_OPEN = 10_000
"""Open spans of runs; beyond it, the oldest is dropped."""
MAX_REQUESTED = 1_000
"""Requests of runs that are remembered until the claim."""
ERRORS = frozenset({"failed", "lost", "blocked"})
NANOSECONDS = 1_000_000_000

propagator = TraceContextTextMapPropagator()


class Spans(NoInstrumentation):
    """Instrumentation that makes spans, and passes every call on to `also`."""

    def __init__(
        self, provider: TracerProvider, ids: IdGenerator, clock: Clock, also: Instrumentation
    ) -> None:
        self.tracer = provider.get_tracer("jobledger")
        self._sampler = provider.sampler
        self._ids = ids
        self._clock = clock
        self._also = also
        self._lock_seconds = 0.0
        self._open: OrderedDict[str, Span] = OrderedDict()
        self._requested: OrderedDict[str, SpanContext] = OrderedDict()

    # -- commands and appends -------------------------------------------------------------------

    def caller(self) -> object:
        """The current span, or None."""
        context = get_current_span().get_span_context()
        return context if context.is_valid else None

    def waited_for_append_lock(self, seconds: float) -> None:
        self._also.waited_for_append_lock(seconds)
        self._lock_seconds += seconds

    def batch_answered(self, batch: CommandBatch) -> None:
        """One span per batch, below its first sampled command, linked with all of its commands."""
        self._also.batch_answered(batch)
        callers = [one for one in batch.callers if isinstance(one, SpanContext)][:MAX_LINKS]
        sampled = [one for one in callers if one.trace_flags.sampled]
        ended_at = self._now()
        span = self.tracer.start_span(
            "append",
            context=_under(next(iter([*sampled, *callers]), None)),
            attributes={
                "jobledger.commands": batch.command_count,
                "jobledger.lock_wait_seconds": self._lock_seconds,
            },
            links=_links(callers),
            start_time=ended_at - _nanoseconds(batch.seconds),
        )
        self._lock_seconds = 0.0
        span.end(ended_at)

    # -- runs -----------------------------------------------------------------------------------

    def request_run(self, job_id: str, context: SpanContext) -> None:
        """Remember the command that requests a run, to link the run's claim with it."""
        self._requested[job_id] = context
        if len(self._requested) > MAX_REQUESTED:
            self._requested.popitem(last=False)

    def forget_request(self, job_id: str) -> None:
        """Forget a command that was refused."""
        self._requested.pop(job_id, None)

    def step(self) -> AbstractContextManager[object]:
        return self.tracer.start_as_current_span(
            "dispatch", context=Context(), record_exception=False
        )

    def claimed(self, lag_seconds: float) -> None:
        self._also.claimed(lag_seconds)

    def run_began(self, job_id: UUID, run: OpenRun) -> str | None:
        """Two spans in the run's own trace: the claim, from the start of the step until now, and
        below it the run, until it ends.
        """
        ids, step = RunTraceId.of(run.run_id), get_current_span()
        attributes = _attributes(job_id, run)
        with self._ids.chosen(ids.trace_id, ids.claim_id):
            claim = self.tracer.start_span(
                "claim",
                context=Context(),
                attributes=attributes,
                links=_links([step.get_span_context(), *self._request_of(job_id, run)]),
                start_time=step.start_time if isinstance(step, ReadableSpan) else None,
            )
        claim.end()
        under = set_span_in_context(claim, Context())
        with self._ids.chosen(ids.trace_id, ids.run_id):
            self._open[run.run_id] = span = self.tracer.start_span(
                "run", context=under, attributes=attributes
            )
        if len(self._open) > MAX_OPEN:
            self._open.popitem(last=False)
        return _traceparent(span)

    def run_ended(self, run_id: str, ended: RunEnded) -> None:
        span = self._open.pop(run_id, None)
        if span is None:
            return
        span.set_attribute("jobledger.outcome", ended.outcome)
        if ended.failure_class is not None:
            span.set_attribute("jobledger.failure_class", ended.failure_class)
        if ended.outcome in ERRORS:
            span.set_status(Status(StatusCode.ERROR, ended.failure_class))
        began_at = span.start_time if isinstance(span, ReadableSpan) else None
        is_measured = began_at is not None and ended.duration_ms is not None
        span.end((began_at or 0) + (ended.duration_ms or 0) * 1_000_000 if is_measured else None)

    def delivered(self, sent: DeliverySent) -> None:
        """A span below the run's, whichever node executed it."""
        self._also.delivered(sent)
        ended_at = self._now()
        span = self.tracer.start_span(
            "delivery",
            context=_under(self._run_context(sent.run_id)),
            kind=SpanKind.CLIENT,
            attributes={
                "jobledger.run_id": sent.run_id,
                "jobledger.job_id": str(sent.job_id),
                "jobledger.channel": sent.channel,
                "jobledger.is_sent": sent.is_sent,
            },
            start_time=ended_at - _nanoseconds(sent.seconds),
        )
        if not sent.is_sent:
            span.set_status(Status(StatusCode.ERROR))
        span.end(ended_at)

    def _request_of(self, job_id: UUID, run: OpenRun) -> list[SpanContext]:
        context = self._requested.pop(str(job_id), None) if run.trigger == "manual" else None
        return [context] if context is not None else []

    def _run_context(self, run_id: str) -> SpanContext:
        """The context of the run's span, sampled as on the node that made it."""
        ids = RunTraceId.of(run_id)
        decision = self._sampler.should_sample(None, ids.trace_id, "claim").decision
        is_sampled = decision is Decision.RECORD_AND_SAMPLE
        flags = TraceFlags(TraceFlags.SAMPLED if is_sampled else TraceFlags.DEFAULT)
        return SpanContext(ids.trace_id, ids.run_id, is_remote=True, trace_flags=flags)

    def _now(self) -> int:
        return int(self._clock.now().timestamp() * NANOSECONDS)


def _under(parent: SpanContext | None) -> Context:
    return set_span_in_context(NonRecordingSpan(parent), Context()) if parent else Context()


def _links(contexts: Sequence[SpanContext]) -> list[Link]:
    return [Link(context) for context in contexts if context.is_valid]


def _attributes(job_id: UUID, run: OpenRun) -> dict[str, str | int]:
    return {
        "jobledger.run_id": run.run_id,
        "jobledger.job_id": str(job_id),
        "jobledger.attempt": run.attempt,
        "jobledger.trigger": run.trigger,
        "jobledger.node": run.node,
    }


def _traceparent(span: Span) -> str | None:
    carrier: dict[str, str] = {}
    propagator.inject(carrier, set_span_in_context(span, Context()))
    return carrier.get("traceparent")


def _nanoseconds(seconds: float) -> int:
    return int(seconds * NANOSECONDS)
