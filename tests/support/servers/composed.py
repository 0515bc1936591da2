"""docker-compose.yml as the tests read it, and its topology as plain processes: the same commands
and environment, on 127.0.0.1 and free ports.
"""

from __future__ import annotations

import re
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import yaml

from api.demo.processes import PROGRAM, ROOT
from api.demo.waiting import wait_for
from tests.support.servers.postgres_server import TestServer

LIMIT_SECONDS = 60.0
"""A hang fails by this; nothing is measured by it."""
SECRETS = "/run/secrets"
METRICS = "/run/jobledger-metrics"
PORT = 8321
"""The port that nodes listen on inside their containers."""

Service = Mapping[str, Any]


def composed() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return document


def services() -> dict[str, Service]:
    found: dict[str, Service] = composed()["services"]
    return found


def of_ours() -> dict[str, Service]:
    """The services that run our image."""
    return {name: one for name, one in services().items() if "build" in one}


def image_environment() -> dict[str, str]:
    """The variables that the Dockerfile sets for every container, jobledger's own only."""
    return dict(re.findall(r"\b(JOBLEDGER_\w+)=(\S+)", (ROOT / "Dockerfile").read_text()))


def environment_of(service: Service) -> dict[str, str]:
    """A service's variables, with the defaults of those that compose fills in from outside."""
    given = {**image_environment(), **service.get("environment", {})}
    return {name: re.sub(r"\$\{\w+:-(.*?)\}", r"\1", text) for name, text in given.items()}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def make_secrets(folder: Path) -> Path:
    """Run the script that makes the secrets, beside itself; the folder it filled."""
    script = folder / "make-secrets.sh"
    shutil.copy(ROOT / "deploy" / "make-secrets.sh", script)
    subprocess.run(["sh", str(script)], check=True, timeout=LIMIT_SECONDS)
    return folder / "secrets"


class Topology:
    """The services of the file as processes. A path or port inside a container is here a path in
    `folder` or a free port.
    """

    def __init__(self, folder: Path, database: TestServer) -> None:
        self.folder = folder
        self.secrets = make_secrets(folder)
        self.ports = {name: free_port() for name in of_ours()}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._database = database
        self._ending = ExitStack()
        (folder / "metrics").mkdir()
        self._write_program()
        self._prepare_database()

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.ports[name]}"

    @property
    def admin_token(self) -> str:
        return (self.secrets / "admin_token").read_text().strip()

    @property
    def metrics_token(self) -> str:
        return (self.folder / "metrics" / "token").read_text().strip()

    def run(self, name: str) -> None:
        """A service that ends by itself, to its end."""
        service = of_ours()[name]
        words = [self._here(word, name) for word in service["command"]]
        done = subprocess.run(
            words,
            cwd=self.folder,
            env=self._environment(name),
            capture_output=True,
            text=True,
            timeout=LIMIT_SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self, name: str) -> None:
        """A service that stays."""
        words = [self._here(word, name) for word in of_ours()[name]["command"]]
        log = self._ending.enter_context((self.folder / f"{name}.log").open("wb"))
        process = subprocess.Popen(
            words, cwd=self.folder, env=self._environment(name), stdout=log, stderr=log
        )
        self.processes[name] = process
        self._ending.callback(_end, process)

    def is_healthy(self, name: str) -> bool:
        """Whether the service's own healthcheck says so."""
        process = self.processes[name]
        assert process.poll() is None, (self.folder / f"{name}.log").read_text()
        kind, *words = of_ours()[name]["healthcheck"]["test"]
        assert kind == "CMD"
        command = [self._here(word, name) for word in words]
        done = subprocess.run(
            command,
            env=self._environment(name),
            capture_output=True,
            timeout=LIMIT_SECONDS,
            check=False,
        )
        return done.returncode == 0

    def close(self) -> None:
        self._ending.close()

    def _environment(self, name: str) -> dict[str, str]:
        given = environment_of(of_ours()[name])
        here = {key: self._here(text, name) for key, text in given.items()}
        path = f"{self.folder / 'bin'}:{Path(sys.executable).parent}:/usr/bin:/bin"
        here |= {"JOBLEDGER_HOST": "127.0.0.1", "JOBLEDGER_PORT": str(self.ports[name])}
        return {"PATH": path, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **here}

    def _here(self, text: str, name: str) -> str:
        """A word of the file as it is on this machine."""
        for node, port in self.ports.items():
            text = text.replace(f"//{node}:{PORT}", f"//127.0.0.1:{port}")
        text = text.replace(f"127.0.0.1:{PORT}", f"127.0.0.1:{self.ports[name]}")
        text = text.replace(SECRETS, str(self.secrets)).replace(METRICS, f"{self.folder}/metrics")
        text = re.sub(r"^/data$", str(self.folder / "data"), text)
        text = re.sub(f"^{PORT}$", str(self.ports[name]), text)
        return text.replace("$$", "$")

    def _write_program(self) -> None:
        program = self.folder / "bin" / "jobledger"
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\nexec {shlex.join(PROGRAM)} "$@"\n')
        program.chmod(0o755)

    def _prepare_database(self) -> None:
        """What the image's entrypoint does with a new database: a password, a database, the script
        of the roles; then only passwords open it by TCP.
        """
        self._rewrite_dsns()
        with psycopg.connect(self._database.socket_dsn, autocommit=True) as connection:
            password = (self.secrets / "postgres_password").read_text().strip()
            connection.execute(f"ALTER ROLE postgres PASSWORD '{password}'".encode())
            connection.execute("CREATE DATABASE jobledger")
            for statement in self._roles():
                connection.execute(statement.encode())
            rules = self._database.folder / "data" / "pg_hba.conf"
            rules.write_text("local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n")
            connection.execute("SELECT pg_reload_conf()")

    def _roles(self) -> list[str]:
        """The statements of roles.sql, with the password that psql would have put in."""
        text = (ROOT / "deploy" / "postgres" / "roles.sql").read_text()
        lines = [line for line in text.splitlines() if not line.startswith(("--", "\\"))]
        [file] = re.findall(r"^\\set password `cat (\S+)`$", text, re.M)
        password = Path(self._here(file, "migrate")).read_text().strip()
        return [one.replace(":'password'", f"'{password}'") for one in lines if one]

    def _rewrite_dsns(self) -> None:
        for name in ("owner_dsn", "node_dsn"):
            file = self.secrets / name
            text = file.read_text()
            file.chmod(0o600)
            file.write_text(text.replace("@postgres:5432/", f"@127.0.0.1:{self._database.port}/"))


@contextmanager
def running(folder: Path, database: TestServer) -> Iterator[Topology]:
    """The whole topology, migrated, started and healthy; stopped afterwards, whatever happened."""
    topology = Topology(folder, database)
    try:
        topology.run("migrate")
        staying = [name for name, one in of_ours().items() if one["restart"] == "unless-stopped"]
        for name in staying:
            topology.start(name)
        for name in staying:
            wait_for(name, lambda name=name: topology.is_healthy(name), seconds=LIMIT_SECONDS)  # type: ignore[misc]
        topology.run("metrics-token")
        yield topology
    finally:
        topology.close()


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.kill()
    process.wait()
