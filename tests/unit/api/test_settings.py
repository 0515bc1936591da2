"""The settings: their sources, which source wins, and refusals in one line."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from pytest import raises

from api.settings import PREFIX, SETTINGS, Setting, Settings, load_settings
from ledger.errors import StartRefused


def _with_file(folder: Path, toml: str, **environ: str) -> Settings:
    (folder / "jobledger.toml").write_text(toml, encoding="utf-8")
    return load_settings({"JOBLEDGER_DATA": str(folder), **environ})


# -- defaults and the table ----------------------------------------------------------------------


def test_an_empty_environment_gives_the_documented_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert load_settings({}) == Settings(
        data=Path("data"),
        dsn=None,
        host="127.0.0.1",
        port=8321,
        token=None,
        url=None,
        agent_url=None,
        http_allow=(),
        commands=False,
        concurrency=32,
        max_jobs=None,
        require_reason=False,
        projections="thread",
    )


def test_the_process_environment_is_read_when_none_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOBLEDGER_DATA", str(tmp_path))
    monkeypatch.setenv("JOBLEDGER_PORT", "9001")

    assert load_settings().port == 9001


def test_the_table_has_the_fields_of_the_settings_in_their_order() -> None:
    assert [s.key for s in SETTINGS] == [
        f.name
        for f in dataclasses.fields(Settings)
        if f.name not in ("secrets", "channels", "collector")
    ]


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda s: s.name)
def test_every_row_of_the_table_is_a_variable_with_a_meaning(setting: Setting) -> None:
    assert setting.name == PREFIX + setting.key.upper()
    assert setting.meaning
    assert setting.meaning.isprintable()


def test_settings_are_frozen() -> None:
    settings = load_settings({})

    with raises(dataclasses.FrozenInstanceError):
        settings.port = 1  # type: ignore[misc]  # that is the point


def test_secrets_are_not_in_the_repr_of_settings() -> None:
    settings = load_settings(
        {
            "JOBLEDGER_TOKEN": "very-secret",
            "JOBLEDGER_DSN": "postgresql://me:very-secret@db/ledger",
            "JOBLEDGER_AGENT_URL": "http://agent/hook/very-secret",
        }
    )

    assert "very-secret" not in repr(settings)


# -- which source wins ---------------------------------------------------------------------------


def test_the_file_in_the_data_folder_sets_what_it_names(tmp_path: Path) -> None:
    settings = _with_file(
        tmp_path, 'port = 9000\ncommands = true\nhttp_allow = ["10.0.0.0/8", "Agent.internal"]\n'
    )

    assert settings.port == 9000
    assert settings.commands is True
    assert settings.http_allow == ("10.0.0.0/8", "agent.internal")


@pytest.mark.parametrize(
    ("environ", "flags", "port"),
    [
        ({"JOBLEDGER_DATA": "/elsewhere"}, {}, 9000),
        ({"JOBLEDGER_PORT": "9001"}, {}, 9001),
        ({"JOBLEDGER_PORT": "9001"}, {"port": None}, 9001),
        ({"JOBLEDGER_PORT": "9001"}, {"port": 9002}, 9002),
    ],
    ids=["file of the flag's folder", "environment", "a flag not given", "flag"],
)
def test_a_flag_wins_over_the_environment_and_that_over_the_file(
    tmp_path: Path, environ: dict[str, str], flags: dict[str, int | None], port: int
) -> None:
    (tmp_path / "jobledger.toml").write_text("port = 9000\n")

    settings = load_settings(environ, {"data": tmp_path, **flags})

    assert (settings.port, settings.data) == (port, tmp_path)


def test_a_variable_set_to_nothing_counts_as_not_set(tmp_path: Path) -> None:
    settings = _with_file(tmp_path, "port = 9000\n", JOBLEDGER_PORT=" ", JOBLEDGER_TOKEN="")

    assert settings.port == 9000
    assert settings.token is None


def test_a_data_folder_that_does_not_exist_is_accepted(tmp_path: Path) -> None:
    folder = tmp_path / "not" / "yet"

    assert load_settings({"JOBLEDGER_DATA": str(folder)}).data == folder


def test_a_data_folder_that_is_a_file_is_not_refused_by_the_settings(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")

    assert load_settings({"JOBLEDGER_DATA": str(tmp_path / "data")}).port == 8321


# -- unknown names -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("JOBLEDGER_PROT", "JOBLEDGER_PORT"),
        ("JOBLEDGER_MAXJOBS", "JOBLEDGER_MAX_JOBS"),
        ("JOBLEDGER_DATABASE", "JOBLEDGER_DATA"),
        ("jobledger_port", "JOBLEDGER_PORT"),
    ],
)
def test_an_unknown_variable_is_refused_and_the_nearest_named(name: str, nearest: str) -> None:
    for value in ("1", ""):
        with raises(StartRefused) as refused:
            load_settings({name: value})

        assert refused.value.message == (
            f"{name} in the environment is not a setting; the nearest one is {nearest}."
        )


@pytest.mark.parametrize("name", ["JOBLEDGER_", "JOBLEDGER_ZZZZZZ", "JOBLEDGER_PORT\n"])
def test_a_name_unlike_any_setting_is_refused_in_one_line(name: str) -> None:
    with raises(StartRefused, match="is not a setting; the nearest one is JOBLEDGER_") as refused:
        load_settings({name: "1"})

    assert "\n" not in refused.value.message


def test_variables_without_the_prefix_and_of_the_tests_are_ignored() -> None:
    load_settings({"PATH": "/bin", "JOBLEDGERS": "1", "JOBLEDGER_TEST_DSN": "postgresql://"})


@pytest.mark.parametrize(
    ("key", "nearest"), [("concurency", "concurrency"), ("JOBLEDGER_PORT", "port")]
)
def test_an_unknown_or_long_key_in_the_file_refuses_the_start(
    tmp_path: Path, key: str, nearest: str
) -> None:
    with raises(StartRefused, match=rf"{key} in .*toml is not .* nearest one is {nearest}\."):
        _with_file(tmp_path, f"{key} = 3\n")


def test_an_unknown_flag_is_refused_too() -> None:
    with raises(StartRefused, match="prot among the flags"):
        load_settings({}, {"prot": 1})


# -- bad values ----------------------------------------------------------------------------------

BAD_VALUES = {
    "PORT": ["99999", "-1", "80.0", "eighty", "٨٠", "9" * 5_000],
    "CONCURRENCY": ["0", "-4", "10001"],
    "MAX_JOBS": ["0", "-1", "many"],
    "COMMANDS": ["maybe"],
    "REQUIRE_REASON": ["2"],
    "PROJECTIONS": ["threads"],
    "HOST": ["http://127.0.0.1", "127.0.0.1:8321", "two words", "127.1", "0x7f.1", "256.1.1.1"],
    "DATA": ["a\nb"],
    "DSN": ["mysql://me:hush@db/ledger", "hush", "sqlite:///", "sqlite:///:memory:"],
    "TOKEN": ["hush hush", "tökén"],
    "URL": ["localhost:8321", "ftp://host", "http://", "http://host:99999", "http://[::1"]
    + ["http://me:hush@host", "http://hush@host"],
    "AGENT_URL": ["agent"],
    "HTTP_ALLOW": ["10.1.2.3/8", "localhost, http://agent", "*"],
}


@pytest.mark.parametrize(
    ("short", "value"),
    [(short, value) for short, values in BAD_VALUES.items() for value in values],
    ids=lambda text: ascii(text)[:30],
)
def test_the_refusal_of_an_invalid_value_names_the_variable_in_one_line_without_a_secret(
    short: str, value: str
) -> None:
    with raises(StartRefused) as refused:
        load_settings({PREFIX + short: value})

    message = refused.value.message
    assert message.startswith(f"{PREFIX}{short}: ")
    assert message.isprintable()
    assert len(message) < 200
    assert "hush" not in message


@pytest.mark.parametrize(
    ("toml", "named"),
    [
        (b"port = '\xff'", "is not valid TOML"),
        ("port = true", "port in "),
        ("port = 80.5", "port in "),
        ("port = 70000", "port in "),
        ("commands = 1", "commands in "),
        ("host = 5", "host in "),
        ("http_allow = 5", "http_allow in "),
        ("http_allow = [5]", "http_allow in "),
        ("token = 5", "token in "),
        ("projections = ['thread']", "projections in "),
        ("[port]\nnumber = 1", "port in "),
        ("data = '/elsewhere'", "data cannot be set in a file in the data folder itself"),
        ("port 9000", "is not valid TOML"),
        ("port = 1\nport = 2", "is not valid TOML"),
    ],
)
def test_an_invalid_file_refuses_the_start_in_one_line(
    tmp_path: Path, toml: str | bytes, named: str
) -> None:
    (tmp_path / "jobledger.toml").write_bytes(toml.encode() if isinstance(toml, str) else toml)

    with raises(StartRefused) as refused:
        load_settings({"JOBLEDGER_DATA": str(tmp_path)})

    assert named in refused.value.message
    assert str(tmp_path / "jobledger.toml") in refused.value.message
    assert "\n" not in refused.value.message


def test_a_file_that_cannot_be_read_refuses_the_start(tmp_path: Path) -> None:
    (tmp_path / "jobledger.toml").mkdir()

    with raises(StartRefused, match=r"jobledger\.toml cannot be read: Is a directory"):
        load_settings({"JOBLEDGER_DATA": str(tmp_path)})


def test_an_invalid_flag_is_named_as_a_flag() -> None:
    with raises(StartRefused, match=r"^--max-jobs: 0 is not a whole number"):
        load_settings({}, {"max_jobs": 0})


# -- good values ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("short", "value", "expected"),
    [
        ("PORT", "0", 0),
        ("PORT", " 65535 ", 65_535),
        ("HOST", "0.0.0.0", "0.0.0.0"),
        ("HOST", "::1", "::1"),
        ("HOST", "Ledger.Example.com", "ledger.example.com"),
        ("COMMANDS", "ON", True),
        ("COMMANDS", "1", True),
        ("COMMANDS", "false", False),
        ("REQUIRE_REASON", "yes", True),
        ("PROJECTIONS", "process", "process"),
        ("MAX_JOBS", "50", 50),
        ("DSN", "postgresql://me:pw@db/ledger?sslmode=require", None),
        ("DSN", "sqlite:////var/lib/ledger.db", None),
        ("URL", "https://ledger.example.com:8443/base/", None),
        ("URL", "http://[::1]:8321", None),
        ("AGENT_URL", "http://agent:8080/hook?to=@me", None),
        ("HTTP_ALLOW", "10.0.0.0/8,localhost ::1", ("10.0.0.0/8", "localhost", "::1/128")),
    ],
)
def test_a_valid_value_is_parsed(short: str, value: str, expected: object) -> None:
    settings = load_settings({PREFIX + short: value})

    assert getattr(settings, short.lower()) == (value if expected is None else expected)


@pytest.mark.parametrize(
    ("dsn", "path"),
    [
        ("sqlite:///here.db", Path("here.db")),
        ("sqlite:////var/lib/here.db", Path("/var/lib/here.db")),
        ("postgresql://db/ledger", None),
        ("", None),
    ],
)
def test_a_sqlite_dsn_names_its_file(dsn: str, path: Path | None) -> None:
    assert load_settings({"JOBLEDGER_DSN": dsn}).sqlite_path == path


# -- the collector of spans ----------------------------------------------------------------------

ALL, TRACES = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"


@pytest.mark.parametrize(
    ("environ", "collector"),
    [
        ({}, None),
        ({ALL: " "}, None),
        ({ALL: "http://collector:4318"}, "http://collector:4318/v1/traces"),
        ({ALL: "http://collector:4318/"}, "http://collector:4318/v1/traces"),
        ({ALL: "http://one", TRACES: "https://two/spans"}, "https://two/spans"),
        ({ALL: "http://one", "OTEL_SDK_DISABLED": "True"}, None),
        ({ALL: "http://one", "OTEL_TRACES_EXPORTER": "none"}, None),
        (
            {ALL: "http://one", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"},
            "http://one/v1/traces",
        ),
    ],
)
def test_opentelemetrys_variables_set_the_collector(
    environ: dict[str, str], collector: str | None
) -> None:
    assert load_settings(environ).collector == collector


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({ALL: "collector:4318"}, ALL),
        ({TRACES: "ftp://collector"}, TRACES),
        ({ALL: "http://me:hush@collector"}, ALL),
        ({ALL: "http://one", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "OTEL_EXPORTER_OTLP_PROTOCOL"),
    ],
)
def test_an_unsupported_collector_refuses_the_start(environ: dict[str, str], named: str) -> None:
    with raises(StartRefused) as refused:
        load_settings(environ)

    assert refused.value.message.startswith(f"{named}: ")
    assert "hush" not in refused.value.message


# -- settings from files -------------------------------------------------------------------------


def test_a_secret_setting_is_read_from_the_file_named(tmp_path: Path) -> None:
    dsn, token = tmp_path / "dsn", tmp_path / "token"
    dsn.write_text(" postgresql://me:hush@db/ledger\n")
    token.write_text("hush-hush\n")

    settings = load_settings({"JOBLEDGER_DSN_FILE": str(dsn), "JOBLEDGER_TOKEN_FILE": str(token)})

    assert (settings.dsn, settings.token) == ("postgresql://me:hush@db/ledger", "hush-hush")


def test_a_secret_file_wins_over_the_toml_unless_set_to_nothing(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("from-the-file")
    (tmp_path / "jobledger.toml").write_text('token = "from-the-toml"\n')
    data = {"JOBLEDGER_DATA": str(tmp_path), "JOBLEDGER_TOKEN": ""}

    assert load_settings({**data, "JOBLEDGER_TOKEN_FILE": str(token)}).token == "from-the-file"
    assert load_settings({**data, "JOBLEDGER_TOKEN_FILE": " "}).token == "from-the-toml"


def test_a_setting_and_its_file_both_set_refuses_the_start(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("hush")

    with raises(
        StartRefused, match="JOBLEDGER_TOKEN_FILE and JOBLEDGER_TOKEN are both set"
    ) as refused:
        load_settings({"JOBLEDGER_TOKEN": "hush", "JOBLEDGER_TOKEN_FILE": str(tmp_path / "token")})

    assert "hush" not in refused.value.message


@pytest.mark.parametrize(
    "content", [None, b"", b" \n", b"\xff\xfe", b"h" * 65_537, b"two hush words"]
)
def test_a_file_with_an_invalid_secret_refuses_the_start_in_one_line(
    tmp_path: Path, content: bytes | None
) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)

    with raises(StartRefused) as refused:
        load_settings({"JOBLEDGER_TOKEN_FILE": str(file)})

    assert refused.value.message.startswith("JOBLEDGER_TOKEN")
    assert refused.value.message.isprintable()
    assert "hush" not in refused.value.message


@pytest.mark.parametrize("name", ["JOBLEDGER_PORT_FILE", "JOBLEDGER_AGENT_URL_FILE"])
def test_only_secret_settings_can_come_from_files(name: str) -> None:
    with raises(StartRefused, match=f"{name} in the environment is not a setting"):
        load_settings({name: "/dev/null"})
