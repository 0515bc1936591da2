"""The settings: flags, environment and `jobledger.toml`, read once into one frozen object."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from api.config import parsers
from api.config.channels import TABLES, read_channels
from ledger.dispatch.notifications.channels import ChannelSettings
from ledger.errors import StartRefused
from ledger.store.postgres.dsn import PostgresDsn

PREFIX = "JOBLEDGER_"
FILE_NAME = "jobledger.toml"
SECRET_PREFIX = f"{PREFIX}SECRET_"
"""The prefix of secrets: JOBLEDGER_SECRET_OPENAI_KEY is secret://openai_key."""
NOT_SETTINGS = frozenset(
    {
        "JOBLEDGER_TEST_DSN",
        # The command executor sets the others for its process, which may call the CLI.
        "JOBLEDGER_RUN_ID",
        "JOBLEDGER_JOB_ID",
        "JOBLEDGER_ATTEMPT",
        "JOBLEDGER_FENCE",
        "JOBLEDGER_SCHEDULED_FOR",
    }
)
"""Variables with the prefix that are not settings."""
COLLECTOR = "OTEL_EXPORTER_OTLP_ENDPOINT"
"""OpenTelemetry's variable that turns on tracing. Its library reads its other variables."""
TRACES_COLLECTOR = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
OTLP_PROTOCOL = "OTEL_EXPORTER_OTLP_PROTOCOL"
OTLP_HTTP = "http/protobuf"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The validated settings. Those that may be secret are left out of `repr`."""

    data: Path
    dsn: str | None = field(repr=False)
    host: str
    port: int
    token: str | None = field(repr=False)
    url: str | None
    agent_url: str | None = field(repr=False)
    http_allow: tuple[str, ...]
    commands: bool
    concurrency: int
    max_jobs: int | None
    require_reason: bool
    projections: Literal["thread", "process"]
    secrets: Mapping[str, str] = field(repr=False, default_factory=dict)
    channels: ChannelSettings = field(repr=False, default_factory=ChannelSettings)
    collector: str | None = None
    """The URL that spans are sent to, or None."""

    @property
    def sqlite_path(self) -> Path | None:
        """The file that `sqlite:///…` names; None for the data folder's own file or PostgreSQL."""
        is_sqlite = self.dsn is not None and self.dsn.startswith(parsers.SQLITE)
        return Path(str(self.dsn).removeprefix(parsers.SQLITE)) if is_sqlite else None

    @property
    def address(self) -> PostgresDsn | None:
        """The DSN of a ledger on PostgreSQL."""
        is_postgres = self.dsn is not None and self.sqlite_path is None
        return PostgresDsn(str(self.dsn)) if is_postgres else None

    @property
    def location(self) -> str:
        """The location of the ledger, for people."""
        return self.address.location if self.address is not None else str(self.data)


def load_settings(
    environ: Mapping[str, str] | None = None, overrides: Mapping[str, object] | None = None
) -> Settings:
    """The settings from flags (`overrides`), else `environ`, else the file, else the defaults.

    `environ` defaults to this process's own. `overrides` and the file use the short names (`port`);
    an override of None counts as not given. Raises StartRefused in one line that names the unknown
    or invalid setting.
    """
    environ = parsers.with_file_contents(os.environ if environ is None else environ)
    given_above = _from_environ(environ)
    given_above |= _from_flags(overrides or {})
    folder = given_above.get("data") or _default(_BY_KEY["data"])
    file = folder.value() / FILE_NAME
    table = _read_toml(file)
    channels = {name: table.pop(name) for name in TABLES if name in table}
    given = _from_file(table, file) | given_above
    known = {key: given.get(key) or _default(setting) for key, setting in _BY_KEY.items()}
    secrets = {
        name.removeprefix(SECRET_PREFIX): text
        for name, text in environ.items()
        if name.startswith(SECRET_PREFIX)
    }
    return Settings(
        **{key: value.value() for key, value in known.items()},
        secrets=secrets,
        channels=read_channels(channels, str(file)),
        collector=collector_of(environ),
    )


def inherited() -> dict[str, str]:
    """The environment for a worker's commands: this process's, without the ledger's variables."""
    return {name: text for name, text in os.environ.items() if not name.startswith(PREFIX)}


def collector_of(environ: Mapping[str, str]) -> str | None:
    """The URL that OpenTelemetry's variables send spans to, or None. Raises StartRefused for an
    invalid URL and an unsupported protocol.
    """
    names = (TRACES_COLLECTOR, COLLECTOR)
    name = next((name for name in names if environ.get(name, "").strip()), None)
    is_off = environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    if name is None or is_off or environ.get("OTEL_TRACES_EXPORTER", "").strip() == "none":
        return None
    if environ.get(OTLP_PROTOCOL, "").strip() not in ("", OTLP_HTTP):
        raise StartRefused(f"{OTLP_PROTOCOL}: only {OTLP_HTTP} is supported.")
    try:
        url = str(parsers.url(environ[name]))
    except ValueError as problem:
        raise StartRefused(f"{name}: {problem}") from None
    return url if name == TRACES_COLLECTOR else f"{url.rstrip('/')}/v1/traces"


