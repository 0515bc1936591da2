"""Nodes of a ledger on PostgreSQL in this process, called over HTTP without a socket, with all the
threads that a server has.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from api.bootstrap import open_server_parts
from api.demo.waiting import wait_for
from api.settings import load_settings
from projections.engine.elected import ElectedRunner
from tests.api.harness import Api
from tests.faults.causes.clients import (
    Client,
    clients_running,
    require_cached_jobs_are_folds,
    require_truth,
)
from tests.support.builders import ManualClock, a_spec
from tests.support.read_models import job_in

PATIENCE_SECONDS = 60.0
THREADS = ("ledger-writer", "ledger-listener", "ledger-projections", "ledger-dispatcher")
RUNNING = {"schedule": {"kind": "every", "interval_seconds": 1}}
"""A job that runs all the time."""


@contextmanager
def a_node(dsn: str, folder: Path) -> Iterator[Api]:
    """A node that answers, dispatches, updates read models and delivers, by the machine's clock."""
    settings = load_settings({"JOBLEDGER_DSN": dsn, "JOBLEDGER_DATA": str(folder)})
    with ExitStack() as closing:
        parts = open_server_parts(settings)
        closing.callback(parts.close, 0)
        parts.read_models.wait_seconds = PATIENCE_SECONDS
        parts.start()
        api = Api(parts, ManualClock(), folder)
        closing.callback(api.close)
        yield api


def status_of_readiness(node: Api) -> int:
    """What `/readyz` answers."""
    return node.get("/readyz", by=None).status_code


def wait_until_unready(node: Api) -> None:
    """Until `/readyz` reports that no command can be answered."""
    wait_for("An answer 503", lambda: status_of_readiness(node) == 503, seconds=PATIENCE_SECONDS)


def wait_until_ready(node: Api) -> None:
    """Until `/readyz` reports that commands are answered, without a problem."""

    def is_ready() -> bool:
        answer = node.get("/readyz", by=None)
        return answer.status_code == 200 and answer.json()["status"] == "ready"

    wait_for("An answer ready", is_ready, seconds=PATIENCE_SECONDS)


def require_everything_goes_on(node: Api, name: str) -> None:
    """A new job is stored, run, and in the read models, without any help."""
    wait_until_ready(node)
    job_id = node.ledger.schedule(a_spec(name=name)).job_id
    node.ledger.run(job_id)
    has_run = "job.run_succeeded"
    wait_for("A run", lambda: has_run in node.topics(str(job_id)), seconds=PATIENCE_SECONDS)
    node.parts.read_models.wait_for(node.ledger.writer.position, PATIENCE_SECONDS)
    assert job_in(node.parts.read_models, job_id)["name"] == name
    follower = node.parts.read_models._updater
    assert isinstance(follower, ElectedRunner)
    assert follower.problem is None
    assert node.parts.dispatcher is not None
    assert node.parts.dispatcher.nodes.may_claim()
    assert node.parts.notifier is not None
    assert node.parts.notifier._loop.is_running


def require_unavailable(node: Api, name: str) -> None:
    """A command is answered 503 with a retry time, whether or not its outcome is known."""
    answer = node.post("/v1/jobs", a_spec(name=name))
    assert (answer.status_code, answer.json()["code"]) in (
        (503, "unavailable"),
        (503, "outcome_unknown"),
    )
    assert int(answer.headers["Retry-After"]) >= 1


@contextmanager
def under_load(node: Api, count: int) -> Iterator[list[Client]]:
    """Meanwhile so many clients schedule jobs. Afterwards everything goes on without help, and what
    the clients were answered is true.
    """
    node.ledger.schedule(a_spec(name="running", **RUNNING))
    clients = [Client(node.ledger, number) for number in range(count)]
    with clients_running(clients):
        yield clients
    require_everything_goes_on(node, "after all")
    require_truth(node.ledger, clients)
    require_cached_jobs_are_folds(node.ledger)
