"""Crontabs parsed and written without a ledger: percent signs, variables, names, round trips."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pytest import raises

from api.crontab import percent, variables
from api.crontab.machine import zone_here
from api.crontab.names import Names, base
from api.crontab.percent import Unsayable
from api.crontab.reading import Form, Read, Reading, read
from api.crontab.writing import write


def reading(text: str | bytes, **how: Any) -> Read:
    """Parse a user's crontab, by default in UTC."""
    content = text.encode() if isinstance(text, str) else text
    return read(content, Reading(**{"source": "f", "form": Form.USER, "tz": "UTC", **how}))


def shown(spec: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A job as the API answers it, with the fields that an export uses."""
    schedule = {"dst": "vixie", **spec["schedule"]}
    return {**spec, "status": "active", "schedule": schedule, **fields}


# -- percent signs --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "command", "task"),
    [
        ("date", "date", ""),
        ("date +\\%H", "date +%H", ""),
        ("cat%one%two", "cat", "one\ntwo\n"),
        ("cat%", "cat", ""),
        ("cat%%", "cat", "\n"),
        ("cat%one%", "cat", "one\n"),
        ("cat%one%%", "cat", "one\n\n"),
        ("cat%50\\% of it", "cat", "50% of it\n"),
        ("cat%two\\\\%signs", "cat", "two\\%signs\n"),
        ("echo \\\\%in", "echo \\\\", "in\n"),
        ("echo \\n", "echo \\n", ""),
        ("echo \\", "echo \\", ""),
    ],
)
def test_percent_signs_are_parsed_as_cron_does(line: str, command: str, task: str) -> None:
    assert percent.split(line) == (command, task)


@pytest.mark.parametrize(
    ("command", "task"),
    [("a\nb", ""), ("a\\%", ""), ("a\\", "x\n"), ("a", "x"), ("a", "x\\\ny\n"), ("a", "x\\\n")],
)
def test_a_job_that_no_line_can_express_is_refused(command: str, task: str) -> None:
    with raises(Unsayable):
        percent.join(command, task)


TRICKY = st.text(st.sampled_from("ab %\\\n\"'#="), max_size=12)


@settings(deadline=None, max_examples=500)
@given(TRICKY, TRICKY)
def test_an_exported_command_and_task_are_parsed_back_equal(command: str, task: str) -> None:
    try:
        line = percent.join(command, task)
    except Unsayable:
        return

    assert percent.split(line) == (command, task)
    assert "\n" not in line


# -- variables ------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=500)
@given(TRICKY)
def test_a_quoted_value_is_parsed_back_equal(value: str) -> None:
    try:
        line = variables.line_for("NAME", value)
    except Unsayable:
        return

    found = variables.name_and_value(line)
    assert found is not None
    assert (found[0], variables.plain_value(found[1])) == ("NAME", value)


@pytest.mark.parametrize("line", ["* * * * * x", "@daily A=b c", "a b = c", "= x", "", "A"])
def test_a_line_that_sets_no_variable_is_a_job(line: str) -> None:
    assert variables.name_and_value(line) is None


def test_a_refused_variable_also_removes_its_earlier_value() -> None:
    result = reading('A=good\nA="open\n@daily /bin/x\n')

    assert "env" not in result.found[0].job["spec"]["executor"]


def test_too_many_variables_are_refused_at_their_line() -> None:
    result = reading("".join(f"V{number}=x\n" for number in range(66)) + "V0=y\n@daily /bin/x\n")

    assert [refusal.line for refusal in result.refused] == [65, 66]
    assert result.found[0].job["spec"]["executor"]["env"]["V0"] == "y"


def test_an_empty_cron_tz_resets_to_the_machines_time_zone() -> None:
    text = "CRON_TZ=Asia/Tokyo\n@daily a\nCRON_TZ=\n@daily b\nTZ=Asia/Tokyo\n@daily c\n"
    result = reading(text, tz="Europe/Berlin")

    zones = [found.job["spec"]["schedule"]["tz"] for found in result.found]
    assert zones == ["Asia/Tokyo", "Europe/Berlin", "Europe/Berlin"]


# -- names and zones ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("/usr/local/bin/backup.sh --all", "backup.sh"),
        ("cd / && run-parts --report /etc/cron.hourly", "cron.hourly"),
        ("test -x /usr/sbin/anacron || { cd / && run-parts /etc/cron.daily; }", "cron.daily"),
        ("[ -d /x ] && FOO=bar nice -n 10 python3 /opt/report.py", "report.py"),
        ("command -v debian-sa1 > /dev/null && debian-sa1 1 1", "debian-sa1"),
        ("cd /tmp", "cd"),
        ("&&", "job"),
        ("$(", "job"),
    ],
)
def test_a_name_is_derived_from_the_command(command: str, name: str) -> None:
    assert base(command) == name


def test_names_are_unique_ignoring_case() -> None:
    names = Names()

    assert [names.of(word) for word in ("a-2", "a", "A", "a")] == ["a-2", "a", "A-3", "a-4"]


def test_a_refused_line_reserves_no_name() -> None:
    result = reading("@reboot /bin/x\n99 * * * * /bin/x\n@daily /bin/x\n")

    assert [found.job["spec"]["name"] for found in result.found] == ["x"]


def test_the_time_zone_comes_from_the_first_source_that_has_one(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    assert zone_here(None, tmp_path) == ("UTC", "no zone is told here")
    (tmp_path / "etc/localtime").symlink_to("../usr/share/zoneinfo/Asia/Tokyo")
    assert zone_here("CET-1CEST", tmp_path) == ("Asia/Tokyo", "/etc/localtime")
    (tmp_path / "etc/timezone").write_text("Europe/Berlin\n")
    assert zone_here("", tmp_path) == ("Europe/Berlin", "/etc/timezone")
    assert zone_here(":America/New_York", tmp_path) == ("America/New_York", "TZ")
    (tmp_path / "etc/timezone").write_bytes(b"\xff\xfe")
    assert zone_here(None, tmp_path) == ("Asia/Tokyo", "/etc/localtime")


# -- whole files ----------------------------------------------------------------------------------


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=300) | st.text(st.sampled_from("* 0@=#%\\\n\r\t\0aé-?"), max_size=80))
def test_any_bytes_are_parsed_and_each_line_is_reported_at_most_once(content: bytes | str) -> None:
    raw = content.encode() if isinstance(content, str) else content

    for form in Form:
        result = reading(raw, form=form)
        lines = [one.line for one in result.found] + [one.line for one in result.refused]
        assert len(lines) == len(set(lines))
        assert set(lines) <= set(range(1, raw.count(b"\n") + 2))
        assert result == reading(raw, form=form)


WORDS = st.text(st.sampled_from("ab %\\\"'#=$\té🙂-*?1/;&|"), max_size=20)
NAMES = st.sampled_from(["A", "B", "C", "PATH"])
"""Most jobs can be exported, so that files have several jobs; some cannot."""
ODD_NAMES = st.sampled_from(["A", "HOME", "TZ", "SHELL", "MAILTO", "CRON_TZ"])
LINES = WORDS.map(lambda word: f"/bin/x {word}")
EXECUTORS = st.builds(
    lambda argv, env, has_home: {
        "kind": "command",
        "argv": argv,
        **({"env": env} if env is not None else {}),
        **({"cwd": env["HOME"]} if env and has_home and "HOME" in env else {}),
    },
    st.lists(WORDS, min_size=1, max_size=3)
    | (WORDS | LINES).map(lambda line: ["/bin/sh", "-c", line])
    | LINES.map(lambda line: ["/bin/bash", "-c", line]),
    st.none()
    | st.dictionaries(NAMES, st.just("/srv") | WORDS, max_size=2)
    | st.dictionaries(ODD_NAMES, st.just("/srv") | WORDS, max_size=3),
    st.booleans(),
)
JOBS = st.lists(
    st.builds(
        lambda name, expr, tz, executor, task, status, enabled: {
            "name": name,
            "schedule": {"kind": "cron", "expr": expr, "tz": tz, "dst": "vixie"},
            "executor": executor,
            "task": task,
            "status": status,
            "enabled": enabled,
        },
        st.text(st.sampled_from("ab#é %"), min_size=1).map(str.strip).filter(bool),
        st.sampled_from(["@daily", "*/5 * * * *", "0 3 * jan mon-fri"]),
        st.sampled_from(["UTC", "Europe/Berlin"]),
        EXECUTORS,
        st.just("") | st.just("in\n") | TRICKY | TRICKY.map(lambda text: f"{text}\n"),
        st.sampled_from(["active", "active", "active", "paused", "failed"]),
        st.booleans(),
    ),
    max_size=6,
)


@settings(deadline=None, max_examples=400)
@given(JOBS)
def test_an_export_parsed_and_exported_again_does_not_change(jobs: list[dict[str, Any]]) -> None:
    first = write(jobs)

    back = reading(first)

    assert back.refused == []
    second = write(shown(found.job["spec"]) for found in back.found)
    third = write(shown(found.job["spec"]) for found in reading(second).found)
    assert third == second
    if len(back.found) == len(jobs) == len({job["name"].casefold() for job in jobs}):
        assert second == first


@settings(deadline=None, max_examples=400)
@given(JOBS)
def test_an_exported_job_is_parsed_back_equal(jobs: list[dict[str, Any]]) -> None:
    numbered = [{**job, "name": f"job {number}"} for number, job in enumerate(jobs)]

    back = reading(write({**job, "status": "active", "enabled": True} for job in numbered))

    by_name = {job["name"]: job for job in numbered}
    for found in back.found:
        spec, job = found.job["spec"], by_name[found.job["spec"]["name"]]
        was, now = job["executor"], spec["executor"]
        assert (now.get("env", {}), now.get("cwd")) == (was.get("env", {}), was.get("cwd"))
        assert now["argv"] == was["argv"] or shlex.split(now["argv"][2]) == was["argv"]
        assert {**spec["schedule"], "dst": "vixie"} == job["schedule"]
        assert spec["task"] == job["task"]


def test_a_job_without_a_variable_is_not_exported_below_that_variable() -> None:
    text = "@daily /bin/plain\nA=1\n@daily /bin/a\n"
    found = [one.job["spec"] for one in reading(text).found]
    other = {**found[1], "name": "other"}
    other["executor"] = {**other["executor"], "env": {"B": "2"}}

    written = write(map(shown, [other, *found]))

    assert "other" in written
    assert "# not in crontab's language: a: a job before it sets B, which" in written


def test_a_schedule_that_skips_nonexistent_hours_cannot_be_exported() -> None:
    [found] = reading("@daily /bin/x\n").found
    skipping = {**found.job["spec"]["schedule"], "dst": "skip"}

    assert "and cron runs it late" in write([shown({**found.job["spec"], "schedule": skipping})])
