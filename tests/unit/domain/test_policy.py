"""The policy of a job: every field with what it accepts and refuses, written out in full."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import pytest
from pytest import raises

from ledger.domain.job.breaker import COUNTABLE, MAX_SECONDS, Policy, parse_policy, policy_of
from ledger.errors import InvalidField, UnknownField

DEFAULTS = {
    "trip_after": 10,
    "backoff_seconds": [30, 60, 300, 900, 3600],
    "counts": [
        "rate_limited",
        "unauthorized",
        "timeout",
        "unreachable",
        "server_error",
        "client_error",
        "crashed",
        "other",
    ],
    "max_losses": 3,
    "probe_after_seconds": None,
    "catch_up": "one",
    "timeout_seconds": 300,
    "lease_seconds": 60,
    "jitter_seconds": 0,
}

GOOD: list[tuple[str, Any]] = [
    ("trip_after", 1),
    ("trip_after", 1_000_000),
    ("backoff_seconds", [0.1]),
    ("backoff_seconds", [1] * 50),
    ("counts", []),
    ("counts", ["other"]),
    ("max_losses", 1),
    ("probe_after_seconds", None),
    ("probe_after_seconds", 1),
    ("catch_up", "none"),
    ("timeout_seconds", 0.1),
    ("timeout_seconds", MAX_SECONDS),
    ("lease_seconds", 1),
    ("jitter_seconds", 0),
    ("jitter_seconds", 0.25),
]

BAD: list[tuple[str, Any]] = [
    *(("trip_after", value) for value in (0, -1, 1_000_001, 1.0, "3", None, True, [3])),
    *(("max_losses", value) for value in (0, 1.5, "3", None, False)),
    *(("backoff_seconds", value) for value in ([], [1] * 51, 30, "30", None, {"0": 30})),
    *(("backoff_seconds", [value]) for value in (0, 0.09, -1, "30", None, True, MAX_SECONDS + 1)),
    ("backoff_seconds", [30, math.nan]),
    ("backoff_seconds", [math.inf]),
    *(("counts", value) for value in ("other", None, ["lost"], ["blocked"], ["no such"], [1])),
    *(("probe_after_seconds", value) for value in (0, 0.5, "60", True, -math.inf, math.nan)),
    *(("catch_up", value) for value in ("all", "", None, 1, ["one"], True)),
    *(("timeout_seconds", value) for value in (0, 0.05, None, "300", True, MAX_SECONDS + 1)),
    *(("lease_seconds", value) for value in (0, 0.9, None, "60", True)),
    *(("jitter_seconds", value) for value in (-0.1, None, "1", True, math.nan, 10**400)),
]


def test_a_policy_is_written_out_in_full_with_phantoms_defaults() -> None:
    policy = parse_policy({}, is_one_shot=False)

    assert policy.plain() == DEFAULTS


def test_a_one_shot_trips_after_three_by_default_and_is_else_the_same() -> None:
    policy = parse_policy({}, is_one_shot=True)

    assert policy.plain() == DEFAULTS | {"trip_after": 3}


def test_a_one_shot_may_have_a_threshold_of_its_own() -> None:
    assert parse_policy({"trip_after": 7}, is_one_shot=True).trip_after == 7


@pytest.mark.parametrize(("field", "value"), GOOD)
def test_a_valid_value_is_accepted_as_it_is(field: str, value: Any) -> None:
    policy = parse_policy({field: value}, is_one_shot=False)

    assert policy.plain() == DEFAULTS | {field: value}


@pytest.mark.parametrize(("field", "value"), BAD)
def test_a_bad_value_is_refused_by_the_name_of_its_field(field: str, value: Any) -> None:
    with raises(InvalidField, match=rf"^policy\.{field}: must be") as refusal:
        parse_policy({field: value}, is_one_shot=False)

    assert refusal.value.facts == {"field": f"policy.{field}"}


def test_every_field_of_a_policy_has_a_bad_and_a_good_value_here() -> None:
    assert {field for field, _ in GOOD} == {field for field, _ in BAD} == set(DEFAULTS)


@pytest.mark.parametrize("key", ["Trip_after", "trip_after ", "threshold", ""])
def test_an_unknown_key_is_refused_and_named(key: str) -> None:
    with raises(UnknownField, match=rf"^policy\.{key}: unknown key"):
        parse_policy({key: 3}, is_one_shot=False)


def test_what_a_change_leaves_out_stays_as_it_was() -> None:
    before = parse_policy({"trip_after": 4, "jitter_seconds": 9}, is_one_shot=False)

    policy = parse_policy({"max_losses": 5}, is_one_shot=False, before=before)

    expected = DEFAULTS | {"trip_after": 4, "jitter_seconds": 9, "max_losses": 5}
    assert policy.plain() == expected


def test_counts_is_stored_in_one_order_without_repeats() -> None:
    policy = parse_policy({"counts": ["other", "timeout", "other"]}, is_one_shot=False)

    assert policy.counts == ("timeout", "other")


def test_lost_and_blocked_never_count() -> None:
    policy = Policy(counts=COUNTABLE)

    assert not policy.counts_toward_streak("lost")
    assert not policy.counts_toward_streak("blocked")


def test_a_policy_is_read_back_from_its_event_equal() -> None:
    policy = parse_policy(
        {"backoff_seconds": [0.5, 7], "counts": ["other"], "probe_after_seconds": 60},
        is_one_shot=False,
    )

    assert policy_of(policy.plain()) == policy


@pytest.mark.parametrize(("attempts", "seconds"), [(0, 1), (1, 1), (2, 5), (3, 5), (10**9, 5)])
def test_the_last_step_of_the_backoff_repeats(attempts: int, seconds: int) -> None:
    policy = Policy(backoff_seconds=(1, 5))

    assert policy.backoff(attempts) == timedelta(seconds=seconds)
