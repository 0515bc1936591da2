"""What changed across the fleet between two moments, and who changed it."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from api.auth import requires
from api.documents import DIFF
from api.door import UsesDoor, plain
from api.queries import DiffQuery as GivenQuery
from ledger.clock import rfc3339
from ledger.errors import InvalidField
from projections.diff import Diff, DiffQuery
from projections.past import Moment

router = APIRouter(prefix="/v1", tags=["audit"])

NEEDS = ("jobs",)


@router.get("/diff", dependencies=[requires("viewer")], responses={200: DIFF})
async def diff(query: Annotated[GivenQuery, Query()], door: UsesDoor) -> Response:
    """The jobs that were made, deleted or changed, each field with its last change."""
    end = await door.moment(door.position() if query.to is None else query.to, name="to")
    begin = await door.moment(query.begin, name="from")
    if begin.position > end.position:
        raise InvalidField("from", "is after to")
    await door.require_actor(query.actor)
    asked = DiffQuery(begin, end, query.tag, query.actor, query.cursor, query.limit)
    found, following = await door.read(
        partial(Diff(door.ledger, door.parts.copies).page, asked),
        needs=NEEDS,
        after_position=end.position,
    )
    return plain(
        {
            "from": _told(begin),
            "to": _told(end),
            "jobs": found,
            "next": following,
            "position": end.position,
        }
    )


def _told(moment: Moment) -> dict[str, object]:
    return {"position": moment.position, "at": rfc3339(moment.at)}
