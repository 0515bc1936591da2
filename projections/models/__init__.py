"""The read models: each a pure function from events to rows, and the queries on its rows."""

from __future__ import annotations

from projections.models import runs
from projections.models.gaps import model as gaps
from projections.models.jobs.checkpoints import JobCheckpoints
from projections.models.resumes import model as resumes
from projections.models.storms import model as storms
from projections.stores.model import Model

MODELS: tuple[Model, ...] = (JobCheckpoints(), runs, storms, resumes, gaps)
"""Every model that a runner updates."""
