"""Asking: nothing that was answered is asked again, nothing that came is lost."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.teacher.asking import LEGS, ScriptedTeacher, numbered, request
from tutelage.config import BudgetSettings
from tutelage.errors import BudgetError, TeacherError, WorkspaceError
from tutelage.teacher.asking import Spending, ask
from tutelage.teacher.books.accounts import totals
from tutelage.teacher.books.ledger import Ledger
from tutelage.teacher.books.prices import Prices
from tutelage.teacher.protocol import Call, Outcome, Recorder, Reply, Request, Sample, Usage, Wanted

REQUESTS = [request(numbered(place)) for place in range(5)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "teacher.sqlite"


def read(ledger: Ledger, teacher: ScriptedTeacher, requests: Sequence[Request]) -> list[Reply]:
    return [ledger.reply(teacher, one) for one in requests]


def test_replies_are_kept(path: Path) -> None:
    teacher = ScriptedTeacher()
    with Ledger(path) as ledger:
        ask(teacher, REQUESTS, ledger)
        replies = read(ledger, teacher, REQUESTS)
    assert [reply.texts for reply in replies] == [(f"reply to own/{place}", "«ü»\n2") for place in range(5)]
    assert replies[0].finish_reasons == ("stop", "length")
    with Ledger(path) as ledger:
        ask(teacher, REQUESTS, ledger)
        assert read(ledger, teacher, REQUESTS) == replies
    assert len(teacher.asked) == 5


def test_a_reply_is_on_the_disk_before_it_is_used(path: Path) -> None:
    seen = []

    def look(one: Request, reason: str | None) -> None:
        with sqlite3.connect(path) as other:
            seen.append(other.execute("SELECT count(DISTINCT call) FROM samples").fetchone()[0])

    with Ledger(path) as ledger:
        ask(ScriptedTeacher(), REQUESTS, ledger, on_settled=look)
    assert seen == [1, 2, 3, 4, 5]


def test_only_what_is_unknown_is_asked_and_failures_are_asked_again(path: Path) -> None:
    teacher = ScriptedTeacher(failing=["own/3"])
    with Ledger(path) as ledger:
        ask(teacher, REQUESTS[:4], ledger)
        assert ledger.reply(teacher, REQUESTS[3]) == Reply((), error="refused")
        teacher.asked.clear()
        teacher.failing.clear()
        calls: list[str] = []
        ask(teacher, REQUESTS, ledger, on_settled=lambda one, _: calls.append(one.question.id))
        assert sorted(teacher.asked) == ["own/3", "own/4"]
        assert [reply.error for reply in read(ledger, teacher, REQUESTS)] == [None] * 5
        assert sorted(calls) == [f"own/{place}" for place in range(5)]
        assert ledger.rows("SELECT detail FROM calls WHERE question = 'own/3' ORDER BY id") == [("refused",), (None,)]


def test_what_came_before_a_breakdown_stays(path: Path) -> None:
    teacher = ScriptedTeacher(breaks_after=3)
    with Ledger(path) as ledger:
        with pytest.raises(TeacherError):
            ask(teacher, REQUESTS, ledger)
        teacher.breaks_after = None
        teacher.asked.clear()
        ask(teacher, REQUESTS, ledger)
    assert sorted(teacher.asked) == ["own/0", "own/1"]


def test_the_teacher_is_closed_when_the_caller_is_interrupted(path: Path) -> None:
    teacher = ScriptedTeacher()

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with Ledger(path) as ledger, pytest.raises(KeyboardInterrupt):
        ask(teacher, REQUESTS, ledger, on_settled=interrupt)
    assert teacher.closed
    assert len(teacher.asked) == 1


def test_the_same_request_twice_is_asked_once(path: Path) -> None:
    teacher = ScriptedTeacher()
    calls = []
    with Ledger(path) as ledger:
        ask(teacher, [request(LEGS), request(LEGS)], ledger, on_settled=lambda *_: calls.append(1))
    assert len(teacher.asked) == 1
    assert len(calls) == 2


def test_a_full_disk_loses_nothing_that_was_written(path: Path) -> None:
    teacher = ScriptedTeacher()
    with Ledger(path) as ledger:
        ledger._connection.execute("PRAGMA max_page_count = 24")
        with pytest.raises(WorkspaceError, match="full"):
            ask(teacher, [request(numbered(place)) for place in range(200)], ledger)
    written = len(teacher.asked) - 1
    assert teacher.closed
    with Ledger(path) as ledger:
        assert totals(ledger)[1].answered == written > 0


def test_a_killed_process_leaves_a_ledger_with_all_it_was_told(path: Path) -> None:
    script = (
        "import sys; from pathlib import Path\n"
        "from asking import ScriptedTeacher, numbered, request\n"
        "from tutelage.teacher.books.ledger import Ledger\nfrom tutelage.teacher.asking import ask\n"
        "requests = [request(numbered(place)) for place in range(20000)]\n"
        "ledger = Ledger(Path(sys.argv[1]))\n"
        "ask(ScriptedTeacher(), requests, ledger, on_settled=lambda one, _: print(one.question.id, flush=True))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    with subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        told = [process.stdout.readline().strip() for _ in range(20)]
        process.send_signal(signal.SIGKILL)
        told += process.stdout.read().split()
    with Ledger(path) as ledger:
        teacher = ScriptedTeacher()
        ask(teacher, [request(numbered(int(one.removeprefix("own/")))) for one in told], ledger)
    assert teacher.asked == []


class Paid:
    """Behind a network that takes no time: each call asks for what is wanted, so many at once.

    partly: it gives the first sample only. failing: ids of questions whose first call fails.
    """

    name = "paid"

    def __init__(self, at_once: int = 3, partly: bool = False, failing: Sequence[str] = ()) -> None:
        self.identity: dict[str, object] = {"kind": "paid"}
        self.at_once, self.partly, self.failing = at_once, partly, set(failing)
        self.asked: list[tuple[str, tuple[int, ...]]] = []
        self.in_flight = self.most_in_flight = 0

    async def converse(
        self, wanted: Iterable[Wanted], recorder: Recorder, settled: Callable[[Request, str | None], None]
    ) -> None:
        line = iter(wanted)
        stops: list[BudgetError] = []

        async def work() -> None:
            while not stops and (one := next(line, None)) is not None:
                try:
                    await self._call(*one, recorder, settled)
                except BudgetError as error:
                    stops.append(error)

        await asyncio.gather(*(work() for _ in range(self.at_once)))
        if stops:
            raise stops[0]

    async def _call(
        self, one: Request, places: tuple[int, ...], recorder: Recorder, settled: Callable[[Request, str | None], None]
    ) -> None:
        number = await recorder.begin(Call(one, places, 100, 50 * len(places)))
        self.asked.append((one.question.id, places))
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        await asyncio.sleep(0)
        self.in_flight -= 1
        if one.question.id in self.failing:
            self.failing.discard(one.question.id)
            await recorder.end(number, Outcome({}, failure="timed out", detail="timed out"))
            settled(one, "timed out")
            return
        told = places[:1] if self.partly else places
        samples = {place: Sample("text", f"{one.question.id} {place}", "stop") for place in told}
        await recorder.end(number, Outcome(samples, Usage(40, 10 * len(told))))
        settled(one, None if told == places else "only one came")


def test_a_paid_teacher_is_asked_for_the_samples_that_are_missing(path: Path) -> None:
    teacher = Paid(partly=True, failing=["own/2"])
    reasons = []
    with Ledger(path) as ledger:
        ask(teacher, REQUESTS, ledger, on_settled=lambda one, reason: reasons.append((one.question.id, reason)))
        assert dict(reasons) == {
            **{f"own/{place}": "only one came" for place in (0, 1, 3, 4)},
            "own/2": "timed out",
        }
        assert ledger.reply(teacher, REQUESTS[2]) == Reply((), error="timed out")
        teacher.asked.clear()
        ask(teacher, REQUESTS, ledger)
        assert sorted(teacher.asked) == [(f"own/{place}", (0, 1) if place == 2 else (1,)) for place in range(5)]
        teacher.asked.clear()
        more = [request(numbered(place), replies=4) for place in range(2)]
        teacher.partly = False
        ask(teacher, more, ledger)
        assert sorted(teacher.asked) == [("own/0", (2, 3)), ("own/1", (2, 3))]
        assert ledger.reply(teacher, more[0]).texts == tuple(f"own/0 {place}" for place in range(4))


def test_alike_requests_under_way_wait_for_each_other(path: Path) -> None:
    teacher = Paid(failing=[LEGS.id])
    settled: list[str | None] = []
    with Ledger(path) as ledger:
        ask(teacher, [request(LEGS)] * 3 + REQUESTS, ledger, on_settled=lambda _, reason: settled.append(reason))
        assert len(teacher.asked) == 6
        assert settled.count("timed out") == 3
        ask(teacher, [request(LEGS)] * 3, ledger)
        assert len(teacher.asked) == 7


def test_a_request_that_waited_for_one_like_it_tells_the_same_reason(path: Path) -> None:
    teacher = Paid(failing=["own/1"])
    first = request(numbered(1))
    alike = Request(numbered(2), None, first.prompt, first.replies, first.round)  # another question's id
    with Ledger(path) as ledger:
        ask(teacher, [first, alike], ledger)
        assert ledger.reply(teacher, alike) == ledger.reply(teacher, first) == Reply((), error="timed out")


def test_runs_share_a_cache(tmp_path: Path) -> None:
    first, second = Paid(), Paid()
    spending = Spending(cache=tmp_path / "shared" / "cache.sqlite")
    with Ledger(tmp_path / "a.sqlite") as one, Ledger(tmp_path / "b.sqlite") as other:
        ask(first, REQUESTS[:3], one, spending)
        ask(second, REQUESTS, other, spending)
        assert sorted(question for question, _ in second.asked) == ["own/3", "own/4"]
        assert [other.reply(second, r).texts for r in REQUESTS[:3]] == [one.reply(first, r).texts for r in REQUESTS[:3]]
        assert totals(other)[1].from_cache == 6
        assert other.spent().requests == 2
        ask(second, REQUESTS, other)  # what was taken over stands in the run's own ledger
        assert len(second.asked) == 2


def test_what_a_cache_has_is_taken_over_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many = [request(numbered(place)) for place in range(300)]
    spending = Spending(cache=tmp_path / "cache.sqlite")
    with Ledger(tmp_path / "a.sqlite") as ledger:
        ask(Paid(partly=True), many[:1], ledger, spending)
        ask(Paid(at_once=50), many[1:], ledger, spending)
    commits: list[Ledger] = []
    commit = Ledger.commit

    def counted(ledger: Ledger) -> None:
        commits.append(ledger)
        commit(ledger)

    monkeypatch.setattr(Ledger, "commit", counted)
    teacher = Paid()
    settled: list[tuple[str, str | None]] = []
    with Ledger(tmp_path / "b.sqlite") as ledger:
        asked = [*many[1:], *many[1:], many[0], many[0]]
        ask(teacher, asked, ledger, spending, lambda one, reason: settled.append((one.question.id, reason)))
        assert all(len(ledger.reply(teacher, one).texts) == 2 for one in many)
    assert teacher.asked == [("own/0", (1,))]
    assert len(commits) <= 5
    assert sorted(settled) == sorted((one.question.id, None) for one in asked)


def test_a_cache_that_is_none_is_one_clear_error(tmp_path: Path) -> None:
    with Ledger(tmp_path / "a.sqlite") as ledger:
        ask(Paid(), REQUESTS[:1], ledger)
        with pytest.raises(WorkspaceError, match=r"teacher\.cache"):
            ask(Paid(), REQUESTS, ledger, Spending(cache=tmp_path / "a.sqlite"))


PRICES = Prices(Decimal(1), Decimal(2), Decimal(1), Decimal("0.5"), Decimal(1), "a test")


@settings(max_examples=30, deadline=None)
@given(
    at_once=st.integers(1, 12),
    tokens=st.none() | st.integers(1, 1500),
    requests=st.none() | st.integers(1, 30),
    money=st.none() | st.integers(1, 2000),
)
def test_caps_hold_and_a_raised_one_goes_on(
    tmp_path_factory: pytest.TempPathFactory, at_once: int, tokens: int | None, requests: int | None, money: int | None
) -> None:
    most = None if money is None else Decimal(money) / 10**6
    caps = BudgetSettings(tokens=tokens, requests=requests, money=most)
    wanted = [request(numbered(place)) for place in range(20)]
    teacher = Paid(at_once)
    with Ledger(tmp_path_factory.mktemp("ledger") / "teacher.sqlite") as ledger:
        try:
            ask(teacher, wanted, ledger, Spending(caps, PRICES))
            stopped = False
        except BudgetError as error:
            stopped, said = True, str(error)
        assert not stopped or f" {len(teacher.asked)} of 20 requests are answered" in said
        spent = ledger.spent()
        assert spent.requests == len(teacher.asked) <= (requests or 20)
        assert spent.tokens == 60 * len(teacher.asked) <= (tokens or 10**9)
        assert money is None or spent.cost <= money * 10**6
        assert stopped == (len(teacher.asked) < 20)
        ask(teacher, wanted, ledger, Spending(BudgetSettings(), PRICES))
        assert len(teacher.asked) == len(set(teacher.asked)) == 20


def test_what_was_asked_before_a_price_was_known_counts_at_the_dearest(path: Path) -> None:
    teacher = Paid()
    with Ledger(path) as ledger:
        ask(teacher, REQUESTS, ledger)  # 5 times 60 tokens, at 2 a million at most
        caps = BudgetSettings(money=Decimal("0.0006"))
        with pytest.raises(BudgetError, match=r"0\.0006.* is used"):
            ask(teacher, [request(numbered(9))], ledger, Spending(caps, PRICES))
        ask(teacher, [request(numbered(9))], ledger, Spending(BudgetSettings(money=Decimal("0.0009")), PRICES))
    assert len(teacher.asked) == 6


def test_work_goes_on_while_others_wait_for_the_budget(path: Path) -> None:
    teacher = Paid(at_once=8)
    caps = BudgetSettings(tokens=200 + 60 * 19)  # one call's worst case beyond what all of them come to
    with Ledger(path) as ledger:
        ask(teacher, [request(numbered(place)) for place in range(20)], ledger, Spending(caps))
    assert len(teacher.asked) == 20
    assert teacher.most_in_flight > 1
