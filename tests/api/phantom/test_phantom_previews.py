"""Phantom's routes: previews, descriptions in words, and the form of every refusal."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.harness import Api, error
from tests.api.phantom.scheduler import DIGEST, PATH, create


@pytest.mark.parametrize(
    ("schedule", "words", "fires"),
    [
        ({"kind": "every", "intervalMs": 21_600_000}, "every 6h", "2026-03-02T18:00:00Z"),
        ({"kind": "every", "intervalMs": 86_400_000}, "every 24h", "2026-03-03T12:00:00Z"),
        ({"kind": "every", "intervalMs": 172_800_000}, "every 2d", "2026-03-04T12:00:00Z"),
        ({"kind": "every", "intervalMs": 5_400_000}, "every 90m", "2026-03-02T13:30:00Z"),
        ({"kind": "every", "intervalMs": 1500}, "every 1500ms", "2026-03-02T12:00:01.500000Z"),
    ],
)
def test_a_preview_has_the_next_fire_and_the_text(
    api: Api, schedule: dict[str, Any], words: str, fires: str
) -> None:
    answer = api.post(f"{PATH}/preview", {"schedule": schedule}, by="viewer")

    assert answer.json() == {"nextRunAt": fires, "humanReadable": words, "error": None}


def test_a_cron_is_previewed_in_its_zone_and_else_in_utc(api: Api) -> None:
    expr = {"kind": "cron", "expr": "0 14 * * *"}

    def next_run_at(**zone: str) -> str:
        answer = api.post(f"{PATH}/preview", {"schedule": {**expr, **zone}})
        return str(answer.json()["nextRunAt"])

    assert next_run_at() == "2026-03-02T14:00:00Z"
    assert next_run_at(tz="America/New_York") == "2026-03-02T19:00:00Z"


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        ({"kind": "cron", "expr": "@daily"}, "nicknames"),
        ({"kind": "cron", "expr": " @daily"}, "nicknames"),
        ({"kind": "cron", "expr": "61 * * * *"}, "61"),
        ({"kind": "cron", "expr": "0 0 30 2 *"}, "never"),
        ({"kind": "cron", "expr": "* * * * *", "tz": "Mars/Olympus"}, "Mars"),
        ({"kind": "at", "at": "2020-01-01T00:00:00Z"}, "future"),
        ({"kind": "at", "at": "2030-01-01T00:00:00"}, "offset"),
        ({"kind": "every", "intervalMs": 1}, "interval"),
    ],
)
def test_a_bad_schedule_is_previewed_as_an_error(
    api: Api, schedule: dict[str, Any], words: str
) -> None:
    answer = api.post(f"{PATH}/preview", {"schedule": schedule})

    assert answer.status_code == 200
    assert answer.json()["nextRunAt"] is answer.json()["humanReadable"] is None
    assert words in answer.json()["error"]


@pytest.mark.parametrize(
    "body",
    [{}, {"schedule": {"kind": "bogus"}}, {"schedule": {"kind": "cron"}}, {"schedule": "@daily"}],
)
def test_a_body_that_is_not_a_schedule_is_a_400(api: Api, body: dict[str, Any]) -> None:
    error(api.post(f"{PATH}/preview", body), 400)


@pytest.mark.parametrize(
    ("words", "status"), [("", 400), ("x" * 2001, 400), ("x" * 2000, 422), ("every day", 422)]
)
def test_a_description_in_words_is_refused(api: Api, words: str, status: int) -> None:
    error(api.post(f"{PATH}/parse", {"description": words}), status)


def test_the_routers_refusals_have_phantoms_form(api: Api) -> None:
    error(api.post(f"{PATH}/no-such-thing/boom"), 404)
    error(api.get(f"{PATH}/"), 404)
    put = api.ask("PUT", PATH, json={})
    error(put, 405)
    assert put.headers["allow"] == "GET, POST"
    error(api.get(PATH, by=None), 401)
    error(api.post(PATH, DIGEST, by="viewer"), 403)
    error(api.get(f"{PATH}?x=1&x=2"), 400)


def test_a_read_model_that_is_behind_is_a_503_in_phantoms_form(api: Api) -> None:
    create(api)
    api.parts.read_models.wait_seconds = 0
    with api.held_read_models():
        create(api, name="unseen")

        answer = api.get(PATH)

    error(answer, 503)
    assert answer.headers["retry-after"] == "1"


def test_an_internal_error_has_phantoms_form(api: Api) -> None:
    async def broken() -> None:
        raise RuntimeError("the inside")

    api.app.add_api_route(f"{PATH}/a/broken/route", broken)

    words = error(api.get(f"{PATH}/a/broken/route"), 500)

    assert "inside" not in words


def test_other_paths_keep_their_own_form(api: Api) -> None:
    for path in ("/ui/api/schedulers", "/ui/api", "/v1/nothing"):
        assert api.get(path).headers["content-type"] == "application/problem+json"
