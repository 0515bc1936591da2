"""The ledger inside another program: opened, used by many callers at once, every answer durable."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from pytest import raises

from ledger import Ledger
from ledger.application.command_context import CommandContext, Idempotency
from ledger.application.commands import jobs as commands
from ledger.application.commands.command import Command
from ledger.application.commands.jobs import CheckWriter, ScheduleJob
from ledger.application.unit_of_work import AlreadyAnswered, UnitOfWork
from ledger.application.writer import MAX_WAITING
from ledger.domain.streams.idempotency import request_stream
from ledger.errors import (
    JobLimit,
    JobNotFound,
    LedgerError,
    NameTaken,
    Overloaded,
    RunInProgress,
    StaleRevision,
    StartRefused,
    Unavailable,
)
from tests.simulation import invariants as laws
from tests.support.ad_hoc_command import AdHoc
from tests.support.builders import MINUTE, ManualClock, a_spec, open_ledger

LONG = 60.0


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with open_ledger(tmp_path) as ledger:
        yield ledger


class WriterGate:
    """Blocks the writer inside a batch, so that what is submitted meanwhile waits together."""

    def __init__(self, ledger: Ledger) -> None:
        self._is_inside, self._may_go = threading.Event(), threading.Event()
        self._held = ledger.submit([AdHoc(self._hold)])
        assert self._is_inside.wait(LONG)

    def _hold(self, _: UnitOfWork) -> None:
        self._is_inside.set()
        assert self._may_go.wait(LONG)

    def open(self) -> None:
        self._may_go.set()
        self._held.result(LONG)


def together(ledger: Ledger, asked: Sequence[Command[Any]]) -> list[Any]:
    """Have commands decided in one batch; each one's answer or error."""
    gate = WriterGate(ledger)
    futures: list[Future[list[Any]]] = [ledger.submit([command]) for command in asked]
    gate.open()
    return [future.result(LONG)[0] for future in futures]


def keyed(ledger: Ledger, key: str) -> CommandContext:
    """A context with an idempotency key."""
    stream = request_stream("library", "POST", "/v1/jobs", key)
    return replace(ledger.context(), idempotency=Idempotency(key, stream, "f"))


def scheduling(ledger: Ledger, *names: str) -> list[ScheduleJob]:
    """A command for each name."""
    call = ledger.context()
    return [ScheduleJob(ledger.chance.new_id(), a_spec(name=name), call) for name in names]


def codes(answers: Sequence[Any]) -> list[str]:
    return [a.code if isinstance(a, LedgerError) else str(a.changed) for a in answers]


# -- opening ------------------------------------------------------------------------------------


def test_a_ledger_opens_in_a_with_block_and_finds_its_jobs_again(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "data") as ledger:
        answer = ledger.schedule(a_spec())

    with Ledger.open(tmp_path / "data") as ledger:
        assert ledger.job(answer.job_id) == answer.job


def test_two_ledgers_on_one_folder_are_refused_in_one_line(tmp_path: Path, ledger: Ledger) -> None:
    with raises(StartRefused, match=r"is owned by process \d+") as refusal:
        open_ledger(tmp_path)

    assert "\n" not in refusal.value.message


