"""The other policy: keys that every job would have had, and failure classes that none would have
counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ledger.domain.job.breaker import COUNTABLE, Policy, parse_policy
from ledger.errors import InvalidField

ANSWERABLE = ("trip_after", "backoff_seconds", "counts", "max_losses", "probe_after_seconds")
"""The policy keys whose effect follows from the recorded runs."""


@dataclass(frozen=True, slots=True)
class PolicyChange:
    """`policy` is merged into what each job had at the time; the classes in `not_counts` are taken
    out of what it then counts.
    """

    policy: Mapping[str, Any] = field(default_factory=dict)
    not_counts: Sequence[str] = ()

    def apply_to(self, recorded: Policy) -> Policy:
        """The policy a job would have had instead of the recorded one."""
        changed = parse_policy(self.policy, is_one_shot=False, before=recorded)
        counts = tuple(name for name in changed.counts if name not in self.not_counts)
        return replace(changed, counts=counts)

    def require_answerable(self) -> None:
        """Raise UnknownField for an unknown key, and InvalidField for an unknown class, a value out
        of range, a key whose effect does not follow from recorded runs, or no change at all.
        """
        parse_policy(self.policy, is_one_shot=False)
        for name in self.not_counts:
            if name not in COUNTABLE:
                raise InvalidField("not_counts", f"must be a list out of {', '.join(COUNTABLE)}")
        if not self.policy and not self.not_counts:
            raise InvalidField(
                "policy", f"must change something: {', '.join(ANSWERABLE)}; or give not_counts"
            )
        for key in self.policy:
            if key not in ANSWERABLE:
                raise InvalidField(
                    f"policy.{key}",
                    f"cannot be answered from recorded runs; these can: {', '.join(ANSWERABLE)}",
                )
