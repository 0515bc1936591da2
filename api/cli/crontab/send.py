"""Sends the jobs of a crontab to the API in requests of bounded size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import orjson

from api.cli.connection.client import ApiClient
from api.cli.connection.connect import Intent, connect
from api.crontab.reading import ParsedCrontab, ParsedJob, RefusedLine

ORIGIN = "crontab"
BATCH_JOBS = 200
BATCH_BYTES = 192 * 1024
"""Limits of one request, below those of the API (500 jobs, 256 KiB)."""

Plain = dict[str, Any]


def send(read: ParsedCrontab, *, dry_run: bool, data: Path | None) -> Plain:
    """Import the jobs that were found; the outcome of every line, as one document."""
    fitting = [one for one in read.found if _size(one) <= BATCH_BYTES]
    answers, position = _answers(fitting, dry_run=dry_run, data=data)
    taken = list(zip(fitting, answers, strict=True))
    jobs = [_line(one) | answer for one, answer in taken if "job" in answer]
    refused = [
        *map(_unreadable, read.refused),
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
    found: list[ParsedJob], *, dry_run: bool, data: Path | None
) -> tuple[list[Plain], int | None]:
    """The API's answer to each job, and the position of the ledger; no request without jobs."""
    if not found:
        return [], None
    with connect(Intent.BEGIN, data) as client:
        documents = [_import(client, batch, dry_run=dry_run) for batch in _batches(found)]
    return [one for document in documents for one in document["jobs"]], documents[-1]["position"]


def _import(client: ApiClient, batch: list[ParsedJob], *, dry_run: bool) -> Plain:
    body = {"origin": ORIGIN, "jobs": [one.job for one in batch], "dry_run": dry_run}
    return client.request("POST", "/v1/imports", body=body).document


def _batches(found: Iterable[ParsedJob]) -> Iterator[list[ParsedJob]]:
    batch: list[ParsedJob] = []
    size = 0
    for one in found:
        if batch and (len(batch) == BATCH_JOBS or size + _size(one) > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(one)
        size += _size(one)
    yield batch


def _size(one: ParsedJob) -> int:
    return len(orjson.dumps(one.job))


def _line(one: ParsedJob | RefusedLine) -> Plain:
    return {"line": one.line, "text": one.text}


def _unreadable(one: RefusedLine) -> Plain:
    return _line(one) | {"code": "invalid_line", "reason": one.reason}


def _too_large(one: ParsedJob) -> Plain:
    why = "its command and its variables are too large for one request"
    return _line(one) | {"code": "too_large", "reason": why}


def _why(answer: Plain) -> Plain:
    refusal = answer["refusal"]
    return {"code": refusal["code"], "reason": refusal["detail"]}
