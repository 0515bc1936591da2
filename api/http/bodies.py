"""Request bodies: JSON objects whatever their content type, checked against a model, key by key."""

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
    """The body, which must be there and be an object. Refuses MalformedJson, InvalidField."""
    body = await request.body()
    if not body.strip():
        raise MalformedJson("it is empty, and an object is needed")
    return _object(strict_json.read(body))


async def read_optional_object(request: Request) -> dict[str, Any]:
    """The body, where an empty or blank one means no wishes."""
    body = await request.body()
    return _object(strict_json.read(body)) if body.strip() else {}


def body_of(model: type[B], *, may_be_empty: bool = False) -> Callable[[Request], Awaitable[B]]:
    """A dependency that gives the body as a model. Refuses UnknownField, InvalidField by path."""
    read = read_optional_object if may_be_empty else read_object

    async def parsed(request: Request) -> B:
        given = await read(request)
        try:
            return model.model_validate(given)
        except ValidationError as error:
            raise refusal_of(error.errors(include_url=False)) from None

    return parsed


def documented(model: type[BaseModel], *, may_be_empty: bool = False) -> dict[str, Any]:
    """What OpenAPI says of such a body."""
    schema = model.model_json_schema()
    content = {"application/json": {"schema": schema}}
    return {"requestBody": {"required": not may_be_empty, "content": content}}


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidField("body", "must be a JSON object")
    return value
