"""docker-compose.yml, compared with the program, and started as plain processes."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer
import yaml
from prometheus_client.parser import text_string_to_metric_families

from api.bootstrap import DRAIN_SECONDS, SECRETS_FOLDER
from api.cli.program import build
from api.cli.server.server import FINISH_SECONDS
from api.config.parsers import IN_FILES, SUFFIX
from api.demo.processes import ROOT
from api.demo.waiting import wait_for
from api.settings import COLLECTOR, SETTINGS, load_settings
from tests.support.builders import a_spec
from tests.support.servers.composed import (
    LIMIT_SECONDS,
    METRICS,
    PORT,
    SECRETS,
    Topology,
    composed,
    environment_of,
    free_port,
    image_environment,
    make_secrets,
    of_ours,
    running,
    services,
)
from tests.support.servers.postgres_server import TestServer, running_server

LISTENED = {"proxy": 8080, "prometheus": 9090, "grafana": 3000}
"""Published ports, and the port on which the program listens inside."""
NODES = ("api-1", "api-2", "dispatcher-1", "dispatcher-2")
DISPATCHERS = 2
DOCKERFILE = (ROOT / "Dockerfile").read_text()
PROXY = (ROOT / "deploy" / "haproxy.cfg").read_text()


def words_of(service: dict[str, Any]) -> list[str]:
    """The arguments for our program in a service's command."""
    command: list[str] = service["command"]
    if command[0] != "sh":
        return command
    [line] = [line for line in command[-1].splitlines() if line.startswith("jobledger ")]
    return shlex.split(line.partition(">")[0].replace("$$(date +%s)", "0"))


# -- compared with the program --------------------------------------------------------------------


@pytest.mark.parametrize("name", of_ours())
def test_every_service_runs_an_existing_command_with_existing_flags(name: str) -> None:
    program: Any = typer.main.get_command(build())

    first, *words = words_of(dict(of_ours()[name]))
    command = program
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words.pop(0)]

    assert first == "jobledger"
    assert not getattr(command, "commands", {}), words
    command.load().make_context("jobledger", words)  # refuses unknown flags


@pytest.mark.parametrize("name", of_ours())
def test_every_variable_is_a_valid_setting(name: str, tmp_path: Path) -> None:
    service = of_ours()[name]
    secrets = make_secrets(tmp_path)
    environ = environment_of(service)
    known = {one.name for one in SETTINGS} | {f"{one}{SUFFIX}" for one in IN_FILES}

    here = {key: text.replace(SECRETS, str(secrets)) for key, text in environ.items()}
    settings = load_settings(here)

    assert environ.keys() <= known | {COLLECTOR}
    assert settings.port == PORT
    if "JOBLEDGER_DSN_FILE" in environ:
        assert settings.address is not None
    else:
        assert settings.url == f"http://api-1:{PORT}"


def test_the_migration_runs_as_owner_and_nodes_have_their_own_role() -> None:
    found = of_ours()
    roles = (ROOT / "deploy" / "postgres" / "roles.sql").read_text()

    assert environment_of(found["migrate"])["JOBLEDGER_DSN_FILE"] == f"{SECRETS}/owner_dsn"
    for name in NODES:
        assert environment_of(found[name])["JOBLEDGER_DSN_FILE"] == f"{SECRETS}/node_dsn"
    assert "IN ROLE jobledger_app" in roles


def test_every_secret_is_created_passed_and_used(tmp_path: Path) -> None:
    declared = composed()["secrets"]
    made = {file.name for file in make_secrets(tmp_path).iterdir()}
    mounted = {file: name for name, one in services().items() for file in one.get("secrets", [])}

    assert set(declared) == made == set(mounted)
    for name, one in declared.items():
        assert one == {"file": f"deploy/secrets/{name}"}
    for service in services().values():
        text = yaml.safe_dump([service.get(key) for key in ("environment", "command")])
        named = set(re.findall(rf"{SECRETS}/(\w+)", text))
        assert named <= set(service.get("secrets", []))
    assert "/deploy/secrets/" in (ROOT / ".gitignore").read_text().splitlines()


def test_secrets_are_created_once_and_are_private(tmp_path: Path) -> None:
    folder = make_secrets(tmp_path)
    before = {file.name: file.read_text() for file in folder.iterdir()}

    make_secrets(tmp_path)

    assert {file.name: file.read_text() for file in folder.iterdir()} == before
    assert len(set(before.values())) == len(before)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert all(file.stat().st_mode & 0o777 == 0o444 for file in folder.iterdir())


def test_every_published_port_is_bound_to_this_machine() -> None:
    published = {name: one["ports"] for name, one in services().items() if "ports" in one}
    [bound] = re.findall(r"^ +bind :(\d+)$", PROXY, re.M)

    assert published.keys() == LISTENED.keys()
    assert int(bound) == LISTENED["proxy"]
    for name, ports in published.items():
        [(address, _, inside)] = [port.split(":") for port in ports]
        assert (address, int(inside)) == ("127.0.0.1", LISTENED[name])


