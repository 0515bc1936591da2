"""The how-to pages: their commands are typed beside a real server, their programs run."""

from __future__ import annotations

import os
import shlex
import signal
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread

import httpx
import pytest

from api.demo.waiting import wait_for
from ledger.dispatch.executors.outcomes import Blocked
from ledger.dispatch.executors.python import ENTRY_POINTS
from ledger.domain.job.outcomes import Failure
from tests.flow.executors.test_python_executor import outcome_of
from tests.support.docs_runner import DOCS, LIMIT_SECONDS, Reader, fences, run_python
from tests.support.typed_commands import Shell

DOCUMENTED_TARGET = "127.0.0.1:9000"
wait_until = partial(wait_for, seconds=LIMIT_SECONDS)


def page(name: str) -> str:
    return (DOCS / "how-to" / f"{name}.md").read_text()


@contextmanager
def answering(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """A target on a free port; where it listens."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        handler.log_message = lambda *_: None  # type: ignore[method-assign]
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def target_of(names: dict[str, object], name: str) -> type[BaseHTTPRequestHandler]:
    found = names[name]
    assert isinstance(found, type)
    assert issubclass(found, BaseHTTPRequestHandler)
    return found


@pytest.mark.slow
def test_the_page_about_http_works_as_documented(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text, reader = page("http"), Reader(tmp_path)
    [serve], [program] = fences(text, "sh"), fences(text, "python")

    with reader.serving(serve):
        names = run_python(program, "target")
        with answering(target_of(names, "Target")) as address:
            reader.addresses[DOCUMENTED_TARGET] = address
            typed(reader.follow(text))
            stranger = httpx.post(f"http://{address}/run", json={"task": "x"}, trust_env=False)

    assert stranger.status_code == 401


@pytest.mark.slow
@pytest.mark.parametrize("name", ["command", "secrets"])
def test_the_pages_about_commands_and_secrets_work_as_documented(tmp_path: Path, name: str) -> None:
    text, reader = page(name), Reader(tmp_path)
    [serve] = fences(text, "sh")

    with reader.serving(serve):
        typed(reader.follow(text))


def test_the_python_program_runs_its_handlers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    program, failing = fences(page("python"), "python")
    failing_names = run_python(failing, "failing")

    run_python(program, "program")

    assert capsys.readouterr().out == "hello from greeting\n"
    shell = Shell(tmp_path, JOBLEDGER_DATA=str(tmp_path / "my-ledger"))
    events = shell.ok("audit", "--topic", "job.run_succeeded", "--json").document["events"]
    assert sorted(event["data"]["output"] for event in events) == ["", "today: 17 sold"]
    failure = outcome_of(failing_names["limited"])
    assert isinstance(failure, Failure)
    assert (failure.error, failure.failure_class) == ("the quota is used up", "rate_limited")
    assert failure.retry_after is not None


def test_the_eventsourcing_program_reads_and_follows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    [program] = fences(page("eventsourcing-library"), "python")

    run_python(program, "program")

    status, paused, followed = capsys.readouterr().out.splitlines()
    assert status == "paused"
    assert paused.endswith("the disk is full")
    assert followed.endswith(" 1")


def test_the_entry_points_of_handlers_are_as_documented(tmp_path: Path) -> None:
    [project], [schedule] = fences(page("python"), "toml"), fences(page("python"), "sh")

    offered = tomllib.loads(project)["project"]["entry-points"]

    assert offered == {ENTRY_POINTS: {"sales": "shop.reports:sales"}}
    shell = Shell(tmp_path)
    program, *words = shlex.split(schedule)
    job = shell.ok(*words, "--json").document["job"]
    assert program == "jobledger"
    assert job["executor"] == {"kind": "python", "handler": "sales"}
    assert isinstance(outcome_of(lambda _: "x", name="sales"), Blocked)


@pytest.mark.slow
def test_the_page_about_workers_works_as_documented(tmp_path: Path) -> None:
    text, reader = page("worker"), Reader(tmp_path)
    [serve] = fences(text, "sh")

    with reader.serving(serve) as server, killed_on_failure(tmp_path / "worker.pid"):
        typed(reader.follow(text))
        [program] = fences(text, "python")
        token = (tmp_path / "worker.token").read_text().strip()
        (tmp_path / "render.py").write_text(program)
        with reader.running("python render.py", JOBLEDGER_URL=server.url, JOBLEDGER_TOKEN=token):
            shell = Shell(tmp_path)
            shell.ok("run", "render")
            wait_until("The run", lambda: "rendered scene 7" in shell.ok("runs", "render").out)


@contextmanager
def killed_on_failure(pid_file: Path) -> Iterator[None]:
    """Kill the process that the page started when a command of the page fails."""
    try:
        yield
    except BaseException:
        with suppress(OSError):
            os.kill(int(pid_file.read_text()), signal.SIGKILL)
        raise


@pytest.mark.slow
def test_the_page_about_the_agent_works_as_documented(tmp_path: Path) -> None:
    text, reader = page("agent"), Reader(tmp_path)
    [serve], [program] = fences(text, "sh"), fences(text, "python")

    with answering(target_of(run_python(program, "agent"), "Agent")) as address:
        reader.addresses[DOCUMENTED_TARGET] = address
        with reader.serving(serve):
            typed(reader.follow(text))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["recover-after-a-storm", "ask-the-ledger"])
def test_the_pages_about_storms_work_as_documented(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    reader, limited, broken = Reader(tmp_path), Flaky(429), Flaky(503)

    with limited.listening(), broken.listening(), reader.serving("jobledger serve"):
        shell = Shell(tmp_path)
        urls = (limited.url, limited.url, limited.url, broken.url)
        for number, url in enumerate(urls, start=1):
            words = ("--trip-after", "1", "--every", "1h", "--http", url)
            shell.ok("schedule", f"storm-{number}", *words)
            shell.ok("run", f"storm-{number}")
        failed = ("list", "--status", "failed", "--json")
        wait_until("The storm", lambda: len(shell.ok(*failed).document["jobs"]) == 4)
        limited.is_over.set()
        typed(reader.follow(page(name)))
        monkeypatch.chdir(tmp_path)
        for number, program in enumerate(fences(page(name), "python")):
            run_python(program, f"{name}-{number}")


class Flaky(ThreadingHTTPServer):
    """A provider that refuses every request with one status until `is_over` is set."""

    daemon_threads = True

    def __init__(self, status: int) -> None:
        super().__init__(("127.0.0.1", 0), _Refusing)
        self.status = status
        self.is_over = Event()
        self.url = f"http://127.0.0.1:{self.server_port}/v1/complete"

    @contextmanager
    def listening(self) -> Iterator[None]:
        with self:
            Thread(target=self.serve_forever, daemon=True).start()
            yield
            self.shutdown()


class _Refusing(BaseHTTPRequestHandler):
    server: Flaky

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        text = b"done" if self.server.is_over.is_set() else b"not now"
        self.send_response(200 if self.server.is_over.is_set() else self.server.status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None: ...


def typed(count: int) -> None:
    """Print how many commands were typed; shown by pytest -rP."""
    print(f"commands: {count}")
    assert count
