"""Which executor runs a job, what happens where there is none, and that no executor can break its
dispatcher.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from ledger.clock import SystemClock
from ledger.dispatch.executors.addresses import AllowList
from ledger.dispatch.executors.noop import NoopExecutor
from ledger.dispatch.executors.outcomes import Blocked, Outcome
from ledger.dispatch.executors.registry import Executors, ExecutorSettings
from ledger.domain.job.outcomes import Failure, Success
from ledger.errors import StartRefused
from tests.support.run_tickets import a_run_ticket
from tests.support.servers.http_targets import SECRET, Target, http

BARE = ExecutorSettings(signing_secret=SECRET)


async def executed(
    executor: dict[str, Any] | None, settings: ExecutorSettings = BARE, **more: Any
) -> Outcome:
    executors = Executors(settings, clock=SystemClock(), **more)
    try:
        return await executors.execute(a_run_ticket(executor))
    finally:
        await executors.aclose()


def outcome_of(
    executor: dict[str, Any] | None, *settings: ExecutorSettings, **more: Any
) -> Outcome:
    return asyncio.run(executed(executor, *settings, **more))


def test_noop_succeeds_without_output_and_takes_no_slot() -> None:
    executors = Executors(BARE, clock=SystemClock())

    assert executors.is_instant(a_run_ticket({"kind": "noop"}))
    assert outcome_of({"kind": "noop"}) == NoopExecutor.result
    assert NoopExecutor.result == Success(
        output="",
        output_bytes=0,
        output_sha256="e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        duration_ms=0,
    )


@pytest.mark.parametrize(
    "executor",
    [None, {}, {"kind": ["x"]}, {"kind": "http"}, {"kind": "command"}, {"kind": "worker"}],
)
def test_nothing_else_is_instant(executor: dict[str, Any] | None) -> None:
    assert not Executors(BARE, clock=SystemClock()).is_instant(a_run_ticket(executor))


def test_a_job_without_an_executor_goes_to_the_agent_whose_address_needs_no_permission() -> None:
    agent = Target(http("200 OK", b"hi"))

    async def scenario() -> Outcome:
        async with agent.listening():
            url = f"http://127.0.0.1:{agent.port}/trigger"
            return await executed(None, replace(BARE, agent_url=url))

    outcome = asyncio.run(scenario())

    assert isinstance(outcome, Success)
    assert outcome.output == "hi"
    assert agent.job_cache[0].startswith("POST /trigger HTTP/1.1\r\n")


def test_the_agents_address_is_permitted_on_its_own_port_only() -> None:
    settings = replace(BARE, agent_url="http://127.0.0.1:3100/")

    outcome = outcome_of({"kind": "http", "url": "http://127.0.0.1:3101/"}, settings)

    assert isinstance(outcome, Blocked)


@pytest.mark.parametrize(
    ("executor", "words"),
    [
        (None, "JOBLEDGER_AGENT_URL"),
        ({"kind": "command", "argv": ["true"]}, "JOBLEDGER_COMMANDS"),
        ({"kind": "worker", "queue": "gpu"}, "no executor of kind worker"),
        ({"kind": "python", "handler": "a:b"}, "The handler a:b is unknown to this node"),
        ({"kind": "http", "url": "http://10.0.0.1/"}, "JOBLEDGER_HTTP_ALLOW"),
        ({"kind": "http", "url": "http://127.1/"}, "executor.url"),
        ({"kind": "http", "url": "http://a.example/", "method": "GET"}, "executor.method"),
        ({"kind": ["http"]}, "no executor of kind"),
        ({}, "no executor of kind"),
    ],
)
def test_a_run_without_a_permitted_executor_is_blocked_with_a_cause(
    executor: dict[str, Any] | None, words: str
) -> None:
    outcome = outcome_of(executor)

    assert isinstance(outcome, Blocked)
    assert words in outcome.cause


def test_commands_run_where_they_are_enabled() -> None:
    settings = replace(BARE, commands_enabled=True)

    outcome = outcome_of({"kind": "command", "argv": ["echo", "hi"]}, settings)

    assert isinstance(outcome, Success)
    assert outcome.output == "hi\n"


def test_a_fault_inside_an_executor_is_a_failed_run_not_a_dead_dispatcher() -> None:
    async def broken(host: str, port: int) -> tuple[str, ...]:
        raise RuntimeError("the resolver is broken")

    outcome = outcome_of({"kind": "http", "url": "http://a.example/"}, resolve=broken)

    assert isinstance(outcome, Failure)
    assert outcome.failure_class == "other"
    assert "the resolver is broken" in outcome.error


@pytest.mark.parametrize("url", ["", "agent:3100", "http://u:p@agent/", "http://127.1/"])
def test_a_garbled_agent_url_stops_the_start(url: str) -> None:
    with pytest.raises(StartRefused, match="JOBLEDGER_AGENT_URL"):
        Executors(replace(BARE, agent_url=url), clock=SystemClock())


def test_the_signing_secret_is_not_shown() -> None:
    assert "MfKQ9r8G" not in repr(replace(BARE, allow=AllowList.parse("a.example")))
