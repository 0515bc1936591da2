"""verify, rebuild, doctor: check a ledger in its folder or database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

from api.cli.connection.folder_owner import (
    is_owned,
    owned_by_other,
    require_event_store,
    wait_for_short_owner,
    when_free,
)
from api.cli.exit_codes import Exit, Stop
from api.cli.options import AsJson, DataFolder
from api.cli.output.progress import steps
from api.cli.output.render import write_json
from api.cli.output.terminal import print_table, say
from api.settings import Settings, load_settings
from ledger.application.ledger import Ledger
from ledger.clock import SystemClock
from ledger.maintenance.doctor import never_firing_jobs, stale_cached_jobs
from ledger.maintenance.verify import verify_event_store
from ledger.plurals import counted
from ledger.store.sqlite.folder import READ_MODELS_FILE, Folder
from projections.models import MODELS
from projections.read_models import ReadModels

LATE_SECONDS = 3.0
"""How long the read models of a served folder may lag behind the events."""
POLL_SECONDS = 0.1


def verify(as_json: AsJson = False, data: DataFolder = None) -> None:
    """Verify the hash chain of the event store.

    Names the first event that is not as it was appended.
    """
    with _read_only(data) as ledger, steps("Verifying") as report:
        verdict = verify_event_store(ledger.event_store, partial(report, "events"))
    finding = verdict.finding
    answer = {
        "sound": verdict.is_sound,
        "verified": verdict.verified,
        "chain": verdict.chain.hex(),
        "ledger_id": str(ledger.event_store.ledger_id),
        "first_bad_position": finding.position if finding else None,
        "problem": finding.problem if finding else None,
    }
    if as_json:
        write_json(answer)
    if finding is not None:
        raise Stop(
            Exit.REFUSED,
            f"Position {finding.position} is bad: {finding.problem}. {verdict.verified} events "
            "before it are sound.",
        )
    if not as_json:
        say(f"{verdict.verified} events are sound; chain {answer['chain']}.")


def rebuild(as_json: AsJson = False, data: DataFolder = None) -> None:
    """Rebuild the read models from the events.

    Compares them with the old ones. Needs the folder, so no server may run.
    """
    settings = load_settings(overrides={"data": data})
    with ExitStack() as closing:
        ledger, read_models = _owned(settings, closing)
        read_models.catch_up()
        results = [_rebuilt(read_models, model.NAME) for model in MODELS]
    if as_json:
        write_json({"read_models": results, "position": ledger.writer.position})
    else:
        _say_rebuilt(results)
    wrong = [result["name"] for result in results if not result["equal"]]
    if wrong:
        raise Stop(
            Exit.REFUSED,
            f"The old {', '.join(wrong)} differed from the events; the new ones are correct. "
            "Report this as a bug, unless the file was changed by hand.",
        )


def doctor(as_json: AsJson = False, data: DataFolder = None) -> None:
    """Check jobs, job cache and read models.

    Finds jobs that can never fire, stale cached jobs, broken or late read models.
    """
    settings = load_settings(overrides={"data": data})
    with ExitStack() as closing:
        ledger = closing.enter_context(_read_only(data))
        ledger.job_cache.load(ledger.event_store, ledger.mapper)
        report = {
            "ghosts": never_firing_jobs(ledger),
            "strayed": list(stale_cached_jobs(ledger)),
            "read_models": [*_broken_read_models(ledger, closing), *_late_read_models(settings)],
        }
    if as_json:
        write_json(report)
    elif any(report.values()):
        print_table(["PROBLEM", "WHICH", "~DETAILS"], _problem_rows(report))
    else:
        say("No problems found.")
    if any(report.values()):
        count = sum(map(len, report.values()))
        raise Stop(Exit.REFUSED, f"{counted(count, 'problem')} found.")


def _owned(settings: Settings, closing: ExitStack) -> tuple[Ledger, ReadModels]:
    """The ledger and its read models, which no other process updates meanwhile."""
    if settings.address is not None:
        ledger = closing.enter_context(Ledger.open(settings.address))
        read_models = ReadModels.open(ledger, mode="exclusive")
    else:
        folder = Folder(settings.data)
        require_event_store(folder)
        wait_for_short_owner(folder)
        if is_owned(folder):
            raise owned_by_other(folder)
        ledger = closing.enter_context(when_free(folder, lambda: Ledger.open(settings.data)))
        read_models = ReadModels.open(ledger, mode="exclusive")
    closing.callback(read_models.close)
    return ledger, read_models


def _rebuilt(read_models: ReadModels, name: str) -> dict[str, Any]:
    with steps("Rebuilding") as report:
        before, after = read_models.rebuild(name, partial(report, name))
    return {"name": name, "equal": before == after, "digest": after, "digest_before": before}


def _say_rebuilt(results: list[dict[str, Any]]) -> None:
    for result in results:
        how = "equal to" if result["equal"] else "DIFFERENT from"
        say(f"{result['name']}: rebuilt, {how} the old one (digest {result['digest'][:16]}…)")


def _late_read_models(settings: Settings) -> list[dict[str, Any]]:
    """Read models that the folder's owner does not update within LATE_SECONDS. In a folder without
    an owner they may lag: the next owner updates them. On PostgreSQL the readiness of each node
    reports it.
    """
    if settings.address is not None:
        return []
    folder = Folder(settings.data)
    clock, pause = SystemClock(), Event()
    end, aim = clock.elapsed() + LATE_SECONDS, None
    while is_owned(folder):
        read_models, position = _saved_read_models(folder)
        aim = position if aim is None else aim
        late = [{**model, "wanted": aim} for model in read_models if model["position"] < aim]
        if not late or clock.elapsed() >= end:
            return late
        pause.wait(POLL_SECONDS)
    return []


def _saved_read_models(folder: Folder) -> tuple[list[dict[str, Any]], int]:
    """The owner's own read models, and the last position of the events."""
    file = folder.path / READ_MODELS_FILE
    if not file.exists():
        return [], 0
    with Ledger.open_read_only(folder.path) as ledger, ExitStack() as closing:
        position = ledger.writer.position
        read_models = ReadModels.open(ledger, file, mode="reader")
        closing.callback(read_models.close)
        return read_models.health(), position


