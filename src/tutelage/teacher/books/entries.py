"""What is written into a ledger: calls that leave, what came of them, and what they count for against the caps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from tutelage.teacher.protocol import Call, FailureKind, Outcome, Teacher

Road = Literal["direct", "batch", "free", "cache"]
"""How a call went: over the network at once, by the batch API, to a teacher that costs nothing, to a shared cache."""


@dataclass(frozen=True, slots=True)
class Charge:
    """What a call counts for against the caps. cost: in millionths of millionths (see `prices`)."""

    tokens: int = 0
    cost: int = 0


@dataclass(frozen=True, slots=True)
class Begun:
    """To be written: a call leaves. charge: the worst case. batch, keys: as in the table."""

    number: int
    teacher: Teacher
    call: Call
    road: Road
    charge: Charge = Charge()
    batch: str | None = None
    keys: Sequence[str] | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """To be written: what came of a call. keys: of its samples, by their places. cost: None if unknown."""

    number: int
    keys: Sequence[str] | Mapping[int, str]
    outcome: Outcome
    cost: int | None = None
    charge: Charge = Charge()


Entry = Begun | Ended


MAYBE_PAID: frozenset[FailureKind] = frozenset(
    ("broken connection", "timed out", "damaged reply", "no choices", "interrupted")
)
"""Failures after which the endpoint may ask for money all the same: it had the request, and may have answered it."""


def settled_charge(outcome: Outcome, worst: Charge, cost: int | None) -> Charge:
    """What a call counts for once it has ended. cost: of its usage, None if that or the prices are unknown."""
    usage = outcome.usage
    if usage.prompt_tokens is not None and usage.completion_tokens is not None:
        return Charge(usage.prompt_tokens + usage.completion_tokens, worst.cost if cost is None else cost)
    return worst if outcome.failure is None or outcome.failure in MAYBE_PAID else Charge()
