"""What a run cost, and what a point of accuracy cost: the teacher's tokens and money, and the device's seconds.

Only a gain that the data supports has a price: where the exact McNemar test finds none, the cost of a point is None.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from tutelage.evaluation.significance import Paired, is_gain
from tutelage.teacher.books.accounts import Totals


@dataclass(frozen=True, slots=True)
class TeacherCost:
    """What a teacher was asked for and paid. tokens: of prompts and replies; money: in the prices' unit, a decimal.

    Both are None where no call tells, and lower bounds where `unknown` calls do not. A teacher without a network behind
    it costs no money. maybe_money: what may have been paid on top, at the worst. from_cache: replies that another run
    paid, which are in none of these.
    """

    requests: int
    tokens: int | None
    money: str | None
    unknown: int
    maybe_money: str
    from_cache: int = 0


@dataclass(frozen=True, slots=True)
class DeviceTime:
    """Seconds by the journal. stages: of each stage; device: those of them in which the student's device worked, over
    all devices. interrupted: stages that were begun and never ended, whose seconds are not known and not in it.
    """

    stages: dict[str, float]
    device: float
    interrupted: int


@dataclass(frozen=True, slots=True)
class Cost:
    """What a round or a whole run cost, and gained.

    gained: its student against the one before, on the test questions; None for round 0. supported: whether that is a
    gain beyond chance. *_per_point: for each percentage point, None unless it is; tokens and money are None, too, where
    others paid for a part of the replies.
    """

    teacher: TeacherCost
    time: DeviceTime
    gained: Paired | None
    supported: bool
    tokens_per_point: float | None
    money_per_point: float | None
    seconds_per_point: float | None


def is_free(asked: Iterable[Totals]) -> bool:
    """Whether no network was behind any of what was asked."""
    return not any(one.from_network or one.from_cache for one in asked)


def teacher_cost(totals: Iterable[Totals]) -> TeacherCost:
    """The sum over what was asked."""
    asked = list(totals)
    counts = [count for one in asked for count in (one.prompt_tokens, one.completion_tokens) if count is not None]
    money = [one.cost for one in asked if one.cost is not None]
    free = is_free(asked)
    return TeacherCost(
        requests=sum(one.requests for one in asked),
        tokens=sum(counts) if counts or not asked else None,
        money=str(sum(money, Decimal(0))) if money or free else None,
        # A first teacher on this machine costs nothing, whatever the later rounds' does.
        unknown=sum(max(one.without_usage, one.cost_unknown) for one in asked if not is_free([one])),
        maybe_money=str(sum((one.maybe_cost for one in asked), Decimal(0))),
        from_cache=sum(one.from_cache for one in asked),
    )


def device_times(
    journal: Iterable[Mapping[str, Any]],
    waiting: Callable[[int], Collection[str]] = lambda _number: (),
    devices: int = 1,
) -> dict[int, DeviceTime]:
    """Each round's seconds. journal: its events. waiting: a round's stages in which the device has nothing to do."""
    seconds: dict[int, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    begun: set[tuple[int, str]] = set()
    interrupted: Counter[int] = Counter()
    for event in journal:
        if event.get("event") not in ("begin", "end"):
            continue
        number, stage = int(event["round"]), str(event["stage"])
        if event["event"] == "begin":
            interrupted[number] += (number, stage) in begun
            begun.add((number, stage))
        else:  # one that was taken over from another run has an end alone
            begun.discard((number, stage))
            seconds[number][stage] += float(event["seconds"])
    interrupted.update(number for number, _ in begun)
    return {
        number: DeviceTime(
            {stage: round(time, 3) for stage, time in seconds[number].items()},
            round(devices * sum(time for stage, time in seconds[number].items() if stage not in waiting(number)), 3),
            interrupted[number],
        )
        for number in sorted({*seconds, *interrupted})
    }


def whole_time(times: Iterable[DeviceTime]) -> DeviceTime:
    """The sum over rounds."""
    parts = list(times)
    stages: Counter[str] = Counter()
    for part in parts:
        stages.update(part.stages)
    device = round(sum(part.device for part in parts), 3)
    return DeviceTime(
        {stage: round(time, 3) for stage, time in stages.items()}, device, sum(part.interrupted for part in parts)
    )


def cost(teacher: TeacherCost, time: DeviceTime, gained: Paired | None) -> Cost:
    """The same with what a point came to."""
    points = 100 * gained.difference if gained is not None and is_gain(gained) else None

    def each(amount: float | None) -> float | None:
        return None if points is None or amount is None else amount / points

    tokens, money = teacher.tokens, None if teacher.money is None else float(teacher.money)
    if teacher.from_cache:
        tokens = money = None
    return Cost(teacher, time, gained, points is not None, each(tokens), each(money), each(time.device))
