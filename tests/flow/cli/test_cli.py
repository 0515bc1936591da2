"""Commands without a server: each opens the folder itself and calls the same application."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.typed_commands import Shell, tripped_job

CSI = "\x9b"


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def test_a_scheduled_job_is_listed_and_shown_with_its_history(shell: Shell) -> None:
    scheduled = shell.ok("schedule", "report", "--every", "5m", "--noop", "--tag", "daily")

    assert "report" in scheduled.out
    assert "next run" in scheduled.out
    assert "every 5m" in shell.ok("list").out
    assert "daily" in shell.ok("show", "report").out
    assert "scheduled" in shell.ok("history", "report").out
    assert "No runs." in shell.ok("runs", "report").out


def test_json_output_is_exactly_the_answer_of_the_api(shell: Shell) -> None:
    job = shell.schedule("report")

    assert shell.ok("list", "--json").document.keys() == {"jobs", "next", "position"}
    assert shell.ok("show", "report", "--json").document == {"job": job}
    assert shell.ok("history", "report", "--json").document.keys() == {"events", "next", "position"}
    assert shell.ok("runs", "report", "--json").document["runs"] == []
    assert shell.ok("pause", "report", "--json").document.keys() == {"job", "changed", "position"}
    assert shell.ok("token", "list", "--json").document["tokens"][0]["name"] == "admin"
    assert shell.ok("verify", "--json").document["sound"] is True
    assert shell.ok("rebuild", "--json").document["read_models"][0]["equal"] is True
    assert shell.ok("doctor", "--json").document == {"ghosts": [], "strayed": [], "read_models": []}
    assert "version" in shell.ok("version", "--json").document


def test_every_flag_of_schedule_reaches_the_job(shell: Shell) -> None:
    words = ("--cron", "*/5 9 * * 1-5", "--tz", "Europe/Berlin", "--task", "write it")
    more = ("--command", "sh -c 'echo \"a b\"'", "--tag", "a", "--tag", "b", "--trip-after", "4")
    rest = ("--backoff", "1,2.5,1m", "--timeout", "30s", "--disabled", "--delete-after-run")
    typed = shell.ok("schedule", "x", *words, *more, *rest, "--description", "why", "--json")

    job = typed.document["job"]
    assert job["schedule"] == {
        "kind": "cron",
        "expr": "*/5 9 * * 1-5",
        "tz": "Europe/Berlin",
        "dst": "vixie",
    }
    assert job["executor"] == {"kind": "command", "argv": ["sh", "-c", 'echo "a b"']}
    assert (job["task"], job["description"], job["tags"]) == ("write it", "why", ["a", "b"])
    assert job["policy"]["trip_after"] == 4
    assert job["policy"]["backoff_seconds"] == [1, 2.5, 60]
    assert job["policy"]["timeout_seconds"] == 30
    assert (job["enabled"], job["delete_after_run"]) == (False, True)


def test_a_task_comes_from_a_file_or_from_standard_input(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "task.txt").write_text("from a file\n")

    named = shell.schedule("one", "--task", f"@{tmp_path / 'task.txt'}")
    piped = shell.ok(
        "schedule", "two", "--every", "1h", "--task", "-", "--json", given="from a pipe\n"
    )

    assert named["task"] == "from a file\n"
    assert piped.document["job"]["task"] == "from a pipe\n"


def test_the_audit_has_the_actor_reason_and_source_of_each_command(
    shell: Shell,
) -> None:
    shell.schedule("report")

    shell.ok("pause", "report", "--reason", "the provider is down")
    shell.ok("resume", "report")
    shell.ok("run", "report")
    shell.ok("amend", "report", "--every", "10m", "--name", "summary")
    shell.ok("delete", "summary")

    events = shell.ok("audit", "--source", "cli", "--json").document["events"]
    topics = [event["topic"] for event in events if event["topic"].startswith("job.")]
    assert topics == [
        "job.scheduled",
        "job.paused",
        "job.resumed",
        "job.run_requested",
        "job.amended",
        "job.deleted",
    ]
    assert {event["actor"]["id"] for event in events} == {"admin"}
    paused = shell.ok("audit", "--topic", "job.paused", "--json").document["events"]
    assert paused[0]["reason"] == "the provider is down"


def test_a_failed_job_is_resumed_only_with_force(shell: Shell) -> None:
    job_id = tripped_job(shell.data)

    refused = shell.type("resume", "broken")
    refused_json = shell.type("resume", "broken", "--json")
    forced = shell.ok("resume", "broken", "--force", "--reason", "fixed", "--json")

    assert (refused.code, refused.out) == (1, "")
    assert refused.err.startswith("jobledger: force_required: ")
    assert "--force" in refused.err
    assert refused_json.code == 1
    assert (refused_json.document["code"], refused_json.document["status"]) == (
        "force_required",
        409,
    )
    assert forced.document["job"]["status"] == "active"
    assert shell.topics(job_id)[-1] == "job.force_resumed"


def test_a_change_of_an_older_revision_is_refused(shell: Shell) -> None:
    shell.schedule("report")
    shell.ok("pause", "report")

    typed = shell.type("amend", "report", "--every", "2h", "--if-revision", "1")

    assert typed.code == 1
    assert "stale_revision" in typed.err


def test_any_field_is_amended_by_a_merge_patch(shell: Shell) -> None:
    shell.schedule("report", "--description", "old")

    typed = shell.ok("amend", "report", "--patch", '{"description": null}', "--disable", "--json")

    job = typed.document["job"]
    assert (job["description"], job["enabled"]) == (None, False)


def test_preview_lists_fires_without_creating_a_job(shell: Shell) -> None:
    shell.schedule("report")
    words = ("preview", "--cron", "0 9 * * *", "--after", "2026-03-02T12:00:00Z", "--count", "2")

    typed = shell.ok(*words, "--json")

    assert typed.document["fires"] == ["2026-03-03T09:00:00Z", "2026-03-04T09:00:00Z"]
    assert "2026-03-03T09:00:00Z" in shell.ok(*words).out
    assert len(shell.ok("list", "--json").document["jobs"]) == 1


# -- which job ----------------------------------------------------------------------------------


def test_a_job_is_found_by_id_by_prefix_or_by_name(shell: Shell) -> None:
    job_id = shell.schedule("Über [bold]")["id"]

    for wanted in (job_id, job_id.upper(), job_id[:8], "Über [bold]", "über [BOLD]"):
        assert shell.ok("show", wanted, "--json").document["job"]["id"] == job_id


def test_a_name_that_is_also_the_prefix_of_an_id_is_ambiguous(shell: Shell) -> None:
    job_id = shell.schedule("first")["id"]
    other_id = shell.schedule(job_id[:6])["id"]

    typed = shell.type("pause", job_id[:6])

    assert typed.code == 1
    assert job_id in typed.err
    assert other_id in typed.err
    assert shell.ok("show", "first", "--json").document["job"]["status"] == "active"


def test_the_history_of_a_deleted_job_is_found_by_its_id(shell: Shell) -> None:
    job_id = shell.schedule("gone")["id"]
    shell.ok("delete", "gone", "--reason", "obsolete")

    assert shell.topics(job_id) == ["job.scheduled", "job.deleted"]
    assert shell.type("show", "gone").code == 3


def test_a_page_continues_after_the_previous_one(shell: Shell) -> None:
    for name in ("a", "b", "c"):
        shell.schedule(name)

    first = shell.ok("list", "--limit", "2", "--json").document
    second = shell.ok("list", "--limit", "2", "--cursor", first["next"], "--json").document

    assert [job["name"] for job in first["jobs"] + second["jobs"]] == ["a", "b", "c"]
    assert f"--cursor {first['next']}" in shell.ok("list", "--limit", "2").out


# -- the audit ----------------------------------------------------------------------------------


def test_the_audit_is_printed_as_table_json_jsonl_or_csv(shell: Shell) -> None:
    shell.schedule("report")
    ask = ("audit", "--job", "report", "--topic", "job.scheduled")

    assert "report" in shell.ok(*ask).out
    assert shell.ok(*ask, "--format", "json").document == shell.ok(*ask, "--json").document
    [line] = shell.ok(*ask, "--format", "jsonl").out.splitlines()
    assert json.loads(line)["topic"] == "job.scheduled"
    heading, row = shell.ok(*ask, "--format", "csv").out.splitlines()
    assert heading.startswith("position,")
    assert "job.scheduled" in row


def test_the_audit_has_every_filter_of_the_api(shell: Shell) -> None:
    job_id = tripped_job(shell.data)
    shell.ok("pause", shell.schedule("other")["id"])
    filters = [
        ("--actor", "admin"),
        ("--kind", "user"),
        ("--source", "cli"),
        ("--job", job_id),
        ("--failure-class", "rate_limited"),
        ("--since", "1h"),
        ("--until", "1h"),
    ]
    everything = len(shell.ok("audit", "--json", "--limit", "1000").document["events"])

    for flags in filters:
        found = shell.ok("audit", *flags, "--json", "--limit", "1000").document["events"]
        assert 0 < len(found) < everything, flags
    request_id = shell.ok("audit", "--topic", "job.paused", "--json").document["events"][0][
        "correlation_id"
    ]
    found = shell.ok("audit", "--correlation-id", request_id, "--json").document["events"]
    assert [event["topic"] for event in found] == ["job.paused"]
    newest = shell.ok("audit", "--order", "desc", "--limit", "1", "--json").document["events"]
    assert newest[0]["position"] == everything


# -- control characters -------------------------------------------------------------------------


def test_no_stored_control_character_is_printed(shell: Shell) -> None:
    nasty = f"\x1b[31mred\x07{CSI}31m\u202e [bold]not markup[/]"
    shell.schedule("report", "--task", nasty, "--description", nasty)
    shell.ok("pause", "report", "--reason", nasty)

    for words in (
        ("show", "report"),
        ("history", "report"),
        ("audit",),
        ("audit", "--format", "jsonl"),
        ("show", "report", "--json"),
    ):
        out = shell.ok(*words).out
        assert not set("\x1b\x07\u202e" + CSI) & set(out), words
    assert "[bold]not markup[/]" in shell.ok("show", "report").out
    assert shell.ok("show", "report", "--json").document["job"]["task"] == nasty


def test_no_typed_control_character_is_printed(shell: Shell) -> None:
    shell.schedule("report")

    typed = shell.type("show", "\x1b[31mnope\n")

    assert typed.code == 3
    assert "\x1b" not in typed.err
    assert typed.err.count("\n") == 1


# -- tokens -------------------------------------------------------------------------------------


def test_a_token_is_valid_until_it_is_revoked(shell: Shell, tmp_path: Path) -> None:
    shell.schedule("report")
    secret = shell.ok("token", "create", "olga", "--role", "viewer", "--expires", "30d").out
    olga = Shell(tmp_path, JOBLEDGER_TOKEN=secret.strip())

    assert olga.type("list").code == 0
    assert olga.type("pause", "report").code == 4
    assert "olga" in shell.ok("token", "list").out
    assert "revoked" in shell.ok("token", "revoke", "olga").out
    assert "already" in shell.ok("token", "revoke", "olga").out
    assert olga.type("list").code == 4


def test_the_owner_of_the_folder_is_admin_without_a_token(shell: Shell) -> None:
    shell.schedule("report")
    shell.ok("token", "revoke", "admin")

    shell.ok("token", "create", "root", "--role", "admin")

    events = shell.ok("audit", "--topic", "token.created", "--order", "desc", "--json")
    assert events.document["events"][0]["actor"]["id"] == "folder"
