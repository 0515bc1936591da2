"""The fields of a new job and of a change: every field, its defaults, and merge patches."""

from __future__ import annotations

from typing import Any

import pytest
from pytest import raises

from ledger.domain.job.breaker import parse_policy
from ledger.domain.job.spec import FIELDS, parse_patch, parse_spec
from ledger.errors import InvalidField, LedgerError, TooLarge, UnknownField

ANCHOR = "2026-03-02T12:00:00Z"
MINUTELY = {"kind": "every", "interval_seconds": 60}
NEEDED = {"name": "report", "schedule": MINUTELY}


def invalid(field: str, *values: Any) -> list[tuple[str, Any, str]]:
    """One case for each value that the field refuses."""
    return [(field, value, "invalid_field") for value in values]


GOOD: list[tuple[str, Any]] = [
    ("name", "a"),
    ("name", "Ünïcödé – 报告 🙂"),
    ("name", "x" * 200),
    ("description", None),
    ("description", ""),
    ("description", "two\nlines"),
    ("description", "x" * 4096),
    ("task", ""),
    ("task", "x" * 32 * 1024),
    ("executor", None),
    ("executor", {"kind": "noop"}),
    ("delivery", None),
    ("tags", []),
    ("tags", ["a", "b c", "é" * 64]),
    ("enabled", False),
    ("delete_after_run", True),
]

BAD: list[tuple[str, Any, str]] = [
    *invalid("name", "", " ", " a", "a ", "a\nb", "x" * 201),
    *invalid("name", None, 1, ["a"], "a\x00", "a\u202eb"),
    ("name", "\ud800", "invalid_field"),
    *invalid("description", 1, [], {}, "a\x00", "\udfff", True),
    ("description", "x" * 4097, "too_large"),
    ("description", "é" * 2049, "too_large"),
    *invalid("task", None, 1, [], "\x00", "\ud83d"),
    ("task", "x" * (32 * 1024 + 1), "too_large"),
    *invalid("executor", 1, "noop", [], {}, {"kind": None}),
    ("executor", {"kind": "noop", "x": 1}, "unknown_field"),
    *invalid("delivery", 1, "slack", [], {}, {"channel": ""}),
    ("delivery", {"channel": 1}, "invalid_field"),
    ("delivery", {"channel": "x" * 201}, "invalid_field"),
    ("delivery", {"channel": "slack", "target": ""}, "invalid_field"),
    ("delivery", {"channel": "slack", "target": 1}, "invalid_field"),
    ("delivery", {"channel": "slack", "to": "me"}, "unknown_field"),
    *invalid("tags", None, "a", [1], [""], ["x" * 65], {"a": 1}),
    ("tags", ["a\tb"], "invalid_field"),
    ("tags", [f"t{n}" for n in range(33)], "invalid_field"),
    *invalid("enabled", None, 0, 1, "true", "", []),
    *invalid("delete_after_run", None, 0, "no", {}),
    *invalid("schedule", None, 1, "@daily", [], {}),
    ("schedule", {"kind": "lunar"}, "schedule_invalid"),
    ("schedule", MINUTELY | {"x": 1}, "unknown_field"),
    *invalid("policy", 1, "x", [1], True, {"trip_after": 0}),
    ("policy", {"x": 1}, "unknown_field"),
]


def spec(**fields: Any) -> dict[str, Any]:
    return parse_spec(NEEDED | fields, planner={"croniter": "0"}, anchor_at=ANCHOR)


def current(**fields: Any) -> dict[str, Any]:
    return {key: value for key, value in spec(**fields).items() if key in FIELDS}


