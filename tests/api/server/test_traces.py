"""Spans of commands, runs and deliveries, as a local collector receives them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from threading import Thread
from typing import Any
from uuid import UUID

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from api.bootstrap import open_server_parts
from api.demo.waiting import wait_for
from api.settings import COLLECTOR, load_settings
from tests.api.harness import Api
from tests.support.builders import ManualClock
from tests.support.servers.mailbox import LIMIT_SECONDS, Mailbox, a_mailbox, attributes
from tests.support.typed_commands import Shell

ROOT = Path(__file__).parents[3]
TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLER = "b7ad6b7169203331"
CARRIED = {"traceparent": f"00-{TRACE}-{CALLER}-01"}


class Traced(Api):
    """A server that exports its spans, with its dispatcher and notifier stepped by hand."""

    collector: Mailbox

    def run(self, job_id: str) -> None:
        """Request a run, and have it executed, recorded and delivered."""
        answer = self.post(f"/v1/jobs/{job_id}/run", headers=CARRIED)
        assert answer.status_code == 202, answer.text
        dispatcher, notifier = self.parts.dispatcher, self.parts.notifier
        assert dispatcher is not None
        assert notifier is not None
        notifier.run_once()
        dispatcher.run_once()
        wait_for("The outcome", dispatcher.run_once, seconds=LIMIT_SECONDS)
        notifier.run_once()

    def pause_in_one_batch(self, jobs: Sequence[str]) -> None:
        """Pause jobs so that the writer takes all commands in one batch."""
        asked = [("POST", f"/v1/jobs/{job}/pause", {"headers": CARRIED}) for job in jobs]
        asking = Thread(target=self.ask_all, args=[asked])
        with self.busy_writer():
            asking.start()
            writer = self.ledger.writer
            wait_for("The queue", lambda: writer.waiting_count == len(jobs), seconds=LIMIT_SECONDS)
        asking.join()

    def spans(self) -> dict[str, list[Span]]:
        """All spans by name, after closing the server."""
        self.close()
        found: dict[str, list[Span]] = {}
        for span in self.collector.spans():
            found.setdefault(span.name, []).append(span)
        return found


@contextmanager
def traced(
    folder: Path, collector: Mailbox, *, channel: str = "", close_seconds: float = LIMIT_SECONDS
) -> Iterator[Traced]:
    data = folder / "data"
    data.mkdir(mode=0o700)
    (data / "jobledger.toml").write_text(f'[channels]\nops = "{channel or "json://127.0.0.1:9"}"\n')
    environ = {COLLECTOR: collector.url, "JOBLEDGER_HTTP_ALLOW": "127.0.0.1"}
    clock = ManualClock()
    parts = open_server_parts(load_settings(environ, {"data": data}), clock=clock)
    api = Traced(parts, clock, data)
    api.collector = collector
    assert parts.tracing is not None
    parts.tracing.close_seconds = close_seconds
    try:
        yield api
    finally:
        api.close()


@pytest.fixture
def collector() -> Iterator[Mailbox]:
    with a_mailbox() as box:
        yield box


@pytest.fixture
def target() -> Iterator[Mailbox]:
    with a_mailbox() as box:
        box.answer = b"all is well"
        yield box


def at(target: Mailbox) -> dict[str, Any]:
    return {
        "executor": {"kind": "http", "url": f"{target.url}/run"},
        "delivery": {"channel": "ops"},
        "schedule": {"kind": "every", "interval_seconds": 9999},
    }


def test_a_command_continues_its_callers_trace_and_has_its_append_below(
    tmp_path: Path, collector: Mailbox
) -> None:
    with traced(tmp_path, collector) as api:
        job_id = api.schedule()
        api.post(f"/v1/jobs/{job_id}/pause", headers={**CARRIED, "X-Request-Id": "r-1"})
        spans = api.spans()

    [command] = spans["POST /v1/jobs/{job_id}/pause"]
    [append] = [one for one in spans["append"] if one.trace_id == command.trace_id]
    assert (command.trace_id.hex(), command.parent_span_id.hex()) == (TRACE, CALLER)
    assert command.kind == Span.SPAN_KIND_SERVER
    assert attributes(command) == {
        "http.request.method": "POST",
        "http.route": "/v1/jobs/{job_id}/pause",
        "http.response.status_code": 200,
        "jobledger.job_id": job_id,
        "jobledger.correlation_id": "r-1",
    }
    assert append.parent_span_id == command.span_id
    assert [link.span_id for link in append.links] == [command.span_id]
    assert attributes(append)["jobledger.commands"] == 1
    assert collector.service() == "jobledger"


def test_commands_of_one_batch_share_one_append_linked_with_all(
    tmp_path: Path, collector: Mailbox
) -> None:
    with traced(tmp_path, collector) as api:
        jobs = [api.schedule(name) for name in ("one", "two", "three")]
        api.pause_in_one_batch(jobs)
        spans = api.spans()

    commands = spans["POST /v1/jobs/{job_id}/pause"]
    [append] = [one for one in spans["append"] if len(one.links) == len(jobs)]
    assert {link.span_id for link in append.links} == {one.span_id for one in commands}
    assert attributes(append)["jobledger.commands"] == len(jobs)


def test_a_run_has_its_own_trace_from_claim_to_delivery(
    tmp_path: Path, collector: Mailbox, target: Mailbox
) -> None:
    channel = target.url.replace("http://", "json://")
    with traced(tmp_path, collector, channel=channel) as api:
        job_id = api.schedule(**at(target))
        api.run(job_id)
        run_id = api.ledger.history(job_id)[-1]["data"]["run_id"]
        topics = api.topics(job_id)
        spans = api.spans()

    [command] = spans["POST /v1/jobs/{job_id}/run"]
    [claim], [run], [delivery] = spans["claim"], spans["run"], spans["delivery"]
    assert topics[-1] == "job.delivered"
    assert {one.trace_id for one in (claim, run, delivery)} == {UUID(run_id).bytes}
    assert claim.parent_span_id == b""
    assert (run.parent_span_id, delivery.parent_span_id) == (claim.span_id, run.span_id)
    steps = {one.span_id for one in spans["dispatch"]}
    assert {link.span_id for link in claim.links} & steps
    assert command.span_id in {link.span_id for link in claim.links}
    [append] = [one for one in spans["append"] if one.parent_span_id == _linked(claim, steps)]
    assert append.trace_id != claim.trace_id
    known = {
        "jobledger.run_id": run_id,
        "jobledger.job_id": job_id,
        "jobledger.attempt": 1,
        "jobledger.trigger": "manual",
    }
    assert known.items() <= attributes(claim).items()
    assert known.items() <= attributes(run).items()
    assert attributes(run)["jobledger.outcome"] == "succeeded"
    assert attributes(delivery)["jobledger.is_sent"] is True
    sent = next(one for one in target.letters if one.path == "/run").headers["traceparent"]
    assert sent.split("-")[1:3] == [run.trace_id.hex(), run.span_id.hex()]


def _linked(span: Span, among: set[bytes]) -> bytes:
    return bytes(next(link.span_id for link in span.links if link.span_id in among))


def test_the_span_of_a_failed_run_has_its_failure_class(
    tmp_path: Path, collector: Mailbox, target: Mailbox
) -> None:
    target.status = 429
    with traced(tmp_path, collector) as api:
        api.run(api.schedule(**at(target)))
        [run] = api.spans()["run"]

    assert attributes(run)["jobledger.failure_class"] == "rate_limited"
    assert run.status.code == Status.STATUS_CODE_ERROR


def test_a_refused_command_has_its_code_and_no_link_to_a_run(
    tmp_path: Path, collector: Mailbox, target: Mailbox
) -> None:
    with traced(tmp_path, collector) as api:
        job_id = api.schedule(**at(target))
        api.post(f"/v1/jobs/{job_id}/pause")
        assert api.post(f"/v1/jobs/{job_id}/run").status_code == 409
        api.post(f"/v1/jobs/{job_id}/resume")
        api.run(job_id)
        spans = api.spans()

    refused, asked = sorted(
        spans["POST /v1/jobs/{job_id}/run"], key=lambda one: one.start_time_unix_nano
    )
    [claim] = spans["claim"]
    assert attributes(refused)["jobledger.code"] == "job_paused"
    linked = {link.span_id for link in claim.links}
    assert asked.span_id in linked
    assert refused.span_id not in linked


def test_a_command_of_an_unsampled_trace_is_not_traced(tmp_path: Path, collector: Mailbox) -> None:
    with traced(tmp_path, collector) as api:
        job_id = api.schedule()
        unsampled = {"traceparent": f"00-{TRACE}-{CALLER}-00"}
        assert api.post(f"/v1/jobs/{job_id}/pause", headers=unsampled).status_code == 200
        spans = api.spans()

    assert "POST /v1/jobs" in spans
    assert "POST /v1/jobs/{job_id}/pause" not in spans


@pytest.mark.parametrize("said", ["", "nonsense", f"00-{'0' * 32}-{CALLER}-01", "00-" + "x" * 9999])
def test_an_invalid_traceparent_starts_a_new_trace(
    tmp_path: Path, collector: Mailbox, said: str
) -> None:
    with traced(tmp_path, collector) as api:
        job_id = api.schedule()
        answer = api.post(f"/v1/jobs/{job_id}/pause", headers={"traceparent": said})
        [command] = api.spans()["POST /v1/jobs/{job_id}/pause"]

    assert answer.status_code == 200
    assert command.parent_span_id == b""


def test_a_collector_that_hangs_delays_neither_commands_nor_the_shutdown(
    tmp_path: Path, collector: Mailbox
) -> None:
    collector.may_answer.clear()
    with traced(tmp_path, collector, close_seconds=0.05) as api:
        job_id = api.schedule()
        assert collector.has_come.wait(LIMIT_SECONDS)

        answer = api.post(f"/v1/jobs/{job_id}/pause")
        api.close()

    assert answer.status_code == 200
    assert collector.answered_count == 0


def test_an_unreachable_collector_changes_nothing(tmp_path: Path) -> None:
    with a_mailbox() as gone:
        pass
    with traced(tmp_path, gone, close_seconds=0.05) as api:
        assert api.post(f"/v1/jobs/{api.schedule()}/pause").status_code == 200


def test_the_span_ids_of_a_run_follow_from_its_run_id() -> None:
    from api.tracing.trace_ids import RunTraceId

    run_id = "9f2c7c8e-3a60-5a61-9a3b-0c54c1a8c9b0"

    ids = RunTraceId.of(run_id)

    assert f"{ids.trace_id:032x}" == run_id.replace("-", "")
    assert ids.run_id == int.from_bytes(sha256(f"run {run_id}".encode()).digest()[:8])
    assert ids.claim_id != ids.run_id


# -- without a collector --------------------------------------------------------------------------

SERVER = """
import sys
from pathlib import Path
from api.app import create_app
from api.bootstrap import open_server_parts
from api.settings import load_settings
settings = load_settings({environ!r}, {{"data": Path({data!r})}})
parts = open_server_parts(settings)
create_app(parts, settings)
parts.close(0)
"""
LIBRARY = """
import sys
import ledger.dispatch.notifications.notifier, ledger.dispatch.dispatcher, ledger.store.postgres
import projections.read_models
from ledger import Ledger
"""
TELL = "print(sorted(name for name in sys.modules if name.startswith({names!r})))"
HEAVY = ("opentelemetry.sdk", "opentelemetry.exporter", "opentelemetry.proto", "api.tracing")
"""The expensive parts; FastAPI itself imports the API package."""


def loaded(program: str, names: tuple[str, ...]) -> str:
    """The modules with these prefixes that a program imports in a new process."""
    command = [sys.executable, "-c", program + TELL.format(names=names)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_a_server_without_a_collector_does_not_import_opentelemetrys_sdk(tmp_path: Path) -> None:
    without = SERVER.format(environ={}, data=str(tmp_path / "a"))
    environ = {COLLECTOR: "http://127.0.0.1:9"}
    having = SERVER.format(environ=environ, data=str(tmp_path / "b"))

    assert loaded(without, HEAVY) == "[]"
    assert "opentelemetry.sdk" in loaded(having, HEAVY)


def test_the_ledger_itself_imports_nothing_of_opentelemetry() -> None:
    assert loaded(LIBRARY, ("opentelemetry",)) == "[]"


def test_a_command_on_the_folder_itself_makes_no_spans(tmp_path: Path, collector: Mailbox) -> None:
    shell = Shell(tmp_path, **{COLLECTOR: collector.url})

    shell.ok("schedule", "report", "--every", "1h", "--noop")

    assert collector.letters == []
