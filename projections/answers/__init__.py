"""Every question to one ledger, answered alike in a process, over HTTP and on the command line."""

from projections.answers.answers import Answers

__all__ = ["Answers"]
