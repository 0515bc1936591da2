"""How many requests a second the server answers, against the framework alone in the same run."""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from urllib.parse import urlsplit

from api.cli.connection.credentials import ADMIN_FILE
from api.demo.processes import ENVIRONMENT, ROOT, DemoServer, a_server
from tests.benchmarks import reference_app
from tests.benchmarks.figures import EVERY_HOUR, Figure, specs

CONNECTIONS = 32
REQUESTS = 3_000
"""In one round."""
ROUNDS = 5


def figure_http(folder: Path) -> list[Figure]:
    """Durable commands and reads of one job over 32 connections, as ratios to the framework that
    does nothing: medians of interleaved rounds.
    """
    with a_server(folder) as server, a_reference() as reference:
        token, ids = server_token(server), schedule_jobs(server)
        host = urlsplit(server.url).netloc
        turns = {
            "command": (host, toggles(host, token, ids)),
            "null POST": (reference, toggles(reference, reference_app.TOKEN, ids)),
            "GET": (host, reads(host, token, ids)),
            "null GET": (reference, reads(reference, reference_app.TOKEN, ids)),
        }
        rates: dict[str, list[float]] = {name: [] for name in turns}
        for _ in range(ROUNDS + 1):
            for name, (where, requests) in turns.items():
                rates[name].append(asyncio.run(burst(where, requests)))
    found = {name: statistics.median(taken[1:]) for name, taken in rates.items()}
    return [
        _against("durable commands over HTTP, 32 connections", found, "command", "null POST", 0.45),
        _against("GET of one job, 32 connections", found, "GET", "null GET", 0.4),
    ]


def _against(what: str, found: dict[str, float], ours: str, null: str, least: float) -> Figure:
    ratio = found[ours] / found[null]
    value = f"{found[ours]:,.0f}/s = {ratio:.2f} × of {found[null]:,.0f}/s"
    return Figure(what, value, f"≥ {least:g} ×", ratio >= least)


def server_token(server: DemoServer) -> str:
    """The admin's token."""
    return (server.data / ADMIN_FILE).read_text().strip()


def schedule_jobs(server: DemoServer) -> list[str]:
    """A job for each connection."""
    with server.client() as client:
        answers = [
            client.request("POST", "/v1/jobs", body=spec) for spec in specs(CONNECTIONS, EVERY_HOUR)
        ]
    return [str(answer.document["job"]["id"]) for answer in answers]


@contextmanager
def a_reference() -> Iterator[str]:
    """The reference application in a process of its own; its host and port."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.reference_app"],
        cwd=ROOT,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        yield f"127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.kill()
        process.wait()


# -- the load -----------------------------------------------------------------------------------


def toggles(host: str, token: str, ids: Sequence[str]) -> list[Iterator[bytes]]:
    """For each connection, pauses of its job, each until another instant: all change something."""
    return [cycle(_pauses(host, token, job_id)) for job_id in ids]


def _pauses(host: str, token: str, job_id: str) -> list[bytes]:
    bodies = [json.dumps({"until": f"2099-01-01T00:00:0{second}Z"}) for second in range(10)]
    return [request("POST", f"/v1/jobs/{job_id}/pause", host, token, body) for body in bodies]


def reads(host: str, token: str, ids: Sequence[str]) -> list[Iterator[bytes]]:
    """For each connection, reads of its job."""
    return [cycle([request("GET", f"/v1/jobs/{job_id}", host, token)]) for job_id in ids]


def request(method: str, path: str, host: str, token: str, body: str = "") -> bytes:
    """A request as it is sent."""
    head = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n"
    if body:
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return f"{head}\r\n{body}".encode()


async def burst(host: str, requests: Sequence[Iterator[bytes]]) -> float:
    """Answers per second, each connection sending its next request after an answer."""
    name, _, port = host.partition(":")
    connections = [await asyncio.open_connection(name, int(port)) for _ in requests]
    started = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for (reader, writer), own in zip(connections, requests, strict=True):
            group.create_task(_converse(reader, writer, own, REQUESTS // len(requests)))
    seconds = time.perf_counter() - started
    for _, writer in connections:
        writer.close()
    return REQUESTS // len(requests) * len(requests) / seconds


async def _converse(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    requests: Iterator[bytes],
    count: int,
) -> None:
    for _ in range(count):
        writer.write(next(requests))
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        status = int(head.split(b" ", 2)[1])
        length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
        body = await reader.readexactly(length)
        if status != 200:
            raise RuntimeError(f"answered {status}: {body!r}")
