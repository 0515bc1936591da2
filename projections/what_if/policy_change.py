"""Which other policy is asked for: keys that every job would have had, and failures that none would
have counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ledger.domain.job.breaker import COUNTABLE, Policy, parse_policy
from ledger.errors import InvalidField

WALKED = ("trip_after", "backoff_seconds", "counts", "max_losses", "probe_after_seconds")
"""The keys of a policy whose effect can be followed through what was recorded."""


@dataclass(frozen=True, slots=True)
class PolicyChange:
    """`policy` goes over what each job had at the time; the classes of `not_counts` are taken out
    of what it then counts.
    """

    policy: Mapping[str, Any] = field(default_factory=dict)
    not_counts: Sequence[str] = ()

    def over(self, recorded: Policy) -> Policy:
        """The policy that a job would have had instead of the recorded one."""
        wished = parse_policy(self.policy, is_one_shot=False, before=recorded)
        counts = tuple(name for name in wished.counts if name not in self.not_counts)
        return replace(wished, counts=counts)

    def require_walkable(self) -> None:
        """Refuse what cannot be asked for: nothing at all, an unknown key (UnknownField) or class,
        a value out of range, or a key whose effect on recorded runs nobody can tell (InvalidField).
        """
        parse_policy(self.policy, is_one_shot=False)
        for name in self.not_counts:
            if name not in COUNTABLE:
                raise InvalidField("not_counts", f"must be a list out of {', '.join(COUNTABLE)}")
        if not self.policy and not self.not_counts:
            raise InvalidField(
                "policy", f"must change something: {', '.join(WALKED)}; or give not_counts"
            )
        for key in self.policy:
            if key not in WALKED:
                raise InvalidField(
                    f"policy.{key}",
                    f"cannot be asked: what it would have changed is not in what was recorded; "
                    f"these can: {', '.join(WALKED)}",
                )
