"""An event-sourced job ledger: `Ledger` takes commands and answers queries, `Dispatcher` runs what
is due.

The names below are loaded on first use: a program that only reads a ledger does not import the
executors.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ledger.application.ledger import CommandContext, CommandResult, Ledger, Limits
    from ledger.dispatch.dispatcher import Dispatcher
    from ledger.dispatch.executors.registry import ExecutorSettings
    from ledger.dispatch.recovery_driver import RecoveryDriver
    from ledger.domain.recovery.plan import Terms
    from ledger.domain.recovery.selection import Selector
    from ledger.store.audit_query import AuditQuery

__all__ = [
    "CommandResult",
    "AuditQuery",
    "CommandContext",
    "Dispatcher",
    "ExecutorSettings",
    "Ledger",
    "Limits",
    "RecoveryDriver",
    "Selector",
    "Terms",
]

_HOMES = {
    "CommandResult": "ledger.application.ledger",
    "AuditQuery": "ledger.store.audit_query",
    "CommandContext": "ledger.application.ledger",
    "Dispatcher": "ledger.dispatch.dispatcher",
    "ExecutorSettings": "ledger.dispatch.executors.registry",
    "Ledger": "ledger.application.ledger",
    "Limits": "ledger.application.ledger",
    "RecoveryDriver": "ledger.dispatch.recovery_driver",
    "Selector": "ledger.domain.recovery.selection",
    "Terms": "ledger.domain.recovery.plan",
}


def __getattr__(name: str) -> object:
    """Load a public name from the module it lives in (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'ledger' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