def _broken_read_models(ledger: Ledger, closing: ExitStack) -> list[dict[str, Any]]:
    """Read models that cannot apply the events."""
    read_models = ReadModels.open(ledger, mode="fresh")
    closing.callback(read_models.close)
    return [model for model in read_models.health() if model["state"] != "live"]


def _problem_rows(report: dict[str, list[dict[str, Any]]]) -> Iterator[tuple[str, str, str]]:
    for ghost in report["ghosts"]:
        yield "never fires", f"{ghost['name']} ({ghost['id']})", _ghost_details(ghost)
    for job in report["strayed"]:
        details = f"differs from its {job['version']} events: report this as a bug"
        yield "stale cached job", f"{job['name']} ({job['id']})", details
    for model in report["read_models"]:
        yield "read model", model["name"], _read_model_details(model)


def _ghost_details(ghost: dict[str, Any]) -> str:
    if ghost["status"] == "paused":
        return f"its pause ended at {ghost['paused_until']}, but it was not resumed: resume it"
    if ghost["next_run_at"] is not None:
        return f"due since {ghost['next_run_at']} without a run: is a dispatcher running?"
    return f"{ghost['status']}, and will never fire: amend its schedule, or run it"


def _read_model_details(model: dict[str, Any]) -> str:
    if model["broken_at"] is None:
        return (
            f"at position {model['position']} of {model['wanted']}, and the owner does not update "
            "it: look at the server's log"
        )
    return f"stopped at position {model['broken_at']}: {model['problem']}"


@contextmanager
def _read_only(data: Path | None) -> Iterator[Ledger]:
    settings = load_settings(overrides={"data": data})
    if settings.address is None:
        require_event_store(Folder(settings.data))
    with Ledger.open_read_only(settings.address or settings.data) as ledger:
        yield ledger
