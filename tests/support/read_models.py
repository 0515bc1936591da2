"""Queries of tests to read models, without waiting for them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from projections.models.jobs import queries as job_queries
from projections.models.jobs.queries import JobFilter
from projections.read_models import ReadModels


def job_in(read_models: ReadModels, job_id: UUID) -> dict[str, Any]:
    """One job as the read models have it. Raises JobNotFound."""
    with read_models.reading() as reader:
        return job_queries.one(reader, job_id)


def jobs_in(
    read_models: ReadModels, filters: JobFilter | None = None
) -> tuple[list[dict[str, Any]], str | None]:
    """A page of jobs as the read models have them, and the cursor of the next."""
    with read_models.reading() as reader:
        return job_queries.find(reader, filters or JobFilter())
