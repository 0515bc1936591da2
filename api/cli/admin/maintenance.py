"""rebuild, verify, doctor: the ledger itself, looked at in its folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import orjson
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from api.cli.connection.folder_owner import (
    is_owned,
    not_ours,
    require_event_store,
    wait_while_passing,
    when_free,
)
from api.cli.exit_codes import Exit, Stop
from api.cli.options import AsJson, DataFolder
from api.cli.output.render import write_document
from api.cli.output.terminal import console, print_table, say
from api.settings import Settings, load_settings
from ledger.application.ledger import Ledger
from ledger.clock import SystemClock
from ledger.maintenance.doctor import ghosts, strayed
from ledger.maintenance.verify import verify_event_store
from ledger.store.sqlite.folder import READ_MODELS_FILE, Folder
from projections.models import MODELS
from projections.read_models import ReadModels

LATE_SECONDS = 3.0
"""How long the copies of a served folder may take to where the book stood."""
LOOK_SECONDS = 0.1

Told = Callable[[int, int], None]


def verify(as_json: AsJson = False, data: DataFolder = None) -> None:
    """Verify the hash chain of the event store.

    Names the first event that is not as it was appended.
    """
    with _reading(data) as ledger, _progress("Verifying") as told:
        verdict = verify_event_store(ledger.event_store, told)
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
        _write(answer)
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
        _write({"read_models": results, "position": ledger.writer.position})
    else:
        _say_rebuilt(results)
    wrong = [result["name"] for result in results if not result["equal"]]
    if wrong:
        raise Stop(
            Exit.REFUSED,
            f"What was kept differed from the book in {', '.join(wrong)}; it is right now. Report "
            "this, unless somebody changed the file.",
        )


def doctor(as_json: AsJson = False, data: DataFolder = None) -> None:
    """Check jobs, job cache and read models.

    Finds jobs that can never fire, stale cached jobs, broken or late read models.
    """
    settings = load_settings(overrides={"data": data})
    with ExitStack() as closing:
        ledger = closing.enter_context(_reading(data))
        ledger.job_cache.load(ledger.event_store, ledger.mapper)
        report = {
            "ghosts": ghosts(ledger),
            "strayed": list(strayed(ledger)),
            "read_models": [*_broken_read_models(ledger, closing), *_late_read_models(settings)],
        }
    if as_json:
        _write(report)
    elif any(report.values()):
        print_table(["WHAT", "WHICH", "~WHY"], _complaints(report))
    else:
        say("Nothing is wrong.")
    if any(report.values()):
        count = sum(map(len, report.values()))
        raise Stop(Exit.REFUSED, f"{count} things are wrong." if count > 1 else "1 thing is wrong.")


def _owned(settings: Settings, closing: ExitStack) -> tuple[Ledger, ReadModels]:
    """The ledger and its copies, which nobody else keeps meanwhile."""
    if settings.address is not None:
        ledger = closing.enter_context(Ledger.open(settings.address))
        read_models = ReadModels.open(ledger, mode="exclusive")
    else:
        folder = Folder(settings.data)
        require_event_store(folder)
        wait_while_passing(folder)
        if is_owned(folder):
            raise not_ours(folder)
        ledger = closing.enter_context(when_free(folder, lambda: Ledger.open(settings.data)))
        read_models = ReadModels.open(ledger, mode="exclusive")
    closing.callback(read_models.close)
    return ledger, read_models


def _rebuilt(read_models: ReadModels, name: str) -> dict[str, Any]:
    with _progress(f"Rebuilding {name}") as told:
        before, after = read_models.rebuild(name, told)
    return {"name": name, "equal": before == after, "digest": after, "digest_before": before}


def _say_rebuilt(results: list[dict[str, Any]]) -> None:
    for result in results:
        how = "equal to" if result["equal"] else "DIFFERENT from"
        say(f"{result['name']}: rebuilt, {how} what it was (digest {result['digest'][:16]}…)")


def _late_read_models(settings: Settings) -> list[dict[str, Any]]:
    """Copies that whoever owns the folder does not bring to where the book stood a while ago. In
    a folder that nobody owns they may be behind: the next owner brings them up. On PostgreSQL
    every node's readiness tells.
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
        pause.wait(LOOK_SECONDS)
    return []


def _saved_read_models(folder: Folder) -> tuple[list[dict[str, Any]], int]:
    """How the owner's own copies are, and where the book stands."""
    file = folder.path / READ_MODELS_FILE
    if not file.exists():
        return [], 0
    with Ledger.open_read_only(folder.path) as ledger, ExitStack() as closing:
        position = ledger.writer.position
        read_models = ReadModels.open(ledger, file, mode="reader")
        closing.callback(read_models.close)
        return read_models.health(), position


def _broken_read_models(ledger: Ledger, closing: ExitStack) -> list[dict[str, Any]]:
    """Models that cannot take in the book as it is."""
    read_models = ReadModels.open(ledger, mode="fresh")
    closing.callback(read_models.close)
    return [model for model in read_models.health() if model["state"] != "live"]


def _complaints(report: dict[str, list[dict[str, Any]]]) -> Iterator[tuple[str, str, str]]:
    for ghost in report["ghosts"]:
        yield "ghost", f"{ghost['name']} ({ghost['id']})", _why_ghost(ghost)
    for head in report["strayed"]:
        why = f"its head is not the fold of its {head['version']} events: report this"
        yield "strayed head", f"{head['name']} ({head['id']})", why
    for model in report["read_models"]:
        yield "copy", model["name"], _why_read_model(model)


def _why_ghost(ghost: dict[str, Any]) -> str:
    if ghost["status"] == "paused":
        return f"its pause ended at {ghost['paused_until']} and nobody resumed it: resume it"
    if ghost["next_run_at"] is not None:
        return f"it has been due since {ghost['next_run_at']} and is not run: is a server running?"
    return f"it is {ghost['status']} and will never fire: amend its schedule, or run it"


def _why_read_model(model: dict[str, Any]) -> str:
    if model["broken_at"] is None:
        return (
            f"it is at position {model['position']} of {model['wanted']} and its owner does not "
            "bring it on: look at the server's log"
        )
    return f"stopped at position {model['broken_at']}: {model['problem']}"


@contextmanager
def _reading(data: Path | None) -> Iterator[Ledger]:
    settings = load_settings(overrides={"data": data})
    if settings.address is None:
        require_event_store(Folder(settings.data))
    with Ledger.open_read_only(settings.address or settings.data) as ledger:
        yield ledger


@contextmanager
def _progress(what: str) -> Iterator[Told]:
    """A bar on stderr, on a terminal only."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    screen = console(is_error=True)
    with Progress(
        *columns,
        TimeElapsedColumn(),
        console=screen,
        transient=True,
        disable=not screen.is_terminal,
    ) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _write(answer: dict[str, Any]) -> None:
    write_document(orjson.dumps(answer).decode())
