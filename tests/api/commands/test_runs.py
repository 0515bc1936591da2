"""The worker protocol: claims, heartbeats, reports, and their tokens."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from ledger.dispatch.dispatcher import Dispatcher
from ledger.dispatch.executors.registry import ExecutorSettings
from tests.api.harness import Api, problem, serving
from tests.support.builders import MINUTE

GPU = {"kind": "worker", "queue": "gpu"}
SECOND = timedelta(seconds=1)


class Post:
    """A server whose dispatcher is stepped by hand, and jobs for workers."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.dispatcher = Dispatcher(api.ledger, ExecutorSettings.of_this_process())
        api.parts.dispatcher = self.dispatcher

    def step(self, later: timedelta = timedelta()) -> None:
        self.api.clock.advance(later)
        while self.dispatcher.run_once():
            pass

    def due(self, name: str = "render", **fields: Any) -> str:
        """A job of the queue that is due."""
        job_id = self.api.schedule(name, executor=GPU, **fields)
        self.step(MINUTE)
        return job_id

    def ask(self, **body: Any) -> httpx.Response:
        return self.api.post("/v1/runs/claim", {"queue": "gpu", **body}, by="worker")

    def claim(self, **body: Any) -> dict[str, Any]:
        answer = self.ask(**body)
        assert answer.status_code == 200, answer.text
        claimed: dict[str, Any] = answer.json()
        return claimed

    def say(self, claimed: dict[str, Any], what: str, body: Any = None, **more: Any) -> Any:
        path = f"/v1/runs/{claimed['run']['run_id']}/{what}"
        return self.api.post(path, body, by=claimed["token"], **more)


@pytest.fixture
def post(tmp_path: Path) -> Any:
    with serving(tmp_path) as api:
        yield Post(api)


# -- claims -------------------------------------------------------------------------------------


def test_a_worker_claims_a_due_run_of_its_queue(post: Post) -> None:
    job_id = post.due(task="draw a cat")

    claimed = post.claim()

    assert claimed["job"]["id"] == job_id
    assert claimed["job"]["task"] == "draw a cat"
    assert claimed["run"]["run_id"] == claimed["job"]["open_run"]["run_id"]
    assert claimed["run"]["timeout_seconds"] == 300
    started = post.api.ledger.history(job_id)[-1]
    assert started["topic"] == "job.run_started"
    assert started["actor"] == {"id": "worker-token", "kind": "user"}
    assert started["position"] == claimed["position"]


def test_the_dispatcher_does_not_execute_runs_of_workers(post: Post) -> None:
    job_id = post.due()

    assert post.api.topics(job_id) == ["job.scheduled"]
    assert post.dispatcher.health()["waiting"] == 1


def test_a_claim_gets_204_when_nothing_is_due(post: Post) -> None:
    post.api.schedule("later", executor=GPU)

    answer = post.ask()

    assert (answer.status_code, answer.content) == (204, b"")


def test_a_run_is_claimed_once_and_only_from_its_queue(post: Post) -> None:
    post.due()

    answers = [post.ask(queue="cpu"), post.ask(), post.ask()]

    assert [answer.status_code for answer in answers] == [204, 200, 204]


def test_many_workers_never_get_the_same_run(post: Post) -> None:
    for number in range(50):
        post.api.schedule(f"job {number}", executor=GPU)
    post.step(MINUTE)

    request = ("POST", "/v1/runs/claim", {"json": {"queue": "gpu"}, "by": "worker"})
    answers = post.api.ask_all([request] * 60)

    runs = [answer.json()["run"]["run_id"] for answer in answers if answer.status_code == 200]
    assert len(runs) == len(set(runs)) == 50


def test_a_waiting_claim_is_answered_when_a_run_comes_due(post: Post) -> None:
    job_id = post.api.schedule(executor=GPU)
    post.dispatcher.start()

    claimed, _ = post.api.ask_all(
        [
            ("POST", "/v1/runs/claim", {"json": {"queue": "gpu", "wait_seconds": 60}}),
            ("POST", f"/v1/jobs/{job_id}/run", {}),
        ]
    )

    assert claimed.json()["job"]["id"] == job_id
    assert claimed.json()["run"]["trigger"] == "manual"


def test_a_queued_run_of_a_paused_job_is_not_handed_out(post: Post) -> None:
    job_id = post.due()
    post.api.post(f"/v1/jobs/{job_id}/pause")

    assert post.ask().status_code == 204


def test_a_run_is_handed_out_from_the_queue_its_job_moved_to(post: Post) -> None:
    job_id = post.due()
    patch = {"executor": {"kind": "worker", "queue": "cpu"}}
    post.api.ask("PATCH", f"/v1/jobs/{job_id}", json=patch)
    post.step()

    answers = [post.ask(), post.ask(queue="cpu")]

    assert [answer.status_code for answer in answers] == [204, 200]


