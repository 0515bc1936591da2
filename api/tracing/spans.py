"""Makes spans of what the ledger tells: each batch an append, each run a claim and an execution,
each delivery one of its own.
"""

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

from api.tracing.trace_ids import Ids, RunTraceId
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
"""Callers of one batch that its span names."""
MAX_OPEN = 10_000
"""Runs whose spans are held open; with more, the oldest is given up."""
MAX_ASKED = 1_000
"""Requested runs that are remembered with the command that asked."""
ERRORS = frozenset({"failed", "lost", "blocked"})
NANOSECONDS = 1_000_000_000

propagator = TraceContextTextMapPropagator()


class Spans(NoInstrumentation):
    """A watch that makes spans, and tells `also` what it hears."""

    def __init__(self, provider: TracerProvider, ids: Ids, clock: Clock) -> None:
        self.also: Instrumentation = NoInstrumentation()
        self.tracer = provider.get_tracer("jobledger")
        self._sampler = provider.sampler
        self._ids = ids
        self._clock = clock
        self._turn_seconds = 0.0
        self._open: OrderedDict[str, Span] = OrderedDict()
        self._asked: OrderedDict[str, SpanContext] = OrderedDict()

    # -- commands and appends -------------------------------------------------------------------

    def caller(self) -> object:
        """The span under which commands are handed in; None when there is none."""
        context = get_current_span().get_span_context()
        return context if context.is_valid else None

    def waited_for_turn(self, seconds: float) -> None:
        self.also.waited_for_turn(seconds)
        self._turn_seconds += seconds

    def took_batch(self, batch: CommandBatch) -> None:
        """One span a batch, under its first caller that is sampled, linked with all of them."""
        self.also.took_batch(batch)
        callers = [one for one in batch.callers if isinstance(one, SpanContext)][:MAX_LINKS]
        sampled = [one for one in callers if one.trace_flags.sampled]
        ended_at = self._now()
        span = self.tracer.start_span(
            "append",
            context=_under(next(iter([*sampled, *callers]), None)),
            attributes={
                "jobledger.commands": batch.command_count,
                "jobledger.lock_wait_seconds": self._turn_seconds,
            },
            links=_links(callers),
            start_time=ended_at - _nanoseconds(batch.seconds),
        )
        self._turn_seconds = 0.0
        span.end(ended_at)

    # -- runs -----------------------------------------------------------------------------------

    def asks(self, job_id: str, context: SpanContext) -> None:
        """A command asks for a run of a job: the claim of it will be linked with the command."""
        self._asked[job_id] = context
        if len(self._asked) > MAX_ASKED:
            self._asked.popitem(last=False)

    def asks_no_more(self, job_id: str) -> None:
        """The command was refused."""
        self._asked.pop(job_id, None)

    def step(self) -> AbstractContextManager[object]:
        return self.tracer.start_as_current_span(
            "dispatch", context=Context(), record_exception=False
        )

    def claimed(self, lag_seconds: float) -> None:
        self.also.claimed(lag_seconds)

    def run_began(self, job_id: UUID, run: OpenRun) -> str | None:
        """Two spans in the run's own trace: the claim, from the step's beginning until now, and
        under it the run, until it has ended.
        """
        place, step = RunTraceId.of(run.run_id), get_current_span()
        attributes = _attributes(job_id, run)
        with self._ids.chosen(place.trace_id, place.claim_id):
            claim = self.tracer.start_span(
                "claim",
                context=Context(),
                attributes=attributes,
                links=_links([step.get_span_context(), *self._who_asked(job_id, run)]),
                start_time=step.start_time if isinstance(step, ReadableSpan) else None,
            )
        claim.end()
        under = set_span_in_context(claim, Context())
        with self._ids.chosen(place.trace_id, place.run_id):
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
        """A span under the run's, whichever node executed it."""
        self.also.delivered(sent)
        ended_at = self._now()
        span = self.tracer.start_span(
            "delivery",
            context=_under(self._place_in(sent.run_id)),
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

    def _who_asked(self, job_id: UUID, run: OpenRun) -> list[SpanContext]:
        asked = self._asked.pop(str(job_id), None) if run.trigger == "manual" else None
        return [asked] if asked is not None else []

    def _place_in(self, run_id: str) -> SpanContext:
        """The run's span as its own node made it, and as sampled there."""
        place = RunTraceId.of(run_id)
        decision = self._sampler.should_sample(None, place.trace_id, "claim").decision
        is_sampled = decision is Decision.RECORD_AND_SAMPLE
        flags = TraceFlags(TraceFlags.SAMPLED if is_sampled else TraceFlags.DEFAULT)
        return SpanContext(place.trace_id, place.run_id, is_remote=True, trace_flags=flags)

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
