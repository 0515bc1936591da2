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


def test_tags_stay_in_order_without_repeats() -> None:
    assert spec(tags=["b", "a", "b"])["tags"] == ["b", "a"]


def test_a_delivery_is_written_out_with_its_target() -> None:
    assert spec(delivery={"channel": "slack"})["delivery"] == {"channel": "slack", "target": None}


def test_a_grid_without_an_anchor_starts_now() -> None:
    grid = spec(schedule=MINUTELY | {"anchor": "grid"})["schedule"]

    assert grid["anchor_at"] == ANCHOR


def test_a_grid_with_an_anchor_stays_on_it() -> None:
    at = "2026-01-01T00:00:00Z"

    grid = spec(schedule=MINUTELY | {"anchor": "grid", "anchor_at": at})["schedule"]

    assert grid["anchor_at"] == at


def test_a_one_shot_gets_the_policy_of_a_one_shot() -> None:
    one_shot = spec(schedule={"kind": "at", "at": "2026-03-02T13:00:00+01:00"})

    assert one_shot["policy"]["trip_after"] == 3
    assert one_shot["schedule"] == {"kind": "at", "at": "2026-03-02T12:00:00Z"}


# -- merge patches (RFC 7396) -------------------------------------------------------------------


def test_a_patch_changes_only_what_it_names() -> None:
    assert patched({"task": "new"}, tags=["a"]) == {"task": "new"}


def test_an_empty_patch_changes_nothing() -> None:
    assert patched({}) == {}


@pytest.mark.parametrize("field", ["description", "executor", "delivery"])
def test_null_removes_an_optional_value(field: str) -> None:
    given = {
        "description": "d",
        "executor": {"kind": "noop"},
        "delivery": {"channel": "slack"},
    }

    assert patched({field: None}, **given) == {field: None}


def test_null_resets_a_policy_to_its_defaults() -> None:
    changes = patched({"policy": None}, policy={"trip_after": 4})

    assert changes["policy"] == parse_policy({}, is_one_shot=False).plain()


def test_a_policy_is_patched_key_by_key() -> None:
    changes = patched({"policy": {"max_losses": 9}}, policy={"trip_after": 4})

    assert (changes["policy"]["trip_after"], changes["policy"]["max_losses"]) == (4, 9)


def test_null_in_a_policy_is_the_value_null_where_that_is_one() -> None:
    changes = patched({"policy": {"probe_after_seconds": None}}, policy={"probe_after_seconds": 60})

    assert changes["policy"]["probe_after_seconds"] is None


def test_a_schedule_is_patched_key_by_key_within_its_kind() -> None:
    before = {"kind": "cron", "expr": "0 9 * * *", "tz": "Europe/Berlin"}

    changes = patched({"schedule": {"expr": "0 10 * * *"}}, schedule=before)

    assert changes["schedule"] == before | {"expr": "0 10 * * *", "dst": "vixie"}


def test_null_in_a_schedule_removes_the_key() -> None:
    before = {"kind": "cron", "expr": "0 9 * * *", "tz": "Europe/Berlin"}

    changes = patched({"schedule": {"tz": None}}, schedule=before)

    assert changes["schedule"] == {"kind": "cron", "expr": "0 9 * * *", "tz": "UTC", "dst": "vixie"}


def test_a_patch_that_names_the_kind_replaces_the_schedule_whole() -> None:
    changes = patched({"schedule": {"kind": "cron", "expr": "@daily"}})

    assert changes["schedule"] == {"kind": "cron", "expr": "@daily", "tz": "UTC", "dst": "vixie"}


def test_a_patch_that_names_the_kind_replaces_the_executor_whole() -> None:
    before = {"kind": "http", "url": "https://a.example", "headers": {"X-A": "1"}}

    changes = patched({"executor": {"kind": "http", "url": "https://b.example"}}, executor=before)

    assert changes["executor"] == {"kind": "http", "url": "https://b.example"}


def test_headers_of_an_executor_are_patched_one_by_one() -> None:
    headers = {"X-A": "1", "X-B": "2"}
    before = {"kind": "http", "url": "https://a.example", "headers": headers}

    changes = patched({"executor": {"headers": {"X-A": None, "X-C": "3"}}}, executor=before)

    assert changes["executor"] == before | {"headers": {"X-B": "2", "X-C": "3"}}


def test_a_patch_of_an_unset_value_is_the_value_itself() -> None:
    changes = patched({"delivery": {"channel": "slack"}})

    assert changes["delivery"] == {"channel": "slack", "target": None}


def test_lists_are_replaced_whole() -> None:
    assert patched({"tags": ["c"]}, tags=["a", "b"]) == {"tags": ["c"]}


def test_a_patch_leaves_what_it_was_given_untouched() -> None:
    before = current(policy={"trip_after": 4})
    copy = current(policy={"trip_after": 4})

    parse_patch(
        {"policy": {"trip_after": 5}, "schedule": {"interval_seconds": 9}}, before, anchor_at=ANCHOR
    )

    assert before == copy
