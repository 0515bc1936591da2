"""Opens the parts of a server, and closes them in the opposite order."""

from __future__ import annotations

import threading
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from api.metrics.histograms import Histograms
from api.security.dsn_policy import require_encrypted_dsn
from api.security.keys import ADMIN_FILE, WEBHOOK_FILE, admin_secret, webhook_secret
from api.security.sessions import Sessions
from api.settings import Settings
from ledger.application.ledger import Ledger, Limits
from ledger.application.tokens import Tokens
from ledger.clock import Clock
from ledger.dispatch.dispatcher import Dispatcher
from ledger.dispatch.executors.addresses import AllowList
from ledger.dispatch.executors.pool import ExecutorPool
from ledger.dispatch.executors.recorded import RecordedOutcomes
from ledger.dispatch.executors.registry import ExecutorSettings
from ledger.dispatch.executors.secrets import Secrets
from ledger.dispatch.executors.signing import Signer
from ledger.dispatch.queues.worker_queues import WorkerQueueFeeder
from ledger.dispatch.recovery_driver import RecoveryDriver
from ledger.domain.event_context import Actor
from ledger.errors import StartRefused
from ledger.store.sqlite.folder import EVENT_STORE_FILE, Folder
from projections.queries import Queries
from projections.read_models import ReadModels

if TYPE_CHECKING:
    from api.tracing.tracing import Tracing
    from ledger.dispatch.notifications.notifier import Notifier

ADMIN = "admin"
SECRETS_FOLDER = "secrets"
FIRST_START_CHECKS = 600
FIRST_START_PAUSE_SECONDS = 0.05
DRAIN_SECONDS = 30.0
"""How long open runs may continue during a shutdown; then they are recorded as lost (shutdown)."""


@dataclass(slots=True)
class ServerParts:
    """The parts of a server. `start` starts the threads and `close` stops them; each acts once."""

    ledger: Ledger
    read_models: ReadModels
    dispatcher: Dispatcher | None
    tokens: Tokens
    sessions: Sessions
    queries: Queries
    signer: Signer
    secrets: Secrets
    notifier: Notifier | None = None
    tracing: Tracing | None = None
    histograms: Histograms = field(default_factory=Histograms)
    feeder: WorkerQueueFeeder | None = None
    """Hands out runs to workers on a node without a dispatcher."""
    recoveries: RecoveryDriver | None = None
    """Executes recoveries, on a node that dispatches."""
    is_sandbox: bool = False
    """Whether runs only end as recorded in a fork, and all changes are discarded."""
    _steps: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _is_started: bool = False
    _is_closed: bool = False

    @property
    def handing_out(self) -> Dispatcher | WorkerQueueFeeder | None:
        """What workers claim from on this node, if anything."""
        return self.dispatcher or self.feeder

    def start(self) -> None:
        """Start the projections and the dispatcher."""
        with self._steps:
            if self._is_started or self._is_closed:
                return
            self._is_started = True
            if not self.read_models.starts_when_needed:
                self.read_models.start()
            for part in (self.dispatcher, self.feeder, self.notifier, self.recoveries):
                if part is not None:
                    part.start()

    def close(self, drain_seconds: float = DRAIN_SECONDS) -> None:
        """Let runs end, stop the projections, close the ledger. Blocks until the runs ended."""
        with self._steps:
            if self._is_closed:
                return
            self._is_closed = True
            with ExitStack() as closing:
                for part in (
                    self.tracing, self.ledger, self.read_models, self.notifier, self.feeder
                ):  # fmt: skip
                    if part is not None:
                        closing.callback(part.close)
                if self.dispatcher is not None:
                    seconds = 0.0 if self.is_sandbox else drain_seconds
                    closing.callback(self.dispatcher.drain, seconds)
                if self.recoveries is not None:
                    closing.callback(self.recoveries.close)