def test_every_mounted_path_exists() -> None:
    document = composed()
    used = set()
    for service in document["services"].values():
        for mount in service.get("volumes", []):
            source, inside, *mode = mount.split(":")
            if source.startswith("./"):
                assert (ROOT / source).exists(), mount
                assert mode == ["ro"], mount
            else:
                used.add(source)
                assert inside.startswith("/")
    assert used == set(document["volumes"])


def test_nodes_share_the_data_folder_that_the_image_creates_for_its_user() -> None:
    for name in NODES:
        assert of_ours()[name]["volumes"] == ["data:/data"]
    assert image_environment()["JOBLEDGER_DATA"] == "/data"
    for folder in ("/data", METRICS):
        made = rf"install --directory --owner=jobledger --mode=0\d+ {folder}\b"
        assert re.search(made, DOCKERFILE)
    assert re.search(r"^USER jobledger$", DOCKERFILE, re.M)
    assert DOCKERFILE.index("useradd") < DOCKERFILE.index("\nUSER ")
    assert SECRETS_FOLDER not in image_environment()["JOBLEDGER_DATA"]


def test_no_service_runs_as_root_or_with_unneeded_rights() -> None:
    for name, service in services().items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "build" in service or service["user"] not in ("root", "0"), name
        assert "privileged" not in service


def test_nodes_have_time_to_end_their_runs_before_they_are_killed() -> None:
    for name in NODES:
        given = re.fullmatch(r"(\d+)s", of_ours()[name]["stop_grace_period"])
        assert given
        assert int(given[1]) > DRAIN_SECONDS + FINISH_SECONDS


def test_services_wait_for_their_dependencies() -> None:
    found = services()
    for name, service in found.items():
        for needed, how in service.get("depends_on", {}).items():
            condition = how["condition"]
            has_check = "test" in found[needed].get("healthcheck", {})
            assert condition != "service_healthy" or has_check, name
    for name in NODES:
        assert found[name]["depends_on"]["migrate"]["condition"] == "service_completed_successfully"
    assert found["migrate"]["depends_on"]["postgres"]["condition"] == "service_healthy"
    assert re.fullmatch(r"postgres:\d+", found["postgres"]["image"])


def test_prometheus_scrapes_every_node_with_its_own_token() -> None:
    configuration = yaml.safe_load((ROOT / "deploy" / "prometheus.yml").read_text())
    [scraping] = configuration["scrape_configs"]
    targets = [target for one in scraping["static_configs"] for target in one["targets"]]
    mounts = {mount.split(":")[1] for mount in services()["prometheus"]["volumes"]}

    assert sorted(targets) == [f"{name}:{PORT}" for name in NODES]
    assert scraping["authorization"]["credentials_file"] == f"{METRICS}/token"
    assert set(configuration["rule_files"]) <= mounts
    assert METRICS in mounts
    assert f"> {METRICS}/new" in of_ours()["metrics-token"]["command"][-1]


def test_the_proxy_routes_to_every_ready_api_node() -> None:
    servers = re.findall(r"^ +server (\S+) (\S+):(\d+) cookie (\S+)$", PROXY, re.M)

    assert servers == [(name, name, str(PORT), name) for name in ("api-1", "api-2")]
    assert "meth GET uri /readyz" in PROXY


def test_grafana_finds_its_data_source_and_dashboards() -> None:
    folder = ROOT / "deploy" / "grafana" / "provisioning"
    sources = yaml.safe_load((folder / "datasources" / "prometheus.yml").read_text())
    [source] = sources["datasources"]
    [provider] = yaml.safe_load((folder / "dashboards" / "jobledger.yml").read_text())["providers"]
    mounts = dict(mount.split(":")[:2] for mount in services()["grafana"]["volumes"])

    assert source["url"] == f"http://prometheus:{LISTENED['prometheus']}"
    assert provider["options"]["path"] in mounts.values()


# -- the topology, for real -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def database() -> Iterator[TestServer]:
    with running_server() as server:
        yield server


@pytest.fixture(scope="module")
def topology(database: TestServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Topology]:
    with running(tmp_path_factory.mktemp("composed"), database) as started:
        yield started


def ask(topology: Topology, method: str, path: str, *, node: str, **body: Any) -> dict[str, Any]:
    """One request to one node, as the admin."""
    answer = httpx.request(
        method,
        topology.url(node) + path,
        json=body or None,
        headers={"Authorization": f"Bearer {topology.admin_token}"},
        timeout=LIMIT_SECONDS,
        trust_env=False,
    )
    assert answer.is_success, answer.text
    document: dict[str, Any] = answer.json()
    return document


