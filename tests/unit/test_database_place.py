"""How messages name the place of a ledger on PostgreSQL: its hosts and its database."""

from __future__ import annotations

import pytest

from ledger.store.address import Address


@pytest.mark.parametrize(
    ("dsn", "place"),
    [
        ("postgresql://ada:pw@one:5432/ledger", "one/ledger"),
        ("postgresql://ada:pw@one:5432,two:5433/ledger?target_session_attrs=any", "one,two/ledger"),
        ("postgresql://ada@one,two/ledger", "one,two/ledger"),
        ("postgresql://ada@[::1]:5432/ledger", "::1/ledger"),
        ("postgresql:///ledger?host=one,two", "one,two/ledger"),
        ("postgresql:///ledger", "localhost/ledger"),
        ("host=one password=pw", "PostgreSQL"),
    ],
)
def test_a_place_names_every_host_and_never_the_password(dsn: str, place: str) -> None:
    assert Address(dsn).place == place
