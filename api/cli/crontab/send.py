"""The lines of a crontab on their way to the ledger: in requests of bounded size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import orjson

from api.cli.connection.client import ApiClient
from api.cli.connection.connect import Intent, connect
from api.crontab.reading import Found, Read, Refusal

ORIGIN = "crontab"
BATCH_JOBS = 200
BATCH_BYTES = 192 * 1024
"""Of one request: well within what the API takes (500 jobs, 256 KiB)."""

Plain = dict[str, Any]


def send(read: Read, *, dry_run: bool, data: Path | None) -> Plain:
    """Import what was found; what became of every line, as one document."""
    fitting = [one for one in read.found if _size(one) <= BATCH_BYTES]
    answers, position = _answers(fitting, dry_run=dry_run, data=data)
    taken = list(zip(fitting, answers, strict=True))
    jobs = [_line(one) | answer for one, answer in taken if "job" in answer]
    refused = [
        *map(_misread, read.refused),
        *(_too_large(one) for one in read.found if _size(one) > BATCH_BYTES),
        *(_line(one) | _why(answer) for one, answer in taken if "refusal" in answer),
    ]
    return {
        "jobs": jobs,
        "refused_lines": sorted(refused, key=lambda one: one["line"]),
        "imported": len(jobs),
        "refused": len(refused),
        "position": position,
    }


def _answers(
    found: list[Found], *, dry_run: bool, data: Path | None
) -> tuple[list[Plain], int | None]:
    """The API's answer to each, and where the book stands; nobody is asked about nothing."""
    if not found:
        return [], None
    with connect(Intent.BEGIN, data) as client:
        documents = [_ask(client, batch, dry_run=dry_run) for batch in _batches(found)]
    return [one for document in documents for one in document["jobs"]], documents[-1]["position"]


def _ask(client: ApiClient, batch: list[Found], *, dry_run: bool) -> Plain:
    body = {"origin": ORIGIN, "jobs": [one.job for one in batch], "dry_run": dry_run}
    return client.request("POST", "/v1/imports", body=body).document


def _batches(found: Iterable[Found]) -> Iterator[list[Found]]:
    batch: list[Found] = []
    size = 0
    for one in found:
        if batch and (len(batch) == BATCH_JOBS or size + _size(one) > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(one)
        size += _size(one)
    yield batch


def _size(one: Found) -> int:
    return len(orjson.dumps(one.job))


def _line(one: Found | Refusal) -> Plain:
    return {"line": one.line, "text": one.text}


def _misread(one: Refusal) -> Plain:
    return _line(one) | {"code": "invalid_line", "reason": one.reason}


def _too_large(one: Found) -> Plain:
    why = "its command and its variables are too large for one request"
    return _line(one) | {"code": "too_large", "reason": why}


def _why(answer: Plain) -> Plain:
    refusal = answer["refusal"]
    return {"code": refusal["code"], "reason": refusal["detail"]}
