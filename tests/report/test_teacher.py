"""Estimates and ledgers as people see them: sums that add up, and nothing unknown shown as nothing."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from pathlib import Path

import pytest
from rich.console import Console, RenderableType

from tests.teacher.asking import ScriptedTeacher, numbered, request
from tutelage.progress import plain
from tutelage.records import Mistake
from tutelage.report.estimate import estimate_json, estimate_table
from tutelage.report.teacher import conversation_text, ledger_table
from tutelage.rounds.estimate.calculation import CapEstimate, Estimate, RoundEstimate
from tutelage.teacher.books.accounts import conversation, totals
from tutelage.teacher.books.entries import Begun, Charge, Ended, Entry
from tutelage.teacher.books.ledger import Ledger
from tutelage.teacher.books.prices import PICO, Prices
from tutelage.teacher.protocol import Call, FailureKind, Outcome, Request, Sample, Usage, sample_keys

TEACHER = ScriptedTeacher()
NOTHING, FREE = Usage(), Charge()
CENT = Decimal("0.01")
PRICES = Prices(15 * CENT, 60 * CENT, 8 * CENT, 8 * CENT, 30 * CENT, "the table of 2026-03")


def shown(thing: RenderableType, width: int = 120) -> str:
    console = Console(width=width, color_system=None, emoji=False)
    with console.capture() as capture:
        console.print(thing, markup=False)
    return capture.get()


def row_of(text: str, first: str) -> list[str]:
    return next(line.split() for line in text.splitlines() if line.split()[:1] == [first])


def two_rounds(cost: int | None) -> tuple[RoundEstimate, ...]:
    more = None if cost is None else 2 * cost
    return (
        RoundEstimate(1, 10, 40, 4_000, 1_000, cost, 9_000, more, "its prompts"),
        RoundEstimate(2, 9, 36, 5_000, 900, cost, 10_000, more, "assumed"),
    )


def test_an_estimate_has_a_line_a_round_a_sum_and_what_it_goes_by() -> None:
    caps = (
        CapEstimate("teacher.budget.tokens", 9_000, 10_900, 2),
        CapEstimate("teacher.budget.requests", 99, 76, None),
    )
    found = Estimate("m", False, two_rounds(PICO // 100), caps, PRICES, ("One assumption [bold].", "Another."))
    text = shown(estimate_table(found), 80)
    assert row_of(text, "1") == ["1", "10", "40", "4,000", "1,000", "0.010", "its", "prompts"]
    assert row_of(text, "all") == ["all", "19", "76", "9,000", "1,900", "0.020"]
    for words in (
        "- One assumption [bold].",
        "19,000 tokens (money: 0.040)",
        "The cap teacher.budget.tokens = 9,000: the estimate reaches it in round 2",
        "The cap teacher.budget.requests = 99: the estimate stays below it",
    ):
        assert words in " ".join(text.split())


def test_unknown_money_is_unknown_in_table_and_json() -> None:
    caps = (CapEstimate("teacher.budget.money", 5 * PICO, None, None),)
    found = Estimate("m", False, two_rounds(None), caps, None, ())
    text = " ".join(shown(estimate_table(found)).split())
    assert "1 10 40 4,000 1,000 unknown its prompts" in text
    assert "all 19 76 9,000 1,900 unknown" in text
    assert "tokens (money: unknown)" in text
    assert "The cap teacher.budget.money = 5.00: a run refuses to start under it" in text
    value = json.loads(json.dumps(estimate_json(found)))
    assert {one["cost"] for one in value["rounds"]} == {None}
    assert (value["total"]["cost"], value["prices"]) == (None, None)
    assert value["caps"] == [
        {
            "key": "teacher.budget.money",
            "cap": "5.00",
            "estimated": None,
            "stays_below": None,
            "reached_in": None,
        }
    ]


def test_an_estimate_as_json_is_exact() -> None:
    caps = (CapEstimate("teacher.budget.money", 5 * PICO, 2, None), CapEstimate("teacher.budget.tokens", 9, 10, 1))
    value = estimate_json(Estimate("m", False, two_rounds(1_234_000_000_000_001), caps, PRICES, ("One.",)))
    assert value["rounds"][0]["cost"] == "1234.000000000001"
    assert value["total"]["cost"] == "2468.000000000002"
    assert value["total"]["requests"] == 19
    assert value["prices"]["input"] == "0.15"
    assert [one["stays_below"] for one in value["caps"]] == [True, False]


def test_a_free_teacher_has_requests_alone() -> None:
    rounds = (RoundEstimate(1, 10, 10, 0, 0, 0, 0, 0, "its prompts"),)
    text = shown(estimate_table(Estimate("tutor", True, rounds, (), None, ())))
    assert "tutor costs nothing" in text
    assert "money" not in text
    assert row_of(text, "1") == ["1", "10", "its", "prompts"]


def write(
    ledger: Ledger,
    one: Request,
    samples: dict[int, Sample],
    usage: Usage = NOTHING,
    cost: int | None = None,
    failure: FailureKind | None = None,
    charge: Charge = FREE,
    detail: str = "",
) -> None:
    number = ledger.number()
    call = Call(one, tuple(range(one.replies)), 0, 0)
    ended = Ended(number, sample_keys(TEACHER, one), Outcome(samples, usage, failure, detail), cost, charge)
    entries: list[Entry] = [Begun(number, TEACHER, call, "direct", charge), ended]
    ledger.write(entries)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """Two rounds with everything that can happen."""
    ledger = Ledger(tmp_path / "teacher.sqlite")
    first, second = request(numbered(1)), request(numbered(2))
    write(ledger, first, {}, failure="rate limit", detail="Slow down [/]")
    write(ledger, first, {}, failure="timed out", charge=Charge(150, PICO // 2))
    both = {0: Sample("text", "[bold]1[/bold] + 1 = 2."), 1: Sample("cut", "\x1b[31mred", "length", "Hm.\n" * 500)}
    write(ledger, first, both, Usage(100, 20, 10), PICO // 4, charge=Charge(120, PICO // 4))
    write(ledger, second, {0: Sample("refused", None), 1: Sample("empty", None)})
    mistake = Mistake("own/1", "1 + 1 = 3.", "3")
    later = request(numbered(1), number=2, mistake=mistake)
    write(ledger, later, {0: Sample("text", "2."), 1: Sample("text", "Two.")}, Usage(200, 30), 1, charge=Charge(230, 1))
    return ledger


def cells_of(text: str, label: str) -> list[str]:
    """The numbers behind a label, which stand two spaces apart at least."""
    line = next(line for line in text.splitlines() if line.strip().startswith(label + "  "))
    return re.split(r"\s{2,}", line.strip())[1:]


def test_a_ledgers_table_counts_by_round_and_kind_in_80_columns(ledger: Ledger) -> None:
    with ledger:
        text = shown(ledger_table(totals(ledger)), 80)
    for label, cells in {
        "requests": ["2", "1", "3"],
        "answered": ["2", "1", "3"],
        "set aside": ["0", "0", "0"],
        "calls": ["4", "1", "5"],
        "failed: rate limit": ["1", "0", "1"],
        "failed: timed out": ["1", "0", "1"],
        "samples": ["4", "2", "6"],
        "cut off by the limit": ["1", "0", "1"],
        "refused": ["1", "0", "1"],
        "empty": ["1", "0", "1"],
        "tokens of prompts": ["100 + unknown", "200", "300 + unknown"],
        "cached by the teacher": ["10", "-", "10"],
        "tokens of replies": ["20 + unknown", "30", "50 + unknown"],
        "paid": ["0.25 + unknown", "0.0000000000010", "0.25 + unknown"],
        "perhaps paid on top": ["0.50", "-", "0.50"],
    }.items():
        assert cells_of(text, label) == cells, label
    assert "in flight" not in text
    assert "shared cache" not in text


def test_a_teacher_without_prices_has_paid_the_unknown(tmp_path: Path) -> None:
    with Ledger(tmp_path / "teacher.sqlite") as ledger:
        write(ledger, request(numbered(1)), {0: Sample("text", "a")}, Usage(5, 5), charge=Charge(10))
        text = shown(ledger_table(totals(ledger)))
    assert (cells_of(text, "paid"), cells_of(text, "tokens of prompts")) == (["unknown"], ["5"])
    assert "all" not in text.split()


def test_the_whole_conversation_about_a_question(ledger: Ledger) -> None:
    with ledger:
        text = shown(conversation_text(conversation(ledger, "own/1")), 200)
    assert text.count("[system]") == 2  # the prompt of each round, once
    assert text.index("Call 1, round 1, scripted, direct: rate limit (Slow down [/])") < text.index("Call 2")
    for words in (
        "Hint: The right answer is 2.",
        "Wrong Solution: 1 + 1 = 3.",
        "timed out",
        "answered, 100 + 20 tokens, paid 0.25",
        "[sample 0, text] [bold]1[/bold] + 1 = 2.",
        "[sample 1, cut, length] (thought: Hm. Hm. Hm.",
        "\\x1b[31mred",
    ):
        assert words in text
    assert "\x1b" not in text
    assert text.count("Hm.") < 50
    assert "own/2" not in text


def test_what_brought_no_text_says_so(ledger: Ledger) -> None:
    with ledger:
        text = shown(conversation_text(conversation(ledger, "own/2")))
    assert "[sample 0, refused] (nothing)" in text
    assert "[sample 1, empty] (nothing)" in text


def test_a_call_without_an_end_is_told(tmp_path: Path) -> None:
    with Ledger(tmp_path / "teacher.sqlite") as ledger:
        ledger.write([Begun(ledger.number(), TEACHER, Call(request(numbered(1)), (0, 1), 0, 0), "direct", Charge(9))])
        assert "in flight, or cut off by a kill" in shown(conversation_text(conversation(ledger, "own/1")))
        table = shown(ledger_table(totals(ledger)), 160)
    assert cells_of(table, "in flight, or cut off by a kill") == ["1"]
    assert cells_of(table, "perhaps paid on top") == ["9 tokens"]


def test_control_characters_cannot_steer_a_terminal() -> None:
    assert plain("a\tb\r\nc\x1b]0;x\x07\x9b\u202eé") == "a\tb\nc\\x1b]0;x\\x07\\x9b\\u202eé"