def open_server_parts(
    settings: Settings,
    *,
    dispatches: bool = True,
    clock: Clock | None = None,
    sandbox: Path | None = None,
) -> ServerParts:
    """Open the data folder as its owner, or join the ledger on PostgreSQL. Creates the admin token
    when the ledger has no token.

    With `sandbox`, the file of a fork, runs end as recorded there and no notices are sent. Before
    `start` only the ledger's writer has a thread. Raises StartRefused in one line.
    """
    _require_usable(settings)
    limits = Limits(max_jobs=settings.max_jobs, requires_reason=settings.require_reason)
    with ExitStack() as opened:
        histograms = Histograms()
        tracing = _tracing(settings, histograms)
        ledger = Ledger.open(
            settings.address or settings.data,
            clock=clock,
            limits=limits,
            instrumentation=tracing.spans if tracing is not None else histograms,
        )
        opened.callback(ledger.close)
        read_models = ReadModels.open(ledger, mode=settings.projections)
        opened.callback(read_models.close)
        tokens, key = _tokens_and_key(ledger, settings)
        secrets = secrets_of(settings)
        dispatcher = None
        if dispatches:
            work = _work(ledger, key, secrets, settings, sandbox)
            dispatcher = Dispatcher(ledger, work, concurrency=settings.concurrency)
        notifies = dispatches and sandbox is None
        hands_out = ledger.event_store.is_shared and not dispatches
        parts = ServerParts(
            ledger,
            read_models,
            dispatcher,
            tokens,
            Sessions(ledger.clock),
            Queries(ledger, read_models, dispatcher=dispatcher),
            Signer(key),
            secrets,
            _notifier(ledger, read_models, secrets, settings) if notifies else None,
            feeder=WorkerQueueFeeder(ledger) if hands_out else None,
            recoveries=RecoveryDriver(ledger) if dispatches else None,
            is_sandbox=sandbox is not None,
            tracing=tracing,
            histograms=histograms,
        )
        opened.pop_all()
    return parts


def _notifier(
    ledger: Ledger, read_models: ReadModels, secrets: Secrets, settings: Settings
) -> Notifier:
    # apprise is slow to import, and only servers need it
    from ledger.dispatch.notifications.notifier import Notifier
    from ledger.dispatch.notifications.sender import Sender
    from projections.queries.storm_notifications import StormNotifications

    return Notifier(ledger, Sender(settings.channels, secrets), StormNotifications(read_models))


def _tracing(settings: Settings, histograms: Histograms) -> Tracing | None:
    if settings.collector is None:
        return None
    from api.tracing.tracing import Tracing  # slow to import, and rarely used

    return Tracing(settings.collector, also=histograms)


def secrets_of(settings: Settings) -> Secrets:
    """The secrets that jobs may use as `secret://…`."""
    return Secrets(settings.data / SECRETS_FOLDER, settings.secrets)


def _require_usable(settings: Settings) -> None:
    if settings.address is not None:
        require_encrypted_dsn(settings.address)
        return
    own = settings.data / EVENT_STORE_FILE
    path = settings.sqlite_path
    if path is not None and path.absolute() != own.absolute():
        raise StartRefused(
            f"JOBLEDGER_DSN: on SQLite the event store is {own}, in the data folder; set "
            "JOBLEDGER_DATA instead."
        )


def _tokens_and_key(ledger: Ledger, settings: Settings) -> tuple[Tokens, str]:
    """The tokens, and the key that signs; the first start makes the admin's token and the key."""
    folder = Folder(settings.data)
    folder.create()
    tokens = Tokens(ledger)
    _make_admin(ledger, tokens, folder, settings)
    key = webhook_secret(folder)
    _require_same_key(ledger, key, folder)
    return tokens, key


def _make_admin(ledger: Ledger, tokens: Tokens, folder: Folder, settings: Settings) -> None:
    """Create the admin token at the ledger's first start, on one of the nodes that start."""
    folder.require_private(folder.path / ADMIN_FILE)
    with closing(ledger.event_store.leader_lock("first start")) as leader_lock:
        for _ in range(FIRST_START_CHECKS):
            if tokens.listing():
                return
            is_ours = leader_lock.is_held()
            tokens.reload()
            if is_ours and not tokens.listing():
                _adopt_admin(ledger, tokens, folder, settings)
            elif not is_ours:
                Event().wait(FIRST_START_PAUSE_SECONDS)
    raise StartRefused("Another node takes too long to create the first token: try again.")


def _adopt_admin(ledger: Ledger, tokens: Tokens, folder: Folder, settings: Settings) -> None:
    secret = admin_secret(folder, settings.token)
    context = ledger.context("first start", actor=Actor("jobledger", "system"))
    tokens.adopt(secret, ADMIN, "admin", "user", None, context)


def _require_same_key(ledger: Ledger, key: str, folder: Folder) -> None:
    """Refuse a key that the other nodes do not have: they would refuse each other's run tokens."""
    digest = sha256(key.encode()).hexdigest()
    if ledger.event_store.shared_setting("webhook key", digest) != digest:
        raise StartRefused(
            f"{folder.path / WEBHOOK_FILE} differs from the key of the ledger's other nodes: copy "
            "theirs there, or share their data folder."
        )


def _work(
    ledger: Ledger, key: str, secrets: Secrets, settings: Settings, sandbox: Path | None
) -> ExecutorSettings | ExecutorPool:
    """What executes runs; in a sandbox they end as recorded in the fork."""
    if sandbox is not None:
        return ExecutorPool(RecordedOutcomes(sandbox, ledger.clock), ledger.job_cache.due.notify)
    return ExecutorSettings(
        key,
        settings.agent_url,
        AllowList.parse(",".join(settings.http_allow)),
        settings.commands,
        secrets=secrets,
    )
