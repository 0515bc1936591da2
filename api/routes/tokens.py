"""Access tokens: list, create, revoke. Admins only."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends
from starlette.responses import Response

from api.http.bodies import BodyOf
from api.http.context import InContext, plain
from api.http.openapi import TOKEN_CREATED, TOKEN_REVOKED, listed
from api.schemas.bodies import TokenBody
from api.security.auth import requires
from ledger.application.tokens import token_view

router = APIRouter(prefix="/v1/tokens", tags=["tokens"])

GivenToken = Annotated[TokenBody, Depends(BodyOf(TokenBody))]


@router.get("", dependencies=[requires("admin")], responses={200: listed("tokens")})
async def list_tokens(context: InContext) -> Response:
    """Every token, also revoked ones, without secrets."""
    found = [token_view(row) for row in context.parts.tokens.listing()]
    return plain({"tokens": found, "next": None, "position": context.position()})


@router.post("", status_code=201, dependencies=[requires("admin")], responses={201: TOKEN_CREATED})
async def create_token(body: GivenToken, context: InContext) -> Response:
    """Create a token. Only this answer has its secret, so a repeated Idempotency-Key is refused
    with name_taken.
    """
    create_token = partial(context.parts.tokens.create, body.name, body.role, body.kind)
    command_context = await context.command_context()
    row, secret = await run_sync(create_token, body.expires_at, command_context)
    return plain(
        {
            "token": token_view(row),
            "secret": secret,
            "changed": True,
            "position": context.position(),
        },
        201,
    )


@router.delete("/{token}", dependencies=[requires("admin")], responses={200: TOKEN_REVOKED})
async def revoke_token(token: str, context: InContext) -> Response:
    """Revoke a token, named by its id or its name."""
    command_context = await context.command_context()
    row, changed = await run_sync(context.parts.tokens.revoke, token, command_context)
    return plain({"token": token_view(row), "changed": changed, "position": context.position()})
