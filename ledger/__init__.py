"""An event-sourced job ledger: `Ledger` holds the book, `Dispatcher` runs what is due."""

from ledger.dispatch.dispatcher import Dispatcher
from ledger.dispatch.executors.registry import ExecutorSettings
from ledger.store.application import Answer, Call, Ledger, Limits

__all__ = ["Answer", "Call", "Dispatcher", "ExecutorSettings", "Ledger", "Limits"]
