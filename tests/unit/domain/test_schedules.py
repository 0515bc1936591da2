"""A schedule is read strictly, refused in one sentence, and written back with its defaults."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.domain.schedule.cron_grammar import parse_cron
from ledger.domain.schedule.schedules import At, Cron, Every, Schedule, parse_schedule, plain
from ledger.errors import Invalid, InvalidField, ScheduleInvalid, UnknownField

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)

WRITTEN: list[tuple[dict[str, Any], Schedule]] = [
    ({"kind": "at", "at": "2026-01-31T12:00:00Z"}, At(NOON)),
    ({"kind": "at", "at": "2026-01-31T13:00:00+01:00"}, At(NOON)),
    ({"kind": "at", "at": "2026-01-31T12:00:00.000001Z"}, At(NOON.replace(microsecond=1))),
    ({"kind": "every", "interval_seconds": 60}, Every(60)),
    ({"kind": "every", "interval_seconds": 1.001}, Every(1.001)),
    ({"kind": "every", "interval_seconds": 60, "anchor": "grid"}, Every(60, "grid")),
    ({"kind": "every", "interval_seconds": 60, "anchor_at": None}, Every(60)),
    (
        {
            "kind": "every",
            "interval_seconds": 60,
            "anchor": "grid",
            "anchor_at": "2026-01-31T12:00:00Z",
        },
        Every(60, "grid", NOON),
    ),
    ({"kind": "cron", "expr": "0 9 * * *"}, Cron("0 9 * * *", "UTC", "vixie")),
    ({"kind": "cron", "expr": " \t0  9\t* * mon-FRI "}, Cron("0 9 * * mon-FRI")),
    ({"kind": "cron", "expr": "@daily", "tz": "Asia/Tokyo"}, Cron("@daily", "Asia/Tokyo")),
    ({"kind": "cron", "expr": "5 4 * * 7", "dst": "skip"}, Cron("5 4 * * 7", dst="skip")),
]


@pytest.mark.parametrize(("written", "schedule"), WRITTEN)
def test_a_schedule_is_read_from_json(written: dict[str, Any], schedule: Schedule) -> None:
    assert parse_schedule(written) == schedule


@pytest.mark.parametrize(("_written", "schedule"), WRITTEN)
def test_what_is_written_reads_back_equal(_written: object, schedule: Schedule) -> None:
    assert parse_schedule(plain(schedule)) == schedule


def test_defaults_are_written_out() -> None:
    every = {"kind": "every", "interval_seconds": 60, "anchor": "end"}
    cron = {"kind": "cron", "expr": "@daily", "tz": "UTC", "dst": "vixie"}

    assert plain(Every(60.0)) == every
    assert plain(Cron("@daily")) == cron
    assert plain(Every(60, "grid", NOON))["anchor_at"] == "2026-01-31T12:00:00Z"


@given(st.integers(1_000, 10**12), st.sampled_from(["end", "grid"]))
def test_every_whole_millisecond_is_an_interval(milliseconds: int, anchor: str) -> None:
    schedule = parse_schedule(
        {"kind": "every", "interval_seconds": milliseconds / 1000, "anchor": anchor}
    )

    assert parse_schedule(plain(schedule)) == schedule


@pytest.mark.parametrize(
    "interval",
    [0, 0.999, -1, 1.0005, 10**12, 10**400, 1e300, float("nan"), float("inf"), True, False],
)
def test_an_interval_finer_than_a_millisecond_or_too_long_is_refused(interval: float) -> None:
    with pytest.raises(ScheduleInvalid, match="interval_seconds"):
        parse_schedule({"kind": "every", "interval_seconds": interval})


@pytest.mark.parametrize(
    "at",
    ["", "tomorrow", "2026-01-31", "2026-01-31T12:00:00", "2026-02-30T12:00:00Z", "\ud800"]
    + ["0001-01-01T00:00:00+05:00", "9999-12-31T23:59:59-05:00", "2026-01-31T12:00:00Z" * 9],
)
def test_an_instant_must_be_one_and_carry_an_offset(at: str) -> None:
    with pytest.raises(ScheduleInvalid, match="write it with an offset"):
        parse_schedule({"kind": "at", "at": at})


@pytest.mark.parametrize(
    "tz",
    ["", "europe/berlin", "Europe/Nowhere", "Europe", "localtime", "posixrules", "Factory"]
    + ["posix/Europe/Berlin", "right/Europe/Berlin", "/usr/share/zoneinfo/UTC", "../UTC"]
    + ["Europe/../UTC", "UTC/", "zone.tab", "tzdata.zi", "leapseconds", "UTC\x00", "UTC\n"]
    + ["\ud800", "Ｕ", "UTC+1", "A" * 5000],
)
def test_a_time_zone_must_be_an_iana_name(tz: str) -> None:
    with pytest.raises(ScheduleInvalid, match="is not a known time zone"):
        parse_schedule({"kind": "cron", "expr": "* * * * *", "tz": tz})


@pytest.mark.parametrize(
    ("written", "field"),
    [
        ({"kind": "at", "at": "2026-01-31T12:00:00Z", "tz": "UTC"}, "schedule.tz"),
        ({"kind": "every", "interval_seconds": 60, "expr": "@daily"}, "schedule.expr"),
        ({"kind": "cron", "expr": "@daily", "Tz": "UTC"}, "schedule.Tz"),
    ],
)
def test_an_unknown_key_is_named(written: dict[str, object], field: str) -> None:
    with pytest.raises(UnknownField) as refused:
        parse_schedule(written)

    assert refused.value.facts["field"] == field


@pytest.mark.parametrize(
    ("written", "field"),
    [
        ("@daily", "schedule"),
        ([], "schedule"),
        ({}, "schedule.kind"),
        ({"kind": 1}, "schedule.kind"),
        ({"kind": "at"}, "schedule.at"),
        ({"kind": "at", "at": 1_700_000_000}, "schedule.at"),
        ({"kind": "every"}, "schedule.interval_seconds"),
        ({"kind": "every", "interval_seconds": "60"}, "schedule.interval_seconds"),
        ({"kind": "every", "interval_seconds": 60, "anchor": None}, "schedule.anchor"),
        (
            {"kind": "every", "interval_seconds": 60, "anchor": "grid", "anchor_at": 5},
            "schedule.anchor_at",
        ),
        ({"kind": "cron", "expr": ["@daily"]}, "schedule.expr"),
        ({"kind": "cron", "expr": "@daily", "tz": None}, "schedule.tz"),
        ({"kind": "cron", "expr": "@daily", "dst": 1}, "schedule.dst"),
    ],
)
def test_a_missing_key_or_a_wrong_type_is_named(written: object, field: str) -> None:
    with pytest.raises(InvalidField) as refused:
        parse_schedule(written)

    assert refused.value.facts["field"] == field


@pytest.mark.parametrize(
    "written",
    [
        {"kind": "weekly"},
        {"kind": "every", "interval_seconds": 60, "anchor": "start"},
        {"kind": "every", "interval_seconds": 60, "anchor_at": "2026-01-31T12:00:00Z"},
        {"kind": "cron", "expr": "@daily", "dst": "quartz"},
        {"kind": "cron", "expr": "@reboot"},
        {"kind": "cron", "expr": "@Daily"},
    ],
)
def test_an_unknown_keyword_is_refused(written: dict[str, object]) -> None:
    with pytest.raises(ScheduleInvalid, match=r"\.$"):
        parse_schedule(written)


@given(st.dictionaries(st.text() | st.sampled_from(["kind", "expr", "at", "tz"]), st.text()))
def test_anything_else_is_refused_by_name_and_never_crashes(written: dict[str, str]) -> None:
    with pytest.raises(Invalid):
        parse_schedule(written)


@given(st.text(alphabet="0123456789*/-,@ \tmonjansuRLW#?", max_size=40))
def test_any_text_is_cron_or_is_refused(expr: str) -> None:
    with suppress(ScheduleInvalid):
        fields = parse_cron(expr)
        assert fields.minutes
        assert fields.weekdays <= set(range(7))


@pytest.mark.parametrize(
    ("expr", "same"),
    [
        ("05 04 * * *", "5 4 * * *"),
        ("* * * * 7", "* * * * 0"),
        ("* * * * 0-7", "* * * * *"),
        ("* * * * 5-7", "* * * * fri,sat,sun"),
        ("* * * JAN-mar Mon-5", "* * * 1-3 1-5"),
        ("*/1 * * * *", "* * * * *"),
        ("1-7/3 * * * *", "1,4,7 * * * *"),
        ("0 0 * * */7", "0 0 * * */7"),
        ("*,5 * * * *", "* * * * *"),
        ("0 * * * *", "@hourly"),
        ("0 0 * * sun", "@weekly"),
        ("0 0 1 1 *", "@annually"),
    ],
)
def test_two_spellings_of_the_same_fields(expr: str, same: str) -> None:
    assert parse_cron(expr) == parse_cron(same)


@pytest.mark.parametrize(
    ("expr", "follows_minutes", "needs_both_days"),
    [
        ("0 0 1 1 1", False, False),
        ("* 0 1 1 1", True, False),
        ("0 */5 1 1 1", True, False),
        ("*,5 0 1 1 1", True, False),
        ("5,* 5,* 5,* * 5,*", False, False),
        ("0 0 */2 1 1", False, True),
        ("0 0 1 1 *,5", False, True),
        ("@daily", False, True),
        ("@hourly", True, True),
    ],
)
def test_only_a_star_at_the_beginning_counts(
    expr: str, follows_minutes: bool, needs_both_days: bool
) -> None:
    fields = parse_cron(expr)

    assert (fields.follows_minutes, fields.needs_both_days) == (follows_minutes, needs_both_days)


@pytest.mark.parametrize(
    "expr",
    ["5/10 * * * *", "*/60 * * * *", "* */24 * * *", "* * * * */8", "*5 * * * *", "*-5 * * * *"]
    + ["1-2-3 * * * *", "1- * * * *", "-5 * * * *", "1/ * * * *", "*/ * * * *", "*//2 * * * *"]
    + ["mon * * * *", "* * mon * *", "* * * mon *", "* * * * jan", "* * * * sunday"]
    + ["* * * * 8", "* * 32 * *", "* * * 13 *", "* * * * fri-sun", "* * * * *\n", "\n* * * * *"]
    + ["* * * * L", "* * 15W * *", "* * * * 5#2", "H * * * *", "+5 * * * *", "٣ * * * *"]
    + [
        "* * * * * 2026",
        "*\v* * * *",
        "1 ,2 * * * *",
        ", * * * *",
        "@",
        "@daily @daily",
        "~ * * * *",
    ],
)
def test_an_invalid_cron_expression_is_refused(expr: str) -> None:
    with pytest.raises(ScheduleInvalid, match=r"^cron .*\.$"):
        parse_cron(expr)
