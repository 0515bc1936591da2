"""The read side of a ledger: read models made from its events, and every query on it (`Queries`).

The public names are loaded on first use: a process that only updates read models does not load the
queries.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from projections.history.audit import TimeRange
    from projections.models.gaps.model import GapFilter
    from projections.models.jobs.queries import JobFilter
    from projections.models.resumes.queries import ResumeFilter
    from projections.queries import Queries

__all__ = ["Queries", "GapFilter", "JobFilter", "ResumeFilter", "TimeRange"]

_HOMES = {
    "Queries": "projections.queries",
    "GapFilter": "projections.models.gaps.model",
    "JobFilter": "projections.models.jobs.queries",
    "ResumeFilter": "projections.models.resumes.queries",
    "TimeRange": "projections.history.audit",
}


def __getattr__(name: str) -> object:
    """Load a public name from the module it lives in (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'projections' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
