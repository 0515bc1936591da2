"""The reference lists exactly what the code has: each list is compared with the code."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from fastapi.routing import APIRoute

import api
import ledger
import projections
from api.app import OPEN, create_app, role_of, routes_of
from api.bootstrap import open_server_parts
from api.config.parsers import IN_FILES, SUFFIX
from api.demo.processes import ROOT
from api.http.errors import CODES, status_of
from api.phantom.routes import PREFIX as PHANTOM
from api.phantom.shapes import phantom_refusal
from api.settings import NOT_SETTINGS, SECRET_PREFIX, SETTINGS, load_settings
from ledger.domain.events import Event
from ledger.errors import LedgerError
from ledger.store.mapper import TOPICS
from tests.flow.cli import test_cli_documented as cli
from tests.support.docs_runner import DOCS, quoted, rows

REFERENCE = DOCS / "reference"
NOT_IN_RESPONSES = {"error", "start_refused", "missing_secret", "worker_refused", "move_failed"}
"""Codes that no HTTP response has: of families, starts, blocked runs, workers and moves."""
NOT_PHANTOMS = {
    "run_superseded",
    "job_not_failed",
    "job_not_selected",
    "job_in_recovery",
    "nothing_to_resume",
}
"""Codes of routes that Phantom does not have."""
PAGES = [*DOCS.rglob("*.md"), *ROOT.glob("*.md")]
CURRENT_PAGES = [page_file for page_file in PAGES if page_file.name != "CHANGELOG.md"]
"""The changelog names what is gone, too."""
PACKAGES = "(?:ledger|projections|api|tests|deploy)"


def page(name: str) -> str:
    return (REFERENCE / name).read_text()


# -- the command line -----------------------------------------------------------------------------


def documented_flags() -> set[tuple[str, str]]:
    """Every command with each flag of its section."""
    parts = re.split(r"^### `jobledger ", page("cli.md"), flags=re.M)[1:]
    found = set()
    for part in parts:
        heading, _, rest = part.partition("`\n")
        words = " ".join(word for word in heading.split() if not word.isupper())
        flags = [cell for row in rows(rest.split("\n## ")[0]) for cell in quoted(row[0])]
        found |= {(words, flag) for flag in flags} | {(words, "")}
    return found


def known_flags() -> set[tuple[str, str]]:
    found = set()
    for words, command in cli.commands():
        found.add((words, ""))
        for parameter in command.params:
            flags = (*parameter.opts, *parameter.secondary_opts)
            found |= {(words, f) for f in flags if f.startswith("-") and f not in cli.COMMON}
    return found


def test_the_command_line_is_documented_completely() -> None:
    assert documented_flags() == known_flags()
    compared("commands", sum(not flag for _, flag in known_flags()))
    compared("flags", sum(bool(flag) for _, flag in known_flags()))


# -- settings -------------------------------------------------------------------------------------


def test_the_settings_are_documented_completely() -> None:
    settings = {row[0]: row[1] for row in rows(page("settings.md"))}

    shown = {one.name: f"`{one.default}`" if one.default else "none" for one in SETTINGS}
    assert settings == {f"`{name}`": default for name, default in shown.items()}
    words = set(re.findall(r"\bJOBLEDGER_[A-Z_]+", page("settings.md")))
    others = {name for name in words - {one.name for one in SETTINGS} if name != "JOBLEDGER_"}
    in_files = {f"{name}{SUFFIX}" for name in IN_FILES}
    assert others == {f"{SECRET_PREFIX}NAME", *NOT_SETTINGS, *in_files}
    compared("settings", len(settings))


# -- events ---------------------------------------------------------------------------------------


def section(topic: str) -> str:
    found = re.search(rf"^### `{re.escape(topic)}`$(.*?)(?=^##|\Z)", page("events.md"), re.M | re.S)
    assert found, f"{topic} is not in events.md"
    return found[1]


def test_the_topics_are_documented_completely() -> None:
    assert re.findall(r"^### `(.*)`$", page("events.md"), re.M) == list(TOPICS)
    compared("topics", len(TOPICS))
    compared("fields", sum(len(own_hints(event)) for event in TOPICS.values()))


@pytest.mark.parametrize("topic", TOPICS)
def test_the_fields_of_a_topic_are_documented_completely(topic: str) -> None:
    event, text = TOPICS[topic], section(topic)
    fields = {quoted(row[0])[0]: row[1] for row in rows(text)}

    assert fields == {name: kind(event, name, hint) for name, hint in own_hints(event).items()}
    golden = f"tests/golden/{topic}.v{event.class_version}.json"
    assert f"Version {event.class_version}: [golden](../../{golden})" in text
    assert (ROOT / golden).is_file()
    for path in event.TEXTS:
        field, _, inner = path.partition(".")
        assert not inner or f"`{inner}`" in text.split(f"| `{field}` |")[1].splitlines()[0]


def test_the_changelog_names_every_topic() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text()

    assert [topic for topic in TOPICS if f"`{topic}`" not in changelog] == []


def test_the_common_fields_of_events_are_documented_completely() -> None:
    text = page("events.md").partition("## Topics")[0]

    carried = {name for name in get_type_hints(Event) if name in Event.__annotations__}
    carried = {name for name in carried if name.islower()} - {"class_version"}
    assert {quoted(row[0])[0] for row in rows(text)} == {"timestamp", *carried}


def own_hints(event: type[Event]) -> dict[str, Any]:
    common = get_type_hints(Event)
    return {name: hint for name, hint in get_type_hints(event).items() if name not in common}


KINDS = (("list", "list"), ("dict", "map"), ("datetime", "instant"), ("bool", "flag"))


def kind(event: type[Event], name: str, hint: object) -> str:
    """The type of a field in the words of the reference."""
    shown = str(hint)
    word = next((word for part, word in KINDS if part in shown), None)
    if name in event.POSITIONS:
        word = "positions" if word == "list" else "position"
    elif name in event.TEXTS:
        word = "free text"
    elif word is None:
        word = "number" if "int" in shown else "text"
    return f"{word} or null" if "None" in shown else word


# -- codes ----------------------------------------------------------------------------------------


def refusals(family: type[LedgerError] = LedgerError) -> Iterator[type[LedgerError]]:
    """Every class of refusal in our packages."""
    yield family
    for below in family.__subclasses__():
        yield from refusals(below)


@cache
def statuses() -> dict[str, str]:
    """Every code with its HTTP status."""
    for package in (ledger, projections, api):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    found = {one.code: str(status_of(one.__new__(one))) for one in refusals()}
    return found | {code: str(status) for status, code in CODES.items()}


def test_the_refusal_codes_are_documented_completely() -> None:
    answered = {quoted(row[0])[0]: row for row in rows(page("codes.md")) if len(row) == 5}
    others = {quoted(row[0])[0] for row in rows(page("codes.md")) if len(row) == 3}

    assert others == NOT_IN_RESPONSES
    assert {code: row[1] for code, row in answered.items()} == {
        code: status for code, status in statuses().items() if code not in NOT_IN_RESPONSES
    }
    for code, row in answered.items():
        theirs = phantom_refusal(int(row[1]), code, "", {}).status_code
        assert row[4] == ("–" if code in NOT_PHANTOMS else str(theirs)), code
    compared("refusal codes", len(answered) + len(others))


# -- routes ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], dict[str, Any]]:
    """Every route with its role and its OpenAPI operation."""
    settings = load_settings({}, {"data": tmp_path_factory.mktemp("served") / "data"})
    parts = open_server_parts(settings, dispatches=False)
    app = create_app(parts, settings)
    document, routes = app.openapi()["paths"], routes_of(app)
    parts.close(drain_seconds=0)
    found = {}
    for route in routes:
        role = role_of(route) if isinstance(route, APIRoute) else None
        for method in (route.methods or set()) - {"HEAD"}:
            operation = document.get(route.path, {}).get(method.lower())
            name = role.name if role else "open"
            found[method, route.path] = {"role": name, "operation": operation}
    return found


def documented_routes() -> dict[tuple[str, str], tuple[str, str, str]]:
    found = [row for row in rows(page("http.md")) if len(row) == 4]
    pairs = [(tuple(quoted(row[0])[0].split(" ", 1)), row[1:]) for row in found]
    assert len(dict(pairs)) == len(pairs), "a route is documented twice"
    return dict(pairs)  # type: ignore[arg-type]  # two words and three cells each, as split


def test_the_routes_are_documented_with_their_roles(
    served: dict[tuple[str, str], dict[str, Any]],
) -> None:
    roles = {route: cells[0] for route, cells in documented_routes().items()}

    assert roles == {route: one["role"] for route, one in served.items()}
    assert {path for (_, path), role in roles.items() if role == "open"} == OPEN
    compared("routes", len(roles))


def test_the_routes_are_documented_with_parameters_and_responses(
    served: dict[tuple[str, str], dict[str, Any]],
) -> None:
    for route, (_, takes, answers) in documented_routes().items():
        operation = served[route]["operation"]
        if operation is None:  # the page and the document itself are not in OpenAPI
            continue
        assert set(quoted(takes)) == parameters_of(operation), route
        known = {code for code in operation["responses"] if code.isdigit()}
        assert known == set(re.findall(r"(?:^|\. )(2\d\d|422)(?=:)", answers)) & known, route


def test_the_codes_of_routes_exist() -> None:
    for route, (_, _, answers) in documented_routes().items():
        if route[1].startswith(PHANTOM):
            continue
        for code in re.findall(r"\b[a-z]+_[a-z_]+\b", answers):
            fields = quoted(answers)
            assert code in statuses() or code in fields or code == "wait_seconds", (route, code)


def parameters_of(operation: dict[str, Any]) -> set[str]:
    """The keys of the body and the query parameters of a route."""
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    given = {one["name"] for one in operation.get("parameters", []) if one["in"] == "query"}
    return given | set(content.get("schema", {}).get("properties", {}))


# -- links ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("page_file", PAGES, ids=lambda p: p.name)
def test_no_page_has_a_broken_link(page_file: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", page_file.read_text())

    assert [link for link in links if not (page_file.parent / link).exists()] == []


@pytest.mark.parametrize("page_file", CURRENT_PAGES, ids=lambda p: p.name)
def test_every_file_and_name_of_the_code_on_a_page_exists(page_file: Path) -> None:
    named = quoted(page_file.read_text())
    files = [one for one in named if re.fullmatch(rf"{PACKAGES}/[\w./-]*\w/?", one)]
    names = [one for one in named if re.fullmatch(rf"{PACKAGES}(\.\w+)*\.(?!db\b|lock\b)\w+", one)]

    assert [file for file in files if not (ROOT / file).exists()] == []
    assert [name for name in names if not is_defined(name)] == []


def is_defined(name: str) -> bool:
    """Whether a dotted name is a module, or an attribute in one."""
    try:
        pkgutil.resolve_name(name)
    except (ImportError, AttributeError):
        return False
    return True


def test_the_index_lists_every_page() -> None:
    index = (DOCS / "README.md").read_text()
    pages = {str(page_file.relative_to(DOCS)) for page_file in DOCS.rglob("*.md")} - {"README.md"}

    assert {link for link in re.findall(r"\]\(([^)#:]+\.md)\)", index) if ".." not in link} == pages
    compared("pages", len(pages))


def compared(what: str, count: int) -> None:
    """Print how much was compared; shown by pytest -rP."""
    print(f"{what}: {count}")
    assert count
