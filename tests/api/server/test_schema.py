"""Schemathesis against the whole application: no unhandled error, every answer documented."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import CHECKS, load_all_checks
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.api.harness import Api, serving
from tests.api.server.test_access import GUARDED, STREAM
from tests.support.builders import MINUTE

OPERATIONS = [
    (*operation, mode) for operation in GUARDED for mode in GenerationMode if operation[1] != STREAM
] + [("GET", "/healthz", GenerationMode.POSITIVE), ("GET", "/readyz", GenerationMode.POSITIVE)]
NOT_ASKED = {
    # The ledger, not OpenAPI, validates the content of schedule, executor and policy.
    "positive_data_acceptance",
    # It also counts queries as invalid that serialisation makes valid, and does not know 413.
    "negative_data_rejection",
}
UNAVAILABLE = {"/v1/runs/claim": {"not_a_server_error"}}
"""Without a dispatcher a claim is answered 503, as documented."""
EXAMPLES = 40


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with serving(tmp_path_factory.mktemp("schema")) as api:
        api.schedule()
        yield api


@pytest.mark.slow
@pytest.mark.parametrize(("method", "path", "mode"), OPERATIONS)
def test_every_answer_is_documented(
    shared: Api, method: str, path: str, mode: GenerationMode
) -> None:
    load_all_checks()
    asked = set(CHECKS.get_all_names()) - NOT_ASKED - UNAVAILABLE.get(path, set())
    checks: Any = [CHECKS.get_one(name) for name in sorted(asked)]
    schema: Any = schemathesis.openapi.from_asgi("/v1/openapi.json", _requests_only(shared))
    headers = {"Authorization": f"Bearer {shared.secret_of('admin')}"}

    @given(schema[path][method].as_strategy(generation_mode=mode))
    @settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
    def each(case: Case[Any]) -> None:
        shared.clock.advance(MINUTE)  # invalid tokens are counted per minute
        case.call_and_validate(headers=headers, checks=checks)

    each()


def _requests_only(api: Api) -> ASGIApp:
    """The application without its lifespan, which would close the ledger under test."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await api.app(scope, receive, send)
            return
        while (message := await receive())["type"] != "lifespan.shutdown":
            await send({"type": f"{message['type']}.complete"})
        await send({"type": "lifespan.shutdown.complete"})

    return app
