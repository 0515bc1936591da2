"""The framework alone, with a token check and a body: what the figures of HTTP stand beside."""

from __future__ import annotations

import socket
from hashlib import sha256
from typing import Annotated

import uvicorn
from fastapi import Depends, FastAPI, HTTPException, Request
from pydantic import BaseModel

TOKEN = "jl_reference"
DIGESTS = frozenset({sha256(TOKEN.encode()).digest()})

app = FastAPI()


class Body(BaseModel):
    """The body of a pause."""

    until: str | None = None
    reason: str | None = None


async def authenticated(request: Request) -> str:
    """The caller's role. 401 for a token that is not known."""
    _, _, secret = request.headers.get("authorization", "").partition(" ")
    if sha256(secret.encode()).digest() not in DIGESTS:
        raise HTTPException(401)
    return "operator"


Role = Annotated[str, Depends(authenticated)]


@app.post("/v1/jobs/{job_id}/pause")
async def pause(job_id: str, body: Body, role: Role) -> dict[str, str | None]:
    """Do nothing."""
    return {"job_id": job_id, "reason": body.reason, "role": role}


@app.get("/v1/jobs/{job_id}")
async def show(job_id: str, role: Role) -> dict[str, str]:
    """Do nothing."""
    return {"job_id": job_id, "role": role}


def main() -> None:
    """Serve on a free port of this machine, and print it."""
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    config = uvicorn.Config(app, access_log=False, log_level="warning")
    uvicorn.Server(config).run([listener])


if __name__ == "__main__":
    main()
