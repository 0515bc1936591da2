"""Any JSON is read back equal or refused: a payload is always only data."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.api.harness import Api, serving
from tests.support.builders import a_spec

FIELDS = ("task", "description", "tags", "delivery", "headers", "env", "policy", "schedule")
_numbers = count(1)

# With surrogates: json.dumps escapes them, as a client would send them.
texts = st.text(st.characters(exclude_categories=()), max_size=40)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.just(10**400),
    st.floats(),
    texts,
    st.sampled_from(["_type_", "__proto__", "\x00", "\ud800", "=1+1", "{{7*7}}", "[forgotten]"]),
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
fitting = {
    "task": texts,
    "description": st.none() | texts,
    "tags": st.lists(texts, max_size=5),
    "headers": st.dictionaries(texts, texts, max_size=3),
    "env": st.dictionaries(st.from_regex(r"[A-Z_]{1,8}", fullmatch=True), texts, max_size=3),
}


@st.composite
def placed(draw: st.DrawFn) -> tuple[str, Any]:
    """A field, with a plausible value or any JSON value."""
    field = draw(st.sampled_from(FIELDS))
    return field, draw(fitting.get(field, values) | values)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with serving(tmp_path_factory.mktemp("payloads")) as api:
        yield api


def _spec(field: str, value: Any) -> dict[str, Any]:
    executors = {
        "headers": {"kind": "http", "url": "https://agent.example/run", "headers": value},
        "env": {"kind": "command", "argv": ["/bin/true"], "env": value},
    }
    placed = {"executor": executors[field]} if field in executors else {field: value}
    return a_spec(**{"name": f"job {next(_numbers)}", **placed})


def _kept(field: str, job: dict[str, Any]) -> Any:
    return job["executor"][field] if field in ("headers", "env") else job[field]


def _is_read_back_or_refused(api: Api, field: str, value: Any) -> None:
    answer = api.ask("POST", "/v1/jobs", content=json.dumps(_spec(field, value)))

    if answer.status_code != 201:
        assert answer.status_code in (400, 413, 422), answer.text
        assert answer.json()["code"]
        assert answer.json()["detail"]
        return
    job_id = answer.json()["job"]["id"]
    folded = api.ledger.job(job_id)
    assert folded == answer.json()["job"] == api.get(f"/v1/jobs/{job_id}").json()["job"]
    if field in fitting:
        wanted = list(dict.fromkeys(value)) if field == "tags" else value
        assert _kept(field, folded) == wanted


@given(placed())
@example(("headers", {"_type_": "datetime_iso", "_data_": "2026-01-01"}))
@example(("env", {"_type_": "uuid"}))
@example(("task", '{"_type_": "datetime_iso"}'))
@example(("tags", ["_type_", "_data_"]))
@settings(max_examples=150)
def test_any_json_is_read_back_equal_or_refused(shared: Api, case: tuple[str, Any]) -> None:
    _is_read_back_or_refused(shared, *case)


@pytest.mark.slow
@given(placed())
@settings(max_examples=3000)
def test_much_more_json_is_read_back_equal_or_refused(shared: Api, case: tuple[str, Any]) -> None:
    _is_read_back_or_refused(shared, *case)
