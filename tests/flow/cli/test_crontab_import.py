"""import crontab and export: what becomes of the lines of a nasty file, users, limits.

Reasons of refused lines and everything that is printed are in tests/golden/cli/crontab.txt.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from api.crontab.machine import owner_of
from tests.support.typed_commands import Shell

NASTY = Path(__file__).parents[2] / "golden" / "cli" / "files" / "nasty.crontab"
ABOVE = {"PATH": "/opt/bin:/usr/bin", "GREETING": "  hello  ", "EMPTY": ""}
NEW_YORK = "America/New_York"

TAKEN = {
    5: ("plain", "* * * * *", "UTC", "/usr/bin/plain", ""),
    15: (
        "backup",
        "0 3 * * mon-fri",
        "UTC",
        "/usr/bin/backup --to 50% ",
        "first line\nsecond% line\n",
    ),
    16: ("backup-2", "0 4 * jan,JUL sun", "UTC", "/usr/bin/backup", ""),
    17: ("backup-3", "@daily", "UTC", "/usr/bin/backup", ""),
    34: ("windows-line", "0 3 * * *", "UTC", "/usr/bin/windows-line", ""),
    35: ("quiet", "5 3 * * *", "UTC", "/usr/bin/quiet", ""),
    37: ("echo", "0 3 * * *", "UTC", "echo \\\\", "both backslashes stay\n"),
    38: ("tabs", "1 2 3 4 5", "UTC", "/usr/bin/tabs   and  blanks ", ""),
    39: ("long", "0 3 * * *", "UTC", f"/usr/bin/long {'x' * 1500}", ""),
    43: ("in-berlin", "30 2 * * *", "Europe/Berlin", "/usr/bin/in-berlin", ""),
    47: ("in-new-york", "30 2 * * *", NEW_YORK, "/usr/bin/in-new-york", ""),
    52: ("in-bash", "0 5 * * *", NEW_YORK, "source env.sh && /usr/bin/in-bash", ""),
    53: ("escape", "0 3 * * *", NEW_YORK, "/usr/bin/escape \x1b[31mred", ""),
    55: ("a name of its own", "0 6 * * *", NEW_YORK, "/usr/bin/named", ""),
    58: ("ünïcödé", "0 7 * * *", NEW_YORK, "/usr/bin/ünïcödé 🙂", ""),
    59: ("no-line-end", "0 8 * * *", NEW_YORK, "/usr/bin/no-line-end", ""),
}
"""What becomes of each line: name, schedule, zone, what the shell gets, standard input."""
SETTINGS = {6, 7, 13, 14, 41, 42, 46, 50, 51, 57}
"""Lines that set something; 57 only looks like a job, and cron reads it as this, too."""
BLANK = {1, 2, 3, 4, 54}


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path, TZ="Europe/Berlin")


def crontab(folder: Path, text: str) -> str:
    """A file with that text."""
    file = folder / "crontab.txt"
    file.write_text(text)
    return str(file)


def test_every_line_of_a_nasty_crontab_is_imported_or_refused_as_listed(shell: Shell) -> None:
    typed = shell.type("import", "crontab", str(NASTY), "--tz", "UTC", "--json")

    document = typed.document
    taken = {}
    for one in document["jobs"]:
        job = one["job"]
        schedule, command = job["schedule"], job["executor"]["argv"][2]
        taken[one["line"]] = (job["name"], schedule["expr"], schedule["tz"], command, job["task"])
    assert taken == TAKEN
    lines = set(range(1, NASTY.read_bytes().count(b"\n") + 2))
    refused = {one["line"] for one in document["refused_lines"]}
    assert refused == lines - TAKEN.keys() - SETTINGS - BLANK
    assert (typed.code, document["imported"], document["refused"]) == (1, 16, 28)


def test_variables_apply_to_later_lines_and_settings_of_cron_are_recorded(shell: Shell) -> None:
    typed = shell.type("import", "crontab", str(NASTY), "--tz", "UTC", "--json")

    jobs = {one["line"]: one["job"] for one in typed.document["jobs"]}
    assert jobs[5]["executor"] == {"kind": "command", "argv": ["/bin/sh", "-c", "/usr/bin/plain"]}
    assert jobs[15]["executor"]["env"] == ABOVE
    last = jobs[59]["executor"]
    assert last["argv"][0] == "/bin/bash"
    assert last["cwd"] == last["env"]["HOME"] == "/srv/work"
    assert last["env"]["TZ"] == "Asia/Tokyo"
    assert last["env"]["VAR"] == "x * * * * * /usr/bin/inline"
    assert "MAILTO" not in last["env"]
    imported = shell.ok("history", jobs[59]["id"], "--json").document["events"][1]["data"]
    assert imported["imported"] == {"MAILTO": "ops@example.com", "SHELL": "/bin/bash"}
    assert imported["origin_id"] == f"{NASTY}:59"
    assert (jobs[5]["tags"], jobs[5]["delete_after_run"]) == (["crontab"], False)


def test_a_dry_run_creates_nothing_and_reports_the_same(shell: Shell) -> None:
    words = ("import", "crontab", str(NASTY), "--tz", "UTC", "--json")

    rehearsed = shell.type(*words, "--dry-run").document

    assert not shell.data.exists()
    kept = shell.type(*words).document
    assert rehearsed["refused_lines"] == kept["refused_lines"]
    assert [one["line"] for one in rehearsed["jobs"]] == [one["line"] for one in kept["jobs"]]
    assert (rehearsed["dry_run"], kept["dry_run"]) == (True, False)


def test_lines_of_another_user_are_refused_without_any_user(shell: Shell, tmp_path: Path) -> None:
    ours = owner_of(tmp_path)
    text = f"0 3 * * * {ours} /bin/ours\n0 3 * * * someone /bin/theirs\n0 3 * * * /bin/nobody x\n"
    file = crontab(tmp_path, text)

    typed = shell.type("import", "crontab", file, "--system", "--json", "--dry-run").document

    assert [one["job"]["name"] for one in typed["jobs"]] == ["ours"]
    someone, nobody = (one["reason"] for one in typed["refused_lines"])
    assert someone.startswith(f"it runs as someone, but commands here run as {ours}")
    assert nobody.startswith("'/bin/nobody' is not a user")
    taken = shell.type("import", "crontab", file, "--system", "--any-user", "--json").document
    theirs = taken["jobs"][1]["job"]
    assert theirs["executor"]["argv"][2] == "/bin/theirs"
    event = shell.ok("history", theirs["id"], "--json").document["events"][1]
    assert event["data"]["imported"] == {"user": "someone"}


@pytest.mark.parametrize("content", [b"", b"\n\n", b"# nothing\n", b"A=b\n", b"\xef\xbb\xbf"])
def test_a_crontab_without_jobs_sends_no_request(shell: Shell, content: bytes) -> None:
    typed = shell.ok("import", "crontab", "-", "--json", given=content)

    assert (typed.document["imported"], typed.document["position"]) == (0, None)
    assert not shell.data.exists()


def test_many_lines_are_sent_in_several_requests(shell: Shell) -> None:
    text = "".join(f"{at % 60} 3 * * * /usr/bin/same {'x' * 900}\n" for at in range(450))

    document = shell.ok("import", "crontab", "-", "--json", given=text).document

    assert (document["imported"], len(shell.ok("list", "--limit", "1000").out.splitlines())) == (
        450,
        451,
    )
    assert document["jobs"][-1]["job"]["name"] == "same-450"


@pytest.mark.parametrize("name", ["a\0b", "/dev/zero"])
def test_an_odd_file_is_wrong_usage(shell: Shell, name: str) -> None:
    typed = shell.type("import", "crontab", name)

    assert (typed.code, len(typed.err.splitlines())) == (2, 1)
    assert not shell.data.exists()


def test_only_the_line_that_exceeds_a_request_is_refused(shell: Shell) -> None:
    heavy = "".join(f"V{at}={'x' * 4000}\n" for at in range(60))
    text = f"0 1 * * * /usr/bin/light\n{heavy}0 2 * * * /usr/bin/heavy\n"

    typed = shell.type("import", "crontab", "-", "--json", given=text)

    assert [one["code"] for one in typed.document["refused_lines"]] == ["too_large"]
    assert (typed.code, typed.document["imported"]) == (1, 1)


# -- export ---------------------------------------------------------------------------------------


def test_export_import_export_gives_the_same_crontab(shell: Shell, tmp_path: Path) -> None:
    shell.type("import", "crontab", str(NASTY), "--tz", "UTC")
    written = shell.ok("export", "--format", "crontab").out

    again = Shell(tmp_path / "again")
    imported = again.type("import", "crontab", "-", "--json", given=written.encode())

    assert (imported.code, imported.document["imported"]) == (0, 16)
    assert again.ok("export", "--format", "crontab").out == written
