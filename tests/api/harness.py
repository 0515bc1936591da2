"""A whole server in one process without a socket: its parts with a manual clock, its application
called through ASGI, and jobs in any state.
"""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from api.app import create_app
from api.bootstrap import ServerParts, open_server_parts
from api.settings import load_settings
from ledger.application.commands import runs as run_commands
from ledger.application.unit_of_work import UnitOfWork
from ledger.store.records import RecordedEvent
from projections.queries import Queries
from projections.read_models import ReadModels
from projections.stores.model import Model, Statement
from projections.stores.sqlite import SQLiteReadModelStore
from tests.support import runs
from tests.support.ad_hoc_command import AdHoc
from tests.support.builders import DAY, FAILURE, SUCCESS, ManualClock, a_spec

ROLES = ("viewer", "operator", "admin", "worker")

EVERY = 7
"""Positions between two checkpoints of `framed`, so that a short history has many."""
PATIENCE_SECONDS = 60.0
"""How long a read waits for the read models, so that a busy machine fails no test."""


class Api:
    """The server under test. `ask` sends one request, by default as the admin."""

    def __init__(
        self, parts: ServerParts, clock: ManualClock, folder: Path, **settings: Any
    ) -> None:
        self.parts = parts
        self.clock = clock
        self.folder = folder
        self.ledger = parts.ledger
        self.app = create_app(parts, load_settings({}, {"data": folder, **settings}))
        self.secrets = {"admin": (folder / "admin.token").read_text().strip()}
        self.app.state.run_waiters.grace_seconds = -math.inf  # no dispatcher runs here
        self._runner = asyncio.Runner()

    def close(self) -> None:
        self._runner.close()
        self.parts.close(drain_seconds=0)

    # -- requests ---------------------------------------------------------------------------------

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        """One request. `by` names a role or is None; `scheme` defaults to http."""
        return self.ask_all([(method, path, options)])[0]

    def ask_all(self, requests: Iterable[tuple[str, str, dict[str, Any]]]) -> list[httpx.Response]:
        """Several concurrent requests; the answers in the same order."""

        async def together() -> list[httpx.Response]:
            return await asyncio.gather(*(self._send(*request) for request in requests))

        return self._runner.run(together())

    @contextmanager
    def busy_writer(self) -> Iterator[None]:
        """Inside of it the writer is busy with a command that does not end."""
        has_begun, may_end = threading.Event(), threading.Event()

        def command(_: UnitOfWork) -> None:
            has_begun.set()
            may_end.wait()

        held = self.ledger.submit([AdHoc(command)])
        has_begun.wait()
        try:
            yield
        finally:
            may_end.set()
        held.result()

    @contextmanager
    def broken_read_model(self, name: str) -> Iterator[None]:
        """Inside of it one read model cannot apply any event."""
        runner = self.parts.read_models._runner
        if runner is None:
            pytest.skip("needs a runner in this process, which only SQLite has")
        place = next(place for place in runner.running if name == place.model.NAME)
        whole, place.model = place.model, Throwing(place.model)
        yield
        place.model = whole

    @contextmanager
    def held_read_models(self) -> Iterator[None]:
        """Inside of it the read models do not advance: their file is locked."""
        store = self.parts.read_models._store
        if not isinstance(store, SQLiteReadModelStore):
            pytest.skip("locks the file of SQLite's read models")
        with closing(store.file.connect()) as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield
            connection.rollback()

    def give_up(self, method: str, path: str, body: Any) -> None:
        """Send a request and disconnect as soon as its command waits for the writer."""

        async def impatient() -> None:
            request = asyncio.create_task(self._send(method, path, {"json": body}))
            while self.ledger.writer._waiting.empty():
                await asyncio.sleep(0)
            request.cancel()
            await asyncio.gather(request, return_exceptions=True)

        self._runner.run(impatient())

    async def _send(self, method: str, path: str, options: dict[str, Any]) -> httpx.Response:
        by, scheme = options.get("by", "admin"), options.get("scheme", "http")
        rest = {key: value for key, value in options.items() if key not in ("by", "scheme")}
        headers = dict(rest.pop("headers", {}))
        if by is not None:
            headers["Authorization"] = f"Bearer {self.secret_of(by)}"
        transport = httpx.ASGITransport(self.app, client=("192.0.2.7", 1234))
        async with httpx.AsyncClient(transport=transport, base_url=f"{scheme}://ledger") as client:
            return await client.request(method, path, headers=headers, **rest)

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.ask("GET", path, **options)

    def post(self, path: str, body: Any = None, **options: Any) -> httpx.Response:
        return self.ask("POST", path, json=body, **options)

    # -- tokens ---------------------------------------------------------------------------------

    def secret_of(self, role: str) -> str:
        """The secret of a token with that role, created once; any other text is a secret itself."""
        if role in ROLES and role not in self.secrets:
            _, self.secrets[role] = self.parts.tokens.create(
                f"{role}-token", role, "user", None, self.ledger.context()
            )
        return self.secrets.get(role, role)

    # -- jobs in any state ----------------------------------------------------------------------

    def schedule(self, name: str = "report", **fields: Any) -> str:
        """Schedule a job that fires every minute; its id."""
        answer = self.post("/v1/jobs", a_spec(name=name, **fields))
        assert answer.status_code == 201, answer.text
        job_id: str = answer.json()["job"]["id"]
        return job_id

    def start_run(self, job_id: str) -> str:
        """Advance the clock until the job is due, and claim its run."""
        self.clock.advance(DAY)
        return self.claim_run(job_id)

    def claim_run(self, job_id: str) -> str:
        """Start the run that is due, as a dispatcher does; its id."""
        return runs.claim(self.ledger, UUID(job_id)).run.run_id

    def end_run(self, job_id: str, run_id: str, outcome: run_commands.Outcome = SUCCESS) -> None:
        """Report the outcome of a run."""
        self.ledger.execute(
            run_commands.RecordOutcome(UUID(job_id), run_id, outcome, self.ledger.context())
        )

    def failed_job(self, name: str = "broken", **fields: Any) -> str:
        """A job whose breaker tripped at its first error."""
        job_id = self.schedule(name, policy={"trip_after": 1}, **fields)
        self.end_run(job_id, self.start_run(job_id), FAILURE)
        return job_id

    def fail_together(self, names: Iterable[str], **policy: Any) -> list[str]:
        """Jobs that fail of one cause at one time; their ids."""
        ids = [self.schedule(name, policy=policy) for name in names]
        self.clock.advance(DAY)
        for job_id in ids:
            self.end_run(job_id, self.claim_run(job_id), FAILURE)
        return ids

    def storm(self, count: int = 3, **policy: Any) -> tuple[str, list[str]]:
        """Jobs that fail together, and go on unless their policy trips them: the id of the storm,
        and theirs.
        """
        ids = self.fail_together([f"job {number}" for number in range(count)], **policy)
        [storm] = self.get("/v1/storms").json()["storms"]
        return storm["id"], ids

    def paused_job(self, name: str = "resting", **fields: Any) -> str:
        job_id = self.schedule(name, **fields)
        assert self.post(f"/v1/jobs/{job_id}/pause").status_code == 200
        return job_id

    def completed_job(self, name: str = "done") -> str:
        """A one-shot job that has run."""
        at = (self.clock.now() + timedelta(minutes=1)).isoformat()
        job_id = self.schedule(name, schedule={"kind": "at", "at": at})
        self.end_run(job_id, self.start_run(job_id))
        return job_id

    def deleted_job(self, name: str = "gone") -> str:
        job_id = self.schedule(name)
        assert self.ask("DELETE", f"/v1/jobs/{job_id}").status_code == 200
        return job_id

    def topics(self, job_id: str) -> list[str]:
        """The topics of a job's events."""
        return [event["topic"] for event in self.ledger.history(job_id)]


