"""The live stream: every event once, in order, encoded once; slow clients are dropped."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from random import Random
from typing import Any
from urllib.parse import parse_qs

import pytest

from api.schemas.queries import StreamQuery
from api.stream import answer as stream_answer
from api.stream import client as stream_client
from api.stream import tail as stream_tail
from api.stream.tail import Tail
from ledger.store.audit_query import AuditQuery
from tests.api.harness import Api, problem
from tests.api.server.listeners import PATH, Listener
from tests.support.builders import DAY, a_spec

Scene = Callable[[], Coroutine[Any, Any, None]]


@pytest.fixture(autouse=True)
def _known_roles(api: Api) -> None:
    for role in ("viewer", "operator"):
        api.secret_of(role)


def play(api: Api, scene: Scene) -> None:
    """Run a scene in the event loop of the server under test."""
    api._runner.run(scene())


def tail_of(api: Api) -> Tail:
    tail: Tail = api.app.state.tail
    return tail


def append(api: Api, count: int = 1, *, start: int = 0) -> int:
    """Schedule jobs, two events each; the last position after it."""
    for number in range(start, start + count):
        api.ledger.schedule(a_spec(name=f"job {api.ledger.writer.position} {number}"))
    return api.ledger.writer.position


@contextmanager
def small(module: Any, **limits: float) -> Iterator[None]:
    """Inside of it the named limits of a module are very small."""
    before = {name: getattr(module, name) for name in limits}
    vars(module).update(limits)
    try:
        yield
    finally:
        vars(module).update(before)


def test_the_stream_has_the_same_events_as_the_audit(api: Api) -> None:
    before = api.ledger.writer.position

    async def scene() -> None:
        async with Listener(api) as listener:
            await listener.until_position(append(api, 3))
        received = [data for _, data in listener.events]
        assert [name for name, _ in listener.events] == [event["topic"] for event in received]
        assert listener.text.startswith(b"retry: ")
        assert listener.text.count(b"retry: ") == 1
        events.extend(received)

    events: list[Any] = []
    play(api, scene)

    audit = api.get(f"/v1/events?limit=1000&order=asc&cursor={before}").json()["events"]
    assert events == audit


@pytest.mark.parametrize("given_by", ["header", "parameter", "both"])
def test_a_client_resumes_after_the_position_it_names(api: Api, given_by: str) -> None:
    end = append(api, 5)
    query = {"header": "", "parameter": "after_position=3", "both": "after_position=7"}[given_by]
    last = "" if given_by == "parameter" else "3"

    async def scene() -> None:
        async with Listener(api, query, last=last) as listener:
            await listener.until_position(end)
            await listener.until_position(append(api))
        assert listener.positions == list(range(4, end + 3))

    play(api, scene)


@pytest.mark.parametrize("seed", range(12))
def test_no_event_is_missed_or_repeated_between_catching_up_and_live(api: Api, seed: int) -> None:
    random = Random(seed)
    append(api, random.randrange(1, 30))

    async def scene() -> None:
        listeners: list[tuple[int, Listener]] = []
        for _ in range(8):
            start = random.randrange(api.ledger.writer.position + 1)
            listeners.append((start, Listener(api, last=str(start))))
            writing = asyncio.to_thread(append, api, random.randrange(1, 12))
            await asyncio.gather(listeners[-1][1].__aenter__(), writing)
        end = append(api)
        for start, listener in listeners:
            await listener.until_position(end)
            assert listener.positions == list(range(start + 1, end + 1)), f"seed {seed}"
            await listener.__aexit__()

    with small(stream_tail, PAGE=random.choice([1, 3, 200])):
        play(api, scene)


def test_a_slow_client_is_dropped_with_a_last_event_while_others_continue(api: Api) -> None:
    async def scene() -> None:
        async with Listener(api) as slow, Listener(api) as quick:
            first = append(api)
            await slow.until_position(first)
            slow.stop_reading()
            end = append(api, 40)
            await quick.until_position(end)
            assert tail_of(api).dropped_count == 1
            slow.resume_reading()
            await slow.until(lambda: slow.is_complete)
            assert quick.positions[-1] == end
        name, data = slow.events[-1]
        assert (name, data["reason"]) == ("dropped", "too_slow")
        assert data["position"] == slow.positions[-1] < end
        assert slow.positions == list(range(first - 1, data["position"] + 1))

    with small(stream_client, MAX_WAITING=20), small(stream_tail, PAGE=7, PACE_SECONDS=0.01):
        play(api, scene)


def test_an_event_is_encoded_once_for_all_clients(api: Api) -> None:
    async def scene() -> None:
        listeners = [Listener(api) for _ in range(20)]
        for listener in listeners:
            await listener.__aenter__()
        before = api.ledger.writer.position
        end = append(api, 10)
        for listener in listeners:
            await listener.until_position(end)
            await listener.__aexit__()
        assert tail_of(api).encoded_count == end - before

    play(api, scene)


FILTERS = (
    "actor=operator-token",
    "kind=agent",
    "topic=job.paused&topic=job.circuit_tripped",
    "source=library",
    "failure_class=rate_limited",
    "correlation_id=mine",
    "job={job}",
)


@pytest.mark.parametrize("query", FILTERS)
@pytest.mark.parametrize("is_live", [True, False])
def test_each_filter_matches_what_the_audit_matches(api: Api, query: str, is_live: bool) -> None:
    job_id = api.schedule()
    before = api.ledger.writer.position
    asked = parse_qs(query.format(job=job_id))
    given = {key: values if key == "topic" else values[0] for key, values in asked.items()}
    audit = AuditQuery(**StreamQuery.model_validate(given).filters(), after_position=before)

    async def scene() -> None:
        if not is_live:
            await asyncio.to_thread(_much_happens, api, job_id)
        async with Listener(api, query.format(job=job_id), last=str(before)) as listener:
            await listener.until(lambda: bool(tail_of(api)._live) or not is_live)
            if is_live:
                await asyncio.to_thread(_much_happens, api, job_id)
            wanted = [event["position"] for event in api.ledger.queries.export(audit)]
            await listener.until_position(wanted[-1])
        assert listener.positions == wanted

    play(api, scene)


def _much_happens(api: Api, job_id: str) -> None:
    """In another thread with another event loop: a trip, a pause by an operator, a new token."""
    runner, api._runner = api._runner, asyncio.Runner()
    _, agent = api.parts.tokens.create("bot", "operator", "agent", None, api.ledger.context())
    assert api.post("/v1/jobs", a_spec(name="by a bot"), by=agent).status_code == 201
    api.failed_job()
    api.post(f"/v1/jobs/{job_id}/pause", by="operator", headers={"X-Request-Id": "mine"})
    api._runner.close()
    api._runner = runner


def test_a_quiet_stream_sends_heartbeats(api: Api) -> None:
    api.app.state.heartbeat_seconds = 0.001

    async def scene() -> None:
        async with Listener(api) as listener:
            await listener.until(lambda: listener.text.count(b": still here\n\n") >= 3)

    play(api, scene)


@pytest.mark.parametrize("how", ["revoked", "expired"])
def test_a_stream_ends_with_its_token(api: Api, how: str) -> None:
    api.app.state.heartbeat_seconds = 0.001
    call = api.ledger.context()
    ends_at = api.clock.now() + DAY
    _, api.secrets["short"] = api.parts.tokens.create("short", "viewer", "user", ends_at, call)

    async def scene() -> None:
        async with Listener(api, by="short") as listener:
            if how == "revoked":
                await asyncio.to_thread(api.parts.tokens.revoke, "short", call)
            else:
                api.clock.advance(DAY)
            await listener.until(lambda: listener.is_complete)
        assert listener.events[-1][0] == "closing"
        assert listener.events[-1][1]["reason"] == "token_ended"

    play(api, scene)


def test_a_server_that_stops_ends_streams_and_refuses_new_ones(api: Api) -> None:
    async def scene() -> None:
        async with Listener(api) as listener:
            end = append(api)
            await listener.until_position(end)
            tail_of(api).close()
            await listener.until(lambda: listener.is_complete)
        assert listener.events[-1] == ("closing", {"reason": "server_stops", "position": end})

    play(api, scene)
    problem(api.get(PATH), 503, "unavailable")


def test_a_disconnected_client_makes_room_for_another(api: Api) -> None:
    async def scene() -> None:
        others = list(api.ledger.writer.listeners)
        async with Listener(api), Listener(api):
            assert len(tail_of(api).clients) == 2
            refused.append(await api._send("GET", PATH, {}))
        assert not tail_of(api).clients
        assert api.ledger.writer.listeners == others, "it follows only while there are clients"
        async with Listener(api) as again:
            await again.until_position(append(api))

    refused: list[Any] = []
    with small(stream_tail, MAX_CLIENTS=2):
        play(api, scene)
    assert problem(refused[0], 503, "overloaded")
    assert refused[0].headers["retry-after"] == "1"


@pytest.mark.parametrize("last", ["-1", "x", "1.5", "٣", "9" * 30, " ", "99"])
def test_an_invalid_last_event_id_is_refused(api: Api, last: str) -> None:
    answer = api.get(PATH, headers={"Last-Event-ID": last.encode()})

    assert problem(answer, 422, "invalid_field")["field"] == "Last-Event-ID"


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("after_position=99", "invalid_field"),
        ("after_position=-1", "invalid_field"),
        ("topic=job.nothing", "invalid_field"),
        ("kind=cat", "invalid_field"),
        ("job=none", "invalid_field"),
        ("source=http&source=ui", "invalid_field"),
        ("since=2026-01-01T00:00:00Z", "unknown_field"),
        ("format=csv", "unknown_field"),
    ],
)
def test_an_invalid_stream_query_is_refused(api: Api, query: str, code: str) -> None:
    problem(api.get(f"{PATH}?{query}"), 422, code)


def test_a_client_that_does_not_read_does_not_delay_a_shutdown(api: Api) -> None:
    async def scene() -> None:
        async with Listener(api) as client:
            await client.until_position(append(api))
            client.stop_reading()
            append(api)
            tail_of(api).close()
            while tail_of(api).clients:
                await asyncio.sleep(0)

    with small(stream_answer, LAST_SEND_SECONDS=0.0):
        play(api, scene)

    assert not tail_of(api).clients