def schedule(topology: Topology, name: str) -> str:
    job = a_spec(name=name, schedule={"kind": "every", "interval_seconds": 1})
    job_id: str = ask(topology, "POST", "/v1/jobs", node="api-1", **job)["job"]["id"]
    return job_id


def nodes_that_ran(topology: Topology, job_id: str) -> set[str]:
    """The nodes that ran a job, as the other API node reports it."""
    path = f"/v1/events?topic=job.run_started&job={job_id}&limit=200"
    events = ask(topology, "GET", path, node="api-2")["events"]
    return {event["data"]["node"] for event in events}


@pytest.mark.slow
def test_jobs_scheduled_on_one_node_are_run_by_dispatchers_and_seen_on_the_other(
    topology: Topology,
) -> None:
    jobs = [schedule(topology, f"tick-{number}") for number in range(8)]

    def both() -> bool:
        return len(set().union(*(nodes_that_ran(topology, job) for job in jobs))) == DISPATCHERS

    assert wait_for("Runs on both dispatchers", both, seconds=LIMIT_SECONDS)


@pytest.mark.slow
@pytest.mark.parametrize("name", NODES)
def test_the_token_of_prometheus_reads_metrics_and_nothing_else(
    topology: Topology, name: str
) -> None:
    header = {"Authorization": f"Bearer {topology.metrics_token}"}
    answer = httpx.get(f"{topology.url(name)}/metrics", headers=header, trust_env=False)
    refused = httpx.get(f"{topology.url(name)}/metrics", trust_env=False)

    samples = {
        sample.name: sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }
    assert samples["jobledger_dispatcher_running"] == float(name.startswith("dispatcher"))
    assert samples["jobledger_lock_wait_seconds_count"] >= 0
    assert refused.status_code == 401


@pytest.mark.slow
def test_a_dispatcher_serves_its_status_and_no_commands(topology: Topology) -> None:
    url = topology.url("dispatcher-1")

    assert httpx.get(f"{url}/healthz", trust_env=False).status_code == 200
    assert httpx.post(f"{url}/v1/jobs", trust_env=False, json={}).status_code == 404
    assert httpx.get(f"{url}/", trust_env=False).status_code == 404


@pytest.mark.slow
def test_the_databases_healthcheck_runs(database: TestServer, topology: Topology) -> None:
    kind, first, *words = services()["postgres"]["healthcheck"]["test"]
    assert topology.processes

    command = [str(database.bin / first), *words, f"--port={database.port}"]

    assert kind == "CMD"
    assert subprocess.run(command, check=False, capture_output=True).returncode == 0


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("haproxy") is None, reason="no haproxy on this machine")
def test_the_proxy_forwards_commands_and_the_live_stream_without_delay(topology: Topology) -> None:
    port = free_port()
    text = PROXY.replace("bind :8080", f"bind 127.0.0.1:{port}")
    for name in ("api-1", "api-2"):
        text = text.replace(f" {name}:{PORT} ", f" 127.0.0.1:{topology.ports[name]} ")
    configuration = topology.folder / "haproxy.cfg"
    configuration.write_text(text)
    headers = {"Authorization": f"Bearer {topology.admin_token}"}
    url = f"http://127.0.0.1:{port}"
    command = [str(shutil.which("haproxy")), "-db", "-f", str(configuration)]
    with (topology.folder / "proxy.log").open("wb") as log:
        proxy = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        with httpx.Client(
            base_url=url, headers=headers, timeout=LIMIT_SECONDS, trust_env=False
        ) as client:
            wait_for("The proxy", is_ready(client), seconds=LIMIT_SECONDS)
            with client.stream("GET", "/v1/events/stream?topic=job.scheduled") as stream:
                lines = stream.iter_lines()
                created = client.post("/v1/jobs", json=a_spec(name="through-the-proxy")).json()
                job_id = created["job"]["id"]
                event = next(line for line in lines if line.startswith("data:") and job_id in line)
    finally:
        proxy.kill()
        proxy.wait()

    assert "job.scheduled" in event


def is_ready(client: httpx.Client) -> Callable[[], bool]:
    def answers() -> bool:
        try:
            return client.get("/readyz").status_code == 200
        except httpx.TransportError:
            return False

    return answers


@pytest.mark.slow
def test_the_other_dispatcher_continues_when_one_is_killed(topology: Topology) -> None:
    topology.processes["dispatcher-1"].kill()
    topology.processes["dispatcher-1"].wait(LIMIT_SECONDS)

    jobs = [schedule(topology, f"after-{number}") for number in range(6)]

    def all_run() -> bool:
        return all(nodes_that_ran(topology, job) for job in jobs)

    assert wait_for("Runs on the one that is left", all_run, seconds=LIMIT_SECONDS)
    assert len(set().union(*(nodes_that_ran(topology, job) for job in jobs))) == 1
    assert topology.is_healthy("dispatcher-2")
