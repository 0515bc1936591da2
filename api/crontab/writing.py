"""Writes jobs as a crontab: one line each, after the time zone, shell and environment it needs.

A job that a crontab cannot express is a comment with the reason, and one that does not fire is
commented out. Each line is read back to verify it.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from api.crontab import percent, variables
from api.crontab.percent import NotExpressible
from api.crontab.reading import DEFAULT_SHELL, NAME_MARK, Form, ReadOptions, read

HEADING = (
    "# Jobs of a jobledger. CRON_TZ needs cronie: Debian's cron ignores it and uses the zone of the"
    "\n# machine.\n"
)

Job = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Written:
    """A job as a crontab has it: the settings it needs, and its line."""

    job: Job
    settings: dict[str, str]
    line: str

    @property
    def inactive_reason(self) -> str | None:
        """Why it does not fire now, in one word; None when it fires."""
        if self.job["status"] != "active":
            return str(self.job["status"])
        return None if self.job["enabled"] else "disabled"


def write(jobs: Iterable[Job]) -> str:
    """A crontab in the form without users. Jobs with fewer variables come first, because a crontab
    cannot unset one.
    """
    written: list[_Written] = []
    comments: list[str] = []
    for job in jobs:
        try:
            written.append(_write_job(job))
        except NotExpressible as reason:
            comments.append(_as_comment(job, str(reason)))
    written.sort(key=lambda one: len(one.settings))
    return "".join([HEADING, *_blocks(written), *(f"\n{line}" for line in comments)])


def _blocks(written: Iterable[_Written]) -> Iterator[str]:
    now = {variables.SHELL: DEFAULT_SHELL}
    for one in written:
        surplus = sorted(now.keys() - one.settings.keys())
        if surplus:
            reason = f"a job before it sets {', '.join(surplus)}, which a crontab cannot unset"
            yield f"\n{_as_comment(one.job, reason)}"
            continue
        changed = {k: v for k, v in one.settings.items() if now.get(k) != v}
        now |= changed
        yield "\n"
        yield from (f"{_setting(name, value)}\n" for name, value in changed.items())
        yield f"# {one.inactive_reason}\n" if one.inactive_reason else ""
        yield f"{NAME_MARK}{one.job['name']}\n{'#' if one.inactive_reason else ''}{one.line}\n"


def _write_job(job: Job) -> _Written:
    """A job as a crontab has it, read back to verify it. Raises NotExpressible."""
    schedule, executor = job["schedule"], job["executor"]
    if schedule["kind"] != "cron":
        raise NotExpressible(f"its schedule is of kind {schedule['kind']}")
    if schedule["dst"] != "vixie":
        raise NotExpressible("it skips slots in a skipped hour, and cron runs them late")
    if executor is None or executor["kind"] != "command":
        raise NotExpressible(f"its executor is {executor['kind'] if executor else 'the agent'}")
    shell, command = _shell_command(executor["argv"])
    settings = {variables.ZONE: schedule["tz"], variables.SHELL: shell, **executor.get("env", {})}
    written = _Written(job, settings, f"{schedule['expr']} {percent.join(command, job['task'])}")
    wanted = {**executor, "argv": [shell, "-c", command]}
    _require_same(written, {"schedule": _when(schedule), "executor": wanted, "task": job["task"]})
    return written


def _shell_command(argv: list[str]) -> tuple[str, str]:
    """The shell and its command: a list of arguments becomes an equivalent line."""
    match argv:
        case [shell, "-c", command] if shell.startswith("/") and shell.endswith("sh"):
            return shell, command
        case _:
            return DEFAULT_SHELL, shlex.join(argv)


def _require_same(written: _Written, wanted: Mapping[str, Any]) -> None:
    settings = "".join(f"{_setting(name, value)}\n" for name, value in written.settings.items())
    back = read(f"{settings}{written.line}\n".encode(), ReadOptions("", Form.USER, "UTC"))
    for refusal in back.refused:
        raise NotExpressible(f"cron cannot read it: {refusal.reason}")
    spec = back.found[0].job["spec"] if len(back.found) == 1 else {}
    differing = [what for what, value in wanted.items() if _plain(spec.get(what)) != _plain(value)]
    if differing:
        raise NotExpressible(f"cron would read its {' and '.join(differing)} differently")


def _setting(name: str, value: str) -> str:
    return variables.line_for(name, value)


def _when(schedule: Mapping[str, Any]) -> dict[str, Any]:
    return {key: schedule[key] for key in ("kind", "expr", "tz")}


def _plain(value: Any) -> Any:
    """Without an empty environment, which means none."""
    return {k: v for k, v in value.items() if v != {}} if isinstance(value, Mapping) else value


def _as_comment(job: Job, reason: str) -> str:
    return f"# cannot be expressed in a crontab: {job['name']}: {reason}\n"
