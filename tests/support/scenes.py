"""What happens to one job, as a table can hold it: its fields, then step after step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from tests.support.builders import NOON
from tests.support.scenario import DONE, LIMITED, NEVER, OLGA, TICK, Scenario, Script

AT_ONCE = timedelta(0)
FAILS: Script = [(AT_ONCE, LIMITED)]
HANGS: Script = [(NEVER, DONE)]
Fields = dict[str, Any]


class Scene:
    """A job with these fields. Times count from noon; it is scheduled at `begins`, and the jobs
    `beside` it at noon.
    """

    def __init__(
        self, *, beside: Sequence[Fields] = (), begins: timedelta = AT_ONCE, **fields: Any
    ) -> None:
        self._beside, self._begins, self._fields = beside, begins, fields
        self._steps: list[Callable[[Scenario, UUID], object]] = []

    def play(self, scenario: Scenario) -> UUID:
        """Let it happen; the id of the job."""
        for number, fields in enumerate(self._beside):
            _schedule(scenario, {"name": f"beside {number}", **fields})
        if self._beside:
            scenario.until(NOON + self._begins)
        else:
            scenario.clock.advance(self._begins)
        job_id = _schedule(scenario, self._fields)
        for step in self._steps:
            step(scenario, job_id)
        return job_id

    def until(self, after_noon: timedelta, step: timedelta = TICK) -> Scene:
        """The dispatcher works until then."""
        return self._then(lambda scenario, _: scenario.until(NOON + after_noon, step))

    def silent_until(self, after_noon: timedelta) -> Scene:
        """The node is killed, and restarts then."""
        return self._then(lambda scenario, _: scenario.silence(NOON + after_noon))

    def unattended(self, span: timedelta) -> Scene:
        """Time passes, and no dispatcher works."""
        return self._then(lambda scenario, _: scenario.clock.advance(span))

    def olga(self, command: str, *words: Any, reason: str | None = None, **options: Any) -> Scene:
        """Olga gives a command about the job."""

        def give(scenario: Scenario, job_id: UUID) -> None:
            call = scenario.ledger.context(reason, actor=OLGA)
            getattr(scenario.ledger, command)(job_id, *words, context=call, **options)

        return self._then(give)

    def lose(self, cause: str) -> Scene:
        """The open run is declared lost."""

        def lose(scenario: Scenario, job_id: UUID) -> None:
            run = scenario.ledger.job_cache.jobs[job_id].open_run
            assert run is not None
            scenario.dispatcher._cycle.lose([scenario.work.running[run.run_id]], cause)

        return self._then(lose)

    def _then(self, step: Callable[[Scenario, UUID], object]) -> Scene:
        self._steps.append(step)
        return self


def _schedule(scenario: Scenario, fields: Fields) -> UUID:
    return scenario.schedule(**{**fields, "script": list(fields.get("script", ()))})
