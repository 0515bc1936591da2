"""The copies: what a ledger is asked, and what answers. `Answers` holds every question.

The names below are loaded when they are first asked for: who only keeps the copies does not pay for
the questions.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from projections.answers import Answers
    from projections.audit import Stretch
    from projections.gap_questions import GapFilter
    from projections.job_questions import JobFilter
    from projections.resume_questions import ResumeFilter

__all__ = ["Answers", "GapFilter", "JobFilter", "ResumeFilter", "Stretch"]

_HOMES = {
    "Answers": "projections.answers",
    "GapFilter": "projections.gap_questions",
    "JobFilter": "projections.job_questions",
    "ResumeFilter": "projections.resume_questions",
    "Stretch": "projections.audit",
}


def __getattr__(name: str) -> object:
    """Load a public name from the module it lives in (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'projections' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
