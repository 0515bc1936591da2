"""Request bodies: JSON objects of any content type, validated by a pydantic model."""

from __future__ import annotations

from typing import Annotated, Any, Generic, TypeVar

from fastapi import Depends, Request
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError

from api.http import strict_json
from api.http.errors import refusal_of
from api.refusals import MalformedJson
from api.schemas.bodies import ReasonBody, ResumeBody
from ledger.errors import InvalidField

B = TypeVar("B", bound=BaseModel)


async def read_object(request: Request) -> dict[str, Any]:
    """The body, which must be a JSON object. Refuses MalformedJson, InvalidField."""
    body = await request.body()
    if not body.strip():
        raise MalformedJson("it is empty, but must be an object")
    return _object(strict_json.read(body))


class BodyOf(Generic[B]):
    """A dependency: the body as a model. Refuses UnknownField and InvalidField by path. OpenAPI
    documents it on every route that takes it.
    """

    def __init__(self, model: type[B], *, may_be_empty: bool = False) -> None:
        """If it may be empty, an empty or blank body counts as an empty object."""
        self._model = model
        self._may_be_empty = may_be_empty

    async def __call__(self, request: Request) -> B:
        is_blank = self._may_be_empty and not (await request.body()).strip()
        given = {} if is_blank else await read_object(request)
        try:
            return self._model.model_validate(given)
        except ValidationError as error:
            raise refusal_of(error.errors(include_url=False)) from None

    def documented(self) -> dict[str, Any]:
        """The body as OpenAPI documents it."""
        return documented(self._model, is_required=not self._may_be_empty)


def documented(model: type[BaseModel], *, is_required: bool = True) -> dict[str, Any]:
    """A body as OpenAPI documents it, with the schema of a model."""
    content = {"application/json": {"schema": model.model_json_schema()}}
    return {"requestBody": {"required": is_required, "content": content}}


def body_of(route: APIRoute) -> dict[str, Any]:
    """What OpenAPI documents of the body that a route takes by `BodyOf`; empty without one."""
    taken = (dependency.call for dependency in route.dependant.dependencies)
    return next((body.documented() for body in taken if isinstance(body, BodyOf)), {})


GivenReason = Annotated[ReasonBody, Depends(BodyOf(ReasonBody, may_be_empty=True))]
GivenResume = Annotated[ResumeBody, Depends(BodyOf(ResumeBody, may_be_empty=True))]


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidField("body", "must be a JSON object")
    return value