class Throwing:
    """A read model that cannot apply any event."""

    def __init__(self, model: Model) -> None:
        self._model = model

    def project(self, fact: RecordedEvent, /) -> Iterable[Statement]:
        raise ZeroDivisionError(f"a mistake at {fact.position}")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)


@contextmanager
def serving(folder: Path, models: Sequence[Model] | None = None, **settings: Any) -> Iterator[Api]:
    """A server over a folder, with read models (of other models, if given) and no dispatcher."""
    clock = ManualClock()
    loaded = load_settings({}, {"data": folder / "data", **settings})
    parts = open_server_parts(loaded, dispatches=False, clock=clock)
    if models is not None:
        parts.read_models.close()
        parts.read_models = ReadModels.open(parts.ledger, models=models)
        parts.queries = Queries(parts.ledger, parts.read_models)
    parts.read_models.wait_seconds = PATIENCE_SECONDS
    parts.start()
    api = Api(parts, clock, folder / "data", **settings)
    try:
        yield api
    finally:
        api.close()


def http_scope(method: str, path: str, secret: str, query: str = "") -> dict[str, Any]:
    """A request as a server gives it to the application, for clients that disconnect."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(b"authorization", f"Bearer {secret}".encode())],
        "client": ("192.0.2.7", 1234),
        "server": ("ledger", 80),
    }


def error(answer: httpx.Response, status: int) -> str:
    """The error of a refusal in Phantom's form, which has no other field."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.json().keys() == {"error"}
    words: str = answer.json()["error"]
    assert words
    return words


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The body of a refusal, checked for its status, code and form."""
    assert (answer.status_code, answer.json().get("code")) == (status, code), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert {"type", "title", "status", "detail", "code"} <= body.keys()
    assert body["status"] == status
    return body
