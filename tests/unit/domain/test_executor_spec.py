"""The executor map of a job: what is accepted and what is refused, by name."""

from __future__ import annotations

from typing import Any

import pytest

from ledger.domain.job.executor_spec import parse_executor
from ledger.errors import InvalidField, UnknownField

URL = "https://agent.example/run"


@pytest.mark.parametrize(
    "plain",
    [
        {"kind": "noop"},
        {"kind": "http", "url": URL},
        {"kind": "http", "url": URL, "headers": {"Authorization": "Bearer x", "X-Empty": ""}},
        {"kind": "command", "argv": ["echo", "", "a b\n;$(x)", "ü"]},
        {"kind": "command", "argv": ["true"], "env": {"A_1": "x\ny"}, "cwd": "/srv"},
        {"kind": "python", "handler": "reports.daily:run"},
        {"kind": "worker", "queue": "gpu-1"},
    ],
)
def test_a_valid_executor_is_stored_as_it_was_given(plain: dict[str, Any]) -> None:
    assert parse_executor(plain) == plain


@pytest.mark.parametrize(
    ("plain", "field"),
    [
        ({"kind": "noop", "url": URL}, "executor.url"),
        ({"kind": "http", "url": URL, "Headers": {}}, "executor.Headers"),
        ({"kind": "command", "argv": ["x"], "shell": True}, "executor.shell"),
        ({"kind": "noop", "\ud800\n": 1}, "executor.'\\ud800\\n'"),
    ],
)
def test_an_unknown_key_is_refused_by_its_name(plain: dict[str, Any], field: str) -> None:
    with pytest.raises(UnknownField) as refusal:
        parse_executor(plain)

    assert refusal.value.facts["field"] == field
    refusal.value.message.encode()


@pytest.mark.parametrize(
    ("plain", "field"),
    [
        ({}, "executor.kind"),
        ({"kind": "Noop"}, "executor.kind"),
        ({"kind": ["noop"]}, "executor.kind"),
        ({"kind": "http"}, "executor.url"),
        ({"kind": "http", "url": 7}, "executor.url"),
        ({"kind": "http", "url": "ftp://agent.example"}, "executor.url"),
        ({"kind": "http", "url": URL, "headers": []}, "executor.headers"),
        ({"kind": "http", "url": URL, "headers": None}, "executor.headers"),
        ({"kind": "http", "url": URL, "headers": {"": "x"}}, "executor.headers"),
        ({"kind": "http", "url": URL, "headers": {"a b": "x"}}, "executor.headers"),
        ({"kind": "http", "url": URL, "headers": {"A\r\nB": "x"}}, "executor.headers"),
        ({"kind": "http", "url": URL, "headers": {"A": "x", "a": "y"}}, "executor.headers"),
        ({"kind": "http", "url": URL, "headers": {"A": "x\r\nB: y"}}, "executor.headers.A"),
        ({"kind": "http", "url": URL, "headers": {"A": "x\0"}}, "executor.headers.A"),
        ({"kind": "http", "url": URL, "headers": {"A": "\ud800"}}, "executor.headers.A"),
        ({"kind": "http", "url": URL, "headers": {"A": "ü"}}, "executor.headers.A"),
        ({"kind": "http", "url": URL, "headers": {"A": "x" * 4097}}, "executor.headers.A"),
        ({"kind": "http", "url": URL, "headers": {"A": 1}}, "executor.headers.A"),
        ({"kind": "command"}, "executor.argv"),
        ({"kind": "command", "argv": []}, "executor.argv"),
        ({"kind": "command", "argv": "rm -rf /"}, "executor.argv"),
        ({"kind": "command", "argv": ["x"] * 257}, "executor.argv"),
        ({"kind": "command", "argv": [""]}, "executor.argv[0]"),
        ({"kind": "command", "argv": ["a\nb"]}, "executor.argv[0]"),
        ({"kind": "command", "argv": ["x", "a\0b"]}, "executor.argv[1]"),
        ({"kind": "command", "argv": ["x", "\udcff"]}, "executor.argv[1]"),
        ({"kind": "command", "argv": ["x", "y" * 8193]}, "executor.argv[1]"),
        ({"kind": "command", "argv": ["x", 1]}, "executor.argv[1]"),
        ({"kind": "command", "argv": ["x"], "env": {"A=B": "x"}}, "executor.env"),
        ({"kind": "command", "argv": ["x"], "env": {"1A": "x"}}, "executor.env"),
        ({"kind": "command", "argv": ["x"], "env": {"JOBLEDGER_RUN_ID": "x"}}, "executor.env"),
        ({"kind": "command", "argv": ["x"], "env": {"A": "x\0"}}, "executor.env.A"),
        ({"kind": "command", "argv": ["x"], "cwd": "relative"}, "executor.cwd"),
        ({"kind": "command", "argv": ["x"], "cwd": "/a\nb"}, "executor.cwd"),
        ({"kind": "python", "handler": ""}, "executor.handler"),
        ({"kind": "python", "handler": "a b"}, "executor.handler"),
        ({"kind": "worker", "queue": "x" * 129}, "executor.queue"),
        ({"kind": "worker", "queue": None}, "executor.queue"),
    ],
)
def test_a_bad_value_is_refused_by_its_field(plain: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidField) as refusal:
        parse_executor(plain)

    assert refusal.value.facts["field"] == field
    refusal.value.message.encode()


@pytest.mark.parametrize(
    "name",
    ["Host", "content-length", "Transfer-Encoding", "WEBHOOK-ID", "webhook-signature"]
    + ["Webhook-Timestamp", "Idempotency-Key", "Connection", "Proxy-Authorization", "Expect"],
)
def test_a_job_cannot_set_the_headers_that_sign_frame_or_route(name: str) -> None:
    with pytest.raises(InvalidField, match="cannot be overridden"):
        parse_executor({"kind": "http", "url": URL, "headers": {name: "x"}})


def test_an_executor_of_another_kind_is_refused_where_only_one_will_do() -> None:
    with pytest.raises(InvalidField, match="must be command"):
        parse_executor({"kind": "noop"}, only="command")
