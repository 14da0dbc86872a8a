"""When a run stops, and which round it keeps."""

from __future__ import annotations

import pytest

from tutelage.config import RoundsSettings
from tutelage.rounds.plateau import decide


@pytest.mark.parametrize(
    ("held_out", "patience", "smallest", "best", "stops"),
    [
        ([0.1], 1, 0.0, 0, None),
        ([0.1, 0.3], 1, 0.0, 1, None),
        ([0.1, 0.3, 0.3], 1, 0.0, 2, "plateau"),  # as good is no gain, but the later one was taught more
        ([0.1, 0.3, 0.2, 0.3], 3, 0.0, 3, None),
        ([0.3, 0.3], 1, 0.0, 0, "plateau"),  # teaching that did nothing, too, hands over the untrained student
        ([0.1, 0.3, 0.2], 2, 0.0, 1, None),
        ([0.1, 0.3, 0.2, 0.25], 2, 0.0, 1, "plateau"),
        ([0.1, 0.3, 0.2, 0.4], 2, 0.0, 3, None),
        ([0.3, 0.1], 1, 0.0, 0, "plateau"),  # teaching that only hurt hands over the untrained student
        ([0.1, 0.3, 0.31], 1, 0.05, 2, "plateau"),  # better, so kept, but too little to go on
        ([0.25, 0.30], 1, 0.05, 1, None),  # a gain of 0.05, whatever floating point makes of it
        ([0.1, 0.2, 0.3, 0.4, 0.5], 1, 0.0, 4, "limit"),
    ],
)
def test_decision(held_out: list[float], patience: int, smallest: float, best: int, stops: str | None) -> None:
    decision = decide(held_out, RoundsSettings(limit=4, patience=patience, smallest_gain=smallest))
    assert decision.best == best
    assert (decision.reason or "None").startswith(str(stops))