def zone_variable(environ: Mapping[str, str] | None = None) -> str | None:
    """The machine's time zone by the variable TZ, not validated."""
    return (os.environ if environ is None else environ).get("TZ")


# -- the source of a value ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Given:
    setting: Setting
    raw: object
    source: str

    def value(self) -> Any:  # the type of the field in Settings; tests compare them
        try:
            return self.setting.parse(self.raw)
        except ValueError as problem:
            raise StartRefused(f"{self.source}: {problem}", setting=self.setting.name) from None


def _default(setting: Setting) -> _Given:
    return _Given(setting, setting.default, f"the default of {setting.name}")


def _from_flags(flags: Mapping[str, object]) -> dict[str, _Given]:
    _refuse_unknown(flags, _BY_KEY, "among the flags")
    given = {key: raw for key, raw in flags.items() if raw is not None}
    return {k: _Given(_BY_KEY[k], raw, f"--{k.replace('_', '-')}") for k, raw in given.items()}


def _from_environ(environ: Mapping[str, str]) -> dict[str, _Given]:
    ours = {
        name: text
        for name, text in environ.items()
        if name.upper().startswith(PREFIX) and not name.startswith(SECRET_PREFIX)
    }
    known = {setting.name: setting for setting in SETTINGS}
    _refuse_unknown(sorted(ours.keys() - NOT_SETTINGS), known, "in the environment")
    # Compose and systemd files leave a setting out by setting it to nothing.
    filled = {n: t for n, t in ours.items() if n in known and t.strip()}
    return {known[name].key: _Given(known[name], text, name) for name, text in filled.items()}


def _from_file(table: Mapping[str, object], path: Path) -> dict[str, _Given]:
    _refuse_unknown(table, _BY_KEY, f"in {path}")
    if "data" in table:
        raise StartRefused(f"{path}: data cannot be set in a file in the data folder itself.")
    return {key: _Given(_BY_KEY[key], raw, f"{key} in {path}") for key, raw in table.items()}


def _read_toml(path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as problem:
        raise StartRefused(f"{path} cannot be read: {problem.strerror}.") from None
    except ValueError as problem:  # TOML's errors and UTF-8's
        raise StartRefused(f"{path} is not valid TOML: {_one_line(str(problem))}.") from None


def _refuse_unknown(names: Iterable[str], known: Iterable[str], where: str) -> None:
    for name in names:
        if name not in known:
            nearest = _nearest(name, known)
            raise StartRefused(
                f"{_one_line(name)} {where} is not a setting; the nearest one is {nearest}.",
                setting=name,
                nearest=nearest,
            )


def _nearest(name: str, known: Iterable[str]) -> str:
    by_key = {n.removeprefix(PREFIX).lower(): n for n in known}
    wanted = name.upper().removeprefix(PREFIX).lower()
    return by_key[get_close_matches(wanted, by_key, n=1, cutoff=0.0)[0]]


def _one_line(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)[:120]


# -- the table ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: its variable, its default as text ("" for none) and its meaning."""

    name: str
    default: str
    meaning: str
    parse: Callable[[object], object] = field(repr=False)

    @property
    def key(self) -> str:
        """The short name, used by `jobledger.toml`, flags and `Settings`."""
        return self.name.removeprefix(PREFIX).lower()


# One row per setting; docs/reference/settings.md has the same rows.
SETTINGS: tuple[Setting, ...] = (
    Setting(
        "JOBLEDGER_DATA",
        "./data",
        "folder of the event store, read models, tokens and jobledger.toml",
        parsers.folder,
    ),
    Setting(
        "JOBLEDGER_DSN",
        "",
        "postgresql://… for a ledger on PostgreSQL; default: SQLite in the data folder",
        parsers.dsn,
    ),
    Setting("JOBLEDGER_HOST", "127.0.0.1", "address to listen on", parsers.host),
    Setting("JOBLEDGER_PORT", "8321", "port to listen on; 0 picks a free one", parsers.port),
    Setting(
        "JOBLEDGER_TOKEN",
        "",
        "token that clients send; at a ledger's first start, the admin token to create",
        parsers.token,
    ),
    Setting("JOBLEDGER_URL", "", "URL of the server, for clients", parsers.url),
    Setting("JOBLEDGER_AGENT_URL", "", "URL of the agent that jobs call", parsers.url),
    Setting(
        "JOBLEDGER_HTTP_ALLOW", "", "private hosts and networks that jobs may call", parsers.targets
    ),
    Setting(
        "JOBLEDGER_COMMANDS", "off", "whether jobs may run commands on this machine", parsers.switch
    ),
    Setting("JOBLEDGER_CONCURRENCY", "32", "runs executed at the same time", parsers.concurrency),
    Setting("JOBLEDGER_MAX_JOBS", "", "maximum number of jobs; default: no limit", parsers.limit),
    Setting(
        "JOBLEDGER_REQUIRE_REASON", "off", "whether a force-resume needs a reason", parsers.switch
    ),
    Setting(
        "JOBLEDGER_PROJECTIONS",
        "thread",
        "run projections in a thread or a process",
        parsers.projections,
    ),
)

_BY_KEY = {setting.key: setting for setting in SETTINGS}
