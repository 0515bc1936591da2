"""The topics written out for the command line are those of the domain."""

from __future__ import annotations

from ledger.domain import events
from ledger.domain.recovery.recovery import RecoveryAborted, RecoveryCompleted, RecoveryPlanned
from projections.history import topics


def test_the_topics_of_timelines_and_playback_are_those_of_the_domain() -> None:
    assert topics.STATUS_AFTER == events.STATUS_AFTER
    assert topics.ENDS == events.RUN_END_TOPICS
    assert topics.MANUAL_RESUMES == (events.Resumed.TOPIC, events.ForceResumed.TOPIC)
    assert topics.STARTED == events.RunStarted.TOPIC
    assert events.RUN_END_TOPICS[:3] == (topics.SUCCEEDED, topics.FAILED, topics.LOST)
    assert topics.IMPORTED == events.Imported.TOPIC
    assert topics.TRIPPED == events.CircuitTripped.TOPIC
    assert topics.DELIVERED == events.Delivered.TOPIC
    recoveries = (RecoveryPlanned, RecoveryAborted, RecoveryCompleted)
    assert tuple(event.TOPIC for event in recoveries) == topics.RECOVERY_TOPICS
