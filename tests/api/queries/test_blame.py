"""Blame over HTTP, of jobs that are gone; test_surfaces has the others."""

from __future__ import annotations

from tests.api.harness import Api, problem


def test_blame_covers_deleted_jobs_and_refuses_unknown_ones(api: Api) -> None:
    answer = api.get(f"/v1/jobs/{api.deleted_job()}/blame", by="viewer").json()

    topics = {item["field"]: item["topic"] for item in answer["blame"]["fields"]}
    assert topics["status"] == "job.deleted"
    missing = "00000000-0000-4000-8000-000000000001"
    problem(api.get(f"/v1/jobs/{missing}/blame"), 404, "job_not_found")
