"""How commands end when they cannot do what was typed: one line with the remedy, and a code."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from api.cli.exit_codes import Exit
from ledger.store.sqlite.folder import EVENT_STORE_FILE, READ_MODELS_FILE
from tests.support.typed_commands import Shell, library, tripped_job

WRONG = [
    (("frobnicate",), "No such command"),
    (("list", "--frob"), "No such option"),
    (("show",), "Missing argument"),
    (("list", "--limit", "0"), "--limit"),
    (("schedule", "x"), "A schedule is needed"),
    (("schedule", "x", "--every", "5 parsecs"), "not a valid duration"),
    (("schedule", "x", "--every", "0s"), "more than 0"),
    (("schedule", "x", "--every", "9" * 400), "100 years"),
    (("schedule", "x", "--every", "1m", "--cron", "* * * * *"), "not several"),
    (("schedule", "x", "--every", "1m", "--tz", "Europe/Berlin"), "--tz"),
    (("schedule", "x", "--at", "tomorrow"), "not a valid instant"),
    (("schedule", "x", "--at", "2026-12-01T09:00:00"), "offset"),
    (("schedule", "x", "--every", "1m", "--noop", "--http", "http://a/"), "not several"),
    (("schedule", "x", "--every", "1m", "--command", "echo 'open"), "cannot be split"),
    (("schedule", "x", "--every", "1m", "--task", "@/nowhere/at/all"), "cannot be read"),
    (("schedule", "x", "--every", "1m", "--backoff", "1,,2"), "--backoff"),
    (("schedule", "bad \udcff name", "--every", "1m"), "UTF-8"),
    (("amend", "report"), "Nothing to change"),
    (("amend", "report", "--patch", "[1]"), "JSON object"),
    (("amend", "report", "--patch", "[" * 100_000), "not JSON"),
    (("amend", "report", "--patch", '{"policy": {"timeout_seconds": NaN}}'), "not JSON"),
    (("resume", "report", "--run-at", "1h", "--run-now"), "not both"),
    (("audit", "--json", "--format", "csv"), "give one"),
    (("audit", "--since", "yesterday"), "not a valid instant"),
]
REFUSED = [
    (("schedule", "REPORT", "--every", "1m"), "name_taken"),
    (("schedule", "x", "--cron", "99 * * * *"), "schedule_invalid"),
    (("schedule", "x", "--cron", "0 0 30 2 *"), "schedule_never_fires"),
    (("schedule", "x", "--cron", "* * * * *", "--tz", "Mars/Base"), "schedule_invalid"),
    (("schedule", "x", "--at", "2001-01-01T00:00:00Z"), "schedule_in_past"),
    (("schedule", "x", "--every", "100ms"), "schedule_invalid"),
    (("schedule", "x", "--every", "1m", "--http", "ftp://a/"), "invalid_field"),
    (("schedule", "x", "--every", "1m", "--task", "x" * 40_000), "too_large"),
    (("schedule", " x", "--every", "1m"), "invalid_field"),
    (("list", "--status", "sleeping"), "invalid_field"),
    (("audit", "--topic", "job.exploded"), "invalid_field"),
    (("audit", "--limit", "5000"), "invalid_field"),
    (("token", "create", "x", "--role", "king"), "invalid_field"),
    (("token", "create", "admin"), "name_taken"),
    (("amend", "report", "--patch", '{"nmae": "x"}'), "unknown_field"),
    (
        ("amend", "report", "--patch", '{"policy": {"trip_after": 99999999999999999999}}'),
        "invalid_field",
    ),
]


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    shell = Shell(tmp_path)
    shell.schedule("report")
    return shell


def assert_one_line(text: str) -> None:
    assert text.startswith("jobledger: ")
    assert text.endswith("\n")
    assert text.count("\n") == 1


@pytest.mark.parametrize(("words", "says"), WRONG, ids=lambda value: str(value)[:40])
def test_wrong_usage_ends_with_2_and_one_sentence(
    shell: Shell, words: tuple[str, ...], says: str
) -> None:
    typed = shell.type(*words)

    assert (typed.code, typed.out) == (Exit.USAGE, "")
    assert_one_line(typed.err)
    assert says in typed.err


@pytest.mark.parametrize(("words", "code"), REFUSED, ids=lambda value: str(value)[:40])
def test_a_refusal_ends_with_1_and_its_code(
    shell: Shell, words: tuple[str, ...], code: str
) -> None:
    typed = shell.type(*words)

    assert (typed.code, typed.out) == (Exit.REFUSED, "")
    assert_one_line(typed.err)
    assert f"jobledger: {code}: " in typed.err


@pytest.mark.parametrize(
    "words",
    [
        ("show", "nobody"),
        ("pause", "00000000-0000-4000-8000-000000000000"),
        ("runs", "abcd"),
        ("token", "revoke", "nobody \udcff"),
    ],
)
def test_a_job_or_token_that_does_not_exist_ends_with_3(
    shell: Shell, words: tuple[str, ...]
) -> None:
    typed = shell.type(*words)

    assert typed.code == Exit.NOT_FOUND
    assert_one_line(typed.err)


def test_a_wrong_token_ends_with_4(shell: Shell, tmp_path: Path) -> None:
    typed = Shell(tmp_path, JOBLEDGER_TOKEN="jl_wrong").type("list")

    assert typed.code == Exit.FORBIDDEN
    assert "unauthenticated" in typed.err


def test_the_folders_token_is_not_sent_to_another_machine(shell: Shell, tmp_path: Path) -> None:
    typed = Shell(tmp_path, JOBLEDGER_URL="http://ledger.example").type("list")

    assert typed.code == Exit.FORBIDDEN
    assert "JOBLEDGER_TOKEN" in typed.err


def test_a_server_that_cannot_be_reached_ends_with_5(tmp_path: Path) -> None:
    nowhere = Shell(tmp_path, JOBLEDGER_URL="http://127.0.0.1:1", JOBLEDGER_TOKEN="jl_x")

    typed = nowhere.type("list")

    assert typed.code == Exit.UNAVAILABLE
    assert_one_line(typed.err)


def test_an_unknown_setting_ends_with_2(tmp_path: Path) -> None:
    typed = Shell(tmp_path, JOBLEDGER_DTA="x").type("list")

    assert typed.code == Exit.USAGE
    assert "JOBLEDGER_DATA" in typed.err
    assert_one_line(typed.err)


@pytest.mark.parametrize("command", ["list", "verify", "doctor", "rebuild"])
def test_a_mistyped_folder_does_not_become_a_ledger(tmp_path: Path, command: str) -> None:
    shell = Shell(tmp_path)

    typed = shell.type(command)

    assert typed.code == Exit.USAGE
    assert "There is no ledger in" in typed.err
    assert not shell.data.exists()


def test_a_file_that_is_not_a_ledger_is_refused_in_one_line(shell: Shell) -> None:
    (shell.data / EVENT_STORE_FILE).write_bytes(b"not a database at all, " * 100)

    for command in ("list", "verify"):
        typed = shell.type(command)
        assert typed.code == Exit.USAGE
        assert_one_line(typed.err)


def test_a_ledger_file_that_others_may_read_is_refused_in_one_line(shell: Shell) -> None:
    (shell.data / EVENT_STORE_FILE).chmod(0o644)

    typed = shell.type("list")

    assert typed.code == Exit.USAGE
    assert "chmod 600" in typed.err


# -- a folder that another process owns without a server ----------------------------------------


@pytest.mark.parametrize("command", ["list", "show", "history", "runs", "audit", "verify"])
def test_questions_are_answered_while_a_library_owns_the_folder(
    tmp_path: Path, command: str
) -> None:
    shell = Shell(tmp_path)
    with library(shell.data) as ledger:
        ledger.schedule(name="in-a-library", schedule={"kind": "every", "interval_seconds": 60})

        typed = shell.type(command, *(["in-a-library"] if command not in ALL else []))

    assert typed.code == Exit.OK, typed
    assert typed.err == ""


ALL = ("list", "audit", "verify")
"""Questions about the whole ledger."""


def test_answers_are_up_to_date_although_the_stored_read_models_are_old(shell: Shell) -> None:
    assert (shell.data / READ_MODELS_FILE).exists()
    with library(shell.data) as ledger:
        ledger.schedule(name="newer", schedule={"kind": "every", "interval_seconds": 60})

        jobs = shell.ok("list", "--json").document["jobs"]

    assert [job["name"] for job in jobs] == ["report", "newer"]


@pytest.mark.parametrize(
    "words",
    [("schedule", "x", "--every", "1m"), ("pause", "report"), ("rebuild",), ("delete", "report")],
)
def test_changes_end_with_5_while_a_library_owns_the_folder(
    shell: Shell, words: tuple[str, ...]
) -> None:
    with library(shell.data):
        typed = shell.type(*words)

    assert (typed.code, typed.out) == (Exit.UNAVAILABLE, "")
    assert_one_line(typed.err)
    assert "owned by process" in typed.err


# -- the ledger itself --------------------------------------------------------------------------


def test_verify_names_the_first_event_that_was_changed(shell: Shell) -> None:
    _tamper(shell.data / EVENT_STORE_FILE, "UPDATE events SET actor = 'mallory' WHERE position = 2")

    typed = shell.type("verify")
    document = shell.type("verify", "--json").document

    assert typed.code == Exit.REFUSED
    assert "Position 2 is bad" in typed.err
    assert (document["sound"], document["first_bad_position"], document["verified"]) == (
        False,
        2,
        1,
    )


def test_rebuild_reports_read_models_that_were_wrong(shell: Shell) -> None:
    assert "equal to" in shell.ok("rebuild").out
    _tamper(shell.data / READ_MODELS_FILE, "UPDATE {jobs} SET name = 'other'")

    rebuilt = shell.type("rebuild")

    assert (rebuilt.code, "DIFFERENT" in rebuilt.out) == (Exit.REFUSED, True)
    assert [job["name"] for job in shell.ok("list", "--json").document["jobs"]] == ["report"]


def test_doctor_reports_a_cached_job_that_differs_from_its_events(shell: Shell) -> None:
    assert "No problems found" in shell.ok("doctor").out
    statement = "UPDATE snapshots SET state = replace(state, '\"active\"', '\"paused\"')"
    _tamper(shell.data / EVENT_STORE_FILE, statement)

    typed = shell.type("doctor")

    assert typed.code == Exit.REFUSED
    assert "stale cached job" in typed.out
    assert "report" in typed.out


def test_the_history_shows_a_trip_with_its_cause(shell: Shell) -> None:
    job_id = tripped_job(shell.data)

    out = shell.ok("history", job_id).out

    assert "active → failed" in out
    assert "rate_limited: 429 Too Many Requests" in out
    assert "failed" in shell.ok("list", "--status", "failed").out


def _tamper(file: Path, statement: str) -> None:
    """Change a file behind the ledger's back, as a user with access to the disk could."""
    connection = sqlite3.connect(file)
    names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall()
    for (name,) in names:
        connection.execute(f"DROP TRIGGER {name}")
    tables = connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'jobs%'"
    ).fetchall()
    with connection:
        connection.execute(statement.format(jobs=tables[0][0] if tables else ""))
    connection.close()
