"""The status page and its login. No route here changes the ledger."""

from __future__ import annotations

from urllib.parse import parse_qs

from anyio.to_thread import run_sync
from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from api.http.context import InContext
from api.security.auth import authenticator_of, cookie_name, session_of
from api.security.sessions import SESSION_LIFE, csrf_of, is_csrf
from api.web.pages import asset, login_page, status_page
from ledger.errors import Forbidden

router = APIRouter(include_in_schema=False)


@router.get("/")
async def index(request: Request, context: InContext) -> Response:
    """The status page, or without a session the login page."""
    token = authenticator_of(request).session_token(request)
    if token is None:
        return HTMLResponse(login_page())
    csrf = csrf_of(session_of(request))
    html = await run_sync(status_page, context.parts, token, csrf)
    return HTMLResponse(html)


@router.get("/static/{name}")
async def static(name: str) -> Response:
    """A style sheet or an icon of the page."""
    content, media_type = asset(name)
    return Response(content, media_type=media_type, headers={"Cache-Control": "max-age=3600"})


@router.get("/login")
async def login_by_code(request: Request, context: InContext, code: str = "") -> Response:
    """Log in with the one-time code that `jobledger serve` prints."""
    secret = context.parts.sessions.redeem(code)
    if secret is None:
        authenticator_of(request).count_failure(request)
        return HTMLResponse(
            login_page("This link was already used or is older than 15 minutes."), 401
        )
    return _logged_in(request, secret)


@router.post("/login")
async def login_by_token(request: Request, context: InContext) -> Response:
    """Log in with a token, through the page's form."""
    _require_own_page(request)
    form = await _form(request)
    now = context.ledger.clock.now()
    token = context.parts.tokens.authenticate(form.get("token", "").strip(), now)
    if token is None:
        authenticator_of(request).count_failure(request)
        return HTMLResponse(login_page("This token is unknown, expired or revoked."), 401)
    return _logged_in(request, context.parts.sessions.open(token))


@router.post("/logout")
async def logout(request: Request, context: InContext) -> Response:
    """End the session."""
    secret = session_of(request)
    form = await _form(request)
    if not is_csrf(form.get("csrf", ""), secret):
        raise Forbidden("The form belongs to another session: reload the page and try again.")
    context.parts.sessions.end(secret)
    response = RedirectResponse("/", 303)
    response.delete_cookie(cookie_name(request), path="/")
    return response


def _logged_in(request: Request, secret: str) -> Response:
    response = RedirectResponse("/", 303)
    response.set_cookie(
        cookie_name(request),
        secret,
        max_age=int(SESSION_LIFE.total_seconds()),
        path="/",
        secure=request.scope["scheme"] == "https",
        httponly=True,
        samesite="strict",
    )
    return response


def _require_own_page(request: Request) -> None:
    """Refuse a login from another site's page: browsers name the site of a form."""
    if request.headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none"):
        raise Forbidden("Log in from this ledger's own page.")


async def _form(request: Request) -> dict[str, str]:
    """The first value of each field of a plain form."""
    text = (await request.body()).decode("utf-8", "replace")
    return {name: values[0] for name, values in parse_qs(text, max_num_fields=16).items()}
