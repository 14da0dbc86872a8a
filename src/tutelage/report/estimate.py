"""An estimate as a table with what it goes by, and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tutelage.progress import plain
from tutelage.report.teacher import UNKNOWN
from tutelage.rounds.estimate.calculation import CapEstimate, Estimate, RoundEstimate
from tutelage.teacher.books.prices import exact_money, money_text


def estimate_table(estimate: Estimate) -> RenderableType:
    """The estimate, one line a round, with what it goes by and the caps below."""
    lines = ["What this goes by:", *(f"- {line}" for line in estimate.assumptions)]
    if estimate.free:
        table = _table(("round", "requests"), ("by",))
        for one in estimate.rounds:
            table.add_row(str(one.round), f"{one.requests:,}", one.by)
        costs_nothing = f"The teacher {plain(estimate.teacher)} costs nothing: it is on this machine."
        return Group(table, Text("\n".join([costs_nothing, *lines])))
    table = _table(("round", "requests", "calls", "prompt\ntokens", "completion\ntokens", "money"), ("by",))
    for one in estimate.rounds:
        table.add_row(str(one.round), *_estimate_cells(one), one.by)
    table.add_section()
    table.add_row("all", *_estimate_cells(total(estimate.rounds)), "")
    return Group(table, Text("\n".join([*lines, _worst_text(estimate), *_caps_text(estimate.caps)])))


def total(rounds: Sequence[RoundEstimate]) -> RoundEstimate:
    """The sum of all rounds; money that is unknown in one is unknown."""

    def money(amounts: Iterable[int | None]) -> int | None:
        known = list(amounts)
        return None if None in known else sum(amount for amount in known if amount is not None)

    return RoundEstimate(
        round=0,
        requests=sum(one.requests for one in rounds),
        calls=sum(one.calls for one in rounds),
        prompt_tokens=sum(one.prompt_tokens for one in rounds),
        completion_tokens=sum(one.completion_tokens for one in rounds),
        cost=money(one.cost for one in rounds),
        worst_tokens=sum(one.worst_tokens for one in rounds),
        worst_cost=money(one.worst_cost for one in rounds),
        by="assumed",
    )


def _estimate_cells(one: RoundEstimate) -> list[str]:
    counts = (one.requests, one.calls, one.prompt_tokens, one.completion_tokens)
    return [*(f"{count:,}" for count in counts), _money(one.cost)]


def _money(pico: int | None) -> str:
    return UNKNOWN if pico is None else money_text(pico)


def _worst_text(estimate: Estimate) -> str:
    worst = total(estimate.rounds)
    return (
        "At the worst, with every reply as long as it may be and a mistake for every question: "
        f"{worst.worst_tokens:,} tokens (money: {_money(worst.worst_cost)})."
    )


def _caps_text(caps: Sequence[CapEstimate]) -> Iterator[str]:
    if not caps:
        yield "No cap is set; teacher.budget.money, .tokens and .requests set them."
    for one in caps:
        written = exact_money if one.key.endswith("money") else "{:,}".format
        cap = f"The cap {one.key} = {written(one.cap)}"
        if one.estimated is None:
            yield f"{cap}: a run refuses to start under it, since the prices are unknown."
        elif one.reached_in is None:
            yield f"{cap}: the estimate stays below it."
        else:
            yield (
                f"{cap}: the estimate reaches it in round {one.reached_in}. A run stops there, and goes on when the "
                "cap is raised."
            )


def estimate_json(estimate: Estimate) -> dict[str, Any]:
    """The estimate as JSON-able values; money as a decimal in a string, null where it is unknown."""

    def row(one: RoundEstimate) -> dict[str, Any]:
        money = {name: _exact(getattr(one, name)) for name in ("cost", "worst_cost")}
        return {**asdict(one), **money}

    whole = row(total(estimate.rounds))
    prices = None if estimate.prices is None else {name: str(one) for name, one in asdict(estimate.prices).items()}
    return {
        "teacher": estimate.teacher,
        "free": estimate.free,
        "rounds": [row(one) for one in estimate.rounds],
        "total": {name: value for name, value in whole.items() if name not in ("round", "by")},
        "caps": [_cap_json(one) for one in estimate.caps],
        "prices": prices,
        "assumptions": list(estimate.assumptions),
    }


def _cap_json(one: CapEstimate) -> dict[str, Any]:
    money = one.key.endswith("money")
    return {
        "key": one.key,
        "cap": _exact(one.cap) if money else one.cap,
        "estimated": _exact(one.estimated) if money else one.estimated,
        "stays_below": None if one.estimated is None else one.reached_in is None,
        "reached_in": one.reached_in,
    }


def _exact(pico: int | None) -> str | None:
    return None if pico is None else exact_money(pico).replace(",", "")


def _table(numbers: Sequence[str], texts: Sequence[str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for heading in numbers:
        table.add_column(heading, justify="right")
    for heading in texts:
        table.add_column(heading)
    return table
