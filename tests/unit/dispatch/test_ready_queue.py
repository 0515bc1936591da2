"""What is due and waits for a slot: in order, and each item once."""

from __future__ import annotations

from ledger.application.due_queue import DueItem
from ledger.dispatch.queues.ready_queue import DueFire, ReadyQueue
from tests.support.builders import MINUTE, NOON, an_id

LATER = NOON + MINUTE


def item(number: int) -> DueItem:
    return DueItem(NOON, "fire", an_id(number))


def ready() -> ReadyQueue:
    return ReadyQueue(lambda item: item.job_id.int % 2 == 0, lambda _: True)


def test_an_item_that_is_added_again_is_queued_once() -> None:
    waiting = ready()

    for _ in range(20):
        waiting.add_all([item(1)], NOON)

    assert len(waiting) == 1
    assert waiting.take(NOON, 100, 100) == [DueFire(NOON, item(1))]


def test_a_taken_item_may_be_added_again() -> None:
    waiting = ready()
    waiting.add_all([item(1)], NOON)
    [taken] = waiting.take(NOON, 1, 1)

    waiting.give_back([taken])

    assert waiting.take(NOON, 1, 1) == [taken]
    assert len(waiting) == 0


def test_items_that_take_no_slot_do_not_wait_behind_those_that_do() -> None:
    waiting = ready()
    waiting.add_all([item(number) for number in range(1, 7)], NOON)

    taken = waiting.take(LATER, 100, free_slots=1)

    assert sum(due.item.job_id.int % 2 == 0 for due in taken) == 3
    assert len(taken) == 4
