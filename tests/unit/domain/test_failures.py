"""How failures are classified, which ones share a signature, and when a target allows a retry."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.domain.job.failures import (
    FAILURE_CLASSES,
    class_of_status,
    class_of_text,
    parse_retry_after,
    signature,
)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (429, "rate_limited"),
        (401, "unauthorized"),
        (402, "unauthorized"),
        (403, "unauthorized"),
        (302, "client_error"),
        (400, "client_error"),
        (404, "client_error"),
        (408, "client_error"),
        (500, "server_error"),
        (504, "server_error"),
        (529, "server_error"),
        (101, "other"),
        (999, "other"),
    ],
)
def test_a_status_has_its_class(status: int, expected: str) -> None:
    assert class_of_status(status) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Error: 429 Too Many Requests", "rate_limited"),
        ("Error: Rate limit exceeded", "rate_limited"),
        ('Error: {"type":"rate_limit_error"}', "rate_limited"),
        ("Error: monthly quota used up", "rate_limited"),
        ("Error: 529 Overloaded", "rate_limited"),
        ("Error: request timed out after 120 s", "timeout"),
        ("Error: timeout", "timeout"),
        ("Error: Unauthorized", "unauthorized"),
        ("Error: HTTP 401", "unauthorized"),
        ("Error: HTTP 402", "unauthorized"),
        ("Error: HTTP 403", "unauthorized"),
        ("Error: connection refused", "unreachable"),
        ("Error: connect ECONNRESET", "unreachable"),
        ("Error: HTTP 503 from upstream", "server_error"),
        ("Error: the dog ate it", "other"),
        ("Error: order 14290 is missing", "other"),
        ("Error:", "other"),
        ("429 rows written", "other"),
        ("an Error: rate limit", "other"),
        ("error: rate limit", "other"),
        ("", "other"),
    ],
)
def test_a_text_is_classified_by_its_content(text: str, expected: str) -> None:
    assert class_of_text(text) == expected


@given(st.text())
def test_every_text_has_a_known_class(text: str) -> None:
    assert class_of_text("Error:" + text) in FAILURE_CLASSES


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("HTTP 429: retry in 30 s", "HTTP 429: retry in 7 s"),
        ("took 1.5s", "took 12s"),
        ("offset -4 refused", "offset 17 refused"),
        ("request req_011CSHoEeqs5C35K2 failed", "request req_99xYz1 failed"),
        (
            "run 6f1f3d0e-8c56-5f43-9a55-0b6a52c7d001 died",
            "run 00000000-0000-4000-8000-aaaaaaaaaaaa died",
        ),
        ("at 0x7ffe1234: fault", "at 0xdeadbeef: fault"),
        ("commit deadbeefcafe lost", "commit 0123456789abcdef lost"),
        ('no field "alpha" here', 'no field "beta gamma" here'),
        ("no field 'alpha' here", "no field 'b' here"),
        ("no field `alpha` here", "no field `b` here"),
        ("since 2026-03-01T12:00:00Z closed", "since 2025-12-31 23:59:59.123+01:00 closed"),
        ("until Sun, 01 Mar 2026 12:00:00 GMT", "until Mon, 12 Apr 2027 01:02:03 GMT"),
        ("GET https://a.example/x?y=1 failed", "GET https://b.example/other failed"),
        ("lines\r\n\tapart", "lines apart"),
        ("10.0.0.1:8080 is full", "192.168.1.20:9 is full"),
    ],
)
def test_one_cause_on_two_jobs_has_one_signature(one: str, other: str) -> None:
    marks = [
        signature("other", target="api.example", message=message, job_name=name)
        for message, name in ((one, "daily report"), (other, "nightly sync"))
    ]

    assert marks[0] == marks[1]


def test_the_jobs_own_name_does_not_change_a_signature() -> None:
    one = signature(
        "other", target=None, message="job Daily Report 7 broke", job_name="daily report 7"
    )
    other = signature("other", target=None, message="job sync(eu) broke", job_name="sync(eu)")

    assert one == other


@pytest.mark.parametrize("name", ["a", "42", "429"])
def test_a_name_that_occurs_in_every_message_is_not_replaced(name: str) -> None:
    message = "HTTP 429: a 42nd try"

    assert signature("other", target=None, message=message, job_name=name) == signature(
        "other", target=None, message=message, job_name="another"
    )


@pytest.mark.parametrize(
    "change",
    [{"failure_class": "timeout"}, {"target": "b.example"}, {"message": "the cat ate it"}],
)
def test_another_class_target_or_cause_is_another_signature(change: dict[str, str]) -> None:
    base = {"failure_class": "other", "target": "a.example", "message": "the dog ate it"}

    def of(facts: dict[str, str]) -> str:
        return signature(
            facts["failure_class"], target=facts["target"], message=facts["message"], job_name="x"
        )

    assert of(base) != of(base | change)


@given(st.text(), st.text(), st.none() | st.text())
def test_a_signature_is_one_short_line(message: str, name: str, target: str | None) -> None:
    mark = signature("server_error", target=target, message=message, job_name=name)

    assert len(mark) <= 200
    assert not any(ord(letter) < 32 for letter in mark)
    assert mark.startswith("server_error ")


@pytest.mark.parametrize(
    "piece", ["9", "'", '"', "a", "a1-", "<n>", "<n>.", "deadbeef", "http://", " ", "+-", "\u0661"]
)
def test_a_megabyte_costs_what_four_kilobytes_cost(piece: str) -> None:
    long = piece * (1_000_000 // len(piece))

    assert signature("other", target=None, message=long, job_name="x") == signature(
        "other", target=None, message=long[:4096], job_name="x"
    )


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("0", NOON),
        ("120", NOON + timedelta(seconds=120)),
        (" 5 ", NOON + timedelta(seconds=5)),
        ("86400", NOON + timedelta(hours=24)),
        ("9999999999", NOON + timedelta(hours=24)),
        (format_datetime(NOON + timedelta(hours=1), usegmt=True), NOON + timedelta(hours=1)),
        (format_datetime(NOON + timedelta(days=400), usegmt=True), NOON + timedelta(hours=24)),
        ("Sunday, 01-Mar-26 13:00:00 GMT", NOON + timedelta(hours=1)),
        ("Sun Mar  1 13:00:00 2026", NOON + timedelta(hours=1)),
        (None, None),
        ("", None),
        ("-1", None),
        ("1.5", None),
        ("+5", None),
        ("\u0665", None),
        ("9" * 5000, None),
        ("soon", None),
        ("Sun, 99 Mar 2026 99:00:00 GMT", None),
        (format_datetime(NOON - timedelta(hours=1), usegmt=True), None),
    ],
)
def test_retry_after_names_an_instant_within_a_day(
    value: str | None, expected: datetime | None
) -> None:
    assert parse_retry_after(value, now=NOON) == expected


@given(st.text())
def test_a_garbled_retry_after_never_gives_an_instant_beyond_a_day(value: str) -> None:
    at = parse_retry_after(value, now=NOON)

    assert at is None or NOON <= at <= NOON + timedelta(hours=24)
