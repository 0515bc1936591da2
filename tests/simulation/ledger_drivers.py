"""Drivers of ledgers: as a library on SQLite, and over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import UUID

from ledger import Ledger
from ledger.application.commands.command import CommandResult
from ledger.domain.job.job import Job
from ledger.errors import JobNotFound
from tests.api.harness import serving
from tests.contract.stores import PostgresStoreHarness, own_name
from tests.simulation.fleet_model import Order
from tests.simulation.model import CHANGED, UNCHANGED
from tests.simulation.orders import (
    STRANGER,
    Reply,
    command_of,
    context_of,
    open_run_of,
    patch_of,
    replied,
    spec_of,
)
from tests.support.builders import ManualClock, SeededChance, open_ledger


class LedgerDriver:
    """What can be inspected inside a ledger, however it is driven."""

    ledger: Ledger

    def position(self) -> int:
        return self.ledger.event_store.tail_position()

    def head(self, job_id: UUID) -> Job | None:
        return self.ledger.job_cache.jobs.get(job_id)

    def fold(self, job_id: UUID) -> Job:
        return self.ledger.fold(job_id)


class SQLiteDriver(LedgerDriver):
    """A ledger in a folder, driven as a library. Runs are claimed as a dispatcher does it."""

    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock()
        self.ids = [STRANGER]
        self.starts = 0
        self.folder = folder
        self._open()

    def _open(self) -> None:
        self.starts += 1
        self.ledger = open_ledger(self.folder, self.clock, seed=self.starts)

    def give(self, order: Order) -> Reply:
        return replied(order, lambda: self._ask(order))

    def _ask(self, order: Order) -> Any:
        ledger, call = self.ledger, context_of(order, self.clock)
        if order.what == "schedule":
            return ledger.schedule(spec_of(order), context=call)
        job_id = self.ids[order.job]
        methods: dict[str, Callable[[], CommandResult]] = {
            "amend": lambda: ledger.amend(job_id, patch_of(order), context=call),
            "rename": lambda: ledger.amend(job_id, patch_of(order), context=call),
            "pause": lambda: ledger.pause(job_id, context=call),
            "resume": lambda: ledger.resume(job_id, context=call),
            "force": lambda: ledger.resume(job_id, force=True, context=call),
            "run": lambda: ledger.run(job_id, context=call),
            "delete": lambda: ledger.delete(job_id, context=call),
        }
        if order.what in methods:
            return methods[order.what]()
        return ledger.execute(command_of(order, job_id, open_run_of(self, job_id), call))

    def shown(self, job_id: UUID) -> dict[str, Any] | None:
        try:
            return self.ledger.job(job_id)
        except JobNotFound:
            return None

    def count(self) -> int:
        return sum(job.status != "deleted" for job in self.ledger.job_cache.snapshot())

    def restart(self) -> None:
        self.ledger.close()
        self._open()

    def close(self) -> None:
        self.ledger.close()


class NodesDriver(SQLiteDriver):
    """Two nodes on PostgreSQL that get orders in turn, as if they were one ledger."""

    def __init__(self, dsn: str) -> None:
        self.harness = PostgresStoreHarness(dsn, own_name())
        super().__init__(Path())

    def _open(self) -> None:
        self.starts += 1
        self.nodes = [
            Ledger.open(
                self.harness.address,
                clock=self.clock,
                chance=SeededChance(10 * self.starts + number),
            )
            for number in range(2)
        ]
        self.ledger = self.nodes[0]

    def give(self, order: Order) -> Reply:
        self.nodes.reverse()
        self.ledger = self.nodes[0]
        self.ledger.submit(()).result()  # reads what the other node appended
        return super().give(order)

    def restart(self) -> None:
        self._close_nodes()
        self._open()

    def close(self) -> None:
        self._close_nodes()
        self.harness.close()

    def _close_nodes(self) -> None:
        for node in self.nodes:
            node.close()


class HttpDriver(LedgerDriver):
    """A server driven over HTTP. Runs are claimed in its process, as its dispatcher would."""

    STATUSES: Mapping[str, int] = {
        "job_not_found": 404,
        "stale_revision": 412,
        "idempotency_mismatch": 422,
    }

    def __init__(self, folder: Path) -> None:
        self.ids = [STRANGER]
        self.folder = folder
        self._open()

    def _open(self) -> None:
        self._opened = ExitStack()
        self.api = self._opened.enter_context(serving(self.folder))
        self.clock, self.ledger = self.api.clock, self.api.ledger

    def give(self, order: Order) -> Reply:
        job_id = self.ids[order.job]
        path = f"/v1/jobs/{job_id}"
        requests: dict[str, tuple[str, str, Any]] = {
            "schedule": ("POST", "/v1/jobs", None),
            "amend": ("PATCH", path, patch_of(order)),
            "rename": ("PATCH", path, patch_of(order)),
            "pause": ("POST", f"{path}/pause", {"reason": "the order"}),
            "resume": ("POST", f"{path}/resume", {}),
            "force": ("POST", f"{path}/resume", {"force": True}),
            "run": ("POST", f"{path}/run", {}),
            "delete": ("DELETE", path, {}),
        }
        if order.what not in requests:
            call = context_of(order, self.clock)
            command = command_of(order, job_id, open_run_of(self, job_id), call)
            return replied(order, lambda: self.ledger.execute(command))
        method, path, body = requests[order.what]
        body = spec_of(order) if order.what == "schedule" else body
        return self._send(method, path, body, order)

    def _send(self, method: str, path: str, body: Any, order: Order) -> Reply:
        headers = {} if order.key is None else {"Idempotency-Key": order.key}
        if order.revision is not None:
            headers["If-Match"] = f'"{order.revision}"'
        answer = self.api.ask(method, path, json=body, headers=headers)
        told = answer.json()
        if answer.status_code >= 400:
            assert answer.status_code == self.STATUSES.get(told["code"], 409), answer.text
            return Reply(told["code"])
        outcome = CHANGED if told["changed"] else UNCHANGED
        assert answer.headers["etag"] == f'"{told["job"]["revision"]}"'
        return Reply(outcome, told, UUID(told["job"]["id"]))

    def shown(self, job_id: UUID) -> dict[str, Any] | None:
        answer = self.api.get(f"/v1/jobs/{job_id}")
        return answer.json()["job"] if answer.status_code == 200 else None

    def count(self) -> int:
        return len(self.api.get("/v1/jobs").json()["jobs"])

    def restart(self) -> None:
        now = self.clock.at
        self._opened.close()
        self._open()
        self.clock.advance(now - self.clock.at)

    def close(self) -> None:
        self._opened.close()
