"""External workers beside a real server: they share a queue; one takes over what another drops."""

from __future__ import annotations

import fcntl
import json
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import cast

import httpx
import pytest

from api.demo.processes import ENVIRONMENT, PROGRAM, ROOT, DemoServer, a_server
from api.demo.waiting import wait_for
from tests.support.typed_commands import Shell

LIMIT_SECONDS = 240.0
"""A hang fails by this; nothing is measured by it."""
wait_until = partial(wait_for, seconds=LIMIT_SECONDS)
AT = {"kind": "at", "at": "2999-01-01T00:00:00Z"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[DemoServer]:
    with a_server(tmp_path) as running:
        yield running


@contextmanager
def a_worker(
    server: DemoServer, *words: str, command: Sequence[str]
) -> Iterator[subprocess.Popen[bytes]]:
    token = (server.data / "admin.token").read_text().strip()
    environment = {**ENVIRONMENT, "JOBLEDGER_URL": server.url, "JOBLEDGER_TOKEN": token}
    argv = [*PROGRAM, "worker", "--queue", "gpu", *words, "--", *command]
    worker = subprocess.Popen(argv, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
    try:
        yield worker
    finally:
        worker.kill()
        worker.wait()


def requested(server: DemoServer, count: int) -> None:
    """So many jobs of the queue, each with one requested run."""
    with server.client() as door:
        for number in range(count):
            spec = {
                "name": f"render {number}",
                "schedule": AT,
                "task": f"cat {number}",
                "executor": {"kind": "worker", "queue": "gpu"},
                "policy": {"lease_seconds": 1, "backoff_seconds": [0.1]},
            }
            job_id = door.request("POST", "/v1/jobs", body=spec).document["job"]["id"]
            door.request("POST", f"/v1/jobs/{job_id}/run")


def ended(server: DemoServer) -> Counter[str]:
    """How often each thing happened to runs."""
    with server.client() as door:
        query = {"topic": ["job.run_started", "job.run_succeeded", "job.run_lost"]}
        counts: Counter[str] = Counter()
        with door.stream("/v1/events", query | {"format": "jsonl"}) as pieces:
            for line in "".join(pieces).splitlines():
                counts[line.split('"topic":"')[1].split('"')[0]] += 1
        return counts


@pytest.mark.parametrize(
    "count",
    [pytest.param(60, marks=pytest.mark.slow), pytest.param(1000, marks=pytest.mark.proof)],
)
def test_two_workers_share_a_queue_and_one_takes_over_the_runs_of_a_killed_one(
    server: DemoServer, count: int
) -> None:
    requested(server, count)
    words, command = ("--concurrency", "4", "--lease", "1"), ["cat"]

    with (
        a_worker(server, *words, command=command) as one,
        a_worker(server, *words, command=command),
    ):
        third = count // 3
        wait_until("A third", lambda: ended(server)["job.run_succeeded"] >= third)
        one.send_signal(signal.SIGKILL)
        wait_until("All runs", lambda: ended(server)["job.run_succeeded"] == count)

    counts = ended(server)
    print(dict(counts))
    assert counts["job.run_succeeded"] == count
    assert counts["job.run_started"] == count + counts["job.run_lost"]


@pytest.mark.slow
def test_a_workers_command_gets_the_task_and_its_output_is_the_runs(
    server: DemoServer, tmp_path: Path
) -> None:
    requested(server, 1)
    script = "import os, sys; print(sys.stdin.read(), os.environ['JOBLEDGER_ATTEMPT'])"

    with a_worker(server, command=[sys.executable, "-c", script]):
        wait_until("The run", lambda: ended(server)["job.run_succeeded"])

    audit = Shell(tmp_path).ok("audit", "--topic", "job.run_succeeded", "--json")
    [event] = audit.document["events"]
    assert event["data"]["output"] == "cat 0 1\n"


@pytest.mark.slow
def test_a_worker_that_is_asked_to_stop_ends_its_run_first(server: DemoServer) -> None:
    requested(server, 1)

    with a_worker(server, command=["sh", "-c", "sleep 0.5; echo done"]) as worker:
        wait_until("The start", lambda: ended(server)["job.run_started"])
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(LIMIT_SECONDS) == 0

    assert ended(server)["job.run_succeeded"] == 1


@pytest.mark.slow
def test_a_run_continues_while_its_server_is_killed_and_restarted(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as place:
        port = str(place.getsockname()[1])
    may_end, begun = tmp_path / "may-end", tmp_path / "begun"
    script = f"import os, time; open({str(begun)!r}, 'w')\n"
    script += f"while not os.path.exists({str(may_end)!r}): time.sleep(0.05)"

    with a_server(tmp_path, "--port", port) as first:
        requested(first, 1)
        with a_worker(first, "--lease", "600", command=[sys.executable, "-c", script]) as worker:
            wait_until("The start", begun.exists)
            first.process.kill()
            first.process.wait()
            may_end.touch()
            with a_server(tmp_path, "--port", port) as second:
                wait_until("The report", lambda: ended(second)["job.run_succeeded"])
                worker.terminate()
                assert worker.wait(LIMIT_SECONDS) == 0
                assert ended(second) == {"job.run_started": 1, "job.run_succeeded": 1}


@pytest.mark.slow
def test_a_second_stop_signal_ends_a_workers_commands(server: DemoServer, tmp_path: Path) -> None:
    requested(server, 1)
    held, ready = tmp_path / "held", tmp_path / "ready"
    held.touch()
    script = f"import fcntl, time; lock = open({str(held)!r}); fcntl.flock(lock, fcntl.LOCK_EX);"
    script += f"open({str(ready)!r}, 'w'); time.sleep(3600)"

    with a_worker(server, command=[sys.executable, "-c", script]) as worker:
        wait_until("The start", ready.exists)
        worker.send_signal(signal.SIGTERM)
        while worker.poll() is None:
            worker.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                worker.wait(1)

    with held.open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the command died, and released the lock


def test_a_worker_whose_program_is_missing_claims_nothing(server: DemoServer) -> None:
    requested(server, 1)

    with a_worker(server, command=["no-such-program"]) as worker:
        assert worker.wait(LIMIT_SECONDS) == 2

    assert ended(server)["job.run_started"] == 0


def test_a_worker_with_a_wrong_token_is_refused(server: DemoServer) -> None:
    environment = {**ENVIRONMENT, "JOBLEDGER_URL": server.url, "JOBLEDGER_TOKEN": "jl_wrong"}

    argv = [*PROGRAM, "worker", "--queue", "gpu", "--", "true"]
    ended = subprocess.run(
        argv, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=LIMIT_SECONDS
    )

    assert ended.returncode == 1
    assert "refuses this worker" in ended.stderr
    assert ended.stderr.count("\n") == 1


class Accepting(ThreadingHTTPServer):
    """An HTTP target that takes runs over (202) and reports later, as the test says."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Accept)
        self.taken: SimpleQueue[tuple[str, str]] = SimpleQueue()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/"


class _Accept(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        run = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        target = cast(Accepting, self.server)
        target.taken.put((run["run_id"], self.headers["Jobledger-Run-Token"]))
        self.send_response(202)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None: ...


@pytest.mark.slow
def test_a_target_that_answers_202_reports_with_its_runs_token(
    server: DemoServer, tmp_path: Path
) -> None:
    shell = Shell(tmp_path)
    with Accepting() as target:
        Thread(target=target.serve_forever, daemon=True).start()
        shell.ok("schedule", "far", "--every", "1s", "--http", target.url)
        run_id, token = target.taken.get(timeout=LIMIT_SECONDS)
        target.shutdown()

    def report() -> httpx.Response:
        return httpx.post(
            f"{server.url}/v1/runs/{run_id}/succeed",
            json={"output": "it is done"},
            headers={"Authorization": f"Bearer {token}"},
            trust_env=False,
        )

    answer = report()

    assert answer.status_code == 200, answer.text
    typed = shell.ok("audit", "--topic", "job.run_succeeded", "--limit", "1", "--json")
    [event] = typed.document["events"]
    assert event["data"]["output"] == "it is done"
    assert event["actor"] == {"id": "127.0.0.1", "kind": "worker"}
    assert report().json()["code"] == "run_superseded"
