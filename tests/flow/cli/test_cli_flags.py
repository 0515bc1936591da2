"""Each flag of each question reaches the API, here a server that only records requests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from api.cli.exit_codes import Exit
from tests.flow.cli.test_cli_documented import COMMON, commands
from tests.support.servers.mailbox import Letter, Mailbox, a_mailbox
from tests.support.typed_commands import Shell

JOB = "00000000-0000-4000-8000-00000000000a"
AT, LATER = "2026-03-02T12:00:00Z", "2026-03-02T13:00:00Z"
NO = b'{"code": "not_found", "detail": "There is nothing here."}'
NINE = b'{"events": [], "next": null, "position": 9}'
END: tuple[str, dict[str, Any]] = ("/v1/events", {"limit": "1"})
"""The first request of an export: the end of the ledger."""
Asked = tuple[str, dict[str, Any]]

PAGE: dict[str, tuple[str, Any]] = {"--limit": ("limit", "7"), "--cursor": ("cursor", "99")}
AS_OF: dict[str, tuple[str, Any]] = {"--as-of": ("as_of", AT)}
PERIOD: dict[str, tuple[str, Any]] = {"--since": ("since", AT), "--until": ("until", LATER)}
OF_JOB: dict[str, tuple[str, Any]] = {"--job": ("job", JOB)}
EVENTS: dict[str, tuple[str, Any]] = {
    **OF_JOB, **PERIOD, "--actor": ("actor", "olga"), "--kind": ("kind", "user"),
    "--topic": ("topic", "job.paused"), "--source": ("source", "cli"),
    "--correlation-id": ("correlation_id", "c-1"),
    "--failure-class": ("failure_class", "timeout"),
}  # fmt: skip


@dataclass(frozen=True)
class Question:
    """What is typed, the requested path, and by flag the name and value of the parameter."""

    words: str
    path: str
    flags: dict[str, tuple[str, Any]] = field(default_factory=dict)
    here: tuple[str, ...] = ()
    """Flags that change the output alone."""

    @property
    def command(self) -> str:
        """What is typed, without what it is about."""
        return self.words.partition(" S-1")[0].partition(" R-1")[0].removesuffix(f" {JOB}")


QUESTIONS = (
    Question("summary", "/v1/summary", AS_OF),
    Question("list", "/v1/jobs", {
        **PAGE, **AS_OF, "--status": ("status", "failed"), "--tag": ("tag", "red"),
        "--name": ("q", "night"), "--failure-class": ("failure_class", "timeout"),
    }),
    Question(f"show {JOB}", f"/v1/jobs/{JOB}", AS_OF),
    Question(f"history {JOB}", f"/v1/jobs/{JOB}/events", {
        **AS_OF, "--newest": ("order", "desc"), "--cursor": ("cursor", "99"),
    }, here=("--all", "--limit")),
    Question(f"blame {JOB}", f"/v1/jobs/{JOB}/blame", AS_OF),
    Question(f"runs {JOB}", f"/v1/jobs/{JOB}/runs", {**PAGE, **AS_OF}),
    Question(f"why {JOB}", f"/v1/jobs/{JOB}/why", {"--at": ("at", AT)}),
    Question("resumes", "/v1/resumes", {
        **PAGE, **AS_OF, **PERIOD, **OF_JOB, "--actor": ("actor", "olga"),
        "--failure-class": ("failure_class", "timeout"), "--outcome": ("outcome", "held"),
    }),
    Question("gaps", "/v1/gaps", {
        **PAGE, **AS_OF, **PERIOD, **OF_JOB, "--tag": ("tag", "red"),
        "--cause": ("cause", "paused"),
    }),
    Question("audit", "/v1/events", {**PAGE, **EVENTS, "--order": ("order", "desc")},
             here=("--format",)),
    Question("export --format jsonl", "/v1/events", EVENTS,
             here=("--format", "--output", "--force", "--tag")),
    Question("storm list", "/v1/storms", {**PAGE, **AS_OF, "--open": ("open", "true")}),
    Question("storm show S-1", "/v1/storms/S-1", AS_OF),
    Question("recovery list", "/v1/recoveries", {**PAGE, **AS_OF}),
    Question("recovery show R-1", "/v1/recoveries/R-1", AS_OF),
    Question("diff --from 1", "/v1/diff", {
        **PAGE, "--from": ("from", AT), "--to": ("to", LATER), "--tag": ("tag", "red"),
        "--actor": ("actor", "olga"),
    }),
    Question("what-if --trip-after 3", "/v1/what-if", {
        "--limit": ("limit", 7), "--cursor": ("cursor", "99"), **PERIOD, "--tag": ("tag", "red"),
        "--job": ("job_ids", [JOB]), "--trip-after": ("policy", {"trip_after": 4}),
        "--backoff": ("policy", {"trip_after": 3, "backoff_seconds": [60]}),
        "--max-losses": ("policy", {"trip_after": 3, "max_losses": 4}),
        "--probe-after": ("policy", {"trip_after": 3, "probe_after_seconds": 900}),
        "--csv": ("format", "csv"),
    }, here=("--not-counting",)),
    Question("replay --since 2026-03-02T11:00:00Z", "/v1/events", PERIOD,
             here=("--storm", "--speed")),
)  # fmt: skip
VALUES = {
    "--limit": "7", "--as-of": AT, "--at": AT, "--from": AT, "--since": AT, "--until": LATER,
    "--trip-after": "4", "--backoff": "60s", "--max-losses": "4", "--probe-after": "15m",
    "--job": JOB,
}  # fmt: skip
"""What is typed for a flag, where it is not the value of the parameter."""
BARE = ("--open", "--newest", "--csv")
"""Flags that are typed alone."""


@pytest.fixture
def server() -> Iterator[Mailbox]:
    """A server that answers that nothing was found."""
    with a_mailbox() as recording:
        recording.reply = lambda letter: (200, NINE) if asked(letter) == END else (404, NO)
        yield recording


@pytest.fixture
def shell(tmp_path: Path, server: Mailbox) -> Shell:
    return Shell(tmp_path, JOBLEDGER_URL=server.url, JOBLEDGER_TOKEN="word")


def asked(letter: Letter) -> Asked:
    """The path of a request and its parameters, wherever they are."""
    address = urlsplit(letter.path)
    return address.path, json.loads(letter.body) if letter.body else dict(parse_qsl(address.query))


def typed(flag: str, value: Any) -> tuple[str, ...]:
    return (flag,) if flag in BARE else (flag, VALUES.get(flag, str(value)))


@pytest.mark.parametrize(
    ("question", "flag"),
    [
        pytest.param(question, flag, id=f"{question.command} {flag}")
        for question in QUESTIONS
        for flag in question.flags
    ],
)
def test_a_flag_reaches_the_request(
    shell: Shell, server: Mailbox, question: Question, flag: str
) -> None:
    name, value = question.flags[flag]

    answered = shell.type(*question.words.split(), *typed(flag, value))

    assert answered.code == Exit.NOT_FOUND, answered
    path, query = asked(server.letters[-1])
    assert (path, query.get(name)) == (question.path, value)


def test_a_flag_that_is_not_given_is_not_in_the_request(shell: Shell, server: Mailbox) -> None:
    for question in QUESTIONS:
        shell.type(*question.words.split())

    quiet = {"limit", "order", "format", "from", "policy", "since", "until"}
    for path, query in map(asked, server.letters):
        assert query.keys() <= quiet, path


def test_every_flag_of_every_question_is_tested_here() -> None:
    known = {question.command.split(" --")[0]: question for question in QUESTIONS}
    for words, command in commands():
        question = known.pop(words, None)
        if question is not None:
            flags = {flag for one in command.params for flag in one.opts if flag[:2] == "--"}
            assert flags - set(COMMON) == {*question.flags, *question.here}, words
    assert not known
