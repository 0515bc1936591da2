"""Opens and closes a server's parts: the first admin, the files of secrets, the order."""

from __future__ import annotations

import asyncio
import base64
import stat
from pathlib import Path
from typing import Any

import pytest

from api.app import create_app
from api.bootstrap import ServerParts, open_server_parts
from api.settings import load_settings
from ledger.application.ledger import Ledger
from ledger.errors import StartRefused
from ledger.store.audit_query import AuditQuery
from tests.support.builders import ManualClock


def _open(folder: Path, *, dispatches: bool = False, **given: Any) -> ServerParts:
    settings = load_settings({}, {"data": folder, **given})
    return open_server_parts(settings, dispatches=dispatches, clock=ManualClock())


def _is_admin(parts: ServerParts, secret: str) -> bool:
    found = parts.tokens.authenticate(secret, parts.ledger.clock.now())
    return found is not None and (found.name, found.role, found.kind) == ("admin", "admin", "user")


def _mode(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)


def test_the_first_start_creates_an_admin_and_the_second_does_not(tmp_path: Path) -> None:
    _open(tmp_path).close()
    secret = (tmp_path / "admin.token").read_text().strip()

    parts = _open(tmp_path)

    assert _is_admin(parts, secret)
    assert _mode(tmp_path / "admin.token") == 0o600
    assert len(parts.tokens.listing()) == 1
    [created] = parts.ledger.queries.audit(AuditQuery()).events
    assert created["actor"] == {"id": "jobledger", "kind": "system"}
    parts.close()


def test_the_operator_may_choose_the_first_admins_secret(tmp_path: Path) -> None:
    parts = _open(tmp_path, token="a-secret-of-my-own")

    assert (tmp_path / "admin.token").read_text() == "a-secret-of-my-own\n"
    assert _is_admin(parts, "a-secret-of-my-own")
    parts.close()


def test_an_interrupted_first_start_continues_with_its_secret(tmp_path: Path) -> None:
    file = tmp_path / "admin.token"
    file.write_text("jl_written-before-the-crash\n")
    file.chmod(0o600)

    parts = _open(tmp_path)

    assert _is_admin(parts, "jl_written-before-the-crash")
    parts.close()


@pytest.mark.parametrize("name", ["admin.token", "webhook.secret"])
def test_a_secret_that_others_can_read_refuses_the_start_and_releases_the_folder(
    tmp_path: Path, name: str
) -> None:
    _open(tmp_path, dispatches=True).close()
    (tmp_path / name).chmod(0o644)

    with pytest.raises(StartRefused, match="chmod 600"):
        _open(tmp_path, dispatches=True)

    (tmp_path / name).chmod(0o600)
    _open(tmp_path, dispatches=True).close()


def test_the_webhook_key_is_created_once_in_the_format_of_standard_webhooks(tmp_path: Path) -> None:
    _open(tmp_path, dispatches=True).close()
    key = (tmp_path / "webhook.secret").read_text().strip()
    _open(tmp_path, dispatches=True).close()

    assert key.startswith("whsec_")
    assert len(base64.b64decode(key.removeprefix("whsec_"))) == 32
    assert (tmp_path / "webhook.secret").read_text().strip() == key
    assert _mode(tmp_path / "webhook.secret") == 0o600


@pytest.mark.parametrize("dsn", ["postgresql://db/jobs", "sqlite:////elsewhere/jobs.db"])
def test_an_unusable_dsn_refuses_the_start(tmp_path: Path, dsn: str) -> None:
    with pytest.raises(StartRefused, match="JOBLEDGER_DSN"):
        _open(tmp_path, dsn=dsn)


def test_the_server_starts_the_parts_and_closes_them_after_the_last_answer(tmp_path: Path) -> None:
    parts = _open(tmp_path, dispatches=True)
    app = create_app(parts, load_settings({}, {"data": tmp_path}))
    seen: list[str] = []

    async def serve() -> None:
        async with app.router.lifespan_context(app):
            assert parts.dispatcher is not None
            seen.append(parts.dispatcher.health()["state"])

    asyncio.run(serve())

    assert seen == ["running"]
    Ledger.open(tmp_path).close()


def test_closing_twice_or_before_starting_has_no_effect(tmp_path: Path) -> None:
    parts = _open(tmp_path, dispatches=True)

    parts.close()
    parts.close()
    parts.start()

    Ledger.open(tmp_path).close()
