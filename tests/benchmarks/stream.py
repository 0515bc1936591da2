"""`python -m tests.benchmarks.stream`: a started server, many stream clients on real sockets, and
events appended meanwhile. Prints who got all of them, and what it cost the server.
"""

from __future__ import annotations

import asyncio
import os
import re
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from rich.console import Console

from api.demo.processes import DemoServer, a_server
from ledger.clock import SystemClock
from tests.support.builders import a_spec

CLIENTS = 500
COMMANDS = 1000
"""Each appends two events."""
LIMIT_SECONDS = 120.0
AT_ONCE = 50
ID = re.compile(rb"^id: (\d+)$", re.MULTILINE)


@dataclass
class Received:
    """What one client was sent."""

    positions: list[int] = field(default_factory=list)
    rest: bytes = b""
    endings: int = 0


async def listen(port: int, token: str, end: int, ready: asyncio.Semaphore) -> Received:
    """One client, until it has the event at `end`, is dropped, or the time is over."""
    received = Received()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    request = f"GET /v1/events/stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n"
    writer.write(request.encode())
    await reader.readuntil(b"retry:")
    ready.release()
    while (not received.positions or received.positions[-1] < end) and not received.endings:
        piece = await reader.read(65536)
        received.endings += not piece or b"event: dropped" in piece
        lines = (received.rest + piece).rsplit(b"\n", 1)
        received.rest = lines[-1]
        received.positions += [int(found) for found in ID.findall(lines[0])]
    writer.close()
    return received


async def append(server: DemoServer, token: str) -> None:
    """Schedule jobs over HTTP."""
    limits = httpx.Limits(max_connections=AT_ONCE)
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(
        base_url=server.url, headers=headers, limits=limits, timeout=LIMIT_SECONDS
    ) as client:
        specs = (a_spec(name=f"job {number}", enabled=False) for number in range(COMMANDS))
        answers = await asyncio.gather(*(client.post("/v1/jobs", json=spec) for spec in specs))
    assert {answer.status_code for answer in answers} == {201}


async def drive(server: DemoServer, console: Console) -> None:
    """The whole of it, against a server that is up."""
    clock, token = SystemClock(), (server.data / "admin.token").read_text().strip()
    port = int(server.url.rsplit(":", 1)[1])
    headers = {"Authorization": f"Bearer {token}"}
    start = httpx.get(f"{server.url}/v1/evidence/head", headers=headers).json()["position"]
    end = start + 2 * COMMANDS
    ready = asyncio.Semaphore(0)
    console.print(f"memory before: {memory(server.process.pid)}")
    tasks = [asyncio.create_task(listen(port, token, end, ready)) for _ in range(CLIENTS)]
    for _ in range(CLIENTS):
        await ready.acquire()
    console.print(f"memory with {CLIENTS} clients: {memory(server.process.pid)}")
    began_at = clock.elapsed()
    await append(server, token)
    appended_at = clock.elapsed()
    done, _ = await asyncio.wait(tasks, timeout=LIMIT_SECONDS)
    ended_at = clock.elapsed()
    wanted = list(range(start + 1, end + 1))
    whole = sum(task.result().positions == wanted for task in done)
    console.print(f"{whole} of {CLIENTS} clients got all {len(wanted)} events, once, in order")
    console.print(f"appended in {appended_at - began_at:.2f} s, all told after "
                  f"{ended_at - began_at:.2f} s")  # fmt: skip
    console.print(f"memory after: {memory(server.process.pid)}; "
                  f"cpu: {cpu_seconds(server.process.pid):.2f} s")  # fmt: skip


def memory(pid: int) -> str:
    """Resident and highest memory of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = {name: int(re.findall(rf"{name}:\s+(\d+)", status)[0]) for name in ("VmRSS", "VmHWM")}
    return f"{found['VmRSS'] // 1024} MiB (highest {found['VmHWM'] // 1024} MiB)"


def cpu_seconds(pid: int) -> float:
    """What a process has computed since it began."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Start a server in a temporary folder and drive it."""
    with tempfile.TemporaryDirectory() as folder, a_server(Path(folder)) as server:
        asyncio.run(drive(server, Console()))


if __name__ == "__main__":
    main()
