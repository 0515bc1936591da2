"""The client that every command uses: the HTTP API, at a server or in this process."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

import httpx

from api.cli.exit_codes import Exit, Misused, Problem, Stop
from api.cli.responses import ApiResponse
from api.cli.text import harmless

SOURCE_HEADER = {"X-Jobledger-Source": "cli"}
CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 60.0
"""A command is answered within its commit, so this is only reached when a server hangs."""


class ApiClient:
    """A client of the API. Use it as a context manager."""

    def __init__(
        self,
        url: str,
        token: str | None,
        transport: httpx.BaseTransport | None = None,
        *,
        is_alone: bool = False,
    ) -> None:
        self.is_alone = is_alone
        """Whether this process owns the ledger, so that no dispatcher runs while it lasts."""
        self._url = url
        self._client = httpx.Client(
            base_url=url,
            headers=SOURCE_HEADER | ({"Authorization": f"Bearer {token}"} if token else {}),
            timeout=httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS),
            trust_env=False,  # no proxy and no .netrc between a command and the ledger
            transport=transport,
            verify=_trust(url),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, object] | None = None,
        body: Mapping[str, object] | None = None,
        if_revision: int | None = None,
    ) -> ApiResponse:
        """One request. Raises Problem when the API refuses it, Stop when no server answers."""
        headers = {"If-Match": f'"{if_revision}"'} if if_revision is not None else {}
        request = self._request(method, path, query, body, headers)
        with self._reaching():
            response = self._client.send(request)
        self._require_success(response)
        return ApiResponse(response.text, _object(response) or {})

    @contextmanager
    def stream(
        self,
        path: str,
        query: Mapping[str, object] | None = None,
        body: Mapping[str, object] | None = None,
    ) -> Iterator[Iterator[str]]:
        """A long answer, piece by piece; with a body, of a POST. Raises as `request`."""
        request = self._request("GET" if body is None else "POST", path, query, body, {})
        with self._reaching():
            response = self._client.send(request, stream=True)
            try:
                if response.is_error:
                    response.read()
                self._require_success(response, is_document=False)
                yield response.iter_text()
            finally:
                response.close()

    def _request(
        self,
        method: str,
        path: str,
        query: Mapping[str, object] | None,
        body: Mapping[str, object] | None,
        headers: Mapping[str, str],
    ) -> httpx.Request:
        given: dict[str, Any] = {k: v for k, v in (query or {}).items() if v not in (None, [], ())}
        try:
            content = json.dumps(body, ensure_ascii=False).encode() if body is not None else None
            json_type = {"Content-Type": "application/json"} if body is not None else {}
            return self._client.build_request(
                method, path, params=given, content=content, headers={**headers, **json_type}
            )
        except UnicodeEncodeError:
            raise Misused("An argument is not UTF-8 text, so it cannot be sent.") from None

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        try:
            yield
        except httpx.TimeoutException:
            raise Stop(Exit.UNAVAILABLE, f"{self._url} did not answer in time.") from None
        except httpx.TransportError as error:
            why = harmless(str(error)) or type(error).__name__
            raise Stop(Exit.UNAVAILABLE, f"{self._url} cannot be reached: {why}.") from None

    def _require_success(self, response: httpx.Response, *, is_document: bool = True) -> None:
        if response.is_success and (not is_document or _object(response) is not None):
            return
        document = None if response.is_success else _object(response)
        if document is None or "code" not in document:
            raise Stop(
                Exit.UNAVAILABLE,
                f"{self._url} is not a jobledger server (it answered HTTP {response.status_code}).",
            )
        detail = str(document.get("detail", ""))
        raise Problem(response.status_code, str(document["code"]), detail, response.text)


def given(**fields: Any) -> dict[str, Any]:
    """A body or query of the fields that were given."""
    return {name: value for name, value in fields.items() if value is not None}


def _trust(url: str) -> ssl.SSLContext:
    """The system's certificate authorities; they are slow to load, so only for https."""
    is_https = url.startswith("https:")
    return ssl.create_default_context() if is_https else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _object(response: httpx.Response) -> dict[str, Any] | None:
    try:
        document = json.loads(response.text)
    except ValueError:
        return None
    return document if isinstance(document, dict) else None
