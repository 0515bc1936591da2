"""A worker: takes runs out of a queue over HTTP, works on them, and reports how they ended.

    Worker("http://127.0.0.1:8321", token, queue="gpu").run(render)

`render` is called as a Python handler is (see `ledger.dispatch.executors.python`): with the run's
ticket, for a text or None.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from datetime import datetime
from typing import Any

import httpx

from ledger.clock import Clock, SystemClock, parse_rfc3339
from ledger.dispatch.executors.outcomes import Blocked, Executor, Failed, RunTicket, Succeeded
from ledger.dispatch.executors.python import Handler, PythonExecutor
from ledger.errors import LedgerError

LEASE_SECONDS = 60.0
BEATS_PER_LEASE = 3
CLAIM_SECONDS = 5.0
"""How long one claim waits on the server; how long a worker that was asked to stop may take."""
ANSWER_SECONDS = 30.0
PAUSE_SECONDS = 1.0
"""Between two tries while the server does not answer."""
REPORT_TRIES = 60
BUSY = (httpx.codes.REQUEST_TIMEOUT, httpx.codes.TOO_MANY_REQUESTS)
HANDLER = "handler"

log = logging.getLogger(__name__)
Plain = dict[str, Any]


class WorkerRefused(LedgerError):
    """The server lets this worker claim nothing: its token or its queue is wrong."""

    code = "worker_refused"


class Worker:
    """Works on the runs of one queue, at most `concurrency` at a time, until it is stopped.

    Every run is kept alive by heartbeats. One that the ledger gave up meanwhile is cancelled, and
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
        """Call `handler` for every run, until the process is interrupted."""
        executor = PythonExecutor({HANDLER: handler}, clock=self._clock)
        with suppress(KeyboardInterrupt):
            asyncio.run(self.serve(executor, {"kind": PythonExecutor.kind, "handler": HANDLER}))

    def stop(self) -> None:
        """Claim nothing more; what is under way comes to its end. From the worker's own loop."""
        self._stop.set()

    @property
    def is_stopping(self) -> bool:
        """Whether it was asked to stop."""
        return self._stop.is_set()

    async def serve(self, executor: Executor, how: Plain) -> None:
        """Execute every run with `executor`, as `how` (an executor map) says, until stopped. Raises
        WorkerRefused when the server will never hand out anything.
        """
        async with httpx.AsyncClient(
            base_url=self._url, timeout=ANSWER_SECONDS, trust_env=False
        ) as client:
            line = _Line(client, self._token)
            try:
                async with asyncio.TaskGroup() as slots:
                    for _ in range(self._concurrency):
                        slots.create_task(self._slot(line, executor, how))
            except ExceptionGroup as group:  # not `except*`: Python 3.11.2 wraps what that raises
                refused, rest = group.split(WorkerRefused)
                if refused is None or rest is not None:
                    raise
                raise refused.exceptions[0] from None
            finally:
                await executor.aclose()

    async def _slot(self, line: _Line, executor: Executor, how: Plain) -> None:
        while not self._stop.is_set():
            claimed = await line.claim(self._queue, self._lease_seconds)
            if claimed is not None:
                await self._work(line, claimed, executor, how)

    async def _work(self, line: _Line, claimed: Plain, executor: Executor, how: Plain) -> None:
        work = asyncio.ensure_future(executor.execute(_ticket(claimed, how)))
        beats = asyncio.ensure_future(self._keep_alive(line, claimed))
        try:
            await asyncio.wait({work, beats}, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                await line.report(claimed, work.result())
        finally:
            for task in (work, beats):
                task.cancel()
            await asyncio.gather(work, beats, return_exceptions=True)

    async def _keep_alive(self, line: _Line, claimed: Plain) -> None:
        """Move the lease again and again; ends when the ledger has given the run up."""
        body = {"lease_seconds": self._lease_seconds}
        while True:
            await asyncio.sleep(self._lease_seconds / BEATS_PER_LEASE)
            answer = await line.say(claimed, "heartbeat", body)
            if answer is not None and answer.status_code == httpx.codes.CONFLICT:
                log.warning("run %s was given up by the ledger", claimed["run"]["run_id"])
                return


class _Line:
    """The way to the server. What it does not answer is None, and asked again by the caller."""

    def __init__(self, client: httpx.AsyncClient, token: str) -> None:
        self._client = client
        self._token = token

    async def claim(self, queue: str, lease_seconds: float) -> Plain | None:
        """A run, or None when there was none, or no answer."""
        body = {"queue": queue, "lease_seconds": lease_seconds, "wait_seconds": CLAIM_SECONDS}
        answer = await self._post("/v1/runs/claim", body, self._token, {})
        if answer is not None and answer.status_code == httpx.codes.NO_CONTENT:
            return None
        if answer is not None and answer.is_client_error and not _will_pass(answer):
            raise WorkerRefused(f"The server refuses this worker: {_told(answer)}")
        claimed = _claimed(answer) if answer is not None else None
        if claimed is None:
            await asyncio.sleep(PAUSE_SECONDS)
        return claimed

    async def report(self, claimed: Plain, outcome: object) -> None:
        """Say how a run ended, again and again until the server has heard it."""
        what, body = _report_of(outcome)
        for _ in range(REPORT_TRIES):
            answer = await self.say(claimed, what, body)
            if answer is not None and not _will_pass(answer):
                if not answer.is_success:
                    log.warning("run %s: %s", claimed["run"]["run_id"], _told(answer))
                return
            await asyncio.sleep(PAUSE_SECONDS)
        log.error("run %s could not be reported", claimed["run"]["run_id"])

    async def say(self, claimed: Plain, what: str, body: Plain) -> httpx.Response | None:
        """One heartbeat or report; a report carries its key, so that a repeat is no second one."""
        run_id = claimed["run"]["run_id"]
        headers = {} if what == "heartbeat" else {"Idempotency-Key": f"{run_id}/{what}"}
        return await self._post(f"/v1/runs/{run_id}/{what}", body, claimed["token"], headers)

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


def _will_pass(answer: httpx.Response) -> bool:
    """Whether the same may be asked again: the server, or a proxy, is in trouble or busy."""
    return answer.is_server_error or answer.status_code in BUSY


def _claimed(answer: httpx.Response) -> Plain | None:
    """The run that was handed out; None for anything that is none, whoever said it."""
    if answer.status_code != httpx.codes.OK:
        return None
    try:
        claimed: Plain = answer.json()
        _ticket(claimed, {})
        str(claimed["token"])
    except (ValueError, KeyError, TypeError) as error:
        log.warning("the server's answer is no run: %s: %s", type(error).__name__, error)
        return None
    return claimed


def _ticket(claimed: Plain, how: Plain) -> RunTicket:
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
        executor=how,
    )


def _report_of(outcome: object) -> tuple[str, Plain]:
    match outcome:
        case Succeeded():
            return "succeed", {"output": outcome.output}
        case Failed():
            return "fail", {"error": outcome.error or "-", "failure_class": outcome.failure_class}
        case Blocked():
            return "fail", {"error": outcome.cause}
    return "fail", {"error": f"the executor gave {type(outcome).__name__}"}


def _told(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return f"HTTP {answer.status_code}"
