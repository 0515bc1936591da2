"""Jobs as a crontab: one line each, with the zone, shell and environment it needs before it.

What no crontab can say is a comment with the reason, and what does not fire is commented out. A
written line is read back before it is believed.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from api.crontab import percent, variables
from api.crontab.percent import Unsayable
from api.crontab.reading import DEFAULT_SHELL, NAME_MARK, Form, Reading, read

HEADING = (
    "# Jobs of a jobledger. CRON_TZ is cronie's: Debian's own cron ignores it and takes the zone of"
    "\n# the machine.\n"
)

Job = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Said:
    """A job in a crontab's words: the settings it needs, and its line."""

    job: Job
    settings: dict[str, str]
    line: str

    @property
    def stopped(self) -> str | None:
        """Why it does not fire now, in one word, if it does not."""
        if self.job["status"] != "active":
            return str(self.job["status"])
        return None if self.job["enabled"] else "disabled"


def write(jobs: Iterable[Job]) -> str:
    """A crontab of user form. Jobs with fewer variables come first: a crontab cannot unset one."""
    said: list[_Said] = []
    unsaid: list[str] = []
    for job in jobs:
        try:
            said.append(_say(job))
        except Unsayable as reason:
            unsaid.append(_not_said(job, str(reason)))
    said.sort(key=lambda one: len(one.settings))
    return "".join([HEADING, *_blocks(said), *(f"\n{line}" for line in unsaid)])


def _blocks(said: Iterable[_Said]) -> Iterator[str]:
    now = {variables.SHELL: DEFAULT_SHELL}
    for one in said:
        surplus = sorted(now.keys() - one.settings.keys())
        if surplus:
            reason = f"a job before it sets {', '.join(surplus)}, which a crontab cannot unset"
            yield f"\n{_not_said(one.job, reason)}"
            continue
        changed = {k: v for k, v in one.settings.items() if now.get(k) != v}
        now |= changed
        yield "\n"
        yield from (f"{_setting(name, value)}\n" for name, value in changed.items())
        yield f"# {one.stopped}\n" if one.stopped else ""
        yield f"{NAME_MARK}{one.job['name']}\n{'#' if one.stopped else ''}{one.line}\n"


def _say(job: Job) -> _Said:
    """A job in a crontab's words, read back and found the same. Raises Unsayable."""
    schedule, executor = job["schedule"], job["executor"]
    if schedule["kind"] != "cron":
        raise Unsayable(f"its schedule is of kind {schedule['kind']}")
    if schedule["dst"] != "vixie":
        raise Unsayable("it skips what falls into a skipped hour, and cron runs it late")
    if executor is None or executor["kind"] != "command":
        raise Unsayable(f"its executor is {executor['kind'] if executor else 'the agent'}")
    shell, command = _for_a_shell(executor["argv"])
    settings = {
        variables.ZONE: schedule["tz"],
        variables.SHELL: shell,
        **executor.get("env", {}),
    }
    said = _Said(job, settings, f"{schedule['expr']} {percent.join(command, job['task'])}")
    wanted = {**executor, "argv": [shell, "-c", command]}
    _require_same(said, {"schedule": _when(schedule), "executor": wanted, "task": job["task"]})
    return said


def _for_a_shell(argv: list[str]) -> tuple[str, str]:
    """The shell and what it is told: a list of arguments becomes a line that means the same."""
    match argv:
        case [shell, "-c", command] if shell.startswith("/") and shell.endswith("sh"):
            return shell, command
        case _:
            return DEFAULT_SHELL, shlex.join(argv)


def _require_same(said: _Said, wanted: Mapping[str, Any]) -> None:
    settings = "".join(f"{_setting(name, value)}\n" for name, value in said.settings.items())
    back = read(f"{settings}{said.line}\n".encode(), Reading("", Form.USER, "UTC"))
    for refusal in back.refused:
        raise Unsayable(f"cron could not read it: {refusal.reason}")
    spec = back.found[0].job["spec"] if len(back.found) == 1 else {}
    differing = [what for what, value in wanted.items() if _plain(spec.get(what)) != _plain(value)]
    if differing:
        raise Unsayable(f"cron would read its {' and '.join(differing)} differently")


def _setting(name: str, value: str) -> str:
    return variables.line_for(name, value)


def _when(schedule: Mapping[str, Any]) -> dict[str, Any]:
    return {key: schedule[key] for key in ("kind", "expr", "tz")}


def _plain(value: Any) -> Any:
    """An executor with an empty environment is one without."""
    return {k: v for k, v in value.items() if v != {}} if isinstance(value, Mapping) else value


def _not_said(job: Job, reason: str) -> str:
    return f"# not in crontab's language: {job['name']}: {reason}\n"
