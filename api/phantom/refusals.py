"""Every "no" in Phantom's form: `{"error": "…"}`, under Phantom's statuses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from starlette.responses import Response

PREFIX = "/ui/api/scheduler"
"""Whatever is asked at or below this path is answered in Phantom's form."""
BAD_SCHEDULES = frozenset({"schedule_invalid", "schedule_never_fires", "schedule_in_past"})
NOT_UNDERSTOOD = "words_not_understood"
"""The one refusal that is a 422 there; all other bad input is a 400."""

_ERROR = {
    "type": "object",
    "properties": {"error": {"type": "string"}},
    "required": ["error"],
    "additionalProperties": False,
}
DOCUMENTED: dict[int | str, dict[str, Any]] = {
    family: {"description": text, "content": {"application/json": {"schema": _ERROR}}}
    for family, text in (("4XX", "A refusal; `error` says why."), ("5XX", "Not now, or not ever."))
}


def is_phantoms(path: str) -> bool:
    """Whether a path is one of Phantom's."""
    return path == PREFIX or path.startswith(f"{PREFIX}/")


def refusal(status: int, code: str, detail: str, headers: Mapping[str, str]) -> Response:
    """The ledger's refusal as Phantom says it."""
    body = orjson.dumps({"error": phantom_body(code, detail)})
    known = 400 if status == 422 and code != NOT_UNDERSTOOD else status
    return Response(body, known, dict(headers), "application/json")


def phantom_body(code: str, detail: str) -> str:
    """What a person reads; schedules that cannot be are called what Phantom calls them."""
    return f"invalid schedule: {detail}" if code in BAD_SCHEDULES else detail