def patched(patch: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return parse_patch(patch, current(**fields), anchor_at=ANCHOR)


# -- new jobs -----------------------------------------------------------------------------------


def test_a_name_and_a_schedule_are_enough_and_everything_else_is_written_out() -> None:
    assert spec() == {
        "name": "report",
        "description": None,
        "schedule": {"kind": "every", "interval_seconds": 60, "anchor": "end"},
        "task": "",
        "executor": None,
        "delivery": None,
        "policy": parse_policy({}, is_one_shot=False).plain(),
        "tags": [],
        "enabled": True,
        "delete_after_run": False,
        "planner": {"croniter": "0"},
    }


@pytest.mark.parametrize("missing", ["name", "schedule"])
def test_a_required_field_is_named_when_it_is_missing(missing: str) -> None:
    given = {key: value for key, value in NEEDED.items() if key != missing}

    with raises(InvalidField, match=f"^{missing}: is required"):
        parse_spec(given, planner={}, anchor_at=ANCHOR)


@pytest.mark.parametrize(("field", "value"), GOOD)
def test_a_valid_value_is_accepted_as_it_is(field: str, value: Any) -> None:
    assert spec(**{field: value})[field] == value


@pytest.mark.parametrize(("field", "value", "code"), BAD)
def test_a_bad_value_is_refused_by_the_name_of_its_field(field: str, value: Any, code: str) -> None:
    with raises(LedgerError, match=rf"(?i)^{field}") as refusal:
        spec(**{field: value})

    assert refusal.value.code == code


@pytest.mark.parametrize(
    ("field", "value", "code"), [case for case in BAD if case[:2] != ("schedule", {})]
)
def test_a_patch_refuses_what_a_new_job_refuses(field: str, value: Any, code: str) -> None:
    with raises(LedgerError) as refusal:
        patched({field: value})

    assert refusal.value.code == code


def test_every_field_of_a_job_has_a_bad_value_here() -> None:
    assert {field for field, _, _ in BAD} == set(FIELDS)


@pytest.mark.parametrize("key", ["Name", "names", "", "id", "status", "next_run_at"])
def test_an_unknown_key_is_refused_and_named(key: str) -> None:
    with raises(UnknownField, match=f"^{key}: unknown key"):
        spec(**{key: "x"})

    with raises(UnknownField, match=f"^{key}: unknown key"):
        patched({key: "x"})


def test_a_text_is_measured_in_bytes() -> None:
    assert spec(description="é" * 2048)["description"] == "é" * 2048

    with raises(TooLarge, match="4096 bytes"):
        spec(description="é" * 2048 + "x")


WRITTEN: dict[str, tuple[str, Any, Any]] = {
    "tags stay in order without repeats": ("tags", ["b", "a", "b"], ["b", "a"]),
    "a delivery is written out with its target":
        ("delivery", {"channel": "slack"}, {"channel": "slack", "target": None}),
    "a grid without an anchor starts now":
        ("schedule", MINUTELY | {"anchor": "grid"},
         MINUTELY | {"anchor": "grid", "anchor_at": ANCHOR}),
    "a grid with an anchor stays on it":
        ("schedule", MINUTELY | {"anchor": "grid", "anchor_at": "2026-01-01T00:00:00Z"},
         MINUTELY | {"anchor": "grid", "anchor_at": "2026-01-01T00:00:00Z"}),
    "an instant is written in UTC":
        ("schedule", {"kind": "at", "at": "2026-03-02T13:00:00+01:00"},
         {"kind": "at", "at": "2026-03-02T12:00:00Z"}),
}  # fmt: skip


@pytest.mark.parametrize(("field", "value", "written"), WRITTEN.values(), ids=WRITTEN)
def test_a_field_is_written_out_in_one_form(field: str, value: Any, written: Any) -> None:
    assert spec(**{field: value})[field] == written


def test_a_one_shot_gets_the_policy_of_a_one_shot() -> None:
    one_shot = spec(schedule={"kind": "at", "at": "2026-03-02T13:00:00+01:00"})

    assert one_shot["policy"]["trip_after"] == 3


# -- merge patches (RFC 7396) -------------------------------------------------------------------


def test_a_patch_changes_only_what_it_names() -> None:
    assert patched({"task": "new"}, tags=["a"]) == {"task": "new"}


def test_an_empty_patch_changes_nothing() -> None:
    assert patched({}) == {}


DEFAULT_POLICY = parse_policy({}, is_one_shot=False).plain()
SLACK = {"channel": "slack", "target": None}
AT_NINE = {"kind": "cron", "expr": "0 9 * * *", "tz": "Europe/Berlin"}
DAILY = {"kind": "cron", "expr": "@daily"}
HTTP = {"kind": "http", "url": "https://a.example", "headers": {"X-A": "1", "X-B": "2"}}
PATCHES: dict[str, tuple[str, Any, Any, Any]] = {
    "null removes a description": ("description", "d", None, None),
    "null removes an executor": ("executor", {"kind": "noop"}, None, None),
    "null removes a delivery": ("delivery", SLACK, None, None),
    "null resets a policy to its defaults": ("policy", {"trip_after": 4}, None, DEFAULT_POLICY),
    "a policy is patched key by key":
        ("policy", {"trip_after": 4}, {"max_losses": 9},
         DEFAULT_POLICY | {"trip_after": 4, "max_losses": 9}),
    "null in a policy is the value null where that is one":
        ("policy", {"probe_after_seconds": 60}, {"probe_after_seconds": None}, DEFAULT_POLICY),
    "a schedule is patched key by key within its kind":
        ("schedule", AT_NINE, {"expr": "0 10 * * *"},
         AT_NINE | {"expr": "0 10 * * *", "dst": "vixie"}),
    "null in a schedule removes the key":
        ("schedule", AT_NINE, {"tz": None}, AT_NINE | {"tz": "UTC", "dst": "vixie"}),
    "a patch that names the kind replaces the schedule whole":
        ("schedule", MINUTELY, DAILY, DAILY | {"tz": "UTC", "dst": "vixie"}),
    "a patch that names the kind replaces the executor whole":
        ("executor", HTTP, {"kind": "http", "url": "https://b.example"},
         {"kind": "http", "url": "https://b.example"}),
    "headers of an executor are patched one by one":
        ("executor", HTTP, {"headers": {"X-A": None, "X-C": "3"}},
         HTTP | {"headers": {"X-B": "2", "X-C": "3"}}),
    "a patch of an unset value is the value itself":
        ("delivery", None, {"channel": "slack"}, SLACK),
    "lists are replaced whole": ("tags", ["a", "b"], ["c"], ["c"]),
}  # fmt: skip


@pytest.mark.parametrize(("field", "before", "patch", "after"), PATCHES.values(), ids=PATCHES)
def test_a_merge_patch_changes_a_field(field: str, before: Any, patch: Any, after: Any) -> None:
    assert patched({field: patch}, **{field: before}) == {field: after}


def test_a_patch_leaves_what_it_was_given_untouched() -> None:
    before = current(policy={"trip_after": 4})
    copy = current(policy={"trip_after": 4})

    parse_patch(
        {"policy": {"trip_after": 5}, "schedule": {"interval_seconds": 9}}, before, anchor_at=ANCHOR
    )

    assert before == copy
