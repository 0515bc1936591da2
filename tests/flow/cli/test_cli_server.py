"""Commands beside a real server, and how servers start and stop."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from api.demo.processes import ENVIRONMENT, PROGRAM, ROOT, DemoServer, a_server
from api.demo.waiting import wait_for
from ledger import Ledger
from ledger.store.sqlite.folder import Folder
from tests.support.servers.mailbox import a_mailbox
from tests.support.typed_commands import Shell

LIMIT_SECONDS = 60.0
"""A hang fails by this name; nothing is measured by it."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[DemoServer]:
    with a_server(tmp_path) as running:
        yield running


@pytest.fixture
def shell(tmp_path: Path, server: DemoServer) -> Shell:
    assert server.process.poll() is None
    return Shell(tmp_path)


def serve_again(data: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    """Another `jobledger serve`, which is expected to be refused."""
    return subprocess.run(
        [*PROGRAM, "serve", "--data", str(data), *flags],
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )


def test_commands_find_the_server_that_owns_the_folder(server: DemoServer, shell: Shell) -> None:
    job = shell.schedule("report")

    with server.client() as client:
        found = client.request("GET", f"/v1/jobs/{job['id']}").document["job"]
    assert found == job
    assert Folder(server.data).owner() == {"pid": server.process.pid, "url": server.url}
    assert "report" in shell.ok("list").out
    assert shell.ok("verify", "--json").document["sound"] is True
    assert shell.ok("doctor", "--json").document["ghosts"] == []


def test_commands_reach_a_server_by_its_url(server: DemoServer, tmp_path: Path) -> None:
    token = (server.data / "admin.token").read_text().strip()
    elsewhere = Shell(tmp_path / "elsewhere", JOBLEDGER_URL=server.url, JOBLEDGER_TOKEN=token)

    elsewhere.schedule("report")

    assert [job["name"] for job in elsewhere.ok("list", "--json").document["jobs"]] == ["report"]
    assert not elsewhere.data.exists()


def test_a_stopped_server_exits_with_0_and_releases_the_folder(
    server: DemoServer, shell: Shell
) -> None:
    shell.schedule("report")

    assert server.stop() == 0

    assert shell.ok("rebuild", "--json").document["read_models"][0]["equal"] is True
    shell.ok("pause", "report")


def test_an_open_run_ends_before_the_server(server: DemoServer, shell: Shell) -> None:
    with a_mailbox() as target:
        target.may_answer.clear()
        shell.ok("schedule", "slow", "--every", "1s", "--http", target.url)
        assert target.has_come.wait(LIMIT_SECONDS)

        server.process.send_signal(signal.SIGTERM)
        wait_for("The end of answers", lambda: not is_answering(server), seconds=LIMIT_SECONDS)
        target.may_answer.set()

        assert server.process.wait(LIMIT_SECONDS) == 0
    with Ledger.open(server.data) as ledger:
        [job] = ledger.job_cache.snapshot()
        topics = [event["topic"] for event in ledger.history(job.id)]
    assert topics == ["job.scheduled", "job.run_started", "job.run_succeeded"]


def test_the_address_of_a_dead_server_is_ignored(server: DemoServer, shell: Shell) -> None:
    shell.schedule("report")
    server.process.kill()
    server.process.wait(LIMIT_SECONDS)

    assert Folder(server.data).owner()["url"] == server.url
    assert "report" in shell.ok("list").out


@pytest.mark.parametrize(
    ("folder", "port", "says"), [("data", "0", "start_refused"), ("other", None, "--port")]
)
def test_a_second_server_on_one_folder_or_port_is_refused_in_one_line(
    server: DemoServer, tmp_path: Path, folder: str, port: str | None, says: str
) -> None:
    refused = serve_again(tmp_path / folder, "--port", port or server.url.rsplit(":", 1)[1])

    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith("jobledger: ")
    assert refused.stderr.count("\n") == 1
    assert says in refused.stderr


def test_rebuild_is_refused_beside_a_server(server: DemoServer, shell: Shell) -> None:
    typed = shell.type("rebuild")

    assert typed.code == 5
    assert server.url in typed.err


def test_serve_prints_its_address_a_login_link_and_the_token_file(server: DemoServer) -> None:
    with server.client() as client:
        client.request("GET", "/v1/summary")
    greeting = (server.data.parent / "server.log").read_text()
    [link] = [word for word in greeting.split() if "/login?code=" in word]

    first, second = httpx.get(link, trust_env=False), httpx.get(link, trust_env=False)

    assert (first.status_code, second.status_code) == (303, 401)
    assert server.url in greeting
    assert str(server.data / "admin.token") in greeting
    assert (server.data / "admin.token").read_text().strip() not in greeting


def test_dispatch_executes_due_runs_without_an_api(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.ok("schedule", "tick", "--every", "1s", "--noop")
    process = subprocess.Popen(
        [*PROGRAM, "dispatch", "--data", str(shell.data)],
        cwd=ROOT,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with process:

        def owns() -> bool:
            return Folder(shell.data).owner() == {"pid": process.pid}

        def has_run() -> bool:
            events = shell.ok("audit", "--topic", "job.run_succeeded", "--json").document["events"]
            return bool(events)

        try:
            wait_for("The start", owns, seconds=LIMIT_SECONDS)
            wait_for("A run", has_run, seconds=LIMIT_SECONDS)
            assert shell.type("pause", "tick").code == 5
            process.send_signal(signal.SIGINT)
            assert process.wait(LIMIT_SECONDS) == 0
        finally:
            process.kill()


def test_a_server_without_dispatcher_starts_no_runs(tmp_path: Path) -> None:
    with a_server(tmp_path, "--no-dispatch") as server, server.client() as client:
        state = json.loads(httpx.get(f"{server.url}/readyz", trust_env=False).text)

        assert state["dispatcher"] is None
        assert client.request("GET", "/v1/summary").document["summary"]["total"] == 0


def test_commands_at_the_same_moment_wait_for_each_other(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.schedule("first")
    words = ("--every", "1h", "--noop", "--data", str(shell.data))
    typed = [
        subprocess.Popen(
            [*PROGRAM, "schedule", f"job-{number}", *words],
            cwd=ROOT,
            env=ENVIRONMENT,
            stdout=subprocess.DEVNULL,
        )
        for number in range(3)
    ]

    assert [process.wait(LIMIT_SECONDS) for process in typed] == [0, 0, 0]
    names = {job["name"] for job in shell.ok("list", "--json").document["jobs"]}
    assert names == {"first", "job-0", "job-1", "job-2"}


def is_answering(server: DemoServer) -> bool:
    try:
        return httpx.get(f"{server.url}/healthz", trust_env=False).is_success
    except httpx.TransportError:
        return False
