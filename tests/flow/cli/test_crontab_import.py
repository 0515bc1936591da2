"""import crontab and export: a nasty file line by line, forms, zones, users, exit codes."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from api.crontab.machine import owner_of
from tests.support.typed_commands import Shell

NASTY = Path(__file__).parent / "data" / "nasty.crontab"
ABOVE = {"PATH": "/opt/bin:/usr/bin", "GREETING": "  hello  ", "EMPTY": ""}
NO_SHELL = "is not an absolute path; the jobs below are refused until it is set again"
NO_ZONE = "is not a known time zone: use a name such as Europe/Berlin, or UTC; the jobs below are"
NICKNAMES = "@yearly, @annually, @monthly, @weekly, @daily, @midnight, @hourly"
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
REFUSED = {
    8: "'QUOTED NAME' is not a valid variable name; the jobs below run without it",
    9: 'the quote " is not closed; the jobs below run without it',
    10: "there is text after the closing quote; the jobs below run without it",
    11: "'1BAD' is not a valid variable name; the jobs below run without it",
    12: "JOBLEDGER_RUN_ID is reserved for the ledger and cannot be overridden; the jobs below run "
    "without it",
    18: "@reboot is not supported: no job fires when a machine starts",
    19: f"'@every_minute' is not one of {NICKNAMES}",
    20: "there is no command after the schedule",
    21: "it sets no variable and has 1 of the five schedule fields",
    22: "it sets no variable and has 4 of the five schedule fields",
    23: "there is no command after the schedule",
    24: "'*' looks like a sixth field, but cron has five",
    25: "'?' looks like a sixth field, but cron has five",
    26: "cron minute '60' cannot be read: it must be from 0 to 59.",
    27: "cron minute '*/0' cannot be read: a step must be from 1 to 59.",
    28: "cron minute '5-1' cannot be read: a range runs upward (Sunday at its end is 7).",
    29: "The schedule '0 0 30 2 *' matches no date, so the job would never run.",
    30: "cron day of month 'L' cannot be read: it must be from 1 to 31.",
    31: "cron minute '~' cannot be read: use numbers, lists, ranges, * and steps.",
    32: "it contains a NUL character",
    33: "it is not UTF-8 text",
    36: "there is no command before the %",
    40: "executor.argv[2]: is longer than 8192 bytes",
    44: f"tz 'Mars/Olympus' {NO_ZONE} refused until it is set again",
    45: "its CRON_TZ was refused in line 44",
    48: f"'bash' {NO_SHELL}",
    49: "its SHELL was refused in line 48",
    56: "it sets no variable and has 3 of the five schedule fields",
}


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
    assert {one["line"]: one["reason"] for one in document["refused_lines"]} == REFUSED
    lines = NASTY.read_bytes().count(b"\n") + 1
    assert TAKEN.keys() | REFUSED.keys() | SETTINGS | BLANK == set(range(1, lines + 1))
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


def test_the_list_escapes_control_characters_and_ends_with_the_counts(shell: Shell) -> None:
    typed = shell.type("import", "crontab", str(NASTY), "--tz", "UTC")

    assert "0 3 * * * /usr/bin/nul \\x00 here" in typed.out
    assert "\\xe9t\\xe9" in typed.out
    assert "Monday through Friday" in typed.out
    assert "16 lines became jobs, 28 were refused." in typed.out
    assert typed.err == "jobledger: 28 lines were refused; the list has the reasons.\n"


def test_a_dry_run_creates_nothing_and_reports_the_same(shell: Shell) -> None:
    words = ("import", "crontab", str(NASTY), "--tz", "UTC", "--json")

    rehearsed = shell.type(*words, "--dry-run").document

    assert not shell.data.exists()
    kept = shell.type(*words).document
    assert rehearsed["refused_lines"] == kept["refused_lines"]
    assert [one["line"] for one in rehearsed["jobs"]] == [one["line"] for one in kept["jobs"]]
    assert (rehearsed["dry_run"], kept["dry_run"]) == (True, False)


def test_a_second_import_refuses_every_line_by_name(shell: Shell, tmp_path: Path) -> None:
    file = crontab(tmp_path, "0 3 * * * /usr/bin/one\n0 4 * * * /usr/bin/two\n")
    first = shell.ok("import", "crontab", file, "--json").document

    second = shell.type("import", "crontab", file, "--json")

    assert {one["code"] for one in second.document["refused_lines"]} == {"name_taken"}
    assert (second.code, second.document["position"]) == (1, first["position"])
    shell.ok("import", "crontab", file, "--prefix", "web1-")
    assert "web1-two" in shell.ok("list").out


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


def test_the_history_names_the_crontab_line_of_a_job(shell: Shell) -> None:
    shell.ok("import", "crontab", "-", given="@hourly /usr/bin/piped\n")

    assert "active in crontab (stdin:1)" in shell.ok("history", "piped").out


def test_disabled_jobs_do_not_fire(shell: Shell, tmp_path: Path) -> None:
    file = crontab(tmp_path, "* * * * * /usr/bin/one\n")

    [one] = shell.ok("import", "crontab", file, "--disabled", "--json").document["jobs"]

    assert (one["job"]["enabled"], one["job"]["next_run_at"]) == (False, None)


def test_the_time_zone_of_the_machine_is_shown_and_used(shell: Shell, tmp_path: Path) -> None:
    file = crontab(tmp_path, "0 3 * * * /usr/bin/one\n")

    typed = shell.ok("import", "crontab", file, "--dry-run")

    assert "Europe/Berlin (TZ)" in typed.out
    [one] = shell.ok("import", "crontab", file, "--json").document["jobs"]
    assert one["job"]["schedule"]["tz"] == "Europe/Berlin"


def test_a_crontab_is_read_from_standard_input(shell: Shell) -> None:
    typed = shell.ok("import", "crontab", "-", "--json", given="@hourly /usr/bin/piped\n")

    assert typed.document["jobs"][0]["origin_id"] == "stdin:1"


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


def test_only_the_line_that_exceeds_a_request_is_refused(shell: Shell) -> None:
    heavy = "".join(f"V{at}={'x' * 4000}\n" for at in range(60))
    text = f"0 1 * * * /usr/bin/light\n{heavy}0 2 * * * /usr/bin/heavy\n"

    typed = shell.type("import", "crontab", "-", "--json", given=text)

    assert [one["code"] for one in typed.document["refused_lines"]] == ["too_large"]
    assert (typed.code, typed.document["imported"]) == (1, 1)


@pytest.mark.parametrize(
    "words",
    [
        ("no-such-file",),
        (".",),
        ("a\0b",),
        ("/dev/zero",),
        ("-", "--tz", "Mars/Olympus"),
        ("-", "--tz", ""),
    ],
)
def test_an_invalid_file_or_zone_is_wrong_usage(shell: Shell, words: tuple[str, ...]) -> None:
    typed = shell.type("import", "crontab", *words, given="")

    assert (typed.code, len(typed.err.splitlines())) == (2, 1)
    assert not shell.data.exists()


# -- export ---------------------------------------------------------------------------------------


def test_an_exported_crontab_has_the_reason_for_each_job_it_cannot_express(shell: Shell) -> None:
    shell.ok("schedule", "argv", "--cron", "0 3 * * *", "--command", "/bin/echo 'a b' 50%")
    shell.ok("schedule", "often", "--every", "5m", "--noop")
    shell.ok("schedule", "noop", "--cron", "@daily", "--noop")
    shell.ok("schedule", "agent", "--cron", "@daily")
    shell.ok("schedule", "half", "--cron", "@daily", "--command", "cat", "--task", "no line end")
    shell.ok("schedule", "resting", "--cron", "@weekly", "--command", "/bin/true")
    shell.ok("pause", "resting")
    off = ("schedule", "off", "--cron", "@weekly", "--command", "/bin/true", "--disabled")
    shell.ok(*off)

    written = shell.ok("export", "--format", "crontab").out

    assert written.split("\n\n", 1)[1] == (
        "CRON_TZ=UTC\n"
        "# jobledger: argv\n"
        "0 3 * * * /bin/echo 'a b' 50\\%\n"
        "\n# paused\n# jobledger: resting\n#@weekly /bin/true\n"
        "\n# disabled\n# jobledger: off\n#@weekly /bin/true\n"
        "\n# cannot be expressed in a crontab: often: its schedule is of kind every\n"
        "\n# cannot be expressed in a crontab: noop: its executor is noop\n"
        "\n# cannot be expressed in a crontab: agent: its executor is the agent\n"
        "\n# cannot be expressed in a crontab: half: its task does not end with a line end, "
        "which cron would add\n"
    )


def test_export_import_export_gives_the_same_crontab(shell: Shell, tmp_path: Path) -> None:
    shell.type("import", "crontab", str(NASTY), "--tz", "UTC")
    written = shell.ok("export", "--format", "crontab").out

    again = Shell(tmp_path / "again")
    imported = again.type("import", "crontab", "-", "--json", given=written.encode())

    assert (imported.code, imported.document["imported"]) == (0, 16)
    assert again.ok("export", "--format", "crontab").out == written


def test_an_export_into_a_file_replaces_none_without_force(shell: Shell, tmp_path: Path) -> None:
    shell.ok("schedule", "one", "--cron", "@daily", "--command", "/bin/true")
    file = tmp_path / "out"
    words = ("export", "--format", "crontab", "--output", str(file))

    typed = shell.ok(*words)

    assert (typed.out, stat.S_IMODE(file.stat().st_mode)) == ("", 0o600)
    assert "@daily /bin/true\n" in file.read_text()
    file.write_text("precious")
    refused = shell.type(*words)
    assert (refused.code, file.read_text()) == (2, "precious")
    assert "--force" in refused.err
    shell.ok(*words, "--force")
    assert "@daily /bin/true\n" in file.read_text()
    assert shell.type(*words[:-1], str(tmp_path / "no" / "folder")).code == 2


def test_an_export_of_one_tag_has_only_its_jobs(shell: Shell) -> None:
    shell.ok("schedule", "a", "--cron", "@daily", "--command", "/bin/a", "--tag", "x")
    shell.ok("schedule", "b", "--cron", "@daily", "--command", "/bin/b")

    assert "/bin/b" not in shell.ok("export", "--format", "crontab", "--tag", "x").out


def test_an_export_in_an_unknown_format_is_wrong_usage(shell: Shell) -> None:
    assert shell.type("export", "--format", "systemd").code == 2