def test_a_repeated_claim_gets_the_same_run(post: Post) -> None:
    post.due()
    post.api.schedule("other", executor=GPU)
    post.step(MINUTE)
    headers = {"Idempotency-Key": "claim 1"}

    first, second = (
        post.api.post("/v1/runs/claim", {"queue": "gpu"}, by="worker", headers=headers)
        for _ in range(2)
    )

    assert first.json() == second.json()


def test_a_node_that_does_not_dispatch_hands_out_no_runs(post: Post) -> None:
    post.api.parts.dispatcher = None

    problem(post.ask(), 503, "unavailable")


def test_a_node_that_shuts_down_ends_waiting_claims(post: Post) -> None:
    post.dispatcher.queues.close()

    problem(post.ask(wait_seconds=9), 503, "unavailable")


@pytest.mark.parametrize(
    "body",
    [{}, {"queue": ""}, {"queue": 7}, {"queue": "gpu", "wait": 1}]
    + [{"queue": "gpu", "lease_seconds": seconds} for seconds in (0, 1e9)]
    + [{"queue": "gpu", "wait_seconds": seconds} for seconds in (-1, 61)],
)
def test_an_invalid_claim_takes_no_run(post: Post, body: Any) -> None:
    post.due()

    answer = post.api.post("/v1/runs/claim", body, by="worker")

    assert answer.json()["code"] in ("invalid_field", "unknown_field")
    post.claim()


# -- reports ------------------------------------------------------------------------------------


def test_a_worker_reports_success_with_its_output(post: Post) -> None:
    job_id = post.due()
    claimed = post.claim()
    post.api.clock.advance(3 * SECOND)

    answer = post.say(claimed, "succeed", {"output": "a cat"})

    assert answer.status_code == 200, answer.text
    assert answer.json()["job"]["open_run"] is None
    ended = post.api.ledger.history(job_id)[-1]
    assert (ended["topic"], ended["data"]["output"]) == ("job.run_succeeded", "a cat")
    assert ended["data"]["duration_ms"] == 3000
    assert ended["actor"]["id"] == "worker-token"


def test_a_worker_reports_failure_with_class_and_retry_time(post: Post) -> None:
    job_id = post.due()
    body = {"error": "429", "failure_class": "rate_limited", "retry_after_seconds": 600}

    answer = post.say(post.claim(), "fail", body)

    data = post.api.ledger.history(job_id)[-1]["data"]
    assert answer.json()["job"]["consecutive_errors"] == 1
    assert (data["failure_class"], data["retry_after"]) == ("rate_limited", "2026-03-02T12:11:00Z")


@pytest.mark.parametrize(
    ("what", "body", "failure_class"),
    [
        ("fail", {"error": "connection refused"}, "unreachable"),
        ("fail", {"error": "nobody knows"}, "other"),
        ("succeed", {"output": "Error: 429 rate limit"}, "rate_limited"),
    ],
)
def test_a_failure_is_classified_by_its_text(
    post: Post, what: str, body: Any, failure_class: str
) -> None:
    job_id = post.due()

    post.say(post.claim(), what, body)

    ended = post.api.ledger.history(job_id)[-1]
    assert (ended["topic"], ended["data"]["failure_class"]) == ("job.run_failed", failure_class)


def test_a_long_output_is_truncated_and_hashed_whole(post: Post) -> None:
    job_id = post.due()

    post.say(post.claim(), "succeed", {"output": "x" * 100_000})

    data = post.api.ledger.history(job_id)[-1]["data"]
    assert (len(data["output"]), data["output_bytes"]) == (4096, 100_000)


def test_a_report_without_a_body_is_a_success(post: Post) -> None:
    post.due()

    assert post.say(post.claim(), "succeed").json()["job"]["last_run"]["status"] == "succeeded"


def test_a_repeated_report_is_superseded_or_with_its_key_answered_again(post: Post) -> None:
    post.due()
    claimed = post.claim()
    headers = {"Idempotency-Key": "done"}

    first = post.say(claimed, "succeed", {"output": "x"}, headers=headers)
    again = post.say(claimed, "succeed", {"output": "x"}, headers=headers)
    bare = post.say(claimed, "succeed", {"output": "x"})

    assert first.json() == again.json()
    problem(bare, 409, "run_superseded")


