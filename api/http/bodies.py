"""Request bodies: JSON objects of any content type, validated by a pydantic model."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError

from api.http import strict_json
from api.http.errors import refusal_of
from api.refusals import MalformedJson
from ledger.errors import InvalidField

B = TypeVar("B", bound=BaseModel)


async def read_object(request: Request) -> dict[str, Any]:
    """The body, which must be a JSON object. Refuses MalformedJson, InvalidField."""
    body = await request.body()
    if not body.strip():
        raise MalformedJson("it is empty, but must be an object")
    return _object(strict_json.read(body))


async def read_optional_object(request: Request) -> dict[str, Any]:
    """The body; an empty or blank one counts as an empty object."""
    body = await request.body()
    return _object(strict_json.read(body)) if body.strip() else {}


def body_of(model: type[B], *, may_be_empty: bool = False) -> Callable[[Request], Awaitable[B]]:
    """A dependency: the body as a model. Refuses UnknownField and InvalidField by path."""
    read = read_optional_object if may_be_empty else read_object

    async def parsed(request: Request) -> B:
        given = await read(request)
        try:
            return model.model_validate(given)
        except ValidationError as error:
            raise refusal_of(error.errors(include_url=False)) from None

    return parsed


def documented(model: type[BaseModel], *, may_be_empty: bool = False) -> dict[str, Any]:
    """The body as OpenAPI documents it."""
    schema = model.model_json_schema()
    content = {"application/json": {"schema": schema}}
    return {"requestBody": {"required": not may_be_empty, "content": content}}


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidField("body", "must be a JSON object")
    return value
