"""Where a run stands and what it has cost, in lines for the terminal."""

from __future__ import annotations

from decimal import Decimal

from tutelage.progress import duration
from tutelage.report.gathering.overview import cost
from tutelage.report.gathering.status import gather
from tutelage.report.reading import Reading
from tutelage.report.shapes import TeacherScore
from tutelage.report.terminal import score_text
from tutelage.teacher.books.prices import money_text, to_pico


def standing_text(reading: Reading) -> str:
    """Where the run stands, as the page says it."""
    return str(gather(reading).data["sentence"])


def teacher_text(reading: Reading) -> str | None:
    """The teacher's own accuracy; None if it has not been measured, or has none."""
    found = reading.value(reading.folder / "teacher.json", TeacherScore)
    if not found or not {"accuracy", "total", "interval"} <= found.keys():
        return None
    return f"The teacher itself, {found.get('teacher', 'of no name')}: test {score_text(dict(found))}."


def cost_text(reading: Reading) -> str:
    """What the run has cost so far, by its ledger and its journal; what nobody says is unknown, and never nothing."""
    found = cost(reading)
    seconds = sum(found["time"]["stages"].values())
    spent = f"{duration(seconds)} of work" if found["time"]["stages"] else "no time that is noted"
    asked = found["teacher"]
    if asked is None:
        return f"Cost: {spent}; the teacher has not been asked."
    uncounted = "tokens not counted" if found["free"] else "an unknown number of tokens"
    tokens = uncounted if asked["tokens"] is None else f"{asked['tokens']:,} tokens"
    money = "an unknown sum" if asked["money"] is None else _money(asked["money"]) or "nothing"
    parts = [f"{asked['requests']:,} requests to the teacher, {tokens}, paid {money}"]
    if asked["unknown"]:
        parts.append(f"without the unknown cost of {asked['unknown']:,} calls")
    if maybe := _money(asked["maybe_money"]):
        parts.append(f"perhaps {maybe} more")
    return f"Cost: {spent}; {', '.join(parts)}."


def _money(amount: str) -> str:
    return money_text(to_pico(Decimal(amount))) if Decimal(amount) else ""
