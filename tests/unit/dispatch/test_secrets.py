"""Secrets: found by name, filled in at run time, removed from every text in every form."""

from __future__ import annotations

import base64
import json
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest import raises

from ledger.dispatch.executors.output import ERROR_BYTES, HEAD_BYTES, Output, OutputTail
from ledger.dispatch.executors.secrets import MAX_REMEMBERED, NO_SECRETS, MissingSecret, Secrets
from ledger.domain.job.executor_spec import parse_executor
from ledger.errors import InvalidField

VALUES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=8, max_size=200)
AROUND = st.text(max_size=40)
KEY = "sk-ant-+/=&\"'<ü>-4711"


def kept(folder: Path, name: str, value: str | bytes, mode: int = 0o600) -> Secrets:
    file = folder / name
    file.write_bytes(value.encode() if isinstance(value, str) else value)
    file.chmod(mode)
    return Secrets(folder)


def test_a_secret_is_the_content_of_its_file_without_the_last_line_end(tmp_path: Path) -> None:
    assert kept(tmp_path, "key", "one\ntwo\n").value("key") == "one\ntwo"


def test_a_secret_may_come_from_the_environment() -> None:
    assert Secrets(None, {"OPEN_AI": "value"}).value("open-ai") == "value"


def test_a_file_takes_precedence_over_the_environment_and_is_read_anew(tmp_path: Path) -> None:
    secrets = Secrets(tmp_path, {"KEY": "from outside"})
    assert secrets.value("key") == "from outside"

    kept(tmp_path, "key", "rotated")

    assert secrets.value("key") == "rotated"
    assert secrets.redact("it is rotated") == "it is [secret:key]"


def test_references_are_filled_in_anywhere_in_a_text() -> None:
    secrets = Secrets(None, {"A": "one!", "B": "two!"})

    assert secrets.fill("Bearer secret://a, secret://b.") == "Bearer one!, two!."
    assert secrets.fill("nothing to fill") == "nothing to fill"


@pytest.mark.parametrize(
    ("content", "mode", "words"),
    [
        (None, 0o600, "is missing on this node"),
        ("", 0o600, "is missing on this node"),
        ("x" * 5000, 0o600, "longer than 4096 bytes"),
        ("value", 0o640, "chmod 600"),
        ("value", 0o604, "chmod 600"),
        (b"\xff\xfe", 0o600, "not UTF-8"),
    ],
)
def test_the_message_about_an_unavailable_secret_says_what_to_do(
    tmp_path: Path, content: str | bytes | None, mode: int, words: str
) -> None:
    secrets = Secrets(tmp_path) if content is None else kept(tmp_path, "key", content, mode)

    with raises(MissingSecret, match=words) as refusal:
        secrets.fill("Bearer secret://key")

    assert "value" not in refusal.value.message


@pytest.mark.parametrize(
    "value", ["secret://", "secret:// x", "Bearer secret://ü", "secret://a secret://"]
)
def test_a_reference_without_a_name_is_refused_when_the_job_is_made(value: str) -> None:
    with raises(InvalidField, match="needs a name"):
        parse_executor({"kind": "command", "argv": ["x"], "env": {"KEY": value}})


# -- what comes back ----------------------------------------------------------------------------


@given(VALUES, AROUND, AROUND)
def test_no_form_of_a_secret_is_left(value: str, before: str, after: str) -> None:
    secrets = Secrets(None, {"KEY": value})
    whole = f"{before}{value}{after}".encode(errors="replace")
    forms = [value, quote(value, safe=""), quote_plus(value), json.dumps(value)[1:-1]]

    for form in forms:
        assert secrets.redact(f"<{form}>") == "<[secret:key]>"
    for coded in (base64.b64encode(whole), base64.urlsafe_b64encode(whole)):
        assert "[secret:key]" in secrets.redact(coded.decode())


