"""The steps: a storm trips thirty jobs, one is resumed by force, and the events prove all of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.live import Live
from rich.text import Text

from api.cli.connection.client import ApiClient
from api.cli.exit_codes import Problem
from api.cli.output.terminal import console, say
from api.cli.output.times import to_the_second
from api.demo.processes import DemoServer, a_server, type_command
from api.demo.provider import Provider, a_provider
from api.demo.waiting import Broken, require, wait_for
from ledger.clock import SystemClock, parse_rfc3339

JOBS = 30
TRIP_AFTER = 3
BACKOFF_SECONDS = [0.3, 0.5]
WORKING_SECONDS = 20.0
STORM_SECONDS = 30.0
RECOVERY_SECONDS = 15.0
OPERATOR = "olga"
CLIENTS = ("acme", "birch", "cobalt", "delta", "ember", "fjord")
CHORES = ("mail-digest", "price-watch", "calendar-sync", "invoice-check", "news-brief")
REASON = "provider raised our quota, ticket 4711"
BAR_WIDTH = 30
"""Characters for all jobs."""
SHOWN_TOPICS = ("job.scheduled", "job.circuit_tripped", "job.force_resumed", "job.run_succeeded")

Counts = dict[str, int]


def run_demo() -> None:
    """All steps, on a server and a provider of their own. Raises Broken, or Stop when the API
    refuses what it should not.
    """
    clock = SystemClock()
    started = clock.elapsed()
    with (
        TemporaryDirectory(prefix="jobledger-demo-") as folder,
        a_provider() as provider,
        a_server(Path(folder)) as server,
    ):
        with server.client() as admin:
            _begin(server, provider, admin)
            _storm(provider, admin)
            job = _failed_job(admin)
            with server.client(_operator(admin)) as operator:
                _refused(operator, job)
                forced_at = _forced(operator, job)
            _recovered(provider, admin, job, forced_at)
            _audited(server, admin, job)
        _verified(server)
    _step(f"All steps happened, in {clock.elapsed() - started:.0f} s.")


# -- the steps ----------------------------------------------------------------------------------


def _begin(server: DemoServer, provider: Provider, admin: ApiClient) -> None:
    _step(f"A server on {server.url}, a provider on 127.0.0.1:{provider.server_port}.")
    names = [f"{chore}-{client}" for client in CLIENTS for chore in CHORES]
    for number, name in enumerate(names[:JOBS]):
        admin.request("POST", "/v1/jobs", body=_spec(name, number, provider.url))
    say(f"  {JOBS} jobs are scheduled, every 1 to 2 seconds; {TRIP_AFTER} consecutive errors trip.")
    all_ran = "The first success of every job"
    wait_for(all_ran, lambda: _all_succeeded(admin), seconds=WORKING_SECONDS)
    say(f"  Each of them has run: the provider answered 200 {provider.answered[200]} times.")


def _storm(provider: Provider, admin: ApiClient) -> None:
    _step("The provider rate-limits every request: 429.")
    provider.is_limiting.set()
    watch_counts(admin, until=lambda counts: counts["failed"] == JOBS, seconds=STORM_SECONDS)
    trips = _events(admin, topic="job.circuit_tripped", limit=1000)
    require(f"{JOBS} trips are recorded", len(trips) == JOBS)
    classes = {trip["data"]["failure_class"] for trip in trips}
    require("Every trip says rate_limited", classes == {"rate_limited"})
    instants = [parse_rfc3339(trip["recorded_at"]) for trip in trips]
    spread = (max(instants) - min(instants)).total_seconds()
    say(f"  {JOBS} breakers tripped within {spread:.1f} s; each trip has its cause:")
    say(f"  {trips[0]['data']['last_error']}", style="dim")


def _refused(operator: ApiClient, job: dict[str, Any]) -> None:
    _step(f"{OPERATOR} resumes {job['name']} without force, which is refused.")
    say(f"  POST /v1/jobs/{job['id']}/resume", style="bold")
    try:
        operator.request("POST", f"/v1/jobs/{job['id']}/resume")
    except Problem as problem:
        require("The refusal is force_required", problem.problem_code == "force_required")
        require("It is a 409", problem.status == 409)
        say(f"  409 {problem.problem_code}: {problem.detail}")
        return
    raise Broken("A failed job was resumed without force.")


def _forced(operator: ApiClient, job: dict[str, Any]) -> int:
    _step(f"{OPERATOR} resumes it with force and a reason.")
    body = {"force": True, "reason": REASON}
    say(f'  POST …/resume {{"force": true, "reason": "{REASON}"}}', style="bold")
    answer = operator.request("POST", f"/v1/jobs/{job['id']}/resume", body=body).document
    after = answer["job"]
    require("The job is active again", after["status"] == "active" and answer["changed"])
    require("Its streak is cleared", after["consecutive_errors"] == 0)
    say(f"  200: {after['name']} is active, next run {to_the_second(after['next_run_at'])}.")
    return int(answer["position"])


def _recovered(provider: Provider, admin: ApiClient, job: dict[str, Any], forced_at: int) -> None:
    _step("The provider answers 200 again.")
    provider.is_limiting.clear()
    ran = f"A success of {job['name']} after its resume"
    event = wait_for(ran, lambda: _success(admin, job, forced_at), seconds=RECOVERY_SECONDS)
    say(f"  {job['name']} ran and succeeded (position {event['position']}).")
    counts = admin.request("GET", "/v1/summary").document["summary"]
    require("The others are still failed", counts["failed"] == JOBS - 1)
    say(f"  The other {counts['failed']} stay failed: only an operator resumes them.")


def _audited(server: DemoServer, admin: ApiClient, job: dict[str, Any]) -> None:
    _step("Who did what, when and why? The audit reads the events themselves.")
    [forced] = _events(admin, topic="job.force_resumed")
    require("One forced resume, of this job", forced["job_id"] == job["id"])
    require("It names the actor", forced["actor"] == {"id": OPERATOR, "kind": "user"})
    require("It has the reason", forced["reason"] == REASON)
    require("It has the number of cleared errors", forced["data"]["cleared_errors"] == TRIP_AFTER)
    topics = [word for topic in SHOWN_TOPICS for word in ("--topic", topic)]
    newest = ["--order", "desc", "--limit", "6"]
    type_command(server.data, "audit", "--job", job["name"], *topics, *newest)


def _verified(server: DemoServer) -> None:
    _step("The server stops, and the hash chain is verified.")
    require("The server ended with 0", server.stop() == 0)
    type_command(server.data, "verify")


# -- the counts ---------------------------------------------------------------------------------


def watch_counts(client: ApiClient, *, until: Callable[[Counts], bool], seconds: float) -> None:
    """Show the counts until they are as wanted: in place on a terminal, else line by line."""
    screen = console()
    shown = ""

    with Live(console=screen, auto_refresh=False, transient=False) as live:

        def look() -> bool:
            nonlocal shown
            counts = client.request("GET", "/v1/summary").document["summary"]
            line = bar(counts)
            if line.plain != shown:
                shown = line.plain
                live.update(line, refresh=True) if screen.is_terminal else screen.print(line)
            return until(counts)

        wait_for("The trip of every job", look, seconds=seconds)


def bar(counts: Counts) -> Text:
    """One line: how many jobs are active, how many failed."""
    failed = round(BAR_WIDTH * counts["failed"] / max(1, counts["total"]))
    line = Text("  ").append("█" * (BAR_WIDTH - failed), "green").append("░" * failed, "red")
    return line.append(f"  {counts['active']:>2} active  {counts['failed']:>2} failed")


# -- requests --------------------------------------------------------------------------------


def _spec(name: str, number: int, url: str) -> dict[str, Any]:
    return {
        "name": name,
        "schedule": {"kind": "every", "interval_seconds": 1 + number % 5 * 0.25},
        "task": f"{name}: the usual",
        "executor": {"kind": "http", "url": url},
        "policy": {"trip_after": TRIP_AFTER, "backoff_seconds": BACKOFF_SECONDS},
        "tags": [name.rsplit("-", 1)[1]],
    }


def _operator(admin: ApiClient) -> str:
    body = {"name": OPERATOR, "role": "operator", "kind": "user"}
    return str(admin.request("POST", "/v1/tokens", body=body).document["secret"])


def _failed_job(admin: ApiClient) -> dict[str, Any]:
    query = {"status": "failed", "q": CHORES[0], "limit": 1}
    [job] = admin.request("GET", "/v1/jobs", query=query).document["jobs"]
    return dict(job)


def _all_succeeded(admin: ApiClient) -> bool:
    jobs = admin.request("GET", "/v1/jobs", query={"limit": 1000}).document["jobs"]
    runs = [job["last_run"] for job in jobs]
    return len(jobs) == JOBS and all(run and run["status"] == "succeeded" for run in runs)


def _success(admin: ApiClient, job: dict[str, Any], after: int) -> dict[str, Any] | None:
    found = _events(admin, topic="job.run_succeeded", job=job["id"], order="desc", limit=1)
    return found[0] if found and found[0]["position"] > after else None


def _events(admin: ApiClient, **query: object) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = admin.request("GET", "/v1/events", query=query).document[
        "events"
    ]
    return events


def _step(text: str) -> None:
    say()
    say(text, style="bold cyan")
