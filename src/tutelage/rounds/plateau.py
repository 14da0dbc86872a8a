"""When to stop, and which round to keep (Algorithm 1): by held-out accuracy, never by the test split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tutelage.config import RoundsSettings

ROUNDING = 1e-9
"""0.30 - 0.25 is a little less than 0.05 in floating point, and still a gain of 0.05."""


@dataclass(frozen=True, slots=True)
class Decision:
    """best: the round to hand over, 0 for the untrained student. reason: why to stop; None to go on."""

    best: int
    reason: str | None


def decide(held_out: Sequence[float], settings: RoundsSettings) -> Decision:
    """Whether another round follows, given the held-out accuracy of every round so far, round 0 first.

    The best round is the most accurate one, of equals the latest: it was taught most, and the held-out questions are
    too few to tell equals apart (docs/results.md has what that is worth). No better than the untrained student is no
    reason to part from it. A round counts as a gain when it beats the best before it, and by `smallest_gain` at least.
    """
    best, without_gain = 0, 0
    for number, accuracy in enumerate(held_out):
        if number == 0:
            continue
        gain = accuracy - held_out[best]
        without_gain = 0 if gain > 0 and gain >= settings.smallest_gain - ROUNDING else without_gain + 1
        if gain > 0 or (gain == 0 and best > 0):
            best = number
    last = len(held_out) - 1
    if without_gain >= settings.patience:
        rounds = "round" if settings.patience == 1 else "rounds"
        return Decision(best, f"plateau: no gain on the held-out part in the last {without_gain} {rounds}")
    if last >= settings.limit:
        return Decision(best, f"limit: {settings.limit} rounds, as the recipe says")
    return Decision(best, None)
