"""What is stored of an output: a head that any store accepts, an exact count, a hash over the
bytes.
"""

from __future__ import annotations

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.dispatch.executors.output import ERROR_BYTES, HEAD_BYTES, Output, OutputTail


@given(st.lists(st.binary(max_size=3000), max_size=8))
def test_count_and_hash_are_over_the_raw_bytes(chunks: list[bytes]) -> None:
    output = Output()

    for chunk in chunks:
        output.take(chunk)

    whole = b"".join(chunks)
    assert output.count_bytes == len(whole)
    assert output.sha256 == hashlib.sha256(whole).hexdigest()
    assert len(output.text.encode()) <= HEAD_BYTES
    assert "\0" not in output.text
    assert json.loads(json.dumps(output.text)) == output.text


@given(st.lists(st.binary(max_size=50), max_size=20), st.integers(1, 200))
def test_what_lies_beyond_the_limit_is_neither_counted_nor_hashed(
    chunks: list[bytes], limit: int
) -> None:
    output = Output(limit_bytes=limit)

    for chunk in chunks:
        output.take(chunk)

    whole = b"".join(chunks)
    assert output.count_bytes == min(len(whole), limit)
    assert output.sha256 == hashlib.sha256(whole[:limit]).hexdigest()
    assert output.is_full == (len(whole) >= limit)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"\xff" * HEAD_BYTES, "\ufffd" * (HEAD_BYTES // 3)),
        (b"hello", "hello"),
        ("grüße".encode(), "grüße"),
        (b"a\0b", "ab"),
        (b"a\xffb", "a\ufffdb"),
        (b"\xed\xa0\x80", "\ufffd\ufffd\ufffd"),
    ],
)
def test_the_head_can_be_stored_and_does_not_grow_past_the_limit(raw: bytes, text: str) -> None:
    output = Output()

    output.take(raw)

    assert output.text == text


def test_a_tail_has_the_last_bytes() -> None:
    tail = OutputTail()

    for line in range(10_000):
        tail.take(b"line %d\n" % line)

    assert tail.text.endswith("line 9998\nline 9999")
    assert len(tail.text.encode()) <= ERROR_BYTES


@pytest.mark.parametrize("letter", ["x", "é", "漢", "🐈"])
def test_a_long_output_in_any_script_has_its_head_and_tail_with_redaction(letter: str) -> None:
    output, tail = Output(redact=str.upper), OutputTail(redact=str.upper)

    output.take((letter * 50_000).encode())
    tail.take((letter * 50_000).encode())

    assert output.text == letter.upper() * (HEAD_BYTES // len(letter.encode()))
    assert tail.text == letter.upper() * (ERROR_BYTES // len(letter.encode()))
