"""token create, list, revoke."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

from api.cli.connection.client import given
from api.cli.connection.connect import Intent, connect
from api.cli.options import AsJson, DataFolder, argument, flag
from api.cli.output.render import show
from api.cli.output.terminal import complain, print_table, say
from api.cli.output.times import ago_short, read_instant
from api.cli.responses import Document
from ledger.clock import SystemClock

Name = Annotated[str, argument("NAME", "Name of the token; the actor in the audit.")]
Role = Annotated[
    str,
    flag(
        "--role",
        "ROLE",
        "viewer (reads), operator (changes jobs), admin (also tokens) or worker (runs jobs).",
    ),
]
Kind = Annotated[
    str | None,
    flag(
        "--kind",
        "KIND",
        "user, agent, worker or system.",
        show_default="worker for that role, else user",
    ),
]
Expires = Annotated[
    str | None,
    flag("--expires", "INSTANT", "Expiry, or lifetime such as 30d.", show_default="never"),
]
Wanted = Annotated[str, argument("TOKEN", "Token id or name.")]


def create(
    name: Name,
    role: Role = "viewer",
    kind: Kind = None,
    expires: Expires = None,
    as_json: AsJson = False,
    data: DataFolder = None,
) -> None:
    """Create a token and print its secret.

    The secret is shown once.
    """
    now = SystemClock().now()
    ends_at = read_instant(expires, "--expires", now) if expires is not None else None
    body = given(name=name, role=role, kind=kind, expires_at=ends_at)
    with connect(Intent.BEGIN, data) as client:
        answer = client.request("POST", "/v1/tokens", body=body)
    show(answer, as_json, _print_secret)


def list_tokens(as_json: AsJson = False, data: DataFolder = None) -> None:
    """List tokens, also revoked ones.

    Secrets are never shown.
    """
    with connect(Intent.READ, data) as client:
        answer = client.request("GET", "/v1/tokens")
    show(answer, as_json, _print_tokens)


def revoke(wanted: Wanted, as_json: AsJson = False, data: DataFolder = None) -> None:
    """Revoke a token."""
    with connect(Intent.CHANGE, data) as client:
        answer = client.request("DELETE", f"/v1/tokens/{quote(wanted, safe='', errors='replace')}")
    show(answer, as_json, _print_revoked)


def _print_secret(document: Document) -> None:
    """The secret alone goes to stdout, so that it can be piped."""
    token = document["token"]
    complain(f"Token {token['name']} ({token['role']}). Save the secret: it is not shown again.")
    say(document["secret"])


def _print_tokens(document: Document) -> None:
    now = SystemClock().now()
    rows = [
        (
            token["name"],
            token["role"],
            token["kind"],
            ago_short(token["expires_at"], now) if token["expires_at"] else "never",
            ago_short(token["revoked_at"], now) if token["revoked_at"] else "",
        )
        for token in document["tokens"]
    ]
    print_table(["NAME", "ROLE", "KIND", "EXPIRES", "REVOKED"], rows)


def _print_revoked(document: Document) -> None:
    done = "is revoked" if document["changed"] else "was already revoked"
    say(f"Token {document['token']['name']} {done}.")