@given(st.binary(min_size=12, max_size=60), st.binary(max_size=5), st.binary(max_size=5))
def test_the_remainder_of_redacted_base64_reveals_a_few_bits_at_most(
    raw: bytes, before: bytes, after: bytes
) -> None:
    value = raw.hex()
    redacted = Secrets(None, {"KEY": value}).redact(
        base64.b64encode(before + value.encode() + after).decode()
    )

    left = redacted.replace("[secret:key]", "")
    assert len(left) <= (len(before) + len(after)) * 4 / 3 + 8


@pytest.mark.parametrize(
    ("value", "form"),
    [
        ("p@ss!word(1)", "p%40ss!word(1)"),  # encodeURIComponent
        ("a/b+c=d", "a%2fb%2bc%3dd"),  # lower-case digits
        ("http://x/y", "http:\\/\\/x\\/y"),  # PHP's JSON
    ],
)
def test_the_forms_of_other_languages_are_known(value: str, form: str) -> None:
    assert Secrets(None, {"KEY": value}).redact(f"<{form}>") == "<[secret:key]>"


def test_a_used_value_stays_redacted_when_its_file_is_replaced_or_deleted(tmp_path: Path) -> None:
    secrets = kept(tmp_path, "key", "the old value")
    secrets.fill("secret://key")

    kept(tmp_path, "key", "the new value")
    assert secrets.redact("the old value, the new value") == "[secret:key], [secret:key]"
    (tmp_path / "key").unlink()
    assert secrets.redact("the old value") == "[secret:key]"


def test_used_values_are_remembered_up_to_a_limit(tmp_path: Path) -> None:
    secrets = kept(tmp_path, "key", "value")
    for number in range(MAX_REMEMBERED + 1):
        (tmp_path / "key").write_text(f"value {number:05}")
        secrets.value("key")

    assert secrets.redact("value 00000") == "value 00000"
    assert secrets.redact("value 00001") == "[secret:key]"


def test_without_secrets_or_for_one_too_short_to_recognize_nothing_is_redacted() -> None:
    for secrets in (NO_SECRETS, Secrets(None, {"PIN": "abc"})):
        assert secrets.redact(f"{KEY} abcabc") == f"{KEY} abcabc"


@pytest.mark.parametrize("place", [0, 1, HEAD_BYTES - 30, HEAD_BYTES - 1, HEAD_BYTES, 9000])
@pytest.mark.parametrize("step", [1, 7, 4096, 100_000])
def test_a_secret_cut_by_the_end_of_the_head_is_redacted(place: int, step: int) -> None:
    output = Output(redact=Secrets(None, {"KEY": KEY}).redact)
    whole = (b"." * place) + KEY.encode() + (b"." * 60_000)

    for start in range(0, len(whole), step):
        output.take(whole[start : start + step])

    assert output.count_bytes == len(whole)
    assert len(output.text.encode()) <= HEAD_BYTES
    assert not any(KEY[:size] in output.text for size in range(3, len(KEY)))


def test_many_secrets_in_a_row_leave_no_partial_one() -> None:
    output = Output(redact=Secrets(None, {"KEY": KEY * 20}).redact)

    output.take((KEY * 20).encode() * 200)

    assert set(output.text.replace("[secret:key]", "")) <= set("[secret:key]")
    assert KEY[:6] not in output.text


@pytest.mark.parametrize("after", [0, 100, ERROR_BYTES - 5, ERROR_BYTES, 20_000])
def test_a_secret_cut_by_the_beginning_of_the_tail_is_redacted(after: int) -> None:
    tail = OutputTail(Secrets(None, {"KEY": KEY}).redact)

    tail.take(b"." * 40_000 + KEY.encode())
    tail.take(b"." * after)

    assert len(tail.text.encode()) <= ERROR_BYTES
    assert not any(KEY[-size:] in tail.text for size in range(3, len(KEY)))


@pytest.mark.parametrize(
    ("taken", "hashed"), [(b"4711-0815", b"[secret:pin]"), (b"nothing to hide", b"nothing to hide")]
)
def test_the_hash_of_an_output_with_a_secret_does_not_let_it_be_guessed(
    taken: bytes, hashed: bytes
) -> None:
    output = Output(redact=Secrets(None, {"PIN": "4711-0815"}).redact)

    output.take(taken)

    assert output.sha256 == sha256(hashed).hexdigest()