@pytest.mark.parametrize(
    "body", [{}, {"error": ""}, {"error": "x", "failure_class": "lost"}, {"error": "x", "y": 1}]
)
def test_an_invalid_failure_report_does_not_end_the_run(post: Post, body: Any) -> None:
    job_id = post.due()

    answer = post.say(post.claim(), "fail", body)

    assert answer.status_code == 422
    assert post.api.topics(job_id)[-1] == "job.run_started"


# -- leases -------------------------------------------------------------------------------------


def test_a_run_without_heartbeats_is_lost_once_its_lease_ends(post: Post) -> None:
    job_id = post.due()
    claimed = post.claim(lease_seconds=10)

    post.step(9 * SECOND)
    assert post.api.topics(job_id)[-1] == "job.run_started"
    post.step(SECOND)

    lost = post.api.ledger.history(job_id)[-1]
    assert (lost["topic"], lost["data"]["cause"]) == ("job.run_lost", "lease_expired")
    problem(post.say(claimed, "succeed", {"output": "late"}), 409, "run_superseded")
    problem(post.say(claimed, "heartbeat"), 409, "run_superseded")
    assert post.api.ledger.event_store.leases().rows == ()


def test_heartbeats_keep_a_run_alive_without_events(post: Post) -> None:
    job_id = post.due()
    claimed = post.claim(lease_seconds=10)
    position = post.api.ledger.writer.position

    for _ in range(10):
        post.step(9 * SECOND)
        assert post.say(claimed, "heartbeat", {"lease_seconds": 10}).status_code == 200

    assert post.api.ledger.writer.position == position
    assert post.say(claimed, "succeed").status_code == 200
    assert post.api.topics(job_id)[-1] == "job.run_succeeded"


def test_heartbeats_do_not_extend_beyond_the_jobs_time_out(post: Post) -> None:
    job_id = post.due(policy={"timeout_seconds": 30})
    claimed = post.claim()

    beat = post.say(claimed, "heartbeat", {"lease_seconds": 1000}).json()
    post.step(30 * SECOND)

    assert beat["lease_until"] == "2026-03-02T12:01:30Z"
    failed = post.api.ledger.history(job_id)[-1]
    assert (failed["topic"], failed["data"]["failure_class"]) == ("job.run_failed", "timeout")
    assert failed["data"]["duration_ms"] == 30_000


def test_a_lease_outlives_the_server(tmp_path: Path) -> None:
    with serving(tmp_path) as api:
        post = Post(api)
        job_id = post.due()
        claimed = post.claim(lease_seconds=100)

    with serving(tmp_path) as api:
        post = Post(api)
        post.step(MINUTE + 50 * SECOND)

        assert api.topics(job_id)[-1] == "job.run_started"
        assert post.say(claimed, "succeed", {"output": "done"}).status_code == 200


# -- run tokens ---------------------------------------------------------------------------------


def test_the_token_of_a_run_cannot_report_another(post: Post) -> None:
    jobs = [post.api.schedule(name, executor=GPU) for name in ("one", "two")]
    post.step(MINUTE)
    one, two = post.claim(), post.claim()

    answer = post.say({"run": two["run"], "token": one["token"]}, "succeed")

    problem(answer, 403, "forbidden")
    assert [post.api.topics(job)[-1] for job in jobs] == ["job.run_started"] * 2


@pytest.mark.parametrize("what", ["heartbeat", "succeed", "fail"])
def test_a_forged_token_cannot_report(post: Post, what: str) -> None:
    post.due()
    claimed = post.claim()
    whole = claimed["token"]
    forged = [whole[:-1], whole + "x", "jlr_", "jlr_x.y", whole.replace("jlr_", "jl_")]

    for token in forged:
        answer = post.say({**claimed, "token": token}, what, {})
        problem(answer, 401, "unauthenticated")


def test_an_admins_token_cannot_report_a_run(post: Post) -> None:
    post.due()
    claimed = post.claim()

    problem(post.say({**claimed, "token": "admin"}, "succeed"), 403, "forbidden")


def test_a_token_of_another_ledger_cannot_report(post: Post, tmp_path: Path) -> None:
    post.due()
    claimed = post.claim()

    with serving(tmp_path / "other") as other:
        answer = Post(other).say(claimed, "succeed")

    problem(answer, 401, "unauthenticated")


# -- disconnected workers -------------------------------------------------------------------------


def test_a_cancelled_claim_leaves_the_run_to_the_next(post: Post) -> None:
    post.due()
    with post.api.busy_writer():
        post.api.give_up("POST", "/v1/runs/claim", {"queue": "gpu"})

    post.api.ledger.submit([]).result()
    answers = [post.ask() for _ in range(2)]

    open_runs = post.api.ledger.job_cache.runs.open_runs()
    assert len(open_runs) == 1
    assert {answer.status_code for answer in answers} <= {200, 204}
