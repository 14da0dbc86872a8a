"""What people look at of the teacher: the ledger's sums, and the conversation about one question.

What models and teachers wrote is shown as plain text, never as markup, with its control characters spelt out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal

from rich import box
from rich.table import Table
from rich.text import Text

from tutelage.progress import plain
from tutelage.teacher.books.accounts import Entry, Totals
from tutelage.teacher.books.prices import money_text, to_pico
from tutelage.teacher.protocol import Sample

UNKNOWN, NOTHING = "unknown", "-"
_FOLD = 100
_COUNTS = {
    "requests": "requests",
    "answered": "  answered",
    "set_aside": "  set aside",
    "calls": "calls",
    "in_flight": "  in flight, or cut off by a kill",
    "samples": "samples",
    "cut": "  cut off by the limit",
    "refused": "  refused",
    "empty": "  empty",
    "from_cache": "  from the shared cache",
}
_SELDOM = ("in_flight", "from_cache")
"""Shown only where there are any."""


def ledger_table(totals: Mapping[int, Totals]) -> Table:
    """What was asked, answered and paid: a column for each round and one for all."""
    columns = [[one] for one in totals.values()]
    if len(columns) > 1:
        columns.append([*totals.values()])
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("")
    for heading in [*(f"round {number}" for number in totals), "all"][: len(columns)]:
        table.add_column(heading, justify="right")
    for label, cells in _ledger_rows(columns):
        table.add_row(label, *cells)
    return table


def _ledger_rows(columns: Sequence[Sequence[Totals]]) -> Iterator[tuple[str, list[str]]]:
    for name, label in _COUNTS.items():
        counts = [sum(getattr(one, name) for one in column) for column in columns]
        if any(counts) or name not in _SELDOM:
            yield label, [f"{count:,}" for count in counts]
        if name == "in_flight":
            yield from _failure_rows(columns)
    yield "tokens of prompts", [_tokens(column, "prompt_tokens") for column in columns]
    if any(one.cached_tokens for column in columns for one in column):
        yield "  cached by the teacher", [_tokens(column, "cached_tokens", told=True) for column in columns]
    yield "tokens of replies", [_tokens(column, "completion_tokens") for column in columns]
    yield "paid", [paid_text(column) for column in columns]
    yield "perhaps paid on top", [maybe_text(column) for column in columns]


def _failure_rows(columns: Sequence[Sequence[Totals]]) -> Iterator[tuple[str, list[str]]]:
    for kind in dict.fromkeys(kind for column in columns for one in column for kind in one.failures):
        counts = [sum(one.failures.get(kind, 0) for one in column) for column in columns]
        yield f"  failed: {kind}", [f"{count:,}" for count in counts]


def _tokens(column: Sequence[Totals], name: str, told: bool = False) -> str:
    unknown = 0 if told else sum(one.without_usage for one in column)
    return _known([getattr(one, name) for one in column], unknown, "{:,}".format)


def paid_text(column: Sequence[Totals]) -> str:
    """What rounds have cost as far as it is known; NOTHING where no call cost anything."""
    paid = [None if one.cost is None else to_pico(one.cost) for one in column]
    return _known(paid, sum(one.cost_unknown for one in column), money_text)


def _known(amounts: Sequence[int | None], unknown: int, written: Callable[[int], str]) -> str:
    """The sum of what is known; "unknown" where calls do not say, and never 0 for that."""
    known = [amount for amount in amounts if amount is not None]
    if not known:
        return UNKNOWN if unknown else NOTHING
    return written(sum(known)) + (f" + {UNKNOWN}" if unknown else "")


def maybe_text(totals: Sequence[Totals]) -> str:
    """What may have been paid on top: in money, else in tokens; NOTHING if nothing may."""
    money, tokens = sum((one.maybe_cost for one in totals), Decimal(0)), sum(one.maybe_tokens for one in totals)
    if money:
        return money_text(to_pico(money))
    return f"{tokens:,} tokens" if tokens else NOTHING


def conversation_text(entries: Sequence[Entry]) -> Text:
    """All calls about one question: each prompt once, and each call with what came of it."""
    text, shown = Text(), None
    for entry in entries:
        if entry.prompt != shown:
            shown = entry.prompt
            _add_prompt(text, entry.prompt)
        text.append(f"Call {entry.number}, round {entry.round}, {plain(entry.teacher)}, {entry.road}: ", style="bold")
        text.append(_outcome(entry) + "\n")
        for place in entry.places:
            if place in entry.samples:
                _add_sample(text, place, entry.samples[place])
        text.append("\n")
    text.rstrip()
    return text


def _add_prompt(text: Text, prompt: str | Sequence[Mapping[str, str]]) -> None:
    parts = [("prompt", prompt)] if isinstance(prompt, str) else [(one["role"], one["content"]) for one in prompt]
    for role, content in parts:
        text.append(f"[{plain(role)}] ", style="bold blue")
        text.append(plain(content) + "\n")
    text.append("\n")


def _outcome(entry: Entry) -> str:
    what = "in flight, or cut off by a kill" if entry.ended is None else plain(entry.failure or "answered")
    said = f" ({_folded(entry.detail, 300)})" if entry.detail else ""
    tokens = [entry.usage.prompt_tokens, entry.usage.completion_tokens]
    counted = "" if None in tokens else f", {tokens[0]:,} + {tokens[1]:,} tokens"
    paid = "" if entry.cost is None else f", paid {money_text(to_pico(entry.cost))}"
    return f"{what}{said}{counted}{paid}, begun {entry.begun}" + (f", ended {entry.ended}" if entry.ended else "")


def _add_sample(text: Text, place: int, sample: Sample) -> None:
    reason = f", {plain(sample.finish_reason)}" if sample.finish_reason else ""
    text.append(f"[sample {place}, {sample.kind}{reason}] ", style="bold green")
    if sample.thinking is not None:
        text.append(f"(thought: {_folded(sample.thinking, _FOLD)}) ", style="dim")
    text.append(plain(sample.text) if sample.text is not None else "(nothing)")
    text.append("\n")


def _folded(words: str, limit: int) -> str:
    line = " ".join(plain(words).split())
    return line if len(line) <= limit else f"{line[:limit]} ... {len(words):,} characters"
