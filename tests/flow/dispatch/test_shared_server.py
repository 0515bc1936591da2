"""A server's parts on PostgreSQL: what several nodes must have in common, and which one works for
all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pytest import raises

from api.bootstrap import ServerParts, open_server_parts
from api.demo.waiting import wait_for
from api.security.dsn_policy import require_encrypted_dsn
from api.settings import load_settings
from ledger.errors import StartRefused
from ledger.store.postgres.dsn import SCHEMA, PostgresDsn
from ledger.store.postgres.migrations import READ_MODELS
from projections.engine.elected import ElectedRunner
from tests.contract.stores import own_name
from tests.support.builders import a_spec
from tests.support.read_models import job_in
from tests.support.servers.databases import a_database

PATIENCE_SECONDS = 60.0
wait_until = partial(wait_for, seconds=PATIENCE_SECONDS)

Open = Callable[..., ServerParts]
NOTHING: Mapping[str, str] = {}


@pytest.fixture
def open_node(postgres_dsns: tuple[str, str], tmp_path: Path) -> Iterator[Open]:
    """Opens nodes of one new ledger, in folders named by the caller, and closes them."""
    with ExitStack() as closing:
        address = closing.enter_context(a_database(postgres_dsns[1], own_name()))

        def open_one(
            folder: str = "data", environment: Mapping[str, str] = NOTHING, **options: Any
        ) -> ServerParts:
            here = {"JOBLEDGER_DSN": address, "JOBLEDGER_DATA": str(tmp_path / folder)}
            parts = open_server_parts(load_settings({**here, **environment}), **options)
            closing.callback(parts.close, 0)
            return parts

        yield open_one


def read_model_leader_of(*nodes: ServerParts) -> ServerParts | None:
    """The node that updates the read models at present."""
    leaders = [node for node in nodes if follower_of(node)._runner is not None]
    assert len(leaders) <= 1
    return leaders[0] if leaders else None


def follower_of(node: ServerParts) -> ElectedRunner:
    follower = node.read_models._updater
    assert isinstance(follower, ElectedRunner)
    return follower


def test_nodes_that_start_together_make_one_admin_and_one_key(open_node: Open) -> None:
    with ThreadPoolExecutor(4) as pool:
        nodes = list(pool.map(lambda _: open_node(), range(4)))

    assert {tuple(token.name for token in node.tokens.listing()) for node in nodes} == {("admin",)}
    assert nodes[0].ledger.event_store.topic_counts(after=0, upto=10**9)["token.created"] == 1


def test_a_node_with_another_signing_key_is_refused(open_node: Open) -> None:
    open_node("one")

    with raises(StartRefused, match="differs from the key of the ledger.s other nodes"):
        open_node("other")


def test_a_token_created_on_one_node_is_valid_on_the_other_until_it_is_revoked(
    open_node: Open,
) -> None:
    one, other = open_node(), open_node()
    now = one.ledger.clock.now
    _, secret = one.tokens.create("olga", "operator", None, None, one.ledger.context())
    other.ledger.submit(()).result()
    opened = other.tokens.authenticate(secret, now())

    one.tokens.revoke("olga", one.ledger.context())
    other.ledger.submit(()).result()

    assert opened is not None
    assert opened.name == "olga"
    assert other.tokens.authenticate(secret, now()) is None


def test_an_answer_of_one_node_is_in_the_read_models_of_the_other(open_node: Open) -> None:
    one, other = open_node(dispatches=False), open_node(dispatches=False)
    one.start()
    other.start()
    wait_until("A leader", lambda: read_model_leader_of(one, other) is not None)

    for node, asked in ((one, other), (other, one)):
        job_id = node.ledger.schedule(a_spec(name=f"{node.ledger.chance.new_id()}")).job_id
        asked.read_models.wait_for(node.ledger.writer.position, PATIENCE_SECONDS)
        assert job_in(asked.read_models, job_id)["status"] == "active"


def test_another_node_takes_over_the_read_models_of_a_disconnected_leader(open_node: Open) -> None:
    one, other = open_node(dispatches=False), open_node(dispatches=False)
    one.start()
    wait_until("A leader", lambda: read_model_leader_of(one) is one)
    other.start()
    job_id = one.ledger.schedule(a_spec()).job_id

    one.read_models.close()
    other.ledger.pause(job_id, reason="why not")
    other.read_models.wait_for(other.ledger.writer.position, PATIENCE_SECONDS)

    assert read_model_leader_of(one, other) is other
    assert job_in(other.read_models, job_id)["status"] == "paused"


def test_a_leader_whose_session_ends_starts_over_and_loses_nothing(open_node: Open) -> None:
    node = open_node(dispatches=False)
    node.start()
    wait_until("A leader", lambda: read_model_leader_of(node) is node)
    follower = follower_of(node)
    session = follower._store.leader_lock.connection
    assert session is not None

    with psycopg.connect(session.info.dsn, autocommit=True) as connection:
        connection.execute("SELECT pg_terminate_backend(%s)", (session.info.backend_pid,))
    jobs = [node.ledger.schedule(a_spec(name=f"job {number}")).job_id for number in range(5)]
    node.read_models.wait_for(node.ledger.writer.position, PATIENCE_SECONDS)

    names = [job_in(node.read_models, job_id)["name"] for job_id in jobs]
    assert names == [f"job {number}" for number in range(5)]


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://ada@db.example/ledger",
        "postgresql://ada:pw@10.0.0.5:5432/ledger",
        "postgresql://ada@127.0.0.1:5432,db.example:5432/ledger",
        "postgresql:///ledger?host=db.example",
        "postgresql://ada@[2001:db8::1]:5432/ledger",
    ],
)
def test_a_dsn_over_the_network_must_name_its_protection(dsn: str) -> None:
    """TH27."""
    with raises(StartRefused, match="sslmode=verify-full"):
        require_encrypted_dsn(PostgresDsn(dsn))
    mark = "&" if "?" in dsn else "?"
    require_encrypted_dsn(PostgresDsn(f"{dsn}{mark}sslmode=verify-full"))


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql:///ledger",
        "postgresql://ada@localhost/ledger",
        "postgresql://127.0.0.1:5433/ledger",
        "postgresql://[::1]/ledger",
        "postgresql:///ledger?host=/run/postgresql",
    ],
)
def test_a_local_dsn_needs_no_protection(dsn: str) -> None:
    require_encrypted_dsn(PostgresDsn(dsn))


def test_the_read_models_have_a_schema_of_their_own() -> None:
    projections = PostgresDsn("postgresql:///x").projections_schema(READ_MODELS)

    assert projections.schema == f"{SCHEMA}_projections"


def test_the_read_models_may_be_updated_by_a_separate_process(open_node: Open) -> None:
    node = open_node(environment={"JOBLEDGER_PROJECTIONS": "process"})
    node.start()

    job_id = node.ledger.schedule(a_spec()).job_id
    node.read_models.wait_for(node.ledger.writer.position, PATIENCE_SECONDS)

    assert job_in(node.read_models, job_id)["status"] == "active"
    assert {item["state"] for item in node.read_models.health()} == {"live"}