def test_a_folder_is_free_again_when_opening_failed(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    event_store = tmp_path / "data" / "ledger.db"
    event_store.write_bytes(b"this is no database" * 100)
    event_store.chmod(0o600)
    with raises(StartRefused):
        open_ledger(tmp_path)
    event_store.unlink()

    open_ledger(tmp_path, seed=1).close()


def test_a_second_process_can_read_the_ledger_but_not_command_it(
    tmp_path: Path, ledger: Ledger
) -> None:
    answer = ledger.schedule(a_spec())

    with Ledger.open_read_only(tmp_path / "data") as reader:
        assert reader.job(answer.job_id) == answer.job
        with raises(Unavailable, match="owns this ledger"):
            reader.pause(answer.job_id)


def test_a_closed_ledger_refuses_commands(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    ledger.close()

    with raises(Unavailable, match="closing"):
        ledger.schedule(a_spec())


def test_commands_that_wait_when_a_ledger_closes_are_answered(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    gate = WriterGate(ledger)
    future = ledger.submit(scheduling(ledger, "report"))
    closing = threading.Thread(target=ledger.close)
    closing.start()

    gate.open()
    closing.join(LONG)

    [answer] = future.result(LONG)
    with open_ledger(tmp_path, seed=1) as again:
        assert again.job(answer.job_id)["name"] == "report"


# -- questions ----------------------------------------------------------------------------------


@pytest.mark.parametrize("job_id", ["nonsense", "", "00000000-0000-4000-8000-00000000000x"])
def test_an_invalid_id_is_job_not_found(ledger: Ledger, job_id: str) -> None:
    with raises(JobNotFound):
        ledger.pause(job_id)


def test_an_answer_has_the_job_right_after_and_the_last_position(ledger: Ledger) -> None:
    job_id = ledger.schedule(a_spec()).job_id

    paused = ledger.pause(job_id)
    again = ledger.pause(job_id)

    assert (paused.changed, paused.version, paused.position) == (True, 2, 3)
    assert (again.changed, again.version, again.position) == (False, 2, 3)
    assert paused.job == again.job == ledger.job(job_id)


def test_a_reason_that_cannot_be_stored_is_refused_and_nothing_is_appended(ledger: Ledger) -> None:
    job_id = ledger.schedule(a_spec()).job_id

    with raises(LedgerError, match="reason"):
        ledger.pause(job_id, reason="\ud800")

    assert ledger.amend(job_id, {"tags": ["x"]}).changed
    assert [e["topic"] for e in ledger.history(job_id)] == ["job.scheduled", "job.amended"]


# -- group commit -------------------------------------------------------------------------------


def test_256_callers_at_once_each_get_their_own_answer(ledger: Ledger) -> None:
    names = [f"job {number}" for number in range(256)]

    answers = together(ledger, scheduling(ledger, *names))

    assert [answer.job["name"] for answer in answers] == names
    assert [answer.position for answer in answers] == list(range(2, 514, 2))
    assert len({item.recorded_at for item in ledger.event_store.read(after=0, limit=999)}) == 1


def test_256_threads_each_get_their_own_answer(ledger: Ledger) -> None:
    names = [f"job {number}" for number in range(256)]

    with ThreadPoolExecutor(256) as pool:
        answers = list(pool.map(lambda name: ledger.schedule(a_spec(name=name)), names))

    assert [answer.job["name"] for answer in answers] == names


def test_within_a_batch_the_second_command_sees_the_first_of_its_job(ledger: Ledger) -> None:
    job_id = ledger.schedule(a_spec()).job_id
    call = ledger.context()
    pause, delete = commands.PauseJob(job_id, None, call), commands.DeleteJob(job_id, call)

    answers = together(ledger, [pause, pause, commands.RequestRun(job_id, call), delete, delete])

    assert codes(answers) == ["True", "False", "job_paused", "True", "job_not_found"]
    with raises(JobNotFound):
        ledger.job(job_id)


def test_within_a_batch_the_first_command_gets_a_name(ledger: Ledger) -> None:
    answers = together(ledger, scheduling(ledger, "a", "A", "b", "a"))

    assert codes(answers) == ["True", "name_taken", "True", "name_taken"]
    assert isinstance(answers[1], NameTaken)


def test_within_a_batch_a_name_that_is_released_is_free(ledger: Ledger) -> None:
    job_id = ledger.schedule(a_spec(name="a")).job_id

    delete = commands.DeleteJob(job_id, ledger.context())
    answers = together(ledger, [delete, *scheduling(ledger, "a")])

    assert codes(answers) == ["True", "True"]


def test_within_a_batch_a_key_is_answered_once(ledger: Ledger) -> None:
    """The repeats need the first to be committed, and get its answer."""
    asked = [ScheduleJob(ledger.chance.new_id(), a_spec(), keyed(ledger, "k")) for _ in range(3)]

    first, *others = together(ledger, asked)
    repeats = [ledger.execute(command) for command in asked[1:]]

    assert [type(other) for other in others] == [AlreadyAnswered] * 2
    assert {repeat.job_id for repeat in repeats} == {first.job_id}
    assert [repeat.job for repeat in repeats] == [first.job] * 2
    assert ledger.event_store.tail_position() == 3


def test_within_a_batch_only_one_edit_of_a_revision_is_accepted(ledger: Ledger) -> None:
    job_id = ledger.schedule(a_spec()).job_id
    given = replace(ledger.context(), revision=1)

    edits = [commands.AmendJob(job_id, {"tags": [f"{n}"]}, given) for n in range(50)]
    answers = together(ledger, edits)

    assert codes(answers) == ["True"] + ["stale_revision"] * 49
    assert isinstance(answers[1], StaleRevision)
    assert ledger.job(job_id)["tags"] == ["0"]


def test_within_a_batch_the_limit_of_jobs_is_enforced(tmp_path: Path) -> None:
    with open_ledger(tmp_path, max_jobs=5) as ledger:
        answers = together(ledger, scheduling(ledger, *"abcdefghi"))

        assert codes(answers) == ["True"] * 5 + ["job_limit"] * 4
        assert isinstance(answers[5], JobLimit)


def test_one_more_than_may_wait_is_overloaded_and_the_others_are_answered(ledger: Ledger) -> None:
    gate = WriterGate(ledger)
    waiting = [ledger.submit([CheckWriter()]) for _ in range(MAX_WAITING)]

    with raises(Overloaded, match=f"{MAX_WAITING} commands"):
        ledger.submit([CheckWriter()])

    gate.open()
    assert [future.result(LONG) for future in waiting] == [[None]] * MAX_WAITING
    assert ledger.schedule(a_spec()).changed


@pytest.mark.parametrize("error", [ZeroDivisionError("oops"), RunInProgress("j", None)])
def test_a_command_that_fails_half_way_does_not_affect_the_rest_of_its_batch(
    ledger: Ledger, error: Exception
) -> None:
    ids = [ledger.schedule(a_spec(name=f"job {number}")).job_id for number in range(3)]
    before = ledger.event_store.tail_position()

    def half_way(unit: UnitOfWork) -> None:
        call = ledger.context()
        unit.job(ids[1]).pause(None, call)
        raise error

    asked = [
        commands.PauseJob(ids[0], None, ledger.context()),
        commands.AmendJob(ids[1], {"tags": ["before"]}, ledger.context()),
        AdHoc(half_way),
        commands.AmendJob(ids[1], {"task": "after"}, ledger.context()),
        commands.PauseJob(ids[2], None, ledger.context()),
    ]

    first, second, failed, fourth, fifth = together(ledger, asked)

    assert failed is error
    assert [answer.changed for answer in (first, second, fourth, fifth)] == [True] * 4
    assert ledger.job(ids[1])["status"] == "active"
    assert ledger.event_store.tail_position() == before + 4
    laws.check_event_store(ledger)


def test_a_command_of_a_cancelled_caller_is_dropped(ledger: Ledger) -> None:
    gate = WriterGate(ledger)
    gone, stays = (ledger.submit([command]) for command in scheduling(ledger, "gone", "stays"))

    assert gone.cancel()
    gate.open()

    assert stays.result(LONG)[0].changed
    assert [job.name for job in ledger.job_cache.snapshot()] == ["stays"]


# -- what a command costs -----------------------------------------------------------------------


class CountingEventStore:
    """Counts the reads of the event store."""

    def __init__(self, event_store: Any) -> None:
        self._event_store = event_store
        self.asked: list[str] = []

    def __getattr__(self, name: str) -> Any:
        self.asked.append(name)
        return getattr(self._event_store, name)


@pytest.mark.parametrize("is_restarted", [False, True])
def test_a_command_on_a_long_history_reads_no_more_than_on_a_short_one(
    tmp_path: Path, is_restarted: bool
) -> None:
    clock = ManualClock()
    ledger = open_ledger(tmp_path, clock)
    short = job_with(ledger, clock, "short", 10)
    long = job_with(ledger, clock, "long", 200)
    if is_restarted:
        ledger.close()
        ledger = open_ledger(tmp_path, clock, seed=1)

    costs = [cost(ledger, job_id) for job_id in (short, long)]

    assert costs[0] == costs[1] == ["append"]
    ledger.close()


def job_with(ledger: Ledger, clock: ManualClock, name: str, events: int) -> UUID:
    job_id = ledger.schedule(a_spec(name=name)).job_id
    for number in range(events - 1):
        clock.advance(MINUTE)
        ledger.amend(job_id, {"tags": [f"{number}"]})
    assert ledger.fold(job_id).version == events
    return job_id


def cost(ledger: Ledger, job_id: UUID) -> list[str]:
    """The reads of the writer for one command."""
    real = ledger.event_store
    counting = CountingEventStore(real)
    ledger.writer.event_store = ledger.writer.streams._events._event_store = counting
    ledger.pause(job_id)
    ledger.writer.event_store = ledger.writer.streams._events._event_store = real
    return counting.asked
