"""Answers to commits that get lost on the way (INVARIANTS D4): what was kept is no conflict, and
asking again gets the first answer.
"""

from __future__ import annotations

from collections import Counter
from urllib.parse import urlsplit

import pytest

from ledger import Ledger
from ledger.errors import OutcomeUnknown
from ledger.store.address import Address
from ledger.store.verification import verify_book
from tests.builders import a_spec
from tests.checker.cable import a_cable
from tests.contract.shelves import PostgresShelf
from tests.flow.test_library import keyed

DROPS = 500


@pytest.mark.slow
def test_a_lost_answer_is_no_conflict_and_nothing_is_kept_twice(
    postgres_shelf: PostgresShelf,
) -> None:
    """Every other time the look into the book that follows is lost as well."""
    address = postgres_shelf.address
    port = urlsplit(address.dsn).port or 5432
    unknown: set[str] = set()
    answered: set[str] = set()
    with a_cable(port) as cable:
        through = Address(
            dsn.replace(f":{port}/", f":{cable.port}/"), postgres_shelf.address.schema
        )
        with Ledger.open(through) as ledger:
            number = 0
            while cable.lost < DROPS:
                name = f"job {number}"
                cable.lose(1 + number % 2, to=b"COMMIT\0")
                call = keyed(ledger, name)
                try:
                    ledger.schedule(a_spec(name=name), call=call)
                    answered.add(name)
                except OutcomeUnknown:
                    unknown.add(name)
                    ledger.schedule(a_spec(name=name), call=call)  # NameTaken would be false
                number += 1
            cable.lose(0, to=b"")
            ledger.schedule(a_spec(name="after all"))

    facts = postgres_shelf.mapper.to_facts(postgres_shelf.book.read(after=0, limit=10**6))
    names = Counter(fact.data["name"] for fact in facts if fact.topic == "job.scheduled")
    print(f"lost {cable.lost}, answered {len(answered)}, unknown {len(unknown)}")
    assert max(names.values()) == 1
    assert answered
    assert unknown
    assert set(names) == answered | unknown | {"after all"}
    assert verify_book(postgres_shelf.book).is_sound
