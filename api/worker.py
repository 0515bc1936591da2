"""A worker: claims runs from a queue over HTTP, executes them, and reports their outcomes.

    Worker("http://127.0.0.1:8321", token, queue="gpu").run(render)

`render` is a Python handler (see `ledger.dispatch.executors.python`): it takes the run's ticket and
returns a text or None.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from datetime import datetime
from typing import Any

import httpx

from ledger.clock import Clock, SystemClock, parse_rfc3339
from ledger.dispatch.executors.outcomes import Blocked, Executor, RunTicket
from ledger.dispatch.executors.python import Handler, PythonExecutor
from ledger.domain.job.outcomes import Failure, Success
from ledger.errors import LedgerError

LEASE_SECONDS = 60.0
HEARTBEATS_PER_LEASE = 3
CLAIM_SECONDS = 5.0
"""How long one claim waits on the server, and so how long `stop` may take without a run."""
ANSWER_SECONDS = 30.0
PAUSE_SECONDS = 1.0
"""Between two attempts while the server does not answer."""
REPORT_ATTEMPTS = 60
BUSY = (httpx.codes.REQUEST_TIMEOUT, httpx.codes.TOO_MANY_REQUESTS)
HANDLER = "handler"

log = logging.getLogger(__name__)
Plain = dict[str, Any]


class WorkerRefused(LedgerError):
    """The server refuses the claims of this worker: its token or its queue is invalid."""

    code = "worker_refused"


class Worker:
    """Executes the runs of one queue, at most `concurrency` at a time, until it is stopped.

    Heartbeats extend the lease of every run. A run that the ledger has given up is cancelled and
    not reported.
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        queue: str,
        concurrency: int = 1,
        lease_seconds: float = LEASE_SECONDS,
    ) -> None:
        self._url = url
        self._token = token
        self._queue = queue
        self._concurrency = concurrency
        self._lease_seconds = lease_seconds
        self._clock: Clock = SystemClock()
        self._stop = asyncio.Event()

    def run(self, handler: Handler) -> None:
        """Call `handler` for every run until the process is interrupted."""
        executor = PythonExecutor({HANDLER: handler}, clock=self._clock)
        with suppress(KeyboardInterrupt):
            asyncio.run(self.serve(executor, {"kind": PythonExecutor.kind, "handler": HANDLER}))

    def stop(self) -> None:
        """Claim no more runs; open runs end. Call it in the worker's event loop."""
        self._stop.set()

    @property
    def is_stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._stop.is_set()

    async def serve(self, executor: Executor, spec: Plain) -> None:
        """Execute every run with `executor`, configured by the map `spec`, until stopped. Raises
        WorkerRefused when the server refuses every claim.
        """
        async with httpx.AsyncClient(
            base_url=self._url, timeout=ANSWER_SECONDS, trust_env=False
        ) as client:
            server = _Server(client, self._token)
            try:
                async with asyncio.TaskGroup() as slots:
                    for _ in range(self._concurrency):
                        slots.create_task(self._slot(server, executor, spec))
            except ExceptionGroup as group:  # not `except*`: Python 3.11.2 wraps what that raises
                refused, rest = group.split(WorkerRefused)
                if refused is None or rest is not None:
                    raise
                raise refused.exceptions[0] from None
            finally:
                await executor.aclose()

    async def _slot(self, server: _Server, executor: Executor, spec: Plain) -> None:
        while not self._stop.is_set():
            claimed = await server.claim(self._queue, self._lease_seconds)
            if claimed is not None:
                await self._work(server, claimed, executor, spec)

    async def _work(self, server: _Server, claimed: Plain, executor: Executor, spec: Plain) -> None:
        work = asyncio.ensure_future(executor.execute(_ticket(claimed, spec)))
        heartbeats = asyncio.ensure_future(self._send_heartbeats(server, claimed))
        try:
            await asyncio.wait({work, heartbeats}, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                await server.report(claimed, work.result())
        finally:
            for task in (work, heartbeats):
                task.cancel()
            await asyncio.gather(work, heartbeats, return_exceptions=True)

    async def _send_heartbeats(self, server: _Server, claimed: Plain) -> None:
        """Extend the lease until the ledger has given the run up."""
        body = {"lease_seconds": self._lease_seconds}
        while True:
            await asyncio.sleep(self._lease_seconds / HEARTBEATS_PER_LEASE)
            answer = await server.send(claimed, "heartbeat", body)
            if answer is not None and answer.status_code == httpx.codes.CONFLICT:
                log.warning("run %s was given up by the ledger", claimed["run"]["run_id"])
                return


class _Server:
    """The connection to the server. Gives None for a request without an answer, to be repeated."""

    def __init__(self, client: httpx.AsyncClient, token: str) -> None:
        self._client = client
        self._token = token

    async def claim(self, queue: str, lease_seconds: float) -> Plain | None:
        """A run, or None when none was due or the server did not answer."""
        body = {"queue": queue, "lease_seconds": lease_seconds, "wait_seconds": CLAIM_SECONDS}
        answer = await self._post("/v1/runs/claim", body, self._token, {})
        if answer is not None and answer.status_code == httpx.codes.NO_CONTENT:
            return None
        if answer is not None and answer.is_client_error and not _is_temporary(answer):
            raise WorkerRefused(f"The server refuses this worker: {_detail(answer)}")
        claimed = _claimed(answer) if answer is not None else None
        if claimed is None:
            await asyncio.sleep(PAUSE_SECONDS)
        return claimed

    async def report(self, claimed: Plain, outcome: object) -> None:
        """Report an outcome; repeat it until the server answers."""
        action, body = _report_of(outcome)
        for _ in range(REPORT_ATTEMPTS):
            answer = await self.send(claimed, action, body)
            if answer is not None and not _is_temporary(answer):
                if not answer.is_success:
                    log.warning("run %s: %s", claimed["run"]["run_id"], _detail(answer))
                return
            await asyncio.sleep(PAUSE_SECONDS)
        log.error("run %s could not be reported", claimed["run"]["run_id"])

    async def send(self, claimed: Plain, action: str, body: Plain) -> httpx.Response | None:
        """Send a heartbeat or a report; the idempotency key makes it safe to repeat a report."""
        run_id = claimed["run"]["run_id"]
        headers = {} if action == "heartbeat" else {"Idempotency-Key": f"{run_id}/{action}"}
        return await self._post(f"/v1/runs/{run_id}/{action}", body, claimed["token"], headers)

    async def _post(
        self, path: str, body: Plain, token: str, headers: dict[str, str]
    ) -> httpx.Response | None:
        try:
            return await self._client.post(
                path, json=body, headers={**headers, "Authorization": f"Bearer {token}"}
            )
        except httpx.HTTPError as error:
            log.warning("the server does not answer: %s", error)
            return None


def _is_temporary(answer: httpx.Response) -> bool:
    """Whether to repeat the request: the server or a proxy has a problem or is busy."""
    return answer.is_server_error or answer.status_code in BUSY


def _claimed(answer: httpx.Response) -> Plain | None:
    """The claimed run; None for an answer that is not one, perhaps from a proxy."""
    if answer.status_code != httpx.codes.OK:
        return None
    try:
        claimed: Plain = answer.json()
        _ticket(claimed, {})
        str(claimed["token"])
    except (ValueError, KeyError, TypeError) as error:
        log.warning("the server's answer is not a run: %s: %s", type(error).__name__, error)
        return None
    return claimed


def _ticket(claimed: Plain, spec: Plain) -> RunTicket:
    run, job = claimed["run"], claimed["job"]
    scheduled_for: datetime = parse_rfc3339(run["scheduled_for"])
    return RunTicket(
        run_id=run["run_id"],
        job_id=job["id"],
        name=job["name"],
        task=job["task"],
        scheduled_for=scheduled_for,
        attempt=run["attempt"],
        fence=run["fence"],
        timeout_seconds=run["timeout_seconds"],
        executor=spec,
    )


def _report_of(outcome: object) -> tuple[str, Plain]:
    match outcome:
        case Success():
            return "succeed", {"output": outcome.output}
        case Failure():
            return "fail", {"error": outcome.error or "-", "failure_class": outcome.failure_class}
        case Blocked():
            return "fail", {"error": outcome.cause}
    return "fail", {"error": f"the executor returned {type(outcome).__name__}"}


def _detail(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return f"HTTP {answer.status_code}"
