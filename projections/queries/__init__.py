"""Every query on one ledger, answered alike in a process, over HTTP and on the command line."""

from projections.queries.service import Queries

__all__ = ["Queries"]
