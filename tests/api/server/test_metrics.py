"""The metrics: each value after known commands, parsed as Prometheus does."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from uuid import UUID

from prometheus_client.parser import text_string_to_metric_families

from ledger.application.commands import runs as run_commands
from tests.api.harness import Api
from tests.support.builders import MINUTE

DOCUMENT = Path(__file__).parents[3] / "docs" / "how-to" / "monitoring.md"


def scraped(api: Api) -> dict[str, float]:
    """Every sample by its name, with the values of its labels in braces."""
    answer = api.get("/metrics", by="viewer")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain; version=")
    samples = {}
    for family in text_string_to_metric_families(answer.text):
        assert family.documentation
        for sample in family.samples:
            labels = ",".join(sample.labels.values())
            samples[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return samples


def test_jobs_are_counted_by_status(api: Api) -> None:
    api.schedule()
    api.paused_job()
    api.failed_job()
    api.completed_job()
    api.deleted_job()

    found = scraped(api)

    statuses = ("active", "paused", "failed", "completed")
    assert [found[f"jobledger_jobs{{{status}}}"] for status in statuses] == [1, 1, 1, 1]


def test_a_due_job_is_overdue_after_half_a_minute(api: Api) -> None:
    api.schedule("soon")
    api.schedule("later", schedule={"kind": "every", "interval_seconds": 9999})
    api.clock.advance(MINUTE)
    due = scraped(api)
    api.clock.advance(timedelta(seconds=31))

    overdue = scraped(api)

    assert (due["jobledger_due_jobs"], due["jobledger_overdue_jobs"]) == (1, 0)
    assert (overdue["jobledger_due_jobs"], overdue["jobledger_overdue_jobs"]) == (1, 1)
    assert overdue["jobledger_dispatcher_running"] == 0


def test_runs_and_trips_are_counted_once_however_many_scrapes(api: Api) -> None:
    api.failed_job()
    first = scraped(api)
    job_id = api.schedule("lost")
    run_id = api.start_run(job_id)
    open_runs = scraped(api)["jobledger_open_runs"]
    api.ledger.execute(run_commands.LoseRun(UUID(job_id), run_id, "shutdown", api.ledger.context()))

    found = scraped(api)

    assert first["jobledger_runs_started_total"] == first["jobledger_trips_total"] == 1
    assert open_runs == 1
    assert found["jobledger_runs_started_total"] == 2
    assert found["jobledger_runs_ended_total{failed}"] == 1
    assert found["jobledger_runs_ended_total{lost}"] == found["jobledger_runs_lost_total"] == 1
    assert found["jobledger_runs_ended_total{succeeded}"] == found["jobledger_open_runs"] == 0
    assert found["jobledger_trips_total"] == 1
    assert found["jobledger_deliveries_failed_total"] == 0
    assert found["jobledger_event_store_position"] == api.ledger.writer.position


def test_open_storms_are_counted(api: Api) -> None:
    before = scraped(api)["jobledger_open_storms"]
    api.fail_together(["one", "two", "three"])
    api.parts.read_models.wait_for(api.ledger.writer.position)

    found = scraped(api)
    api.clock.advance(70 * MINUTE)

    assert (before, found["jobledger_open_storms"]) == (0, 1)
    assert scraped(api)["jobledger_open_storms"] == 0


def test_commands_and_batches_are_measured(api: Api) -> None:
    api.secret_of("viewer")
    before = scraped(api)
    with api.busy_writer():
        api.clock.advance(timedelta(seconds=2))
    job_id = api.schedule()
    api.post(f"/v1/jobs/{job_id}/pause")

    found = scraped(api)

    name = "jobledger_command_latency_seconds"
    assert found[f"{name}_count"] - before[f"{name}_count"] == 3
    assert found[f"{name}_sum"] - before[f"{name}_sum"] == 2
    assert found["jobledger_batch_size_commands_sum"] >= 3
    assert found["jobledger_waiting_commands"] == 0


def test_a_stopped_read_model_has_its_lag(api: Api) -> None:
    api.secret_of("viewer")
    with api.broken_read_model("runs"):
        api.failed_job()
        api.parts.read_models.wait_for(api.ledger.writer.position, needs=["jobs"])
        found = scraped(api)

    assert found["jobledger_read_model_stopped{runs}"] == 1
    assert found["jobledger_read_model_lag_events{runs}"] > 0
    assert found["jobledger_read_model_lag_events{jobs}"] == 0
    assert found["jobledger_stream_clients"] == found["jobledger_stream_drops_total"] == 0


def test_the_lag_of_claims_is_in_its_buckets(api: Api) -> None:
    api.ledger.instrumentation.claimed(0.3)
    api.ledger.instrumentation.claimed(-1.0)

    found = scraped(api)

    assert found["jobledger_dispatch_lag_seconds_count"] == 2
    assert found["jobledger_dispatch_lag_seconds_bucket{0.25}"] == 1
    assert found["jobledger_dispatch_lag_seconds_bucket{0.5}"] == 2


def test_the_documented_metrics_are_the_exposed_ones(api: Api) -> None:
    text = api.get("/metrics").text
    helped = [line.split()[2] for line in text.splitlines() if line.startswith("# HELP ")]
    ours = {name for name in helped if name.startswith("jobledger_")}
    exposed = {name for name in ours if not name.endswith("_created")}

    table = DOCUMENT.read_text().split("## Every metric")[1]

    assert set(re.findall(r"`(jobledger_\w+)", table)) == exposed
    assert "process_resident_memory_bytes" in text
    alarms = DOCUMENT.read_text().split("## Every metric")[0]
    for name in re.findall(r"jobledger_[a-z_]+", alarms):
        assert name.removesuffix("_bucket") in exposed, name
