"""Every event that was ever stored loads: a golden file of each topic, a golden life."""

from __future__ import annotations

import sqlite3
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import pytest
from eventsourcing import persistence as library
from pytest import CaptureFixture, raises

from ledger.errors import CorruptEvent
from ledger.store.audit_query import AuditQuery
from ledger.store.codec import shape_of, text_references
from ledger.store.hash_chain import ChainWalk, EventRow, columns_of, genesis
from ledger.store.mapper import EVENTS, TOPICS
from ledger.store.records import StoredEvent
from tests.golden import write
from tests.golden.given import LOOKS_LIKE_TYPES, OWN, given
from tests.golden.life import VERSIONS, digest_file_of, digest_of, folded, history_of
from tests.golden.write import FOLDER, golden_of, mapper_of, path_of
from tests.support.ad_hoc_command import AdHoc
from tests.support.builders import a_spec, open_ledger

MODULES = (
    "antigravity:fly", "this", "turtle", "turtledemo", "idlelib.idle", "lib2to3.main", "tkinter",
    "os:system", "subprocess:Popen", "builtins:eval", "smtpd", "telnetlib", "nntplib", "ftplib",
    "imaplib", "poplib", "xmlrpc.server", "wsgiref.simple_server", "cgi", "cgitb", "chunk", "crypt",
    "curses", "dbm.dumb", "ensurepip", "filecmp", "fileinput", "mailbox", "mailcap", "modulefinder",
    "msilib", "nis", "ossaudiodev", "pipes", "pyclbr", "rlcompleter", "sched", "sndhdr", "spwd",
    "sunau", "tabnanny", "trace", "tracemalloc", "uu", "venv", "wave", "webbrowser", "xdrlib",
    "zipapp", "pdb:run",
)  # fmt: skip


def golden(event_class: Any) -> dict[str, Any]:
    path = path_of(event_class.TOPIC, event_class.class_version)
    content: dict[str, Any] = orjson.loads(path.read_bytes())
    return content


def stored(kept: dict[str, Any]) -> library.StoredEvent:
    state = orjson.dumps(kept["state"])
    return library.StoredEvent(UUID(kept["stream"]), kept["version"], kept["topic"], state)


# -- one of each --------------------------------------------------------------------------------


def test_every_version_of_every_topic_has_a_golden_file_and_there_is_no_other() -> None:
    wanted = {
        path_of(event_class.TOPIC, version).name
        for event_class in EVENTS
        for version in range(1, event_class.class_version + 1)
    }

    assert {path.name for path in FOLDER.glob("*.json")} == wanted
    assert set(OWN) == set(TOPICS)


@pytest.mark.parametrize("event_class", EVENTS, ids=lambda event_class: event_class.TOPIC)
def test_a_golden_event_loads_to_what_was_given(event_class: Any) -> None:
    kept = golden(event_class)

    event = mapper_of(kept["texts"]).to_domain_event(stored(kept))

    assert type(event) is event_class
    assert vars(event) == vars(given(event_class.TOPIC))


@pytest.mark.parametrize("event_class", EVENTS, ids=lambda event_class: event_class.TOPIC)
def test_a_golden_event_has_exactly_the_fields_of_its_class(event_class: Any) -> None:
    """The library's mapper never validates what it loads, so sets are compared."""
    kept = golden(event_class)

    event = mapper_of(kept["texts"]).to_domain_event(stored(kept))

    assert set(kept["state"]) - {"class_version"} == set(shape_of(event_class).fields)
    assert set(vars(event)) == shape_of(event_class).fields | {
        "originator_id",
        "originator_version",
    }


@pytest.mark.parametrize("event_class", EVENTS, ids=lambda event_class: event_class.TOPIC)
def test_an_event_is_stored_today_as_it_was_then(event_class: Any) -> None:
    assert orjson.loads(orjson.dumps(golden_of(event_class.TOPIC))) == golden(event_class)


@pytest.mark.parametrize("event_class", EVENTS, ids=lambda event_class: event_class.TOPIC)
def test_free_text_is_stored_beside_the_event_with_the_hash_it_names(event_class: Any) -> None:
    kept = golden(event_class)

    references = dict(text_references(shape_of(event_class).texts, kept["state"]))

    assert references.keys() == kept["texts"].keys()
    for text_id, digest in references.items():
        text = kept["texts"][text_id]
        assert sha256(bytes.fromhex(text["salt"]) + text["body"].encode()).hexdigest() == digest
        assert text["body"] not in orjson.dumps(kept["state"]).decode()


@pytest.mark.parametrize("event_class", EVENTS, ids=lambda event_class: event_class.TOPIC)
def test_an_event_without_a_field_is_corrupt_and_the_field_is_named(event_class: Any) -> None:
    kept = golden(event_class)
    for name in shape_of(event_class).fields:
        state = {key: value for key, value in kept["state"].items() if key != name}
        row = StoredEvent(UUID(int=1), 1, event_class.TOPIC, orjson.dumps(state), 33, 0, b"")

        with raises(CorruptEvent, match=rf"position 33 .*lacks {name}"):
            mapper_of(kept["texts"]).to_domain_events([row])


