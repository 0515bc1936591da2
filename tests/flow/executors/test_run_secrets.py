"""Runs that name secrets: they get them, and no other part does (TH3)."""

from __future__ import annotations

import asyncio
import base64
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from api.cli.output.logs import LineFormatter
from api.demo.waiting import wait_for
from ledger import Ledger
from ledger.clock import SystemClock
from ledger.dispatch.dispatcher import Dispatcher
from ledger.dispatch.executors.outcomes import Blocked, Outcome, RunTicket
from ledger.dispatch.executors.registry import Executors, ExecutorSettings
from ledger.dispatch.executors.secrets import Secrets
from ledger.domain.job.outcomes import Failure, Success
from ledger.store.audit_query import AuditQuery
from tests.support.builders import MINUTE, ManualClock, a_spec, open_ledger
from tests.support.command_runs import a_ticket
from tests.support.servers.http_targets import LOCAL, Target, http

KEY = "sk-live-+/4711-äö&=%"
SECRETS = Secrets(None, {"API_KEY": KEY, "ASCII": "sk-live-4711-abcdef"})
LIMIT_SECONDS = 120.0
TICKET = a_ticket(["-"])


async def executed(executor: dict[str, Any]) -> Outcome:
    settings = replace(
        ExecutorSettings.of_this_process(),
        secrets=SECRETS,
        commands_enabled=True,
        allow=LOCAL,
        handlers={"tell": tell},
    )
    executors = Executors(settings, clock=SystemClock())
    try:
        return await executors.execute(replace(TICKET, executor=executor))
    finally:
        await executors.aclose()


def outcome_of(executor: dict[str, Any]) -> Outcome:
    return asyncio.run(executed(executor))


def tell(ticket: RunTicket) -> str:
    raise RuntimeError(f"I know {KEY}")


def test_a_command_gets_its_secret_and_its_output_is_redacted() -> None:
    script = 'test "$KEY" = "$WANTED" && printf "%s %s" equal "$KEY"'
    env = {"KEY": "secret://api-key", "WANTED": KEY}

    outcome = outcome_of({"kind": "command", "argv": ["sh", "-c", script], "env": env})

    assert isinstance(outcome, Success), outcome
    assert outcome.output == "equal [secret:api_key]"


@pytest.mark.parametrize(
    "text", [KEY, quote(KEY, safe=""), base64.b64encode(f"user:{KEY}".encode()).decode()]
)
def test_the_error_of_a_failed_command_is_redacted(text: str) -> None:
    argv = ["sh", "-c", 'printf %s "$0" >&2; exit 3', text]

    outcome = outcome_of({"kind": "command", "argv": argv})

    assert isinstance(outcome, Failure)
    assert "[secret:api_key]" in outcome.error
    assert KEY not in outcome.error
    assert text not in outcome.error


def test_a_missing_secret_blocks_the_run_before_anything_is_executed(tmp_path: Path) -> None:
    made = tmp_path / "made"
    env = {"KEY": "secret://nowhere"}

    outcome = outcome_of({"kind": "command", "argv": ["touch", str(made)], "env": env})

    assert isinstance(outcome, Blocked)
    assert "secrets/nowhere" in outcome.cause
    assert "JOBLEDGER_SECRET_NOWHERE" in outcome.cause
    assert not made.exists()


def test_the_error_of_a_handler_is_redacted() -> None:
    outcome = outcome_of({"kind": "python", "handler": "tell"})

    assert isinstance(outcome, Failure)
    assert outcome.error == "Error: RuntimeError: I know [secret:api_key]"


@pytest.mark.parametrize("status", ["200 OK", "500 Internal Server Error"])
def test_a_target_gets_the_secret_and_its_echo_is_redacted(status: str) -> None:
    target = Target(http(status, b"you said sk-live-4711-abcdef"))
    headers = {"X-Key": "Bearer secret://ascii"}

    async def scenario() -> Outcome:
        async with target.listening():
            url = f"http://127.0.0.1:{target.port}/"
            return await executed({"kind": "http", "url": url, "headers": headers})

    outcome = asyncio.run(scenario())

    assert target.headers()["x-key"] == "Bearer sk-live-4711-abcdef"
    said = outcome.output if isinstance(outcome, Success) else getattr(outcome, "error", "")
    assert "you said [secret:ascii]" in said


def ended(ledger: Ledger) -> int:
    return sum(job.last_run is not None for job in ledger.job_cache.snapshot())


PLANTED = {f"PLANTED_{number}": f"sk-{number:03}-/+ä=&{number * 7919}" for number in range(100)}
ECHO = """
printf '%s|' "$KEY"; printf %s "user:$KEY" | base64 -w 0
printf '%s' "$KEY" >&2; exit "$0"
"""


def test_no_secret_is_stored_anywhere(tmp_path: Path) -> None:
    clock = ManualClock()
    settings = replace(
        ExecutorSettings.of_this_process(), secrets=Secrets(None, PLANTED), commands_enabled=True
    )
    with open_ledger(tmp_path, clock) as ledger:
        for number, name in enumerate(PLANTED):
            argv = ["sh", "-c", ECHO, str(number % 2)]
            command = {"kind": "command", "argv": argv, "env": {"KEY": f"secret://{name.lower()}"}}
            ledger.schedule(a_spec(name=f"job {number}", executor=command))
        dispatcher = Dispatcher(ledger, settings)
        clock.advance(MINUTE)
        dispatcher.start()
        wait_for("All outcomes", lambda: ended(ledger) == len(PLANTED), seconds=LIMIT_SECONDS)
        dispatcher.drain(0)
        text = str(list(ledger.queries.export(AuditQuery())))

    raw = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    for name, value in PLANTED.items():
        assert f"[secret:{name.lower()}]" in text, "its echo was recorded, and taken out"
        for form in (value, base64.b64encode(f"user:{value}".encode()).decode()[4:-4]):
            assert form.encode() not in raw, name


def test_log_lines_are_redacted() -> None:
    record = logging.LogRecord("x", logging.INFO, "", 0, f"sent {KEY}", None, None)

    assert "sent [secret:api_key]" in LineFormatter(SECRETS.redact).format(record)
