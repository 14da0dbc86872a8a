"""Sums by round, and one question's conversation."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

from tests.teacher.asking import LEGS, ScriptedTeacher, numbered, request
from tutelage.records import Mistake
from tutelage.teacher.asking import ask
from tutelage.teacher.books.accounts import conversation, totals
from tutelage.teacher.books.entries import Begun, Charge, Ended
from tutelage.teacher.books.ledger import Ledger
from tutelage.teacher.books.prices import PICO
from tutelage.teacher.protocol import Call, Outcome, Request, Sample, Usage, sample_keys

TEACHER = ScriptedTeacher()


def call(ledger: Ledger, one: Request, outcome: Outcome, cost: int | None = None, charge: Charge | None = None) -> None:
    number = ledger.number()
    begun = Begun(number, TEACHER, Call(one, tuple(range(one.replies)), 100, 50), "direct", Charge(150, 9 * PICO))
    ledger.write([begun, Ended(number, sample_keys(TEACHER, one), outcome, cost, charge or Charge())])


def test_an_empty_ledger_comes_to_nothing(tmp_path: Path) -> None:
    with Ledger(tmp_path / "teacher.sqlite") as ledger:
        assert totals(ledger) == {}
        assert conversation(ledger, "own/1") == []


def test_each_kind_is_counted_as_what_it_is(tmp_path: Path) -> None:
    with Ledger(tmp_path / "teacher.sqlite") as ledger:
        first, second, third = (request(numbered(place)) for place in range(3))
        call(ledger, first, Outcome({}, failure="rate limit", detail="HTTP 429: Slow down"))
        call(ledger, first, Outcome({}, failure="timed out", detail="timed out"), charge=Charge(150, 9 * PICO))
        samples = {0: Sample("cut", "a", "length"), 1: Sample("refused", None, "stop")}
        call(ledger, first, Outcome(samples, Usage(40, 12, 30)), PICO // 4, Charge(52, PICO // 4))
        call(ledger, second, Outcome({0: Sample("empty", None)}), charge=Charge(150, 9 * PICO))
        call(ledger, third, Outcome({}, failure="timed out", detail="timed out"), charge=Charge(150, 9 * PICO))
        call(ledger, request(LEGS, number=2), Outcome({0: Sample("text", "b")}, Usage(7, 3)), 2 * PICO, Charge(10, 2))
        one, two = totals(ledger).values()
    assert (one.requests, one.answered, one.set_aside, one.calls, one.in_flight) == (3, 2, 1, 5, 0)
    assert (one.samples, one.cut, one.refused, one.empty, one.from_cache) == (3, 1, 1, 1, 0)
    assert one.failures == {"timed out": 2, "rate limit": 1}
    assert list(one.failures) == ["timed out", "rate limit"]
    assert (one.prompt_tokens, one.completion_tokens, one.cached_tokens, one.without_usage) == (40, 12, 30, 1)
    assert (one.cost, one.cost_unknown) == (Decimal("0.25"), 1)
    assert (one.maybe_tokens, one.maybe_cost) == (450, Decimal(27))
    assert (two.requests, two.cost, two.cached_tokens, two.maybe_tokens) == (1, Decimal(2), None, 0)


def test_a_teacher_that_costs_nothing_has_no_unknown_cost(tmp_path: Path) -> None:
    with Ledger(tmp_path / "teacher.sqlite") as ledger:
        ask(ScriptedTeacher(failing=["own/1"]), [request(numbered(place)) for place in range(3)], ledger)
        total = totals(ledger)[1]
    assert (total.answered, total.set_aside, total.failures) == (2, 1, {"no reply": 1})
    assert (total.cost, total.cost_unknown, total.prompt_tokens, total.samples) == (None, 0, 14, 4)


def test_a_call_in_flight_is_seen(tmp_path: Path) -> None:
    with Ledger(tmp_path / "teacher.sqlite") as ledger:
        begun = Begun(ledger.number(), TEACHER, Call(request(LEGS), (0, 1), 100, 50), "direct", Charge(150, 9 * PICO))
        ledger.write([begun])
        total = totals(ledger)[1]
        assert (total.in_flight, total.answered, total.maybe_tokens, total.maybe_cost) == (1, 0, 150, Decimal(9))
        [entry] = conversation(ledger, LEGS.id)
        assert (entry.ended, entry.failure, entry.samples) == (None, None, {})


def test_a_conversation_is_told_whole_and_in_order(tmp_path: Path) -> None:
    mistake = Mistake(LEGS.id, "3 * 4 = 11.", "11")
    told = {0: Sample("text", "«ü»\n2", "stop", "hm"), 1: Sample("empty", None)}
    with Ledger(tmp_path / "teacher.sqlite") as ledger:
        call(ledger, request(LEGS), Outcome({}, failure="overloaded", detail="HTTP 503"))
        call(ledger, request(numbered(1)), Outcome({0: Sample("text", "not this one")}))
        call(ledger, request(LEGS, mistake=mistake, number=2), Outcome(told, Usage(5, 6)), 3)
        first, second = conversation(ledger, LEGS.id)
    assert (first.failure, first.detail, first.mistake, first.round) == ("overloaded", "HTTP 503", None, 1)
    assert second.samples == told
    assert second.mistake == {"question_id": LEGS.id, "rationale": "3 * 4 = 11.", "answer": "11"}
    assert (second.teacher, second.road, second.usage, second.cost) == (
        "scripted",
        "direct",
        Usage(5, 6),
        Decimal(3) / PICO,
    )
    assert isinstance(second.prompt, list)
    assert LEGS.text in second.prompt[-1]["content"]
    assert second.places == (0, 1)
