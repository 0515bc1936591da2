"""The channels of jobledger.toml: parsed, or refused in one line that shows no value."""

from __future__ import annotations

from pathlib import Path

import pytest
from pytest import raises

from api.settings import Settings, load_settings
from ledger.dispatch.notifications.channels import ChannelAddress, ChannelSettings, SlackSettings
from ledger.errors import StartRefused

WHOLE = """
port = 9000

[channels]
ops = "json://ops.example/hook"
"on-call" = "secret://pager"

[slack]
token = "secret://slack"
owner = "U0123"

[notices]
channel = "slack"
target = "owner"
fallback = "ops"
"""


def load(folder: Path, text: str) -> Settings:
    (folder / "jobledger.toml").write_text(text)
    return load_settings({}, {"data": folder})


def test_every_key_is_parsed(tmp_path: Path) -> None:
    settings = load(tmp_path, WHOLE)

    assert settings.port == 9000
    assert settings.channels == ChannelSettings(
        urls={"ops": "json://ops.example/hook", "on-call": "secret://pager"},
        slack=SlackSettings("secret://slack", "U0123", "https://slack.com/api"),
        notices=ChannelAddress("slack", "owner"),
        fallback=ChannelAddress("ops"),
    )


def test_without_any_table_there_are_no_channels(tmp_path: Path) -> None:
    assert load(tmp_path, "port = 9000").channels == ChannelSettings()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("channels = 7", r"\[channels\] in .* must be a table"),
        ("[channels]\nops = 7", r"\[channels\] ops in .* must be a text"),
        ("[channels]\nops = ''", r"\[channels\] ops in .* must be a text"),
        ("[channels]\nslack = 'x://y'", "'slack' is not a valid channel name"),
        ("[channels]\n'a b' = 'x://y'", "'a b' is not a valid channel name"),
        ("[slack]\nowner = 'U1'", "needs a bot's token"),
        ("[slack]\ntoken = 't'\nowners = 'U1'", "unknown key 'owners'; known are token, owner"),
        ("[slack]\ntoken = 't'\napi_url = 'ftp://x'", "must be an http or https URL"),
        ("[notices]\nchannel = 'ops'", "there is no channel 'ops'"),
        ("[notices]\nchannel = 'slack'", "there is no channel 'slack'"),
        ("[channels]\nops = 'x://y'\n[notices]\nchannel='ops'\nfallback='sms'", "no channel 'sms'"),
        ("[notices]\nchanel = 'ops'", "unknown key 'chanel'"),
        ("[notice]\nchannel = 'ops'", "notice .* is not a setting"),
    ],
)
def test_an_invalid_table_refuses_the_start_in_one_line(
    tmp_path: Path, text: str, words: str
) -> None:
    with raises(StartRefused, match=words) as refusal:
        load(tmp_path, text)

    assert "\n" not in refusal.value.message


def test_no_secret_is_shown_in_the_repr(tmp_path: Path) -> None:
    settings = load(tmp_path, WHOLE.replace("secret://slack", "xoxb-plain"))

    assert "xoxb" not in repr(settings) + repr(settings.channels)
    assert "pager" not in repr(settings.channels)
