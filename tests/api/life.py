"""A small fleet of jobs with a random history."""

from __future__ import annotations

from datetime import timedelta
from random import Random
from typing import Any
from uuid import UUID

from ledger.application.commands import runs as run_commands
from ledger.clock import rfc3339
from ledger.domain.job import outcomes
from tests.api.harness import Api
from tests.support.builders import DAY, SUCCESS

EVERY = 7
"""Positions between two checkpoints in these tests, so that a short history has many."""
WEATHER = ("429 Too Many Requests", "rate_limited"), ("timed out", "timeout")
PAUSES = (1, 1, 1, 5, 5, 5, 5, 30, 30, 30, 30, 240, 4300)
"""Seconds between two commands; the long ones let a storm end."""
EVERY_MINUTE = {"kind": "cron", "expr": "* * * * *"}
SCHEDULES = EVERY_MINUTE, {"kind": "every", "interval_seconds": 60}


class Life:
    """Jobs to which random commands are applied."""

    def __init__(self, api: Api, seed: int) -> None:
        self.api = api
        self.random = Random(seed)
        self.ids: list[str] = []

    def step(self) -> None:
        self.api.clock.advance(timedelta(seconds=self.random.choice(PAUSES)))
        if len(self.ids) < 5 or self.random.random() < 0.04:
            self._schedule()
            return
        job_id = self.random.choice(self.ids)
        job = self.api.get(f"/v1/jobs/{job_id}").json()["job"]
        if job["open_run"] is not None and self.random.random() < 0.9:
            self.api.end_run(job_id, job["open_run"]["run_id"], self._outcome())
        elif not job["enabled"]:
            self._amend(job_id, {"enabled": True} if self.random.random() < 0.4 else {})
        elif job["status"] != "active":
            self._ask("POST", f"/v1/jobs/{job_id}/resume", {"force": True})
        elif self.random.random() < 0.75 and job["open_run"] is None:
            self._run(job_id)
        else:
            self._change(job_id)

    def _schedule(self) -> None:
        tags = self.random.sample(["red", "green", "Blau"], self.random.randrange(3))
        name = f"{self.random.choice(['old', 'new'])} {self.random.random()}"
        schedule = self.random.choice(SCHEDULES)
        policy = {"trip_after": 4}
        self.ids.append(self.api.schedule(name, tags=tags, schedule=schedule, policy=policy))

    def _run(self, job_id: str) -> None:
        """Run the job on request, or by its schedule if it is due."""
        if self.random.random() < 0.7:
            self._ask("POST", f"/v1/jobs/{job_id}/run")
        call = self.api.ledger.context()
        claim = run_commands.ClaimRun(UUID(job_id), call, node="node-1", is_late=False)
        claimed = self.api.ledger.execute(claim)
        if claimed is not None and self.random.random() < 0.7:
            self.api.clock.advance(timedelta(seconds=1))
            self.api.end_run(job_id, claimed.run.run_id, self._outcome())

    def _outcome(self) -> run_commands.Outcome:
        if self.random.random() < 0.2:
            return SUCCESS
        text, failure_class = WEATHER[self.random.random() < 0.3]
        return outcomes.Failure(text, failure_class, "api.example.com", None, 7)

    def _change(self, job_id: str) -> None:
        match self.random.randrange(6):
            case 0:
                self._ask("POST", f"/v1/jobs/{job_id}/pause")
            case 1:
                until = rfc3339(self.api.clock.now() + DAY)
                self._ask("POST", f"/v1/jobs/{job_id}/pause", {"until": until})
            case 2 if len(self.ids) > 4:
                self._ask("DELETE", f"/v1/jobs/{job_id}")
                self.ids.remove(job_id)
            case 3:
                self._amend(job_id, {"enabled": False})
            case _:
                self._amend(job_id, {})

    def _amend(self, job_id: str, changes: dict[str, Any]) -> None:
        name = f"{self.random.choice(['old', 'new'])} {self.random.random()}"
        others: list[dict[str, Any]] = [{"tags": ["red"]}, {"tags": []}, {"name": name}]
        other = self.random.choice(others)
        self._ask("PATCH", f"/v1/jobs/{job_id}", {**other, "task": name, **changes})

    def _ask(self, method: str, path: str, body: Any = None) -> None:
        answer = self.api.ask(method, path, json=body)
        assert answer.is_success, answer.text
