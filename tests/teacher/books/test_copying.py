"""A round's calls in another run's ledger: what they brought, and what they cost."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

from tests.teacher.asking import ScriptedTeacher, numbered, request
from tutelage.teacher.asking import ask
from tutelage.teacher.books.accounts import conversation, totals
from tutelage.teacher.books.copying import copy_round
from tutelage.teacher.books.entries import Begun, Charge, Ended
from tutelage.teacher.books.ledger import Ledger
from tutelage.teacher.protocol import Call, Outcome, Sample, Usage


def test_a_round_is_known_and_costs_what_it_did(tmp_path: Path) -> None:
    teacher = ScriptedTeacher(failing=["own/2"])
    first = [request(numbered(place)) for place in range(3)]
    with Ledger(tmp_path / "there.sqlite") as there:
        ask(teacher, first, there)
        ask(teacher, [request(numbered(0), number=2)], there)
        paid = request(numbered(9), replies=1)
        number = there.number()
        there.write(
            [
                Begun(number, teacher, Call(paid, (0,), 9, 9), "direct", Charge(18, 500)),
                Ended(number, ["k"], Outcome({0: Sample("text", "8")}, Usage(5, 4)), 300, Charge(9, 300)),
                Begun(there.number(), teacher, Call(request(numbered(8)), (0,), 9, 9), "direct", Charge(18, 500)),
            ]
        )
        told, said = totals(there), conversation(there, "own/1")
        replies = [there.reply(teacher, one) for one in first]
    with Ledger(tmp_path / "here.sqlite") as here:
        ask(ScriptedTeacher(), [request(numbered(5), number=3)], here)  # another round has numbers of its own
    for _ in range(2):  # the second time there is nothing left to do
        copy_round(tmp_path / "there.sqlite", tmp_path / "here.sqlite", 1)
    with Ledger(tmp_path / "here.sqlite") as here:
        assert set(totals(here)) == {1, 3}
        copied = totals(here)[1]
        assert (copied.calls, copied.in_flight) == (told[1].calls - 1, 0)  # what has no end yet is not taken
        assert (copied.samples, copied.failures) == (told[1].samples, told[1].failures)
        assert copied.cost == told[1].cost == Decimal("0.0000000003")
        assert [here.reply(teacher, one) for one in first] == replies
        [entry] = conversation(here, "own/1")
        assert (entry.prompt, entry.samples, entry.usage) == (said[0].prompt, said[0].samples, said[0].usage)
        assert here.spent().requests == 1
        asked_before = len(teacher.asked)
        ask(teacher, [first[0], first[1]], here)
        assert len(teacher.asked) == asked_before


def test_a_round_that_was_cut_short_gets_what_it_lacks(tmp_path: Path) -> None:
    teacher, asked = ScriptedTeacher(), [request(numbered(place)) for place in range(3)]
    with Ledger(tmp_path / "there.sqlite") as there:
        ask(teacher, asked, there)
        told, replies = totals(there)[1], [there.reply(teacher, one) for one in asked]
    with Ledger(tmp_path / "here.sqlite") as here:
        ask(ScriptedTeacher(), asked[1:2], here)
    for _ in range(2):
        copy_round(tmp_path / "there.sqlite", tmp_path / "here.sqlite", 1)
    with Ledger(tmp_path / "here.sqlite") as here:
        assert totals(here)[1] == told  # one of its own and two of the other's
        assert [here.reply(teacher, one) for one in asked] == replies


def test_judgements_stay_where_they_are(tmp_path: Path) -> None:
    judged = [replace(request(numbered(place)), kind="judgement") for place in range(3)]
    with Ledger(tmp_path / "there.sqlite") as there:
        ask(ScriptedTeacher(), [request(numbered(0)), *judged], there)
    with Ledger(tmp_path / "here.sqlite") as here:
        ask(ScriptedTeacher(), judged[:2], here)  # of the same round, and so of the same numbers
    copy_round(tmp_path / "there.sqlite", tmp_path / "here.sqlite", 1)
    with Ledger(tmp_path / "here.sqlite") as here:
        assert totals(here, "feedback")[1].calls == 1
        assert totals(here, "judgement")[1].calls == 2
        assert here.reply(ScriptedTeacher(), request(numbered(0))).texts
