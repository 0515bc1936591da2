"""How messages name the location of a ledger on PostgreSQL: its hosts and its database."""

from __future__ import annotations

import pytest
from pytest import raises

from api.cli.admin.backup import _without_password
from api.config.parsers import dsn as read_dsn
from ledger.errors import StartRefused
from ledger.store.postgres.connections import PostgresServer
from ledger.store.postgres.dsn import PostgresDsn


@pytest.mark.parametrize(
    ("dsn", "location"),
    [
        ("postgresql://ada:pw@one:5432/ledger", "one/ledger"),
        ("postgresql://ada:pw@one:5432,two:5433/ledger?target_session_attrs=any", "one,two/ledger"),
        ("postgresql://ada@one,two/ledger", "one,two/ledger"),
        ("postgresql://ada@[::1]:5432/ledger", "::1/ledger"),
        ("postgresql:///ledger?host=one,two", "one,two/ledger"),
        ("postgresql:///ledger", "localhost/ledger"),
        ("host=one password=pw", "PostgreSQL"),
        ("postgresql://ada:p#w@one:5432/ledger", "one/ledger"),
        ("postgresql://ada:p,?w@one:5432/ledger", "one/ledger"),
        ("postgresql://ada:p/w@one/ledger", "PostgreSQL"),
        ("postgresql://ada:p@w@one/ledger", "PostgreSQL"),
        ("postgresql://ada:p%w@one/ledger", "PostgreSQL"),
    ],
)
def test_a_location_names_every_host_and_never_the_password(dsn: str, location: str) -> None:
    assert PostgresDsn(dsn).location == location


@pytest.mark.parametrize(
    ("dsn", "mistake"),
    [
        ("postgresql://ada:secret%zz@127.0.0.1:1/ledger", "%25"),
        ("postgresql://ada:secret%00@127.0.0.1:1/ledger", "%25"),
        ("postgresql://ada:12@secret@127.0.0.1:1/ledger", "%40"),
        ("postgresql://ada:12/secret@127.0.0.1:1/ledger", "%2F"),
        ("postgresql://127.0.0.1:1/ledger?password=12&secret", "%26"),
    ],
)
def test_a_password_that_the_driver_would_quote_is_refused_and_not_shown(
    dsn: str, mistake: str
) -> None:
    with raises(StartRefused, match=mistake) as refused:
        PostgresServer(PostgresDsn(dsn)).first_connection()

    assert "secret" not in refused.value.message


@pytest.mark.parametrize("dsn", ["postgresql://a:secret\tx@h/l", "postgresql://a:secret\nx@h/l"])
def test_an_address_with_a_line_break_is_not_shown(dsn: str) -> None:
    with raises(ValueError, match="not shown") as refused:
        read_dsn(dsn)

    assert "secret" not in str(refused.value)


def test_the_suggested_postgresql_commands_contain_no_part_of_the_password() -> None:
    with raises(StartRefused, match="%2F"):
        _without_password(PostgresDsn("postgresql://ada:12/secret@127.0.0.1/ledger"))
