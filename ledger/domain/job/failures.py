"""Classification of failures: the class that counts, the signature that failures of one cause
share, and when to try again.

A text that starts with `Error:` is a failure, as in Phantom.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

FAILURE_CLASSES = (
    "rate_limited",
    "unauthorized",
    "timeout",
    "unreachable",
    "server_error",
    "client_error",
    "crashed",
    "lost",
    "blocked",
    "other",
)

ERROR_PREFIX = "Error:"
"""A text that begins with exactly this reports a failure."""

SIGNATURE_CHARACTERS = 200
"""The maximum length of a signature."""

TARGET_CHARACTERS = 80
"""How much of a target's name goes into a signature."""

MESSAGE_CHARACTERS = 4096
"""How much of a message is examined; the rest is cut off first, so that 1 MB costs what 4 KiB
costs.
"""

RETRY_AFTER_LIMIT = timedelta(hours=24)
"""The longest delay of the next attempt that a target may ask for."""

UNAUTHORIZED_STATUSES = frozenset({401, 402, 403})


def class_of_status(status: int) -> str:
    """The failure class of an unsuccessful HTTP status. Redirects, never followed, are
    client_error.
    """
    if status == 429:
        return "rate_limited"
    if status in UNAUTHORIZED_STATUSES:
        return "unauthorized"
    if 300 <= status < 500:
        return "client_error"
    if 500 <= status < 600:
        return "server_error"
    return "other"


_PATTERNS = (
    (
        "rate_limited",
        re.compile(r"\b429\b|rate.?limit|too many requests|quota|overloaded"),
    ),
    (
        "unauthorized",
        re.compile(r"\b40[123]\b|unauthori[sz]ed|forbidden|payment required|invalid.api.key"),
    ),
    ("timeout", re.compile(r"timed?.?out|deadline exceeded")),
    (
        "unreachable",
        re.compile(r"connection|connect error|econn|enotfound|unreachable|getaddrinfo|socket hang"),
    ),
    (
        "server_error",
        re.compile(r"\b5\d\d\b|internal server error|bad gateway|service unavailable"),
    ),
)


def class_of_text(text: str) -> str:
    """The failure class of a text that starts with `Error:`, by what it says; `other` for any other
    text.

    The first match wins: rate limit before authorization, time-out, connection and server error.
    """
    if not text.startswith(ERROR_PREFIX):
        return "other"
    beginning = text[:MESSAGE_CHARACTERS].lower()
    return next((name for name, pattern in _PATTERNS if pattern.search(beginning)), "other")


def signature(failure_class: str, *, target: str | None, message: str, job_name: str) -> str:
    """The signature of a failure, at most 200 characters: equal for failures of one cause in
    different jobs.

    It consists of the class, the target's host and the message without what differs from run to
    run: the job's own name, quoted text, addresses, times, ids, hex and numbers. Linear in the
    length of the message, of which 4,096 characters count.
    """
    host = _one_line(target or "")[:TARGET_CHARACTERS].lower() or "-"
    text = _without_name(_one_line(message), _one_line(job_name))
    for pattern, placeholder in _VARIABLE:
        text = pattern.sub(placeholder, text)
    text = _NUMBERS.sub("<n>", _WORD.sub(_without_digits, text))
    return f"{failure_class} {host} {text}"[:SIGNATURE_CHARACTERS].rstrip()


_BLANK = re.compile(r"[\s\x00-\x1f\x7f-\x9f\ud800-\udfff]+")
_VARIABLE = (
    (re.compile(r'"[^"]{0,400}"|`[^`]{0,400}`|“[^”]{0,400}”'), "<text>"),
    (re.compile(r"(?<!\w)'[^']{0,400}'(?!\w)"), "<text>"),
    (re.compile(r"\bhttps?://[^\s<>]+"), "<url>"),
    (
        re.compile(
            r"\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d)?(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?)?"
        ),
        "<n>",
    ),
    (re.compile(r"\b(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun),? )?\d\d? [A-Z][a-z]{2} \d{4}\b"), "<n>"),
    (re.compile(r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b"), "<n>"),
    (re.compile(r"\b[0-9a-fA-F]{8,}\b"), "<n>"),
)
_WORD = re.compile(r"\w+")
_NUMBERS = re.compile(r"(?<!\w)[+-]?<n>(?:[.,:/+-]{1,3}<n>)*")
_OPAQUE_CHARACTERS = 24
_SHORTEST_NAME = 3


def _one_line(text: str) -> str:
    return _BLANK.sub(" ", text[:MESSAGE_CHARACTERS]).strip()


def _without_name(message: str, name: str) -> str:
    """Names of one or two characters and bare numbers stay: they occur in any message by chance."""
    if len(name) < _SHORTEST_NAME or name.isdigit():
        return message
    return re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", "<job>", message, flags=re.IGNORECASE)


def _without_digits(word: re.Match[str]) -> str:
    """A word that contains a digit, or is too long for a word, is a number or an id."""
    text = word.group()
    is_variable = len(text) >= _OPAQUE_CHARACTERS or any(map(str.isdigit, text))
    return "<n>" if is_variable else text


_SECONDS = re.compile(r"[0-9]{1,10}")
_DATE_CHARACTERS = 64


def parse_retry_after(value: str | None, *, now: datetime) -> datetime | None:
    """When a `Retry-After` header (seconds or a date, RFC 9110 §10.2.3) allows the next attempt, in
    UTC.

    At most 24 hours after `now`; None for an empty or malformed value, a negative number or a date
    in the past.
    """
    text = (value or "").strip(" \t")
    if _SECONDS.fullmatch(text):
        wait = min(timedelta(seconds=int(text)), RETRY_AFTER_LIMIT)
        return now.astimezone(UTC) + wait
    at = _http_date(text)
    if at is None or at < now:
        return None
    return min(at, now.astimezone(UTC) + RETRY_AFTER_LIMIT)


def _http_date(text: str) -> datetime | None:
    if not 0 < len(text) <= _DATE_CHARACTERS or not text[0].isalpha():
        return None
    try:
        at = parsedate_to_datetime(text)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