def test_golden_files_are_never_overwritten(capsys: CaptureFixture[str]) -> None:
    before = {path: path.read_bytes() for path in FOLDER.iterdir() if path.is_file()}

    write.write_missing()

    assert {path: path.read_bytes() for path in before} == before
    assert capsys.readouterr().out.count("never overwritten") == len(EVENTS) + 1


# -- a whole life -------------------------------------------------------------------------------


def history(version: int) -> tuple[UUID, list[dict[str, Any]]]:
    raw = history_of(version).read_bytes()
    first, *lines = [orjson.loads(line) for line in raw.splitlines()]
    return UUID(first["ledger_id"]), lines


def test_the_newest_golden_life_contains_every_topic() -> None:
    _, lines = history(VERSIONS[-1])

    assert {line["topic"] for line in lines} == set(TOPICS)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_golden_life_folds_to_its_recorded_digest(version: int) -> None:
    _, lines = history(version)
    texts = {key: text for line in lines for key, text in line["texts"].items()}

    state = folded(lines, mapper_of(texts))

    assert digest_of(state) == digest_file_of(version).read_text().strip()


@pytest.mark.parametrize("version", VERSIONS)
def test_the_chain_of_the_golden_life_still_verifies(version: int) -> None:
    ledger_id, lines = history(version)

    walk = ChainWalk(genesis(ledger_id))

    for row in map(as_row, lines):
        assert walk.problem_with(row, orjson.loads(row.state)) is None
        walk.take(row)
    assert walk.position == len(lines)


def as_row(line: dict[str, Any]) -> EventRow:
    state = line["state"].encode()
    actor, kind, source, correlation_id, failure_class = columns_of(orjson.loads(state))
    return EventRow(
        position=line["position"],
        stream=UUID(line["stream"]).bytes,
        version=line["version"],
        topic=line["topic"],
        state=state,
        recorded_at=line["recorded_at"],
        actor=actor,
        kind=kind,
        source=source,
        correlation_id=correlation_id,
        failure_class=failure_class,
        chain=bytes.fromhex(line["chain"]),
    )


# -- no module named in an event is imported (TH16) -----------------------------------------------


def test_a_topic_column_that_names_a_module_imports_nothing(tmp_path: Path) -> None:
    with open_ledger(tmp_path) as ledger:
        for number in range(len(MODULES)):
            ledger.schedule(a_spec(name=f"job {number}"))
        edit_topics(tmp_path / "data" / "ledger.db")
        before = set(sys.modules)

        for position in range(1, 2 * len(MODULES), 2):
            with raises(CorruptEvent, match=f"position {position} ") as found:
                ledger.queries.audit(AuditQuery(after_position=position - 1, limit=1))
            assert found.value.position == position
            row = ledger.event_store.read(after=position - 1, limit=1)
            with raises(CorruptEvent, match=f"position {position} "):
                ledger.mapper.to_domain_events(row)

    assert set(sys.modules) == before


def edit_topics(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("DROP TRIGGER events_are_never_changed")
    for number, module in enumerate(MODULES):
        edit = "UPDATE events SET topic = ? WHERE position = ?"
        connection.execute(edit, (module, 2 * number + 1))
    connection.commit()
    connection.close()


def test_a_ledger_with_an_unknown_topic_does_not_start_and_names_its_position(
    tmp_path: Path,
) -> None:
    with open_ledger(tmp_path) as ledger:
        ledger.schedule(a_spec())
    connection = sqlite3.connect(tmp_path / "data" / "ledger.db")
    connection.execute("DROP TRIGGER events_are_never_changed")
    connection.execute("UPDATE events SET topic = 'job.antigravity' WHERE position = 1")
    connection.execute("DELETE FROM snapshots")
    connection.commit()
    connection.close()

    with raises(CorruptEvent, match=r"position 1 .*job\.antigravity"):
        open_ledger(tmp_path)


@pytest.mark.parametrize("key", ["originator_topic", "_type_", "__class__", "topic"])
@pytest.mark.parametrize("module", MODULES[:3])
def test_a_payload_field_that_names_a_module_imports_nothing(key: str, module: str) -> None:
    kept = golden(TOPICS["job.paused"])
    kept["state"] |= {key: module}
    before = set(sys.modules)

    event = mapper_of(kept["texts"]).to_domain_event(stored(kept))

    assert type(event) is TOPICS["job.paused"]
    assert set(sys.modules) == before


def test_a_payload_that_looks_like_a_type_is_read_back_equal(tmp_path: Path) -> None:
    imported = {
        "origin": "phantom",
        "origin_id": "1",
        "status": "active",
        "consecutive_errors": 0,
        "last_error": None,
        "last_run_at": None,
        "run_count": 0,
        "next_run_at": None,
        "imported": LOOKS_LIKE_TYPES,
    }
    with open_ledger(tmp_path) as ledger:
        job_id = ledger.schedule(a_spec()).job_id
        call = ledger.context()

        ledger.execute(AdHoc(lambda unit: unit.job(job_id).record_import(imported, call)))

        assert ledger.history(job_id)[-1]["data"]["imported"] == LOOKS_LIKE_TYPES
    with open_ledger(tmp_path, seed=1) as ledger:
        assert ledger.fold(job_id).version == 2
