"""Which executor runs a job; whatever that executor does, the dispatcher gets an outcome."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ledger.chance import random_bytes
from ledger.clock import Clock
from ledger.dispatch.executors.addresses import AllowList, Guard, Resolver, system_resolver
from ledger.dispatch.executors.command import CommandExecutor
from ledger.dispatch.executors.http import HttpExecutor
from ledger.dispatch.executors.noop import NoopExecutor
from ledger.dispatch.executors.outcomes import Blocked, Executor, Outcome, RunTicket
from ledger.dispatch.executors.output import HEAD_BYTES, Redact, cut
from ledger.dispatch.executors.python import Handler, PythonExecutor
from ledger.dispatch.executors.secrets import NO_SECRETS, MissingSecret, Secrets
from ledger.dispatch.executors.signing import Signer
from ledger.domain.job.outcomes import Failure, Success
from ledger.domain.job.urls import parse_url
from ledger.errors import InvalidField, StartRefused

FIELDS_WITH_SECRETS = ("headers", "env")
"""The maps of an executor whose values may name secrets."""


@dataclass(frozen=True, slots=True)
class ExecutorSettings:
    """The settings of the executors. `signing_secret` is `whsec_` and base64, and is not shown."""

    signing_secret: str = field(repr=False)
    agent_url: str | None = None
    allow: AllowList = AllowList()
    commands_enabled: bool = False
    handlers: Mapping[str, Handler] = field(default_factory=dict)
    secrets: Secrets = NO_SECRETS

    @classmethod
    def of_this_process(cls) -> ExecutorSettings:
        """For a program that runs its own jobs: signs with a secret that ends with the process,
        calls public hosts only, runs no commands.
        """
        return cls(signing_secret=f"whsec_{b64encode(random_bytes(32)).decode()}")


class Executors:
    """All executors of one dispatcher; used from its event loop only. Refuses StartRefused for bad
    settings.
    """

    def __init__(
        self, settings: ExecutorSettings, *, clock: Clock, resolve: Resolver = system_resolver
    ) -> None:
        self._settings = settings
        guard = Guard(_with_agent(settings), resolve)
        self._by_kind: dict[str, Executor] = {
            NoopExecutor.kind: NoopExecutor(),
            PythonExecutor.kind: PythonExecutor(settings.handlers, clock=clock),
            HttpExecutor.kind: HttpExecutor(Signer(settings.signing_secret), guard, clock=clock),
        }
        if settings.commands_enabled:
            self._by_kind[CommandExecutor.kind] = CommandExecutor(clock=clock)

    def is_instant(self, ticket: RunTicket) -> bool:
        """Whether the run takes no concurrency slot."""
        executor = self._by_kind.get(_kind_of(ticket))
        return executor is not None and executor.is_instant

    async def execute(self, ticket: RunTicket) -> Outcome:
        """Run it; a job without an executor goes to the agent. Raises only CancelledError."""
        if ticket.executor is None:
            if self._settings.agent_url is None:
                return Blocked(
                    "The job has no executor and no agent is configured: set "
                    "JOBLEDGER_AGENT_URL or give the job an executor."
                )
            ticket = replace(
                ticket, executor={"kind": HttpExecutor.kind, "url": self._settings.agent_url}
            )
        executor = self._by_kind.get(_kind_of(ticket))
        if executor is None:
            return Blocked(_why_no_executor(_kind_of(ticket)))
        try:
            outcome = await executor.execute(self._with_secrets(ticket))
        except MissingSecret as refusal:
            outcome = Blocked(refusal.message)
        except Exception as error:  # noqa: BLE001 - one broken run must not stop the others
            outcome = _broken(error)
        return _redacted(outcome, self._settings.secrets.redact)

    def _with_secrets(self, ticket: RunTicket) -> RunTicket:
        """The ticket with its secrets filled in. Refuses MissingSecret."""
        secrets, executor = self._settings.secrets, dict(ticket.executor or {})
        for field_name in FIELDS_WITH_SECRETS:
            entries = executor.get(field_name)
            if entries:
                filled = {name: secrets.fill(value) for name, value in entries.items()}
                executor[field_name] = filled
        return replace(ticket, executor=executor, redact=secrets.redact)

    async def aclose(self) -> None:
        """Close every executor."""
        for executor in self._by_kind.values():
            await executor.aclose()


def _redacted(outcome: Outcome, redact: Redact) -> Outcome:
    """An outcome with every secret removed from its texts."""
    match outcome:
        case Success():
            return replace(outcome, output=cut(redact(outcome.output), HEAD_BYTES))
        case Failure():
            return replace(outcome, error=redact(outcome.error))
        case Blocked():
            return Blocked(redact(outcome.cause))
        case _:
            return outcome


def _with_agent(settings: ExecutorSettings) -> AllowList:
    """The operator configured the agent, so its own host and port are always permitted."""
    if settings.agent_url is None:
        return settings.allow
    try:
        url = parse_url(settings.agent_url, field="JOBLEDGER_AGENT_URL")
    except InvalidField as refusal:
        raise StartRefused(refusal.message) from None
    return settings.allow.with_host(url.host, url.port)


def _kind_of(ticket: RunTicket) -> str:
    return str((ticket.executor or {}).get("kind"))


def _why_no_executor(kind: str) -> str:
    if kind == CommandExecutor.kind:
        return "Commands are disabled on this node: set JOBLEDGER_COMMANDS to run them."
    return f"This node has no executor of kind {kind}."


def _broken(error: Exception) -> Failure:
    return Failure(f"the executor itself failed: {type(error).__name__}: {error}", "other")
