"""A route that calls its dependencies itself: most requests have no query, so there is nothing that
the framework would have to validate.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, cast

from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import request_params_to_args
from fastapi.routing import APIRoute
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response

Handler = Callable[[Request], Coroutine[Any, Any, Response]]
Call = Callable[..., Awaitable[Any]]


class DirectRoute(APIRoute):
    """An APIRoute under the same contract. Its dependencies are coroutines that take the request
    and texts of the path; a request with a query goes through the framework.
    """

    def get_route_handler(self) -> Handler:
        by_framework, endpoint = super().get_route_handler(), self.endpoint
        calls = [(one.name, *_call_of(one)) for one in self.dependant.dependencies]
        defaults, _ = request_params_to_args(self.dependant.query_params, QueryParams())

        async def handle(request: Request) -> Response:
            if request.scope["query_string"]:
                return await by_framework(request)
            values = dict(defaults)
            for name, call, wants_request, texts in calls:
                given = {text: request.path_params[text] for text in texts}
                if wants_request:
                    given[wants_request] = request
                value = await call(**given)
                if name is not None:
                    values[name] = value
            return await endpoint(**values)  # type: ignore[no-any-return]

        return handle


def _call_of(dependant: Dependant) -> tuple[Call, str | None, list[str]]:
    """A dependency, the parameter that takes the request, and the texts of the path it takes."""
    texts = [field.name for field in dependant.path_params]
    return cast(Call, dependant.call), dependant.request_param_name, texts
